//! Look-ups: what was taken from a place gives its gradient back to that place.

use super::{attribute, first, unary};
use crate::model::{
    ElementType, ModelError,
    gradient::context::{Context, Rows, Size},
    onnx::{
        Attribute,
        proto::{NodeProto, data_type::INT64},
    },
};

/// `y = x[…, indices, …]`: `dx` is `g` added up at the indices. A table gets rows instead.
pub(super) fn gather(context: &mut Context, node: &NodeProto, gradients: &[Option<String>]) -> Result<(), ModelError> {
    let Some((_, g)) = first(node, gradients) else { return Ok(()) };
    let [x, indices] = &node.input[..] else { return Ok(()) };
    if !context.needs_gradient(x) {
        return Ok(());
    }
    let axis = context.kind(x)?.axis(attribute::int(node, "axis", 0));
    let Some(axis) = axis else { return Err(context.refuse("its axis is out of range")) };
    if context.is_table(x) {
        return look_up(context, x, indices, g);
    }
    let gradient = match single(context, x, axis, indices)? {
        Some((index, size)) => place(context, x, axis, indices, g, [index, size])?,
        None => scatter(context, x, axis, indices, g)?,
    };
    context.accumulate(x, gradient);
    Ok(())
}

/// `y[i] = x[…, indices[i], …]`, each index for one element: `dx` is `g` added up at the indices.
pub(super) fn gather_elements(
    context: &mut Context,
    node: &NodeProto,
    gradients: &[Option<String>],
) -> Result<(), ModelError> {
    let Some((x, _, g)) = unary(context, node, gradients) else { return Ok(()) };
    let [_, indices] = &node.input[..] else { return Ok(()) };
    let zeros = context.zeros_like(x)?;
    let axis = ("axis", Attribute::Int(attribute::int(node, "axis", 0)));
    let add = ("reduction", Attribute::Text("add"));
    let gradient = context.emit("ScatterElements", &[&zeros, indices, g], &[axis, add]);
    context.accumulate(x, gradient);
    Ok(())
}

/// Whether a node looks rows of `table` up.
pub(in crate::model::gradient) fn looks_up(node: &NodeProto, table: &str) -> bool {
    let reads = node.input.iter().filter(|input| *input == table).count();
    let from_table = node.input.first().is_some_and(|input| input == table);
    node.op_type() == "Gather" && from_table && reads == 1 && attribute::int(node, "axis", 0) == 0
}

/// The rows of a table that were used, and what to add to each.
fn look_up(context: &mut Context, table: &str, indices: &str, g: &str) -> Result<(), ModelError> {
    let mut rows = from_zero(context, table, 0, indices)?;
    let mut values = g.to_owned();
    if context.kind(indices)?.rank() != 1 {
        let flat = context.ints(&[-1]);
        rows = context.emit("Reshape", &[&rows, &flat], &[]);
        // The dimensions of an initializer are fixed.
        let rest = context.kind(table)?.dims.iter().skip(1).map(|dim| dim.size().map_or(-1, |size| size as i64));
        let target: Vec<i64> = [-1].into_iter().chain(rest).collect();
        let target = context.ints(&target);
        values = context.emit("Reshape", &[&values, &target], &[]);
    }
    context.accumulate_rows(table, Rows { rows, values });
    Ok(())
}

/// The index and the size of the axis, when exactly one index is taken, always the same, from an axis of fixed size.
fn single(context: &Context, x: &str, axis: usize, indices: &str) -> Result<Option<(usize, usize)>, ModelError> {
    let size = context.kind(x)?.dims.get(axis).and_then(|dim| dim.size());
    let (Some(size), Some(&[index])) = (size, context.constant(indices)) else { return Ok(None) };
    let index = if index < 0 { index + size as i64 } else { index };
    Ok(usize::try_from(index).ok().filter(|index| *index < size).map(|index| (index, size)))
}

/// One slice of an axis between zeros.
fn place(
    context: &mut Context,
    x: &str,
    axis: usize,
    indices: &str,
    g: &str,
    [index, size]: [usize; 2],
) -> Result<String, ModelError> {
    let rank = context.kind(x)?.rank();
    let mut slice = g.to_owned();
    if context.kind(indices)?.rank() != 1 {
        let sizes: Vec<Size> =
            (0..rank).map(|other| if other == axis { Size::Fixed(1) } else { Size::Of(x, other) }).collect();
        let target = context.target(&sizes)?;
        slice = context.emit("Reshape", &[&slice, &target], &[]);
    }
    let mut pads = vec![0; 2 * rank];
    if let Some(before) = pads.get_mut(axis) {
        *before = index as i64;
    }
    if let Some(after) = pads.get_mut(rank + axis) {
        *after = (size - index - 1) as i64;
    }
    let pads = context.ints(&pads);
    Ok(context.emit("Pad", &[&slice, &pads], &[]))
}

/// Adds `g` up along an axis, which is moved to the front for it.
fn scatter(context: &mut Context, x: &str, axis: usize, indices: &str, g: &str) -> Result<String, ModelError> {
    let (rank, taken) = (context.kind(x)?.rank(), context.kind(indices)?.rank());
    let rows = from_zero(context, x, axis, indices)?;
    let last = context.ints(&[-1]);
    let rows = context.emit("Unsqueeze", &[&rows, &last], &[]);
    let mut order: Vec<usize> = (0..rank).collect();
    order.remove(axis);
    order.insert(0, axis);
    let sizes: Vec<Size> = order.iter().map(|axis| Size::Of(x, *axis)).collect();
    let sizes = context.sizes(&sizes)?;
    let zeros = context.emit("ConstantOfShape", &[&sizes], &[]);
    let mut updates = g.to_owned();
    if axis > 0 {
        let indexed = axis..axis + taken;
        let front = indexed.clone().chain((0..rank + taken - 1).filter(|axis| !indexed.contains(axis)));
        updates = transpose(context, &updates, front.map(|axis| axis as i64).collect());
    }
    let add = [("reduction", Attribute::Text("add"))];
    let sums = context.emit("ScatterND", &[&zeros, &rows, &updates], &add);
    if axis == 0 {
        return Ok(sums);
    }
    let back = (0..rank).map(|axis| order.iter().position(|from| *from == axis).unwrap_or(0) as i64);
    Ok(transpose(context, &sums, back.collect()))
}

fn transpose(context: &mut Context, value: &str, order: Vec<i64>) -> String {
    context.emit("Transpose", &[value], &[("perm", Attribute::Ints(order))])
}

/// Indices of an axis as int64 that count from its start: a negative one counts from its end.
fn from_zero(context: &mut Context, x: &str, axis: usize, indices: &str) -> Result<String, ModelError> {
    let mut rows = indices.to_owned();
    if context.kind(indices)?.element != ElementType::Int64 {
        rows = context.emit("Cast", &[&rows], &[("to", Attribute::Int(i64::from(INT64)))]);
    }
    if context.constant(indices).is_some_and(|indices| indices.iter().all(|index| *index >= 0)) {
        return Ok(rows);
    }
    let fixed = context.kind(x)?.dims.get(axis).and_then(|dim| dim.size());
    let size = if let Some(size) = fixed {
        context.int(size as i64)
    } else {
        let size = context.sizes(&[Size::Of(x, axis)])?;
        context.emit("Squeeze", &[&size], &[])
    };
    // The remainder has the sign of the divisor.
    Ok(context.emit("Mod", &[&rows, &size], &[]))
}
