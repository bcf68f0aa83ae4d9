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
/// The upper bound is when the event was received, by the broker's clock, plus a tolerance, never this machine's clock: a
/// replay of the same messages must decide the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeBounds {
    pub(super) earliest: EventTime,
    pub(super) ahead_micros: i64,
}

impl TimeBounds {
    /// The event times believed of an event that was received at `received_micros`.
    #[inline]
    pub(super) fn at(&self, received_micros: i64) -> RangeInclusive<EventTime> {
        self.earliest..=EventTime(received_micros.saturating_add(self.ahead_micros))
    }
}
