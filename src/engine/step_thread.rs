//! The step's thread: events, requests, changed reference tables and questions in; what follows from them handed on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, mpsc, oneshot};

use super::EngineError;
use super::input::Input;
use super::keeping::{HistoryQueue, Unkept};
use super::remaking::{Change, Remaking};
use super::replay::{compare, next_step};
use super::serve::{Scored, Scoring};
use super::stats::Stats;
use super::stats::TableFigures;
use super::telemetry::{
    Queue, ViewCause, Waiting, record_behind, record_dead, record_failed, record_step, record_table,
};
use super::viewing::{Viewing, taking};
use crate::bus::{Message, Outgoing, ServiceRequest, StreamSequence};
use crate::clock;
use crate::commit::{OnLoss, Place, Position, Progress, Run, Save, pass, unkept};
use crate::feature::LiveTable;
use crate::pipeline::{Pipeline, StreamIndex, TableIndex};
use crate::step::{Silence, Step, StepOutput, StepView};
use crate::time::EventTime;

/// How often the size of tables is recorded.
const TABLE_METRICS: Duration = Duration::from_secs(5);

/// What of the streams was there before.
pub(crate) struct Replay {
    /// What the marker says: the state once everything up to it has been read again.
    pub(crate) marked: Progress,
    pub(crate) on_loss: OnLoss,
    /// Where the streams ended at the start.
    pub(crate) present: Position,
    /// Told when the features are as of then.
    pub(crate) rebuilt: Option<oneshot::Sender<()>>,
}

/// What the step's thread works with.
pub(crate) struct StepThread {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) step: Step,
    pub(crate) stats: Arc<Stats>,
    pub(crate) scoring: mpsc::Sender<Scoring>,
    pub(crate) history: Option<HistoryQueue>,
    /// Tables that are made again beside this thread, and empty here.
    pub(crate) remaking: Option<Remaking>,
    pub(crate) replay: Replay,
    /// How far the streams have been read.
    pub(crate) progress: Progress,
    /// Whether the streams have been read up to the present.
    pub(crate) is_present: bool,
    /// Whether anything has happened since the state was last saved.
    pub(crate) has_changed: bool,
    /// Told when the state should be saved soon.
    pub(crate) save_wanted: Arc<Notify>,
    /// Tells when the snapshot that was begun last can be found, or that it was given up.
    pub(crate) storing: Option<oneshot::Receiver<()>>,
}

/// A step that was taken.
struct Taken {
    /// Where the streams stood before it.
    before: Position,
    /// What it read, where it read events.
    run: Option<Run>,
    /// The messages, where some of their events are scored.
    messages: Vec<Message>,
    /// Dead letters about rows that can't be kept.
    unkept: Vec<Outgoing>,
    /// When it began.
    start: Instant,
}

impl StepThread {
    /// Applies what comes until nothing does any more.
    pub(crate) fn run(mut self, mut inputs: mpsc::Receiver<Input>) -> Result<(), EngineError> {
        let mut recorded = clock::now();
        let waiting = Waiting::of(&self.pipeline.name, Queue::Inputs);
        let mut viewing = Viewing::default();
        loop {
            if self.replay.rebuilt.is_some()
                && self.progress.position().has_reached(&self.replay.present)
                && let Some(rebuilt) = self.replay.rebuilt.take()
            {
                self.is_present = true;
                // Nobody waits where there are no requests.
                let _gone = rebuilt.send(()).is_err();
            }
            let Some(input) = inputs.blocking_recv() else { return Ok(()) };
            waiting.record(inputs.len());
            self.has_changed |= !matches!(
                input,
                Input::Remade | Input::Save(_) | Input::View { .. } | Input::Measure(_) | Input::Silence(_)
            );
            let goes_on = match input {
                Input::Events { stream, messages, emits, is_present } => {
                    self.step.set_present(is_present.unwrap_or(self.is_present));
                    self.events(stream, messages, emits)?
                }
                Input::Replayed => {
                    self.compare()?;
                    true
                }
                Input::Requests(requests) => {
                    let start = clock::now();
                    let payloads: Vec<_> = requests.iter().map(|request| request.payload.clone()).collect();
                    let output = self.step.requests(&payloads, EventTime(clock::unix_micros()))?;
                    let before = self.progress.position();
                    let requests = requests.into_iter().map(Some).collect();
                    self.hand_on(
                        output,
                        requests,
                        Taken { before, run: None, messages: Vec::new(), unkept: Vec::new(), start },
                    )
                }
                Input::Silence(silence) => self.silence(silence),
                Input::Reference(table) => {
                    self.tell(|| Change::Reference(Arc::clone(&table)));
                    self.step.set_reference(table);
                    // A restart reads events again with the table as it is then: as few as may be.
                    self.save_wanted.notify_one();
                    true
                }
                Input::View { tables, reply } => {
                    // Whoever asked may have gone away; that is no fault of the pipeline.
                    let _gone = reply.send(self.view(&tables)).is_err();
                    true
                }
                Input::Measure(done) => {
                    self.measure();
                    let _gone = done.send(()).is_err();
                    true
                }
                Input::Remade => {
                    self.take_over()?;
                    true
                }
                Input::Save(save) => self.save(save),
            };
            if !goes_on {
                return Ok(());
            }
            viewing.settle(&self.pipeline.name, &mut self.step);
            if recorded.elapsed() > TABLE_METRICS {
                recorded = clock::now();
                self.measure();
            }
        }
    }

