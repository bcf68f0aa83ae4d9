//! A pipeline's own cases: events in, rows, vectors or scores out, through the real step and the real model.
//!
//! ```text
//!   tests/NAME.toml ─▶ check: does all that it names exist?
//!        └───────────▶ Case ─▶ events into a Step ─▶ counts, emissions, rows, vectors, scores ─▶ what does not hold
//! ```
//!
//! What is expected is compared exactly, but for floating-point numbers; what would be told of another moment than a case names
//! is no answer. No broker, and no clock but the case's own. It does not print: `tidewheel test` does, with what comes out. It fails with
//! [`TrialError`] where a case cannot be told, such as one that names no table of the pipeline; what merely does not hold is
//! a part of the [`Outcome`].

mod case;
mod check;
mod emits;
mod error;
mod events;
mod json_rows;
mod moment;
mod rows;
mod run;
mod scores;
mod value;
mod vectors;

#[cfg(test)]
mod tests;

pub(crate) use check::check;
pub(crate) use error::TrialError;
pub(crate) use run::{Outcome, run};
