//! What an operator says about a reference table.

use std::sync::Arc;

use crate::event::Contract;

/// A reference table: its name, what identifies a row, and how its source is to be read.
#[derive(Debug, Clone)]
pub struct ReferenceSpec {
    /// The table's name in SQL and in errors.
    pub name: String,
    /// The columns that identify a row, together with its validity if there is one. At least one.
    pub key: Vec<String>,
    /// From when to when a row holds; `None`: always, and a key has one row.
    pub validity: Option<Validity>,
    /// The rows' columns and types, for CSV, JSON lines and buckets; `None`: inferred from all rows. A Parquet file has
    /// types of its own and takes none.
    pub contract: Option<Arc<Contract>>,
    /// How large the table may become.
    pub limits: Limits,
}

/// The columns that say from when to when a row holds: dates (midnight UTC) or times. At least one is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// The first instant at which the row holds; NULL: since ever. Without the column, since its key's row before it ended.
    pub from: Option<String>,
    /// The first instant at which it no longer holds; NULL: for ever. Without the column, until its key's next row begins.
    pub to: Option<String>,
}

/// How large a table may become; a table exactly at a limit is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows.
    pub rows: usize,
    /// Bytes of the file or of all values of the bucket, and also of the table's columns in memory. More than 2 GiB - 1
    /// of CSV or JSON is never taken: Arrow's text columns end there.
    pub bytes: usize,
}

impl Default for Limits {
    /// 10 million rows and 1 GiB.
    fn default() -> Self {
        Self { rows: 10_000_000, bytes: 1 << 30 }
    }
}
