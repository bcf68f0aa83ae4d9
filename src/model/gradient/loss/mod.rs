//! Losses: from the prediction, label and weight to the loss of the batch and to the gradients that the walk back starts
//! with.
//!
//! ```text
//!   logit z ──▶ Sigmoid ──▶ prediction         the loss is taken here, from z, so that it stays finite:
//!      │                                       d loss / d z = weight (sigmoid(z + offset) - label) / Σ weight
//!      └──▶ + offset ──▶ loss ◀── label, weight
//! ```
//!
//! Every weight must be finite and not negative, and one at least positive, else the loss is NaN.

mod binary;
mod classes;
mod squares;

use super::{
    context::{Context, Size},
    kind::TensorKind,
    spec::{Loss, names},
};
use crate::model::{
    ModelError,
    onnx::{
        Attribute, declaration,
        proto::{
            NodeProto, ValueInfoProto,
            data_type::{FLOAT, INT64},
        },
    },
};

/// Writes the loss under its name and accumulates its first gradients.
pub(super) fn write(
    context: &mut Context,
    nodes: &[NodeProto],
    prediction: &str,
    loss: Loss,
) -> Result<(), ModelError> {
    let refuse = |shape| ModelError::LossDoesNotFit { loss: loss.wants(), prediction: prediction.to_owned(), shape };
    let Ok(kind) = context.kind(prediction).cloned() else {
        return Err(refuse("not a tensor of a known shape".to_owned()));
    };
    let fits = match loss {
        Loss::SoftmaxCrossEntropy => kind.rank() == 2,
        Loss::BinaryCrossEntropy | Loss::MeanSquaredError => kind.rank() >= 1,
    };
    if !fits || !kind.is_float() {
        let shape = kind.dims.iter().map(|dim| dim.size().map_or_else(|| "?".to_owned(), |size| size.to_string()));
        return Err(refuse(format!("{} [{}]", kind.element, shape.collect::<Vec<_>>().join(", "))));
    }
    for (name, dims) in [(names::WEIGHT, 1), (names::OFFSET, 1)] {
        let dims = kind.dims.iter().take(dims).copied().collect();
        context.describe(name, TensorKind::float(dims));
    }
    match loss {
        Loss::BinaryCrossEntropy => binary::write(context, nodes, prediction, &kind),
        Loss::SoftmaxCrossEntropy => classes::write(context, nodes, prediction, &kind),
        Loss::MeanSquaredError => squares::write(context, prediction, &kind),
    }
}

/// The inputs of the written graph that a loss adds, with the shape of the prediction.
pub(super) fn inputs(loss: Loss, prediction: &TensorKind) -> Vec<ValueInfoProto> {
    let batch = &TensorKind::float(prediction.dims.iter().take(1).copied().collect());
    let weight = declare(names::WEIGHT, FLOAT, batch);
    match loss {
        Loss::BinaryCrossEntropy => {
            vec![declare(names::LABEL, FLOAT, prediction), weight, declare(names::OFFSET, FLOAT, batch)]
        }
        Loss::SoftmaxCrossEntropy => vec![declare(names::LABEL, INT64, batch), weight],
        Loss::MeanSquaredError => vec![declare(names::LABEL, FLOAT, prediction), weight],
    }
}

/// Declares a value of this shape; dimensions that vary get names, the first one `train.batch`.
pub(super) fn declare(name: &str, element: i32, kind: &TensorKind) -> ValueInfoProto {
    use crate::model::onnx::Dimension;
    let names: Vec<String> = (0..kind.rank()).map(|axis| format!("{name}.{axis}")).collect();
    let dims = kind.dims.iter().zip(&names).enumerate().map(|(axis, (dim, name))| match dim.size() {
        Some(size) => u32::try_from(size).map_or(Dimension::Named(name), Dimension::Fixed),
        None if axis == 0 => Dimension::Named("train.batch"),
        None => Dimension::Named(name),
    });
    declaration(name, element, Some(&dims.collect::<Vec<_>>()))
}

impl Loss {
    fn wants(self) -> &'static str {
        match self {
            Self::BinaryCrossEntropy => "binary cross-entropy wants float32 probabilities [batch, …]",
            Self::SoftmaxCrossEntropy => "softmax cross-entropy wants float32 probabilities [batch, classes]",
            Self::MeanSquaredError => "mean squared error wants float32 numbers [batch, …]",
        }
    }
}

/// A value `[batch]` with as many dimensions as the prediction.
fn aligned(context: &mut Context, value: &str, kind: &TensorKind) -> String {
    if kind.rank() == 1 {
        return value.to_owned();
    }
    let target: Vec<i64> = [-1].into_iter().chain(vec![1; kind.rank() - 1]).collect();
    let target = context.ints(&target);
    context.emit("Reshape", &[value, &target], &[])
}

/// What each element of the prediction counts: `weight / (Σ weight × elements per example)`, `[batch, 1…]`.
fn shares(context: &mut Context, prediction: &str, kind: &TensorKind) -> Result<String, ModelError> {
    let mut total = context.emit("ReduceSum", &[names::WEIGHT], &[("keepdims", Attribute::Int(0))]);
    match TensorKind::product(kind.dims.get(1..).unwrap_or_default()).size() {
        Some(1) => {}
        Some(count) => {
            let count = context.float(count as f32);
            total = context.emit("Mul", &[&total, &count], &[]);
        }
        None => {
            let sizes: Vec<Size> = (1..kind.rank()).map(|axis| Size::Of(prediction, axis)).collect();
            let sizes = context.sizes(&sizes)?;
            let count = context.emit("ReduceProd", &[&sizes], &[("keepdims", Attribute::Int(0))]);
            let count = context.cast_to_float(&count);
            total = context.emit("Mul", &[&total, &count], &[]);
        }
    }
    let share = context.emit("Div", &[names::WEIGHT, &total], &[]);
    Ok(aligned(context, &share, kind))
}

/// Writes `Σ share × losses` as the loss.
fn total(context: &mut Context, losses: &str, shares: &str) {
    let weighted = context.emit("Mul", &[losses, shares], &[]);
    context.emit_as("ReduceSum", &[&weighted], &[names::LOSS], &[("keepdims", Attribute::Int(0))]);
}

/// The input of the node of one of these operators that made the prediction, looking through nodes that only reshape.
pub(super) fn made_by<'a>(
    nodes: &'a [NodeProto],
    prediction: &str,
    operators: &[&str],
) -> Option<(&'a NodeProto, bool)> {
    let mut value = prediction;
    let mut reshaped = false;
    loop {
        let node = nodes.iter().find(|node| node.output.first().is_some_and(|output| output == value))?;
        if operators.contains(&node.op_type()) {
            return Some((node, reshaped));
        }
        if !matches!(node.op_type(), "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze") {
            return None;
        }
        reshaped |= node.op_type() != "Identity";
        value = node.input.first()?;
    }
}
