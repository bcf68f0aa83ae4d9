//! Functions of one element between layers.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use super::{attribute, unary};
use crate::model::{ModelError, gradient::context::Context, onnx::proto::NodeProto};

type Gradients = [Option<String>];

/// `y = max(x, 0)`: `dx = g` where `y > 0`. Asking `y` rather than `x` lets ONNX Runtime fuse the layer before with it.
pub(super) fn relu(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, y, g)) = unary(context, node, gradients) else { return Ok(()) };
    let zero = context.float(0.0);
    let passes = context.emit("Greater", &[y, &zero], &[]);
    let gradient = context.masked(g, &passes);
    context.accumulate(x, gradient);
    Ok(())
}

/// `y = x` above 0, else `alpha x`: `dx = g` or `alpha g`.
pub(super) fn leaky_relu(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, _, g)) = unary(context, node, gradients) else { return Ok(()) };
    let alpha = attribute::float(node, "alpha", 0.01);
    let (zero, low, rise) = (context.float(0.0), context.float(alpha), context.float(1.0 - alpha));
    let above = context.emit("Greater", &[x, &zero], &[]);
    let above = context.masked(&rise, &above);
    let slope = context.emit("Add", &[&above, &low], &[]);
    multiply(context, x, g, &slope);
    Ok(())
}

/// `y = x` above 0, else `alpha (eˣ - 1)`: `dx = g` or `g (y + alpha)`.
pub(super) fn elu(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, y, g)) = unary(context, node, gradients) else { return Ok(()) };
    let alpha = context.float(attribute::float(node, "alpha", 1.0));
    let slope = context.emit("Add", &[y, &alpha], &[]);
    let (zero, one) = (context.float(0.0), context.float(1.0));
    let above = context.emit("Greater", &[x, &zero], &[]);
    let slope = context.emit("Where", &[&above, &one, &slope], &[]);
    multiply(context, x, g, &slope);
    Ok(())
}

/// `y = 1 / (1 + e⁻ˣ)`: `dx = g y (1 - y)`.
pub(super) fn sigmoid(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, y, g)) = unary(context, node, gradients) else { return Ok(()) };
    let one = context.float(1.0);
    let rest = context.emit("Sub", &[&one, y], &[]);
    let slope = context.emit("Mul", &[y, &rest], &[]);
    multiply(context, x, g, &slope);
    Ok(())
}

/// `y = tanh x`: `dx = g (1 - y²)`.
pub(super) fn tanh(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, y, g)) = unary(context, node, gradients) else { return Ok(()) };
    let slope = one_minus_square(context, y);
    multiply(context, x, g, &slope);
    Ok(())
}

/// `y = ln(1 + eˣ)`: `dx = g sigmoid(x)`.
pub(super) fn softplus(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, _, g)) = unary(context, node, gradients) else { return Ok(()) };
    let slope = context.emit("Sigmoid", &[x], &[]);
    multiply(context, x, g, &slope);
    Ok(())
}

/// `y = erf x`: `dx = g 2/√π e^(-x²)`.
pub(super) fn erf(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, _, g)) = unary(context, node, gradients) else { return Ok(()) };
    let bell = bell(context, x, -1.0);
    let scale = context.float(FRAC_2_SQRT_PI);
    let slope = context.emit("Mul", &[&bell, &scale], &[]);
    multiply(context, x, g, &slope);
    Ok(())
}

/// `y = x Φ(x)`: `dx = g (Φ(x) + x φ(x))`, or the derivative of the approximation by tanh where the node asks for that
/// (Hendrycks and Gimpel, "Gaussian error linear units", 2016).
pub(super) fn gelu(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, _, g)) = unary(context, node, gradients) else { return Ok(()) };
    let (half, one) = (context.float(0.5), context.float(1.0));
    let slope = if attribute::is_text(node, "approximate", "tanh") {
        gelu_tanh_slope(context, x)
    } else {
        let scale = context.float(FRAC_1_SQRT_2);
        let scaled = context.emit("Mul", &[x, &scale], &[]);
        let erf = context.emit("Erf", &[&scaled], &[]);
        let lifted = context.emit("Add", &[&erf, &one], &[]);
        let below = context.emit("Mul", &[&lifted, &half], &[]);
        let bell = bell(context, x, -0.5);
        // 1/√(2π)
        let density = context.float(FRAC_2_SQRT_PI * FRAC_1_SQRT_2 / 2.0);
        let density = context.emit("Mul", &[&bell, &density], &[]);
        let product = context.emit("Mul", &[x, &density], &[]);
        context.emit("Add", &[&below, &product], &[])
    };
    multiply(context, x, g, &slope);
    Ok(())
}

/// With `t = tanh(c (x + a x³))`: `(1 + t)/2 + x/2 (1 - t²) c (1 + 3a x²)`, `c = √(2/π)`, `a = 0.044715`.
fn gelu_tanh_slope(context: &mut Context, x: &str) -> String {
    const A: f32 = 0.044_715;
    let (half, one) = (context.float(0.5), context.float(1.0));
    let c = context.float(FRAC_2_SQRT_PI * FRAC_1_SQRT_2);
    let (a, three_a) = (context.float(A), context.float(3.0 * A));
    let square = context.emit("Mul", &[x, x], &[]);
    let bend = context.emit("Mul", &[&square, &a], &[]);
    let bend = context.emit("Add", &[&bend, &one], &[]);
    let inner = context.emit("Mul", &[x, &bend], &[]);
    let inner = context.emit("Mul", &[&inner, &c], &[]);
    let t = context.emit("Tanh", &[&inner], &[]);
    let below = context.emit("Add", &[&t, &one], &[]);
    let steep = one_minus_square(context, &t);
    let inner_slope = context.emit("Mul", &[&square, &three_a], &[]);
    let inner_slope = context.emit("Add", &[&inner_slope, &one], &[]);
    let inner_slope = context.emit("Mul", &[&inner_slope, &c], &[]);
    let product = context.emit("Mul", &[&steep, &inner_slope], &[]);
    let product = context.emit("Mul", &[&product, x], &[]);
    let both = context.emit("Add", &[&below, &product], &[]);
    context.emit("Mul", &[&both, &half], &[])
}

/// `e^(scale x²)`.
fn bell(context: &mut Context, x: &str, scale: f32) -> String {
    let scale = context.float(scale);
    let square = context.emit("Mul", &[x, x], &[]);
    let exponent = context.emit("Mul", &[&square, &scale], &[]);
    context.emit("Exp", &[&exponent], &[])
}

fn one_minus_square(context: &mut Context, y: &str) -> String {
    let one = context.float(1.0);
    let square = context.emit("Mul", &[y, y], &[]);
    context.emit("Sub", &[&one, &square], &[])
}

fn multiply(context: &mut Context, x: &str, g: &str, slope: &str) {
    let gradient = context.emit("Mul", &[g, slope], &[]);
    context.accumulate(x, gradient);
}
