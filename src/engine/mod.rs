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
//! - Tables of windows emit rows as the watermark passes: they are published, looked up by vectors and SQL, and appended to
//!   Delta tables, each once.
//! - The scoring thread ranks, remembers what was shown and joins feedback to it: examples go to a stream.
//! - [`Training`] reads that stream on a thread, or in a process, of its own; what it promotes in the registry reaches the
//!   scoring thread between two batches.
//! - [`Run`] puts it between a broker's streams and back. Every output names the position of the input it follows
//!   from; on a restart the streams are replayed from their beginning to rebuild the features, and outputs up to the last
//!   position that is known to be complete are not published again. Later ones are published under the same message
//!   ids, so that the broker drops what it already has.
//! - Events in = counted + late + rejected + duplicate, always.
//!
//! It fails with [`EngineError`], and then stops as a whole: what was not published follows after the restart.

mod arrival;
mod deadletter;
mod emitted;
mod feed;
mod feedback;
mod keeping;
mod label;
mod learning;
mod pipeline;
mod position;
mod publish;
mod recorded;
mod references;
mod run;
mod scoring;
mod serving;
mod stats;
mod step;
mod step_thread;
mod streams;
mod tables;
mod telemetry;
mod train;
mod trigger;

pub use deadletter::{DeadLetter, LATE, UNSCORABLE};
pub use feedback::{Feedback, Positive};
pub use pipeline::{
    LabelPlan, ModelPlan, Pipeline, ReferencePlan, ReferenceSource, ScorePlan, StreamPlan, TablePlan, TrainPlan,
    Trigger,
};
pub use position::Position;
pub use run::{Run, RunSettings};
pub use serving::{load_model, open_registry};
pub use stats::{Snapshot, Stats};
pub use step::{Origin, Step, StepOutput};
pub use step_thread::Snapshots;
pub use streams::{examples_spec, examples_subject, input_spec, output_spec};
pub use telemetry::describe as describe_metrics;
pub use train::{Training, TrainingOptions, TrainingReport};

use crate::bus::{BusError, StreamSequence};
use crate::event::{DecoderError, SeenIdsError, TooManyPartitions};
use crate::history::HistoryError;
use crate::learn::{ExampleError, JoinError, LearnError};
use crate::model::ModelError;
use crate::reference::ReferenceError;
use crate::registry::RegistryError;
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
    /// A table of windows failed; several may share what failed.
    #[error("tables of windows: {0}")]
    Windows(WindowError),
    /// Emitted rows could not be written as JSON.
    #[error("rows of table `{table}` can't be written as JSON: {source}")]
    Emitted {
        /// Which table.
        table: String,
        /// What happened.
        source: arrow::error::ArrowError,
    },
    /// The Delta tables of emitted rows.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A reference table.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A stream has too many partitions.
    #[error("stream `{stream}`: {source}")]
    Partitions {
        /// Which stream.
        stream: String,
        /// How many there may be.
        source: TooManyPartitions,
    },
    /// The vector's select failed on the data.
    #[error("vector.sql: {0}")]
    Vector(WindowError),
    /// The condition that makes an event worth scoring failed.
    #[error("score.on: {0}")]
    Trigger(WindowError),
    /// The condition that makes an event positive feedback failed.
    #[error("labels.positive: {0}")]
    Positive(WindowError),
    /// Examples could not be made or written.
    #[error(transparent)]
    Example(#[from] ExampleError),
    /// The label join's settings.
    #[error("[labels]: {0}")]
    Join(#[from] JoinError),
    /// Training.
    #[error("training: {0}")]
    Learn(#[from] LearnError),
    /// The registry of models.
    #[error("model registry: {0}")]
    Registry(#[from] RegistryError),
    /// Something needs a model, and the pipeline has none.
    #[error("the pipeline has no model: add [model] and vector.sql")]
    NoModel,
    /// Training was asked for, and the pipeline does not train.
    #[error("the pipeline does not learn: add [labels] and [train] to pipeline.toml")]
    NoTraining,
    /// The broker has fewer examples than the weights have learnt from.
    #[error(
        "the stream of examples ends at {last}, training goes on at {position}: the broker lost messages or is another one"
    )]
    ExamplesLost {
        /// Where training goes on.
        position: StreamSequence,
        /// The newest message there is.
        last: StreamSequence,
    },
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

impl EngineError {
    /// Whether somebody else changed the registry first.
    pub fn is_lost_race(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_lost_race())
    }
}
