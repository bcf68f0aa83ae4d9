//! A snapshot on its way, and what it says of itself.
//!
//! There is one at a time between the step and its commit, since a store has one draft at a time; of those that are committed,
//! whoever makes the queue lets a few wait to be stored. Then the committing task waits.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::bus::StreamSequence;
use crate::commit::Progress;
use crate::snapshot::Draft;
use crate::step::{LabelsView, Shown, StepView};

/// Changes when the meaning of a head or the set of parts does.
pub(crate) const FORMAT: u32 = 1;

/// A snapshot on its way.
pub(crate) struct Save {
    /// Parts are written into it once they are committed.
    pub(crate) draft: Draft,
    /// The step as it was.
    pub(crate) state: Option<StepView>,
    /// What waits for feedback, as it was.
    pub(crate) labels: Option<LabelsView>,
    pub(crate) progress: Progress,
    /// How fast the step was.
    pub(crate) messages_per_second: Option<u64>,
    pub(crate) impressions: Shown,
    /// Told when Delta tables hold everything up to here.
    pub(crate) history: Option<oneshot::Receiver<()>>,
    /// Told when the snapshot can be found; dropped where it is given up.
    pub(crate) stored: Option<oneshot::Sender<()>>,
    /// Told how long a thread was stopped at most, when the snapshot can be found or is given up.
    pub(crate) done: oneshot::Sender<Duration>,
    pub(crate) began: Instant,
    pub(crate) paused: Duration,
}

/// What a snapshot says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) format: u32,
    pub(crate) lineage: String,
    /// The marker that covers it.
    pub(crate) epoch: u64,
    /// Where that marker is in the output stream.
    pub(crate) output: u64,
    pub(crate) progress: Progress,
    pub(crate) impressions: Shown,
    /// How fast the step of then was, by which can be told how long reading it all again takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) messages_per_second: Option<u64>,
}

/// What it takes to read again all that is in a snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Messages, at most.
    pub(crate) messages: u64,
    /// How fast the step was when it was saved.
    pub(crate) messages_per_second: Option<u64>,
}

impl Reading {
    /// Of a snapshot with this head; of none where it can't be read.
    pub(crate) fn of(head: &[u8]) -> Self {
        let Ok(head) = serde_json::from_slice::<Head>(head) else { return Self::default() };
        let messages = head.progress.inputs.iter().map(|input| input.sequence).sum();
        Self { messages, messages_per_second: head.messages_per_second }
    }

    /// About how long it takes, in seconds.
    pub(crate) fn seconds(self) -> Option<u64> {
        self.messages_per_second.map(|pace| self.messages.div_ceil(pace.max(1)))
    }
}

/// A snapshot whose inputs and outputs are committed.
pub(crate) struct Committed {
    pub(crate) save: Save,
    pub(crate) epoch: u64,
    /// Where the output stream stood.
    pub(crate) output: StreamSequence,
}
