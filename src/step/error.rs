//! Why a step fails.

use crate::bus::StreamSequence;
use crate::event::{DecoderError, SeenIdsError, TooManyPartitions};
use crate::fault::{Judged, Judgement};
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
    /// Events that came as columns do not have those of their stream.
    #[error("stream `{stream}`: {source}")]
    Rows {
        /// Which stream.
        stream: String,
        /// Which column.
        source: DecoderError,
    },
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
    /// An expression failed on an event or a row, and the pipeline is to stop then.
    #[error(
        "stream `{stream}`, message {sequence}: {detail}; the pipeline stops here because [state] poison = \"stop\": mend \
         the expression, or say \"dead-letter\""
    )]
    Poison {
        /// Which stream.
        stream: String,
        /// The message.
        sequence: StreamSequence,
        /// What failed, and on what.
        detail: String,
    },
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
    /// A view of the state holds too much that events have changed since.
    #[error(
        "the view of {of} was given up: events have changed more than {limit} bytes of what it holds while it was read; ask \
         again, or read fewer tables at a time"
    )]
    ViewEnded {
        /// Its tables, or the state.
        of: String,
        /// What views may hold so, bytes.
        limit: usize,
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

impl Judged for StepError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Decoder(error) | Self::Rows { source: error, .. } => error.judgement(),
            Self::Ids(error) => error.judgement(),
            Self::Window { source, .. }
            | Self::Windows(source)
            | Self::Vector(source)
            | Self::Trigger(source)
            | Self::Positive(source) => source.judgement(),
            Self::Poison { .. } => Judgement::DATA,
            Self::Partitions { source, .. } => source.judgement(),
            Self::Example(error) => error.judgement(),
            Self::Join(error) => error.judgement(),
            Self::Request(error) => error.judgement(),
            Self::State { source, .. } => source.judgement(),
            Self::Plan(error) => error.judgement(),
            Self::Snapshot(error) => error.judgement(),
            // Less is changed while less is read.
            Self::ViewEnded { .. } => Judgement::PASSES,
            Self::Thread => Judgement::CRASH,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use arrow::datatypes::DataType;
    use arrow::error::ArrowError;
    use datafusion::error::DataFusionError;

    use super::*;

    fn expression() -> WindowError {
        DataFusionError::Execution("division by zero".to_owned()).into()
    }

    fn kernel() -> ArrowError {
        ArrowError::ComputeError("lengths differ".to_owned())
    }

    #[test]
    fn an_expression_that_fails_on_the_data_is_the_datas_wherever_it_stands() {
        let table = "user_activity".to_owned();
        for error in [
            StepError::Window { table, source: expression() },
            StepError::Windows(expression()),
            StepError::Vector(expression()),
            StepError::Trigger(expression()),
            StepError::Positive(expression()),
        ] {
            assert_eq!(error.judgement(), Judgement::DATA, "{error}");
        }
    }

    #[test]
    fn each_error_says_what_the_error_inside_says() {
        let limit = WindowError::MemoryLimit { table: String::new(), bytes: 2, limit: 1 };
        let part = || "windows".to_owned();
        let state = |source| StepError::State { part: part(), source };
        let section = part();
        let full = SaveError::Io { what: "written", section, source: io::ErrorKind::StorageFull.into() };
        for (error, judgement) in [
            (DecoderError::Columns(kernel()).into(), Judgement::DEFECT),
            (SeenIdsError::IdType { found: DataType::Float64 }.into(), Judgement::OPERATOR),
            (StepError::Windows(limit), Judgement::OPERATOR),
            (StepError::Windows(kernel().into()), Judgement::DEFECT),
            (StepError::Partitions { stream: part(), source: TooManyPartitions }, Judgement::OPERATOR),
            (RequestError::Field { field: "items", expected: "an array" }.into(), Judgement::OPERATOR),
            (RequestError::Columns(kernel()).into(), Judgement::DEFECT),
            (state(SaveError::Damaged { section: part() }), Judgement::DATA),
            (state(SaveError::Unexpected { found: part(), expected: part() }), Judgement::OPERATOR),
            (state(full), Judgement::OUTSIDE),
            (PlanError::new("no such column").into(), Judgement::OPERATOR),
            (SnapshotError::Stopped(String::new()).into(), Judgement::CRASH),
            (StepError::ViewEnded { of: part(), limit: 1 }, Judgement::PASSES),
            (StepError::Thread, Judgement::CRASH),
        ] {
            assert_eq!(StepError::judgement(&error), judgement, "{error}");
        }
    }
}
