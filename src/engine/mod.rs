//! The engine: a checked pipeline, its step, and the threads around it.
//!
//! ```text
//!  Reader ─▶┐                        ┌────────── one thread ──────────┐   ┌─ one thread ─┐
//!           ├─▶ bounded channel ────▶│ Step: decode → tables → vectors │──▶│ model, JSON  │──▶ Publisher
//!  Service ─▶┘   events, requests    └────────────────────────────────┘   └──────────────┘    and replies
//! ```
//!
//! - [`Step`] is the whole computation, without I/O, clock or thread: the same inputs in the same order give the same state
//!   and outputs. Tests and `tidewheel test` drive it by hand.
//! - [`Run`] puts it between a broker's streams and back. Every output names the position of the input it follows
//!   from; on a restart the streams are replayed from their beginning to rebuild the features, and outputs up to the last
//!   position that is known to be complete are not published again. Later ones are published under the same message
//!   ids, so that the broker drops what it already has.
//! - Events in = counted + late + rejected + duplicate, always.
//!
//! It fails with [`EngineError`], and then stops as a whole: what was not published follows after the restart.

mod deadletter;
mod model;
mod pipeline;
mod position;
mod publish;
mod run;
mod stats;
mod step;
mod streams;
mod telemetry;

pub use deadletter::{DeadLetter, LATE, UNSCORABLE};
pub use model::load_model;
pub use pipeline::{ModelPlan, Pipeline, ScorePlan, StreamPlan, TablePlan, Trigger};
pub use position::Position;
pub use run::{Run, RunSettings, Snapshots};
pub use stats::{Snapshot, Stats};
pub use step::{Origin, Step, StepOutput};
pub use streams::{input_spec, output_spec};
pub use telemetry::describe as describe_metrics;

use crate::bus::BusError;
use crate::event::{DecoderError, SeenIdsError};
use crate::model::ModelError;
use crate::score::RequestError;
use crate::window::{PlanError, WindowError};

/// Why a pipeline stops.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The broker.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Messages could not be decoded at all; single bad events are dead letters instead.
    #[error(transparent)]
    Decoder(#[from] DecoderError),
    /// Event ids of a type that cannot be compared.
    #[error(transparent)]
    Ids(#[from] SeenIdsError),
    /// A feature expression failed on the data.
    #[error("table `{table}`: {source}")]
    Window {
        /// Which table.
        table: String,
        /// What happened.
        source: WindowError,
    },
    /// The vector's select failed on the data.
    #[error("vector.sql: {0}")]
    Vector(WindowError),
    /// The condition that makes an event worth scoring failed.
    #[error("score.on: {0}")]
    Trigger(WindowError),
    /// A plan that was checked does not hold.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Requests.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A thread of the engine ended before it was told to.
    #[error("the {0} thread ended unexpectedly")]
    Thread(&'static str),
}
