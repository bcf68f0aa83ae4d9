//! Why a case cannot be told: it does not fit its pipeline, or what it asks for fails. What merely does not hold is a fault.

use std::io;

use arrow::error::ArrowError;

use crate::bus::BusError;
use crate::engine::EngineError;
use crate::model::ModelError;
use crate::sql::PlanError;
use crate::step::StepError;
use crate::window::WindowError;

/// Why a case cannot be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrialError {
    /// Its file cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// The file is no case.
    #[error(transparent)]
    Format(#[from] toml::de::Error),
    /// A part of the case failed.
    #[error("{part}")]
    In {
        /// Which part.
        part: String,
        /// What happened.
        source: Box<Self>,
    },
    /// Events of a stream that the pipeline does not read.
    #[error("no stream `{0}`")]
    NoStream(String),
    /// Events without a subject, of a stream without one.
    #[error("the stream has no subject")]
    NoSubject,
    /// A subject that is none.
    #[error(transparent)]
    Subject(#[from] BusError),
    /// A time that is none.
    #[error("`{text}` is not a time such as 2017-11-26T01:00:00Z")]
    Time {
        /// What is there.
        text: String,
        /// What is wrong with it.
        source: time::error::Parse,
    },
    /// A row of an as-of table without a moment.
    #[error("`at` is missing: an as-of table is read as of a time")]
    NoTime,
    /// A table that the pipeline does not keep.
    #[error("no such table")]
    NoTable,
    /// Emitted rows are expected of a table that emits none.
    #[error("the table has no window in its GROUP BY and emits nothing: use [[rows]]")]
    EmitsNothing,
    /// A key column without a value.
    #[error("the key `{0}` is missing")]
    NoKey(String),
    /// A column that is not there.
    #[error("no column `{0}`")]
    NoColumn(String),
    /// A number that an integer column can't have as it is written.
    #[error(
        "`{value}` is no exact value of the integer column `{column}`: write it in digits, without a point and without quotes"
    )]
    NotExact {
        /// The column.
        column: String,
        /// What is there.
        value: serde_json::Value,
    },
    /// Values that make no row.
    #[error("no value")]
    NoValue,
    /// A table that gives no row for a key.
    #[error("no row")]
    NoRow,
    /// A vector is expected of a pipeline without one.
    #[error("the pipeline has no vector")]
    NoVector,
    /// A ranking is expected of a pipeline that makes none.
    #[error("the pipeline scores nothing")]
    NoScore,
    /// A ranking is expected of a pipeline without a model.
    #[error("the pipeline has no model")]
    NoModel,
    /// A request that the pipeline does not take.
    #[error("the request is refused: {0}")]
    Refused(String),
    /// A request without an answer.
    #[error("no ranking")]
    NoRanking,
    /// The step failed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A table failed.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// A plan that was checked does not hold.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The model cannot be loaded.
    #[error(transparent)]
    Load(#[from] EngineError),
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Values that do not fit their columns.
    #[error(transparent)]
    Columns(#[from] ArrowError),
    /// A request or a reply that is no JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl TrialError {
    /// Says in which part of the case it happened.
    pub(super) fn within(part: impl Into<String>) -> impl FnOnce(Self) -> Self {
        move |source| Self::In { part: part.into(), source: Box::new(source) }
    }
}
