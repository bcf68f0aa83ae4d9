//! `GRU` as a scan, and its gradient as a scan back.

use super::{
    attribute,
    recurrent::{Cell, Matrices},
};
use crate::model::{
    ModelError,
    gradient::context::Context,
    onnx::{Attribute, proto::NodeProto},
};

/// What the forward scan keeps of every step, `[steps, batch, …]`.
struct Kept {
    /// The state before the step.
    before: String,
    /// What the gradient of h is multiplied with to give that of gates z, r before their activation.
    update: String,
    /// The same for the candidate n.
    candidate: String,
    /// The update gate, how much of the state stays.
    stays: String,
    /// What the gradient of the reset state is multiplied with to give that of gate r before its activation.
    reset: String,
    /// The reset gate.
    gate: String,
    /// Reset first only: the state as the reset gate lets it through.
    let_through: Option<String>,
}

/// Matrices of the state, `[hidden, …]`, and biases.
struct Recurrence {
    /// `Rᵀ` of gates z and r.
    gates: String,
    /// `Rᵀ` of the candidate.
    candidate: String,
    /// The reset gate comes after the product with the state.
    last: bool,
    /// The state's bias of the candidate, if the reset gate multiplies it.
    bias: Option<String>,
}

/// The node is `z, r = σ(x W_zrᵀ + h R_zrᵀ + b)`, `h' = (1 - z) n + z h` (Cho and others, 2014; the ONNX operator's formulas
/// with default activations), where
///
/// ```text
///   reset first (linear_before_reset 0):  n = tanh(x W_nᵀ + s R_nᵀ + b)       s = r h
///   reset last  (linear_before_reset 1):  n = tanh(x W_nᵀ + b + r q)          q = h R_nᵀ + b_R
/// ```
///
/// With the gradient `g` of a step's h':
///
/// ```text
///   dz = g · (h - n) z (1 - z)    dn = g · (1 - z)(1 - n²)     both before the activations
///   reset first:  ds = dn R_n    dr = ds · h r (1 - r)    dh = g z + ds r + [dz, dr] R_zr
///   reset last:   dq = dn · r    dr = dn · q r (1 - r)    dh = g z + dq R_n + [dz, dr] R_zr
/// ```
pub(super) fn gru(context: &mut Context, node: &NodeProto, gradients: &[Option<String>]) -> Result<(), ModelError> {
    let cell = Cell::read(context, node, 3, &["Sigmoid", "Tanh"])?;
    let last = attribute::int(node, "linear_before_reset", 0) != 0;
    context.drop_forward();
    let (matrices, kept) = context.in_forward(|context| forward(context, &cell, last))?;
    backward(context, &cell, &matrices, &kept, gradients)
}

fn forward(context: &mut Context, cell: &Cell, last: bool) -> Result<(Matrices, Kept), ModelError> {
    let matrices = cell.matrices(context)?;
    let parts = context.ints(&[2 * cell.hidden as i64, cell.hidden as i64]);
    let turned = context.emit("Transpose", &[&matrices.r], &[("perm", Attribute::Ints(vec![1, 0]))]);
    let [gates, candidate] = split(context, &turned, &parts)?;
    let mut recurrence = Recurrence { gates, candidate, last, bias: None };
    let mut bias = None;
    if let Some([input, state]) = cell.biases(context) {
        bias = Some(if last {
            // What the reset gate multiplies can't be added outside of the scan.
            let ([of_gates, of_candidate], [added, inside]) =
                (split(context, &input, &parts)?, split(context, &state, &parts)?);
            recurrence.bias = Some(inside);
            let of_gates = context.emit("Add", &[&of_gates, &added], &[]);
            context.emit("Concat", &[&of_gates, &of_candidate], &[("axis", Attribute::Int(1))])
        } else {
            context.emit("Add", &[&input, &state], &[])
        });
    }
    let projected = cell.project(context, &matrices, bias.as_deref())?;
    let h = cell.initial(context, 5)?;
    let with_outputs = cell.has_output(0);
    let kept = 6 + usize::from(!last) + usize::from(with_outputs);
    let results = cell.scan(context, [&[&h], &[&projected]], kept, false, |context, step| {
        step_forward(context, cell.hidden as i64, step, &recurrence, with_outputs)
    })?;
    let mut results = results.into_iter();
    let mut next = |context: &Context| results.next().ok_or_else(|| context.refuse("its scan lost values"));
    let h = next(context)?;
    let kept = Kept {
        before: next(context)?,
        update: next(context)?,
        candidate: next(context)?,
        stays: next(context)?,
        reset: next(context)?,
        gate: next(context)?,
        let_through: if last { None } else { Some(next(context)?) },
    };
    if with_outputs {
        let outputs = next(context)?;
        cell.write(context, 0, &outputs);
    }
    cell.write(context, 1, &h);
    Ok((matrices, kept))
}

