//! Names in a graph and in the graphs inside its nodes.

use std::collections::HashSet;

use super::proto::{AttributeProto, GraphProto, NodeProto, ValueInfoProto};

/// The graphs inside an attribute.
pub(super) fn graphs(attribute: &AttributeProto) -> impl Iterator<Item = &GraphProto> {
    attribute.g.as_deref().into_iter().chain(&attribute.graphs)
}

/// [`graphs`], to be edited.
pub(super) fn graphs_mut(attribute: &mut AttributeProto) -> impl Iterator<Item = &mut GraphProto> {
    attribute.g.as_deref_mut().into_iter().chain(&mut attribute.graphs)
}

/// The names of all nodes and of every value that is read or written in a graph, also inside its nodes.
pub(crate) fn all_names(graph: &GraphProto, names: &mut HashSet<String>) {
    let declared = graph.input.iter().chain(&graph.output).map(ValueInfoProto::name);
    names.extend(declared.map(str::to_owned));
    names.extend(graph.initializer.iter().map(|tensor| tensor.name().to_owned()));
    for node in &graph.node {
        names.extend(node.input.iter().chain(&node.output).chain(&node.name).cloned());
        node.attribute.iter().flat_map(graphs).for_each(|inner| all_names(inner, names));
    }
}

/// Whether any node, or a graph inside one, reads a value.
pub(super) fn is_read(nodes: &[NodeProto], value: &str) -> bool {
    let mut nodes = nodes.iter();
    nodes.any(|node| {
        let mut inside = node.attribute.iter().flat_map(graphs);
        let is_input = node.input.iter().any(|input| input == value);
        is_input
            || inside
                .any(|inner| inner.output.iter().any(|output| output.name() == value) || is_read(&inner.node, value))
    })
}
