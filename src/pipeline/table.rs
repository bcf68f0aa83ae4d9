//! One feature table.

use std::time::Duration;

use super::index::StreamIndex;
use crate::bus::Subject;
use crate::feature::LivePlan;
use crate::pipeline::pipeline::Pipeline;
use crate::window::Budget;

impl TablePlan {
    /// How far the events of an as-of table may be out of order.
    pub(crate) fn disorder(&self, pipeline: &Pipeline) -> Duration {
        self.streams.first().map_or(Duration::ZERO, |stream| pipeline.stream(*stream).disorder)
    }
}

/// One feature table.
pub struct TablePlan {
    /// Its plan.
    pub plan: LivePlan,
    /// Indices of its streams: one, or those that a table of windows reads under UNION ALL.
    pub streams: Vec<StreamIndex>,
    /// How long rows of a table of windows can be looked up after the end of their windows.
    pub retention: Duration,
    /// Where emitted rows are published.
    pub publish: Option<Subject>,
    /// How emitted rows are kept in a Delta table, if they are.
    pub history: Option<HistoryPlan>,
    /// DataFusion's logical plan of its select, as text.
    pub logical: String,
    /// How much memory it may take.
    pub budget: Budget,
}

/// How emitted rows are kept in a Delta table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryPlan {
    /// For how long after their date; for ever unless given.
    pub retain: Option<Duration>,
}
