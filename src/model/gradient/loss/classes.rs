//! Cross-entropy of one class among several.

use super::{made_by, shares, total};
use crate::model::{
    ModelError,
    gradient::{
        context::{Context, Size},
        kind::{Dim, TensorKind},
        spec::names,
    },
    onnx::{
        Attribute,
        proto::{AttributeProto, NodeProto},
    },
};

/// A probability that is not made by `Softmax` is kept this far from 0.
const MARGIN: f32 = 1e-7;

/// `loss = -log p[label]`. With `p = softmax(z)`, `d loss / d z = p - onehot(label)`; of any other `p`,
/// `d loss / d p = -onehot(label) / p`.
pub(super) fn write(
    context: &mut Context,
    nodes: &[NodeProto],
    prediction: &str,
    kind: &TensorKind,
) -> Result<(), ModelError> {
    let chosen = one_hot(context, prediction)?;
    let batch = TensorKind::float(kind.dims.iter().take(1).copied().chain([Dim::ONE]).collect());
    let share = shares(context, prediction, &batch)?;
    let softmax = made_by(nodes, prediction, &["Softmax"]).filter(|(node, _)| last_axis(context, node));
    let logits = softmax.and_then(|(node, reshaped)| Some((node.input.first()?, reshaped)));
    let Some((logits, reshaped)) = logits else {
        from_probability(context, prediction, &chosen, &share);
        return Ok(());
    };

    let z = if reshaped { context.reshape_like(logits, prediction)? } else { logits.clone() };
    let log = context.emit("LogSoftmax", &[&z], &[("axis", Attribute::Int(-1))]);
    negative_sum(context, &log, &chosen, &share);
    let error = context.emit("Sub", &[prediction, &chosen], &[]);
    let gradient = context.emit("Mul", &[&error, &share], &[]);
    let gradient = if reshaped { context.reshape_like(&gradient, logits)? } else { gradient };
    context.accumulate(logits, gradient);
    Ok(())
}

fn from_probability(context: &mut Context, p: &str, chosen: &str, share: &str) {
    let low = context.float(MARGIN);
    let clipped = context.emit("Max", &[p, &low], &[]);
    let log = context.emit("Log", &[&clipped], &[]);
    negative_sum(context, &log, chosen, share);
    let ratio = context.emit("Div", &[chosen, &clipped], &[]);
    let weighted = context.emit("Mul", &[&ratio, share], &[]);
    let gradient = context.emit("Neg", &[&weighted], &[]);
    let inside = context.emit("Equal", &[&clipped, p], &[]);
    let gradient = context.masked(&gradient, &inside);
    context.accumulate(p, gradient);
}

/// Writes the loss from logarithms of probabilities.
fn negative_sum(context: &mut Context, log: &str, chosen: &str, share: &str) {
    let picked = context.emit("Mul", &[log, chosen], &[]);
    let picked = context.sum(&picked, &[1], true);
    let losses = context.emit("Neg", &[&picked], &[]);
    total(context, &losses, share);
}

/// The label as zeros and a one, of the shape of the prediction.
fn one_hot(context: &mut Context, prediction: &str) -> Result<String, ModelError> {
    let classes = context.sizes(&[Size::Of(prediction, 1)])?;
    let values = context.ints(&[0, 1]);
    let values = context.cast_to_float(&values);
    Ok(context.emit("OneHot", &[names::LABEL, &classes, &values], &[("axis", Attribute::Int(-1))]))
}

fn last_axis(context: &Context, node: &NodeProto) -> bool {
    let axis = node.attribute.iter().find(|attribute| attribute.name() == "axis").map_or(-1, AttributeProto::i);
    let rank = node.input.first().and_then(|input| context.kind(input).ok()).map_or(0, TensorKind::rank);
    axis == -1 || axis + 1 == rank as i64
}
