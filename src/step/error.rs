//! Why a step fails.

use crate::event::{DecoderError, SeenIdsError, TooManyPartitions};
use crate::learn::{ExampleError, JoinError};
use crate::score::RequestError;
use crate::snapshot::{SaveError, SnapshotError};
use crate::sql::PlanError;
use crate::window::WindowError;

/// Why a step fails.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
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
    /// Requests.
    #[error(transparent)]
    Request(#[from] RequestError),
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
    /// A part of a snapshot could not be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A thread that restored parts of the state has ended by itself.
    #[error("the restore thread ended unexpectedly")]
    Thread,
}
