//! Where a [`Status`] comes from: what the threads count, what the broker says of its streams, and training's report.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::status::{
    DeadStatus, ModelStatus, ReplyStatus, SnapshotStatus, Status, StreamStatus, TableStatus, TrainingState,
    TrainingStatus,
};
use crate::bus::{Bus, BusError, ReplyCounts, StreamState};
use crate::clock;
use crate::commit::Position;
use crate::engine::input::Input;
use crate::engine::stats::Stats;
use crate::engine::telemetry::{record_lag, record_replies};
use crate::engine::train::TrainingReport;
use crate::pipeline::{Pipeline, StreamIndex};
use crate::time::EventTime;

/// How long the broker, or the step's thread, is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// The stretch of time that quantiles of replies are about, and how often a point of it is kept.
const RECENT: Duration = Duration::from_secs(60);
const POINT: Duration = Duration::from_secs(5);

/// Looks at a running pipeline.
pub(super) struct Observer {
    pub(super) bus: Bus,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) stats: Arc<Stats>,
    pub(super) settled: watch::Receiver<Position>,
    /// It does not keep the pipeline running.
    pub(super) inputs: mpsc::WeakSender<Input>,
    /// Absent where another process trains, or nobody.
    pub(super) training: Option<watch::Receiver<Arc<TrainingReport>>>,
    pub(super) host: String,
    pub(super) started_micros: i64,
    /// The end of each stream when the broker was asked last.
    ends: Vec<Option<StreamState>>,
    replies: VecDeque<(Instant, ReplyCounts)>,
    /// How many events had come when that was looked at last, and when their number last grew.
    came: u64,
    last_event_micros: Option<i64>,
}

/// What an observer looks at.
pub(super) struct Observed<'a> {
    pub(super) bus: &'a Bus,
    pub(super) pipeline: &'a Arc<Pipeline>,
    pub(super) stats: &'a Arc<Stats>,
    pub(super) settled: watch::Receiver<Position>,
    pub(super) inputs: mpsc::WeakSender<Input>,
    pub(super) training: Option<watch::Receiver<Arc<TrainingReport>>>,
}

impl Observer {
    pub(super) fn new(observed: Observed<'_>) -> Self {
        let Observed { bus, pipeline, stats, settled, inputs, training } = observed;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let mut observer = Self {
            bus: bus.clone(),
            ends: vec![None; pipeline.streams.len()],
            pipeline: Arc::clone(pipeline),
            stats: Arc::clone(stats),
            settled,
            inputs,
            training,
            host: format!("{host}, process {}", std::process::id()),
            started_micros: clock::unix_micros(),
            replies: VecDeque::new(),
            came: 0,
            last_event_micros: None,
        };
        // What was counted before is not news.
        observer.came = observer.status().came();
        observer
    }

    /// Asks the broker where the streams end; what it does not answer in time is not known then.
    pub(super) async fn look_at_streams(&mut self) {
        for (index, stream) in self.pipeline.streams.iter().enumerate() {
            let end_of = async {
                let mut state = stream.bus(&self.bus).stream_state(&stream.held_in).await?;
                if stream.source.is_some() {
                    // What others have put there after it does not wait for this pipeline.
                    state.last = stream.last(&self.bus).await?.unwrap_or_default();
                }
                Ok::<_, BusError>(state)
            };
            let state = timeout(PATIENCE, end_of).await.ok().and_then(Result::ok);
            if let Some(end) = self.ends.get_mut(index) {
                *end = state;
            }
        }
        for stream in self.status().streams {
            if let Some(waiting) = stream.waiting {
                record_lag(&self.pipeline.name, &stream.name, waiting);
            }
        }
        if let Some(replies) = self.stats.replies() {
            record_replies(&self.pipeline.name, &replies.counts().codes);
        }
    }

    /// Has the step's thread look at the tables. A thread that is busy does so by itself, and is not waited for.
    pub(super) async fn look_at_tables(&self) {
        let Some(inputs) = self.inputs.upgrade() else { return };
        let (done, looked) = oneshot::channel();
        if inputs.try_send(Input::Measure(done)).is_ok() {
            drop(inputs);
            // What was known before will do.
            let _late = timeout(PATIENCE, looked).await.is_err();
        }
    }

