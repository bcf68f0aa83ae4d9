//! Layers that normalise.

use super::{attribute, first};
use crate::model::{
    ModelError,
    gradient::{
        context::Context,
        kind::{Dim, TensorKind},
    },
    onnx::proto::NodeProto,
};

/// `y = scale x̂ + bias` with `x̂ = (x - mean) / deviation` over the last axes: `dbias = g`, `dscale = g x̂`, and with
/// `h = g scale`, `dx = (h - mean(h) - x̂ mean(h x̂)) / deviation`
/// (Ba and others, "Layer normalization", 2016; the derivative as in Ioffe and Szegedy, 2015, section 3).
pub(super) fn layer(context: &mut Context, node: &NodeProto, gradients: &[Option<String>]) -> Result<(), ModelError> {
    let Some((y, g)) = first(node, gradients) else { return Ok(()) };
    let [x, scale, ..] = &node.input[..] else { return Ok(()) };
    if let Some(bias) = context.wanted(node, 2) {
        let gradient = context.reduce_to(g, y, bias)?;
        context.accumulate(bias, gradient);
    }
    if !context.needs_gradient(x) && !context.needs_gradient(scale) {
        return Ok(());
    }
    let kind = context.kind(x)?;
    let rank = kind.rank() as i64;
    let start = kind.axis(attribute::int(node, "axis", -1));
    let Some(start) = start else { return Err(context.refuse("its axis is out of range")) };
    let axes: Vec<i64> = (start as i64..rank).collect();
    let mean = context.require_output(node, 1);
    let inverse = context.require_output(node, 2);
    let centred = context.emit("Sub", &[x, &mean], &[]);
    let normal = context.emit("Mul", &[&centred, &inverse], &[]);
    if context.needs_gradient(scale) {
        let product = context.emit("Mul", &[g, &normal], &[]);
        let gradient = context.reduce_to(&product, y, scale)?;
        context.accumulate(scale, gradient);
    }
    if context.needs_gradient(x) {
        let scaled = context.emit("Mul", &[g, scale], &[]);
        let level = context.mean(&scaled, &axes);
        let product = context.emit("Mul", &[&scaled, &normal], &[]);
        let tilt = context.mean(&product, &axes);
        let tilted = context.emit("Mul", &[&normal, &tilt], &[]);
        let rest = context.emit("Sub", &[&scaled, &level], &[]);
        let rest = context.emit("Sub", &[&rest, &tilted], &[]);
        let gradient = context.emit("Mul", &[&rest, &inverse], &[]);
        context.accumulate(x, gradient);
    }
    Ok(())
}

/// `y = scale (x - mean) / √(variance + ε) + bias` for each channel, with running statistics that are never trained
/// (Ioffe and Szegedy, "Batch normalization", 2015, algorithm 2). The form that updates them is refused.
pub(super) fn batch(context: &mut Context, node: &NodeProto, gradients: &[Option<String>]) -> Result<(), ModelError> {
    let Some((_, g)) = first(node, gradients) else { return Ok(()) };
    let [x, scale, bias, mean, variance] = &node.input[..] else { return Ok(()) };
    if attribute::int(node, "training_mode", 0) != 0 {
        return Err(context.refuse("it is in training mode: export the model for inference"));
    }
    let kind = context.kind(x)?.clone();
    // Parameters are [channels], channels are axis 1.
    let channel = kind.dims.get(1).copied().unwrap_or(Dim::ONE);
    let spread = kind.rank().saturating_sub(2);
    let per_channel = TensorKind::float([vec![channel], vec![Dim::ONE; spread]].concat());
    let aligned = |context: &mut Context, value: &str| {
        if spread == 0 {
            return value.to_owned();
        }
        let axes: Vec<i64> = (1..=spread as i64).collect();
        let axes = context.ints(&axes);
        context.emit("Unsqueeze", &[value, &axes], &[])
    };
    let epsilon = context.float(attribute::float(node, "epsilon", 1e-5));
    let stable = context.emit("Add", &[variance, &epsilon], &[]);
    let deviation = context.emit("Sqrt", &[&stable], &[]);
    if context.needs_gradient(x) {
        let slope = context.emit("Div", &[scale, &deviation], &[]);
        let slope = aligned(context, &slope);
        let gradient = context.emit("Mul", &[g, &slope], &[]);
        context.accumulate(x, gradient);
    }
    if context.needs_gradient(scale) {
        let mean = aligned(context, mean);
        let centred = context.emit("Sub", &[x, &mean], &[]);
        let product = context.emit("Mul", &[g, &centred], &[]);
        let total = context.reduce_between(&product, &kind, &per_channel)?;
        let total = if spread == 0 { total } else { context.reshape_like(&total, scale)? };
        let gradient = context.emit("Div", &[&total, &deviation], &[]);
        context.accumulate(scale, gradient);
    }
    if context.needs_gradient(bias) {
        let total = context.reduce_between(g, &kind, &per_channel)?;
        let total = if spread == 0 { total } else { context.reshape_like(&total, bias)? };
        context.accumulate(bias, total);
    }
    Ok(())
}
