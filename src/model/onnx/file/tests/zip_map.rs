use super::{doubling, golden_file};
use crate::model::{
    ElementType, Signature,
    onnx::{
        Document, class_labels, node,
        proto::{AttributeProto, GraphProto, NodeProto},
    },
};

#[test]
fn classes_of_maps_are_kept_and_those_of_a_classifier_found() {
    for (name, classes) in [("zip_map", ["-1", "0", "7"]), ("zip_map_texts", ["buy", "see", "leave"])] {
        let document = Document::read(&golden_file(name).1).unwrap();
        assert_eq!(class_labels(&document, "probabilities").unwrap(), classes);
        assert_eq!(class_labels(&document, "label"), None);
        let outputs = Signature::of(document.graph()).unwrap().outputs;
        assert_eq!(outputs[1].dims, Some(vec![None, Some(3)]));
        assert_eq!(outputs[1].element, ElementType::Float32);
    }
    let classifier = NodeProto {
        attribute: vec![AttributeProto {
            name: Some("classlabels_ints".to_owned()),
            ints: vec![0, 1],
            ..Default::default()
        }],
        domain: Some("ai.onnx.ml".to_owned()),
        ..node("LinearClassifier", &["x"], &["label", "raw"], &[])
    };
    let graph = GraphProto {
        node: vec![classifier, node("Cast", &["raw"], &["p"], &[]), node("Relu", &["raw"], &["q"], &[])],
        ..Default::default()
    };
    let document = Document::new(graph);
    assert_eq!(class_labels(&document, "p").unwrap(), ["0", "1"]);
    assert_eq!(
        [class_labels(&document, "label"), class_labels(&document, "q"), class_labels(&document, "z")],
        [None, None, None]
    );
}

#[test]
fn maps_that_a_node_reads_stay() {
    let mut model = doubling(Vec::new());
    let zip_map = NodeProto { domain: Some("ai.onnx.ml".to_owned()), ..node("ZipMap", &["x"], &["y"], &[]) };
    model.graph.node = vec![zip_map, node("SequenceLength", &["y"], &["z"], &[])];
    let before = model.clone();
    assert!(!super::super::zip_map::see_through(&mut model));
    assert_eq!(model, before);
    model.graph.node.pop();
    // It may say beside the outputs, too, what was a list of maps.
    model.graph.value_info.push(model.graph.output[0].clone());
    assert!(super::super::zip_map::see_through(&mut model));
    assert_eq!((model.graph.node[0].op_type(), model.graph.value_info.len()), ("Identity", 0));
    assert!(model.metadata_props.is_empty(), "it has no classes");
}
