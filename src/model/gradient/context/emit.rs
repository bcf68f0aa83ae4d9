//! Writing nodes: to the backward graph, to the forward graph, and to graphs inside nodes.

use super::Context;
use crate::model::{
    ModelError,
    onnx::{
        Attribute, declaration, node,
        proto::{GraphProto, NodeProto, data_type::FLOAT},
    },
};

impl Context {
    /// A name that nothing in the graph has: `train.HINT.N`.
    pub(in crate::model::gradient) fn fresh(&mut self, hint: &str) -> String {
        loop {
            self.fresh += 1;
            let name = format!("train.{hint}.{}", self.fresh);
            if self.names.insert(name.clone()) {
                return name;
            }
        }
    }

    /// Writes a node of the standard domain with one output; gives the output's name.
    pub(in crate::model::gradient) fn emit(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) -> String {
        let output = self.fresh(operator);
        self.emit_as(operator, inputs, &[&output], attributes);
        output
    }

    /// Writes a node with several outputs; gives their names.
    pub(in crate::model::gradient) fn emit_many(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
        outputs: usize,
    ) -> Vec<String> {
        let outputs: Vec<String> = (0..outputs).map(|_| self.fresh(operator)).collect();
        let names: Vec<&str> = outputs.iter().map(String::as_str).collect();
        self.emit_as(operator, inputs, &names, attributes);
        outputs
    }

    /// Writes a node whose outputs have these names, which nothing else may have.
    pub(in crate::model::gradient) fn emit_as(
        &mut self,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) {
        let node = node(operator, inputs, outputs, attributes);
        if let Some(sink) = self.sinks.last_mut() {
            sink.push(node);
        }
    }

    /// Whether a node of the backward graph computes this value.
    pub(in crate::model::gradient) fn is_emitted(&self, value: &str) -> bool {
        self.sinks.iter().flatten().any(|node| node.output.iter().any(|output| output == value))
    }

    /// Builds the graph inside a node such as `Scan`: what `build` emits goes into it. It may use every value outside.
    ///
    /// `inputs` are the names of its float32 inputs, best taken from [`fresh`](Self::fresh); `build` gives the names
    /// of its outputs, each the output of a node inside.
    pub(in crate::model::gradient) fn in_body(
        &mut self,
        inputs: &[String],
        build: impl FnOnce(&mut Self) -> Result<Vec<String>, ModelError>,
    ) -> Result<Attribute, ModelError> {
        let name = self.fresh("body");
        self.sinks.push(Vec::new());
        let outputs = build(self);
        let node = self.sinks.pop().unwrap_or_default();
        Ok(Attribute::Graph(Box::new(GraphProto {
            node,
            name: Some(name),
            input: inputs.iter().map(|input| declaration(input, FLOAT, None)).collect(),
            output: outputs?.iter().map(|output| declaration(output, FLOAT, None)).collect(),
            ..Default::default()
        })))
    }

    /// What `build` emits goes into the forward graph, right after the node that is being differentiated.
    pub(in crate::model::gradient) fn in_forward<T>(
        &mut self,
        build: impl FnOnce(&mut Self) -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        self.sinks.push(Vec::new());
        let result = build(self);
        let nodes = self.sinks.pop().unwrap_or_default();
        if let Some(slot) = self.forward.get_mut(self.current) {
            slot.extend(nodes);
        }
        result
    }

    /// Takes the node that is being differentiated out of the forward graph. Whoever does so must write its outputs
    /// again, with [`in_forward`](Self::in_forward) and [`emit_as`](Self::emit_as).
    pub(in crate::model::gradient) fn drop_forward(&mut self) {
        if let Some(slot) = self.forward.get_mut(self.current) {
            slot.clear();
        }
    }

    /// The name of an output of the forward node that is being differentiated, which is asked for if the model does
    /// without it.
    pub(in crate::model::gradient) fn require_output(&mut self, node: &NodeProto, position: usize) -> String {
        if let Some(name) = node.output.get(position).filter(|name| !name.is_empty()) {
            return name.clone();
        }
        let name = self.fresh(node.op_type());
        let slot = self.forward.get_mut(self.current);
        if let Some(node) = slot.and_then(|nodes| nodes.first_mut()) {
            if node.output.len() <= position {
                node.output.resize(position + 1, String::new());
            }
            if let Some(output) = node.output.get_mut(position) {
                output.clone_from(&name);
            }
        }
        name
    }
}
