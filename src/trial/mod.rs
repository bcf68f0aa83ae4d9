//! A pipeline's own cases: events in, rows, vectors or scores out, through the real step and the real model.
//!
//! ```text
//!   tests/NAME.toml ─▶ Case ─▶ events into a Step ─▶ counts, emissions, rows, vectors, scores ─▶ what does not hold
//! ```
//!
//! No broker, and no clock but the case's own. `tidewheel test` prints what comes out.

mod case;
mod emits;
mod json_rows;

pub(crate) use case::{Case, Events, Row, Score, Vector};
pub(crate) use emits::check_emits;
pub(crate) use json_rows::{TOLERANCE, as_json, one_row, same};
