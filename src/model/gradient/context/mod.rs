//! The tape: what rules read from the forward graph and write the backward graph to.
//!
//! ```text
//!   forward nodes, one slot each    ┌───────────────┐    backward nodes, in order
//!   [n0] [n1] [n2] … [prediction]   │    Context    │    [loss] [d n2] [d n1] [d n0]
//!              ▲                    │ kinds         │                 ▲
//!              │ in_forward ────────│ gradients     │──────── emit ───┘
//!              │ require_output     │ constants     │──────── in_body ──▶ the graph inside a Scan
//! ```
//!
//! A rule is called once for each forward node on the path, last node first, when the gradients of all its outputs are
//! complete. It emits nodes that compute the gradients of its inputs and [`accumulate`](Context::accumulate)s them. The
//! gradient of a value always has exactly the shape of the value.

mod constants;
mod emit;
mod shapes;

use std::collections::{HashMap, HashSet};

pub(super) use shapes::Size;

use super::{
    kind::TensorKind,
    measure::Measured,
    path::{self, Path},
};
use crate::model::{
    ModelError,
    onnx::{
        Attribute, all_names,
        proto::{GraphProto, NodeProto, TensorProto},
    },
};

/// The state shared by all rules while one graph is differentiated.
#[derive(Debug)]
pub(super) struct Context {
    /// The version of the operator set that all nodes are written in.
    opset: i64,
    /// The nodes of the forward graph as they were, for error messages and for the walk.
    nodes: Vec<NodeProto>,
    /// What is written in place of each forward node.
    forward: Vec<Vec<NodeProto>>,
    /// The forward node that is being differentiated.
    current: usize,
    /// Where nodes are emitted: the backward graph, and graphs inside it while they are built.
    sinks: Vec<Vec<NodeProto>>,
    constants: HashMap<constants::Constant, String>,
    initializers: Vec<TensorProto>,
    shapes: HashMap<String, String>,
    names: HashSet<String>,
    fresh: usize,
    measured: Measured,
    path: Path,
    gradients: HashMap<String, Vec<String>>,
    tables: HashMap<String, Vec<Rows>>,
}

/// The gradient that one look-up gives a table.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    /// int64 `[n]`, from 0.
    pub(super) rows: String,
    /// `[n, rest of the table's dimensions]`.
    pub(super) values: String,
}

/// What [`Context::finish`] leaves.
pub(super) struct Written {
    /// Forward nodes, then backward nodes.
    pub(super) nodes: Vec<NodeProto>,
    /// The constants that they use.
    pub(super) initializers: Vec<TensorProto>,
}

impl Context {
    /// An empty tape over a forward graph. `tables` are the trainable initializers that are only looked up in.
    pub(super) fn new(
        graph: &GraphProto,
        opset: i64,
        measured: Measured,
        path: Path,
        tables: impl IntoIterator<Item = String>,
    ) -> Self {
        let mut names = HashSet::new();
        all_names(graph, &mut names);
        Self {
            opset,
            nodes: graph.node.clone(),
            forward: graph.node.iter().map(|node| vec![node.clone()]).collect(),
            current: graph.node.len(),
            sinks: vec![Vec::new()],
            constants: HashMap::new(),
            initializers: Vec::new(),
            shapes: HashMap::new(),
            names,
            fresh: 0,
            measured,
            path,
            gradients: HashMap::new(),
            tables: tables.into_iter().map(|table| (table, Vec::new())).collect(),
        }
    }

    /// The type and shape of a value of the forward graph, or of one that was [described](Self::describe).
    pub(super) fn kind(&self, value: &str) -> Result<&TensorKind, ModelError> {
        self.measured.kinds.get(value).ok_or_else(|| self.refuse(&format!("the shape of {value:?} is not known")))
    }

    /// Says what an emitted value looks like, so that [`kind`](Self::kind) knows it.
    pub(super) fn describe(&mut self, value: &str, kind: TensorKind) {
        self.measured.kinds.insert(value.to_owned(), kind);
    }

