//! What can go wrong with a history table.

use std::path::PathBuf;

use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use deltalake_core::DeltaTableError;
use parquet::errors::ParquetError;

use crate::fault::{Judged, Judgement};

/// Why history can't be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Not a name that a folder can have on every system.
    #[error("history table {table:?} can't have this name: use letters, digits, `_` and `-`")]
    Name {
        /// The table.
        table: String,
    },
    /// A column name that Delta refuses unless names are mapped, which some readers don't understand.
    #[error(
        "column {column:?} of history table {table:?} can't have this name: give it one without spaces and ,;{{}}()=, as in count(*) AS views"
    )]
    ColumnName {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A type that Delta doesn't have.
    #[error("column {column:?} of history table {table:?} is {found}, which Delta does not have: cast it")]
    ColumnType {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        found: DataType,
    },
    /// Two columns whose names differ in case only, or not at all.
    #[error(
        "history table {table:?} has two columns {column:?}, and Delta does not tell upper case from lower case: rename one"
    )]
    RepeatedColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// Nothing to make the date of.
    #[error(
        "history table {table:?} has no column that its date can be made of: add window_start, a time, or date, a DATE"
    )]
    NoDate {
        /// The table.
        table: String,
    },
    /// A column that has the name of the partition column and another type.
    #[error(
        "column \"date\" of history table {table:?} is {found}: the table is partitioned by it, so make it a DATE or rename it"
    )]
    DateType {
        /// The table.
        table: String,
        /// Its type.
        found: DataType,
    },
    /// Columns of other types than the stored ones.
    #[error(
        "history table {table:?} has columns of other types: {}; cast each to the type that it had, give it another name, or move {} away to begin a new table",
        .differences.join(", "),
        .path.display()
    )]
    SchemaDiffers {
        /// The table.
        table: String,
        /// Its folder.
        path: PathBuf,
        /// Each column that differs.
        differences: Vec<String>,
    },
    /// The same writer is at work in another process, again and again.
    #[error(
        "history table {table:?} cannot take version {version} of {writer:?}: another process keeps appending as {writer:?}; stop one of them"
    )]
    Contended {
        /// The table.
        table: String,
        /// The writer.
        writer: String,
        /// Its version.
        version: i64,
    },
    /// The file system failed.
    #[error("history file {} failed: {error}", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The Delta log or its storage failed.
    #[error("history table {table:?} failed: {error}")]
    Delta {
        /// The table.
        table: String,
        /// What the library said.
        error: Box<DeltaTableError>,
    },
    /// A data file can't be read.
    #[error("history file {} cannot be read: {error}", .path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the library said.
        error: ParquetError,
    },
    /// Rows of other columns than the table was opened with, or a value that doesn't fit its column, such as an unsigned
    /// integer above the largest signed one.
    #[error("rows do not fit history table {table:?}: {error}")]
    Rows {
        /// The table.
        table: String,
        /// What doesn't fit.
        error: ArrowError,
    },
    /// A worker thread of the runtime ended without an answer.
    #[error("history work was stopped: {0}")]
    Stopped(String),
}

impl Judged for HistoryError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Name { .. }
            | Self::ColumnName { .. }
            | Self::ColumnType { .. }
            | Self::RepeatedColumn { .. }
            | Self::NoDate { .. }
            | Self::DateType { .. }
            | Self::SchemaDiffers { .. }
            | Self::Contended { .. } => Judgement::OPERATOR,
            Self::File { error, .. } => Judgement::of_io(error),
            Self::Delta { .. } => Judgement::OUTSIDE,
            Self::Parquet { .. } | Self::Rows { .. } => Judgement::DATA,
            Self::Stopped(_) => Judgement::CRASH,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_says_whose_it_is() {
        let table = || "trend".to_owned();
        let file = |kind: std::io::ErrorKind| HistoryError::File { path: "trend".into(), error: kind.into() };
        let delta = HistoryError::Delta { table: table(), error: Box::new(DeltaTableError::NotATable(table())) };
        let rows = HistoryError::Rows { table: table(), error: ArrowError::ComputeError(String::new()) };
        for (error, judgement) in [
            (HistoryError::NoDate { table: table() }, Judgement::OPERATOR),
            (
                HistoryError::SchemaDiffers { table: table(), path: "trend".into(), differences: Vec::new() },
                Judgement::OPERATOR,
            ),
            (file(std::io::ErrorKind::PermissionDenied), Judgement::OPERATOR),
            (file(std::io::ErrorKind::StorageFull), Judgement::OUTSIDE),
            (delta, Judgement::OUTSIDE),
            (rows, Judgement::DATA),
            (HistoryError::Stopped(String::new()), Judgement::CRASH),
        ] {
            assert_eq!(error.judgement(), judgement, "{error}");
        }
    }
}
