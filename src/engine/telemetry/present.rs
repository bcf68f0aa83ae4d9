//! Counters and durations that are there from the start: a rate of what has not happened yet is 0, and not absent.

use metrics::{counter, gauge, histogram};

use super::{
    BEHIND, DEAD, EVENTS, EVICTED, EXAMPLES, GATE, GateOutcome, INCOMPLETE, LABELS, LAG, LATE, LEFT_OUT, RANKINGS,
    REPLIES, SCORE, SCORED, SNAPSHOT, SNAPSHOT_PAUSE, SNAPSHOT_WRITTEN, STEP, TRAIN, UPKEEP_FAILURES, VIEW,
    VIEWS_GIVEN_UP, record_stopped,
};
use crate::event::RejectReason;
use crate::learn::LabelCounts;
use crate::pipeline::Pipeline;
use crate::step::{FAILED, LATE as LATE_REASON, UNSCORABLE};

/// Codes that the ranking service replies with.
const CODES: [&str; 5] = ["200", "400", "413", "422", "503"];

/// Registers what a pipeline that runs counts.
pub(crate) fn begin(pipeline: &Pipeline) {
    let name = || pipeline.name.clone();
    for metric in [RANKINGS, SCORED, BEHIND, INCOMPLETE, VIEWS_GIVEN_UP, SNAPSHOT_WRITTEN] {
        counter!(metric, "pipeline" => name()).increment(0);
    }
    let labelled = |metric: &'static str, label: &'static str, values: &[&'static str]| {
        for value in values {
            counter!(metric, "pipeline" => name(), label => *value).increment(0);
        }
    };
    labelled(EVENTS, "outcome", &["counted", "late", "rejected", "duplicate"]);
    labelled(LEFT_OUT, "place", &["vector", "model"]);
    let reasons = RejectReason::ALL.map(RejectReason::as_str);
    labelled(DEAD, "reason", &[reasons.as_slice(), &[LATE_REASON, UNSCORABLE, FAILED]].concat());
    if pipeline.labels.is_some() {
        labelled(LABELS, "outcome", &LabelCounts::default().by_outcome().map(|(outcome, _)| outcome));
    }
    if pipeline.score.as_ref().is_some_and(|score| score.service.is_some()) {
        labelled(REPLIES, "code", &CODES);
    }
    for table in &pipeline.tables {
        let of_table = |metric: &'static str| {
            counter!(metric, "pipeline" => name(), "table" => table.plan.name().to_owned()).increment(0);
        };
        [LATE, EVICTED].into_iter().for_each(of_table);
        if table.history.is_some() {
            of_table(UPKEEP_FAILURES);
        }
    }
    for stream in &pipeline.streams {
        gauge!(LAG, "pipeline" => name(), "stream" => stream.name.clone()).set(0.0);
    }
    for metric in [STEP, SCORE, SNAPSHOT, SNAPSHOT_PAUSE] {
        register(histogram!(metric, "pipeline" => name()));
    }
    for cause in ["query", "snapshot"] {
        register(histogram!(VIEW, "pipeline" => name(), "cause" => cause));
    }
    crate::commit::begin_metrics(pipeline);
}

/// Registers what training counts.
pub(crate) fn begin_training(pipeline: &str) {
    for outcome in ["updated", "skipped", "left_out"] {
        counter!(EXAMPLES, "pipeline" => pipeline.to_owned(), "outcome" => outcome).increment(0);
    }
    for of in ["weights", "candidate"] {
        for outcome in GateOutcome::ALL {
            counter!(GATE, "pipeline" => pipeline.to_owned(), "of" => of, "outcome" => outcome.name()).increment(0);
        }
    }
    register(histogram!(TRAIN, "pipeline" => pipeline.to_owned()));
    record_stopped(pipeline, None);
}

/// Naming a histogram is enough: it then stands there with a count of 0.
fn register(histogram: metrics::Histogram) {
    drop(histogram);
}
