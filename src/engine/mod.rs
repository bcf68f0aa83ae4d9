//! The engine: a checked pipeline, its step, and the threads and tasks around it.
//!
//! ```text
//!   Reader ──▶ task ─┐       ┌ step's thread ──┐ Scored ┌ scoring thread ────┐ Published ┌ committing task ┐
//!   Service ─▶ task ─┴ Input ▶ tables, vectors ├────────▶ models, label join ├───────────▶ epochs          ├▶ AtomicPublisher
//!                            └────────┬────────┘        └─────────▲──────────┘           └───┬─────────┬───┘
//!                 views, emitted rows │                    models │                  replies ▼         │ Committed
//!                                     ▼                           │                                    ▼
//!          upkeep ─▶ Delta tables ◀─ task                      registry ◀─ training thread           task ─▶ snapshots
//!                                                                             ▲ committed examples
//! ```
//!
//! - [`Step`](crate::step::Step) is the whole computation, without I/O or clock: the same inputs in the same order give the
//!   same state and outputs. Tests and `tidewheel test` drive it by hand.
//! - Tables of windows emit rows as the watermark passes: they are published, looked up by vectors and SQL, and appended to
//!   Delta tables, each once; those are kept up in the background.
//! - The scoring thread ranks, remembers what was shown and joins feedback to it: examples go to a stream.
//! - [`Training`] reads that stream on a thread, or in a process, of its own; what it promotes in the registry reaches the
//!   scoring thread between two batches.
//! - [`Run`] puts it between a broker's streams and back, so that nothing is lost and nothing comes twice. Outputs are
//!   committed in epochs: one atomic batch in the broker that ends with a marker of how far the inputs are done. Snapshots of
//!   the state shorten what a restart reads again; what it reads again is checked to be what was read before. A
//!   changed table is made again by itself, and the others keep their state.
//! - SQL and snapshots read a [view](crate::step::StepView) of the state on threads of their own, while the step goes on.
//! - Events in = counted + late + rejected + duplicate, always.
//!
//! It does not compute, and decides little: `step`, `score` and `learn` do the one, and `commit` says what a start does with
//! what it finds. It reads no settings and no arguments.
//!
//! It fails with [`EngineError`], and then stops as a whole: what was not published follows after the restart. Some things
//! fail by themselves, and serving goes on: training stops with its reason; a snapshot that can't be stored leaves more to
//! read again; a view that holds too much of what has changed is given up, with the statement or the snapshot that reads it;
//! upkeep that fails is tried again; a model that can't be loaded does not take over; a changed reference table that can't be
//! read leaves the old one. Each is logged.
//!
//! Its files:
//!
//! ```text
//!   run, thread             a running pipeline, its parts and their ends
//!   start/                  the five acts of a start
//!   past, source, replay    the state as it was left, and reading on from there
//!   rebuild, remaking       tables that a snapshot does not fit, made again from the streams; beside the step
//!   input, step_thread      what the step's thread takes, and the thread
//!   serve/, train/          models and the scoring thread; the training thread
//!   viewing                 views of the state, taken on the step's thread and counted there
//!   saving                  snapshots, written from views
//!   keeping, upkeep         Delta tables
//!   references              tables of facts, and their changes
//!   looking                 how far streams that are somebody else's have come
//!   silence                 when the clock closes labels, because no event does
//!   patience, error         trying again, and giving up
//!   stats, dead_counts      what is counted, and what could not be used
//!   telemetry               metrics
//!   status/                 what an operator is told: warnings, a line each minute, answers
//! ```

mod dead_counts;
mod error;
mod input;
mod keeping;
mod looking;
mod past;
mod patience;
mod rebuild;
mod references;
mod remaking;
mod replay;
mod run;
mod saving;
mod serve;
mod silence;
mod source;
mod start;
mod stats;
mod status;
mod step_thread;
mod telemetry;
mod thread;
mod train;
mod upkeep;
mod viewing;

pub use crate::commit::OnLoss;
pub(crate) use dead_counts::DeadCount;
pub use error::EngineError;
pub(crate) use input::Views;
pub use run::{Run, RunSettings};
pub(crate) use serve::foresee as foresee_model;
pub use serve::load_model;
pub(crate) use stats::{Figures, Stats};
pub(crate) use status::{Status, TrainingState};
pub use status::{StatusDoor, serve_status};
pub(crate) use telemetry::describe as describe_metrics;
pub use train::{Training, TrainingOptions, TrainingReport};