    /// Takes note of what is to be compared with later. Called every second or so.
    pub(super) fn note(&mut self) {
        let came = self.status().came();
        if came != self.came {
            (self.came, self.last_event_micros) = (came, Some(clock::unix_micros()));
        }
        let Some(replies) = self.stats.replies() else { return };
        let now = clock::now();
        if self.replies.back().is_none_or(|(at, _)| now.duration_since(*at) >= POINT) {
            self.replies.push_back((now, replies.counts()));
        }
        while self.replies.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= RECENT) {
            self.replies.pop_front();
        }
    }

    /// The pipeline as it is known now.
    pub(super) fn status(&self) -> Status {
        let figures = self.stats.snapshot();
        let micros = |time: EventTime| time.micros();
        Status {
            pipeline: self.pipeline.name.clone(),
            host: self.host.clone(),
            started_micros: self.started_micros,
            at_micros: clock::unix_micros(),
            streams: self.streams(),
            events: figures.counts,
            last_event_micros: self.last_event_micros,
            newest_event_micros: figures.newest.map(micros),
            dead_letters: self
                .stats
                .dead
                .counts()
                .into_iter()
                .map(|(reason, dead)| (reason.to_owned(), DeadStatus { count: dead.count, example: dead.newest }))
                .collect(),
            tables: self.tables(),
            scored: figures.scored,
            rankings: figures.rankings,
            replies: self.replies(),
            labels: self.pipeline.labels.as_ref().map(|_| {
                let outcomes = self.stats.labels().by_outcome().into_iter();
                outcomes.map(|(outcome, count)| (outcome.to_owned(), count)).collect::<BTreeMap<_, _>>()
            }),
            unmatched_message: self.stats.unmatched(),
            model: self.stats.serving().map(|serving| ModelStatus {
                version: serving.version.to_string(),
                since_micros: serving.since_micros,
            }),
            training: self.pipeline.train.as_ref().map(|_| self.training()),
            snapshot: self
                .stats
                .stored_snapshot()
                .map(|stored| SnapshotStatus { at_micros: stored.at_micros, bytes: stored.state_bytes }),
        }
    }

    fn streams(&self) -> Vec<StreamStatus> {
        let position = self.settled.borrow().clone();
        let of = |(index, (stream, end)): (usize, (&crate::pipeline::StreamPlan, &Option<StreamState>))| {
            let position = position.of(StreamIndex(index)).0;
            StreamStatus {
                name: stream.name.clone(),
                position,
                waiting: end.as_ref().map(|end| waiting(position, end)),
            }
        };
        self.pipeline.streams.iter().zip(&self.ends).enumerate().map(of).collect()
    }

    fn tables(&self) -> Vec<TableStatus> {
        let figures = self.stats.tables();
        let of = |(table, figures): (&crate::pipeline::TablePlan, &crate::engine::stats::TableFigures)| TableStatus {
            name: table.plan.name().to_owned(),
            keys: figures.keys as u64,
            bytes: figures.bytes as u64,
            late: figures.late_rows,
            evicted: figures.evicted_keys,
            watermark_micros: figures.watermark.map(EventTime::micros),
        };
        self.pipeline.tables.iter().zip(figures.iter()).map(of).collect()
    }

    fn replies(&self) -> Option<ReplyStatus> {
        let now = self.stats.replies()?.counts();
        let nothing = ReplyCounts::default();
        let before = self.replies.front().map_or(&nothing, |(_, before)| before);
        let quantile = |share| now.quantile_since(before, share).map(|time| (time.as_secs_f64() * 1e5).round() / 1e2);
        Some(ReplyStatus { p50_ms: quantile(0.5), p99_ms: quantile(0.99), codes: now.codes })
    }

    fn training(&self) -> TrainingStatus {
        let Some(training) = &self.training else {
            let state = TrainingState::Elsewhere;
            return TrainingStatus { state, reason: None, examples: 0, promoted: 0, gate: None };
        };
        let report = training.borrow().clone();
        TrainingStatus {
            state: if report.stopped.is_some() { TrainingState::Stopped } else { TrainingState::Running },
            reason: report.stopped.clone(),
            examples: report.examples,
            promoted: report.promoted,
            gate: report.gate.clone(),
        }
    }
}

/// Messages of a stream behind a position. Sequences have gaps where messages were deleted, so there are at most as many as the
/// stream holds.
fn waiting(position: u64, end: &StreamState) -> u64 {
    let from = position.max(end.first.0.saturating_sub(1));
    end.last.0.saturating_sub(from).min(end.messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{FedBy, StreamSequence};

    #[test]
    fn what_waits_is_what_the_stream_still_has_behind_the_position() {
        let end = |first, last, messages| StreamState {
            first: StreamSequence(first),
            last: StreamSequence(last),
            messages,
            deleted: 0,
            created_micros: 0,
            replicas: 1,
            discard_new: true,
            max_bytes: None,
            replaces: false,
            fed_by: FedBy::Publishers,
            consumers_kept_for: None,
        };
        assert_eq!(waiting(0, &end(1, 10, 10)), 10);
        assert_eq!(waiting(7, &end(1, 10, 10)), 3);
        assert_eq!(waiting(10, &end(1, 10, 10)), 0);
        assert_eq!(waiting(12, &end(1, 10, 10)), 0, "the broker was asked before that was committed");
        assert_eq!(waiting(2, &end(8, 10, 3)), 3, "the first ones have expired");
        assert_eq!(waiting(2, &end(11, 10, 0)), 0, "all have");
        assert_eq!(waiting(0, &end(1, 10, 4)), 4, "some were deleted");
    }
}
