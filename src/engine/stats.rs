//! What became of the events, counted while it happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::learn::LabelCounts;
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
}
