//! Softmax before operator set 13: over all axes from one on, as if they were one.
//!
//! ```text
//!   before 13   x [2, 3, 4], axis = 1:   rows of 12 numbers each
//!   since 13    x [2, 3, 4], axis = -1:  rows of 4 numbers each
//! ```
//!
//! Over the last axis both are the same. Over more, the tensor is flattened before and shaped back behind.

use std::collections::HashMap;

use super::{Upgrade, UpgradeError, take_attribute};
use crate::model::onnx::{
    Attribute,
    names::graphs,
    node,
    proto::{GraphProto, NodeProto, ValueInfoProto, type_proto},
};

/// How many axes values have, as far as it is declared or follows from what makes them.
pub(super) struct Ranks(HashMap<String, Option<usize>>);

impl Ranks {
    pub(super) fn of(graph: &GraphProto) -> Self {
        let mut ranks = Self(HashMap::new());
        ranks.add(graph);
        ranks
    }

    fn add(&mut self, graph: &GraphProto) {
        for value in graph.input.iter().chain(&graph.output).chain(&graph.value_info) {
            if let Some(rank) = declared(value) {
                self.learn(value.name(), rank);
            }
        }
        for node in &graph.node {
            if matches!(node.op_type(), "Gemm" | "Flatten") {
                node.output.iter().for_each(|output| self.learn(output, 2));
            }
            node.attribute.iter().flat_map(graphs).for_each(|inner| self.add(inner));
        }
    }

    /// Graphs beside each other may have values of the same name: then nothing is known.
    fn learn(&mut self, value: &str, rank: usize) {
        let known = self.0.entry(value.to_owned()).or_insert(Some(rank));
        *known = known.filter(|known| *known == rank);
    }

    fn get(&self, value: &str) -> Option<usize> {
        self.0.get(value).copied().flatten()
    }
}

fn declared(value: &ValueInfoProto) -> Option<usize> {
    match value.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => tensor.shape.as_ref().map(|shape| shape.dim.len()),
        _ => None,
    }
}

impl Upgrade {
    /// Writes a softmax of before 13, a logarithm of one, or a `Hardmax` anew.
    pub(super) fn softmax(&mut self, mut old: NodeProto, written: &mut Vec<NodeProto>) -> Result<(), UpgradeError> {
        let ([x], [y]) = (&old.input[..], &old.output[..]) else {
            return Err(self.refuse(&old, "it has not one input and one output"));
        };
        let (x, y) = (x.clone(), y.clone());
        let axis = take_attribute(&mut old, "axis").map_or(1, |axis| axis.i());
        let rank = self.ranks.get(&x).or_else(|| self.ranks.get(&y));
        let last = [("axis", Attribute::Int(-1))];
        if axis == -1 || rank.is_some_and(|rank| axis + 1 == rank as i64) {
            let along = node(old.op_type(), &[&x], &[&y], &last);
            written.push(NodeProto { name: old.name, ..along });
            return Ok(());
        }
        let [shape, flat, rows] = ["shape", "flat", "rows"].map(|part| self.fresh(&old, part));
        written.push(node("Shape", &[&x], &[&shape], &[]));
        written.push(node("Flatten", &[&x], &[&flat], &[("axis", Attribute::Int(axis))]));
        written.push(node(old.op_type(), &[&flat], &[&rows], &last));
        // A dimension of 0 is one, and not to be copied.
        let back = node("Reshape", &[&rows, &shape], &[&y], &[("allowzero", Attribute::Int(1))]);
        written.push(NodeProto { name: old.name, ..back });
        Ok(())
    }
}
