//! Metrics of commits.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

// The names are older than this room, and dashboards know them.
const COMMIT: &str = "tidewheel_engine_commit_seconds";
const COMMITTED: &str = "tidewheel_engine_committed_outputs_total";
const WAITING: &str = "tidewheel_commit_waiting";

/// Says what the metrics are.
pub(crate) fn describe_metrics() {
    describe_histogram!(COMMIT, "time from sending an epoch's batch to knowing that it is stored");
    describe_counter!(COMMITTED, "outputs that are committed");
    describe_gauge!(WAITING, "what waits to be committed when the committing task takes: publications of steps");
}

/// Records one batch of the output stream.
pub(super) fn record_commit(pipeline: &str, outputs: usize, took: Duration) {
    histogram!(COMMIT, "pipeline" => pipeline.to_owned()).record(took);
    counter!(COMMITTED, "pipeline" => pipeline.to_owned()).increment(outputs as u64);
}

/// Records how many publications wait behind the one that was taken.
pub(super) fn record_waiting(pipeline: &str, count: usize) {
    gauge!(WAITING, "pipeline" => pipeline.to_owned(), "queue" => "publications").set(count as f64);
}
