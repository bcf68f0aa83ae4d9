//! Events that are scored by themselves: their rows as requests, and what names their rankings.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;

use super::arrival::Arrival;
use super::deadletter::{DeadLetter, UNSCORABLE};
use super::incoming::Incoming;
use super::output::{Origin, StepOutput};
use crate::bus::StreamSequence;
use crate::pipeline::ScorePlan;
use crate::score::{Group, ItemIds};
use crate::time::EventTime;
use crate::window::WindowError;

/// Events that are scored by themselves.
pub(super) struct Triggered {
    /// Which rows of their batch they are.
    pub(super) rows: Vec<u32>,
    /// The same as rows of `requests`.
    pub(super) requests: RecordBatch,
}

/// The triggering rows with the columns of `requests`.
pub(super) fn select(batch: &RecordBatch, rows: &[u32], schema: &SchemaRef) -> Result<RecordBatch, WindowError> {
    fit(&take_record_batch(batch, &UInt32Array::from(rows.to_vec()))?, schema)
}

/// The batch with exactly the columns of `schema`; what it lacks is NULL.
pub(super) fn fit(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, WindowError> {
    let column = |name: &str, data_type| match batch.column_by_name(name) {
        Some(column) => Arc::clone(column),
        None => new_null_array(data_type, batch.num_rows()),
    };
    let columns: Vec<ArrayRef> = schema.fields().iter().map(|field| column(field.name(), field.data_type())).collect();
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// Names the rankings of a step after their events, and makes dead letters of what cannot be scored.
pub(super) fn describe_events(
    score: &ScorePlan,
    incoming: Incoming<'_>,
    arrival: &Arrival,
    triggered: &Triggered,
    output: &mut StepOutput,
) {
    let Incoming { stream, plan, .. } = incoming;
    let Triggered { rows, requests } = triggered;
    let (origin, times) = (&arrival.origin, arrival.times());
    let users = score.user.as_deref().and_then(|user| requests.column_by_name(user));
    output.job.items = ItemIds::new(requests.column_by_name(&score.item).cloned());
    let (mut sequence, mut ordinal) = (StreamSequence(0), 0);
    for (request, row) in rows.iter().enumerate() {
        let message = origin[*row as usize];
        let before = std::mem::replace(&mut sequence, incoming.sequence(message));
        ordinal = if before == sequence { ordinal + 1 } else { 0 };
        let user = users.map(|users| {
            let mut text = Vec::with_capacity(20);
            crate::score::write_json_value(users, request, &mut text);
            String::from_utf8(text).unwrap_or_default()
        });
        output.job.groups.push(Group {
            request_id: format!("{}-{sequence}-{ordinal}", plan.name),
            user,
            at: EventTime(times[*row as usize]),
            shown: EventTime(times[*row as usize]),
            arrived: EventTime(incoming.published_micros(message)),
            rows: 1,
        });
        output.origins.push(Origin::Event(sequence));
    }
    if output.is_replay {
        return;
    }
    let unscorable = output.job.matrix.unscorable.iter().map(|bad| {
        let message = origin[rows[bad.row] as usize];
        DeadLetter {
            stream,
            sequence: incoming.sequence(message),
            reason: UNSCORABLE,
            detail: bad.reason.clone(),
            bytes: incoming.message(message),
            place: None,
        }
    });
    output.dead.extend(unscorable);
}
