//! Metrics of commits.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::pipeline::Pipeline;

// The names are older than this room, and dashboards know them.
const COMMIT: &str = "tidewheel_engine_commit_seconds";
const COMMITTED: &str = "tidewheel_engine_committed_outputs_total";
const WAITING: &str = "tidewheel_commit_waiting";
const REPLACED: &str = "tidewheel_commit_replaced_total";
const REPLY: &str = "tidewheel_commit_reply_seconds";

/// What could not leave as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// A row on its way to the bus.
    Table,
    /// A row on its way to a Delta table.
    History,
    Ranking,
    Example,
    Impression,
    /// A dead letter, of which only the beginning left.
    Dead,
    Reply,
}

impl Replaced {
    const ALL: [Self; 7] =
        [Self::Table, Self::History, Self::Ranking, Self::Example, Self::Impression, Self::Dead, Self::Reply];

    fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::History => "history",
            Self::Ranking => "ranking",
            Self::Example => "example",
            Self::Impression => "impression",
            Self::Dead => "dead",
            Self::Reply => "reply",
        }
    }
}

/// Registers what is counted from the start.
pub(crate) fn begin_metrics(pipeline: &Pipeline) {
    counter!(COMMITTED, "pipeline" => pipeline.name.clone()).increment(0);
    for what in Replaced::ALL {
        counter!(REPLACED, "pipeline" => pipeline.name.clone(), "place" => what.name()).increment(0);
    }
    let mut durations = vec![COMMIT];
    if pipeline.score.as_ref().is_some_and(|score| score.service.is_some()) {
        durations.push(REPLY);
    }
    for metric in durations {
        // Naming it is enough.
        drop(histogram!(metric, "pipeline" => pipeline.name.clone()));
    }
}

/// Says what the metrics are.
pub(crate) fn describe_metrics() {
    describe_histogram!(COMMIT, "time from sending an epoch's batch to knowing that it is stored");
    describe_counter!(COMMITTED, "outputs that are committed");
    describe_counter!(REPLACED, "outputs that were too large or could not be written, by what they were");
    describe_histogram!(REPLY, "time from the arrival of a request until its ranking is sent");
    describe_gauge!(WAITING, "what waits to be committed when the committing task takes: publications of steps");
}

/// Records one batch of the output stream.
pub(super) fn record_commit(pipeline: &str, outputs: usize, took: Duration) {
    histogram!(COMMIT, "pipeline" => pipeline.to_owned()).record(took);
    counter!(COMMITTED, "pipeline" => pipeline.to_owned()).increment(outputs as u64);
}

/// Records outputs in whose place a dead letter left, an error, or their beginning.
pub(crate) fn record_replaced(pipeline: &str, what: Replaced, count: usize) {
    if count == 0 {
        return;
    }
    counter!(REPLACED, "pipeline" => pipeline.to_owned(), "place" => what.name()).increment(count as u64);
}

/// Records for how long a request waited that got its ranking.
pub(super) fn record_reply(pipeline: &str, waited: Duration) {
    histogram!(REPLY, "pipeline" => pipeline.to_owned()).record(waited);
}

/// Records how many publications wait behind the one that was taken.
pub(super) fn record_waiting(pipeline: &str, count: usize) {
    gauge!(WAITING, "pipeline" => pipeline.to_owned(), "queue" => "publications").set(count as f64);
}
