//! What happened to the label join beside its stream, as it is recorded: what was shown in answer to requests, by whom, and
//! which windows were closed while the stream was silent.
//!
//! ```text
//!   events      ── 11 ───── 12 ─────────────────────────────────── 13 ──▶
//!   shown            r1        r2          r3                         position 11, 12, 12
//!   ticks                           t1          t2                    after 12 and r2; after 12 and r3
//!   again       ── 11 ─ r1 ─ 12 ─ r2 ─ t1 ─ r3 ─ t2 ─────────────── 13 ──▶
//! ```

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::bus::StreamSequence;
use crate::learn::Impressions;

/// What waits for the event that it came before, with the last event of the feedback's stream that it came after.
pub(crate) type Recorded = VecDeque<(StreamSequence, Past)>;

/// Something that happened to the label join between two events.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Past {
    /// Requests were answered.
    Shown(Impressions),
    /// Time went on without events.
    Ticked(Tick),
}

/// That windows were closed while the feedback's stream was silent. It was decided once, and is committed together with what
/// it gave: whoever reads events again does at the same place what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tick {
    /// The last message of the feedback's stream before it.
    pub(crate) after: u64,
    /// What had been shown before it.
    pub(crate) shown: Shown,
    /// How far time had come by the clock, microseconds since 1970.
    pub(crate) clock_micros: i64,
    /// How many windows it closed at most.
    pub(crate) most: usize,
}

/// What is recorded, by the event that it follows. Where a worker died, the next one made impressions at positions that the
/// dead one had passed.
pub(super) fn in_order(recorded: &mut Recorded) {
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