/// The two parts of a value `[…, 3 hidden]` along its last axis, `parts` wide.
fn split(context: &mut Context, value: &str, parts: &str) -> Result<[String; 2], ModelError> {
    let halves = context.emit_many("Split", &[value, parts], &[("axis", Attribute::Int(1))], 2);
    halves.try_into().map_err(|_| context.refuse("a split lost values"))
}

/// One step: from h and the step's share of `x Wᵀ + b` to the new h and what is kept.
#[expect(clippy::many_single_char_names, reason = "the letters of the formulas above")]
fn step_forward(
    context: &mut Context,
    hidden: i64,
    step: &[String],
    recurrence: &Recurrence,
    with_outputs: bool,
) -> Result<Vec<String>, ModelError> {
    let [h, projected] = step else { return Err(context.refuse("its scan lost values")) };
    let one = context.float(1.0);
    let (parts, halves) = (context.ints(&[2 * hidden, hidden]), context.ints(&[hidden, hidden]));
    let [of_gates, of_candidate] = split(context, projected, &parts)?;
    let zr = context.emit("Gemm", &[h, &recurrence.gates, &of_gates], &[]);
    let zr = context.emit("Sigmoid", &[&zr], &[]);
    let [z, r] = split(context, &zr, &halves)?;

    // What the reset gate multiplies, and the candidate before its activation.
    let (reset, n, let_through) = if recurrence.last {
        let operands = [h.as_str(), &recurrence.candidate].into_iter().chain(recurrence.bias.as_deref());
        let q = context.emit("Gemm", &operands.collect::<Vec<_>>(), &[]);
        let rq = context.emit("Mul", &[&r, &q], &[]);
        (q, context.emit("Add", &[&of_candidate, &rq], &[]), None)
    } else {
        let s = context.emit("Mul", &[&r, h], &[]);
        let n = context.emit("Gemm", &[&s, &recurrence.candidate, &of_candidate], &[]);
        (h.clone(), n, Some(s))
    };
    let n = context.emit("Tanh", &[&n], &[]);
    let difference = context.emit("Sub", &[h, &n], &[]);
    let stays = context.emit("Mul", &[&z, &difference], &[]);
    let new_h = context.emit("Add", &[&n, &stays], &[]);

    let goes = context.emit("Sub", &[&one, &z], &[]);
    let update = context.emit("Mul", &[&stays, &goes], &[]);
    let square = context.emit("Mul", &[&n, &n], &[]);
    let slope = context.emit("Sub", &[&one, &square], &[]);
    let candidate = context.emit("Mul", &[&goes, &slope], &[]);
    let slope = context.emit("Sub", &[&one, &r], &[]);
    let slope = context.emit("Mul", &[&r, &slope], &[]);
    let reset = context.emit("Mul", &[&reset, &slope], &[]);
    let before = context.emit("Identity", &[h], &[]);
    let outputs = with_outputs.then(|| context.emit("Identity", &[&new_h], &[]));
    let kept = [new_h, before, update, candidate, z, reset, r];
    Ok(kept.into_iter().chain(let_through).chain(outputs).collect())
}

fn backward(
    context: &mut Context,
    cell: &Cell,
    matrices: &Matrices,
    kept: &Kept,
    gradients: &[Option<String>],
) -> Result<(), ModelError> {
    let of_outputs = Cell::gradient(context, gradients, 0);
    let initial = match Cell::gradient(context, gradients, 1) {
        Some(gradient) => gradient,
        None => cell.zeros(context)?,
    };
    let rows = context.ints(&[2 * cell.hidden as i64, cell.hidden as i64]);
    let parts = context.emit_many("Split", &[&matrices.r, &rows], &[("axis", Attribute::Int(0))], 2);
    let [gates, candidate] = &parts[..] else { return Err(context.refuse("a split lost values")) };
    let last = kept.let_through.is_none();
    let inputs = [kept.update.as_str(), &kept.candidate, &kept.stays, &kept.reset, &kept.gate];
    let inputs: Vec<&str> = inputs.into_iter().chain(of_outputs.as_deref()).collect();
    let results = cell.scan(context, [&[&initial], &inputs], 2 + usize::from(last), true, |context, step| {
        step_back(context, step, [gates, candidate], last)
    })?;
    let [h, of_gates, of_candidate, of_product @ ..] = &results[..] else {
        return Err(context.refuse("its scan back lost values"));
    };
    let last_axis = [("axis", Attribute::Int(2))];
    let d = context.emit("Concat", &[of_gates, of_candidate], &last_axis);
    let d = Cell::rows_of(context, &d, cell.rows);
    cell.project_back(context, matrices, &d)?;

    // The state's product with the candidate's matrix: before the reset gate or after it.
    let of_product = of_product.first().unwrap_or(of_candidate);
    let let_through = kept.let_through.as_ref().unwrap_or(&kept.before);
    if context.needs_gradient(cell.r) {
        let turned = [("transA", Attribute::Int(1))];
        let mut products = Vec::with_capacity(2);
        for (d, width, state) in [(of_gates, 2 * cell.hidden, &kept.before), (of_product, cell.hidden, let_through)] {
            let (d, state) = (Cell::rows_of(context, d, width), Cell::rows_of(context, state, cell.hidden));
            products.push(context.emit("Gemm", &[&d, &state], &turned));
        }
        let products: Vec<&str> = products.iter().map(String::as_str).collect();
        let product = context.emit("Concat", &products, &[("axis", Attribute::Int(0))]);
        let gradient = context.reshape_like(&product, cell.r)?;
        context.accumulate(cell.r, gradient);
    }
    if let Some(bias) = cell.bias.filter(|bias| context.needs_gradient(bias)) {
        let input = context.sum(&d, &[0], true);
        let mut state = input.clone();
        if last {
            let d = context.emit("Concat", &[of_gates, of_product], &last_axis);
            let d = Cell::rows_of(context, &d, cell.rows);
            state = context.sum(&d, &[0], true);
        }
        let gradient = context.emit("Concat", &[&input, &state], &[("axis", Attribute::Int(1))]);
        context.accumulate(bias, gradient);
    }
    cell.initial_back(context, 5, h);
    Ok(())
}

