//! The step's thread: events, requests, changed reference tables and questions in; what follows from them handed on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use tokio::sync::{mpsc, oneshot};

use super::EngineError;
use super::keeping::HistoryQueue;
use super::pipeline::Pipeline;
use super::position::Position;
use super::scoring::Scoring;
use super::stats::Stats;
use super::step::{Step, StepOutput};
use super::telemetry::{TableFigures, record_step, record_table};
use crate::bus::{Message, ServiceRequest, StreamSequence};
use crate::feature::LiveTable;
use crate::reference::ReferenceTable;

/// How often the size of tables is recorded.
const TABLE_METRICS: Duration = Duration::from_secs(5);

/// What the step's thread takes.
pub(super) enum Input {
    Events {
        stream: usize,
        messages: Vec<Message>,
    },
    Requests(Vec<ServiceRequest>),
    /// A reference table has changed.
    Reference(Arc<ReferenceTable>),
    /// Rows of these tables as of now.
    Snapshot {
        tables: Vec<String>,
        reply: oneshot::Sender<Result<Vec<(String, RecordBatch)>, EngineError>>,
    },
}

/// What of the streams was there before.
pub(super) struct Replay {
    /// Up to here every output is in the broker.
    pub(super) resumed: Position,
    /// Where the streams ended at the start.
    pub(super) present: Position,
    /// Told when the features are as of then.
    pub(super) rebuilt: Option<oneshot::Sender<()>>,
}

/// What the step's thread works with.
pub(super) struct StepThread {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) step: Step,
    pub(super) stats: Arc<Stats>,
    pub(super) scoring: mpsc::Sender<Scoring>,
    pub(super) history: Option<HistoryQueue>,
    pub(super) replay: Replay,
    /// How far the streams have been read.
    pub(super) position: Position,
}

impl StepThread {
    /// Applies what comes until nothing does any more.
    pub(super) fn run(mut self, mut inputs: mpsc::Receiver<Input>) -> Result<(), EngineError> {
        let mut recorded = Instant::now();
        loop {
            if self.position.has_reached(&self.replay.present)
                && let Some(rebuilt) = self.replay.rebuilt.take()
            {
                self.step.reach_present();
                // Nobody waits where there are no requests.
                let _gone = rebuilt.send(()).is_err();
            }
            let Some(input) = inputs.blocking_recv() else { return Ok(()) };
            let goes_on = match input {
                Input::Events { stream, messages } => self.events(stream, &messages)?,
                Input::Requests(requests) => {
                    let start = Instant::now();
                    let payloads: Vec<_> = requests.iter().map(|request| request.payload.clone()).collect();
                    let output = self.step.requests(&payloads)?;
                    let before: Arc<str> = self.position.to_string().into();
                    self.hand_on(output, requests.into_iter().map(Some).collect(), before, start)
                }
                Input::Reference(table) => {
                    self.step.set_reference(table);
                    true
                }
                Input::Snapshot { tables, reply } => {
                    // Whoever asked may have gone away; that is no fault of the pipeline.
                    let _gone = reply.send(snapshot(&self.pipeline, &mut self.step, &tables)).is_err();
                    true
                }
            };
            if !goes_on {
                return Ok(());
            }
            if recorded.elapsed() > TABLE_METRICS {
                recorded = Instant::now();
                record_tables(&self.pipeline, &mut self.step);
            }
        }
    }

    /// Applies messages of a stream. What is in a Delta table already ends with a step, so that no step is in it by half.
    fn events(&mut self, stream: usize, messages: &[Message]) -> Result<bool, EngineError> {
        let mut rest = messages;
        while let Some(first) = rest.first() {
            let end = self.history.as_ref().and_then(|history| history.next_end(stream, first.sequence));
            let count = end.map_or(rest.len(), |end| rest.partition_point(|message| message.sequence <= end));
            let (part, after) = rest.split_at(count.max(1));
            rest = after;
            let start = Instant::now();
            let before: Arc<str> = self.position.to_string().into();
            // A batch that reaches past the resumed position is emitted whole: ids drop what is there already.
            let last = part.last().map_or(StreamSequence(0), |message| message.sequence);
            let emit = last > self.replay.resumed.of(stream);
            let output = self.step.events(stream, part, emit)?;
            self.position.advance(stream, last);
            if let Some(history) = &mut self.history
                && !history.take(&output.emissions, &self.position)
            {
                return Ok(false);
            }
            if !self.hand_on(output, Vec::new(), before, start) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Hands a step's output on; false when nobody takes it any more.
    fn hand_on(
        &mut self,
        output: StepOutput,
        requests: Vec<Option<ServiceRequest>>,
        before: Arc<str>,
        start: Instant,
    ) -> bool {
        self.stats.add_step(&output.counts);
        self.stats.set_emitted_rows(self.step.emitted_rows());
        record_step(&self.pipeline.name, &output.counts, start.elapsed());
        let after = self.position.clone();
        self.scoring.blocking_send(Scoring { output, requests, before, after }).is_ok()
    }
}

/// Asks a running pipeline for rows. It does not keep the pipeline running.
#[derive(Clone)]
pub struct Snapshots(pub(super) mpsc::WeakSender<Input>);

impl Snapshots {
    /// Rows of the named tables.
    pub async fn take(&self, tables: Vec<String>) -> Result<Vec<(String, RecordBatch)>, EngineError> {
        let (reply, answer) = oneshot::channel();
        let ended = |_| EngineError::Thread("step");
        let inputs = self.0.upgrade().ok_or(EngineError::Thread("step"))?;
        inputs.send(Input::Snapshot { tables, reply }).await.map_err(|_| EngineError::Thread("step"))?;
        drop(inputs);
        answer.await.map_err(ended)?
    }
}

fn record_tables(pipeline: &Pipeline, step: &mut Step) {
    for (index, table) in pipeline.tables.iter().enumerate() {
        let keys = step.tables_mut().get(index).map_or(0, LiveTable::key_count);
        let figures = TableFigures {
            keys,
            bytes: step.table_size(index),
            late_rows: step.late_rows(index),
            evicted_keys: step.evicted_keys(index),
        };
        record_table(&pipeline.name, table.plan.name(), &figures);
    }
}

fn snapshot(pipeline: &Pipeline, step: &mut Step, names: &[String]) -> Result<Vec<(String, RecordBatch)>, EngineError> {
    let mut rows = Vec::new();
    for (table, plan) in step.tables_mut().iter_mut().zip(&pipeline.tables) {
        let name = plan.plan.name();
        if names.iter().any(|wanted| wanted == name) {
            let scanned = table.scan();
            rows.push((
                name.to_owned(),
                scanned.map_err(|source| EngineError::Window { table: name.to_owned(), source })?,
            ));
        }
    }
    Ok(rows)
}
