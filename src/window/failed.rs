//! What a table leaves out because an expression failed on it.

use arrow::array::{ArrayRef, RecordBatch};

use super::closed::WindowIndex;
use crate::sql::Failed;

/// An event that a table of windows leaves out.
#[derive(Debug, Clone)]
pub(crate) struct FailedEvent {
    /// The table.
    pub(crate) table: WindowIndex,
    /// Which row of the batch.
    pub(crate) row: usize,
    /// The expression, and what it failed with.
    pub(crate) failed: Failed,
}

/// A row that a table of windows would have given, if its HAVING and its columns could be computed.
#[derive(Debug, Clone)]
pub struct FailedRow {
    /// The columns of the GROUP BY that are not bounds of the window, one row each.
    pub(crate) keys: Vec<ArrayRef>,
    /// Start and end of the window, microseconds.
    pub(crate) window: (i64, i64),
    /// What HAVING and the columns are computed from: one row of groups and aggregates.
    pub(crate) values: RecordBatch,
    /// The expression, and what it failed with.
    pub(crate) failed: Failed,
}

/// A value of a row that was looked up, if it could be computed; NULL stands there.
#[derive(Debug, Clone)]
pub(crate) struct FailedValue {
    /// Which look-up.
    pub(crate) row: usize,
    /// The column of the table.
    pub(crate) column: usize,
    /// The expression, and what it failed with.
    pub(crate) failed: Failed,
}
