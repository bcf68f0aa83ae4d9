//! One stream of events.

use std::sync::Arc;
use std::time::Duration;

use crate::event::{Contract, DecodeSettings, PartitionedWatermark};

impl StreamPlan {
    /// The stream's watermark before its first event.
    pub(crate) fn watermark(&self) -> PartitionedWatermark {
        PartitionedWatermark::new(self.disorder, self.idle)
    }
}

/// One stream of events.
pub struct StreamPlan {
    /// The relation's name in SQL.
    pub name: String,
    /// Subjects of the events, wildcards allowed.
    pub subjects: Vec<String>,
    /// The events' contract.
    pub contract: Arc<Contract>,
    /// How events are decoded.
    pub decode: DecodeSettings,
    /// The column of the event id, if repeated events are to be dropped, and how many ids are remembered.
    pub ids: Option<(String, usize)>,
    /// How far events may be out of order.
    pub disorder: Duration,
    /// Whether each concrete subject is a partition with a watermark of its own; else the stream is one.
    pub partition_by_subject: bool,
    /// How long a partition, or the stream beside others, may be silent before it holds no watermark back.
    pub idle: Duration,
    /// Whether late events go to the dead-letter subject.
    pub dead_letter_late: bool,
    /// How long the broker keeps events.
    pub retain: Duration,
    /// How many bytes of events it keeps.
    pub max_bytes: u64,
}
