//! Slices: the gradient goes back to where the slice was cut out, between zeros.

use super::{attribute, unary};
use crate::model::{
    ModelError,
    gradient::context::Context,
    onnx::{Attribute, proto::NodeProto},
};

/// `y = x[start:end:step, …]`: `dx` is `g` in its place, 0 elsewhere.
///
/// Slices with constant bounds in steps of 1 become `Pad`. Any other slice is also cut out of the positions of `x`,
/// which says where its elements came from.
pub(super) fn slice(context: &mut Context, node: &NodeProto, gradients: &[Option<String>]) -> Result<(), ModelError> {
    let Some((x, _, g)) = unary(context, node, gradients) else { return Ok(()) };
    let gradient = match pads(context, node, x)? {
        Some(pads) if pads.iter().all(|pad| *pad == 0) => g.to_owned(),
        Some(pads) => {
            let pads = context.ints(&pads);
            context.emit("Pad", &[g, &pads], &[])
        }
        None => by_position(context, node, x, g)?,
    };
    context.accumulate(x, gradient);
    Ok(())
}

/// The number of zeros before and then after each axis, when that is the same for all inputs.
fn pads(context: &Context, node: &NodeProto, x: &str) -> Result<Option<Vec<i64>>, ModelError> {
    let kind = context.kind(x)?;
    let constant = |position| attribute::input(node, position).map(|input| context.constant(input));
    let (Some(Some(starts)), Some(Some(ends))) = (constant(1), constant(2)) else { return Ok(None) };
    let all: Vec<i64> = (0..starts.len() as i64).collect();
    let (Some(axes), Some(steps)) = (constant(3).unwrap_or(Some(&all)), constant(4).unwrap_or(Some(&[]))) else {
        return Ok(None);
    };
    if steps.iter().any(|step| *step != 1) {
        return Ok(None);
    }
    let rank = kind.rank();
    let mut pads = vec![0; 2 * rank];
    for ((start, end), axis) in starts.iter().zip(ends).zip(axes) {
        let Some(place) = kind.axis(*axis) else { return Err(context.refuse("an axis is out of range")) };
        let size = kind.dims.get(place).and_then(|dim| dim.size()).map(|size| size as i64);
        let bound = |bound: i64, size: i64| if bound < 0 { bound + size } else { bound }.clamp(0, size);
        let (before, after) = match size {
            Some(size) => (bound(*start, size), size - bound(*end, size).max(bound(*start, size))),
            // To the end of an axis, however long it is.
            None if *start >= 0 && *end >= i64::from(i32::MAX) => (*start, 0),
            None if *start >= 0 && *end < 0 => (*start, -end),
            None => return Ok(None),
        };
        for (at, pad) in [(place, before), (rank + place, after)] {
            if let Some(slot) = pads.get_mut(at) {
                *slot = pad;
            }
        }
    }
    Ok(Some(pads))
}

fn by_position(context: &mut Context, node: &NodeProto, x: &str, g: &str) -> Result<String, ModelError> {
    let (zero, one, flat) = (context.int(0), context.int(1), context.ints(&[-1]));
    let count = context.emit("Size", &[x], &[]);
    let positions = context.emit("Range", &[&zero, &count, &one], &[]);
    let positions = context.reshape_like(&positions, x)?;
    let bounds = node.input.iter().skip(1).map(String::as_str);
    let inputs: Vec<&str> = [positions.as_str()].into_iter().chain(bounds).collect();
    let taken = context.emit("Slice", &inputs, &[]);
    let taken = context.emit("Reshape", &[&taken, &flat], &[]);
    let length = context.emit("Reshape", &[&count, &flat], &[]);
    let zeros = context.emit("ConstantOfShape", &[&length], &[]);
    let updates = context.emit("Reshape", &[g, &flat], &[]);
    // No element is taken twice, so nothing needs adding up.
    let axis = [("axis", Attribute::Int(0))];
    let placed = context.emit("ScatterElements", &[&zeros, &taken, &updates], &axis);
    context.reshape_like(&placed, x)
}
