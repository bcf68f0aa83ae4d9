//! Which nodes are needed for a value.

use std::collections::HashSet;

use crate::model::onnx::proto::{NodeProto, ValueInfoProto};

/// Every value that a node reads: its inputs, and what graphs inside it take from outside.
///
/// Names that are only known inside such a graph are also given; they match nothing outside.
pub(in crate::model) fn reads(node: &NodeProto) -> Vec<&str> {
    let mut names = Vec::new();
    collect(node, &mut names);
    names
}

/// Keeps of nodes in computing order those that are needed for these values, in the same order.
pub(in crate::model) fn needed_for<'a>(
    nodes: Vec<NodeProto>,
    values: impl IntoIterator<Item = &'a str>,
) -> Vec<NodeProto> {
    let mut needed: HashSet<String> = values.into_iter().map(str::to_owned).collect();
    let mut kept = Vec::with_capacity(nodes.len());
    for node in nodes.into_iter().rev() {
        if node.output.iter().any(|output| needed.contains(output)) {
            needed.extend(reads(&node).into_iter().filter(|name| !name.is_empty()).map(str::to_owned));
            kept.push(node);
        }
    }
    kept.reverse();
    kept
}

fn collect<'a>(node: &'a NodeProto, names: &mut Vec<&'a str>) {
    names.extend(node.input.iter().map(String::as_str));
    for attribute in &node.attribute {
        for graph in attribute.g.as_deref().into_iter().chain(&attribute.graphs) {
            names.extend(graph.output.iter().map(ValueInfoProto::name));
            for inner in &graph.node {
                collect(inner, names);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::{Attribute, node, proto::GraphProto};

    #[test]
    fn nodes_that_a_value_does_not_depend_on_are_left_out() {
        let nodes = vec![
            node("Relu", &["x"], &["a"], &[]),
            node("Neg", &["x"], &["unused"], &[]),
            node("Abs", &["a"], &["y"], &[]),
            node("Exp", &["y"], &["after"], &[]),
        ];
        let kept = needed_for(nodes, ["y"]);
        assert_eq!(kept.iter().map(NodeProto::op_type).collect::<Vec<_>>(), ["Relu", "Abs"]);
    }

    #[test]
    fn what_a_branch_takes_from_outside_is_needed() {
        let inside = GraphProto { node: vec![node("Neg", &["outer"], &["inner"], &[])], ..Default::default() };
        let nodes = vec![
            node("Relu", &["x"], &["outer"], &[]),
            node("If", &["condition"], &["y"], &[("then_branch", Attribute::Graph(Box::new(inside)))]),
        ];
        assert_eq!(needed_for(nodes, ["y"]).len(), 2);
    }
}
