//! The step: events or requests in; state moved on, vectors, emitted rows and dead letters out.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use bytes::Bytes;

use super::arrival::{Arrival, StreamState};
use super::deadletter::{FAILED, Owner};
use super::feedback::{Feedback, join_columns};
use super::incoming::{Events, Incoming};
use super::output::{Emitted, Origin, StepOutput};
use super::tables::Tables;
use super::trigger::{Triggered, describe_events, fit, select};
use super::view::{Ledger, Viewed};
use crate::feature::{LiveTable, Matrix, VectorReads};
use crate::learn::{JoinKey, join_keys};
use crate::pipeline::{Pipeline, StreamIndex, TableIndex};
use crate::reference::ReferenceTable;
use crate::score::{Job, RequestDecoder};
use crate::sql::Failures;
use crate::step::StepError;
use crate::time::EventTime;
use crate::window::References;

/// Where conditions on events stand.
const POSITIVE: Owner = Owner::Setting("[labels] positive");
const TRIGGER: Owner = Owner::Setting("[score] on");

/// The state of a pipeline.
pub struct Step {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) streams: Vec<StreamState>,
    pub(super) tables: Tables,
    vector: Option<VectorReads>,
    requests: Option<RequestDecoder>,
    pub(super) references: References,
    /// Whether silence means silence: while the streams are read from their beginning, each at its own speed, it does not.
    is_present: bool,
    /// Those that are out.
    pub(super) views: Ledger<Viewed>,
}

impl Step {
    /// The empty state.
    pub fn new(pipeline: Arc<Pipeline>) -> Result<Self, StepError> {
        let streams: Result<Vec<_>, _> = pipeline.streams.iter().map(StreamState::new).collect();
        let vector = pipeline.vector.as_ref().map(|plan| VectorReads::new(Arc::clone(plan)));
        let service = pipeline.score.as_ref().and_then(|score| Some((score, score.service.as_ref()?)));
        let requests = match service {
            Some((score, (_, contract))) => {
                let (contract, user) = (Arc::clone(contract), score.user.as_deref());
                Some(RequestDecoder::new(contract, &score.item, score.time.clone(), user, score.max_items)?)
            }
            None => None,
        };
        let mut references = References::default();
        pipeline.references.iter().for_each(|reference| references.set(Arc::clone(&reference.table)));
        let mut tables = Tables::new(&pipeline)?;
        tables.set_references(references.clone());
        let views = Ledger::default();
        Ok(Self { streams: streams?, tables, vector, requests, references, pipeline, is_present: false, views })
    }

    /// The live tables, in the order of the pipeline.
    pub fn tables_mut(&mut self) -> &mut [LiveTable] {
        &mut self.tables.live
    }

    /// Events that were late for a table, by its index in the pipeline.
    pub fn late_rows(&self, table: TableIndex) -> u64 {
        self.tables.late_rows(table)
    }

    /// Rows that each table has emitted, in the order of the pipeline.
    pub fn emitted_rows(&self) -> &[u64] {
        self.tables.emitted_rows()
    }

    /// Keys that a table has given up at its limit of memory.
    pub fn evicted_keys(&self, table: TableIndex) -> u64 {
        self.tables.evicted_keys(table)
    }

    /// How far event time has come in a table's streams, whichever is behind; none before the first event of each.
    pub fn watermark(&self, table: TableIndex) -> Option<EventTime> {
        let streams = &self.pipeline.table(table).streams;
        let watermarks: Option<Vec<EventTime>> =
            streams.iter().map(|stream| self.streams[stream.0].watermark.value()).collect();
        watermarks?.into_iter().min()
    }

    /// Memory of a table, bytes; what tables of windows share counts for each of them.
    pub fn table_size(&self, table: TableIndex) -> usize {
        self.tables.size(table)
    }

    /// Says that the streams have been read up to the present: from now on one that is silent for longer than its `idle`
    /// holds back no table that reads others too.
    pub fn reach_present(&mut self) {
        self.is_present = true;
    }

    /// Whether silence means silence.
    pub(crate) fn is_present(&self) -> bool {
        self.is_present
    }

