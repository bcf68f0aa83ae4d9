use prost::Message;

use super::doubling;
use crate::model::onnx::{
    Attribute, Document, declaration, float_tensor, node,
    proto::{
        AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, attribute_type,
        data_type::FLOAT,
    },
};

/// `name(a, b) -> o`, of these nodes.
fn function(name: &str, nodes: Vec<NodeProto>) -> FunctionProto {
    let set = |domain: &str, version| OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(version) };
    FunctionProto {
        name: Some(name.to_owned()),
        domain: Some("own".to_owned()),
        input: vec!["a".to_owned(), "b".to_owned()],
        output: vec!["o".to_owned()],
        node: nodes,
        opset_import: vec![set("", 17), set("own", 1)],
        ..Default::default()
    }
}

fn call(name: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto { domain: Some("own".to_owned()), ..node(name, inputs, outputs, &[]) }
}

fn inlined(nodes: Vec<NodeProto>, functions: Vec<FunctionProto>) -> Result<ModelProto, String> {
    let mut model = doubling(Vec::new());
    model.graph.node = nodes;
    model.functions = functions;
    super::super::functions::inline(&mut model).map_err(|error| error.to_string())?;
    assert!(model.functions.is_empty());
    Ok(model)
}

#[test]
fn what_is_handed_through_or_left_out_is_so_inside_too() {
    let pass = FunctionProto {
        output: vec!["a".to_owned(), "o".to_owned(), "o".to_owned(), "b".to_owned()],
        ..function("pass", vec![node("Clip", &["a", "b", "a", "b"], &["o"], &[])])
    };
    let model = inlined(vec![call("pass", &["x"], &["y", "p", "q"])], vec![pass]).unwrap();
    let nodes: Vec<(&str, Vec<&str>, &str)> = model
        .graph
        .node
        .iter()
        .map(|node| (node.op_type(), node.input.iter().map(String::as_str).collect(), node.output[0].as_str()))
        .collect();
    assert_eq!(nodes, [("Clip", vec!["x", "", "x"], "p"), ("Identity", vec!["x"], "y"), ("Identity", vec!["p"], "q")]);
}

#[test]
fn names_inside_are_those_of_one_call_and_nobody_elses() {
    let body = vec![node("Relu", &["a"], &["t"], &[]), node("Neg", &["t"], &["o"], &[])];
    // The first two names of calls are taken.
    let calls = vec![
        node("Neg", &["x"], &["f_1/t"], &[]),
        node("Neg", &["x"], &["f_2/"], &[]),
        call("f", &["x"], &["z"]),
        call("f", &["z"], &["y"]),
    ];
    let model = inlined(calls, vec![function("f", body)]).unwrap();
    let outputs: Vec<&str> = model.graph.node.iter().map(|node| node.output[0].as_str()).collect();
    assert_eq!(outputs, ["f_1/t", "f_2/", "f_3/t", "z", "f_4/t", "y"]);
    let names: Vec<&str> = model.graph.node.iter().map(NodeProto::name).collect();
    assert_eq!(names, ["f_1/t", "f_2/", "f_3/t", "f_3/o", "f_4/t", "f_4/o"]);
}

#[test]
fn an_attribute_that_nobody_gives_is_left_out_and_a_graph_that_a_call_gives_names_the_callers_values() {
    let refer = |name: &str, formal: &str| AttributeProto {
        name: Some(name.to_owned()),
        ref_attr_name: Some(formal.to_owned()),
        r#type: Some(attribute_type::GRAPH),
        ..Default::default()
    };
    let mut chosen = node("If", &["a"], &["o"], &[]);
    chosen.attribute = vec![refer("then_branch", "body"), refer("else_branch", "other")];
    let mut f = function("f", vec![chosen]);
    f.attribute = vec!["body".to_owned(), "other".to_owned()];
    // The caller has values that are called like those of the function.
    let branch = GraphProto {
        node: vec![node("Neg", &["b"], &["o"], &[])],
        output: vec![declaration("o", FLOAT, None)],
        ..Default::default()
    };
    let mut called = call("f", &["x"], &["y"]);
    called.attribute = node("", &[], &[], &[("body", Attribute::Graph(Box::new(branch.clone())))]).attribute;
    let model = inlined(vec![called], vec![f]).unwrap();
    let [attribute] = &model.graph.node[0].attribute[..] else { panic!("{:?}", model.graph.node) };
    assert_eq!((attribute.name(), attribute.ref_attr_name()), ("then_branch", ""));
    assert_eq!(attribute.g.as_deref(), Some(&branch));
}

#[test]
fn operator_sets_of_functions_go_or_come_with_what_uses_them() {
    let mut f =
        function("f", vec![NodeProto { domain: Some("ai.onnx.ml".to_owned()), ..node("Scaler", &["a"], &["o"], &[]) }]);
    f.opset_import.push(OperatorSetIdProto { domain: Some("ai.onnx.ml".to_owned()), version: Some(3) });
    let mut model = doubling(Vec::new());
    model.opset_import.push(OperatorSetIdProto { domain: Some("own".to_owned()), version: Some(1) });
    model.graph.node = vec![call("f", &["x"], &["y"])];
    model.functions = vec![f];
    super::super::functions::inline(&mut model).unwrap();
    let sets: Vec<(&str, i64)> = model.opset_import.iter().map(|set| (set.domain(), set.version())).collect();
    assert_eq!(sets, [("", 17), ("ai.onnx.ml", 3)]);
}

