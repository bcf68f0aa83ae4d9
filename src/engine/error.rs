//! Why a pipeline stops.

use crate::bus::{BusError, StreamSequence};
use crate::commit::CommitError;
use crate::history::HistoryError;
use crate::learn::{ExampleError, LearnError};
use crate::model::ModelError;
use crate::reference::ReferenceError;
use crate::registry::RegistryError;
use crate::snapshot::SnapshotError;
use crate::step::StepError;

/// Why a pipeline stops.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A step.
    #[error(transparent)]
    Step(#[from] StepError),
    /// Committing, or going on from what is committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The broker.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The Delta tables of emitted rows.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A reference table.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
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
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A thread of the engine ended before it was told to.
    #[error("the {0} thread ended unexpectedly")]
    Thread(&'static str),
    /// Examples could not be read.
    #[error(transparent)]
    Example(#[from] ExampleError),
}

impl EngineError {
    /// Whether somebody else changed the registry first.
    pub fn is_lost_race(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_lost_race())
    }

    /// Whether the broker gave no answer, which passes where a cluster is choosing another leader.
    pub(super) fn is_unanswered(&self) -> bool {
        let (Self::Bus(error)
        | Self::Commit(CommitError::Bus(error))
        | Self::Registry(RegistryError::Bus(error))
        | Self::Reference(ReferenceError::Bus(error))) = self
        else {
            return false;
        };
        error.is_unanswered()
    }
}
