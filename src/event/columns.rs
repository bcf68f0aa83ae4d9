//! Checked JSON events become columns, through `arrow-json`.
//!
//! The events have passed the contract's check, so decoding does not fail. Should it fail after all, the two disagree
//! somewhere; then the batch is decoded again in halves until the event at fault is alone, and only that one is refused.

use std::fmt;
use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow_json::ReaderBuilder;
use arrow_json::reader::Decoder as Tape;

use super::reject::{Flaw, RejectReason};
use crate::bus::Message;

/// Rows that are gathered at most before they become a batch.
const MAX_ROWS: usize = 16 * 1024;

/// Gathers events and turns them into a batch.
pub(super) struct JsonColumns {
    schema: SchemaRef,
    tape: Tape,
    spans: Vec<Span>,
    /// Whether everything since the last flush went onto the tape as one whole row each.
    sound: bool,
}

/// Where an event's bytes are: in the payload of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) message: u32,
    start: u32,
    end: u32,
}

/// What became of the gathered events.
#[derive(Debug, Default)]
pub(super) struct Flushed {
    /// Batches with the origin of each of their rows.
    pub(super) batches: Vec<(RecordBatch, Vec<Span>)>,
    pub(super) refused: Vec<(Span, Flaw)>,
}

impl JsonColumns {
    pub(super) fn new(schema: SchemaRef) -> Result<Self, ArrowError> {
        let tape = tape(&schema, MAX_ROWS)?;
        Ok(Self { schema, tape, spans: Vec::new(), sound: true })
    }

    pub(super) fn is_full(&self) -> bool {
        self.spans.len() >= MAX_ROWS
    }

    /// Adds an event: the bytes of `span`. There must be room.
    #[inline]
    pub(super) fn push(&mut self, event: &[u8], span: Span) {
        self.spans.push(span);
        if self.sound {
            let consumed = self.tape.decode(event);
            self.sound = matches!(consumed, Ok(bytes) if bytes == event.len())
                && self.tape.len() == self.spans.len()
                && !self.tape.has_partial_record();
        }
    }

    /// Turns the gathered events into columns and begins anew. `messages` are those that the spans point into.
    pub(super) fn flush(&mut self, messages: &[Message]) -> Result<Flushed, ArrowError> {
        let spans = std::mem::take(&mut self.spans);
        let mut flushed = Flushed::default();
        if spans.is_empty() {
            return Ok(flushed);
        }
        let decoded = if self.sound { self.tape.flush() } else { Ok(None) };
        match decoded {
            Ok(Some(batch)) if batch.num_rows() == spans.len() => flushed.batches.push((batch, spans)),
            _ => {
                self.tape = tape(&self.schema, MAX_ROWS)?;
                self.sound = true;
                self.salvage(messages, &spans, &mut flushed)?;
            }
        }
        Ok(flushed)
    }

    /// Decodes what can be decoded of some events, by halves.
    fn salvage(&self, messages: &[Message], spans: &[Span], flushed: &mut Flushed) -> Result<(), ArrowError> {
        match (self.decode_alone(messages, spans), spans) {
            (Ok(batch), _) => flushed.batches.push((batch, spans.to_vec())),
            (Err(error), [only]) => {
                flushed.refused.push((*only, Flaw::new(RejectReason::Undecodable, error.to_string())));
            }
            (Err(_), _) => {
                let (first, second) = spans.split_at(spans.len() / 2);
                self.salvage(messages, first, flushed)?;
                self.salvage(messages, second, flushed)?;
            }
        }
        Ok(())
    }

    fn decode_alone(&self, messages: &[Message], spans: &[Span]) -> Result<RecordBatch, ArrowError> {
        let mut tape = tape(&self.schema, spans.len())?;
        for span in spans {
            let event = span.bytes(messages);
            let consumed = tape.decode(event)?;
            if consumed != event.len() || tape.has_partial_record() {
                return Err(ArrowError::JsonError(format!("{consumed} of {} bytes were read", event.len())));
            }
        }
        match tape.flush()? {
            Some(batch) if batch.num_rows() == spans.len() => Ok(batch),
            _ => Err(ArrowError::JsonError("events and rows do not agree".into())),
        }
    }
}

impl fmt::Debug for JsonColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonColumns")
            .field("schema", &self.schema)
            .field("events", &self.spans.len())
            .finish_non_exhaustive()
    }
}

impl Span {
    pub(super) fn new(message: usize, range: Range<usize>) -> Self {
        Self { message: message as u32, start: range.start as u32, end: range.end as u32 }
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    fn bytes(self, messages: &[Message]) -> &[u8] {
        let payload = messages.get(self.message as usize).map(|message| message.payload.as_ref());
        payload.and_then(|payload| payload.get(self.range())).unwrap_or_default()
    }
}

fn tape(schema: &SchemaRef, rows: usize) -> Result<Tape, ArrowError> {
    ReaderBuilder::new(schema.clone()).with_batch_size(rows).build_decoder()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;
    use crate::event::testing::json;

    /// Flushes events that nobody has checked; returns the decoded values and the refused messages.
    fn flush(events: &[&str]) -> (Vec<i64>, Vec<u32>) {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
        let mut columns = JsonColumns::new(schema).expect("columns");
        let mut outcome = (Vec::new(), Vec::new());
        // Twice: a failure must not linger.
        for _ in 0..2 {
            let messages: Vec<_> = events.iter().map(|event| json(event)).collect();
            for (index, event) in events.iter().enumerate() {
                columns.push(event.as_bytes(), Span::new(index, 0..event.len()));
            }
            let flushed = columns.flush(&messages).expect("flushed");
            let mut values = Vec::new();
            for (batch, spans) in &flushed.batches {
                assert_eq!(batch.num_rows(), spans.len());
                values.extend(batch.column(0).as_primitive::<Int64Type>().values());
            }
            let refused = flushed.refused.iter();
            assert!(refused.clone().all(|(_, flaw)| flaw.reason == RejectReason::Undecodable));
            outcome = (values, refused.map(|(span, _)| span.message).collect());
        }
        outcome
    }

    #[test]
    fn sound_events_become_one_batch() {
        assert_eq!(flush(&[r#"{"a":1}"#, r#" {"a":2} "#]), (vec![1, 2], vec![]));
        assert_eq!(flush(&[]), (vec![], vec![]));
    }

    #[test]
    fn an_event_that_cannot_be_decoded_is_refused_alone() {
        let good = r#"{"a":1}"#;
        for bad in [r#"{"a":"x"}"#, r#"{"a":"#, "", r#"{"a":1}{"a":2}"#, "7", "]"] {
            assert_eq!(flush(&[good, good, bad, good, bad, good]), (vec![1; 4], vec![2, 4]), "{bad}");
        }
    }
}
