//! Event time: when something happened, as its producer says. Every room speaks of it in this type; columns hold it as Arrow's
//! microseconds.

use std::fmt;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in event time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Before every event: where a watermark is while there is none.
    pub const BEGINNING: Self = Self(i64::MIN);

    /// After every event: where a watermark is when no more come.
    pub const END: Self = Self(i64::MAX);

    /// Microseconds since 1970.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0
    }

    /// This time and `duration` more; at the end of representable time it stays there.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// This time and `duration` less; at the beginning of representable time it stays there.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }
}

impl From<i64> for EventTime {
    fn from(micros: i64) -> Self {
        Self(micros)
    }
}

impl From<EventTime> for i64 {
    fn from(time: EventTime) -> Self {
        time.0
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000);
        match time.ok().and_then(|time| time.format(&Rfc3339).ok()) {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} us since 1970", self.0),
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_rfc_3339_as_far_as_it_goes() {
        assert_eq!(EventTime(1_511_544_070_000_001).to_string(), "2017-11-24T17:21:10.000001Z");
        assert_eq!(EventTime(-1).to_string(), "1969-12-31T23:59:59.999999Z");
        assert_eq!(EventTime(i64::MAX).to_string(), "9223372036854775807 us since 1970");
    }

    #[test]
    fn arithmetic_stays_at_the_ends_of_time() {
        assert_eq!(EventTime(i64::MAX - 1).plus(Duration::MAX), EventTime(i64::MAX));
        assert_eq!(EventTime(i64::MIN + 1).minus(Duration::MAX), EventTime(i64::MIN));
        assert_eq!(EventTime(5).plus(Duration::from_micros(2)).minus(Duration::from_micros(3)), EventTime(4));
    }
}
