//! Vectors, beside what a case expects.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::Value;

use super::case::Vector;
use super::error::TrialError;
use super::events::micros;
use super::json_rows::one_row;
use super::moment::other_moment;
use super::value::shown;
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
    let label = format!("vector of {:?} at {}", vector.request, vector.at);
    let (columns, is_behind) = step.vector_columns(&rows, &[EventTime(at)])?;
    if is_behind && let Some(fault) = other_moment(pipeline, step, plan.tables(), EventTime(at)) {
        faults.push(format!("{label}: {fault}"));
        return Ok(());
    }
    let matrix = step.vectors(&rows, &[EventTime(at)])?;
    if let Some(bad) = matrix.unscorable.first() {
        faults.push(format!("{label}: it can't be scored: {}", bad.reason));
    }
    for (column, expected) in &vector.expect {
        let found = plan.columns().iter().zip(&columns).find(|(name, _)| *name == column);
        let (_, found) = found.ok_or_else(|| TrialError::NoColumn(column.clone()))?;
        if !expected.is_in(found, 0)? {
            faults.push(format!("{label}: {column}: expected {expected}, found {}", shown(found, 0)?));
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
