//! What the rules of `LSTM` and `GRU` share: reading the node, products over all steps, and scans.
//!
//! ```text
//!   forward    x [steps·batch, width] ─ one Gemm ─▶ x Wᵀ + bias ─▶ Scan ─▶ states, and per step what the way back needs
//!   backward   gradients of Y, Y_h, Y_c ─▶ reversed Scan ─▶ d [steps·batch, gates·hidden], before the activations
//!              dX = d W    dW = dᵀ x    dR = dᵀ (states before each step)    dB = column sums of d
//! ```
//!
//! The node itself is replaced: ONNX Runtime's own `LSTM` and `GRU` keep their gates to themselves. Each step computes
//! also the factors that its gradient will be multiplied with, while gates are still in the cache; a step back is then
//! two or three products and one matrix product. This is back-propagation through time (Werbos, 1990).

#[cfg(test)]
pub(super) mod testing;

use super::attribute;
use crate::model::{
    ModelError,
    gradient::context::{Context, Size},
    onnx::{Attribute, proto::NodeProto},
};

/// The parts of a recurrent node that both rules read.
pub(super) struct Cell<'a> {
    node: &'a NodeProto,
    /// `[steps, batch, width]`.
    pub(super) x: &'a str,
    /// `[1, gates * hidden, width]`.
    pub(super) w: &'a str,
    /// `[1, gates * hidden, hidden]`.
    pub(super) r: &'a str,
    /// `[1, 2 * gates * hidden]`: of the input, then of the state.
    pub(super) bias: Option<&'a str>,
    /// Width of the state.
    pub(super) hidden: usize,
    /// Rows of `w` and `r`.
    pub(super) rows: usize,
    /// Steps are taken from the last to the first.
    reverse: bool,
}

/// Matrices of the node that forward and backward pass use alike.
pub(super) struct Matrices {
    /// The input of all steps, `[steps * batch, width]`.
    x: String,
    /// `[rows, width]`.
    w: String,
    /// `[rows, hidden]`.
    pub(super) r: String,
}

impl<'a> Cell<'a> {
    /// Reads a node with this many gates whose activations are `defaults`.
    ///
    /// # Errors
    /// A refusal that names what is not supported: two directions, batch-first layout, other activations, clipping,
    /// lengths per sequence.
    pub(super) fn read(
        context: &Context,
        node: &'a NodeProto,
        gates: usize,
        defaults: &[&str],
    ) -> Result<Self, ModelError> {
        let [x, w, r, ..] = &node.input[..] else { return Err(context.refuse("it lacks inputs X, W and R")) };
        let reverse = attribute::is_text(node, "direction", "reverse");
        if attribute::is_text(node, "direction", "bidirectional") {
            return Err(context.refuse("of directions only forward and reverse are supported, not bidirectional"));
        }
        // ONNX Runtime's own processor kernels refuse it too, when the model is measured; others might not.
        if attribute::int(node, "layout", 0) != 0 {
            return Err(context.refuse("layout 1, with the batch first, is not supported"));
        }
        for attribute in &node.attribute {
            match attribute.name() {
                "clip" => return Err(context.refuse("clip is not supported")),
                "input_forget" if attribute.i() != 0 => return Err(context.refuse("input_forget is not supported")),
                "activations" => {
                    let given = attribute.strings.iter().map(|name| String::from_utf8_lossy(name));
                    let given: Vec<_> = given.collect();
                    let same = given.iter().zip(defaults).all(|(given, default)| given.eq_ignore_ascii_case(default));
                    if !same || given.len() != defaults.len() {
                        let (given, defaults) = (given.join(", "), defaults.join(", "));
                        return Err(context.refuse(&format!("activations are {given}, only {defaults} are supported")));
                    }
                }
                _ => {}
            }
        }
        if attribute::input(node, 4).is_some() {
            return Err(context.refuse("sequence_lens is not supported"));
        }
        let size = |value: &str, axis: usize| context.kind(value).ok().and_then(|kind| kind.dims.get(axis)?.size());
        let hidden = size(r, 2).ok_or_else(|| context.refuse("the width of its state varies"))?;
        let rows = gates * hidden;
        if size(w, 1) != Some(rows) || size(r, 1) != Some(rows) || size(w, 0) != Some(1) {
            return Err(context.refuse("W and R don't hold as many rows as one direction has"));
        }
        Ok(Self { node, x, w, r, bias: attribute::input(node, 3), hidden, rows, reverse })
    }

    /// Reshapes the input and the weights; to be called in the forward graph.
    pub(super) fn matrices(&self, context: &mut Context) -> Result<Matrices, ModelError> {
        let width = context.kind(self.w)?.dims.get(2).and_then(|dim| dim.size());
        let width = width.ok_or_else(|| context.refuse("the width of its input varies"))?;
        let matrix = |context: &mut Context, value: &str, columns: usize| {
            let target = context.ints(&[-1, columns as i64]);
            context.emit("Reshape", &[value, &target], &[])
        };
        Ok(Matrices {
            x: matrix(context, self.x, width),
            w: matrix(context, self.w, width),
            r: matrix(context, self.r, self.hidden),
        })
    }

    /// The two halves of the bias, `[1, rows]` each.
    pub(super) fn biases(&self, context: &mut Context) -> Option<[String; 2]> {
        let rows = self.rows as i64;
        let sizes = context.ints(&[rows, rows]);
        let halves = context.emit_many("Split", &[self.bias?, &sizes], &[("axis", Attribute::Int(1))], 2);
        halves.try_into().ok()
    }

