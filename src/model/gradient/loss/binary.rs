//! Binary cross-entropy from log-odds, which never overflows.

use super::{aligned, made_by, shares, total};
use crate::model::{
    ModelError,
    gradient::{context::Context, kind::TensorKind, spec::names},
    onnx::proto::NodeProto,
};

/// A probability that is not made by `Sigmoid` is kept this far from 0 and 1.
const MARGIN: f32 = 1e-7;

/// With `z` the log-odds plus the offset: `loss = max(z, 0) - z y + ln(1 + e^-|z|)`, `d loss / d z = sigmoid(z) - y`.
pub(super) fn write(
    context: &mut Context,
    nodes: &[NodeProto],
    prediction: &str,
    kind: &TensorKind,
) -> Result<(), ModelError> {
    let offset = aligned(context, names::OFFSET, kind);
    let share = shares(context, prediction, kind)?;
    let sigmoid = made_by(nodes, prediction, &["Sigmoid"]);
    if let Some((logit, reshaped)) = sigmoid.and_then(|(node, reshaped)| Some((node.input.first()?, reshaped))) {
        let z = if reshaped { context.reshape_like(logit, prediction)? } else { logit.clone() };
        let z = context.emit("Add", &[&z, &offset], &[]);
        let gradient = from_log_odds(context, &z, &share);
        let gradient = if reshaped { context.reshape_like(&gradient, logit)? } else { gradient };
        context.accumulate(logit, gradient);
        return Ok(());
    }
    let (low, high, one) = (context.float(MARGIN), context.float(1.0 - MARGIN), context.float(1.0));
    let p = context.emit("Clip", &[prediction, &low, &high], &[]);
    let rest = context.emit("Sub", &[&one, &p], &[]);
    let (for_it, against_it) = (context.emit("Log", &[&p], &[]), context.emit("Log", &[&rest], &[]));
    let z = context.emit("Sub", &[&for_it, &against_it], &[]);
    let z = context.emit("Add", &[&z, &offset], &[]);
    let gradient = from_log_odds(context, &z, &share);
    // d z / d p = 1 / (p (1 - p)), nothing where p was clipped.
    let variance = context.emit("Mul", &[&p, &rest], &[]);
    let gradient = context.emit("Div", &[&gradient, &variance], &[]);
    let inside = context.emit("Equal", &[&p, prediction], &[]);
    let gradient = context.masked(&gradient, &inside);
    context.accumulate(prediction, gradient);
    Ok(())
}

/// Writes the loss and gives its gradient with respect to `z`.
fn from_log_odds(context: &mut Context, z: &str, share: &str) -> String {
    let positive = context.emit("Relu", &[z], &[]);
    let agreement = context.emit("Mul", &[z, names::LABEL], &[]);
    let straight = context.emit("Sub", &[&positive, &agreement], &[]);
    let size = context.emit("Abs", &[z], &[]);
    let size = context.emit("Neg", &[&size], &[]);
    let bend = context.emit("Softplus", &[&size], &[]);
    let losses = context.emit("Add", &[&straight, &bend], &[]);
    total(context, &losses, share);
    let expected = probability(context, z);
    let error = context.emit("Sub", &[&expected, names::LABEL], &[]);
    context.emit("Mul", &[&error, share], &[])
}

/// `sigmoid(z) = e^-ln(1 + e^-z)`: ONNX Runtime's Sigmoid is wrong where the probability is close to 0 or 1.
fn probability(context: &mut Context, z: &str) -> String {
    let against = context.emit("Neg", &[z], &[]);
    let surprise = context.emit("Softplus", &[&against], &[]);
    let log = context.emit("Neg", &[&surprise], &[]);
    context.emit("Exp", &[&log], &[])
}
