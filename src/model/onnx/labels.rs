//! The classes that the columns of a classifier's output stand for.

use super::{
    Document,
    proto::{AttributeProto, ModelProto, StringStringEntryProto},
};
use crate::model::metadata;

/// Nodes behind a classifier that keep a column for each class.
const PASSING: [&str; 3] = ["Identity", "Cast", "Normalizer"];
/// The classifiers of `ai.onnx.ml`; their second output has a column for each class.
const CLASSIFIERS: [&str; 3] = ["TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier"];

/// The classes that the columns of an output stand for, in the order of the columns, whole numbers as digits: what stands in
/// the file's metadata, else what the classifier that makes the output says. `None` where neither says any.
#[must_use]
pub fn class_labels(document: &Document, output: &str) -> Option<Vec<String>> {
    let stored = document.metadata().remove(&metadata_key(output));
    if let Some(labels) = stored.and_then(|stored| serde_json::from_str(&stored).ok()) {
        return Some(labels);
    }
    let nodes = &document.graph().node;
    let mut value = output;
    // A graph that goes in circles is refused elsewhere.
    for _ in nodes {
        let node = nodes.iter().find(|node| node.output.iter().any(|output| output == value))?;
        if CLASSIFIERS.contains(&node.op_type()) {
            return attribute_labels(&node.attribute)
                .filter(|_| node.output.get(1).is_some_and(|output| output == value));
        }
        if !PASSING.contains(&node.op_type()) {
            return None;
        }
        value = node.input.first()?;
    }
    None
}

/// Keeps the classes of an output in the metadata, where a document that is read later finds them.
pub(super) fn remember(model: &mut ModelProto, output: &str, labels: &[String]) {
    let key = metadata_key(output);
    model.metadata_props.retain(|entry| entry.key() != key);
    let value = serde_json::Value::from(labels).to_string();
    model.metadata_props.push(StringStringEntryProto { key: Some(key), value: Some(value) });
}

/// The classes in a node's attributes, texts or whole numbers.
pub(crate) fn attribute_labels(attributes: &[AttributeProto]) -> Option<Vec<String>> {
    let mut lists = attributes.iter().filter(|attribute| attribute.name().starts_with("classlabels_"));
    lists.find_map(|list| {
        let texts = list.strings.iter().map(|text| String::from_utf8_lossy(text).into_owned());
        let labels: Vec<String> = texts.chain(list.ints.iter().map(i64::to_string)).collect();
        (!labels.is_empty()).then_some(labels)
    })
}

fn metadata_key(output: &str) -> String {
    format!("{}{output}", metadata::CLASSES)
}
