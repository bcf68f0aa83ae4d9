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
//! - [`Run`] puts it between a broker's streams and back, so that nothing is lost and nothing comes twice. Outputs are
//!   committed in epochs: one atomic batch in the broker that ends with a marker of how far the inputs are done. Snapshots of
//!   the state shorten what a restart reads again; what it reads again is checked to be what was read before.
//! - Events in = counted + late + rejected + duplicate, always.
//!
//! It fails with [`EngineError`], and then stops as a whole: what was not published follows after the restart.

mod feed;
mod input;
mod keeping;
mod parts;
mod references;
mod replay;
mod restore;
mod run;
mod saving;
mod serve;
mod stats;
mod step_thread;
mod telemetry;
mod train;

pub use input::Snapshots;
pub use run::{Run, RunSettings};
pub use serve::{load_model, open_registry};
pub use stats::Stats;
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
use crate::snapshot::{SaveError, SnapshotError};
use crate::sql::PlanError;
use crate::window::WindowError;

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
    /// Somebody else does this already.
    #[error("the {role} of pipeline {pipeline} is {host}: stop that one first")]
    AlreadyRunning {
        /// `worker` or `trainer`.
        role: &'static str,
        /// The pipeline.
        pipeline: String,
        /// Machine and process of the other one.
        host: String,
    },
    /// Another worker took over.
    #[error("pipeline {pipeline} was taken over by {host}: this worker no longer commits anything")]
    Superseded {
        /// The pipeline.
        pipeline: String,
        /// Machine and process of the other worker.
        host: String,
    },
    /// Others keep writing to the output stream while we try to begin.
    #[error("pipeline {pipeline} can't be claimed: others keep writing to its output stream")]
    Contended {
        /// The pipeline.
        pipeline: String,
    },
    /// A marker of the output stream can't be read or written.
    #[error("marker at {sequence} of the output stream: {source}")]
    Marker {
        /// Where it is; 0 for one that is being written.
        sequence: u64,
        /// What happened.
        source: serde_json::Error,
    },
    /// A marker of another version of the program.
    #[error(
        "marker at {sequence} of the output stream has format {found}, expected {expected}: run the version that wrote it"
    )]
    MarkerFormat {
        /// Where it is.
        sequence: u64,
        /// What it says.
        found: u32,
        /// What this version reads.
        expected: u32,
    },
    /// An input stream is not the one that was read.
    #[error(
        "stream {stream}: {what}. Put the broker's data back, or choose: --accept-loss goes on with the features as they are, \
         --from-scratch begins anew with what the stream holds"
    )]
    InputLost {
        /// The stream in the broker.
        stream: String,
        /// What was found.
        what: String,
    },
    /// Messages are gone before they were read.
    #[error(
        "stream {stream} no longer has {count} messages from {first} on, which were not read yet: they expired or were \
         deleted. --accept-loss goes on without them"
    )]
    InputMissing {
        /// The stream in the broker.
        stream: String,
        /// The first of them.
        first: StreamSequence,
        /// How many.
        count: u64,
    },
    /// What is read again is not what was read before.
    #[error(
        "stream {stream} up to {until} is not what it was when its events were counted: messages expired, were deleted or \
         changed, and no snapshot holds what followed from them. --accept-loss goes on with what is there, --from-scratch \
         begins anew"
    )]
    InputsDiffer {
        /// The stream in the pipeline.
        stream: String,
        /// How far it had been read.
        until: StreamSequence,
    },
    /// The output stream is behind what a snapshot knows of it.
    #[error(
        "output stream {stream} ends at {last}, but outputs up to {known} were committed: the broker lost them, was put back \
         or is another one. --accept-loss goes on without them, --from-scratch begins anew"
    )]
    OutputLost {
        /// The stream in the broker.
        stream: String,
        /// Where it ends.
        last: StreamSequence,
        /// What was committed.
        known: StreamSequence,
    },
    /// There is no output stream any more.
    #[error(
        "output stream {stream} is gone: the broker was wiped, put back or is another one. Put the broker's data back, or \
         choose: --accept-loss goes on without what was committed, --from-scratch begins anew"
    )]
    OutputGone {
        /// The stream in the broker.
        stream: String,
    },
    /// There is no registry of models any more.
    #[error(
        "registry of models {stream} is gone: the broker was wiped, put back or is another one. Put the broker's data back, \
         or start again with --accept-loss, which goes on without what was lost, or --from-scratch, which begins anew; both \
         begin with the model of the pipeline's folder"
    )]
    RegistryGone {
        /// The stream in the broker.
        stream: String,
    },
    /// The newest marker expired.
    #[error(
        "output stream {stream} had messages up to {last}, and none is left to tell how far the inputs were done: the pipeline \
         did not run for longer than its outputs are kept. --from-scratch begins anew"
    )]
    MarkerLost {
        /// The stream in the broker.
        stream: String,
        /// Where it ends.
        last: StreamSequence,
    },
    /// Somebody else writes to the output stream.
    #[error(
        "output stream {stream} goes on to {last} after the newest marker at {marker}: somebody else writes to it, or the broker \
         has kept a part of a batch. --accept-loss goes on from the marker, and may commit again what is there; --from-scratch \
         begins anew"
    )]
    ForeignOutput {
        /// The stream in the broker.
        stream: String,
        /// The newest marker.
        marker: StreamSequence,
        /// Where the stream ends.
        last: StreamSequence,
    },
    /// Snapshots.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A part of the state could not be written.
    #[error("part {part} of the state: {source}")]
    Part {
        /// Which part.
        part: String,
        /// What happened.
        source: std::io::Error,
    },
    /// A part of the state could not be saved or restored.
    #[error("part {part} of the state: {source}")]
    State {
        /// Which part.
        part: String,
        /// What happened.
        source: SaveError,
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

    /// Whether the broker gave no answer, which passes where a cluster is choosing another leader.
    fn is_unanswered(&self) -> bool {
        let (Self::Bus(error)
        | Self::Registry(RegistryError::Bus(error))
        | Self::Reference(ReferenceError::Bus(error))) = self
        else {
            return false;
        };
        error.is_unanswered()
    }
}
