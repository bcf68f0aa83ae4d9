//! Names of the engine's metrics, and what is recorded per batch.

mod present;

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{Gauge, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

pub(crate) use self::present::{begin, begin_training};
use super::stats::TableFigures;
use crate::fault::Fault;
use crate::learn::{HorizonReport, LabelCounts, Learnt};
use crate::model::ModelVersion;
use crate::snapshot::Figures;
use crate::step::{Counts, DeadLetter, HeldViews};
use crate::time::EventTime;

const EVENTS: &str = "tidewheel_engine_events_total";
const RANKINGS: &str = "tidewheel_engine_rankings_total";
const SCORED: &str = "tidewheel_engine_scored_rows_total";
const LEFT_OUT: &str = "tidewheel_engine_left_out_rows_total";
const LABELS: &str = "tidewheel_learn_labels_total";
const BEHIND: &str = "tidewheel_learn_behind_rows_total";
const EXAMPLES: &str = "tidewheel_learn_examples_total";
const TRAIN: &str = "tidewheel_learn_step_seconds";
const AUC: &str = "tidewheel_learn_auc";
const LOG_LOSS: &str = "tidewheel_learn_log_loss";
const LOSS: &str = "tidewheel_learn_loss";
const STOPPED: &str = "tidewheel_learn_stopped";
const GATE: &str = "tidewheel_learn_gate_total";
const STEP: &str = "tidewheel_engine_step_seconds";
const SCORE: &str = "tidewheel_engine_score_seconds";
const WATERMARK: &str = "tidewheel_engine_newest_event_time_seconds";
const KEYS: &str = "tidewheel_window_keys";
const STATE: &str = "tidewheel_window_state_bytes";
const LATE: &str = "tidewheel_table_late_rows_total";
const FAILED: &str = "tidewheel_engine_failed_total";
const EVICTED: &str = "tidewheel_table_evicted_keys_total";
const INCOMPLETE: &str = "tidewheel_engine_incomplete_vectors_total";
const DEAD: &str = "tidewheel_engine_dead_letters_total";
const LAG: &str = "tidewheel_engine_lag_messages";
const REPLIES: &str = "tidewheel_engine_replies_total";
const MODEL: &str = "tidewheel_engine_model_version";
const MODEL_SINCE: &str = "tidewheel_engine_model_since_seconds";
const BAD_ROWS: &str = "tidewheel_reference_bad_rows";
const WAITING: &str = "tidewheel_engine_waiting";
const VIEW: &str = "tidewheel_engine_view_seconds";
const VIEWS: &str = "tidewheel_engine_views";
const VIEW_BYTES: &str = "tidewheel_engine_view_bytes";
const VIEWS_GIVEN_UP: &str = "tidewheel_engine_views_given_up_total";
const SNAPSHOT: &str = "tidewheel_snapshot_seconds";
const SNAPSHOT_PAUSE: &str = "tidewheel_snapshot_pause_seconds";
const SNAPSHOT_STATE: &str = "tidewheel_snapshot_state_bytes";
const SNAPSHOT_WRITTEN: &str = "tidewheel_snapshot_written_bytes_total";

const HISTORY_FILES: &str = "tidewheel_history_files";
const UPKEEP_FAILURES: &str = "tidewheel_history_upkeep_failures_total";

/// Tells the exporter what the metrics mean.
pub(crate) fn describe() {
    describe_counter!(EVENTS, "events by what became of them: counted, late, rejected, duplicate");
    describe_counter!(RANKINGS, "rankings made");
    describe_counter!(SCORED, "candidates scored");
    describe_counter!(
        LEFT_OUT,
        "candidates and events without a score, by the place that is to blame: their vector, or the model that fails on it"
    );
    describe_counter!(LABELS, "impressions and feedback by what became of them: shown, positives, negatives, ...");
    describe_counter!(BEHIND, "scored rows that nothing is learnt from, because they saw events later than themselves");
    describe_counter!(
        EXAMPLES,
        "new examples of training steps by what became of them: updated the weights, skipped with their batch, left_out alone"
    );
    describe_histogram!(TRAIN, "time of one training step with its evaluation");
    describe_gauge!(AUC, "prequential AUC at the last promotion: the model in training, and the frozen one beside it");
    describe_gauge!(LOG_LOSS, "prequential log-loss at the last promotion, likewise");
    describe_gauge!(LOSS, "mean loss of the last training batch before its step");
    describe_gauge!(
        STOPPED,
        "1 where training has stopped by itself while serving goes on, by whose fault it is: the log says why"
    );
    describe_counter!(
        GATE,
        "decisions of the gate, on the weights in training and on a version that a person has named"
    );
    describe_histogram!(STEP, "time of one step: decode, features, vectors");
    describe_histogram!(SCORE, "time of one micro-batch through the model");
    describe_gauge!(WATERMARK, "newest event time, seconds since 1970");
    describe_gauge!(KEYS, "keys that a feature table holds");
    describe_gauge!(STATE, "memory that a feature table holds, bytes");
    crate::commit::describe_metrics();
    describe_histogram!(VIEW, "time for which taking a view keeps the step's thread computing, by what it is for");
    describe_gauge!(VIEWS, "views of the state that are out, after the last step");
    describe_gauge!(VIEW_BYTES, "memory that is held because of views, bytes, after the last step");
    describe_counter!(
        VIEWS_GIVEN_UP,
        "views that were given up, because events had changed too much of what they hold"
    );
    describe_histogram!(SNAPSHOT, "time from asking for a snapshot until it can be used");
    describe_histogram!(
        SNAPSHOT_PAUSE,
        "time that a snapshot stopped the step or the scoring thread, whichever is longer"
    );
    describe_gauge!(SNAPSHOT_STATE, "size of the newest snapshot, bytes");
    describe_counter!(SNAPSHOT_WRITTEN, "bytes that snapshots have written: what had changed");
    describe_gauge!(
        WAITING,
        "what waits in front of a stage when it takes: messages of a queue between two threads, or requests"
    );
    describe_counter!(LATE, "events that were late for a table");
    describe_counter!(FAILED, "events and rows that an expression failed on, by where it stands and by the expression");
    describe_counter!(EVICTED, "keys that a table has given up at its limit of memory");
    describe_counter!(
        INCOMPLETE,
        "vectors made while a table that they read was made again, as if it had seen nothing"
    );
    describe_counter!(DEAD, "dead letters by their reason");
    describe_gauge!(LAG, "messages of a stream that are not counted and committed yet");
    describe_counter!(REPLIES, "replies of the ranking service by their code: 200 for a ranking, 503 for busy");
    describe_gauge!(MODEL, "the version that serves, its twelve hexadecimal digits as a number");
    describe_gauge!(MODEL_SINCE, "when the version that serves took over in this process, seconds since 1970");
    describe_gauge!(BAD_ROWS, "rows that are left out of a reference table because they can't be used");
    describe_gauge!(HISTORY_FILES, "files of a Delta table after its last upkeep");
    describe_counter!(UPKEEP_FAILURES, "times that the upkeep of a Delta table has failed");
}

/// Records how many rows are left out of a reference table.
pub(crate) fn record_bad_rows(pipeline: &str, reference: &str, count: u64) {
    gauge!(BAD_ROWS, "pipeline" => pipeline.to_owned(), "reference" => reference.to_owned()).set(count as f64);
}

/// Records vectors that were made without a table.
pub(crate) fn record_incomplete(pipeline: &str, count: usize) {
    counter!(INCOMPLETE, "pipeline" => pipeline.to_owned()).increment(count as u64);
}

/// Records the files of a Delta table after its upkeep.
pub(crate) fn record_history(pipeline: &str, table: &str, files: usize) {
    gauge!(HISTORY_FILES, "pipeline" => pipeline.to_owned(), "table" => table.to_owned()).set(files as f64);
}

/// Records that the upkeep of a Delta table has failed.
pub(crate) fn record_upkeep_failure(pipeline: &str, table: &str) {
    counter!(UPKEEP_FAILURES, "pipeline" => pipeline.to_owned(), "table" => table.to_owned()).increment(1);
}

/// A queue between two stages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Queue {
    /// Events, requests and questions on their way to the step.
    Inputs,
    /// Steps on their way to the scoring thread.
    Steps,
    /// Requests that the service has admitted.
    Requests,
    /// Emitted rows on their way to Delta tables.
    Rows,
    /// Snapshots that are committed and not stored yet.
    Snapshots,
    /// Examples, and what else comes to the training thread.
    Training,
}

