//! Operators that move elements, repeat them, or leave them as they are.

use super::{attribute, unary};
use crate::model::{
    ModelError,
    gradient::context::{Context, Size},
    onnx::{Attribute, proto::NodeProto},
};

type Gradients = [Option<String>];

/// The same elements in the same order in another shape: `dx` is `g` in the shape of `x`.
pub(super) fn reshape(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, y, g)) = unary(context, node, gradients) else { return Ok(()) };
    let same = context.kind(x)?.dims == context.kind(y)?.dims;
    let gradient = if same { g.to_owned() } else { context.reshape_like(g, x)? };
    context.accumulate(x, gradient);
    Ok(())
}

/// `y = x`: `dx = g`.
pub(super) fn identity(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, _, g)) = unary(context, node, gradients) else { return Ok(()) };
    context.accumulate(x, g.to_owned());
    Ok(())
}

/// A cast from float32 to float32; others are refused, because gradients are float32.
pub(super) fn cast(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, _, g)) = unary(context, node, gradients) else { return Ok(()) };
    if !context.kind(x)?.is_float() {
        let reason = format!("gradients are float32, {x:?} is {}", context.kind(x)?.element);
        return Err(context.refuse(&reason));
    }
    context.accumulate(x, g.to_owned());
    Ok(())
}

/// Axes in another order: `dx` is `g` with the order undone.
pub(super) fn transpose(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, _, g)) = unary(context, node, gradients) else { return Ok(()) };
    let rank = context.kind(x)?.rank();
    let order: Vec<i64> = match attribute::ints(node, "perm") {
        Some(order) => order.to_vec(),
        None => (0..rank as i64).rev().collect(),
    };
    let undone = (0..rank as i64).map(|axis| order.iter().position(|from| *from == axis).unwrap_or(0) as i64);
    let gradient = context.emit("Transpose", &[g], &[("perm", Attribute::Ints(undone.collect()))]);
    context.accumulate(x, gradient);
    Ok(())
}

/// Repeats along dimensions of size 1: `dx` is the sum over them.
pub(super) fn expand(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, y, g)) = unary(context, node, gradients) else { return Ok(()) };
    let gradient = context.reduce_to(g, y, x)?;
    context.accumulate(x, gradient);
    Ok(())
}

/// Repeats the whole tensor along axes: `dx` is the sum over the copies.
pub(super) fn tile(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, _, g)) = unary(context, node, gradients) else { return Ok(()) };
    let repeats = attribute::input(node, 1).and_then(|repeats| context.constant(repeats)).map(<[i64]>::to_vec);
    let Some(repeats) = repeats else { return Err(context.refuse("its repeats are not constant")) };
    let mut sizes = Vec::with_capacity(2 * repeats.len());
    let mut copies = Vec::new();
    for (axis, repeat) in repeats.iter().enumerate() {
        if *repeat != 1 {
            copies.push(sizes.len() as i64);
            sizes.push(Size::Fixed(usize::try_from(*repeat).unwrap_or(0)));
        }
        sizes.push(Size::Of(x, axis));
    }
    if copies.is_empty() {
        context.accumulate(x, g.to_owned());
        return Ok(());
    }
    let target = context.target(&sizes)?;
    let apart = context.emit("Reshape", &[g, &target], &[]);
    let gradient = context.sum(&apart, &copies, false);
    context.accumulate(x, gradient);
    Ok(())
}
