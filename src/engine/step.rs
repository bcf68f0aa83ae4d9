//! The step: a batch of messages or requests in; state moved on, vectors and dead letters out.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use bytes::Bytes;

use super::EngineError;
use super::deadletter::{DeadLetter, LATE, UNSCORABLE};
use super::feedback::{Feedback, condition, join_columns};
use super::pipeline::Pipeline;
use super::stats::Snapshot;
use crate::bus::{Message, StreamSequence};
use crate::event::{Decoder, EventTime, SeenIds, Watermark, is_late};
use crate::feature::{Matrix, VectorReads};
use crate::learn::{JoinKey, join_keys};
use crate::score::{Group, ItemIds, Job, RequestDecoder};
use crate::window::{Budget, FeatureTable, WindowError};

/// The state of a pipeline.
pub struct Step {
    pipeline: Arc<Pipeline>,
    streams: Vec<StreamState>,
    tables: Vec<FeatureTable>,
    vector: Option<VectorReads>,
    requests: Option<RequestDecoder>,
}

struct StreamState {
    decoder: Decoder,
    seen: Option<SeenIds>,
    watermark: Watermark,
    last: StreamSequence,
    /// Indices of its tables.
    tables: Vec<usize>,
    time_index: usize,
}

/// What one step gives.
#[derive(Default)]
pub struct StepOutput {
    /// What to score.
    pub job: Job,
    /// For each group of the job: the message of its event, or which request it answers.
    pub origins: Vec<Origin>,
    /// What could not be used.
    pub dead: Vec<DeadLetter>,
    /// Requests that could not be read: which one, and why.
    pub refused: Vec<(usize, String)>,
    /// What became of the events.
    pub counts: Snapshot,
    /// Whether the state is only being rebuilt: nothing of this step is to be scored or published.
    pub is_replay: bool,
    /// For each row of the job, what feedback on it joins on; empty without a label join.
    pub keys: Vec<Option<JoinKey>>,
    /// For each row of a job that events triggered, which of the events of [`feedback`](Self::feedback) it was; empty
    /// where those are of another stream.
    pub triggers: Vec<u32>,
    /// What the label join has to know of the events; absent where they are of another stream than feedback.
    pub feedback: Option<Feedback>,
}

/// Where a ranking comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An event that triggers scoring: its message.
    Event(StreamSequence),
    /// A request, by its index in the call.
    Request(usize),
}

impl Step {
    /// The empty state.
    pub fn new(pipeline: Arc<Pipeline>) -> Result<Self, EngineError> {
        let mut streams = Vec::new();
        for (index, plan) in pipeline.streams.iter().enumerate() {
            let decoder = Decoder::new(Arc::clone(&plan.contract), &plan.decode)?;
            let time_index = decoder.schema().index_of(&plan.decode.time_column).unwrap_or(0);
            let tables = pipeline.tables.iter().enumerate().filter(|(_, table)| table.stream == index);
            streams.push(StreamState {
                decoder,
                seen: plan.ids.as_ref().map(|(_, remember)| SeenIds::new(*remember)),
                watermark: Watermark::new(plan.disorder),
                last: StreamSequence(0),
                tables: tables.map(|(table, _)| table).collect(),
                time_index,
            });
        }
        let mut tables = Vec::new();
        for table in &pipeline.tables {
            let disorder = pipeline.streams[table.stream].disorder.as_micros() as i64;
            let state = FeatureTable::new(Arc::clone(&table.plan), disorder, Budget::UNLIMITED);
            tables.push(state.map_err(|source| in_table(table.plan.name(), source))?);
        }
        let vector = pipeline.vector.as_ref().map(|plan| VectorReads::new(Arc::clone(plan)));
        let requests = match pipeline.score.as_ref() {
            Some(score) => match &score.service {
                Some((_, contract)) => {
                    let time = (score.time.0.as_str(), score.time.1);
                    let user = score.user.as_deref();
                    Some(RequestDecoder::new(Arc::clone(contract), &score.item, time, user, score.max_items)?)
                }
                None => None,
            },
            None => None,
        };
        Ok(Self { pipeline, streams, tables, vector, requests })
    }