/// How much waits in a queue, told by whoever takes from it.
pub(crate) struct Waiting(Gauge);

impl Waiting {
    pub(crate) fn of(pipeline: &str, queue: Queue) -> Self {
        let queue = match queue {
            Queue::Inputs => "inputs",
            Queue::Steps => "steps",
            Queue::Requests => "requests",
            Queue::Rows => "rows",
            Queue::Snapshots => "snapshots",
            Queue::Training => "training",
        };
        Self(gauge!(WAITING, "pipeline" => pipeline.to_owned(), "queue" => queue))
    }

    /// So many wait behind the one that was taken.
    pub(crate) fn record(&self, count: usize) {
        self.0.set(count as f64);
    }
}

/// What a view is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ViewCause {
    /// A statement.
    Query,
    /// A snapshot.
    Snapshot,
}

/// Records for how long taking a view kept the step's thread.
pub(crate) fn record_view(pipeline: &str, cause: ViewCause, took: Duration) {
    let cause = match cause {
        ViewCause::Query => "query",
        ViewCause::Snapshot => "snapshot",
    };
    histogram!(VIEW, "pipeline" => pipeline.to_owned(), "cause" => cause).record(took);
}

/// Records what the views that are out hold.
pub(crate) fn record_held(pipeline: &str, held: HeldViews) {
    gauge!(VIEWS, "pipeline" => pipeline.to_owned()).set(held.views as f64);
    gauge!(VIEW_BYTES, "pipeline" => pipeline.to_owned()).set(held.bytes as f64);
}

