//! What a step tells the label join: feedback, and how far event time has come, event by event.

use arrow::array::{ArrayRef, RecordBatch};

use super::arrival::Arrival;
use super::incoming::Incoming;
use crate::bus::StreamSequence;
use crate::learn::{JoinKey, join_keys};
use crate::pipeline::LabelPlan;
use crate::sql::Failures;
use crate::step::StepError;
use crate::time::EventTime;

/// One entry per event of the feedback's stream that counts, in the order of the stream.
#[derive(Debug, Default)]
pub struct Feedback {
    /// The event's message.
    pub sequences: Vec<StreamSequence>,
    /// The watermark after it; [`EventTime::BEGINNING`] while there is none.
    pub watermarks: Vec<EventTime>,
    /// The events that say that something shown was wanted, by their index.
    pub positives: Vec<Positive>,
}

/// An event that says that something shown was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positive {
    /// Which of the events.
    pub row: usize,
    /// What it joins on; absent where a join column is NULL.
    pub key: Option<JoinKey>,
    /// Its event time.
    pub at: EventTime,
}

impl Feedback {
    /// Reads feedback off events. One that the condition fails on is noted, and is none.
    pub(super) fn of(
        plan: &LabelPlan,
        incoming: Incoming<'_>,
        arrival: &Arrival,
        failures: &mut Failures,
    ) -> Result<Self, StepError> {
        let (batch, times) = (&arrival.batch, arrival.times());
        let sequences = arrival.origin.iter().map(|origin| incoming.sequence(*origin)).collect();
        let is_positive = plan.positive.rows(batch, failures).map_err(|error| StepError::Positive(error.into()))?;
        let rows: Vec<usize> = is_positive.set_indices().collect();
        let columns = join_columns(&plan.join, batch);
        // Feedback is rare: keys are made for its rows alone.
        let picked = arrow::array::UInt32Array::from_iter_values(rows.iter().map(|row| *row as u32));
        let columns: Vec<ArrayRef> =
            arrow::compute::take_arrays(&columns, &picked, None).map_err(|error| StepError::Positive(error.into()))?;
        let keys = join_keys(&columns, rows.len());
        let positives =
            rows.into_iter().zip(keys).map(|(row, key)| Positive { row, key, at: EventTime(times[row]) }).collect();
        Ok(Self { sequences, watermarks: arrival.watermarks.clone(), positives })
    }
}

/// The columns of a batch that are joined on, in the order of the settings.
pub(super) fn join_columns(names: &[String], batch: &RecordBatch) -> Vec<ArrayRef> {
    names.iter().filter_map(|name| batch.column_by_name(name).cloned()).collect()
}