    /// Says whether silence means silence in the steps that follow: done again, a step takes it for what it was.
    pub(crate) fn set_present(&mut self, is_present: bool) {
        self.is_present = is_present;
    }

    /// How many of these messages, or of the rows of a batch, may be one step. The silence of another stream begins with the
    /// end of a step, and it must be that of the same message however messages are cut into steps.
    pub fn until_silence<'e>(&self, stream: StreamIndex, events: impl Into<Events<'e>>) -> usize {
        let events = events.into();
        if !self.is_present || self.streams.len() < 2 {
            return events.len();
        }
        let now = self.published();
        let others = (0..self.streams.len()).map(StreamIndex).filter(|other| *other != stream);
        let next = others.map(|other| self.silent_after(other)).filter(|silent_after| *silent_after >= now).min();
        next.map_or(events.len(), |next| events.until(next))
    }

    /// The broker's time of the newest message with an event, of all streams.
    fn published(&self) -> i64 {
        self.streams.iter().map(|stream| stream.watermark.published()).max().unwrap_or(i64::MIN)
    }

    /// The broker's time up to which a stream holds others back.
    fn silent_after(&self, stream: StreamIndex) -> i64 {
        let idle = i64::try_from(self.pipeline.stream(stream).idle.as_micros()).unwrap_or(i64::MAX);
        self.streams[stream.0].watermark.published().saturating_add(idle)
    }

    /// Joins events with this state of a reference table from now on.
    pub fn set_reference(&mut self, table: Arc<ReferenceTable>) {
        self.references.set(table);
        self.tables.set_references(self.references.clone());
    }

    /// The reference tables that events are joined with from now on.
    pub(crate) fn set_references(&mut self, references: References) {
        self.references = references;
        self.tables.set_references(self.references.clone());
    }

    /// From now on no vectors are made.
    pub(super) fn leave_vectors_out(&mut self) {
        self.vector = None;
    }

    /// Applies events of a stream, in its order: messages, or a batch of columns. With `emit` off nothing is scored and no dead
    /// letter is made: the state is being rebuilt, and what it emits has been published before.
    pub fn events<'e>(
        &mut self,
        stream: StreamIndex,
        events: impl Into<Events<'e>>,
        emit: bool,
    ) -> Result<StepOutput, StepError> {
        let pipeline = Arc::clone(&self.pipeline);
        self.take(Incoming { stream, plan: pipeline.stream(stream), events: events.into() }, emit)
    }

    fn take(&mut self, incoming: Incoming<'_>, emit: bool) -> Result<StepOutput, StepError> {
        let stream = incoming.stream;
        let mut output = StepOutput { is_replay: !emit, ..StepOutput::default() };
        let pipeline = Arc::clone(&self.pipeline);
        // Feedback is of use where vectors are.
        let labels = pipeline.labels.as_ref().filter(|labels| self.vector.is_some() && labels.stream == stream);
        let letters = emit.then_some(&mut output.dead);
        let mut arrival = self.streams[stream.0].take(incoming, &mut output.counts, letters)?;
        output.newest = self.streams[stream.0].watermark.newest();
        let late = self.tables.push(stream, &arrival, &mut output.emissions)?;
        note_left_out(&mut self.tables, &pipeline, incoming, &arrival, &mut output);
        let letters = (emit && incoming.plan.dead_letter_late).then_some(&mut output.dead);
        output.counts.late = arrival.leave_late_out(incoming, &late, letters)?;
        output.counts.counted = arrival.batch.num_rows() as u64;
        if let Some(labels) = labels {
            let mut failures = Failures::default();
            output.feedback = Some(Feedback::of(labels, incoming, &arrival, &mut failures)?);
            output.note_failed(&POSITIVE, "the event is no feedback", &failures, incoming, &arrival);
        }
        self.apply(incoming, &arrival, &mut output)?;
        self.leave_silent_out(&mut output.emissions)?;
        let watermark = self.streams[stream.0].watermark();
        self.tables.settle(stream, watermark, &output.emissions)?;
        output.note_failed_rows(&pipeline, incoming, &arrival);
        match output.dead.iter().find(|letter| letter.reason == FAILED) {
            Some(letter) if pipeline.state.stops_at_poison => {
                let stream = incoming.plan.name.clone();
                Err(StepError::Poison { stream, sequence: letter.sequence, detail: letter.detail.clone() })
            }
            _ => Ok(output),
        }
    }

    /// Moves event time on until every window has closed: the end of a test, after which nothing comes.
    pub fn close_windows(&mut self) -> Result<Vec<Emitted>, StepError> {
        let mut emissions = Vec::new();
        // Events ahead of the broker's time have windows of their own.
        let newest = self.streams.iter().filter_map(|stream| stream.furthest).max();
        let Some(newest) = newest else { return Ok(emissions) };
        let end = EventTime(newest.micros().saturating_add(self.tables.longest_wait()));
        for stream in (0..self.streams.len()).map(StreamIndex) {
            self.tables.advance(stream, Some(end), &mut emissions)?;
        }
        self.tables.settle(StreamIndex(0), newest, &emissions)?;
        Ok(emissions)
    }

    /// Streams that have been silent for longer than their `idle`, by the broker's time of the others' messages, hold back
    /// nothing. A stream that is read that far behind the others does not either, again after each of its steps.
    fn leave_silent_out(&mut self, out: &mut Vec<Emitted>) -> Result<(), StepError> {
        if !self.is_present || self.streams.len() < 2 {
            return Ok(());
        }
        let now = self.published();
        for stream in (0..self.streams.len()).map(StreamIndex) {
            if now > self.silent_after(stream) {
                self.tables.advance(stream, None, out)?;
            }
        }
        Ok(())
    }

    /// Reads the features of requests that arrived at a moment of the clock, and makes their vectors. The groups of the job
    /// follow the readable requests.
    pub fn requests(&mut self, payloads: &[Bytes], arrived: EventTime) -> Result<StepOutput, StepError> {
        let mut output = StepOutput::default();
        let (Some(decoder), Some(vector)) = (self.requests.as_mut(), self.vector.as_mut()) else {
            return Ok(output);
        };
        let mut decoded = decoder.decode(payloads, arrived)?;
        output.refused = decoded.refused;
        if decoded.groups.is_empty() {
            return Ok(output);
        }
        // Without a time of its own a request is answered as of the newest event that is not of the future.
        let newest = self.streams.iter().filter_map(|stream| stream.watermark.newest()).max();
        let newest = newest.unwrap_or_default();
        for time in decoded.times.iter_mut().chain(decoded.groups.iter_mut().map(|group| &mut group.at)) {
            if *time == EventTime::END {
                *time = newest;
            }
        }
        // What is older than the watermark is no longer known: tables answer as of the watermark.
        let watermark = self.streams.iter().map(StreamState::watermark).max().unwrap_or(EventTime::BEGINNING);
        decoded.groups.iter_mut().for_each(|group| group.at = group.at.max(watermark));
        let rows = fit(&decoded.rows, vector.plan().requests()).map_err(StepError::Vector)?;
        let matrix = vector.run(&rows, &decoded.times, &mut self.tables.live).map_err(StepError::Vector)?;
        if let Some(labels) = &self.pipeline.labels {
            output.keys = join_keys(&join_columns(&labels.join, &rows), rows.num_rows());
            output.behind = forget_behind(vector, &mut output.keys);
        }
        output.job = Job { matrix, groups: decoded.groups, items: decoded.items };
        output.origins = decoded.payloads.into_iter().map(Origin::Request).collect();
        Ok(output)
    }

    /// Vectors of rows of `requests`, as of `times`.
    pub fn vectors(&mut self, rows: &RecordBatch, times: &[EventTime]) -> Result<Matrix, StepError> {
        match self.vector.as_mut() {
            Some(vector) => vector.run(rows, times, &mut self.tables.live).map_err(StepError::Vector),
            None => Ok(Matrix::default()),
        }
    }

    /// The columns of vectors of rows of `requests`, as of `times`, and whether one of them may hold later events.
    pub(crate) fn vector_columns(
        &mut self,
        rows: &RecordBatch,
        times: &[EventTime],
    ) -> Result<(Vec<ArrayRef>, bool), StepError> {
        let Some(vector) = self.vector.as_mut() else { return Ok((Vec::new(), false)) };
        let columns = vector.columns(rows, times, &mut self.tables.live, &mut Vec::new()).map_err(StepError::Vector)?;
        Ok((columns, !vector.behind().is_empty()))
    }

    /// Applies the events that count, and reads the features of those that are scored by themselves.
    fn apply(&mut self, incoming: Incoming<'_>, arrival: &Arrival, output: &mut StepOutput) -> Result<(), StepError> {
        let Self { pipeline, tables, vector, .. } = self;
        let stream = incoming.stream;
        let batch = &arrival.batch;
        tables.begin(stream, arrival, &output.emissions)?;
        note_left_out(tables, pipeline, incoming, arrival, output);
        let trigger = pipeline.score.as_ref().and_then(|score| score.trigger.as_ref());
        // The label join remembers vectors that were shown before a restart, so they are made again.
        let wanted = !output.is_replay || pipeline.labels.is_some();
        let trigger = trigger.filter(|trigger| wanted && vector.is_some() && trigger.stream == stream);
        let mut failures = Failures::default();
        let triggered = trigger.map(|trigger| trigger.condition.rows(batch, &mut failures));
        let triggered = triggered.transpose().map_err(|error| StepError::Trigger(error.into()))?;
        output.note_failed(&TRIGGER, "the event is not scored", &failures, incoming, arrival);
        let times = arrival.times();
        let (Some(triggered), Some(vector)) = (&triggered, vector.as_mut()) else {
            (0..times.len()).for_each(|row| tables.apply(stream, row));
            return Ok(());
        };
        let rows: Vec<u32> = triggered.set_indices_u32().collect();
        let requests = select(batch, &rows, vector.plan().requests()).map_err(StepError::Vector)?;
        let triggered = Triggered { rows, requests };
        tables.reserve(&output.emissions)?;
        vector.begin(&triggered.requests, &mut tables.live).map_err(StepError::Vector)?;
        let mut next = triggered.rows.iter().copied().peekable();
        let mut request = 0;
        for (row, time) in times.iter().enumerate() {
            tables.apply(stream, row);
            if next.next_if_eq(&(row as u32)).is_some() {
                tables.show(arrival.watermarks[row], &output.emissions)?;
                vector.read(request, EventTime(*time), &mut tables.live);
                request += 1;
            }
        }
        output.job.matrix = vector.finish(&triggered.requests, &tables.live).map_err(StepError::Vector)?;
        if let Some(labels) = &pipeline.labels {
            let columns = join_columns(&labels.join, &triggered.requests);
            output.keys = join_keys(&columns, triggered.requests.num_rows());
            output.behind = forget_behind(vector, &mut output.keys);
        }
        if let Some(score) = &pipeline.score {
            describe_events(score, incoming, arrival, &triggered, output);
        }
        if output.feedback.is_some() {
            output.triggers = triggered.rows;
        }
        Ok(())
    }
}

/// What was scored with events later than itself is no impression that anything is learnt from: feedback does not find it.
/// Gives how many rows that is.
fn forget_behind(vector: &VectorReads, keys: &mut [Option<JoinKey>]) -> u64 {
    let behind = vector.behind();
    for row in behind {
        keys.get_mut(*row).into_iter().for_each(|key| *key = None);
    }
    behind.len() as u64
}

/// Makes dead letters of the events that tables have left out.
fn note_left_out(
    tables: &mut Tables,
    pipeline: &Pipeline,
    incoming: Incoming<'_>,
    arrival: &Arrival,
    output: &mut StepOutput,
) {
    for (table, failures) in tables.take_failed() {
        let owner = Owner::Table(pipeline.table(table).plan.name().to_owned());
        output.note_failed(&owner, "the table leaves the event out", &failures, incoming, arrival);
    }
}

#[cfg(test)]
mod tests;
