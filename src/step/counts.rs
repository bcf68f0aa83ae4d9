//! What became of the events of a step.

use serde::Serialize;

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Events in the features.
    pub counted: u64,
    /// Events too old for every window.
    pub late: u64,
    /// Events that broke their contract.
    pub rejected: u64,
    /// Events whose id was seen before.
    pub duplicate: u64,
    /// Candidates that were scored.
    pub scored: u64,
    /// Rankings that were made.
    pub rankings: u64,
    /// Newest event time, microseconds; zero before the first event.
    #[serde(skip)]
    pub newest_micros: i64,
}
