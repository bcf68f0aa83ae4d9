//! A running pipeline at one moment, as `tidewheel.status.<pipeline>` tells it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::step::Counts;

/// A pipeline at one moment. What is counted is counted since its first event (`events`, `labels`) or since the start of its
/// process (all else); times are microseconds since 1970 by its clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) pipeline: String,
    /// Machine and process.
    pub(crate) host: String,
    pub(crate) started_micros: i64,
    pub(crate) at_micros: i64,
    pub(crate) streams: Vec<StreamStatus>,
    /// What became of the events.
    pub(crate) events: Counts,
    /// When the last event was counted, or was found to be of no use; none while there was none.
    pub(crate) last_event_micros: Option<i64>,
    /// The newest time of an event, by the events themselves.
    pub(crate) newest_event_micros: Option<i64>,
    /// What could not be used, by reason.
    pub(crate) dead_letters: BTreeMap<String, DeadStatus>,
    pub(crate) tables: Vec<TableStatus>,
    /// Candidates that were scored.
    pub(crate) scored: u64,
    pub(crate) rankings: u64,
    /// What requests were answered, where there is a service.
    pub(crate) replies: Option<ReplyStatus>,
    /// Impressions and feedback by what became of them, where there are labels.
    pub(crate) labels: Option<BTreeMap<String, u64>>,
    /// The newest message of feedback that belonged to nothing shown.
    pub(crate) unmatched_message: Option<u64>,
    /// Where anything is scored.
    pub(crate) model: Option<ModelStatus>,
    /// Where the pipeline has `[train]`.
    pub(crate) training: Option<TrainingStatus>,
    /// The newest of this process.
    pub(crate) snapshot: Option<SnapshotStatus>,
}

/// A stream of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StreamStatus {
    pub(crate) name: String,
    /// Its last message that is counted and committed.
    pub(crate) position: u64,
    /// Messages behind that one; unknown while the broker does not answer.
    pub(crate) waiting: Option<u64>,
}

/// Dead letters of one reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeadStatus {
    pub(crate) count: u64,
    /// The newest.
    pub(crate) example: String,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TableStatus {
    pub(crate) name: String,
    pub(crate) keys: u64,
    pub(crate) bytes: u64,
    /// Events that were late for it.
    pub(crate) late: u64,
    /// Keys that it has given up.
    pub(crate) evicted: u64,
    /// How far event time has come in its streams.
    pub(crate) watermark_micros: Option<i64>,
}

/// Replies of the ranking service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReplyStatus {
    /// Code to count; 200 are rankings.
    pub(crate) codes: BTreeMap<u16, u64>,
    /// From the arrival of a request to its ranking, half of the last minute's.
    pub(crate) p50_ms: Option<f64>,
    /// 99 of 100 of the last minute's.
    pub(crate) p99_ms: Option<f64>,
}

/// The model that serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ModelStatus {
    pub(crate) version: String,
    /// When it took over in this process.
    pub(crate) since_micros: i64,
}

/// Whether training goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TrainingState {
    Running,
    /// By itself, for the reason that is given.
    Stopped,
    /// Not in this process.
    Elsewhere,
}

/// Training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainingStatus {
    pub(crate) state: TrainingState,
    /// Why it has stopped.
    pub(crate) reason: Option<String>,
    /// Learnt from since the lineage began.
    pub(crate) examples: u64,
    /// Versions promoted by this process.
    pub(crate) promoted: u64,
    /// What the gate said last.
    pub(crate) gate: Option<String>,
}

/// A snapshot that can be used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SnapshotStatus {
    pub(crate) at_micros: i64,
    pub(crate) bytes: u64,
}

impl Status {
    /// Events that came, whatever became of them.
    pub(crate) fn came(&self) -> u64 {
        let Counts { counted, late, rejected, duplicate } = self.events;
        counted + late + rejected + duplicate
    }

    /// Messages that wait in all streams; unknown where that of one is.
    pub(crate) fn waiting(&self) -> Option<u64> {
        self.streams.iter().map(|stream| stream.waiting).sum()
    }

    /// Memory of all tables.
    pub(crate) fn state_bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }

    /// Feedback of one fate.
    pub(super) fn label(&self, outcome: &str) -> u64 {
        self.labels.as_ref().and_then(|labels| labels.get(outcome).copied()).unwrap_or_default()
    }
}