    /// The last message of a stream that was applied.
    pub fn last_sequence(&self, stream: usize) -> StreamSequence {
        self.streams.get(stream).map_or(StreamSequence(0), |stream| stream.last)
    }

    /// The live tables, in the order of the pipeline.
    pub fn tables_mut(&mut self) -> &mut [FeatureTable] {
        &mut self.tables
    }

    /// Applies messages of a stream, in its order. With `emit` off nothing is scored and no dead letter is made: the state
    /// is being rebuilt.
    pub fn events(&mut self, stream: usize, messages: &[Message], emit: bool) -> Result<StepOutput, EngineError> {
        let mut output = StepOutput { is_replay: !emit, ..StepOutput::default() };
        let pipeline = Arc::clone(&self.pipeline);
        let plan = &pipeline.streams[stream];
        let labels = pipeline.labels.as_ref().filter(|labels| labels.stream == stream);
        let state = &mut self.streams[stream];
        if let Some(last) = messages.last() {
            state.last = last.sequence;
        }
        let decoded = state.decoder.decode(messages)?;
        output.counts.rejected = decoded.rejects.len() as u64;
        if emit {
            let letters = decoded.rejects.into_iter().enumerate().map(|(ordinal, reject)| DeadLetter {
                stream,
                sequence: messages[reject.message as usize].sequence,
                ordinal: ordinal as u32,
                reason: reject.reason.as_str(),
                detail: reject.detail,
                bytes: reject.bytes,
            });
            output.dead.extend(letters);
        }
        let (mut batch, mut origin) = (decoded.batch, decoded.origin);
        if let (Some(seen), Some((id, _))) = (state.seen.as_mut(), plan.ids.as_ref())
            && let Some(ids) = batch.column_by_name(id)
        {
            let first = seen.first_seen(ids)?;
            output.counts.duplicate = (first.len() - first.count_set_bits()) as u64;
            (batch, origin) = keep(&batch, &origin, first)?;
        }
        let mut watermarks = Vec::new();
        let on_time = on_time(state, &batch, pipeline.reach_micros(stream), labels.map(|_| &mut watermarks));
        output.counts.late = (on_time.len() - on_time.count_set_bits()) as u64;
        if output.counts.late > 0 {
            if emit && plan.dead_letter_late {
                late_letters(stream, messages, &origin, &on_time, &batch, state, &mut output.dead);
            }
            let mut kept = on_time.iter();
            watermarks.retain(|_| kept.next().unwrap_or(true));
            (batch, origin) = keep(&batch, &origin, on_time)?;
        }
        output.counts.counted = batch.num_rows() as u64;
        output.counts.newest_micros = state.watermark.newest().map_or(0, EventTime::micros);
        if let Some(labels) = labels {
            let feedback = Feedback::of(labels, &batch, (messages, &origin), state.time_index, watermarks)?;
            output.feedback = Some(feedback);
        }
        self.apply(stream, &batch, &origin, messages, &mut output)?;
        Ok(output)
    }

    /// Reads the features of requests and makes their vectors. The groups of the job follow the readable requests.
    pub fn requests(&mut self, payloads: &[Bytes]) -> Result<StepOutput, EngineError> {
        let mut output = StepOutput::default();
        let (Some(decoder), Some(vector)) = (self.requests.as_mut(), self.vector.as_mut()) else {
            return Ok(output);
        };
        let mut decoded = decoder.decode(payloads)?;
        output.refused = decoded.refused;
        if decoded.groups.is_empty() {
            return Ok(output);
        }
        // Without a time of its own a request is answered as of the newest event.
        let newest = self.streams.iter().filter_map(|stream| stream.watermark.newest()).max();
        let newest = newest.map_or(0, EventTime::micros);
        for time in decoded.times.iter_mut().chain(decoded.groups.iter_mut().map(|group| &mut group.at_micros)) {
            if *time == i64::MAX {
                *time = newest;
            }
        }
        let rows = fit(&decoded.rows, vector.plan().requests()).map_err(EngineError::Vector)?;
        if let Some(labels) = &self.pipeline.labels {
            output.keys = join_keys(&join_columns(&labels.join, &rows), rows.num_rows());
        }
        let matrix = vector.run(&rows, &decoded.times, &mut self.tables);
        output.job = Job { matrix: matrix.map_err(EngineError::Vector)?, groups: decoded.groups, items: decoded.items };
        output.origins = decoded.payloads.into_iter().map(Origin::Request).collect();
        Ok(output)
    }

