use super::*;
use crate::model::onnx::Dimension::{self, Fixed, Named};
use crate::model::onnx::{Attribute, GraphBuilder, declaration, golden, node, proto::data_type::FLOAT, read_file};

fn old(opset: i64, build: impl Fn(&mut GraphBuilder)) -> Document {
    let mut graph = GraphBuilder::new("old");
    graph.input("x", FLOAT, &[]);
    build(&mut graph);
    let mut graph = graph.finish();
    graph.output.push(declaration("y", FLOAT, None));
    let mut document = Document::new(graph);
    document.model.opset_import[0].version = Some(opset);
    document.model.ir_version = Some(3);
    document
}

fn operators(document: &Document) -> Vec<&str> {
    document.graph().node.iter().map(NodeProto::op_type).collect()
}

#[test]
fn documents_of_old_operator_sets_compute_the_same_in_a_newer_one() {
    for set in [7, 9, 10, 11, 12] {
        let name = format!("set_{set}");
        let mut document = Document::read(&read_file(&golden::folder().join(format!("{name}.onnx"))).unwrap()).unwrap();
        golden::agrees(&document, &name);
        assert_eq!(upgrade(&mut document), Ok(17), "{name}");
        golden::agrees(&document, &name);
        let written = Document::read(&document.write()).unwrap();
        assert_eq!((written.opset(""), written.model.ir_version() >= 7), (Some(17), true));
        // No attribute of before is left: ONNX Runtime ignores none, but says so in words of its own.
        let is_old =
            |node: &NodeProto| node.attribute.iter().any(|one| ["axes", "split", "pads"].contains(&one.name()));
        assert!(!written.graph().node.iter().any(is_old), "{name}");
    }
}

#[test]
fn sets_whose_forms_are_known_stay_as_they_are_and_others_are_refused() {
    for set in 16..=26 {
        let mut document = old(set, |graph| graph.node_with("Squeeze", &["x"], "y", &[("axes", 1)]));
        let before = document.clone();
        assert_eq!((upgrade(&mut document), document), (Ok(set), before));
    }
    let mut named = old(12, |graph| graph.node("Relu", &["x"], "y"));
    named.model.opset_import[0].domain = Some("ai.onnx".to_owned());
    assert_eq!((upgrade(&mut named), named.opset("ai.onnx")), (Ok(17), Some(17)));
    for set in [0, 6, 27] {
        let refused = upgrade(&mut old(set, |graph| graph.node("Relu", &["x"], "y"))).unwrap_err();
        assert_eq!(refused, UpgradeError::OperatorSet { found: set });
    }
    insta::assert_snapshot!(
        UpgradeError::OperatorSet { found: 6 },
        @"the model is written for operator set 6, training knows 7 to 26: export it with one of those, with opset_version or target_opset = 17"
    );
}

#[test]
fn what_can_not_be_written_anew_is_refused_by_name() {
    let refused = |opset, operator, outputs: &[&str], attributes: &[(&str, Attribute)]| {
        let mut document = old(opset, |graph| graph.node_of(operator, &["x"], outputs, attributes));
        upgrade(&mut document).unwrap_err()
    };
    insta::assert_snapshot!(
        refused(9, "Upsample", &["y"], &[]),
        @r#"operator Upsample of node "y" can't be trained in operator set 9, and can't be written in 17: it is no operator any more; export the model with opset_version or target_opset = 17"#
    );
    let spatial = [("spatial", Attribute::Int(0))];
    for error in [
        refused(10, "Resize", &["y"], &[]),
        refused(15, "RoiAlign", &["y"], &[]),
        refused(8, "Scan", &["y"], &[]),
        refused(7, "Dropout", &["y", "mask"], &[]),
        refused(8, "BatchNormalization", &["y"], &spatial),
        refused(13, "BatchNormalization", &["y", "mean", "variance"], &[]),
        refused(12, "Softmax", &["y", "z"], &[]),
    ] {
        assert!(matches!(&error, UpgradeError::Node { node, .. } if node == "y"), "{error}");
    }
}

#[test]
fn constants_stand_before_what_reads_them_inside_branches_too_under_names_of_their_own() {
    let branch = |name: &str| {
        let squeezed = node("Squeeze", &["x"], &[name], &[("axes", Attribute::Ints(vec![1]))]);
        GraphProto { node: vec![squeezed], output: vec![declaration(name, FLOAT, None)], ..Default::default() }
    };
    let mut document = old(11, |graph| {
        graph.initializer("there.axes", &[], &[0.0]);
        let branches = [("then_branch", branch("there")), ("else_branch", branch("here"))];
        let branches = branches.map(|(name, branch)| (name, Attribute::Graph(Box::new(branch))));
        graph.node_of("If", &["condition"], &["y"], &branches);
    });
    upgrade(&mut document).unwrap();
    let inside: Vec<&GraphProto> =
        document.graph().node[0].attribute.iter().filter_map(|one| one.g.as_deref()).collect();
    for (graph, axes) in inside.into_iter().zip(["there.axes'", "here.axes"]) {
        let [constant, squeeze] = &graph.node[..] else { panic!("{graph:?}") };
        assert_eq!((constant.output[0].as_str(), squeeze.input[1].as_str()), (axes, axes));
        assert!(squeeze.attribute.is_empty());
    }
}

#[test]
fn a_softmax_over_the_last_axis_stays_one_node() {
    let softmax = |opset, axis: Option<i64>, dims: Option<&[Dimension]>| {
        let attributes: Vec<_> = axis.map(|axis| ("axis", axis)).into_iter().collect();
        let mut document = old(opset, |graph| graph.node_with("Softmax", &["x"], "y", &attributes));
        document.graph_mut().input = vec![declaration("x", FLOAT, dims)];
        upgrade(&mut document).unwrap();
        operators(&document).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let flattened = ["Shape", "Flatten", "Softmax", "Reshape"];
    assert_eq!(softmax(11, Some(-1), None), ["Softmax"]);
    assert_eq!(softmax(11, None, Some(&[Named("n"), Fixed(2)])), ["Softmax"]);
    assert_eq!(softmax(12, Some(2), Some(&[Named("n"), Fixed(2), Fixed(3)])), ["Softmax"]);
    assert_eq!(softmax(12, Some(1), Some(&[Named("n"), Fixed(2), Fixed(3)])), flattened);
    assert_eq!(softmax(7, None, None), flattened);
    assert_eq!(softmax(13, Some(1), None), ["Softmax"], "that is the form of now");
}
