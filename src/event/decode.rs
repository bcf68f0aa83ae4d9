//! The decoder: messages or rows in, one batch of accepted events out, and every refused event with its reason.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use bytes::Bytes;

use super::binary::BinaryReader;
use super::check::{Limits, ObjectCheck};
use super::check_column::check_columns;
use super::columns::{Columns, Gathered, MAX_EVENT_BYTES};
use super::contract::Contract;
use super::faults::RowFaults;
use super::frame::{Frame, Frames};
use super::ipc::{self, Fitted};
use super::kinds_check::check_kinds;
use super::payload::{Content, Payload};
use super::reject::{Flaw, Reject};
use super::settings::{DecodeSettings, DecoderError};
use super::time_column::TimeColumn;
use super::unfold::Room;

/// Decodes the messages of one stream; its buffers are reused from batch to batch.
#[derive(Debug)]
pub struct Decoder {
    contract: Arc<Contract>,
    check: ObjectCheck,
    columns: Columns,
    time: TimeColumn,
    /// What reads messages in the stream's own format, where that is not JSON.
    binary: Option<BinaryReader>,
}

/// What became of some messages.
#[derive(Debug)]
pub struct Decoded {
    /// The accepted events, in the order in which they came.
    pub batch: RecordBatch,
    /// For each row the index of its message; for rows that were columns already, that of the first row of its message.
    pub origin: Vec<u32>,
    /// When each row was received, microseconds since 1970: at the broker's time of its message, or before that where the
    /// stream has a column that says so.
    pub received: Vec<i64>,
    /// The refused events, in the order of their messages.
    pub rejects: Vec<Reject>,
}

impl Decoder {
    /// A decoder for events of `contract`.
    ///
    /// # Errors
    /// When the contract has no property that can be the event time.
    pub fn new(contract: Arc<Contract>, settings: &DecodeSettings) -> Result<Self, DecoderError> {
        let max_event_bytes = settings.limits.max_event_bytes.min(MAX_EVENT_BYTES);
        let limits = Limits { max_event_bytes, ..settings.limits };
        Ok(Self {
            time: TimeColumn::new(&contract, settings)?,
            binary: BinaryReader::new(settings, &contract)?,
            check: ObjectCheck::new(Arc::clone(&contract), limits, settings.time_zone),
            columns: Columns::new(&contract),
            contract,
        })
    }

