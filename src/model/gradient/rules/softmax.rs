//! Softmax and its logarithm along one axis (the form since operator set 13).

use super::{attribute, unary};
use crate::model::{ModelError, gradient::context::Context, onnx::proto::NodeProto};

/// `y = softmax x`: `dx = y (g - Σ g y)`.
pub(super) fn softmax(context: &mut Context, node: &NodeProto, gradients: &[Option<String>]) -> Result<(), ModelError> {
    let Some((x, y, g)) = unary(context, node, gradients) else { return Ok(()) };
    let axis = attribute::int(node, "axis", -1);
    let product = context.emit("Mul", &[g, y], &[]);
    let total = context.sum(&product, &[axis], true);
    let share = context.emit("Mul", &[y, &total], &[]);
    let gradient = context.emit("Sub", &[&product, &share], &[]);
    context.accumulate(x, gradient);
    Ok(())
}

/// `y = log softmax x`: `dx = g - eʸ Σ g`.
pub(super) fn log_softmax(
    context: &mut Context,
    node: &NodeProto,
    gradients: &[Option<String>],
) -> Result<(), ModelError> {
    let Some((x, y, g)) = unary(context, node, gradients) else { return Ok(()) };
    let axis = attribute::int(node, "axis", -1);
    let total = context.sum(g, &[axis], true);
    let probability = context.emit("Exp", &[y], &[]);
    let share = context.emit("Mul", &[&probability, &total], &[]);
    let gradient = context.emit("Sub", &[g, &share], &[]);
    context.accumulate(x, gradient);
    Ok(())
}
