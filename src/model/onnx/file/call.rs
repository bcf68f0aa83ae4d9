//! One call of a function: its nodes, under names that stand for this call alone.

use std::cell::Cell;
use std::collections::HashMap;

use prost::Message;

use crate::model::onnx::{
    names::{graphs, graphs_mut},
    node,
    proto::{AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto, ValueInfoProto},
};

/// What a node or an attribute takes beside its bytes in a file: memory is what has to last.
const OVERHEAD: usize = 512;

/// How many bytes calls may still add.
pub(super) struct Room(Cell<Option<usize>>);

impl Room {
    pub(super) fn of(bytes: u64) -> Self {
        Self(Cell::new(usize::try_from(bytes).ok()))
    }

    /// Takes some of it; whether there was as much.
    fn take(&self, bytes: usize) -> bool {
        self.0.set(self.0.get().and_then(|left| left.checked_sub(bytes)));
        !self.is_used_up()
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.0.get().is_none()
    }
}

/// The nodes of `function` with what `call` gives for its inputs, outputs and attributes. All other names get `prefix`.
///
/// An input that the call leaves out is left out inside too, and so is an attribute that has no default either. What the call
/// gives for an attribute stays as it is, since its graphs name values of the caller. Once `room` is used up, what comes out
/// is of no use.
pub(super) fn expand(
    call: &NodeProto,
    function: &FunctionProto,
    prefix: &str,
    room: &Room,
) -> Result<Vec<NodeProto>, String> {
    for (what, given, taken) in
        [("inputs", call.input.len(), function.input.len()), ("outputs", call.output.len(), function.output.len())]
    {
        if given > taken {
            return Err(format!("node {:?} has {given} {what} for its {taken}", call.name()));
        }
    }
    let mut values: HashMap<&str, String> = HashMap::new();
    for (nth, formal) in function.input.iter().enumerate() {
        values.insert(formal, call.input.get(nth).cloned().unwrap_or_default());
    }
    let mut copies = Vec::new();
    for (formal, actual) in function.output.iter().zip(&call.output).filter(|(_, actual)| !actual.is_empty()) {
        match values.get(formal.as_str()) {
            // An input that is handed through, or an output that is asked for twice.
            Some(value) => copies.push(node("Identity", &[value], &[actual], &[])),
            None => drop(values.insert(formal, actual.clone())),
        }
    }
    let body = Body { call, function, values, prefix, room };
    Ok(function.node.iter().map(|node| body.node(node)).chain(copies).collect())
}

struct Body<'a> {
    call: &'a NodeProto,
    function: &'a FunctionProto,
    /// What inputs and outputs of the function are called where it is called; empty for those that are left out.
    values: HashMap<&'a str, String>,
    prefix: &'a str,
    room: &'a Room,
}

impl Body<'_> {
    fn value(&self, name: &str) -> String {
        match self.values.get(name) {
            _ if name.is_empty() => String::new(),
            Some(value) if self.room.take(value.len()) => value.clone(),
            Some(_) => String::new(),
            None => self.own(name),
        }
    }

    fn own(&self, name: &str) -> String {
        let is_room = self.room.take(self.prefix.len() + name.len());
        if is_room { format!("{}{name}", self.prefix) } else { String::new() }
    }

    fn values(&self, names: &[String]) -> Vec<String> {
        names.iter().map(|name| self.value(name)).collect()
    }

    fn node(&self, node: &NodeProto) -> NodeProto {
        let mut input = self.values(&node.input);
        // Inputs that are left out at the end are not written.
        while input.last().is_some_and(String::is_empty) {
            input.pop();
        }
        let name = node.name.as_ref().filter(|name| !name.is_empty()).map(|name| self.own(name));
        self.room.take(OVERHEAD);
        NodeProto {
            input,
            output: self.values(&node.output),
            name,
            op_type: node.op_type.clone(),
            attribute: node.attribute.iter().filter_map(|attribute| self.attribute(attribute)).collect(),
            domain: node.domain.clone(),
            overload: node.overload.clone(),
            ..Default::default()
        }
    }

    fn attribute(&self, attribute: &AttributeProto) -> Option<AttributeProto> {
        let formal = attribute.ref_attr_name();
        if formal.is_empty() {
            let mut own = self.copy(attribute)?;
            graphs_mut(&mut own).for_each(|graph| self.graph(graph));
            return Some(own);
        }
        let called = |given: &&AttributeProto| given.name() == formal;
        let given = self.call.attribute.iter().find(called);
        let given = given.or_else(|| self.function.attribute_proto.iter().find(called))?;
        Some(AttributeProto { name: attribute.name.clone(), doc_string: None, ..self.copy(given)? })
    }

    /// A copy, while there is room for it.
    fn copy(&self, attribute: &AttributeProto) -> Option<AttributeProto> {
        let inside: usize = graphs(attribute).map(parts).sum();
        self.room.take(attribute.encoded_len() + OVERHEAD * (1 + inside)).then(|| attribute.clone())
    }

    /// A graph inside a node: it names values of its own, and of the function that it stands in.
    fn graph(&self, graph: &mut GraphProto) {
        let declared = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
        declared.for_each(|value: &mut ValueInfoProto| value.name = Some(self.value(value.name())));
        let sparse = graph.sparse_initializer.iter_mut().filter_map(|tensor| tensor.values.as_mut());
        let constants = graph.initializer.iter_mut().chain(sparse);
        constants.for_each(|tensor: &mut TensorProto| tensor.name = Some(self.value(tensor.name())));
        for annotation in &mut graph.quantization_annotation {
            annotation.tensor_name = Some(self.value(annotation.tensor_name()));
            for entry in &mut annotation.quant_parameter_tensor_names {
                entry.value = Some(self.value(entry.value()));
            }
        }
        graph.node = graph.node.iter().map(|node| self.node(node)).collect();
    }
}

/// Messages in a graph, about.
fn parts(graph: &GraphProto) -> usize {
    let inside = graph
        .node
        .iter()
        .map(|node| 1 + node.attribute.len() + node.attribute.iter().flat_map(graphs).map(parts).sum::<usize>());
    let declared = graph.input.len() + graph.output.len() + graph.value_info.len() + graph.initializer.len();
    declared + inside.sum::<usize>()
}
