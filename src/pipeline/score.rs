//! What is scored, with what, and where rankings go.

use std::sync::Arc;
use std::time::Duration;

use super::index::StreamIndex;
use crate::bus::Subject;
use crate::event::Contract;
use crate::score::RequestTime;
use crate::sql::Condition;

/// The model file.
pub struct ModelPlan {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// Name of the output that is the score.
    pub output: Option<String>,
}

/// When rankings are made, and where they go.
pub struct ScorePlan {
    /// The subject that requests come to, and their contract.
    pub service: Option<(Subject, Arc<Contract>)>,
    /// The events that are scored by themselves.
    pub trigger: Option<Trigger>,
    /// Where every ranking is published.
    pub publish: Option<Subject>,
    /// The column of candidates.
    pub item: String,
    /// The column that says who is asked for.
    pub user: Option<String>,
    /// The event time in requests.
    pub time: RequestTime,
    /// Rows of a micro-batch.
    pub batch_rows: usize,
    /// How long the first row of a micro-batch waits for others.
    pub linger: Duration,
    /// Requests that may wait.
    pub queue: usize,
    /// Candidates of one request.
    pub max_items: usize,
}

/// The events of a stream for which a condition holds.
pub struct Trigger {
    /// Index of the stream.
    pub stream: StreamIndex,
    /// The condition over its columns.
    pub condition: Condition,
}
