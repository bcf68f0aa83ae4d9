//! Lists of maps at the end of a classifier, seen through.
//!
//! ```text
//!   probabilities [?, 3] ──▶ ZipMap ──▶ output: [{"a": 0.2, "b": 0.5, "c": 0.3}, …]
//!   probabilities [?, 3] ─────────────▶ output: [?, 3], whose classes are a, b, c by the metadata
//! ```
//!
//! Converters of scikit-learn, lightgbm and xgboost models end a classifier in `ZipMap`, which makes maps from class to
//! probability out of a tensor with a column for each class. Whoever serves wants the tensor.

use crate::model::onnx::{
    labels::{attribute_labels, remember},
    names::is_read,
    node,
    proto::{
        ModelProto, NodeProto, TensorShapeProto, TypeProto, ValueInfoProto,
        data_type::FLOAT,
        tensor_shape_proto::{Dimension, dimension},
        type_proto,
    },
};

/// Puts the tensor in the place of every output that a `ZipMap` makes and no node reads; whether there was one.
pub(super) fn see_through(model: &mut ModelProto) -> bool {
    let mut found = Vec::new();
    let graph = &mut model.graph;
    for output in &mut graph.output {
        let name = output.name().to_owned();
        let Some(place) = graph.node.iter().position(|node| makes(node, &name)) else { continue };
        if is_read(&graph.node, &name) {
            continue;
        }
        let Some(zip_map) = graph.node.get_mut(place) else { continue };
        let classes = attribute_labels(&zip_map.attribute);
        let inputs: Vec<&str> = zip_map.input.iter().map(String::as_str).collect();
        let identity = node("Identity", &inputs, &[&name], &[]);
        *zip_map = NodeProto { name: zip_map.name.clone(), ..identity };
        *output = matrix(&name, classes.as_ref().map(Vec::len));
        graph.value_info.retain(|value| value.name() != name);
        found.push((name, classes));
    }
    for (output, classes) in &found {
        if let Some(classes) = classes {
            remember(model, output, classes);
        }
    }
    !found.is_empty()
}

fn makes(node: &NodeProto, output: &str) -> bool {
    node.op_type() == "ZipMap" && node.domain() == "ai.onnx.ml" && node.output.iter().any(|made| made == output)
}

/// A float32 output with a row for each row of the batch.
fn matrix(name: &str, columns: Option<usize>) -> ValueInfoProto {
    let columns = columns.map(|columns| dimension::Value::DimValue(columns as i64));
    let dim = [None, columns].map(|value| Dimension { value, denotation: None });
    let tensor = type_proto::Tensor { elem_type: Some(FLOAT), shape: Some(TensorShapeProto { dim: dim.to_vec() }) };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { value, denotation: None }),
        ..Default::default()
    }
}
