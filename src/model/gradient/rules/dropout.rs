//! Dropout: nothing in serving, a random mask in training (Srivastava and others, "Dropout", 2014, in the form that
//! scales what is kept by `1 / (1 - ratio)`).

use super::{attribute, unary};
use crate::model::{
    ModelError,
    gradient::context::Context,
    onnx::{
        Attribute, node,
        proto::{GraphProto, NodeProto, TensorProto, data_type::BOOL},
    },
};

/// Makes every `Dropout` of a forward graph one that drops, or one that does not.
///
/// Those that drop get the constant `switch`, a name that nothing else has, as their training mode, and a seed unless
/// they bring one, so that a session that is started again drops the same values.
pub(in crate::model::gradient) fn prepare(graph: &mut GraphProto, drop: bool, switch: &str) {
    let mut any = false;
    for (position, dropout) in graph.node.iter_mut().enumerate() {
        if dropout.op_type() != "Dropout" || !dropout.domain().is_empty() {
            continue;
        }
        dropout.input.truncate(2);
        if !drop {
            continue;
        }
        any = true;
        dropout.input.resize(2, String::new());
        dropout.input.push(switch.to_owned());
        if attribute::int(dropout, "seed", -1) < 0 {
            dropout.attribute.retain(|attribute| attribute.name() != "seed");
            let seeded = node("Dropout", &[], &[], &[("seed", Attribute::Int(position as i64))]);
            dropout.attribute.extend(seeded.attribute);
        }
    }
    if any {
        graph.initializer.push(TensorProto {
            data_type: Some(BOOL),
            name: Some(switch.to_owned()),
            raw_data: Some(vec![1]),
            ..Default::default()
        });
    }
}

/// `y = mask x / (1 - ratio)`: `dx = mask g / (1 - ratio)`; without training mode `dx = g`.
pub(super) fn dropout(context: &mut Context, node: &NodeProto, gradients: &[Option<String>]) -> Result<(), ModelError> {
    let Some((x, _, g)) = unary(context, node, gradients) else { return Ok(()) };
    if attribute::input(node, 2).is_none() {
        context.accumulate(x, g.to_owned());
        return Ok(());
    }
    let mask = context.require_output(node, 1);
    let one = context.float(1.0);
    let kept = match attribute::input(node, 1) {
        Some(ratio) => context.emit("Sub", &[&one, ratio], &[]),
        None => context.float(0.5),
    };
    let scaled = context.emit("Div", &[g, &kept], &[]);
    let gradient = context.masked(&scaled, &mask);
    context.accumulate(x, gradient);
    Ok(())
}
