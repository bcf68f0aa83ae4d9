use super::*;
use crate::model::{
    ElementType, Session,
    onnx::{
        Attribute,
        Dimension::{Fixed, Named},
        Document, GraphBuilder, declaration, int_tensor, node,
        proto::data_type::{FLOAT, INT32, INT64},
    },
    session::{Computation, Feed, Values},
};

/// `q = dividend / divisor` beside inputs `n` and `m` of whole numbers, of which no value is known, and `x` of floats.
fn model(build: impl Fn(&mut GraphBuilder)) -> Result<(), ModelError> {
    let mut graph = GraphBuilder::new("model");
    graph.input("n", INT64, &[Named("batch")]);
    graph.input("m", INT32, &[Named("batch")]);
    graph.input("x", FLOAT, &[Named("batch"), Fixed(4)]);
    for (name, value) in [("zero", 0), ("one", 1), ("below", -1), ("two_below", -2), ("huge", 1 << 40)] {
        graph.whole_initializer(name, &[1], &[value]);
    }
    build(&mut graph);
    check(&graph.finish())
}

fn divided(dividend: &str, divisor: &str, build: impl Fn(&mut GraphBuilder)) -> bool {
    let checked = model(|graph| {
        build(graph);
        graph.node("Div", &[dividend, divisor], "q");
    });
    match checked {
        Ok(()) => true,
        Err(ModelError::UnboundedDivisor { node, divisor: named }) => {
            assert_eq!((node.as_str(), named.as_str()), ("q", divisor));
            false
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn whole_numbers_are_not_divided_by_what_inputs_hold() {
    let refused = model(|graph| graph.node("Div", &["n", "n"], "q")).unwrap_err();
    insta::assert_snapshot!(refused, @r#"node "q" divides whole numbers by "n", which inputs can make any number, and for some of them ONNX Runtime ends the whole process: cast both to float32 before, or bound the divisor in the model, for example with Max(n, 1)"#);
    assert!(!divided("m", "m", |_| ()), "int32");
    assert!(!divided("one", "n", |_| ()));
    assert!(!divided("n", "below", |_| ()), "a constant that ends it");
    for operator in ["Sub", "Mul", "Add", "Min"] {
        assert!(!divided("n", "d", |graph| graph.node(operator, &["n", "huge"], "d")), "{operator}");
    }
    assert!(!divided("n", "d", |graph| graph.node("Max", &["n", "two_below"], "d")));
    assert!(!divided("k", "l", |graph| {
        graph.node_with("Cast", &["x"], "k", &[("to", i64::from(INT64))]);
        graph.node("Identity", &["k"], "l");
    }));
    assert!(!divided("n", "d", |graph| graph.node("Mul", &["huge", "huge"], "d")), "a product that may overflow");
}

#[test]
fn floats_are_divided_by_anything_and_whole_numbers_by_what_is_bounded() {
    assert!(divided("x", "x", |_| ()));
    assert!(divided("f", "g", |graph| {
        for (from, to) in [("n", "f"), ("m", "g")] {
            graph.node_with("Cast", &[from], to, &[("to", i64::from(FLOAT))]);
        }
    }));
    assert!(divided("n", "one", |_| ()) && divided("n", "two_below", |_| ()));
    assert!(divided("n", "d", |graph| graph.node("Max", &["n", "one"], "d")));
    assert!(divided("n", "d", |graph| graph.node("Clip", &["n", "one"], "d")));
    assert!(divided("n", "d", |graph| {
        graph.node("Shape", &["x"], "shape");
        graph.node("Gather", &["shape", "one"], "width");
        graph.node("Mul", &["width", "width"], "area");
        graph.node("Concat", &["area", "one"], "both");
        graph.node("ReduceProd", &["both"], "d");
    }));
}

/// A name that is left out is nobody's: two such outputs of different types, and an input that has no bound.
#[test]
fn names_that_are_left_out_say_nothing() {
    let blank = |nth: usize| if nth == 0 { "" } else { "inverse" };
    assert!(!divided("n", "d", |graph| {
        graph.node_of("Unique", &["x"], &[blank(0), blank(0), blank(1)], &[]);
        graph.node_of("Dropout", &["x"], &["dropped", blank(0)], &[]);
        graph.node("Clip", &["n", blank(0), "huge"], "d");
    }));
    assert!(!divided("n", "d", |graph| {
        graph.node("Sub", &["one", "huge"], "most");
        graph.node("Clip", &["n", "one", "most"], "d");
    }));
}

#[test]
fn counts_of_what_holds_are_bounded() {
    assert!(divided("n", "count", |graph| {
        graph.node("Greater", &["n", "one"], "mask");
        graph.node_with("Cast", &["mask"], "ones", &[("to", i64::from(INT64))]);
        graph.node("ReduceSum", &["ones", "below"], "count");
    }));
    assert!(divided("n", "place", |graph| graph.node("Mod", &["n", "huge"], "place")));
    assert!(!divided("n", "place", |graph| graph.node_with("Mod", &["n", "huge"], "place", &[("fmod", 1)])));
}

#[test]
fn nodes_may_stand_in_any_order() {
    let model = |bounded: bool| {
        model(|graph| {
            graph.node("Div", &["k", "d"], "q");
            graph.node("Max", &["e", if bounded { "one" } else { "n" }], "d");
            graph.node("Identity", &["k"], "e");
            graph.node_with("Cast", &["x"], "k", &[("to", i64::from(INT64))]);
        })
    };
    assert!(model(true).is_ok() && model(false).is_err());
}

#[test]
fn graphs_inside_nodes_are_looked_into() {
    let inside = |inputs: &[(&str, i32)], nodes: Vec<NodeProto>, outputs: &[&str]| {
        let graph = GraphProto {
            input: inputs.iter().map(|(name, element)| declaration(name, *element, None)).collect(),
            output: outputs.iter().map(|name| declaration(name, FLOAT, None)).collect(),
            node: nodes,
            initializer: vec![int_tensor("five", &[], &[5])],
            ..Default::default()
        };
        Attribute::Graph(Box::new(graph))
    };
    let branch = |divisor| inside(&[], vec![node("Div", &["n", divisor], &["part"], &[])], &["part"]);
    let with = |nodes: &[NodeProto]| {
        let mut graph = GraphBuilder::new("outer").finish();
        graph.input = vec![declaration("n", INT64, None), declaration("x", FLOAT, None)];
        graph.node = nodes.to_vec();
        check(&graph)
    };
    let either = |then, otherwise| {
        let branches = [("then_branch", branch(then)), ("else_branch", branch(otherwise))];
        with(&[node("If", &["c"], &["y"], &branches)])
    };
    assert!(either("five", "five").is_ok());
    assert!(either("five", "n").is_err(), "the value of the graph around");

    // What is carried along is whole only after the first round has made it so.
    let body = |carried: &str| {
        let nodes = vec![
            node("Div", &["carried", carried], &["part"], &[]),
            node("Cast", &["part"], &["next"], &[("to", Attribute::Int(i64::from(INT64)))]),
            node("Identity", &["on"], &["goes_on"], &[]),
        ];
        let inputs = [("round", INT64), ("on", 9), ("carried", 0)];
        [node("Loop", &["trips", "", "x"], &["y"], &[("body", inside(&inputs, nodes, &["goes_on", "next"]))])]
    };
    assert!(with(&body("five")).is_ok());
    assert!(with(&body("carried")).is_err());
    let after = node("Div", &["y", "y"], &["z"], &[]);
    assert!(with(&[body("five").as_slice(), &[after]].concat()).is_err(), "a loop gives what it carries");

    let step = |divisor: &str| {
        let nodes = vec![
            node("Div", &["element", divisor], &["part"], &[]),
            node("Identity", &["state"], &["state_after"], &[]),
        ];
        let body = inside(&[("state", 0), ("element", 0)], nodes, &["state_after", "part"]);
        with(&[node("Scan", &["x", "n"], &["s", "y"], &[("num_scan_inputs", Attribute::Int(1)), ("body", body)])])
    };
    assert!(step("five").is_ok());
    assert!(step("element").is_err());
}

/// Every rule on element types against ONNX Runtime's own inference.
#[test]
fn element_types_are_those_that_onnx_runtime_finds() {
    let mut graph = GraphBuilder::new("types");
    graph.input("x", FLOAT, &[Named("batch"), Fixed(4)]);
    graph.whole_initializer("axes", &[1], &[1]);
    graph.whole_initializer("two", &[1], &[2]);
    graph.initializer("half", &[], &[0.5]);
    graph.initializer("pair", &[2], &[0.0, 1.0]);
    graph.whole_initializer("depth", &[], &[8]);
    let to = |element: i32| [("to", i64::from(element))];
    graph.node_with("Cast", &["x"], "wide", &to(INT64));
    graph.node_with("Cast", &["x"], "small", &to(INT32));
    graph.node_with("Cast", &["wide"], "floats", &to(FLOAT));
    graph.node("CastLike", &["x", "wide"], "alike");
    graph.node("Shape", &["x"], "shape");
    graph.node("Size", &["x"], "size");
    graph.node("NonZero", &["x"], "places");
    graph.node_with("ArgMax", &["x"], "largest", &[("axis", 1)]);
    graph.node_with("ArgMin", &["x"], "least", &[("axis", 1)]);
    graph.node_of("TopK", &["x", "two"], &["top", "top_places"], &[]);
    graph.node_of("Unique", &["x"], &["unique", "firsts", "inverse", "counts"], &[]);
    graph.node_of("Dropout", &["x"], &["dropped", "mask"], &[]);
    graph.node("Equal", &["wide", "wide"], "equal");
    graph.node("Greater", &["wide", "alike"], "greater");
    graph.node("IsNaN", &["x"], "is_nan");
    graph.node("Where", &["equal", "wide", "alike"], "chosen");
    graph.node("Where", &["equal", "x", "floats"], "chosen_floats");
    graph.node("OneHot", &["wide", "depth", "pair"], "hot");
    graph.node_of("DynamicQuantizeLinear", &["x"], &["quantised", "scale", "offset"], &[]);
    graph.node("DequantizeLinear", &["quantised", "scale", "offset"], "back");
    graph.node("QuantizeLinear", &["x", "half"], "bytes");
    graph.node_with("Transpose", &["quantised"], "turned", &[]);
    graph.node("MatMulInteger", &["quantised", "turned"], "products");
    graph.node("ConstantOfShape", &["two"], "zeros");
    graph.node("Range", &["depth", "size", "depth"], "range");
    graph.node_with("EyeLike", &["wide"], "eye", &[]);
    graph.node_with("EyeLike", &["wide"], "eye_of_floats", &[("dtype", i64::from(FLOAT))]);
    graph.node("RandomNormalLike", &["x"], "random");
    graph.node_with("Multinomial", &["x"], "drawn", &[]);
    for operator in ["Neg", "Abs", "Sign", "Identity", "Flatten"] {
        graph.node(operator, &["wide"], &format!("{operator} of whole"));
        graph.node(operator, &["x"], &format!("{operator} of floats"));
    }
    for operator in ["Add", "Sub", "Mul", "Mod", "Max", "Min", "Pow"] {
        graph.node(operator, &["wide", "alike"], &format!("{operator} of whole"));
    }
    for operator in ["ReduceSum", "ReduceMax", "ReduceMean", "Squeeze", "Unsqueeze"] {
        let operands: &[&str] = if operator == "Unsqueeze" { &["wide", "axes"] } else { &["wide"] };
        let input = if operator == "Squeeze" { &["largest", "axes"] } else { operands };
        graph.node(operator, input, &format!("{operator} of whole"));
    }
    graph.node("CumSum", &["wide", "depth_of_axis"], "running");
    graph.whole_initializer("depth_of_axis", &[], &[1]);
    graph.node("Gather", &["wide", "axes"], "gathered");
    graph.node("Concat", &["shape", "two"], "joined");
    compare(graph);
}

/// What ONNX Runtime says of every value that a graph computes from zeros.
fn compare(graph: GraphBuilder) {
    let mut graph = graph.finish();
    for concat in graph.node.iter_mut().filter(|node| node.op_type() == "Concat") {
        concat.attribute = node("Concat", &[], &[], &[("axis", Attribute::Int(0))]).attribute;
    }
    let mut scopes = Scopes::default();
    scopes.add(&graph, None);
    while scopes.learn() {}
    let names: Vec<String> = graph.node.iter().flat_map(|node| node.output.iter().cloned()).collect();
    let facts: Vec<bool> = names.iter().map(|name| scopes.fact(0, name).is_whole).collect();
    let mut open = Document::new(graph);
    open.graph_mut().output =
        names.iter().map(|name| ValueInfoProto { name: Some(name.clone()), ..Default::default() }).collect();
    let mut computation = Computation::open(&open, 1, &names).unwrap();
    let zeros = [1.0; 8];
    let feeds = [Feed { input: "x", dims: &[2, 4], values: Values::Float32(&zeros) }];
    let mut found = Vec::new();
    computation
        .run(&feeds, |_, output| {
            // Bytes are not told apart from others; there are no others here.
            found.push(matches!(output.element, ElementType::Int64 | ElementType::Int32 | ElementType::Other(_)));
            Ok(())
        })
        .unwrap();
    for ((name, fact), found) in names.iter().zip(facts).zip(found) {
        assert_eq!(fact, found, "{name}");
    }
}

/// The whole way: refused when it is read, before anything runs.
#[test]
fn a_file_with_such_a_division_is_refused_when_it_is_read() {
    let mut graph = GraphBuilder::new("ids");
    graph.input("item", INT64, &[Named("batch")]);
    graph.input("group", INT64, &[Named("batch")]);
    graph.node("Div", &["item", "group"], "share");
    graph.node_with("Cast", &["share"], "score", &[("to", i64::from(FLOAT))]);
    graph.output("score", FLOAT, &[Named("batch")]);
    let error = Session::from_bytes(&Document::new(graph.finish()).write(), 1).unwrap_err();
    assert!(matches!(error, ModelError::UnboundedDivisor { .. }), "{error}");
}
