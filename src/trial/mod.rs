//! A pipeline's own cases: events in, rows, vectors or scores out, through the real step and the real model.
//!
//! ```text
//!   tests/NAME.toml ─▶ Case ─▶ events into a Step ─▶ counts, emissions, rows, vectors, scores ─▶ what does not hold
//! ```
//!
//! No broker, and no clock but the case's own. `tidewheel test` prints what comes out.

mod case;
mod emits;
mod error;
mod events;
mod json_rows;
mod rows;
mod run;
mod scores;
mod vectors;

pub(crate) use error::TrialError;
pub(crate) use run::{Outcome, run};
