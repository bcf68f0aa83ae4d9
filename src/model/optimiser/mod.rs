//! How weights follow gradients: SGD, AdamW, Adagrad and FTRL, in place on plain float32 slices.
//!
//! ```text
//!   gradient, dense [n] ──────────────────────────┐
//!                                                 ├─▶ norm ─▶ scale ─▶ kernel ─▶ weights, moments
//!   gradient, rows [k] and values [k, width] ──▶ RowGradient                     (only the rows named)
//!                                          duplicates are summed first
//! ```
//!
//! An [`Optimizer`] keeps one or two numbers beside every weight (moments, accumulators) and counts its steps. Each
//! algorithm is one file with its formula; the loops are plain zips of slices, which the compiler turns into vector
//! instructions, and nothing is allocated after the first step.
//!
//! The gradient of an embedding table names rows. Only these rows, and what is kept beside them, move: for SGD with
//! momentum and AdamW this is the "lazy" form, in which a row that is not named neither decays nor drifts on its old
//! momentum, while AdamW corrects its bias by the optimiser's steps and not by the row's. For SGD without momentum,
//! Adagrad and FTRL without l1 a row without a gradient would stay where it is anyway, so both forms are the same.
//!
//! It does not compute gradients, decide on learning rates over time, or check that a gradient is finite:
//! [`sum_of_squares`] shows that, and the caller leaves the step out. Settings fail with a
//! [`ModelError`](super::ModelError) that names the field; rows that a table does not have are refused.

mod adagrad;
mod adamw;
mod ftrl;
mod kernel;
#[cfg(test)]
mod naive;
mod norm;
mod optimizer;
mod rows;
mod sgd;
mod spec;

pub(crate) use norm::{clip_scale, sum_of_squares};
pub(crate) use optimizer::Optimizer;
pub use optimizer::Step;
pub(crate) use rows::RowGradient;
pub use spec::OptimizerSpec;
