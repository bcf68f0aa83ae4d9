//! Squared error.

use super::{shares, total};
use crate::model::{
    ModelError,
    gradient::{context::Context, kind::TensorKind, spec::names},
};

/// `loss = (p - y)²`, `d loss / d p = 2 (p - y)`.
pub(super) fn write(context: &mut Context, prediction: &str, kind: &TensorKind) -> Result<(), ModelError> {
    let share = shares(context, prediction, kind)?;
    let error = context.emit("Sub", &[prediction, names::LABEL], &[]);
    let losses = context.emit("Mul", &[&error, &error], &[]);
    total(context, &losses, &share);
    let two = context.float(2.0);
    let weighted = context.emit("Mul", &[&error, &share], &[]);
    let gradient = context.emit("Mul", &[&weighted, &two], &[]);
    context.accumulate(prediction, gradient);
    Ok(())
}
