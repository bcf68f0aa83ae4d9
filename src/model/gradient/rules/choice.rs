//! Operators that take one of their operands for each element.

use super::{arithmetic::give, first, unary};
use crate::model::{ModelError, gradient::context::Context, onnx::proto::NodeProto};

type Gradients = [Option<String>];

/// `y = c ? a : b`: `da = c ? g : 0`, `db = c ? 0 : g`.
pub(super) fn select(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((y, g)) = first(node, gradients) else { return Ok(()) };
    let [condition, ..] = &node.input[..] else { return Ok(()) };
    give(context, node, 1, y, |context| context.masked(g, condition))?;
    give(context, node, 2, y, |context| {
        let other = context.emit("Not", &[condition], &[]);
        context.masked(g, &other)
    })
}

/// `y = min(max(x, low), high)`: `dx = g` where `y` is still `x`.
pub(super) fn clip(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((x, y, g)) = unary(context, node, gradients) else { return Ok(()) };
    let inside = context.emit("Equal", &[x, y], &[]);
    let gradient = context.masked(g, &inside);
    context.accumulate(x, gradient);
    Ok(())
}

/// `Max` or `Min` of any number of operands: the first that equals the result gets `g`.
pub(super) fn extreme(context: &mut Context, node: &NodeProto, gradients: &Gradients) -> Result<(), ModelError> {
    let Some((y, g)) = first(node, gradients) else { return Ok(()) };
    if let [only] = &node.input[..] {
        context.accumulate(only, g.to_owned());
        return Ok(());
    }
    let last_wanted = (0..node.input.len()).rev().find(|position| context.wanted(node, *position).is_some());
    let mut rest = g.to_owned();
    for (position, input) in node.input.iter().enumerate().take(last_wanted.map_or(0, |last| last + 1)) {
        // What no operand before it has taken is the last one's.
        if position + 1 == node.input.len() {
            return give(context, node, position, y, |_| rest);
        }
        let chosen = context.emit("Equal", &[input, y], &[]);
        let taken = context.masked(&rest, &chosen);
        give(context, node, position, y, |_| taken.clone())?;
        if Some(position) != last_wanted {
            rest = context.emit("Sub", &[&rest, &taken], &[]);
        }
    }
    Ok(())
}
