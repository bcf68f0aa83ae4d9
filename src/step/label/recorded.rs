//! What was shown in answer to requests, as it is recorded: when and by whom.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::bus::StreamSequence;
use crate::learn::Impressions;

/// Impressions that wait for the event after which they come: with the position of the feedback's stream.
pub(crate) type Recorded = VecDeque<(StreamSequence, Impressions)>;

/// Impressions by the event that they follow. Where a worker died, the next one made some at positions that the dead one
/// had passed.
pub(crate) fn in_order(recorded: &mut Recorded) {
    recorded.make_contiguous().sort_by_key(|(position, _)| *position);
}

/// When and by whom impressions were made: `clicks=12,orders=3@<worker>:<ordinal>`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Made<'a> {
    pub(crate) position: &'a str,
    pub(crate) writer: &'a str,
    pub(crate) ordinal: u64,
}

impl<'a> Made<'a> {
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let (position, by) = text.split_once('@')?;
        let (writer, ordinal) = by.split_once(':')?;
        Some(Self { position, writer, ordinal: ordinal.parse().ok()? })
    }
}

impl std::fmt::Display for Made<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}@{}:{}", self.position, self.writer, self.ordinal)
    }
}

/// Which recorded impressions are in a state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// All up to this message of their stream.
    pub(crate) until: u64,
    /// After it, those of this worker...
    pub(crate) writer: String,
    /// ...up to this one.
    pub(crate) ordinal: u64,
}
