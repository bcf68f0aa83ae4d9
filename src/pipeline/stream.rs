//! One stream of events.

use std::sync::Arc;
use std::time::Duration;

use crate::bus::{Bus, BusError, JetStreamApi, StreamSequence, Subject};
use crate::event::{Contract, DecodeSettings, PartitionedWatermark};

impl StreamPlan {
    /// The stream's watermark before its first event.
    pub(crate) fn watermark(&self) -> PartitionedWatermark {
        PartitionedWatermark::new(self.disorder, self.idle)
    }

    /// The connection by which the broker is asked about its stream.
    pub(crate) fn bus(&self, bus: &Bus) -> Bus {
        self.source.as_ref().map_or_else(|| bus.clone(), |api| bus.at(api))
    }

    /// The subjects that are read of a stream that is somebody else's; of one of our own everything is.
    ///
    /// # Errors
    /// When one is no subject.
    pub(crate) fn filters(&self) -> Result<Vec<Subject>, BusError> {
        match self.source {
            Some(_) => self.subjects.iter().map(Subject::new).collect(),
            None => Ok(Vec::new()),
        }
    }

    /// The newest message that is to be read; none where the broker holds none.
    ///
    /// # Errors
    /// [`BusError::StreamNotFound`], or [`BusError::JetStream`] when the server doesn't answer.
    pub(crate) async fn last(&self, bus: &Bus) -> Result<Option<StreamSequence>, BusError> {
        let (bus, mut newest) = (self.bus(bus), None);
        for subject in &self.subjects {
            let last = bus.last_message(&self.held_in, &Subject::new(subject)?).await?;
            newest = newest.max(last.map(|message| message.sequence));
        }
        Ok(newest)
    }
}

/// One stream of events.
pub struct StreamPlan {
    /// The relation's name in SQL.
    pub name: String,
    /// Subjects of the events, wildcards allowed.
    pub subjects: Vec<String>,
    /// The broker's stream that holds them.
    pub held_in: String,
    /// Where that is, if it is somebody else's: it is read through the subjects, and never made or altered.
    pub source: Option<JetStreamApi>,
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
