//! Reductions over axes: the gradient is stretched back over what was reduced.

use super::{attribute, unary};
use crate::model::{
    ModelError,
    gradient::{
        context::{Context, Size},
        kind::TensorKind,
    },
    onnx::proto::NodeProto,
};

type Gradients = [Option<String>];

/// `y = Σ x`: `dx = g`.
pub(super) fn sum(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, _, g)) = unary(context, node, gradients) else { return Ok(()) };
    let Some(axes) = axes(context, node, x)? else { return pass(context, x, g) };
    let kept = keep(context, node, x, g, &axes)?;
    stretch(context, x, &kept)
}

/// `y = Σ x / n`: `dx = g / n`.
pub(super) fn mean(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, y, g)) = unary(context, node, gradients) else { return Ok(()) };
    let Some(axes) = axes(context, node, x)? else { return pass(context, x, g) };
    let kind = context.kind(x)?;
    let reduced: Vec<_> = axes.iter().filter_map(|axis| kind.dims.get(*axis).copied()).collect();
    let share = if let Some(count) = TensorKind::product(&reduced).size() {
        let share = context.float(1.0 / count as f32);
        context.emit("Mul", &[g, &share], &[])
    } else {
        let (all, left) = (context.emit("Size", &[x], &[]), context.emit("Size", &[y], &[]));
        let count = context.emit("Div", &[&all, &left], &[]);
        let count = context.cast_to_float(&count);
        context.emit("Div", &[g, &count], &[])
    };
    let kept = keep(context, node, x, &share, &axes)?;
    stretch(context, x, &kept)
}

/// `y = Σ x²`: `dx = 2 g x`.
pub(super) fn sum_square(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, _, g)) = unary(context, node, gradients) else { return Ok(()) };
    let two = context.float(2.0);
    let double = context.emit("Mul", &[g, &two], &[]);
    let kept = match axes(context, node, x)? {
        Some(axes) => keep(context, node, x, &double, &axes)?,
        None => double,
    };
    let gradient = context.emit("Mul", &[x, &kept], &[]);
    context.accumulate(x, gradient);
    Ok(())
}

/// `y = √(Σ x²)`: `dx = g x / y`, 0 where `y` is 0.
pub(super) fn l2(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, y, g)) = unary(context, node, gradients) else { return Ok(()) };
    let (zero, one) = (context.float(0.0), context.float(1.0));
    let long = context.emit("Greater", &[y, &zero], &[]);
    let length = context.emit("Where", &[&long, y, &one], &[]);
    let scaled = context.emit("Div", &[g, &length], &[]);
    let kept = match axes(context, node, x)? {
        Some(axes) => keep(context, node, x, &scaled, &axes)?,
        None => scaled,
    };
    let gradient = context.emit("Mul", &[x, &kept], &[]);
    context.accumulate(x, gradient);
    Ok(())
}

/// The largest or smallest: the elements that equal it share `g` evenly.
pub(super) fn extreme(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, y, g)) = unary(context, node, gradients) else { return Ok(()) };
    let Some(axes) = axes(context, node, x)? else { return pass(context, x, g) };
    let best = keep(context, node, x, y, &axes)?;
    let kept = keep(context, node, x, g, &axes)?;
    let equal = context.emit("Equal", &[x, &best], &[]);
    let mask = context.cast_to_float(&equal);
    let axes: Vec<i64> = axes.iter().map(|axis| *axis as i64).collect();
    let count = context.sum(&mask, &axes, true);
    let share = context.emit("Div", &[&kept, &count], &[]);
    let gradient = context.emit("Mul", &[&mask, &share], &[]);
    context.accumulate(x, gradient);
    Ok(())
}

fn pass(context: &mut Context, x: &str, g: &str) -> Result<(), ModelError> {
    context.accumulate(x, g.to_owned());
    Ok(())
}

/// The axes that a node reduces, from 0; `None` when it leaves `x` as it is.
fn axes(context: &Context, node: &NodeProto, x: &str) -> Result<Option<Vec<usize>>, ModelError> {
    let kind = context.kind(x)?;
    // An attribute in older operator sets, an input in newer ones.
    let given = match (attribute::ints(node, "axes"), attribute::input(node, 1)) {
        (Some(axes), _) => axes.to_vec(),
        (None, Some(input)) => match context.constant(input) {
            Some(axes) => axes.to_vec(),
            None => return Err(context.refuse("its axes are not constant")),
        },
        (None, None) => Vec::new(),
    };
    if given.is_empty() {
        let nothing = attribute::int(node, "noop_with_empty_axes", 0) != 0;
        return Ok((!nothing).then(|| (0..kind.rank()).collect()));
    }
    let axes: Option<Vec<usize>> = given.iter().map(|axis| kind.axis(*axis)).collect();
    axes.map(Some).ok_or_else(|| context.refuse("an axis is out of range"))
}

/// A value of the shape of the node's output, with the reduced axes kept as 1.
fn keep(context: &mut Context, node: &NodeProto, x: &str, value: &str, axes: &[usize]) -> Result<String, ModelError> {
    if attribute::int(node, "keepdims", 1) != 0 {
        return Ok(value.to_owned());
    }
    let sizes =
        (0..context.kind(x)?.rank()).map(|axis| if axes.contains(&axis) { Size::Fixed(1) } else { Size::Of(x, axis) });
    let sizes: Vec<_> = sizes.collect();
    let target = context.target(&sizes)?;
    Ok(context.emit("Reshape", &[value, &target], &[]))
}

fn stretch(context: &mut Context, x: &str, kept: &str) -> Result<(), ModelError> {
    let shape = context.shape(x)?;
    let gradient = context.emit("Expand", &[kept, &shape], &[]);
    context.accumulate(x, gradient);
    Ok(())
}
