//! Event times as producers write them: their unit, and which of them are believed.

use std::ops::RangeInclusive;

use crate::time::EventTime;

/// What an event time counts that is a number.
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

    /// The microseconds of so many units, the nearest whole number of them. Floating point holds seconds to the microsecond
    /// up to the year 2106.
    #[must_use]
    pub(crate) fn micros_of(self, units: f64) -> i64 {
        (units * self.micros() as f64).round_ties_even() as i64
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fractions_are_rounded_to_the_nearest_microsecond() {
        let seconds = TimeUnit::Seconds;
        // `(datetime.fromtimestamp(s, UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)` of Python.
        for (units, expected) in [
            (1_767_225_600.123_456, 1_767_225_600_123_456),
            (1_767_225_600.000_000_7, 1_767_225_600_000_001),
            (-0.000_001, -1),
            (4_102_444_799.999_999, 4_102_444_799_999_999),
            (0.1, 100_000),
        ] {
            assert_eq!(seconds.micros_of(units), expected, "{units}");
        }
        assert_eq!(TimeUnit::Milliseconds.micros_of(1_767_225_600_123.456), 1_767_225_600_123_456);
        assert_eq!(TimeUnit::Microseconds.micros_of(1.5e15), 1_500_000_000_000_000);
        // Out of bounds, as what it stands for is.
        assert_eq!([1e300, -1e300].map(|units| seconds.micros_of(units)), [i64::MAX, i64::MIN]);
    }

    proptest! {
        #[test]
        fn seconds_are_exact_to_the_microsecond(micros in 0_i64..4_294_967_296_000_000) {
            let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
            prop_assert_eq!(TimeUnit::Seconds.micros_of(text.parse().expect("a number")), micros);
        }
    }
}