    /// The columns of every batch: the contract's, with the event time as `Timestamp(Microsecond, "+00:00")`.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        self.time.schema()
    }

    /// Decodes messages, of whatever type that can be seen as [`Payload`]s. No event takes another one along: each is accepted or refused by itself.
    ///
    /// # Errors
    /// When the accepted events do not fit into one batch, which takes more than 2 GiB of text.
    pub fn decode<M>(&mut self, messages: &[M]) -> Result<Decoded, DecoderError>
    where
        for<'m> Payload<'m>: From<&'m M>,
    {
        let payload = |index: u32| messages.get(index as usize).map(Payload::from);
        let mut outcome = Outcome::default();
        for (index, message) in messages.iter().enumerate() {
            let Payload { content, published_micros } = Payload::from(message);
            match content {
                Content::Json(bytes) => self.decode_json(index as u32, bytes, &payload, &mut outcome)?,
                Content::OfStream(bytes) if self.binary.is_none() => {
                    self.decode_json(index as u32, bytes, &payload, &mut outcome)?;
                }
                Content::OfStream(bytes) => self.decode_binary(index as u32, bytes, &payload, &mut outcome)?,
                Content::ArrowStream(bytes) => {
                    self.flush(&payload, &mut outcome)?;
                    self.decode_arrow(index as u32, bytes, published_micros, &mut outcome)?;
                }
                Content::Packed(bytes, flaw) => outcome.refuse(index as u32, flaw.clone(), bytes.clone()),
            }
        }
        self.flush(&payload, &mut outcome)?;
        outcome.finish(self.time.schema())
    }

    /// Decodes rows that are columns already, found by their names and of any type that holds the contract's values, as in an
    /// Arrow message. `origin` has for each row the index of the first one of its message, which stands for the message in
    /// what comes out, and `published_micros` has the broker's time of each row.
    ///
    /// The rows are what was published: the stream's clock is still to be asked for their event time.
    ///
    /// # Errors
    /// When the columns are not those of the contract. A row that does not keep it is refused by itself.
    pub fn decode_rows(
        &self,
        rows: &RecordBatch,
        origin: &[u32],
        published_micros: &[i64],
    ) -> Result<Decoded, DecoderError> {
        let fitted = ipc::fit(&self.contract, &self.time, rows, &mut Room::of_a_message());
        let fitted = fitted.map_err(|flaw| DecoderError::Rows { detail: flaw.detail })?;
        let mut outcome = Outcome::default();
        let origin = |row: usize| origin.get(row).copied().unwrap_or_default();
        let published = |row: u32| published_micros.get(row as usize).copied().unwrap_or(i64::MIN);
        self.take_fitted(fitted, origin, published, &mut outcome)?;
        outcome.finish(self.time.schema())
    }

    fn decode_json<'m>(
        &mut self,
        index: u32,
        bytes: &Bytes,
        payload: &impl Fn(u32) -> Option<Payload<'m>>,
        outcome: &mut Outcome,
    ) -> Result<(), ArrowError> {
        let mut frames = Frames::new(bytes);
        while let Some(frame) = frames.next(&mut self.check, self.columns.row()) {
            match frame {
                Frame::Event(range) => self.columns.keep(index, &range),
                Frame::Refused(range, flaw) => {
                    self.columns.take_back();
                    outcome.refuse(index, flaw, bytes.slice(range));
                }
            }
            if self.columns.is_full() {
                self.flush(payload, outcome)?;
            }
        }
        Ok(())
    }

    fn decode_binary<'m>(
        &mut self,
        index: u32,
        bytes: &Bytes,
        payload: &impl Fn(u32) -> Option<Payload<'m>>,
        outcome: &mut Outcome,
    ) -> Result<(), ArrowError> {
        let Some(binary) = &mut self.binary else { return Ok(()) };
        let read = binary.json(bytes).and_then(|text| {
            self.check.object(text, self.columns.row())?;
            Ok(text.len())
        });
        match read {
            Ok(text_bytes) => self.columns.keep_message(index, bytes.len(), text_bytes),
            Err(flaw) => {
                self.columns.take_back();
                outcome.refuse(index, flaw, bytes.clone());
            }
        }
        if self.columns.is_full() { self.flush(payload, outcome) } else { Ok(()) }
    }

    /// Takes the JSON events gathered so far.
    fn flush<'m>(
        &mut self,
        payload: &impl Fn(u32) -> Option<Payload<'m>>,
        outcome: &mut Outcome,
    ) -> Result<(), ArrowError> {
        let Some(Gathered { columns, origin, ranges }) = self.columns.finish()? else { return Ok(()) };
        let published = |message: u32| payload(message).map_or(i64::MIN, |payload| payload.published_micros);
        let received = self.time.received(&columns, &origin, published);
        let bytes = |row: usize, message: u32| {
            let range = ranges.get(row).map(|(start, end)| *start as usize..*end as usize);
            let event = range.zip(payload(message)).map(|(range, payload)| payload.content.bytes().slice(range));
            Ok(event.unwrap_or_default())
        };
        outcome.accept(&self.time, columns, origin, received, bytes)
    }

    fn decode_arrow(
        &self,
        index: u32,
        bytes: &Bytes,
        published_micros: i64,
        outcome: &mut Outcome,
    ) -> Result<(), ArrowError> {
        let mut room = Room::of_a_message();
        let mut fit = |batch: &RecordBatch| ipc::fit(&self.contract, &self.time, batch, &mut room);
        let fitted = ipc::read(bytes).and_then(|batches| batches.iter().map(&mut fit).collect());
        let batches: Vec<Fitted> = match fitted {
            Ok(batches) => batches,
            Err(flaw) => {
                outcome.refuse(index, flaw, bytes.clone());
                return Ok(());
            }
        };
        for batch in batches {
            self.take_fitted(batch, |_| index, |_| published_micros, outcome)?;
        }
        Ok(())
    }

    /// Takes the rows that keep the contract. `origin` tells the message of a row, `published_micros` the broker's time of a
    /// message.
    fn take_fitted(
        &self,
        mut batch: Fitted,
        origin: impl Fn(usize) -> u32,
        published_micros: impl Fn(u32) -> i64,
        outcome: &mut Outcome,
    ) -> Result<(), ArrowError> {
        let (mut faults, mut columns) = (std::mem::take(&mut batch.faults), std::mem::take(&mut batch.columns));
        check_kinds(&self.contract, &mut columns, &mut faults)?;
        check_columns(self.contract.fields(), &columns, &mut faults);
        if let (Some(times), Some(column)) = (batch.times.take(), columns.get_mut(self.time.index())) {
            *column = times;
        }
        let rows: Vec<usize> = (0..batch.rows).filter(|row| faults.keeps(*row)).collect();
        if !faults.is_empty() {
            columns = faults.filter(&columns, batch.rows)?;
        }
        for (row, flaw) in faults {
            outcome.refuse(origin(row), flaw, batch.one_row(row)?);
        }
        let origin: Vec<u32> = rows.iter().map(|row| origin(*row)).collect();
        let received = self.time.received(&columns, &origin, published_micros);
        let bytes = |row: usize, _| rows.get(row).map_or(Ok(Bytes::new()), |row| batch.one_row(*row));
        outcome.accept(&self.time, columns, origin, received, bytes)
    }
}

