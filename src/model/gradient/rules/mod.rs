//! One rule per operator: from the gradients of a node's outputs to the gradients of its inputs.
//!
//! A rule emits the nodes for the inputs that [`Context::wanted`] names and accumulates their results. Formulas are those
//! of reverse-mode differentiation (Griewank and Walther, "Evaluating Derivatives", 2nd edition, chapter 3); with
//! `y = f(x)` and the loss `L`, the gradient `g` of `y` is `dL/dy`, and the rule gives `dL/dx = g · dy/dx`.
//!
//! Where a function has no derivative: `Relu` and its kin take the slope of the left side at 0; of equal operands of
//! `Max` and `Min` the first gets everything; equal elements under `ReduceMax` and `ReduceMin` share evenly; `Clip` passes
//! the gradient on at its bounds; functions that are steps (`Floor`, `Round`, `Sign`) pass nothing on.

#![expect(clippy::unnecessary_wraps, reason = "all rules have the same type, and only some can refuse")]

mod activation;
mod arithmetic;
mod attribute;
mod choice;
mod dropout;
mod einsum;
mod gather;
mod gru;
mod join;
mod layout;
mod linear;
mod lstm;
mod normalise;
mod recurrent;
mod reduce;
mod slice;
mod softmax;

pub(super) use dropout::prepare as prepare_dropout;
pub(super) use gather::looks_up;

use super::context::Context;
use crate::model::{ModelError, onnx::proto::NodeProto};

/// How to differentiate one operator.
#[derive(Debug)]
pub(super) struct Rule {
    operator: &'static str,
    /// The inputs that have a derivative.
    pub(super) inputs: Inputs,
    /// Gets the node and the gradient of each of its outputs, at least one of which is there.
    pub(super) differentiate: Differentiate,
}

type Differentiate = fn(&mut Context, &NodeProto, &[Option<String>]) -> Result<(), ModelError>;

/// Positions among the inputs of a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Inputs {
    All,
    None,
    /// Those before this position.
    First(usize),
    /// Those from this position on.
    From(usize),
}

impl Inputs {
    pub(super) fn contain(self, position: usize) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::First(end) => position < end,
            Self::From(start) => position >= start,
        }
    }
}

/// The rule for a node's operator, if there is one.
pub(super) fn find(node: &NodeProto) -> Option<&'static Rule> {
    let standard = matches!(node.domain(), "" | "ai.onnx");
    RULES.iter().find(|rule| standard && rule.operator == node.op_type())
}

const fn rule(operator: &'static str, inputs: Inputs, differentiate: Differentiate) -> Rule {
    Rule { operator, inputs, differentiate }
}

static RULES: &[Rule] = &[
    rule("Abs", Inputs::All, arithmetic::abs),
    rule("Add", Inputs::All, arithmetic::add),
    rule("BatchNormalization", Inputs::First(3), normalise::batch),
    rule("Cast", Inputs::All, layout::cast),
    rule("Ceil", Inputs::None, step),
    rule("Clip", Inputs::First(1), choice::clip),
    rule("Concat", Inputs::All, join::concat),
    rule("Div", Inputs::All, arithmetic::div),
    rule("Dropout", Inputs::First(1), dropout::dropout),
    rule("Einsum", Inputs::All, einsum::einsum),
    rule("Elu", Inputs::All, activation::elu),
    rule("Erf", Inputs::All, activation::erf),
    rule("Exp", Inputs::All, arithmetic::exp),
    rule("Expand", Inputs::First(1), layout::expand),
    rule("Flatten", Inputs::All, layout::reshape),
    rule("Floor", Inputs::None, step),
    rule("Gather", Inputs::First(1), gather::gather),
    rule("GatherElements", Inputs::First(1), gather::gather_elements),
    rule("Gelu", Inputs::All, activation::gelu),
    rule("GRU", Inputs::All, gru::gru),
    rule("Gemm", Inputs::All, linear::gemm),
    rule("Identity", Inputs::All, layout::identity),
    rule("LSTM", Inputs::All, lstm::lstm),
    rule("LayerNormalization", Inputs::All, normalise::layer),
    rule("LeakyRelu", Inputs::All, activation::leaky_relu),
    rule("Log", Inputs::All, arithmetic::log),
    rule("LogSoftmax", Inputs::All, softmax::log_softmax),
    rule("MatMul", Inputs::All, linear::matmul),
    rule("Max", Inputs::All, choice::extreme),
    rule("Mean", Inputs::All, arithmetic::mean),
    rule("Min", Inputs::All, choice::extreme),
    rule("Mul", Inputs::All, arithmetic::mul),
    rule("Neg", Inputs::All, arithmetic::neg),
    rule("Pow", Inputs::All, arithmetic::pow),
    rule("Reciprocal", Inputs::All, arithmetic::reciprocal),
    rule("ReduceL2", Inputs::First(1), reduce::l2),
    rule("ReduceMax", Inputs::First(1), reduce::extreme),
    rule("ReduceMean", Inputs::First(1), reduce::mean),
    rule("ReduceMin", Inputs::First(1), reduce::extreme),
    rule("ReduceSum", Inputs::First(1), reduce::sum),
    rule("ReduceSumSquare", Inputs::First(1), reduce::sum_square),
    rule("Relu", Inputs::All, activation::relu),
    rule("Reshape", Inputs::First(1), layout::reshape),
    rule("Round", Inputs::None, step),
    rule("Sigmoid", Inputs::All, activation::sigmoid),
    rule("Sign", Inputs::None, step),
    rule("Slice", Inputs::First(1), slice::slice),
    rule("Softmax", Inputs::All, softmax::softmax),
    rule("Softplus", Inputs::All, activation::softplus),
    rule("Split", Inputs::First(1), join::split),
    rule("Sqrt", Inputs::All, arithmetic::sqrt),
    rule("Squeeze", Inputs::First(1), layout::reshape),
    rule("Sub", Inputs::All, arithmetic::sub),
    rule("Sum", Inputs::All, arithmetic::sum),
    rule("Tanh", Inputs::All, activation::tanh),
    rule("Tile", Inputs::First(1), layout::tile),
    rule("Transpose", Inputs::All, layout::transpose),
    rule("Unsqueeze", Inputs::First(1), layout::reshape),
    rule("Where", Inputs::From(1), choice::select),
];

/// A function whose derivative is zero almost everywhere.
fn step(_: &mut Context, _: &NodeProto, _: &[Option<String>]) -> Result<(), ModelError> {
    Ok(())
}

/// The single input, the single output and its gradient; `None` when there is nothing to do.
fn unary<'a>(
    context: &Context,
    node: &'a NodeProto,
    gradients: &'a [Option<String>],
) -> Option<(&'a str, &'a str, &'a str)> {
    let x = context.wanted(node, 0)?;
    Some((x, node.output.first()?, gradients.first()?.as_deref()?))
}

/// The first output and its gradient; `None` when there is none.
fn first<'a>(node: &'a NodeProto, gradients: &'a [Option<String>]) -> Option<(&'a str, &'a str)> {
    Some((node.output.first()?, gradients.first()?.as_deref()?))
}