    /// Vectors of rows of `requests`, as of `times`.
    pub fn vectors(&mut self, rows: &RecordBatch, times: &[i64]) -> Result<Matrix, EngineError> {
        match self.vector.as_mut() {
            Some(vector) => vector.run(rows, times, &mut self.tables).map_err(EngineError::Vector),
            None => Ok(Matrix::default()),
        }
    }

    fn apply(
        &mut self,
        stream: usize,
        batch: &RecordBatch,
        origin: &[u32],
        messages: &[Message],
        output: &mut StepOutput,
    ) -> Result<(), EngineError> {
        let Self { pipeline, streams, tables, vector, .. } = self;
        let state = &streams[stream];
        for table in &state.tables {
            let name = pipeline.tables[*table].plan.name();
            tables[*table].begin(batch).map_err(|source| in_table(name, source))?;
        }
        let trigger = pipeline.score.as_ref().and_then(|score| score.trigger.as_ref());
        // The label join remembers vectors that were shown before a restart, so they are made again.
        let wanted = !output.is_replay || pipeline.labels.is_some();
        let trigger = trigger.filter(|trigger| wanted && trigger.stream == stream);
        let triggered = trigger.map(|trigger| condition(&trigger.condition, batch).map_err(EngineError::Trigger));
        let triggered = triggered.transpose()?;
        let times = batch.column(state.time_index).as_primitive::<TimestampMicrosecondType>().values();
        let mut rows: Vec<u32> = Vec::new();
        if let (Some(triggered), Some(vector)) = (&triggered, vector.as_mut()) {
            rows.extend(triggered.set_indices_u32());
            let requests = select(batch, &rows, vector.plan().requests()).map_err(EngineError::Vector)?;
            vector.begin(&requests, tables).map_err(EngineError::Vector)?;
            let mut next = rows.iter().copied().peekable();
            let mut request = 0;
            for (row, time) in times.iter().enumerate() {
                for table in &state.tables {
                    tables[*table].apply(row);
                }
                if next.next_if_eq(&(row as u32)).is_some() {
                    vector.read(request, *time, tables);
                    request += 1;
                }
            }
            output.job.matrix = vector.finish(&requests, tables).map_err(EngineError::Vector)?;
            if let Some(labels) = &pipeline.labels {
                output.keys = join_keys(&join_columns(&labels.join, &requests), requests.num_rows());
            }
            describe_events(pipeline, stream, &requests, &rows, origin, messages, times, output);
            if output.feedback.is_some() {
                output.triggers = rows;
            }
        } else {
            for row in 0..times.len() {
                for table in &state.tables {
                    tables[*table].apply(row);
                }
            }
        }
        for table in &state.tables {
            let name = pipeline.tables[*table].plan.name();
            tables[*table].settle().map_err(|source| in_table(name, source))?;
        }
        Ok(())
    }
}

fn in_table(table: &str, source: WindowError) -> EngineError {
    EngineError::Window { table: table.to_owned(), source }
}

/// Which rows are not late; the watermark follows row by row, and is written down after each where that is wanted.
fn on_time(
    state: &mut StreamState,
    batch: &RecordBatch,
    reach_micros: i64,
    mut watermarks: Option<&mut Vec<i64>>,
) -> BooleanBuffer {
    let span = std::time::Duration::from_micros(reach_micros.cast_unsigned());
    let times = batch.column(state.time_index).as_primitive::<TimestampMicrosecondType>().values();
    times
        .iter()
        .map(|time| {
            let time = EventTime(*time);
            let late = state.watermark.value().is_some_and(|watermark| is_late(time, watermark, span));
            state.watermark.observe(time);
            if let Some(watermarks) = watermarks.as_deref_mut() {
                watermarks.push(state.watermark.value().map_or(i64::MIN, EventTime::micros));
            }
            !late
        })
        .collect()
}

