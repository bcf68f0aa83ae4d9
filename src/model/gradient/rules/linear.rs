//! Products of matrices.
//!
//! The gradient of a weight is one `Gemm` over all rows of the batch, whatever leading dimensions they come in.

use super::{attribute, first};
use crate::model::{
    ModelError,
    gradient::{
        context::Context,
        kind::{Dim, TensorKind},
    },
    onnx::{Attribute, proto::NodeProto},
};

/// `Y = α op(A) op(B) + β C`: `dA = α g op(B)ᵀ`, `dB = α op(A)ᵀ g`, `dC = β g`, where `op` transposes or not.
pub(super) fn gemm(context: &mut Context, node: &NodeProto, gradients: &[Option<String>]) -> Result<(), ModelError> {
    let Some((y, g)) = first(node, gradients) else { return Ok(()) };
    let [a, b, ..] = &node.input[..] else { return Ok(()) };
    let alpha = attribute::float(node, "alpha", 1.0);
    let beta = attribute::float(node, "beta", 1.0);
    let a_turned = attribute::int(node, "transA", 0) != 0;
    let b_turned = attribute::int(node, "transB", 0) != 0;
    if context.needs_gradient(a) {
        let gradient = if a_turned {
            product(context, b, b_turned, g, true, alpha)
        } else {
            product(context, g, false, b, !b_turned, alpha)
        };
        context.accumulate(a, gradient);
    }
    if context.needs_gradient(b) {
        let gradient = if b_turned {
            product(context, g, true, a, a_turned, alpha)
        } else {
            product(context, a, !a_turned, g, false, alpha)
        };
        context.accumulate(b, gradient);
    }
    if let Some(c) = context.wanted(node, 2) {
        let mut gradient = context.reduce_to(g, y, c)?;
        if beta.to_bits() != 1.0_f32.to_bits() {
            let beta = context.float(beta);
            gradient = context.emit("Mul", &[&gradient, &beta], &[]);
        }
        context.accumulate(c, gradient);
    }
    Ok(())
}

/// `Y = A B`, as numpy's `matmul`: `dA = g Bᵀ`, `dB = Aᵀ g`, summed over leading dimensions that were broadcast.
pub(super) fn matmul(context: &mut Context, node: &NodeProto, gradients: &[Option<String>]) -> Result<(), ModelError> {
    let Some((y, g)) = first(node, gradients) else { return Ok(()) };
    let [a, b] = &node.input[..] else { return Ok(()) };
    let (a_kind, b_kind) = (context.kind(a)?.clone(), context.kind(b)?.clone());
    if let ([.., a_columns], [b_rows, b_columns]) = (&a_kind.dims[..], &b_kind.dims[..])
        && a_kind.rank() >= 2
        && let (Some(rows), Some(columns)) = (b_rows.size().or(a_columns.size()), b_columns.size())
    {
        return by_matrix(context, [a, b], g, [rows, columns]);
    }

    // A vector is a matrix of one row on the left, of one column on the right.
    let mut y_kind = context.kind(y)?.clone();
    let (mut left, mut right, mut result) = (a.clone(), b.clone(), g.to_owned());
    let (mut left_kind, mut right_kind) = (a_kind.clone(), b_kind.clone());
    if b_kind.rank() == 1 {
        (right, right_kind) = unsqueeze(context, &right, &right_kind, 1);
        let last = y_kind.rank();
        (result, y_kind) = unsqueeze(context, &result, &y_kind, last);
    }
    if a_kind.rank() == 1 {
        (left, left_kind) = unsqueeze(context, &left, &left_kind, 0);
        let before_last = y_kind.rank().saturating_sub(1);
        (result, y_kind) = unsqueeze(context, &result, &y_kind, before_last);
    }
    if context.needs_gradient(a) {
        let turned = turn(context, &right, right_kind.rank());
        let product = context.emit("MatMul", &[&result, &turned], &[]);
        let kind = batched(&y_kind, &left_kind);
        let gradient = context.reduce_between(&product, &kind, &left_kind)?;
        let gradient = if a_kind.rank() == 1 { context.reshape_like(&gradient, a)? } else { gradient };
        context.accumulate(a, gradient);
    }
    if context.needs_gradient(b) {
        let turned = turn(context, &left, left_kind.rank());
        let product = context.emit("MatMul", &[&turned, &result], &[]);
        let kind = batched(&y_kind, &right_kind);
        let gradient = context.reduce_between(&product, &kind, &right_kind)?;
        let gradient = if b_kind.rank() == 1 { context.reshape_like(&gradient, b)? } else { gradient };
        context.accumulate(b, gradient);
    }
    Ok(())
}

/// `[…, rows] × [rows, columns]` with all leading dimensions as one.
fn by_matrix(context: &mut Context, [a, b]: [&str; 2], g: &str, [rows, columns]: [usize; 2]) -> Result<(), ModelError> {
    let flat = context.kind(a)?.rank() == 2;
    let flatten = |context: &mut Context, value: &str, width: usize| {
        let target = context.ints(&[-1, width as i64]);
        context.emit("Reshape", &[value, &target], &[])
    };
    let g = if flat { g.to_owned() } else { flatten(context, g, columns) };
    if context.needs_gradient(a) {
        let gradient = product(context, &g, false, b, true, 1.0);
        let gradient = if flat { gradient } else { context.reshape_like(&gradient, a)? };
        context.accumulate(a, gradient);
    }
    if context.needs_gradient(b) {
        let a = if flat { a.to_owned() } else { flatten(context, a, rows) };
        let gradient = product(context, &a, true, &g, false, 1.0);
        context.accumulate(b, gradient);
    }
    Ok(())
}

/// `scale op(A) op(B)` of matrices.
fn product(context: &mut Context, a: &str, a_turned: bool, b: &str, b_turned: bool, scale: f32) -> String {
    let mut attributes = Vec::with_capacity(3);
    if a_turned {
        attributes.push(("transA", Attribute::Int(1)));
    }
    if b_turned {
        attributes.push(("transB", Attribute::Int(1)));
    }
    if scale.to_bits() != 1.0_f32.to_bits() {
        attributes.push(("alpha", Attribute::Float(scale)));
    }
    context.emit("Gemm", &[a, b], &attributes)
}

/// The kind of a product whose last two dimensions are those of `matrix`, and the leading ones those of the result.
fn batched(result: &TensorKind, matrix: &TensorKind) -> TensorKind {
    let leading = result.dims.iter().take(result.rank().saturating_sub(2));
    let last = matrix.dims.iter().skip(matrix.rank().saturating_sub(2));
    TensorKind::float(leading.chain(last).copied().collect())
}

fn unsqueeze(context: &mut Context, value: &str, kind: &TensorKind, axis: usize) -> (String, TensorKind) {
    let mut kind = kind.clone();
    kind.dims.insert(axis.min(kind.rank()), Dim::ONE);
    let place = context.ints(&[axis as i64]);
    (context.emit("Unsqueeze", &[value, &place], &[]), kind)
}

/// Exchanges the last two axes.
fn turn(context: &mut Context, value: &str, rank: usize) -> String {
    let mut order: Vec<i64> = (0..rank as i64).collect();
    if let [.., row, column] = &mut order[..] {
        std::mem::swap(row, column);
    }
    context.emit("Transpose", &[value], &[("perm", Attribute::Ints(order))])
}
