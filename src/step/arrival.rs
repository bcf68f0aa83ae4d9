//! A stream on its way into the tables: decoded, without repeats, and how far event time has come after each event.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;

use super::counts::Counts;
use super::deadletter::{DeadLetter, LATE};
use super::incoming::Incoming;
use crate::bus::StreamSequence;
use crate::event::{Decoder, PartitionedWatermark, SeenIds};
use crate::pipeline::StreamPlan;
use crate::step::StepError;
use crate::time::EventTime;

/// What is remembered of a stream.
pub(super) struct StreamState {
    decoder: Decoder,
    pub(super) seen: Option<SeenIds>,
    pub(super) watermark: PartitionedWatermark,
    /// The newest event time, were it ahead of the broker's.
    pub(super) furthest: Option<EventTime>,
    /// The last message that was applied.
    pub(super) last: StreamSequence,
    pub(super) time_index: usize,
}

/// Events in the order of their stream.
pub(super) struct Arrival {
    pub(super) batch: RecordBatch,
    /// For each event, which of the incoming messages it came with, as [`Incoming`] takes it.
    pub(super) origin: Vec<u32>,
    /// When each was received, microseconds: an event of a later time waits in as-of tables until its time has come.
    pub(super) received: Vec<i64>,
    /// The watermark before the first; [`EventTime::BEGINNING`] while there is none.
    pub(super) before: EventTime,
    /// The watermark after each.
    pub(super) watermarks: Vec<EventTime>,
    pub(super) time_index: usize,
}

impl StreamState {
    pub(super) fn new(plan: &StreamPlan) -> Result<Self, StepError> {
        let decoder = Decoder::new(Arc::clone(&plan.contract), &plan.decode)?;
        let time_index = decoder.schema().index_of(&plan.decode.time_column).unwrap_or(0);
        Ok(Self {
            decoder,
            seen: plan.ids.as_ref().map(|(_, remember)| SeenIds::new(*remember)),
            watermark: plan.watermark(),
            furthest: None,
            last: StreamSequence(0),
            time_index,
        })
    }

    /// The watermark; [`EventTime::BEGINNING`] while there is none.
    pub(super) fn watermark(&self) -> EventTime {
        self.watermark.value().unwrap_or(EventTime::BEGINNING)
    }

    /// Decodes events and drops repeats. `letters` takes what cannot be decoded, where it is wanted.
    pub(super) fn take(
        &mut self,
        incoming: Incoming<'_>,
        counts: &mut Counts,
        letters: Option<&mut Vec<DeadLetter>>,
    ) -> Result<Arrival, StepError> {
        let decoded = incoming.decode(&mut self.decoder)?;
        self.last = incoming.last().unwrap_or(self.last);
        counts.rejected = decoded.rejects.len() as u64;
        if let Some(letters) = letters {
            letters.extend(decoded.rejects.into_iter().map(|reject| DeadLetter {
                stream: incoming.stream,
                sequence: incoming.sequence(reject.message),
                reason: reject.reason.as_str(),
                detail: reject.detail,
                bytes: reject.bytes,
                place: None,
            }));
        }
        let mut arrival = Arrival {
            batch: decoded.batch,
            origin: decoded.origin,
            received: decoded.received,
            before: self.watermark(),
            watermarks: Vec::new(),
            time_index: self.time_index,
        };
        if let (Some(seen), Some((id, _))) = (self.seen.as_mut(), incoming.plan.ids.as_ref())
            && let Some(ids) = arrival.batch.column_by_name(id)
        {
            let first = seen.first_seen(ids)?;
            counts.duplicate = (first.len() - first.count_set_bits()) as u64;
            arrival.keep(&first)?;
        }
        self.observe(incoming, &mut arrival)?;
        Ok(arrival)
    }

    /// The watermark follows event by event.
    fn observe(&mut self, incoming: Incoming<'_>, arrival: &mut Arrival) -> Result<(), StepError> {
        let mut watermarks = Vec::with_capacity(arrival.origin.len());
        let (mut message, mut partition) = (u32::MAX, 0);
        for ((time, origin), received) in arrival.times().iter().zip(&arrival.origin).zip(&arrival.received) {
            if *origin != message {
                message = *origin;
                partition = self
                    .watermark
                    .number(incoming.partition(message))
                    .map_err(|source| StepError::Partitions { stream: incoming.plan.name.clone(), source })?;
            }
            self.furthest = self.furthest.max(Some(EventTime(*time)));
            self.watermark.observe(partition, EventTime(*time.min(received)), incoming.published_micros(message));
            watermarks.push(self.watermark());
        }
        arrival.watermarks = watermarks;
        Ok(())
    }
}

impl Arrival {
    /// Event times, microseconds.
    pub(super) fn times(&self) -> &[i64] {
        self.batch.column(self.time_index).as_primitive::<TimestampMicrosecondType>().values()
    }

    /// The watermark before each event.
    pub(super) fn watermarks_before(&self) -> impl Iterator<Item = EventTime> {
        std::iter::once(self.before).chain(self.watermarks.iter().copied())
    }

    /// Leaves the late events out. `letters` takes them, where they are wanted.
    pub(super) fn leave_late_out(
        &mut self,
        incoming: Incoming<'_>,
        late: &[bool],
        letters: Option<&mut Vec<DeadLetter>>,
    ) -> Result<u64, StepError> {
        let wanted: BooleanBuffer = late.iter().map(|late| !late).collect();
        let count = wanted.len() - wanted.count_set_bits();
        if count == 0 {
            return Ok(0);
        }
        if let Some(letters) = letters {
            let rows = late.iter().zip(self.times()).zip(self.watermarks_before()).zip(&self.origin);
            for (((_, time), watermark), origin) in rows.filter(|(((late, _), _), _)| **late) {
                let time = EventTime(*time);
                letters.push(DeadLetter {
                    stream: incoming.stream,
                    sequence: incoming.sequence(*origin),
                    reason: LATE,
                    detail: format!("event time {time} is older than every window, watermark {watermark}"),
                    bytes: incoming.message(*origin),
                    place: None,
                });
            }
        }
        self.keep(&wanted)?;
        Ok(count as u64)
    }

    fn keep(&mut self, wanted: &BooleanBuffer) -> Result<(), StepError> {
        if wanted.count_set_bits() == wanted.len() {
            return Ok(());
        }
        let mut keeps = wanted.iter();
        self.origin.retain(|_| keeps.next().unwrap_or(true));
        let mut keeps = wanted.iter();
        self.received.retain(|_| keeps.next().unwrap_or(true));
        let mut keeps = wanted.iter();
        self.watermarks.retain(|_| keeps.next().unwrap_or(true));
        let batch = filter_record_batch(&self.batch, &BooleanArray::new(wanted.clone(), None));
        self.batch = batch.map_err(crate::event::DecoderError::Columns)?;
        Ok(())
    }
}