    /// Applies messages of a stream.
    fn events(&mut self, stream: StreamIndex, messages: Vec<Message>, emits: bool) -> Result<bool, EngineError> {
        let mut rest = messages;
        while !rest.is_empty() {
            let part = next_step(&self.step, self.history.as_ref(), stream, &mut rest);
            let start = clock::now();
            let before = self.progress.position();
            let output = self.step.events(stream, &part, emits)?;
            self.stats.add_pace(part.len(), start.elapsed());
            if let Some(input) = self.progress.inputs.get_mut(stream.0) {
                input.take(&part);
            }
            self.progress.counts.add(&output.counts);
            let Some(unkept) = self.keep(&output)? else { return Ok(false) };
            let last = part.last().map_or(StreamSequence(0), |message| message.sequence);
            let run = Run { stream, until: last.0, is_present: self.step.is_present() };
            self.tell(|| Change::Read(run));
            let is_scored = !output.is_replay && !output.job.groups.is_empty();
            let messages = if is_scored { part } else { Vec::new() };
            if !self.hand_on(output, Vec::new(), Taken { before, run: Some(run), messages, unkept, start }) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Hands emitted rows on to Delta tables, and gives dead letters about those that can't be kept; nothing when nobody takes
    /// them any more.
    fn keep(&mut self, output: &StepOutput) -> Result<Option<Vec<Outgoing>>, EngineError> {
        let Some(history) = &mut self.history else { return Ok(Some(Vec::new())) };
        let Some(found) = history.take(&output.emissions, &self.progress.position())? else { return Ok(None) };
        let letters = found.iter().filter_map(|Unkept { emission, misfits }| {
            let emission = output.emissions.get(*emission)?;
            Some(unkept(&self.pipeline, emission, misfits))
        });
        Ok(Some(letters.flatten().collect()))
    }

    /// What was read again must be what was read before.
    fn compare(&mut self) -> Result<(), EngineError> {
        compare(&mut self.progress, &self.replay.marked, self.replay.on_loss)?;
        tracing::info!(position = %self.progress.position(), "the state is what was committed");
        pass(Place::Replayed);
        Ok(())
    }

    /// Hands a silence on, unless something has been read since; false when nobody takes it any more.
    fn silence(&mut self, silence: Silence) -> bool {
        let read = self.pipeline.labels.as_ref().map(|labels| self.progress.sequence(labels.stream));
        let lasts = self.replay.rebuilt.is_none() && read == Some(silence.after.0);
        !lasts || self.scoring.blocking_send(Scoring::Silence(silence)).is_ok()
    }

    /// Tells the tables that are made again what has happened.
    fn tell(&self, change: impl FnOnce() -> Change) {
        if let Some(remaking) = &self.remaking {
            remaking.tell(change());
        }
    }

    /// Takes over the tables that were made again, unless they have been given up.
    fn take_over(&mut self) -> Result<(), EngineError> {
        let Some(remaking) = &mut self.remaking else { return Ok(()) };
        let start = clock::now();
        if remaking.finish(&mut self.step, &self.progress, self.replay.on_loss)? {
            self.remaking = None;
            let (position, waited) = (self.progress.position(), start.elapsed());
            tracing::info!(%position, ?waited, "the tables are there again: vectors are complete");
            self.save_wanted.notify_one();
        }
        Ok(())
    }

    /// A view of tables, none of which is being made again.
    fn view(&mut self, names: &[String]) -> Result<StepView, EngineError> {
        if let Some(remaking) = &self.remaking {
            remaking.refuse(&self.pipeline, names)?;
        }
        Ok(taking(&self.pipeline.name, ViewCause::Query, || self.step.view(names))?)
    }

    /// Hands on what a snapshot is made of. While the state or a table is being made again, or when the
    /// state is as it was saved, there is none.
    fn save(&mut self, mut save: Box<Save>) -> bool {
        let is_wanted = self.has_changed || self.was_given_up();
        if self.replay.rebuilt.is_some() || self.remaking.is_some() || !is_wanted {
            return true;
        }
        let start = clock::now();
        match taking(&self.pipeline.name, ViewCause::Snapshot, || self.step.view_of_parts()) {
            Ok(view) => save.state = Some(view),
            Err(error) => {
                tracing::error!(%error, "no snapshot: a restart has more to replay");
                return true;
            }
        }
        save.progress = self.progress.clone();
        save.messages_per_second = self.stats.messages_per_second();
        if let Some(history) = &self.history {
            let Some(flushed) = history.flush() else { return false };
            save.history = Some(flushed);
        }
        let (stored, storing) = oneshot::channel();
        save.stored = Some(stored);
        self.storing = Some(storing);
        save.paused = start.elapsed();
        self.has_changed = false;
        self.scoring.blocking_send(Scoring::Save(save)).is_ok()
    }

    /// Whether the snapshot that was begun last was given up: then what it would have held is saved nowhere.
    fn was_given_up(&mut self) -> bool {
        match self.storing.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Ok(())) => {
                self.storing = None;
                false
            }
            Some(Err(TryRecvError::Closed)) => true,
            Some(Err(TryRecvError::Empty)) | None => false,
        }
    }

