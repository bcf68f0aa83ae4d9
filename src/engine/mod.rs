//! The engine: a checked pipeline, its step, and the threads around it.
//!
//! ```text
//!  Reader ─▶┐                        ┌────────── one thread ──────────┐   ┌─ one thread ─┐
//!           ├─▶ bounded channel ────▶│ Step: decode → tables → vectors │──▶│ model, JSON  │──▶ Publisher
//!  Service ─▶┘   events, requests    └────────────────────────────────┘   └──────────────┘    and replies
//! ```
//!
//! - [`Step`](crate::step::Step) is the whole computation, without I/O, clock or thread: the same inputs in the same order give the same state
//!   and outputs. Tests and `tidewheel test` drive it by hand.
//! - Tables of windows emit rows as the watermark passes: they are published, looked up by vectors and SQL, and appended to
//!   Delta tables, each once; those are kept up in the background.
//! - The scoring thread ranks, remembers what was shown and joins feedback to it: examples go to a stream.
//! - [`Training`] reads that stream on a thread, or in a process, of its own; what it promotes in the registry reaches the
//!   scoring thread between two batches.
//! - [`Run`] puts it between a broker's streams and back, so that nothing is lost and nothing comes twice. Outputs are
//!   committed in epochs: one atomic batch in the broker that ends with a marker of how far the inputs are done. Snapshots of
//!   the state shorten what a restart reads again; what it reads again is checked to be what was read before.
//! - Events in = counted + late + rejected + duplicate, always.
//!
//! It fails with [`EngineError`], and then stops as a whole: what was not published follows after the restart. Training alone
//! fails by itself: it stops with its reason, and serving goes on with the active model.

mod error;
mod input;
mod keeping;
mod parts;
mod past;
mod patience;
mod references;
mod replay;
mod run;
mod saving;
mod serve;
mod source;
mod start;
mod stats;
mod step_thread;
mod telemetry;
mod thread;
mod train;
mod upkeep;

pub use error::EngineError;
pub use input::Snapshots;
pub use run::{Run, RunSettings};
pub use serve::{load_model, open_registry};
pub use stats::{Figures, Stats};
pub use telemetry::describe as describe_metrics;
pub use train::{Training, TrainingOptions, TrainingReport};