/// Records views that were given up.
pub(crate) fn record_given_up(pipeline: &str, views: usize) {
    counter!(VIEWS_GIVEN_UP, "pipeline" => pipeline.to_owned()).increment(views as u64);
}

/// Records one snapshot.
pub(crate) fn record_snapshot(pipeline: &str, figures: &Figures, took: Duration, pause: Duration) {
    histogram!(SNAPSHOT, "pipeline" => pipeline.to_owned()).record(took);
    histogram!(SNAPSHOT_PAUSE, "pipeline" => pipeline.to_owned()).record(pause);
    gauge!(SNAPSHOT_STATE, "pipeline" => pipeline.to_owned()).set(figures.state_bytes as f64);
    counter!(SNAPSHOT_WRITTEN, "pipeline" => pipeline.to_owned()).increment(figures.written_bytes);
}

/// Records one step.
pub(crate) fn record_step(pipeline: &str, counts: &Counts, newest: Option<EventTime>, took: Duration) {
    let outcomes = [
        ("counted", counts.counted),
        ("late", counts.late),
        ("rejected", counts.rejected),
        ("duplicate", counts.duplicate),
    ];
    for (outcome, count) in outcomes.into_iter().filter(|(_, count)| *count > 0) {
        counter!(EVENTS, "pipeline" => pipeline.to_owned(), "outcome" => outcome).increment(count);
    }
    if let Some(newest) = newest {
        gauge!(WATERMARK, "pipeline" => pipeline.to_owned()).set(newest.micros() as f64 / 1e6);
    }
    histogram!(STEP, "pipeline" => pipeline.to_owned()).record(took.as_secs_f64());
}

/// Records what expressions have failed on.
pub(crate) fn record_failed(pipeline: &str, letters: &[DeadLetter]) {
    for place in letters.iter().filter_map(|letter| letter.place.as_ref()) {
        let (place, expression) = (place.owner.to_string(), place.expression.clone());
        counter!(FAILED, "pipeline" => pipeline.to_owned(), "place" => place, "expression" => expression).increment(1);
    }
}

/// Records scored rows that feedback does not find.
pub(crate) fn record_behind(pipeline: &str, rows: u64) {
    if rows > 0 {
        counter!(BEHIND, "pipeline" => pipeline.to_owned()).increment(rows);
    }
}

/// Records one micro-batch.
pub(crate) fn record_scores(pipeline: &str, rankings: u64, scored: u64, took: Duration) {
    counter!(RANKINGS, "pipeline" => pipeline.to_owned()).increment(rankings);
    counter!(SCORED, "pipeline" => pipeline.to_owned()).increment(scored);
    histogram!(SCORE, "pipeline" => pipeline.to_owned()).record(took.as_secs_f64());
}

/// Records candidates and events without a score: without a vector, and those that the model failed on.
pub(crate) fn record_left_out(pipeline: &str, vector: u64, model: u64) {
    for (place, count) in [("vector", vector), ("model", model)].into_iter().filter(|(_, count)| *count > 0) {
        counter!(LEFT_OUT, "pipeline" => pipeline.to_owned(), "place" => place).increment(count);
    }
}

/// Records what became of impressions and feedback so far.
pub(crate) fn record_labels(pipeline: &str, counts: &LabelCounts) {
    for (outcome, count) in counts.by_outcome() {
        counter!(LABELS, "pipeline" => pipeline.to_owned(), "outcome" => outcome).absolute(count);
    }
}