    /// Hands a step's output on; false when nobody takes it any more.
    fn hand_on(&mut self, mut output: StepOutput, requests: Vec<Option<ServiceRequest>>, taken: Taken) -> bool {
        let Taken { before, run, messages, unkept, start } = taken;
        if let Some(remaking) = &self.remaking {
            remaking.note_incomplete(&self.pipeline, &mut output);
        }
        self.stats.add_step(&output.counts, output.newest);
        self.stats.set_emitted_rows(self.step.emitted_rows());
        record_step(&self.pipeline.name, &output.counts, output.newest, start.elapsed());
        record_failed(&self.pipeline.name, &output.dead);
        record_dead(&self.pipeline.name, &self.stats.dead.add(&self.pipeline, &output.dead));
        record_behind(&self.pipeline.name, output.behind);
        let after = run.map(|_| self.progress.clone());
        let scored = Scored { output, requests, messages, unkept, before, run, after };
        self.scoring.blocking_send(Scoring::Step(Box::new(scored))).is_ok()
    }

    /// Looks at the tables, for whoever wants to know how large they are.
    fn measure(&mut self) {
        let Self { pipeline, step, stats, .. } = self;
        let mut tables = Vec::with_capacity(pipeline.tables.len());
        for (index, table) in pipeline.tables.iter().enumerate() {
            let keys = step.tables_mut().get(index).map_or(0, LiveTable::key_count);
            let figures = TableFigures {
                keys,
                bytes: step.table_size(TableIndex(index)),
                late_rows: step.late_rows(TableIndex(index)),
                evicted_keys: step.evicted_keys(TableIndex(index)),
                watermark: step.watermark(TableIndex(index)),
            };
            record_table(&pipeline.name, table.plan.name(), &figures);
            tables.push(figures);
        }
        stats.set_tables(tables);
    }
}
