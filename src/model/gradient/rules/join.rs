//! Joining tensors along an axis, and taking them apart again.

use super::{attribute, first};
use crate::model::{
    ModelError,
    gradient::context::{Context, Size},
    onnx::{Attribute, proto::NodeProto},
};

/// `Concat`: each input gets its part of `g`.
pub(super) fn concat(context: &mut Context, node: &NodeProto, gradients: &[Option<String>]) -> Result<(), ModelError> {
    let Some((y, g)) = first(node, gradients) else { return Ok(()) };
    let axis = context.kind(y)?.axis(attribute::int(node, "axis", 0));
    let Some(axis) = axis else { return Err(context.refuse("its axis is out of range")) };
    let wanted: Vec<usize> = (0..node.input.len()).filter(|at| context.wanted(node, *at).is_some()).collect();

    // One part alone is cut out, if its place is known.
    if let [only] = wanted[..]
        && node.input.len() > 1
        && let Some((start, end)) = place(context, node, axis, only)?
    {
        let bounds = [start, end, axis].map(|bound| context.ints(&[bound as i64]));
        let gradient = context.emit("Slice", &[g, &bounds[0], &bounds[1], &bounds[2]], &[]);
        if let Some(input) = node.input.get(only) {
            context.accumulate(input, gradient);
        }
        return Ok(());
    }
    let sizes: Vec<Size> = node.input.iter().map(|input| Size::Of(input, axis)).collect();
    let sizes = context.sizes(&sizes)?;
    let axis = [("axis", Attribute::Int(axis as i64))];
    let parts = context.emit_many("Split", &[g, &sizes], &axis, node.input.len());
    for (input, part) in node.input.iter().zip(parts) {
        context.accumulate(input, part);
    }
    Ok(())
}

/// `Split`: `dx` is the gradients of the parts joined, zeros for parts without one.
pub(super) fn split(context: &mut Context, node: &NodeProto, gradients: &[Option<String>]) -> Result<(), ModelError> {
    let Some(x) = context.wanted(node, 0) else { return Ok(()) };
    let mut parts = Vec::with_capacity(node.output.len());
    for (output, gradient) in node.output.iter().zip(gradients) {
        parts.push(match gradient {
            Some(gradient) => gradient.clone(),
            None => context.zeros_like(output)?,
        });
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let axis = attribute::int(node, "axis", 0);
    let gradient = context.emit("Concat", &parts, &[("axis", Attribute::Int(axis))]);
    context.accumulate(x, gradient);
    Ok(())
}

/// Where the input at a position begins and ends in the result, if everything before it is fixed.
fn place(
    context: &Context,
    node: &NodeProto,
    axis: usize,
    position: usize,
) -> Result<Option<(usize, usize)>, ModelError> {
    let mut end = 0;
    let mut start = 0;
    for input in node.input.iter().take(position + 1) {
        let size = context.kind(input)?.dims.get(axis).and_then(|dim| dim.size());
        let Some(size) = size else { return Ok(None) };
        start = end;
        end += size;
    }
    Ok(Some((start, end)))
}