    /// `x Wᵀ + bias` of all steps, `[steps, batch, rows]`.
    pub(super) fn project(
        &self,
        context: &mut Context,
        matrices: &Matrices,
        bias: Option<&str>,
    ) -> Result<String, ModelError> {
        let operands: Vec<&str> = [matrices.x.as_str(), &matrices.w].into_iter().chain(bias).collect();
        let projected = context.emit("Gemm", &operands, &[("transB", Attribute::Int(1))]);
        let target = context.target(&[Size::Of(self.x, 0), Size::Of(self.x, 1), Size::Fixed(self.rows)])?;
        Ok(context.emit("Reshape", &[&projected, &target], &[]))
    }

    /// The state before the first step, `[batch, hidden]`: the input at this position, or zeros.
    pub(super) fn initial(&self, context: &mut Context, position: usize) -> Result<String, ModelError> {
        if let Some(given) = attribute::input(self.node, position) {
            let direction = context.ints(&[0]);
            return Ok(context.emit("Squeeze", &[given, &direction], &[]));
        }
        self.zeros(context)
    }

    /// Zeros `[batch, hidden]`.
    pub(super) fn zeros(&self, context: &mut Context) -> Result<String, ModelError> {
        let (shape, batch, hidden) = (context.shape(self.x)?, context.ints(&[1]), context.ints(&[self.hidden as i64]));
        let batch = context.emit("Gather", &[&shape, &batch], &[]);
        let shape = context.emit("Concat", &[&batch, &hidden], &[("axis", Attribute::Int(0))]);
        Ok(context.emit("ConstantOfShape", &[&shape], &[]))
    }

    /// Whether the model uses an output of the node: `Y`, `Y_h`, `Y_c`.
    pub(super) fn has_output(&self, position: usize) -> bool {
        self.node.output.get(position).is_some_and(|name| !name.is_empty())
    }

    /// Writes an output of the node from a value that lacks the axis of directions.
    pub(super) fn write(&self, context: &mut Context, position: usize, value: &str) {
        let Some(name) = self.node.output.get(position).filter(|name| !name.is_empty()) else { return };
        let axis = context.ints(&[i64::from(position == 0)]);
        context.emit_as("Unsqueeze", &[value, &axis], &[name], &[]);
    }

    /// The gradient of an output of the node without the axis of directions.
    pub(super) fn gradient(context: &mut Context, gradients: &[Option<String>], position: usize) -> Option<String> {
        let gradient = gradients.get(position)?.as_deref()?;
        let axis = context.ints(&[i64::from(position == 0)]);
        Some(context.emit("Squeeze", &[gradient, &axis], &[]))
    }

    /// A scan over the steps, in the node's direction or `back` against it.
    ///
    /// `body` gets the names of the states and of each input's step, and gives new states, then what is kept of each
    /// step; `kept` is how many that are. The result is the last states, then what was kept, `[steps, …]`.
    pub(super) fn scan(
        &self,
        context: &mut Context,
        [states, inputs]: [&[&str]; 2],
        kept: usize,
        back: bool,
        body: impl FnOnce(&mut Context, &[String]) -> Result<Vec<String>, ModelError>,
    ) -> Result<Vec<String>, ModelError> {
        let operands: Vec<&str> = states.iter().chain(inputs).copied().collect();
        let names: Vec<String> = operands.iter().map(|_| context.fresh("step")).collect();
        let body = context.in_body(&names, |context| body(context, &names))?;
        let direction = i64::from(self.reverse != back);
        let attributes = [
            ("body", body),
            ("num_scan_inputs", Attribute::Int(inputs.len() as i64)),
            ("scan_input_directions", Attribute::Ints(vec![direction; inputs.len()])),
            ("scan_output_directions", Attribute::Ints(vec![direction; kept])),
        ];
        Ok(context.emit_many("Scan", &operands, &attributes, states.len() + kept))
    }

    /// The gradients of X and W, from the gradient of [`project`](Self::project)'s result as a matrix
    /// `d [steps * batch, rows]`.
    pub(super) fn project_back(&self, context: &mut Context, matrices: &Matrices, d: &str) -> Result<(), ModelError> {
        if context.needs_gradient(self.x) {
            let product = context.emit("Gemm", &[d, &matrices.w], &[]);
            let gradient = context.reshape_like(&product, self.x)?;
            context.accumulate(self.x, gradient);
        }
        if context.needs_gradient(self.w) {
            let product = context.emit("Gemm", &[d, &matrices.x], &[("transA", Attribute::Int(1))]);
            let gradient = context.reshape_like(&product, self.w)?;
            context.accumulate(self.w, gradient);
        }
        Ok(())
    }

    /// The gradient of an initial state, from the state's gradient after the scan back.
    pub(super) fn initial_back(&self, context: &mut Context, position: usize, gradient: &str) {
        let Some(state) = self.node.input.get(position) else { return };
        if context.needs_gradient(state) {
            let direction = context.ints(&[0]);
            let gradient = context.emit("Unsqueeze", &[gradient, &direction], &[]);
            context.accumulate(state, gradient);
        }
    }

    /// What was kept of all steps as a matrix `[steps * batch, columns]`.
    pub(super) fn rows_of(context: &mut Context, value: &str, columns: usize) -> String {
        let target = context.ints(&[-1, columns as i64]);
        context.emit("Reshape", &[value, &target], &[])
    }
}