fn keep(batch: &RecordBatch, origin: &[u32], wanted: BooleanBuffer) -> Result<(RecordBatch, Vec<u32>), EngineError> {
    if wanted.count_set_bits() == wanted.len() {
        return Ok((batch.clone(), origin.to_vec()));
    }
    let kept = origin.iter().zip(&wanted).filter(|(_, wanted)| *wanted).map(|(origin, _)| *origin).collect();
    let batch = filter_record_batch(batch, &BooleanArray::new(wanted, None));
    Ok((batch.map_err(crate::event::DecoderError::Columns)?, kept))
}

fn late_letters(
    stream: usize,
    messages: &[Message],
    origin: &[u32],
    on_time: &BooleanBuffer,
    batch: &RecordBatch,
    state: &StreamState,
    dead: &mut Vec<DeadLetter>,
) {
    let times = batch.column(state.time_index).as_primitive::<TimestampMicrosecondType>().values();
    let watermark = state.watermark.value().unwrap_or_default();
    for (row, _) in on_time.iter().enumerate().filter(|(_, on_time)| !on_time) {
        let message = &messages[origin[row] as usize];
        dead.push(DeadLetter {
            stream,
            sequence: message.sequence,
            ordinal: dead.len() as u32,
            reason: LATE,
            detail: format!("event time {} is older than every window, watermark {watermark}", EventTime(times[row])),
            bytes: message.payload.clone(),
        });
    }
}

/// The triggering rows with the columns of `requests`.
fn select(batch: &RecordBatch, rows: &[u32], schema: &SchemaRef) -> Result<RecordBatch, WindowError> {
    fit(&take_record_batch(batch, &UInt32Array::from(rows.to_vec()))?, schema)
}

/// The batch with exactly the columns of `schema`; what it lacks is NULL.
fn fit(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, WindowError> {
    let column = |name: &str, data_type| match batch.column_by_name(name) {
        Some(column) => Arc::clone(column),
        None => new_null_array(data_type, batch.num_rows()),
    };
    let columns: Vec<ArrayRef> = schema.fields().iter().map(|field| column(field.name(), field.data_type())).collect();
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one step that name its rankings")]
fn describe_events(
    pipeline: &Pipeline,
    stream: usize,
    requests: &RecordBatch,
    rows: &[u32],
    origin: &[u32],
    messages: &[Message],
    times: &[i64],
    output: &mut StepOutput,
) {
    let Some(score) = &pipeline.score else { return };
    let name = &pipeline.streams[stream].name;
    let users = score.user.as_deref().and_then(|user| requests.column_by_name(user));
    output.job.items = ItemIds::new(requests.column_by_name(&score.item).cloned());
    let (mut sequence, mut ordinal) = (StreamSequence(0), 0);
    for (request, row) in rows.iter().enumerate() {
        let message = &messages[origin[*row as usize] as usize];
        ordinal = if message.sequence == sequence { ordinal + 1 } else { 0 };
        sequence = message.sequence;
        let user = users.map(|users| {
            let mut text = Vec::with_capacity(20);
            crate::score::write_json_value(users, request, &mut text);
            String::from_utf8(text).unwrap_or_default()
        });
        output.job.groups.push(Group {
            request_id: format!("{name}-{sequence}-{ordinal}"),
            user,
            at_micros: times[*row as usize],
            rows: 1,
        });
        output.origins.push(Origin::Event(sequence));
    }
    if output.is_replay {
        return;
    }
    let unscorable = output.job.matrix.unscorable.iter().map(|bad| {
        let message = &messages[origin[rows[bad.row] as usize] as usize];
        DeadLetter {
            stream,
            sequence: message.sequence,
            ordinal: u32::MAX - bad.row as u32,
            reason: UNSCORABLE,
            detail: format!("vector column {} is {:?}", bad.column, bad.value),
            bytes: message.payload.clone(),
        }
    });
    output.dead.extend(unscorable);
}
