//! The committing task: replies at once, everything else in epochs, each one atomic batch that ends with a marker.
//!
//! ```text
//!   scoring ─▶ publication ─┬─ impressions, then replies ─▶ at once
//!                           ├─ outputs ─▶ epoch ──50 ms, or 990 messages──▶ batch + marker ─▶ in flight ─▶ stored
//!                           └─ save ────▶ ends the epoch; when it is stored, the snapshot may be found
//! ```
//!
//! Batches are sent without waiting for the answers to those before. A broker that is slow, or an output stream that is
//! full, stops this task from taking publications, and with it scoring, the step and reading.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::crash::{Place, pass};
use super::epoch::{Batch, Epoch, Stored};
use super::marker::{Marker, Ticks, Unfinished};
use super::outputs::Outputs;
use super::position::Position;
use super::progress::Progress;
use super::published::{Publication, Published};
use super::save::{Committed, Save};
use super::seen::Seen;
use super::telemetry::{Replaced, record_commit, record_replaced, record_reply, record_waiting};
use super::worker::Worker;
use crate::bus::{AtomicPublisher, BusError, Outgoing, Publisher, StreamSequence, Subject};
use crate::clock;
use crate::commit::CommitError;
use crate::pipeline::output_spec;
use crate::step::ImpressionMessage;

/// How long progress without outputs waits to be committed.
const PROGRESS_WAIT: Duration = Duration::from_millis(250);
/// A pipeline without events commits so often all the same, so that its newest marker does not expire...
const HEARTBEAT: Duration = Duration::from_secs(3_600);
/// ...and no less than so many times while the output stream keeps it.
const HEARTBEATS: u32 = 4;
/// How far streams have come that are somebody else's is committed so often.
const SOURCES_HEARTBEAT: Duration = Duration::from_secs(60);
/// The steps of a marker have this part of a message, and so have the names of rankings that were not made...
const STEPS_SHARE: usize = 4;
/// ...each step with so many bytes at most.
const STEP_BYTES: usize = 32;

/// Commits what a pipeline gives.
pub(crate) struct Committer {
    publisher: AtomicPublisher,
    worker: Worker,
    outputs: Outputs,
    subject: Subject,
    epoch: Epoch,
    /// How long outputs wait for others.
    linger: Duration,
    /// When the open epoch ends.
    due: Instant,
    heartbeat: Duration,
    /// The newest marker that was sent.
    marker: Marker,
    /// The last message of the output stream once everything that was sent is stored.
    last: StreamSequence,
    /// Whether how streams interleave has to be recorded.
    has_several_streams: bool,
    flights: VecDeque<Flight>,
    settled: watch::Sender<Position>,
    saves: mpsc::Sender<Committed>,
    /// How far streams that are somebody else's have come...
    seen: Seen,
    /// ...which the last marker says in any case.
    ends_with_marker: bool,
}

/// A batch without an answer.
struct Flight {
    sent: Instant,
    outputs: usize,
    position: Option<Position>,
    save: Option<Save>,
    epoch: u64,
}

/// Where a committer begins.
pub(crate) struct Beginning {
    pub(crate) publisher: AtomicPublisher,
    pub(crate) worker: Worker,
    pub(crate) epoch: Epoch,
    /// This worker's claim, as it is stored.
    pub(crate) marker: Marker,
    pub(crate) last: StreamSequence,
    pub(crate) linger: Duration,
    pub(crate) seen: Seen,
}

impl Committer {
    pub(crate) fn new(
        pipeline: &crate::pipeline::Pipeline,
        beginning: Beginning,
        settled: watch::Sender<Position>,
        saves: mpsc::Sender<Committed>,
    ) -> Self {
        let Beginning { publisher, worker, epoch, marker, last, linger, seen } = beginning;
        let most = if pipeline.reads_sources() { SOURCES_HEARTBEAT } else { HEARTBEAT };
        let heartbeat = output_spec(pipeline).max_age.map_or(most, |age| most.min(age / HEARTBEATS));
        Self {
            publisher,
            worker,
            outputs: Outputs::of(pipeline),
            subject: pipeline.names.commits(),
            epoch,
            linger,
            due: clock::task_now() + heartbeat,
            heartbeat,
            marker,
            last,
            has_several_streams: pipeline.streams.len() > 1,
            flights: VecDeque::new(),
            settled,
            saves,
            seen,
            ends_with_marker: pipeline.reads_sources(),
        }
    }

    /// Commits until the steps end and everything is stored.
    pub(crate) async fn run(
        mut self,
        impressions: Option<(Publisher, Subject)>,
        mut publications: mpsc::Receiver<Publication>,
    ) -> Result<(), CommitError> {
        let mut impressions = impressions;
        let mut is_open = true;
        while is_open || !self.flights.is_empty() {
            tokio::select! {
                stored = self.publisher.committed(), if !self.flights.is_empty() => {
                    match stored {
                        Ok(Some(end)) => self.land(end).await?,
                        Ok(None) => {}
                        Err(error) => return Err(self.worker.explain(error).await),
                    }
                }
                () = tokio::time::sleep_until(self.due), if is_open => self.close(None, true).await?,
                publication = publications.recv(), if is_open => {
                    record_waiting(self.worker.pipeline(), publications.len());
                    match publication {
                        Some(Publication::Step(published)) => self.take(*published, impressions.as_mut()).await?,
                        Some(Publication::Save(save)) => self.close(Some(*save), true).await?,
                        None => {
                            is_open = false;
                            self.close(None, self.ends_with_marker).await?;
                        }
                    }
                }
            }
        }
        if let Some((publisher, _)) = &mut impressions {
            publisher.settle().await.map_err(CommitError::of_publishing)?;
        }
        Ok(())
    }

