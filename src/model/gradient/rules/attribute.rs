//! Attributes and optional inputs of nodes.

use crate::model::onnx::proto::{AttributeProto, NodeProto};

fn find<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
}

/// A whole number, or its default.
pub(super) fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    find(node, name).map_or(default, AttributeProto::i)
}

/// A number, or its default.
pub(super) fn float(node: &NodeProto, name: &str, default: f32) -> f32 {
    find(node, name).map_or(default, AttributeProto::f)
}

/// Whole numbers, if given.
pub(super) fn ints<'a>(node: &'a NodeProto, name: &str) -> Option<&'a [i64]> {
    find(node, name).map(|attribute| attribute.ints.as_slice())
}

/// Whether a word is given and is this one.
pub(super) fn is_text(node: &NodeProto, name: &str, text: &str) -> bool {
    find(node, name).is_some_and(|attribute| attribute.s() == text.as_bytes())
}

/// The name of an input that may be left out.
pub(super) fn input(node: &NodeProto, position: usize) -> Option<&str> {
    node.input.get(position).map(String::as_str).filter(|name| !name.is_empty())
}
