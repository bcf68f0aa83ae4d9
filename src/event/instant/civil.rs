//! Days of the Gregorian calendar, also before it was in use, as days since 1970-01-01.

/// Microseconds of a second, a minute, an hour and a day.
pub(super) const SECOND: i64 = 1_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// The day of a date; none where the month has no such day.
#[inline]
pub(super) fn day_of_date(year: i64, month: u32, day: u32) -> Option<i64> {
    let lengths = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    (1..=length).contains(&day).then(|| {
        // Years begin in March, so that the leap day is their last one (Hinnant, "chrono-Compatible Low-Level Date
        // Algorithms", days_from_civil).
        let year = if month <= 2 { year - 1 } else { year };
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = (153 * i64::from((month + 9) % 12) + 2) / 5 + i64::from(day) - 1;
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
    })
}

/// The day of a year and the number of the day in it, from 1.
pub(super) fn day_of_ordinal(year: i64, number: u32) -> Option<i64> {
    let length = if is_leap(year) { 366 } else { 365 };
    (1..=length).contains(&number).then(|| day_of_date(year, 1, 1).map(|first| first + i64::from(number) - 1))?
}

/// The day of a year of weeks, the number of the week in it, and the day of the week, Monday being 1. The first week of a
/// year has its 4th of January.
pub(super) fn day_of_week(year: i64, week: u32, weekday: u32) -> Option<i64> {
    let monday = |year: i64| day_of_date(year, 1, 4).map(|fourth| fourth - days_after_monday(fourth));
    let first = monday(year)?;
    let day = first + i64::from(week) * 7 - 7 + i64::from(weekday) - 1;
    (week > 0 && (1..=7).contains(&weekday) && day < monday(year + 1)?).then_some(day)
}

/// Year, month and day of a day.
pub(super) fn date_of_day(day: i64) -> (i64, i64, i64) {
    // The other way round: civil_from_days of the same source.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// How many days after a Monday a day is: Thursday was the first of all.
pub(super) fn days_after_monday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use time::{Date, Month, Weekday};

    use super::*;

    /// All days of 4,000 years against another library, by each of their three names.
    #[test]
    fn every_day_has_three_names() {
        let first = Date::from_calendar_date(-400, Month::January, 1).expect("a date");
        let epoch = Date::from_calendar_date(1970, Month::January, 1).expect("a date");
        let mut date = first;
        while date.year() < 3_600 {
            let day = i64::from(date.to_julian_day() - epoch.to_julian_day());
            let year = i64::from(date.year());
            assert_eq!(day_of_date(year, u32::from(u8::from(date.month())), u32::from(date.day())), Some(day));
            assert_eq!(date_of_day(day), (year, i64::from(u8::from(date.month())), i64::from(date.day())));
            assert_eq!(day_of_ordinal(year, u32::from(date.ordinal())), Some(day));
            let (year, week, weekday) = date.to_iso_week_date();
            let number = u32::from(weekday.number_from_monday());
            assert_eq!(day_of_week(i64::from(year), u32::from(week), number), Some(day));
            assert_eq!(days_after_monday(day) + 1, i64::from(number));
            date = date.next_day().expect("a date");
        }
        assert_eq!(epoch.weekday(), Weekday::Thursday);
    }

    #[test]
    fn a_day_that_there_is_not_has_no_number() {
        for (year, month, day) in
            [(2026, 0, 1), (2026, 13, 1), (2026, 1, 0), (2026, 2, 29), (1900, 2, 29), (2026, 4, 31)]
        {
            assert_eq!(day_of_date(year, month, day), None, "{year}-{month}-{day}");
        }
        assert_eq!([0, 366].map(|number| day_of_ordinal(2026, number)), [None, None]);
        assert!(day_of_ordinal(2024, 366).is_some());
        // 2026 has 53 weeks, 2025 has 52.
        assert_eq!([(0, 1), (54, 1), (1, 0), (1, 8)].map(|(week, day)| day_of_week(2026, week, day)), [None; 4]);
        assert_eq!((day_of_week(2025, 53, 1), day_of_week(2026, 53, 7).is_some()), (None, true));
    }
}