    async fn take(
        &mut self,
        published: Published,
        impressions: Option<&mut (Publisher, Subject)>,
    ) -> Result<(), CommitError> {
        let Published { replies, impressions: shown, given, model, run, after } = published;
        let mut outputs = Vec::new();
        // Before the reply: feedback on what is not yet remembered would be lost by a crash in between.
        if let Some((publisher, subject)) = impressions {
            for ImpressionMessage { ordinal, payload } in shown {
                // They are never made again, but a message without an answer is sent again.
                let id = format!("shown-{}-{ordinal}", self.worker.id());
                let message = Outgoing::new(subject.clone(), payload).message_id(id);
                for part in self.outputs.fitted_impressions(message, publisher.room(), &mut outputs)? {
                    publisher.publish(part).await.map_err(CommitError::of_publishing)?;
                }
            }
        }
        for (request, reply) in replies {
            if reply.is_ok() {
                record_reply(self.worker.pipeline(), request.waited());
            }
            if let Err(error) = request.respond(reply).await {
                let is_too_large = matches!(error, BusError::TooLarge { .. });
                record_replaced(self.worker.pipeline(), Replaced::Reply, usize::from(is_too_large));
                tracing::warn!(%error, "reply not sent");
            }
        }
        let Some(mut given) = given else { return Ok(()) };
        let most_bytes = self.publisher.room().most_bytes() / STEPS_SHARE;
        for batch in self.epoch.note_unscored(mem::take(&mut given.unscored), most_bytes) {
            self.send(batch, None).await?;
        }
        if model.is_some() {
            self.marker.model = model;
        }
        let tick = given.tick.take();
        self.outputs.append(given, &mut outputs);
        let room = self.publisher.room();
        let nothing = Stored::default();
        let stored = if run.is_some() { self.epoch.stored() } else { &nothing };
        let outputs = self.outputs.fitted(outputs, room, stored)?;
        let full = match tick {
            Some(tick) => self.epoch.take_tick(outputs, tick),
            None => self.epoch.take(outputs, run, after),
        };
        for batch in full {
            self.send(batch, None).await?;
        }
        if self.epoch.steps() * STEP_BYTES > room.most_bytes() / STEPS_SHARE {
            self.close(None, false).await?;
        }
        if !self.epoch.is_empty() {
            let wait = if self.epoch.has_outputs() { self.linger } else { PROGRESS_WAIT };
            self.due = self.due.min(clock::task_now() + wait);
        }
        Ok(())
    }

    /// Ends the epoch. `is_forced` commits a marker even without anything new.
    async fn close(&mut self, save: Option<Save>, is_forced: bool) -> Result<(), CommitError> {
        self.due = clock::task_now() + self.heartbeat;
        if self.epoch.is_empty() && !is_forced {
            return Ok(());
        }
        let batch = self.epoch.close();
        self.send(batch, save).await
    }

    async fn send(&mut self, batch: Batch, save: Option<Save>) -> Result<(), CommitError> {
        pass(Place::EpochFilled);
        let Batch { outputs: mut messages, steps, unscored, ticks, progress, unfinished, resumed } = batch;
        let outputs = messages.len();
        let begins = match self.marker.unfinished {
            // The step's first outputs are where its first batch began.
            Some(known) if unfinished.is_some_and(|step| known.step == step) => known.since,
            _ => self.last.0,
        };
        let position = progress.as_ref().map(Progress::position);
        let before = self.marker.ticked;
        self.last = StreamSequence(self.last.0 + messages.len() as u64 + 1);
        self.marker = Marker {
            ticked: if ticks.is_empty() { before } else { self.last.0 },
            ticks: (!ticks.is_empty()).then_some(Ticks { before, ticks }),
            epoch: self.marker.epoch + 1,
            complete: unfinished.is_none() && resumed.is_none(),
            progress: progress.unwrap_or_else(|| self.marker.progress.clone()),
            steps: if self.has_several_streams { steps } else { Vec::new() },
            unscored,
            // Of a step that was unfinished when another worker died, the first outputs are where that worker put them.
            unfinished: resumed.or_else(|| unfinished.map(|step| Unfinished { since: begins, step })),
            ..self.marker.clone()
        };
        self.seen.stamp(&mut self.marker.progress);
        messages.push(self.marker.message(self.subject.clone())?);
        let flight = Flight { sent: clock::task_now(), outputs, position, save, epoch: self.marker.epoch };
        if let Err(error) = self.publisher.send(messages).await {
            return Err(self.worker.explain(error).await);
        }
        self.flights.push_back(flight);
        pass(Place::EpochSent);
        Ok(())
    }

    /// A batch is stored.
    async fn land(&mut self, end: StreamSequence) -> Result<(), CommitError> {
        pass(Place::EpochAnswered);
        let Some(Flight { sent, outputs, position, save, epoch }) = self.flights.pop_front() else { return Ok(()) };
        record_commit(self.worker.pipeline(), outputs, sent.elapsed());
        if let Some(position) = position {
            self.settled.send_replace(position);
        }
        if let Some(save) = save {
            // Without anybody who saves, the snapshot is not wanted any more.
            let _gone = self.saves.send(Committed { save, epoch, output: end }).await.is_err();
        }
        Ok(())
    }
}

/// What impressions are published with, for a pipeline that labels.
pub(crate) async fn impressions_publisher(
    pipeline: &crate::pipeline::Pipeline,
    bus: &crate::bus::Bus,
    outstanding: usize,
) -> Result<Option<(Publisher, Subject)>, BusError> {
    if pipeline.labels.is_none() {
        return Ok(None);
    }
    // However long nobody leads the stream: waiting is what a pipeline does then.
    let publisher = bus.publisher(outstanding).await?.tries(u32::MAX);
    Ok(Some((publisher, pipeline.names.impressions())))
}
