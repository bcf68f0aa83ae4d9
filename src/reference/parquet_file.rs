//! Parquet files: columns with types of their own.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use super::bad_rows::BadRows;
use super::error::ReferenceError;
use super::load::{Loaded, Reading};
use super::place::Places;

pub(super) fn load(reading: &Reading<'_>, content: &Bytes, bad_rows: BadRows) -> Result<Loaded, ReferenceError> {
    if reading.contract.is_some() {
        return Err(broken(reading, "a Parquet file has types of its own: remove the contract"));
    }
    // Broken metadata makes the reader of the Parquet library panic here and there. A file that is being written is one
    // that any reader may meet, so a panic in there means the same as an error.
    match catch_unwind(AssertUnwindSafe(|| read(reading, content))) {
        Ok(batch) => Ok(Loaded { batch: batch?, places: Places::Rows, bad_rows }),
        Err(_) => Err(broken(reading, "not a Parquet file: its metadata is broken; write it again")),
    }
}

fn read(reading: &Reading<'_>, content: &Bytes) -> Result<RecordBatch, ReferenceError> {
    let refuse =
        |error: ParquetError| broken(reading, &format!("not a readable Parquet file: {error}; write it again"));
    let builder = ParquetRecordBatchReaderBuilder::try_new(content.clone()).map_err(refuse)?;
    let groups = builder.metadata().row_groups();
    reading.check_rows(groups.iter().map(|group| group.num_rows().max(0) as usize).sum())?;
    reading.check_memory(groups.iter().map(|group| group.total_byte_size().max(0) as usize).sum())?;
    let schema = builder.schema().clone();
    let mut batches = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for batch in builder.build().map_err(refuse)? {
        let batch: RecordBatch = batch.map_err(|error| refuse(error.into()))?;
        rows += batch.num_rows();
        reading.check_rows(rows)?;
        // A dictionary unfolds to more than the metadata says.
        bytes += batch.get_array_memory_size();
        reading.check_memory(bytes)?;
        batches.push(batch);
    }
    Ok(concat_batches(&schema, &batches)?)
}

fn broken(reading: &Reading<'_>, reason: &str) -> ReferenceError {
    ReferenceError::Content { origin: reading.origin.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, StringViewArray};

    use super::*;
    use crate::event::Contract;
    use crate::reference::Limits;
    use crate::reference::testing::{parquet, reading, reading_with, table_text};

    fn items() -> RecordBatch {
        let id: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let name: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None]));
        RecordBatch::try_from_iter([("id", id), ("name", name)]).unwrap()
    }

    #[test]
    fn columns_come_as_they_were_written() {
        let loaded = load(&reading(), &parquet(&items()), BadRows::refused()).unwrap();
        assert_eq!(table_text(&loaded.batch), "id: Int32 = 1 2\nname: Utf8View = a -");
    }

    #[test]
    fn half_a_file_and_flipped_bytes_are_errors_and_never_panics() {
        let whole = parquet(&items());
        let error = load(&reading(), &whole.slice(..whole.len() / 2), BadRows::refused()).err().unwrap().to_string();
        assert!(error.starts_with("items: not a readable Parquet file"), "{error}");
        for at in 0..whole.len() {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 0x55;
            // Some flips change a value and nothing else; what counts is that all of them return.
            drop(load(&reading(), &Bytes::from(bytes), BadRows::refused()));
        }
    }

    #[test]
    fn a_contract_has_no_say_and_limits_do() {
        let contract = r#"{"type": "object", "properties": {"id": {"type": "integer"}}}"#;
        let contract = Arc::new(Contract::parse(contract).unwrap());
        let error = load(&reading_with(&contract), &parquet(&items()), BadRows::refused()).err().unwrap();
        insta::assert_snapshot!(error, @"items: a Parquet file has types of its own: remove the contract");
        let narrow = Reading { limits: Limits { rows: 1, ..Limits::default() }, ..reading() };
        let error = load(&narrow, &parquet(&items()), BadRows::refused()).err().unwrap();
        insta::assert_snapshot!(error, @"items has 2 rows, more than the limit of 1: narrow it, or raise the limit");
    }
}
