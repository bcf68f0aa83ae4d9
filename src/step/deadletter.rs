//! What cannot be used, with the reason.

use std::fmt;

use arrow::array::ArrayRef;
use bytes::Bytes;

use crate::bus::StreamSequence;
use crate::pipeline::StreamIndex;
use crate::time::EventTime;
use crate::window::EmissionKind;

/// Reason of events that are too old for every window.
pub(crate) const LATE: &str = "late";
/// Reason of rows whose vector is not made of finite numbers.
pub const UNSCORABLE: &str = "unscorable";
/// Reason of events and rows that an expression of the pipeline fails on.
pub const FAILED: &str = "failed";

/// An event, or a row made of events, on its way to the dead-letter subject.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Index of the stream it came from.
    pub stream: StreamIndex,
    /// Its message; of a row, the one whose watermark made it due.
    pub sequence: StreamSequence,
    /// Why, in a word.
    pub reason: &'static str,
    /// Why, in a sentence.
    pub detail: String,
    /// The event's own bytes where it was refused as it was read; the whole message, with its neighbours in it, where the
    /// event is late, fails or can't be scored, for by then it is a row. Where events came as columns both are an Arrow stream.
    /// Of a row, what it would be computed from, as JSON.
    pub bytes: Bytes,
    /// The expression, where one fails.
    pub place: Option<FailingPlace>,
}

/// What fails on an event or a row.
#[derive(Debug, Clone, PartialEq)]
pub struct FailingPlace {
    /// The table, or the setting that holds a condition.
    pub owner: Owner,
    /// The expression.
    pub expression: String,
    /// The row of a table of windows that can't be made; absent for events.
    pub row: Option<RowId>,
}

/// Where an expression stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// In the select of a table.
    Table(String),
    /// In a setting of `pipeline.toml`.
    Setting(&'static str),
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(table) => write!(formatter, "table `{table}`"),
            Self::Setting(setting) => formatter.write_str(setting),
        }
    }
}

/// What identifies a row of a table of windows.
#[derive(Debug, Clone, PartialEq)]
pub struct RowId {
    /// Why it would be emitted.
    pub kind: EmissionKind,
    /// The watermark at which.
    pub at: EventTime,
    /// Its key, one row per column.
    pub keys: Vec<ArrayRef>,
    /// Start and end of its window, microseconds.
    pub window: (i64, i64),
}
