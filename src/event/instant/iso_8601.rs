//! Every form of ISO 8601 that names a day and perhaps a time of it.
//!
//! ```text
//!   date    2026-01-31  20260131   2026-W05-6  2026W056   2026-031  2026031       years as +002026 too
//!   T       T, t or a space
//!   time    12:30:15  123015   12:30  1230   12       a comma or point and digits behind the last of them
//!   offset  Z  +01:00  +0100  +01                     none where there is a time zone
//! ```

use super::civil::{HOUR, MINUTE, SECOND, day_of_date, day_of_ordinal, day_of_week};
use super::zone::TimeZone;
use super::{NoInstant, Shown};

/// Digits of a fraction that are looked at: what follows is less than a microsecond of any unit.
const MOST_PLACES: usize = 18;

/// The microseconds since 1970 of a text; without an offset it is of `zone`.
pub(super) fn micros(text: &[u8], zone: Option<TimeZone>) -> Result<i64, NoInstant> {
    let (shown, offset) = read(text).ok_or(NoInstant::Form)?;
    let local = shown.local().ok_or(NoInstant::Form)?;
    let utc = match (offset, zone) {
        (Some(offset), _) => local.checked_sub(offset),
        (None, Some(zone)) => zone.instant(local),
        (None, None) => return Err(NoInstant::NoOffset),
    };
    utc.and_then(|utc| shown.at(utc)).ok_or(NoInstant::Form)
}

/// What is shown, and microseconds ahead of UTC where that is said.
fn read(text: &[u8]) -> Option<(Shown, Option<i64>)> {
    let mut rest = Rest(text);
    let day = rest.date()?;
    if rest.0.is_empty() {
        return Some((Shown { day, micros: 0, in_leap_second: None }, None));
    }
    rest.take(b"Tt ").then_some(())?;
    let (micros, in_leap_second) = rest.time()?;
    let offset = if rest.0.is_empty() { None } else { Some(rest.offset()?) };
    rest.0.is_empty().then_some((Shown { day, micros, in_leap_second }, offset))
}

/// What is left of a text.
pub(super) struct Rest<'t>(pub(super) &'t [u8]);

impl Rest<'_> {
    /// Passes the next byte if it is one of these.
    pub(super) fn take(&mut self, any: &[u8]) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if any.contains(first) => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// How many digits come next.
    pub(super) fn run(&self) -> usize {
        self.0.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    /// The number that so many digits write, which must be there.
    pub(super) fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count).filter(|_| self.run() >= count)?;
        self.0 = rest;
        Some(digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }

    fn date(&mut self) -> Option<i64> {
        let year = match self.0.first()? {
            b'+' | b'-' => {
                let is_before = self.take(b"-");
                let year =
                    i64::from(if is_before { self.digits(6)? } else { self.take(b"+").then(|| self.digits(6))?? });
                // There is a year 0, and no other one beside it.
                if is_before && year == 0 {
                    return None;
                }
                if is_before { -year } else { year }
            }
            _ => i64::from(self.digits(4)?),
        };
        let is_extended = self.take(b"-");
        if self.take(b"Ww") {
            let week = self.digits(2)?;
            if is_extended {
                self.take(b"-").then_some(())?;
            }
            return day_of_week(year, week, self.digits(1)?);
        }
        match (is_extended, self.run()) {
            (_, 3) => day_of_ordinal(year, self.digits(3)?),
            (true, 2) => {
                let month = self.digits(2)?;
                self.take(b"-").then_some(())?;
                day_of_date(year, month, self.digits(2)?)
            }
            (false, 4) => {
                let month = self.digits(2)?;
                day_of_date(year, month, self.digits(2)?)
            }
            _ => None,
        }
    }

    /// Microseconds since midnight, and within a leap second the part of it that has passed.
    pub(super) fn time(&mut self) -> Option<(i64, Option<i64>)> {
        let hour = self.digits(2)?;
        let is_extended = self.take(b":");
        let (mut minute, mut second, mut last) = (0, 0, HOUR);
        if is_extended || self.run() > 0 {
            minute = self.digits(2)?;
            last = MINUTE;
            let has_seconds = if is_extended { self.take(b":") } else { self.run() > 0 };
            if has_seconds {
                second = self.digits(2)?;
                last = SECOND;
            }
        }
        let fraction = if self.take(b".,") { self.fraction(last)? } else { 0 };
        if hour > 24 || minute > 59 || second > 60 {
            return None;
        }
        let micros = i64::from(hour) * HOUR + i64::from(minute) * MINUTE + i64::from(second) * SECOND + fraction;
        if hour == 24 && micros > 24 * HOUR {
            return None;
        }
        Some((micros, (second == 60).then_some(fraction)))
    }

    /// Microseconds of a fraction of `unit` microseconds; what is less than one is cut.
    fn fraction(&mut self, unit: i64) -> Option<i64> {
        let digits = self.run();
        if digits == 0 {
            return None;
        }
        let (mut number, mut power) = (0_i128, 1_i128);
        for digit in self.0.iter().take(digits.min(MOST_PLACES)) {
            number = number * 10 + i128::from(digit - b'0');
            power *= 10;
        }
        self.0 = self.0.get(digits..)?;
        i64::try_from(number * i128::from(unit) / power).ok()
    }

    /// Microseconds ahead of UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.take(b"Zz") {
            return Some(0);
        }
        let is_behind = self.take(b"-");
        if !is_behind {
            self.take(b"+").then_some(())?;
        }
        let hours = self.digits(2)?;
        let is_extended = self.take(b":");
        let minutes = if is_extended || self.run() > 0 { self.digits(2)? } else { 0 };
        let offset = i64::from(hours) * HOUR + i64::from(minutes) * MINUTE;
        (hours < 24 && minutes < 60).then_some(if is_behind { -offset } else { offset })
    }
}
