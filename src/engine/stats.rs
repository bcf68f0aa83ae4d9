//! What became of the events, counted while it happens.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::dead_counts::DeadCounts;
use crate::bus::Replies;
use crate::learn::LabelCounts;
use crate::model::ModelVersion;
use crate::step::Counts;
use crate::time::EventTime;

/// The counters of a run at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// What became of the events.
    pub counts: Counts,
    /// Candidates that were scored.
    pub scored: u64,
    /// Rankings that were made.
    pub rankings: u64,
    /// The newest event time; none before the first event.
    pub newest: Option<EventTime>,
}

/// A table at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableFigures {
    pub(crate) keys: usize,
    pub(crate) bytes: usize,
    /// Since the start.
    pub(crate) late_rows: u64,
    /// Since the start.
    pub(crate) evicted_keys: u64,
    /// How far event time has come in its streams; none before the first event of each.
    pub(crate) watermark: Option<EventTime>,
}

/// The newest snapshot that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredSnapshot {
    pub(crate) at_micros: i64,
    pub(crate) state_bytes: u64,
}

/// The model that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Serving {
    pub(crate) version: ModelVersion,
    pub(crate) since_micros: i64,
}

/// Counters of a run, shared with whoever shows them.
#[derive(Debug, Default)]
pub struct Stats {
    counted: AtomicU64,
    late: AtomicU64,
    rejected: AtomicU64,
    duplicate: AtomicU64,
    scored: AtomicU64,
    rankings: AtomicU64,
    /// Zero before the first event.
    newest_micros: AtomicI64,
    labels: ArcSwap<LabelCounts>,
    emitted: ArcSwap<Vec<u64>>,
    /// What could not be used.
    pub(crate) dead: DeadCounts,
    /// The newest feedback that belonged to nothing shown: its message, 0 before the first.
    unmatched: AtomicU64,
    tables: ArcSwap<Vec<TableFigures>>,
    snapshot: ArcSwapOption<StoredSnapshot>,
    serving: ArcSwapOption<Serving>,
    /// Those of the ranking service, once it answers.
    replies: OnceLock<Arc<Replies>>,
    /// Messages that the step has taken, and for how long it was busy with them, nanoseconds.
    taken: AtomicU64,
    busy_nanos: AtomicU64,
}

impl Stats {
    /// The counters now.
    pub fn snapshot(&self) -> Figures {
        let counts = Counts {
            counted: self.counted.load(Ordering::Relaxed),
            late: self.late.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            duplicate: self.duplicate.load(Ordering::Relaxed),
        };
        let newest = self.newest_micros.load(Ordering::Relaxed);
        Figures {
            counts,
            scored: self.scored.load(Ordering::Relaxed),
            rankings: self.rankings.load(Ordering::Relaxed),
            newest: (newest != 0).then_some(EventTime(newest)),
        }
    }

    /// Adds what a step did.
    pub(crate) fn add_step(&self, step: &Counts, newest: Option<EventTime>) {
        self.counted.fetch_add(step.counted, Ordering::Relaxed);
        self.late.fetch_add(step.late, Ordering::Relaxed);
        self.rejected.fetch_add(step.rejected, Ordering::Relaxed);
        self.duplicate.fetch_add(step.duplicate, Ordering::Relaxed);
        self.newest_micros.fetch_max(newest.map_or(0, EventTime::micros), Ordering::Relaxed);
    }

    /// Adds how long the step was busy with messages.
    pub(crate) fn add_pace(&self, messages: usize, busy: Duration) {
        self.taken.fetch_add(messages as u64, Ordering::Relaxed);
        self.busy_nanos.fetch_add(u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many messages a second the step has taken while it was busy; nothing before it was.
    pub(crate) fn messages_per_second(&self) -> Option<u64> {
        let (taken, busy) = (self.taken.load(Ordering::Relaxed), self.busy_nanos.load(Ordering::Relaxed));
        (taken > 0 && busy > 0).then(|| ((taken as f64 / busy as f64 * 1e9) as u64).max(1))
    }

    /// Begins with what a restored state has counted.
    pub(crate) fn restore(&self, counts: &Counts) {
        self.counted.store(counts.counted, Ordering::Relaxed);
        self.late.store(counts.late, Ordering::Relaxed);
        self.rejected.store(counts.rejected, Ordering::Relaxed);
        self.duplicate.store(counts.duplicate, Ordering::Relaxed);
    }

    /// What became of impressions and feedback so far.
    pub fn labels(&self) -> LabelCounts {
        **self.labels.load()
    }

    /// Replaces what became of impressions and feedback.
    pub(crate) fn set_labels(&self, counts: &LabelCounts) {
        self.labels.store(Arc::new(*counts));
    }

    /// Rows that each table has emitted, in the order of the pipeline; those of a state that is rebuilt count too.
    pub fn emitted_rows(&self) -> Arc<Vec<u64>> {
        self.emitted.load_full()
    }

    /// Replaces the rows that each table has emitted.
    pub(crate) fn set_emitted_rows(&self, rows: &[u64]) {
        if self.emitted.load().as_slice() != rows {
            self.emitted.store(Arc::new(rows.to_vec()));
        }
    }

    /// Adds rankings.
    pub(crate) fn add_rankings(&self, rankings: u64, scored: u64) {
        self.rankings.fetch_add(rankings, Ordering::Relaxed);
        self.scored.fetch_add(scored, Ordering::Relaxed);
    }

    /// The newest message of feedback that belonged to nothing shown; none before the first.
    pub(crate) fn unmatched(&self) -> Option<u64> {
        Some(self.unmatched.load(Ordering::Relaxed)).filter(|sequence| *sequence > 0)
    }

    /// Notes feedback that belonged to nothing shown.
    pub(crate) fn set_unmatched(&self, sequence: Option<u64>) {
        if let Some(sequence) = sequence {
            self.unmatched.store(sequence, Ordering::Relaxed);
        }
    }

    /// The tables when they were last looked at, in the order of the pipeline; none before that.
    pub(crate) fn tables(&self) -> Arc<Vec<TableFigures>> {
        self.tables.load_full()
    }

    /// Replaces what is known of the tables.
    pub(crate) fn set_tables(&self, tables: Vec<TableFigures>) {
        self.tables.store(Arc::new(tables));
    }

    /// The newest snapshot of this run.
    pub(crate) fn stored_snapshot(&self) -> Option<StoredSnapshot> {
        self.snapshot.load().as_deref().copied()
    }

    /// Notes a snapshot that can be used from now on.
    pub(crate) fn set_snapshot(&self, snapshot: StoredSnapshot) {
        self.snapshot.store(Some(Arc::new(snapshot)));
    }

    /// The model that serves, where anything is scored.
    pub(crate) fn serving(&self) -> Option<Arc<Serving>> {
        self.serving.load_full()
    }

    /// Notes which model serves from now on.
    pub(crate) fn set_serving(&self, version: &ModelVersion, since_micros: i64) {
        self.serving.store(Some(Arc::new(Serving { version: version.clone(), since_micros })));
    }

    /// What the ranking service has replied, where there is one.
    pub(crate) fn replies(&self) -> Option<&Arc<Replies>> {
        self.replies.get()
    }

    /// Notes where the ranking service counts its replies; it is one for the whole run.
    pub(crate) fn set_replies(&self, replies: Arc<Replies>) {
        self.replies.get_or_init(|| replies);
    }
}
