//! `LSTM` as a scan, and its gradient as a scan back.

use super::recurrent::{Cell, Matrices};
use crate::model::{
    ModelError,
    gradient::context::Context,
    onnx::{Attribute, proto::NodeProto},
};

/// What the forward scan keeps of every step, `[steps, batch, …]`.
struct Kept {
    /// The state before the step.
    before: String,
    /// What the gradients of c, h, c, c are multiplied with to give those of gates i, o, f, c before their activations.
    factors: String,
    /// What the gradient of h is multiplied with to give its part of that of c.
    cell: String,
    /// The forget gate.
    forget: String,
}

/// The node is `z = x Wᵀ + h Rᵀ + b` in four parts, then `i, o, f = σ(zᵢ, zₒ, z_f)`, `g = tanh(z_c)`, `c' = f c + i g`,
/// `h' = o tanh(c')` (the ONNX operator's formulas with default activations). With gradients `dh'`, `dc'` of a step's
/// results:
///
/// ```text
///   dc  = dc' + dh' · o (1 - tanh²c')
///   dzᵢ = dc · g i (1 - i)    dzₒ = dh' · tanh(c') o (1 - o)    dz_f = dc · c f (1 - f)    dz_c = dc · i (1 - g²)
///   dh  = dz R                dc before the step = dc · f
/// ```
pub(super) fn lstm(context: &mut Context, node: &NodeProto, gradients: &[Option<String>]) -> Result<(), ModelError> {
    if super::attribute::input(node, 7).is_some() {
        return Err(context.refuse("peepholes are not supported"));
    }
    let cell = Cell::read(context, node, 4, &["Sigmoid", "Tanh", "Tanh"])?;
    context.drop_forward();
    let (matrices, kept) = context.in_forward(|context| forward(context, &cell))?;
    backward(context, &cell, &matrices, &kept, gradients)
}

fn forward(context: &mut Context, cell: &Cell) -> Result<(Matrices, Kept), ModelError> {
    let matrices = cell.matrices(context)?;
    let bias = cell.biases(context).map(|[input, state]| context.emit("Add", &[&input, &state], &[]));
    let projected = cell.project(context, &matrices, bias.as_deref())?;
    let (h, c) = (cell.initial(context, 5)?, cell.initial(context, 6)?);
    let with_outputs = cell.has_output(0);
    let kept = 4 + usize::from(with_outputs);
    let results = cell.scan(context, [&[&h, &c], &[&projected]], kept, false, |context, step| {
        step_forward(context, cell.hidden as i64, step, &matrices.r, with_outputs)
    })?;
    let [h, c, before, factors, cell_factor, forget, outputs @ ..] = &results[..] else {
        return Err(context.refuse("its scan lost values"));
    };
    if let [outputs] = outputs {
        cell.write(context, 0, outputs);
    }
    cell.write(context, 1, h);
    cell.write(context, 2, c);
    let kept =
        Kept { before: before.clone(), factors: factors.clone(), cell: cell_factor.clone(), forget: forget.clone() };
    Ok((matrices, kept))
}

/// One step: from h, c and the step's share of `x Wᵀ + b` to the new h and c and what is kept.
#[expect(clippy::many_single_char_names, reason = "the letters of the formulas above")]
fn step_forward(
    context: &mut Context,
    hidden: i64,
    step: &[String],
    r: &str,
    with_outputs: bool,
) -> Result<Vec<String>, ModelError> {
    let lost = |context: &Context| context.refuse("its scan lost values");
    let [h, c, projected] = step else { return Err(lost(context)) };
    let columns = || [("axis", Attribute::Int(1))];
    let (one, all, three) = (context.float(1.0), context.ints(&[3 * hidden, hidden]), context.ints(&[hidden; 3]));
    let z = context.emit("Gemm", &[h, r, projected], &[("transB", Attribute::Int(1))]);
    let parts = context.emit_many("Split", &[&z, &all], &columns(), 2);
    let [z_iof, z_g] = &parts[..] else { return Err(lost(context)) };
    let iof = context.emit("Sigmoid", &[z_iof], &[]);
    let g = context.emit("Tanh", &[z_g], &[]);
    let gates = context.emit_many("Split", &[&iof, &three], &columns(), 3);
    let [i, o, f] = &gates[..] else { return Err(lost(context)) };
    let remembered = context.emit("Mul", &[f, c], &[]);
    let learned = context.emit("Mul", &[i, &g], &[]);
    let new_c = context.emit("Add", &[&remembered, &learned], &[]);
    let squashed = context.emit("Tanh", &[&new_c], &[]);
    let new_h = context.emit("Mul", &[o, &squashed], &[]);

    let slope = context.emit("Sub", &[&one, &iof], &[]);
    let slope = context.emit("Mul", &[&iof, &slope], &[]);
    let weights = context.emit("Concat", &[&g, &squashed, c], &columns());
    let of_iof = context.emit("Mul", &[&weights, &slope], &[]);
    let of_g = context.emit("Mul", &[&learned, &g], &[]);
    let of_g = context.emit("Sub", &[i, &of_g], &[]);
    let factors = context.emit("Concat", &[&of_iof, &of_g], &columns());
    let cell = context.emit("Mul", &[&new_h, &squashed], &[]);
    let cell = context.emit("Sub", &[o, &cell], &[]);
    let before = context.emit("Identity", &[h], &[]);
    let outputs = with_outputs.then(|| context.emit("Identity", &[&new_h], &[]));
    let kept = [new_h, new_c, before, factors, cell, f.clone()];
    Ok(kept.into_iter().chain(outputs).collect())
}

