//! Event times as producers write them: their unit, and which of them are believed.

use std::ops::RangeInclusive;

use crate::time::EventTime;

/// What an integer event time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    #[default]
    Milliseconds,
    /// Microseconds.
    Microseconds,
}

impl TimeUnit {
    /// Microseconds in one unit.
    #[must_use]
    pub fn micros(self) -> i64 {
        match self {
            Self::Seconds => 1_000_000,
            Self::Milliseconds => 1_000,
            Self::Microseconds => 1,
        }
    }
}

/// Which event times are believed.
///
/// The upper bound is the broker's own time of the message plus a tolerance, never this machine's clock: a replay of the
/// same messages must decide the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeBounds {
    pub(super) earliest: EventTime,
    pub(super) ahead_micros: i64,
}

impl TimeBounds {
    /// The event times believed of a message that the broker took at `published_micros`.
    #[inline]
    pub(super) fn at(&self, published_micros: i64) -> RangeInclusive<EventTime> {
        self.earliest..=EventTime(published_micros.saturating_add(self.ahead_micros))
    }
}
