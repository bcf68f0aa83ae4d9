//! How outputs and state are kept.

use std::time::Duration;

use crate::snapshot::Location;

/// How the broker keeps what comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputPlan {
    /// For how long.
    pub retain: Duration,
    /// How many bytes.
    pub max_bytes: u64,
    /// Whether a full stream drops its oldest messages; otherwise the pipeline waits.
    pub drops_oldest: bool,
}

/// How often outputs are committed and the state is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePlan {
    /// How long outputs wait for others before they are committed together.
    pub epoch: Duration,
    /// The time between two snapshots.
    pub checkpoint: Duration,
    /// Where snapshots are kept; a folder beside the pipeline's other files when absent.
    pub snapshots: Option<Location>,
    /// Whether the pipeline stops at an event or a row that an expression fails on, instead of leaving it out.
    pub stops_at_poison: bool,
    /// Whether requests are answered while an as-of table is made again, as if it had never seen anything.
    pub answers_while_rebuilding: bool,
}
