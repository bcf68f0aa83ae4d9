//! Arithmetic on elements, with numpy's broadcasting: a gradient is summed over what was broadcast.

use super::{first, unary};
use crate::model::{ModelError, gradient::context::Context, onnx::proto::NodeProto};

type Gradients = [Option<String>];

/// `y = a + b`: `da = g`, `db = g`.
pub(super) fn add(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    sum(context, node, gradients)
}

/// `y = x₁ + x₂ + …`: `dxᵢ = g`.
pub(super) fn sum(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((y, g)) = first(node, gradients) else { return Ok(()) };
    for position in 0..node.input.len() {
        give(context, node, position, y, |_| g.to_owned())?;
    }
    Ok(())
}

/// `y = (x₁ + … + xₙ) / n`: `dxᵢ = g / n`.
pub(super) fn mean(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((y, g)) = first(node, gradients) else { return Ok(()) };
    let share = context.float(1.0 / node.input.len() as f32);
    let g = context.emit("Mul", &[g, &share], &[]);
    for position in 0..node.input.len() {
        give(context, node, position, y, |_| g.clone())?;
    }
    Ok(())
}

/// `y = a - b`: `da = g`, `db = -g`.
pub(super) fn sub(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((y, g)) = first(node, gradients) else { return Ok(()) };
    give(context, node, 0, y, |_| g.to_owned())?;
    if let Some(b) = context.wanted(node, 1) {
        // Summing first leaves less to negate.
        let reduced = context.reduce_to(g, y, b)?;
        let gradient = context.emit("Neg", &[&reduced], &[]);
        context.accumulate(b, gradient);
    }
    Ok(())
}

/// `y = a b`: `da = g b`, `db = g a`.
pub(super) fn mul(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((y, g)) = first(node, gradients) else { return Ok(()) };
    let [a, b] = &node.input[..] else { return Ok(()) };
    give(context, node, 0, y, |context| context.emit("Mul", &[g, b], &[]))?;
    give(context, node, 1, y, |context| context.emit("Mul", &[g, a], &[]))
}

/// `y = a / b`: `da = g / b`, `db = -g y / b`.
pub(super) fn div(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((y, g)) = first(node, gradients) else { return Ok(()) };
    let [_, b] = &node.input[..] else { return Ok(()) };
    let scaled = context.emit("Div", &[g, b], &[]);
    give(context, node, 0, y, |_| scaled.clone())?;
    if context.wanted(node, 1).is_some() {
        let product = context.emit("Mul", &[&scaled, y], &[]);
        let reduced = context.reduce_to(&product, y, b)?;
        let gradient = context.emit("Neg", &[&reduced], &[]);
        context.accumulate(b, gradient);
    }
    Ok(())
}

/// `y = xᵉ`: `dx = g e xᵉ⁻¹`; `de = g y ln x`, taken as 0 where `x` is not positive.
pub(super) fn pow(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((y, g)) = first(node, gradients) else { return Ok(()) };
    let [x, exponent] = &node.input[..] else { return Ok(()) };
    // The exponent may be of another type than the base.
    let exponent = if context.kind(exponent)?.is_float() { exponent.clone() } else { context.cast_to_float(exponent) };
    if context.wanted(node, 0).is_some() {
        let one = context.float(1.0);
        let lower = context.emit("Sub", &[&exponent, &one], &[]);
        let power = context.emit("Pow", &[x, &lower], &[]);
        let slope = context.emit("Mul", &[&power, &exponent], &[]);
        give(context, node, 0, y, |context| context.emit("Mul", &[g, &slope], &[]))?;
    }
    if context.wanted(node, 1).is_some() {
        let (zero, one) = (context.float(0.0), context.float(1.0));
        let positive = context.emit("Greater", &[x, &zero], &[]);
        let base = context.emit("Where", &[&positive, x, &one], &[]);
        let log = context.emit("Log", &[&base], &[]);
        let slope = context.emit("Mul", &[y, &log], &[]);
        give(context, node, 1, y, |context| context.emit("Mul", &[g, &slope], &[]))?;
    }
    Ok(())
}

/// `y = -x`: `dx = -g`.
pub(super) fn neg(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, _, g)) = unary(context, node, gradients) else { return Ok(()) };
    let gradient = context.emit("Neg", &[g], &[]);
    context.accumulate(x, gradient);
    Ok(())
}

/// `y = |x|`: `dx = g sign x`, 0 at 0.
pub(super) fn abs(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, _, g)) = unary(context, node, gradients) else { return Ok(()) };
    let sign = context.emit("Sign", &[x], &[]);
    let gradient = context.emit("Mul", &[g, &sign], &[]);
    context.accumulate(x, gradient);
    Ok(())
}

/// `y = √x`: `dx = g / (2 y)`.
pub(super) fn sqrt(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, y, g)) = unary(context, node, gradients) else { return Ok(()) };
    let two = context.float(2.0);
    let double = context.emit("Mul", &[y, &two], &[]);
    let gradient = context.emit("Div", &[g, &double], &[]);
    context.accumulate(x, gradient);
    Ok(())
}

/// `y = eˣ`: `dx = g y`.
pub(super) fn exp(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, y, g)) = unary(context, node, gradients) else { return Ok(()) };
    let gradient = context.emit("Mul", &[g, y], &[]);
    context.accumulate(x, gradient);
    Ok(())
}

/// `y = ln x`: `dx = g / x`.
pub(super) fn log(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, _, g)) = unary(context, node, gradients) else { return Ok(()) };
    let gradient = context.emit("Div", &[g, x], &[]);
    context.accumulate(x, gradient);
    Ok(())
}

/// `y = 1 / x`: `dx = -g y²`.
pub(super) fn reciprocal(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, y, g)) = unary(context, node, gradients) else { return Ok(()) };
    let square = context.emit("Mul", &[y, y], &[]);
    let product = context.emit("Mul", &[g, &square], &[]);
    let gradient = context.emit("Neg", &[&product], &[]);
    context.accumulate(x, gradient);
    Ok(())
}

/// Accumulates, for the input at this position, if it is wanted, a gradient that has the shape of the output `y`.
pub(super) fn give(
    context: &mut Context,
    node: &NodeProto,
    position: usize,
    y: &str,
    gradient: impl FnOnce(&mut Context) -> String,
) -> Result<(), ModelError> {
    let Some(input) = context.wanted(node, position) else { return Ok(()) };
    let gradient = gradient(context);
    let gradient = context.reduce_to(&gradient, y, input)?;
    context.accumulate(input, gradient);
    Ok(())
}