/// What has become of the events so far.
#[derive(Default)]
struct Outcome {
    segments: Vec<RecordBatch>,
    origin: Vec<u32>,
    received: Vec<i64>,
    rejects: Vec<Reject>,
}

impl Outcome {
    fn refuse(&mut self, message: u32, flaw: Flaw, bytes: Bytes) {
        self.rejects.push(Reject { message, reason: flaw.reason, detail: flaw.detail, bytes });
    }

    /// Takes rows that fit the contract, except those whose time is not believed. `origin` has the message of each row and
    /// `received` says when it was; `bytes` cuts a row out of its message.
    fn accept(
        &mut self,
        time: &TimeColumn,
        mut columns: Vec<ArrayRef>,
        mut origin: Vec<u32>,
        mut received: Vec<i64>,
        bytes: impl Fn(usize, u32) -> Result<Bytes, ArrowError>,
    ) -> Result<(), ArrowError> {
        time.convert(&mut columns, &received);
        let faults: RowFaults = time.check(&columns, &received);
        if !faults.is_empty() {
            columns = faults.filter(&columns, origin.len())?;
            let kept = received.iter().enumerate().filter(|(row, _)| faults.keeps(*row)).map(|(_, received)| *received);
            received = kept.collect();
            let kept = origin.iter().enumerate().filter(|(row, _)| faults.keeps(*row)).map(|(_, message)| *message);
            let kept = kept.collect();
            for (row, flaw) in faults {
                let message = origin.get(row).copied().unwrap_or_default();
                self.refuse(message, flaw, bytes(row, message)?);
            }
            origin = kept;
        }
        self.segments.push(RecordBatch::try_new(Arc::clone(time.schema()), columns)?);
        if self.origin.is_empty() {
            (self.origin, self.received) = (origin, received);
        } else {
            self.origin.append(&mut origin);
            self.received.append(&mut received);
        }
        Ok(())
    }

    fn finish(mut self, schema: &SchemaRef) -> Result<Decoded, DecoderError> {
        let batch = match self.segments.pop() {
            None => RecordBatch::new_empty(Arc::clone(schema)),
            Some(only) if self.segments.is_empty() => only,
            Some(last) => {
                self.segments.push(last);
                concat_batches(schema, &self.segments)?
            }
        };
        // Faults of syntax are found before those of time; afterwards they stand by message again.
        self.rejects.sort_by_key(|reject| reject.message);
        Ok(Decoded { batch, origin: self.origin, received: self.received, rejects: self.rejects })
    }
}

#[cfg(test)]
mod tests;
