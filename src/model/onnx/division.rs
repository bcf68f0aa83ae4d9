//! Divisions of whole numbers that could end the process.
//!
//! ONNX Runtime computes `Div` of int32 and int64 with the processor's own division, which does not fail for some pairs of
//! numbers: it ends the process, whatever else that does. Which numbers come is a matter of events, so a model is taken only
//! where they can't come: where the divisor is a constant, follows from shapes, or is bounded from below.
//!
//! ```text
//!   Div (whole) ◀── constant 100, Shape, Max(n, 1), Clip(n, 1, …), a choice of such     taken
//!               ◀── an input, a sum, a difference, a product of what inputs hold        refused, before anything is run
//! ```
//!
//! Values are followed by name through the graph and the graphs inside its nodes until nothing new is known, because nodes
//! may stand in any order.

mod facts;

use std::collections::HashMap;

use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto, type_proto};
use crate::model::ModelError;
use facts::{Bound, Fact};

/// Refuses a graph with such a division.
pub(super) fn check(graph: &GraphProto) -> Result<(), ModelError> {
    let mut scopes = Scopes::default();
    scopes.add(graph, None);
    while scopes.learn() {}
    scopes.check()
}

/// A graph with what is known of its values.
struct Scope<'a> {
    graph: &'a GraphProto,
    /// The one that it stands in, whose values can be used in it.
    around: Option<usize>,
    /// The scopes of the graphs inside each node.
    inside: Vec<Vec<usize>>,
    facts: HashMap<&'a str, Fact>,
}

/// A graph and all graphs inside its nodes, each after the one it stands in.
#[derive(Default)]
struct Scopes<'a>(Vec<Scope<'a>>);

impl<'a> Scopes<'a> {
    fn add(&mut self, graph: &'a GraphProto, around: Option<usize>) -> usize {
        let place = self.0.len();
        let inputs = graph.input.iter().map(|input| (input.name(), declared(input)));
        // Old formats declare their constants as inputs too.
        let constants = graph.initializer.iter().map(|tensor| (tensor.name(), Fact::constant(tensor)));
        self.0.push(Scope { graph, around, inside: Vec::new(), facts: inputs.chain(constants).collect() });
        let inside = graph.node.iter().map(|node| graphs(node).map(|graph| self.add(graph, Some(place))).collect());
        let inside = inside.collect();
        self.0[place].inside = inside;
        place
    }

    /// What is known of a value where it is used.
    fn fact(&self, scope: usize, name: &str) -> Fact {
        // An input that is left out.
        let mut around = (!name.is_empty()).then_some(scope);
        while let Some(scope) = around.map(|place| &self.0[place]) {
            if let Some(fact) = scope.facts.get(name) {
                return *fact;
            }
            around = scope.around;
        }
        Fact::default()
    }

    /// Goes over all nodes once; whether that told anything new.
    fn learn(&mut self) -> bool {
        let mut is_new = false;
        for place in 0..self.0.len() {
            let graph = self.0[place].graph;
            for (nth, node) in graph.node.iter().enumerate() {
                let inputs: Vec<Fact> = node.input.iter().map(|name| self.fact(place, name)).collect();
                let inside = self.0[place].inside[nth].clone();
                for inner in &inside {
                    is_new |= self.hand_in(node, &inputs, *inner);
                }
                let results: Vec<Vec<Fact>> = inside.iter().map(|inner| self.results(*inner)).collect();
                for (nth, output) in node.output.iter().enumerate().filter(|(_, output)| !output.is_empty()) {
                    let fact = match results.as_slice() {
                        [] => facts::of_output(node, &inputs, nth),
                        results => facts::of_result(node, &inputs, results, nth),
                    };
                    let known = self.0[place].facts.entry(output).or_default();
                    // Only ever more, so that this ends.
                    let more = known.and(fact);
                    is_new |= *known != more;
                    *known = more;
                }
            }
        }
        is_new
    }

    /// What the graph of a `Loop` or `Scan` is given; whether that told anything new.
    fn hand_in(&mut self, node: &NodeProto, inputs: &[Fact], inner: usize) -> bool {
        let results = self.results(inner);
        let scope = &mut self.0[inner];
        let mut is_new = false;
        for (nth, input) in scope.graph.input.iter().enumerate() {
            let known = scope.facts.entry(input.name()).or_default();
            let is_whole = known.is_whole || facts::is_given_whole(node, inputs, &results, nth);
            is_new |= is_whole != known.is_whole;
            known.is_whole = is_whole;
        }
        is_new
    }

    fn results(&self, scope: usize) -> Vec<Fact> {
        self.0[scope].graph.output.iter().map(|output| self.fact(scope, output.name())).collect()
    }

    fn check(&self) -> Result<(), ModelError> {
        for (place, scope) in self.0.iter().enumerate() {
            for node in scope.graph.node.iter().filter(|node| node.op_type() == "Div") {
                let [dividend, divisor] = [0, 1].map(|nth| node.input.get(nth).map_or("", String::as_str));
                let (dividend, by) = (self.fact(place, dividend), self.fact(place, divisor));
                if (dividend.is_whole || by.is_whole) && by.bound == Bound::Any {
                    return Err(ModelError::UnboundedDivisor {
                        node: node.name().to_owned(),
                        divisor: divisor.to_owned(),
                    });
                }
            }
        }
        Ok(())
    }
}

fn graphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.as_deref().into_iter().chain(&attribute.graphs))
}

fn declared(input: &ValueInfoProto) -> Fact {
    match input.r#type.as_ref().and_then(|r#type| r#type.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => Fact::of_type(tensor.elem_type()),
        _ => Fact::default(),
    }
}

#[cfg(test)]
mod tests;