#[test]
fn functions_of_another_operator_set_are_inlined_where_their_operators_are_the_same() {
    let of = |operator: &str, version| {
        let mut f = function("f", vec![node(operator, &["a"], &["o"], &[])]);
        f.opset_import[0].version = Some(version);
        inlined(vec![call("f", &["x"], &["y"])], vec![f])
    };
    assert!(of("Relu", 7).is_ok() && of("Relu", 26).is_ok() && of("Softmax", 13).is_ok());
    insta::assert_snapshot!(
        of("Softmax", 12).unwrap_err(),
        @r#"function "own.f" of the model can't be inlined: it uses Softmax of operator set 12, the model has 17, where it is another: export model and functions with one opset_version"#
    );
    assert!(of("ReduceMean", 18).is_err());
    let mut bare = function("f", vec![node("Relu", &["a"], &["o"], &[])]);
    bare.opset_import.clear();
    let refused = inlined(vec![call("f", &["x"], &["y"])], vec![bare]).unwrap_err();
    assert!(refused.ends_with("it uses Relu without importing operator set ai.onnx"), "{refused}");
}

#[test]
fn functions_that_can_not_be_inlined_are_refused_by_name() {
    let inner = |name: &str| vec![call(name, &["a"], &["o"])];
    let called = || vec![call("f", &["x"], &["y"])];
    insta::assert_snapshot!(
        inlined(called(), vec![function("f", inner("g")), function("g", inner("f"))]).unwrap_err(),
        @r#"function "own.f" of the model can't be inlined: it calls itself: export it without recursion"#
    );
    let twice = inlined(called(), vec![function("f", Vec::new()), function("f", Vec::new())]).unwrap_err();
    assert!(twice.ends_with("there are two of that name"), "{twice}");
    let many = inlined(vec![call("f", &["x", "x", "x"], &["y"])], vec![function("f", Vec::new())]).unwrap_err();
    assert!(many.ends_with(r#"node "y" has 3 inputs for its 2"#), "{many}");
    let stock = FunctionProto { domain: None, ..function("Relu", Vec::new()) };
    let stock = inlined(vec![node("Relu", &["x"], &["y"], &[])], vec![stock]).unwrap_err();
    assert!(stock.contains("its domain has operators of its own"), "{stock}");
    let deep: Vec<FunctionProto> =
        (0..30).map(|nth| function(&format!("f{nth}"), inner(&format!("f{}", nth + 1)))).collect();
    let deep = inlined(vec![call("f0", &["x"], &["y"])], deep).unwrap_err();
    assert!(deep.contains("nested more than 20 deep"), "{deep}");
    assert!(inlined(called(), vec![function("f", Vec::new()), function("unused", inner("unused"))]).is_ok());
}

/// Eighteen functions that call the next one twice are 2^18 nodes; three times, hundreds of millions.
#[test]
fn functions_that_grow_without_end_are_refused_before_memory_ends() {
    let chain = |calls: usize| {
        let mut functions: Vec<FunctionProto> = (0..18)
            .map(|nth| function(&format!("f{nth}"), vec![call(&format!("f{}", nth + 1), &["a"], &["o"]); calls]))
            .collect();
        functions.push(function("f18", vec![node("Relu", &["a"], &["o"], &[])]));
        inlined(vec![call("f0", &["x"], &["y"])], functions)
    };
    let refused = chain(3).unwrap_err();
    assert!(
        refused.starts_with("the model's functions, inlined, make it larger than the limit of 268435456 bytes"),
        "{refused}"
    );

    // One large value that is asked for again and again.
    let refer = AttributeProto {
        name: Some("value".to_owned()),
        ref_attr_name: Some("t".to_owned()),
        r#type: Some(attribute_type::TENSOR),
        ..Default::default()
    };
    let constant = NodeProto { attribute: vec![refer], ..node("Constant", &[], &["o"], &[]) };
    let f = FunctionProto { attribute: vec!["t".to_owned()], ..function("f", vec![constant; 1_000]) };
    let value = AttributeProto {
        name: Some("t".to_owned()),
        t: Some(Box::new(float_tensor("", &[1 << 18], &vec![1.0; 1 << 18]))),
        r#type: Some(attribute_type::TENSOR),
        ..Default::default()
    };
    let called = NodeProto { attribute: vec![value], ..call("f", &["x"], &["y"]) };
    assert!(inlined(vec![called], vec![f]).unwrap_err().starts_with("the model's functions"));
}

#[test]
fn a_document_has_no_functions() {
    let mut model = doubling(Vec::new());
    model.functions = vec![function("f", Vec::new())];
    insta::assert_snapshot!(
        Document::read(&model.encode_to_vec()).unwrap_err(),
        @"the model has functions of its own, which are inlined where its file is read from a folder: give the file"
    );
}
