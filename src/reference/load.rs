//! From the bytes of a source to a table.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;

use super::bad_rows::BadRows;
use super::error::ReferenceError;
use super::place::Places;
use super::settings::{Limits, ReferenceSpec};
use super::table::ReferenceTable;
use super::{csv_file, json_lines, parquet_file};
use crate::bus::ContentDigest;
use crate::event::Contract;

/// How content is to be read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    /// What errors call the source.
    pub(super) origin: &'a str,
    pub(super) contract: Option<&'a Arc<Contract>>,
    pub(super) limits: Limits,
}

/// Rows, and where each of them came from.
pub(super) struct Loaded {
    pub(super) batch: RecordBatch,
    pub(super) places: Places,
    /// Those that are not among them.
    pub(super) bad_rows: BadRows,
}

/// What a file holds, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    JsonLines,
    Parquet,
}

impl Format {
    pub(super) fn of(path: &Path) -> Result<Self, ReferenceError> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("jsonl" | "ndjson") => Ok(Self::JsonLines),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(ReferenceError::UnknownFormat { origin: path.display().to_string() }),
        }
    }
}

impl<'a> Reading<'a> {
    pub(super) fn new(origin: &'a str, spec: &'a ReferenceSpec) -> Self {
        Self { origin, contract: spec.contract.as_ref(), limits: spec.limits }
    }

    pub(super) fn check_rows(&self, rows: usize) -> Result<(), ReferenceError> {
        self.check("rows", rows, self.limits.rows)
    }

    pub(super) fn check_memory(&self, bytes: usize) -> Result<(), ReferenceError> {
        self.check("bytes in memory", bytes, self.limits.bytes)
    }

    /// The bytes of a source; text at most as much as a column of texts can hold.
    pub(super) fn check_bytes(&self, bytes: u64, is_text: bool) -> Result<(), ReferenceError> {
        let limit = if is_text { self.limits.bytes.min(i32::MAX as usize) } else { self.limits.bytes };
        self.check("bytes", usize::try_from(bytes).unwrap_or(usize::MAX), limit)
    }

    pub(super) fn check_not_empty(&self, rows: usize) -> Result<(), ReferenceError> {
        if rows > 0 {
            return Ok(());
        }
        let reason = "no rows to infer the columns' types from: add one, or give the table a contract".to_owned();
        Err(ReferenceError::Content { origin: self.origin.to_owned(), reason })
    }

    fn check(&self, what: &'static str, found: usize, limit: usize) -> Result<(), ReferenceError> {
        if found <= limit {
            return Ok(());
        }
        let origin = self.origin.to_owned();
        Err(ReferenceError::TooLarge { origin, what, found: found as u64, limit: limit as u64 })
    }
}

/// The rows of a file's content.
pub(super) fn load(
    reading: &Reading<'_>,
    format: Format,
    content: &Bytes,
    bad_rows: BadRows,
) -> Result<Loaded, ReferenceError> {
    match format {
        Format::Csv => csv_file::load(reading, content, bad_rows),
        Format::JsonLines => json_lines::load(reading, content, bad_rows),
        Format::Parquet => parquet_file::load(reading, content, bad_rows),
    }
}

/// The table that a file's content makes.
pub(super) fn file_table(
    spec: &ReferenceSpec,
    origin: &str,
    format: Format,
    content: &Bytes,
    bad_rows: BadRows,
) -> Result<ReferenceTable, ReferenceError> {
    let reading = Reading::new(origin, spec);
    let loaded = load(&reading, format, content, bad_rows)?;
    table(spec, &reading, loaded, ContentDigest::of(content))
}

/// The table that rows make.
pub(super) fn table(
    spec: &ReferenceSpec,
    reading: &Reading<'_>,
    loaded: Loaded,
    digest: ContentDigest,
) -> Result<ReferenceTable, ReferenceError> {
    reading.check_memory(loaded.batch.get_array_memory_size())?;
    let Loaded { batch, places, bad_rows } = loaded;
    let (key, validity) = (spec.key.as_slice(), spec.validity.as_ref());
    let table = ReferenceTable::with_places(&spec.name, &batch, key, validity, &places, bad_rows)?;
    Ok(table.with_digest(digest))
}

/// What a refresh makes of a table: the new one, if its columns are those of the old one, in the old one's order.
pub(super) fn refreshed(old: &ReferenceTable, new: ReferenceTable) -> Result<Arc<ReferenceTable>, ReferenceError> {
    let differences = old.differences(&new);
    if differences.is_empty() {
        return Ok(Arc::new(new.in_order_of(old)?));
    }
    Err(ReferenceError::SchemaChanged { table: new.name().to_owned(), differences })
}
