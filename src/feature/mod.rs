//! Vectors: one row per thing to score → the model's inputs.
//!
//! ```text
//!  requests ──▶ key of table 1 ─▶ look-up ─┐
//!     │   └───▶ key of table 2 ─▶ look-up ─┤   ┌ select list ┐
//!     └────────────────────────────────────┴──▶│ DataFusion  │──▶ Matrix: rows of typed columns, finite
//!                                              └─────────────┘             ▲ Inputs: which types, and where
//! ```
//!
//! `vector.sql` reads `requests` and left-joins feature tables on their keys. The joins are look-ups into live state, made
//! while events are applied, so a vector sees exactly the events before it (of a table of windows, the newest row that was
//! emitted by then); the select list is evaluated for many rows
//! at once. The columns are the model's inputs, tied to it by a [`Fingerprint`]; their types follow from the inputs that they go
//! into ([`Inputs`]): float32 that are one matrix, ids, doubles, texts, lists.
//!
//! It does not score. It fails with [`PlanError`](crate::sql::PlanError) when the select has another form or a column
//! could be NULL and is not to be NaN then ([`Missing`]), and reports rows that cannot be scored (not a finite number) one by one.

mod column;
mod fingerprint;
mod inputs;
mod join;
mod live;
mod matrix;
mod meaning;
mod missing;
mod number;
mod place;
mod plan;
mod reads;
mod typed_rows;
mod words;

pub(crate) use column::{ColumnForm, VectorColumn};
pub(crate) use fingerprint::Fingerprint;
pub use inputs::Inputs;
pub(crate) use inputs::TypedColumn;
pub use live::LiveReads;
pub(crate) use live::{LivePlan, LiveTable, TableView};
pub(crate) use matrix::{Matrix, Unscorable};
pub(crate) use meaning::{Meaning, TableText};
pub(crate) use missing::IfNull;
pub use missing::Missing;
pub(crate) use number::Number;
pub(crate) use place::{Kind, Place};
pub(crate) use plan::VectorPlan;
pub(crate) use reads::VectorReads;
pub(crate) use typed_rows::{columns_of, fill_typed};

/// Name of the relation of things to score in `vector.sql`.
pub const REQUESTS: &str = "requests";