/// One step back: from the gradient of its h to that before it, those of z, r and n before their activations, and, reset
/// last, that of `q`.
fn step_back(
    context: &mut Context,
    step: &[String],
    [gates, candidate]: [&str; 2],
    last: bool,
) -> Result<Vec<String>, ModelError> {
    let [h, update, of_n, stays, reset, gate, outputs @ ..] = step else {
        return Err(context.refuse("its scan back lost values"));
    };
    let dh = match outputs {
        [output] => context.emit("Add", &[h, output], &[]),
        _ => h.clone(),
    };
    let dz = context.emit("Mul", &[&dh, update], &[]);
    let dn = context.emit("Mul", &[&dh, of_n], &[]);
    let direct = context.emit("Mul", &[&dh, stays], &[]);
    let (dr, through, of_product) = if last {
        let dq = context.emit("Mul", &[&dn, gate], &[]);
        let dr = context.emit("Mul", &[&dn, reset], &[]);
        let through = context.emit("Gemm", &[&dq, candidate, &direct], &[]);
        (dr, through, Some(dq))
    } else {
        let ds = context.emit("MatMul", &[&dn, candidate], &[]);
        let dr = context.emit("Mul", &[&ds, reset], &[]);
        let reset = context.emit("Mul", &[&ds, gate], &[]);
        (dr, context.emit("Add", &[&direct, &reset], &[]), None)
    };
    let dzr = context.emit("Concat", &[&dz, &dr], &[("axis", Attribute::Int(1))]);
    let before = context.emit("Gemm", &[&dzr, gates, &through], &[]);
    Ok([before, dzr, dn].into_iter().chain(of_product).collect())
}

#[cfg(test)]
mod tests {
    use crate::model::{
        gradient::rules::recurrent::testing::{Part, by_direction, refusal, varying},
        onnx::Attribute,
    };

    const INPUTS: [(&str, Part); 6] = [
        ("sequence", Part::Input),
        ("w", Part::Weights),
        ("r", Part::Recurrence),
        ("b", Part::Bias),
        ("", Part::Nothing),
        ("h", Part::State),
    ];

    fn reset(last: i64) -> [(&'static str, Attribute); 1] {
        [("linear_before_reset", Attribute::Int(last))]
    }

    #[test]
    fn every_subset_of_outputs_has_its_gradient_with_the_reset_first_or_last() {
        for last in [0, 1] {
            for used in [[true, false], [false, true], [true, true]] {
                by_direction("GRU", 3, &INPUTS, &used, &reset(last));
            }
        }
    }

    #[test]
    fn optional_inputs_can_be_left_out() {
        for last in [0, 1] {
            for end in [3, 4] {
                by_direction("GRU", 3, &INPUTS[..end], &[true, true], &reset(last));
            }
        }
    }

    #[test]
    fn batch_and_steps_may_vary() {
        varying("GRU", 3, &reset(0));
        varying("GRU", 3, &reset(1));
    }

    #[test]
    fn what_is_not_supported_is_named() {
        insta::assert_snapshot!(refusal("GRU", 3, &["lengths"], &reset(0)), @r#"operator GRU of node "last" can't be differentiated: sequence_lens is not supported: to train the rest, freeze w, r, b"#);
        insta::assert_snapshot!(refusal("GRU", 3, &[], &[("clip", Attribute::Float(3.0))]), @r#"operator GRU of node "last" can't be differentiated: clip is not supported: to train the rest, freeze w, r, b"#);
    }
}
