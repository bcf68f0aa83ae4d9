//! Texts that name an instant, in microseconds since 1970: what a field of `"format": "date-time"` takes.
//!
//! | written | example | taken |
//! |---|---|---|
//! | RFC 3339 | `2026-01-31T12:00:00.5+01:00` | always |
//! | ISO 8601, basic or extended | `20260131T1200Z`, `2026-W05-6T12+05`, `2026-031T12:00:00,5Z` | with an offset from UTC |
//! | ISO 8601 without an offset | `2026-01-31T12:00:00`, `2026-01-31` | where a time zone is set |
//! | RFC 2822 | `Sat, 31 Jan 2026 12:00:00 +0100`, `... GMT` | always |
//!
//! Digits behind the microsecond are cut, so that a time never moves forward. `24:00` is the end of its day. A second `60` is
//! a leap second: it is taken where it ends a day of UTC, and is the first instant of the next one, as POSIX has it. A date
//! without a time is the first instant of its day in the time zone.
//!
//! **It does not** take what names no instant: a month or a week without a day, a time without a date, a year of two digits,
//! a weekday that is not the date's, abbreviations of zones other than those of RFC 2822.

mod civil;
mod iso_8601;
mod rfc_2822;
mod rfc_3339;
mod written;
mod zone;

pub(super) use written::write;
pub use zone::TimeZone;

/// Why a text names no instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoInstant {
    /// It has none of the forms, or names a day or a time of day that there is not.
    Form,
    /// It would name one if it said how far from UTC it is.
    NoOffset,
}

impl NoInstant {
    /// What is to be said behind a text that was refused.
    pub(super) fn remark(self) -> &'static str {
        match self {
            Self::Form => "",
            Self::NoOffset => ", which has no offset from UTC: write one, or set `time_zone` in the stream",
        }
    }
}

/// The microseconds since 1970 of a text; `zone` is that of texts without an offset from UTC.
#[inline]
pub(super) fn micros(text: &[u8], zone: Option<TimeZone>) -> Result<i64, NoInstant> {
    match rfc_3339::micros(text) {
        Some(micros) => Ok(micros),
        None => of_any_form(text, zone),
    }
}

/// Apart, so that the usual form stays short where it is read.
#[cold]
#[inline(never)]
fn of_any_form(text: &[u8], zone: Option<TimeZone>) -> Result<i64, NoInstant> {
    match iso_8601::micros(text, zone) {
        Err(NoInstant::Form) => rfc_2822::micros(text).ok_or(NoInstant::Form),
        found => found,
    }
}

/// What a clock shows, together with a day.
#[derive(Debug, Clone, Copy)]
struct Shown {
    /// Days since 1970-01-01.
    day: i64,
    /// Microseconds since midnight: those of 24 hours at the end of a day, and up to a second more in a leap second.
    micros: i64,
    /// How much of these is less than a second, in a leap second.
    in_leap_second: Option<i64>,
}

impl Shown {
    /// Microseconds from 1970-01-01T00:00:00 of the same clock.
    fn local(self) -> Option<i64> {
        self.day.checked_mul(civil::DAY)?.checked_add(self.micros)
    }

    /// The instant `utc`, unless it is within a leap second that doesn't end a day of UTC.
    fn at(self, utc: i64) -> Option<i64> {
        self.in_leap_second.is_none_or(|fraction| utc.wrapping_sub(fraction).rem_euclid(civil::DAY) == 0).then_some(utc)
    }
}

#[cfg(test)]
mod tests;
