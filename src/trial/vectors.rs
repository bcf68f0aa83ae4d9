//! Vectors, beside what a case expects.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::Value;

use super::case::Vector;
use super::error::TrialError;
use super::events::micros;
use super::json_rows::{TOLERANCE, one_row};
use crate::pipeline::Pipeline;
use crate::step::Step;
use crate::time::EventTime;

/// Makes the vector of one thing to score.
pub(super) fn check_vector(
    pipeline: &Pipeline,
    step: &mut Step,
    vector: &Vector,
    faults: &mut Vec<String>,
) -> Result<(), TrialError> {
    let plan = pipeline.vector.as_ref().ok_or(TrialError::NoVector)?;
    let at = micros(&vector.at)?;
    let rows = request_row(plan.requests(), &vector.request, at)?;
    let matrix = step.vectors(&rows, &[EventTime(at)])?;
    for (column, expected) in &vector.expect {
        let index = plan.columns().iter().position(|name| name == column);
        let index = index.ok_or_else(|| TrialError::NoColumn(column.clone()))?;
        let found = f64::from(matrix.values[index]);
        if (found - expected).abs() > TOLERANCE * expected.abs().max(1.0) {
            faults.push(format!(
                "vector of {:?} at {}: {column}: expected {expected}, found {found}",
                vector.request, vector.at
            ));
        }
    }
    Ok(())
}

/// One row of `requests` from JSON, with every time column at the moment of the read.
fn request_row(schema: &SchemaRef, request: &BTreeMap<String, Value>, at: i64) -> Result<RecordBatch, TrialError> {
    let mut columns: Vec<ArrayRef> = Vec::new();
    for field in schema.fields() {
        if matches!(field.data_type(), DataType::Timestamp(..)) {
            columns.push(Arc::new(TimestampMicrosecondArray::from(vec![at]).with_data_type(field.data_type().clone())));
        } else {
            columns.extend(one_row(&Schema::new(vec![Field::clone(field)]), request)?);
        }
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
