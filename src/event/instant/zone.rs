//! The time zone of times that don't say how far from UTC they are. The only door to the tables of zones.
//!
//! Where clocks are set back, an hour happens twice: a time in it is the first of the two. Where they are set forward, an hour
//! is missing: a time in it is read as if the clocks had not been set yet, which is as long after the change as the time is
//! into the gap. Both are what Python's `zoneinfo` and Java's `ZonedDateTime` do unless told otherwise. So midnight, where it is
//! skipped, is the first instant of its day, and where it is repeated the first of the two.

use std::fmt;

use chrono::offset::{LocalResult, Offset, TimeZone as _};
use chrono::{DateTime, NaiveDateTime};
use chrono_tz::{GapInfo, Tz};

use super::civil::SECOND;

/// A time zone of the IANA database.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TimeZone(Tz);

impl TimeZone {
    /// The zone of a name such as `UTC` or `Europe/Berlin`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        name.parse().ok().map(Self)
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())
    }

    /// The instant at which a clock in this zone shows so many microseconds from 1970-01-01T00:00:00 on.
    pub(in crate::event) fn instant(self, local: i64) -> Option<i64> {
        if self.0 == Tz::UTC {
            return Some(local);
        }
        let shown = DateTime::from_timestamp_micros(local)?.naive_utc();
        Some(local - i64::from(self.seconds_ahead(&shown)?) * SECOND)
    }

    /// How far ahead of UTC the clock is that shows this.
    fn seconds_ahead(self, shown: &NaiveDateTime) -> Option<i32> {
        let offset = match self.0.offset_from_local_datetime(shown) {
            LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => offset,
            LocalResult::None => GapInfo::new(shown, &self.0)?.begin?.1,
        };
        Some(offset.fix().local_minus_utc())
    }
}

impl fmt::Debug for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}