fn backward(
    context: &mut Context,
    cell: &Cell,
    matrices: &Matrices,
    kept: &Kept,
    gradients: &[Option<String>],
) -> Result<(), ModelError> {
    let of_outputs = Cell::gradient(context, gradients, 0);
    let mut initial = Vec::with_capacity(2);
    for position in [1, 2] {
        initial.push(match Cell::gradient(context, gradients, position) {
            Some(gradient) => gradient,
            None => cell.zeros(context)?,
        });
    }
    let initial: Vec<&str> = initial.iter().map(String::as_str).collect();
    let inputs = [kept.factors.as_str(), &kept.cell, &kept.forget];
    let inputs: Vec<&str> = inputs.into_iter().chain(of_outputs.as_deref()).collect();
    let r = matrices.r.as_str();
    let results = cell.scan(context, [&initial, &inputs], 1, true, |context, step| step_back(context, step, r))?;
    let [h, c, d] = &results[..] else { return Err(context.refuse("its scan back lost values")) };
    let d = Cell::rows_of(context, d, cell.rows);
    cell.project_back(context, matrices, &d)?;
    if context.needs_gradient(cell.r) {
        let before = Cell::rows_of(context, &kept.before, cell.hidden);
        let product = context.emit("Gemm", &[&d, &before], &[("transA", Attribute::Int(1))]);
        let gradient = context.reshape_like(&product, cell.r)?;
        context.accumulate(cell.r, gradient);
    }
    if let Some(bias) = cell.bias.filter(|bias| context.needs_gradient(bias)) {
        let sums = context.sum(&d, &[0], true);
        let gradient = context.emit("Concat", &[&sums, &sums], &[("axis", Attribute::Int(1))]);
        context.accumulate(bias, gradient);
    }
    cell.initial_back(context, 5, h);
    cell.initial_back(context, 6, c);
    Ok(())
}

/// One step back: from the gradients of its h and c to those before it and that of `z`.
fn step_back(context: &mut Context, step: &[String], r: &str) -> Result<Vec<String>, ModelError> {
    let [h, c, factors, cell, forget, outputs @ ..] = step else {
        return Err(context.refuse("its scan back lost values"));
    };
    let dh = match outputs {
        [output] => context.emit("Add", &[h, output], &[]),
        _ => h.clone(),
    };
    let through = context.emit("Mul", &[&dh, cell], &[]);
    let dc = context.emit("Add", &[&through, c], &[]);
    let all = context.emit("Concat", &[&dc, &dh, &dc, &dc], &[("axis", Attribute::Int(1))]);
    let d = context.emit("Mul", &[&all, factors], &[]);
    let before = context.emit("MatMul", &[&d, r], &[]);
    let cell_before = context.emit("Mul", &[&dc, forget], &[]);
    Ok(vec![before, cell_before, d])
}

#[cfg(test)]
mod tests {
    use crate::model::{
        gradient::rules::recurrent::testing::{Part, by_direction, model, refusal, refusal_of, varying},
        onnx::{Attribute, proto::AttributeProto},
    };

    const INPUTS: [(&str, Part); 7] = [
        ("sequence", Part::Input),
        ("w", Part::Weights),
        ("r", Part::Recurrence),
        ("b", Part::Bias),
        ("", Part::Nothing),
        ("h", Part::State),
        ("c", Part::State),
    ];

    #[test]
    fn every_subset_of_outputs_has_its_gradient() {
        for used in 1..8_u8 {
            by_direction("LSTM", 4, &INPUTS, &[used & 1 != 0, used & 2 != 0, used & 4 != 0], &[]);
        }
    }

    #[test]
    fn optional_inputs_can_be_left_out() {
        for end in [3, 4, 6] {
            by_direction("LSTM", 4, &INPUTS[..end], &[true, true, true], &[]);
        }
    }

    #[test]
    fn batch_and_steps_may_vary() {
        varying("LSTM", 4, &[]);
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let lstm = |inputs: &[&str], attributes: &[(&str, Attribute)]| refusal("LSTM", 4, inputs, attributes);
        insta::assert_snapshot!(lstm(&["lengths"], &[]), @r#"operator LSTM of node "last" can't be differentiated: sequence_lens is not supported: to train the rest, freeze w, r, b"#);
        insta::assert_snapshot!(lstm(&["", "", "", "peepholes"], &[]), @r#"operator LSTM of node "last" can't be differentiated: peepholes are not supported: to train the rest, freeze w, r, b, peepholes"#);
        insta::assert_snapshot!(lstm(&[], &[("clip", Attribute::Float(3.0))]), @r#"operator LSTM of node "last" can't be differentiated: clip is not supported: to train the rest, freeze w, r, b"#);
        insta::assert_snapshot!(lstm(&[], &[("input_forget", Attribute::Int(1))]), @r#"operator LSTM of node "last" can't be differentiated: input_forget is not supported: to train the rest, freeze w, r, b"#);
        let both = [("direction", Attribute::Text("bidirectional"))];
        insta::assert_snapshot!(lstm(&[], &both), @r#"operator LSTM of node "last" can't be differentiated: of directions only forward and reverse are supported, not bidirectional: to train the rest, freeze w, r, b"#);
        let mut document = model("LSTM", 4, &[], &[]);
        let strings = ["Sigmoid", "Relu", "Tanh"].map(|name| name.as_bytes().to_vec()).to_vec();
        let activations =
            AttributeProto { name: Some("activations".to_owned()), strings, r#type: Some(8), ..Default::default() };
        let lstm = document.graph_mut().node.iter_mut().find(|node| node.op_type() == "LSTM").unwrap();
        lstm.attribute.push(activations);
        insta::assert_snapshot!(refusal_of(&document), @r#"operator LSTM of node "last" can't be differentiated: activations are Sigmoid, Relu, Tanh, only Sigmoid, Tanh, Tanh are supported: to train the rest, freeze w, r, b"#);
    }
}
