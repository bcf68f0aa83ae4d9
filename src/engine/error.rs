//! Why a pipeline stops.

use crate::bus::{BusError, StreamSequence};
use crate::commit::CommitError;
use crate::fault::{Judged, Judgement};
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
    /// Training has stopped by itself, while serving goes on.
    #[error("training stopped: {reason}")]
    TrainingStopped {
        /// Why.
        reason: String,
        /// Whose fault that is, and what follows.
        judgement: Judgement,
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
    /// What waits for feedback was scored by what a table computed before, and events triggered it.
    #[error(
        "{misfit}; events that wait for feedback were scored with it, and are scored again with what it is now: everything is \
         made again from the streams"
    )]
    ScoredBefore {
        /// What does not fit.
        misfit: String,
    },
    /// Rows were asked for that are not there yet.
    #[error("table {table} is being made again, because its feature file has changed: ask again once that is done")]
    BeingMade {
        /// The table.
        table: String,
    },
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
}

impl Judged for EngineError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Step(error) => error.judgement(),
            Self::Commit(error) => error.judgement(),
            Self::Bus(error) => error.judgement(),
            Self::History(error) => error.judgement(),
            Self::Reference(error) => error.judgement(),
            Self::Learn(error) => error.judgement(),
            Self::Registry(error) => error.judgement(),
            Self::Snapshot(error) => error.judgement(),
            Self::Model(error) => error.judgement(),
            Self::Example(error) => error.judgement(),
            Self::TrainingStopped { judgement, .. } => *judgement,
            Self::Part { source, .. } => Judgement::of_io(source),
            Self::NoModel | Self::NoTraining | Self::ScoredBefore { .. } => Judgement::OPERATOR,
            Self::ExamplesLost { .. } | Self::RegistryGone { .. } => Judgement::DATA,
            Self::BeingMade { .. } => Judgement::PASSES,
            Self::Thread(_) => Judgement::CRASH,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::bus::Revision;
    use crate::fault::Remedy;
    use crate::model::ModelVersion;

    fn jetstream(reason: &str) -> BusError {
        BusError::JetStream { action: "ask for", stream: "CLICKS".to_owned(), reason: reason.to_owned() }
    }

    fn timed_out() -> BusError {
        BusError::TimedOut { action: "an answer on score".to_owned(), after: Duration::from_secs(5) }
    }

    /// The error of the bus in each of the rooms that a start asks.
    fn in_each_room(error: fn() -> BusError) -> [EngineError; 4] {
        let in_commit: CommitError = error().into();
        let in_registry: RegistryError = error().into();
        let in_reference: ReferenceError = error().into();
        [error().into(), in_commit.into(), in_registry.into(), in_reference.into()]
    }

    #[test]
    fn a_start_waits_for_a_broker_that_gives_no_answer() {
        let unanswered: [fn() -> BusError; 3] = [
            timed_out,
            || jetstream("request timed out"),
            || jetstream("JetStream system temporarily unavailable (10008)"),
        ];
        for error in unanswered.into_iter().flat_map(in_each_room) {
            assert_eq!(error.remedy(), Remedy::Wait, "{error}");
        }
        let cause = Box::new(timed_out().into());
        let incomplete = RegistryError::Incomplete { version: ModelVersion::of(b"a model"), cause };
        assert_eq!(EngineError::from(incomplete).remedy(), Remedy::Wait);
    }

    #[test]
    fn a_start_waits_for_nothing_else_of_the_bus() {
        let others: [fn() -> BusError; 12] = [
            || jetstream("insufficient resources (10023)"),
            || BusError::Connect { url: String::new(), reason: "timed out".to_owned() },
            || BusError::StreamNotFound { stream: String::new() },
            || BusError::NoRoom { stream: String::new(), bytes: 1, reserved: Vec::new() },
            || BusError::PastEnd { stream: String::new(), position: StreamSequence(2), last: StreamSequence(1) },
            || BusError::Recreated { stream: String::new(), expected_micros: 1, found_micros: 2 },
            || BusError::Fenced { stream: String::new(), expected: StreamSequence(1), found: StreamSequence(2) },
            || BusError::BatchRefused { stream: String::new(), reason: "timed out".to_owned() },
            || BusError::NoResponders { subject: String::new() },
            || BusError::Refused { subject: String::new(), code: 503, message: "busy".to_owned(), body: Bytes::new() },
            || BusError::Unacknowledged {
                subject: String::new(),
                message_id: None,
                tries: 3,
                reason: "timed out".to_owned(),
                others: 0,
            },
            || BusError::Closed,
        ];
        for error in others.into_iter().flat_map(in_each_room) {
            assert_ne!(error.remedy(), Remedy::Wait, "{error}");
        }
    }

    #[test]
    fn each_error_says_whose_it_is() {
        let moved = RegistryError::Moved {
            expected: Revision(1),
            found: Revision(2),
            active: ModelVersion::of(b"another model"),
        };
        let part = EngineError::Part { part: "windows".to_owned(), source: io::ErrorKind::StorageFull.into() };
        let superseded = CommitError::Superseded { pipeline: String::new(), host: String::new() };
        for (error, judgement) in [
            (EngineError::NoModel, Judgement::OPERATOR),
            (superseded.into(), Judgement::OPERATOR),
            (EngineError::RegistryGone { stream: String::new() }, Judgement::DATA),
            (ExampleError::Unreadable { reason: String::new() }.into(), Judgement::DATA),
            (moved.into(), Judgement::OUTSIDE),
            (part, Judgement::OUTSIDE),
            (StepError::Thread.into(), Judgement::CRASH),
            (EngineError::Thread("step"), Judgement::CRASH),
        ] {
            assert_eq!(error.judgement(), judgement, "{error}");
        }
    }
}
