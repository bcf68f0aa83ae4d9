//! The step: events and requests in, state on, outputs out.
//!
//! ```text
//!   events ───▶ Arrival: decoded, no repeats, watermarks ─▶ Tables ─▶ Trigger ─▶ vectors ─┐
//!                   │ dead letters                            │ rows of windows           ├─▶ StepOutput
//!   requests ───────┼─────────────────────────────────────────┴──────────▶ vectors ───────┤
//!                   └─▶ Feedback ────────────────────────────────────────────────────────┘
//!   StepOutput + rankings, silence ─▶ Labeller: impressions wait for feedback ─▶ examples
//!   between two steps ─▶ StepView: the state as it is then, for SQL and for snapshots
//! ```
//!
//! - [`Step`] is the whole computation over a pipeline's streams: no broker, no clock, no file, and no thread but for restoring
//!   its parts. The same inputs in the same order give the same state and the same outputs, however they are cut into steps.
//! - Events are messages of the broker, or an [`EventBatch`]: rows of an archive or a file, each with its place in the stream.
//!   What follows from them is the same.
//! - Events in = counted + late + rejected + duplicate, always.
//! - Its state is read by others as a view, which is taken between two steps and stays what it is while steps go on. A view
//!   saves it as named parts, from which it is restored. Tables whose parts are of something else are made again by a step of
//!   their own, which reads the same messages.
//!
//! It does not score, publish or commit.
//!
//! It fails with [`StepError`], after which the state is in the middle of a step and of no use: whoever drives it ends, and
//! goes on from what is committed. What is wrong with one event, row or request is none: it becomes a dead letter or a
//! refusal. An event that an expression of one table fails on still counts in the others.

mod arrival;
mod batch;
mod counts;
mod deadletter;
mod error;
mod failed;
mod feedback;
mod incoming;
mod label;
mod output;
mod rebuild;
mod saving;
mod step;
mod tables;
#[cfg(test)]
mod tests;
mod trigger;
mod view;

pub use batch::{BatchError, EventBatch, Subjects};
pub use counts::Counts;
pub(crate) use deadletter::DeadLetter;
pub(crate) use deadletter::LATE;
pub use deadletter::{FAILED, UNSCORABLE};
pub(crate) use deadletter::{FailingPlace, Owner, RowId};
pub use error::StepError;
pub use incoming::Events;
pub(crate) use label::{ExampleMessage, ImpressionMessage, Labelled, Silence};
pub use label::{Labeller, LabelsView};
pub(crate) use label::{Made, Past, Recorded, Shown, Tick};
pub(crate) use output::Origin;
pub use output::{Emitted, StepOutput};
pub(crate) use saving::tables_gone;
pub use saving::{Misfit, Resumed};
pub use step::Step;
pub use view::{EndedViews, HeldViews, SettledViews, StepView};