    /// The whole numbers that a value always holds, row-major, when they don't depend on what the inputs hold.
    pub(super) fn constant(&self, value: &str) -> Option<&[i64]> {
        self.measured.constants.get(value).map(Vec::as_slice)
    }

    /// Whether a gradient for this value is of use.
    pub(super) fn needs_gradient(&self, value: &str) -> bool {
        self.path.values.contains(value)
    }

    /// Whether the input at this position is there and a gradient for it is of use; gives its name.
    pub(super) fn wanted<'a>(&self, node: &'a NodeProto, position: usize) -> Option<&'a str> {
        node.input.get(position).map(String::as_str).filter(|input| self.needs_gradient(input))
    }

    /// Adds to the gradient of a value. `gradient` must have its shape. Of no effect for a value off the path.
    pub(super) fn accumulate(&mut self, value: &str, gradient: String) {
        if self.needs_gradient(value) {
            self.gradients.entry(value.to_owned()).or_default().push(gradient);
        }
    }

    /// Whether the gradient of this trainable initializer is kept as rows.
    pub(super) fn is_table(&self, value: &str) -> bool {
        self.tables.contains_key(value)
    }

    /// Adds to the gradient of a table.
    pub(super) fn accumulate_rows(&mut self, table: &str, rows: Rows) {
        if let Some(all) = self.tables.get_mut(table) {
            all.push(rows);
        }
    }

    /// The gradient of a value, now complete: the sum of what was accumulated.
    pub(super) fn take_gradient(&mut self, value: &str) -> Option<String> {
        let mut parts = self.gradients.remove(value)?;
        match &parts[..] {
            [_] => parts.pop(),
            [first, second] => Some(self.emit("Add", &[first, second], &[])),
            all => {
                let all: Vec<&str> = all.iter().map(String::as_str).collect();
                Some(self.emit("Sum", &all, &[]))
            }
        }
    }

    /// The gradient of a table, now complete.
    pub(super) fn take_rows(&mut self, table: &str) -> Option<Rows> {
        let mut parts = self.tables.remove(table)?;
        if parts.len() < 2 {
            return parts.pop();
        }
        let axis = [("axis", Attribute::Int(0))];
        let rows: Vec<&str> = parts.iter().map(|part| part.rows.as_str()).collect();
        let values: Vec<&str> = parts.iter().map(|part| part.values.as_str()).collect();
        Some(Rows { rows: self.emit("Concat", &rows, &axis), values: self.emit("Concat", &values, &axis) })
    }

    /// The refusal of the node that is being differentiated, with this reason and with what to freeze instead.
    pub(super) fn refuse(&self, reason: &str) -> ModelError {
        let Some(node) = self.nodes.get(self.current) else {
            return ModelError::NoGradient {
                operator: "of the loss".to_owned(),
                node: String::new(),
                reason: reason.to_owned(),
                freeze: self.path.trainable.join(", "),
            };
        };
        let earlier = self.nodes.get(..self.current).unwrap_or_default();
        let named = node.output.iter().find(|output| !output.is_empty());
        let name = if node.name().is_empty() { named.map_or("", String::as_str) } else { node.name() };
        ModelError::NoGradient {
            operator: node.op_type().to_owned(),
            node: name.to_owned(),
            reason: reason.to_owned(),
            freeze: path::behind(earlier, node, &self.path).join(", "),
        }
    }

    /// Calls `differentiate` for every forward node, last first, with the gradients of its outputs; nodes that none
    /// reaches are left out.
    pub(super) fn walk(
        &mut self,
        mut differentiate: impl FnMut(&mut Self, &NodeProto, &[Option<String>]) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        for current in (0..self.nodes.len()).rev() {
            self.current = current;
            let Some(node) = self.nodes.get(current).cloned() else { continue };
            let gradients: Vec<_> = node.output.iter().map(|output| self.take_gradient(output)).collect();
            if gradients.iter().any(Option::is_some) {
                differentiate(self, &node, &gradients)?;
            }
        }
        Ok(())
    }

    /// Everything that was written.
    pub(super) fn finish(self) -> Written {
        let nodes = self.forward.into_iter().chain(self.sinks).flatten().collect();
        Written { nodes, initializers: self.initializers }
    }
}
