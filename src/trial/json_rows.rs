//! Rows of tables beside values that a person wrote: JSON to columns, columns to JSON, and whether two are the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::Schema;
use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use serde_json::{Map, Value};

use super::error::TrialError;

/// How far numbers may differ from what is expected.
pub(super) const TOLERANCE: f64 = 1e-6;

/// Columns of one row.
pub(super) fn one_row(schema: &Schema, values: &BTreeMap<String, Value>) -> Result<Vec<ArrayRef>, TrialError> {
    let mut decoder = arrow_json::ReaderBuilder::new(Arc::new(schema.clone())).build_decoder()?;
    decoder.serialize(std::slice::from_ref(values))?;
    let batch = decoder.flush()?.ok_or(TrialError::NoValue)?;
    Ok(batch.columns().to_vec())
}

/// All rows, with every column.
pub(super) fn as_json(batch: &RecordBatch) -> Result<Vec<Map<String, Value>>, TrialError> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    serde_json::from_slice(&writer.into_inner()).map_err(TrialError::Rows)
}

/// Whether a value is the expected one.
pub(super) fn same(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len() && expected.iter().zip(found).all(|(a, b)| same(a, b))
        }
        _ => match (expected.as_f64(), found.as_f64()) {
            (Some(expected), Some(found)) => (expected - found).abs() <= TOLERANCE * expected.abs().max(1.0),
            _ => expected == found,
        },
    }
}
