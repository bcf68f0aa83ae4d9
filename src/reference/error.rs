//! What can be wrong with a reference table.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::bus::BusError;
use crate::fault::{Judged, Judgement};

/// Why a reference table can't be made, refreshed or joined with.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// The file or bucket isn't there or can't be read.
    #[error("{origin} cannot be read: {reason}")]
    Unreadable {
        /// The file's path, or the bucket.
        origin: String,
        /// What the system said.
        reason: String,
    },
    /// A file whose name doesn't say what it holds.
    #[error("{origin} has no known format: name it .csv, .jsonl, .ndjson or .parquet")]
    UnknownFormat {
        /// The file's path.
        origin: String,
    },
    /// Content that breaks its format, its contract or the types of the other rows.
    #[error("{origin}, {place}: {reason}")]
    Row {
        /// The file's path, or the bucket.
        origin: String,
        /// The line, row or key.
        place: String,
        /// The column, the value, and what was expected.
        reason: String,
    },
    /// Content that breaks its format as a whole.
    #[error("{origin}: {reason}")]
    Content {
        /// The file's path, or the bucket.
        origin: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// More than the limits allow.
    #[error("{origin} has {found} {what}, more than the limit of {limit}: narrow it, or raise the limit")]
    TooLarge {
        /// The file's path, or the bucket.
        origin: String,
        /// `rows`, `bytes` or `bytes in memory`.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// The specification names no key, or a validity without columns.
    #[error("reference table {table:?} has no {what}: name {fix}")]
    Unspecified {
        /// The table.
        table: String,
        /// What is missing.
        what: &'static str,
        /// What to name.
        fix: &'static str,
    },
    /// A key or validity column that the table doesn't have.
    #[error("reference table {table:?} has no column {column:?}: it has {}", .columns.join(", "))]
    NoColumn {
        /// The table.
        table: String,
        /// What was named.
        column: String,
        /// The columns that there are.
        columns: Vec<String>,
    },
    /// A column that a key can't have.
    #[error(
        "column {column:?} of reference table {table:?} is {found} and can't be a key: use an integer, a text, a boolean, a date or a time"
    )]
    KeyType {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        found: DataType,
    },
    /// A validity column that is no time.
    #[error(
        "validity column {column:?} of reference table {table:?} is {found}: use a date or a time such as \"2026-01-31T12:00:00Z\""
    )]
    ValidityType {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        found: DataType,
    },
    /// The join has another number of keys than the table.
    #[error("reference table {table:?} is joined on {} but {found} columns of the stream are compared with it: compare each key column once", .key.join(", "))]
    KeyCount {
        /// The table.
        table: String,
        /// The table's key columns.
        key: Vec<String>,
        /// How many columns of the stream are compared.
        found: usize,
    },
    /// The stream's key is of another kind than the table's.
    #[error(
        "{stream:?} is {found} but {column:?} of reference table {table:?} is {expected}: cast one of them, or give the table a contract"
    )]
    KeyMismatch {
        /// The table.
        table: String,
        /// The table's key column.
        column: String,
        /// Its type.
        expected: DataType,
        /// The stream's column.
        stream: String,
        /// Its type.
        found: DataType,
    },
    /// Two rows with one key.
    #[error(
        "reference table {table:?}: {first} and {second} have one key, {key}: remove one, or name validity columns"
    )]
    RepeatedKey {
        /// The table.
        table: String,
        /// The key's columns and values.
        key: String,
        /// The place of the first row.
        first: String,
        /// The place of the second row.
        second: String,
    },
    /// Two rows with one key hold at the same time.
    #[error(
        "reference table {table:?}: {first} and {second} of key {key} hold both at {at}: end the first before the second begins"
    )]
    Overlap {
        /// The table.
        table: String,
        /// The key's columns and values.
        key: String,
        /// The place of one row.
        first: String,
        /// The place of the other row.
        second: String,
        /// An instant at which both hold.
        at: String,
    },
    /// A row that holds at no time.
    #[error("reference table {table:?}: {place} is valid from {from} to {to}, which is never: the end must be later")]
    NeverValid {
        /// The table.
        table: String,
        /// The row's place.
        place: String,
        /// Its first instant.
        from: String,
        /// Its end.
        to: String,
    },
    /// The refreshed source has other columns or types; the old table stays in force.
    #[error("the columns of reference table {table:?} changed: {}; restore them, give the table a contract, or restart", .differences.join(", "))]
    SchemaChanged {
        /// The table.
        table: String,
        /// Each column that differs.
        differences: Vec<String>,
    },
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// A kernel failed; types were checked before, so this is a defect or a lack of memory.
    #[error("reference table kernel failed: {0}")]
    Kernel(#[from] ArrowError),
}

impl Judged for ReferenceError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Unreadable { .. }
            | Self::UnknownFormat { .. }
            | Self::TooLarge { .. }
            | Self::Unspecified { .. }
            | Self::NoColumn { .. }
            | Self::KeyType { .. }
            | Self::ValidityType { .. }
            | Self::KeyCount { .. }
            | Self::KeyMismatch { .. }
            | Self::SchemaChanged { .. } => Judgement::OPERATOR,
            Self::Row { .. }
            | Self::Content { .. }
            | Self::RepeatedKey { .. }
            | Self::Overlap { .. }
            | Self::NeverValid { .. } => Judgement::DATA,
            Self::Bus(error) => error.judgement(),
            Self::Kernel(_) => Judgement::DEFECT,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_missing_file_is_the_operators_a_bad_row_the_datas_and_the_bus_speaks_for_itself() {
        let text = || "items.csv".to_owned();
        for (error, judgement) in [
            (ReferenceError::Unreadable { origin: text(), reason: String::new() }, Judgement::OPERATOR),
            (ReferenceError::Row { origin: text(), place: String::new(), reason: String::new() }, Judgement::DATA),
            (BusError::TimedOut { action: String::new(), after: Duration::ZERO }.into(), Judgement::PASSES),
            (BusError::Closed.into(), Judgement::CRASH),
            (ArrowError::ComputeError(String::new()).into(), Judgement::DEFECT),
        ] {
            assert_eq!(error.judgement(), judgement, "{error}");
        }
    }
}