/// Records one step of training.
pub(crate) fn record_training(pipeline: &str, examples: u64, left_out: u64, took: Duration, learnt: &Learnt) {
    let outcome = if matches!(learnt, Learnt::Skipped { .. }) { "skipped" } else { "updated" };
    for (outcome, count) in [(outcome, examples.saturating_sub(left_out)), ("left_out", left_out)] {
        counter!(EXAMPLES, "pipeline" => pipeline.to_owned(), "outcome" => outcome).increment(count);
    }
    histogram!(TRAIN, "pipeline" => pipeline.to_owned()).record(took.as_secs_f64());
    if let Learnt::Updated { loss } = learnt {
        gauge!(LOSS, "pipeline" => pipeline.to_owned()).set(f64::from(*loss));
    }
}

/// Records by whose fault training has stopped by itself, if it has.
pub(crate) fn record_stopped(pipeline: &str, stopped: Option<Fault>) {
    for fault in [Fault::Operator, Fault::Data, Fault::Outside, Fault::Bug] {
        let value = f64::from(u8::from(stopped == Some(fault)));
        gauge!(STOPPED, "pipeline" => pipeline.to_owned(), "fault" => fault.to_string()).set(value);
    }
}

/// What the gate has decided, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GateOutcome {
    Promoted,
    Refused,
    /// Nothing could be said yet.
    Waiting,
    /// It passed, and is not promoted because a roll-back is held.
    Held,
    /// Training has stopped.
    Stopped,
}

impl GateOutcome {
    const ALL: [Self; 5] = [Self::Promoted, Self::Refused, Self::Waiting, Self::Held, Self::Stopped];

    fn name(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::Refused => "refused",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Stopped => "stopped",
        }
    }
}

/// Records a decision of the gate; `of` is `weights` or `candidate`.
pub(crate) fn record_gate(pipeline: &str, of: &'static str, outcome: GateOutcome) {
    counter!(GATE, "pipeline" => pipeline.to_owned(), "of" => of, "outcome" => outcome.name()).increment(1);
}

/// Records how well the model in training and its reference do on the longest horizon.
pub(crate) fn record_evaluation(pipeline: &str, horizon: &HorizonReport) {
    for (model, report) in [("learning", &horizon.learning), ("reference", &horizon.reference)] {
        if let Some(auc) = report.metrics.auc {
            gauge!(AUC, "pipeline" => pipeline.to_owned(), "model" => model).set(auc);
        }
        gauge!(LOG_LOSS, "pipeline" => pipeline.to_owned(), "model" => model).set(report.metrics.log_loss);
    }
}

/// Records dead letters of a step.
pub(crate) fn record_dead(pipeline: &str, counts: &BTreeMap<&'static str, u64>) {
    for (reason, count) in counts {
        counter!(DEAD, "pipeline" => pipeline.to_owned(), "reason" => *reason).increment(*count);
    }
}

/// Records how many messages of a stream wait.
pub(crate) fn record_lag(pipeline: &str, stream: &str, messages: u64) {
    gauge!(LAG, "pipeline" => pipeline.to_owned(), "stream" => stream.to_owned()).set(messages as f64);
}

/// Records what the ranking service has replied so far.
pub(crate) fn record_replies(pipeline: &str, codes: &BTreeMap<u16, u64>) {
    for (code, count) in codes {
        counter!(REPLIES, "pipeline" => pipeline.to_owned(), "code" => code.to_string()).absolute(*count);
    }
}

/// Records the version that serves. It is a value and no label: training may promote a version every few seconds, and each
/// would stay as a series for ever.
pub(crate) fn record_model(pipeline: &str, version: &ModelVersion, since_micros: i64) {
    // 48 bits, which a double holds.
    let number = u64::from_str_radix(version.as_str(), 16).unwrap_or_default();
    gauge!(MODEL, "pipeline" => pipeline.to_owned()).set(number as f64);
    gauge!(MODEL_SINCE, "pipeline" => pipeline.to_owned()).set(since_micros as f64 / 1e6);
}

/// Records the size of a table, and what was late for it.
pub(crate) fn record_table(pipeline: &str, table: &str, figures: &TableFigures) {
    gauge!(KEYS, "pipeline" => pipeline.to_owned(), "table" => table.to_owned()).set(figures.keys as f64);
    gauge!(STATE, "pipeline" => pipeline.to_owned(), "table" => table.to_owned()).set(figures.bytes as f64);
    counter!(LATE, "pipeline" => pipeline.to_owned(), "table" => table.to_owned()).absolute(figures.late_rows);
    counter!(EVICTED, "pipeline" => pipeline.to_owned(), "table" => table.to_owned()).absolute(figures.evicted_keys);
}
