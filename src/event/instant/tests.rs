//! Against what Python's `datetime`, `email.utils` and `zoneinfo` say, and against texts that the `time` crate writes.

use proptest::prelude::*;
use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::{Duration, OffsetDateTime, UtcOffset};

use super::{NoInstant, TimeZone, micros};

fn read(text: &str) -> Result<i64, NoInstant> {
    micros(text.as_bytes(), None)
}

/// `us(datetime.fromisoformat(text))` of Python 3.11, and sums of days and hours for the forms that it doesn't read.
#[test]
fn iso_8601_names_instants_in_all_its_forms() {
    for (text, expected) in [
        ("2026-01-31T12:00:00Z", 1_769_860_800_000_000),
        ("2026-01-31T12:00:00.123456789+05:30", 1_769_841_000_123_456),
        ("1969-12-31t23:59:59.999999999-11:30", 41_399_999_999),
        ("0001-01-01 00:00:00Z", -62_135_596_800_000_000),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
        ("20260131T120000Z", 1_769_860_800_000_000),
        ("20260131T120000,5+0100", 1_769_857_200_500_000),
        ("20260131T1200-0330", 1_769_873_400_000_000),
        ("20260131T12+05", 1_769_842_800_000_000),
        ("2026-01-31T12+05", 1_769_842_800_000_000),
        ("2026-01-31T12:30-00:00", 1_769_862_600_000_000),
        ("2026-W05-6T12:00:00Z", 1_769_860_800_000_000),
        ("2026W056T120000z", 1_769_860_800_000_000),
        ("2020-W53-7T00:00Z", 1_609_632_000_000_000),
        ("2026-01-31T12:00:00.1+0530", 1_769_841_000_100_000),
        ("2026-01-31 12:00:00+00", 1_769_860_800_000_000),
        ("2024-02-29T23:59:59.999999+23:59", 1_709_164_859_999_999),
        ("2026-031T12Z", 1_769_860_800_000_000),
        ("2024366T235959Z", 1_735_689_599_000_000),
        ("2026-12-31T24:00Z", 1_798_761_600_000_000),
        ("20261231T240000,000Z", 1_798_761_600_000_000),
        ("2026-01-31T12,5Z", 1_769_862_600_000_000),
        ("2026-01-31T12:30.25Z", 1_769_862_615_000_000),
        ("2026-01-31T12.333333333Z", 1_769_861_999_999_998),
        ("+002026-01-31T12:00:00Z", 1_769_860_800_000_000),
        ("-000001-01-01T00:00:00Z", -62_198_755_200_000_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000),
        ("2017-01-01T05:29:60.5+05:30", 1_483_228_800_500_000),
    ] {
        assert_eq!(read(text), Ok(expected), "{text}");
    }
}

/// `us(parsedate_to_datetime(text))` of Python 3.11.
#[test]
fn dates_of_mails_and_of_http_name_instants() {
    for (text, expected) in [
        ("Sat, 31 Jan 2026 12:00:00 +0100", 1_769_857_200_000_000),
        ("31 Jan 2026 12:00 -0330", 1_769_873_400_000_000),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777_000_000),
        ("sun,  6 nov 1994\t08:49:37 EST", 784_129_777_000_000),
        ("Thu, 01 Jan 1970 00:00:00 -0000", 0),
        ("1 Jul 2026 00:00:00 PDT (Pacific)", 1_782_889_200_000_000),
        ("Wed, 31 Dec 2025 23:59:59 UT", 1_767_225_599_000_000),
        ("Fri, 9 Jan 2026 08:00:00 mdt", 1_767_967_200_000_000),
        ("Sat, 31 Dec 2016 23:59:60 +0000", 1_483_228_800_000_000),
    ] {
        assert_eq!(read(text), Ok(expected), "{text}");
    }
}

/// `us(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))`, whose `fold` is 0.
#[test]
fn a_time_without_an_offset_is_one_of_the_time_zone() {
    for (zone, text, expected) in [
        ("UTC", "2026-01-31T12:00:00", 1_769_860_800_000_000),
        ("Europe/Berlin", "2026-01-31T12:00:00.25", 1_769_857_200_250_000),
        ("Europe/Berlin", "2026-07-31 12:00", 1_785_492_000_000_000),
        // An hour that is skipped, and one that is repeated.
        ("Europe/Berlin", "2026-03-29T02:30:00", 1_774_747_800_000_000),
        ("Europe/Berlin", "2026-03-29T03:00:00", 1_774_746_000_000_000),
        ("Europe/Berlin", "2026-10-25T02:30:00", 1_792_888_200_000_000),
        ("Europe/Berlin", "2026-10-25T03:00:00", 1_792_893_600_000_000),
        ("America/New_York", "20261101T013000", 1_793_511_000_000_000),
        // Half an hour of each.
        ("Australia/Lord_Howe", "2026-10-04T02:15:00", 1_791_042_300_000_000),
        ("Australia/Lord_Howe", "2026-04-05T01:45:00", 1_775_313_900_000_000),
        // Days that begin at one o'clock, twice, and not at all.
        ("Africa/Cairo", "2024-04-26", 1_714_082_400_000_000),
        ("America/Sao_Paulo", "2018-11-04", 1_541_300_400_000_000),
        ("America/Havana", "2024-03-10", 1_710_046_800_000_000),
        ("Asia/Beirut", "2024-03-31", 1_711_836_000_000_000),
        ("Atlantic/Azores", "2024-10-27", 1_729_987_200_000_000),
        ("America/Havana", "2024-11-03T00:30:00", 1_730_608_200_000_000),
        ("Pacific/Apia", "2011-12-30", 1_325_239_200_000_000),
        ("Pacific/Apia", "2011-12-30T12:00:00", 1_325_282_400_000_000),
        ("America/New_York", "1900-01-01T00:00:00", -2_208_970_800_000_000),
        ("Asia/Kolkata", "2090-06-01T00:00:00", 3_799_938_600_000_000),
        ("Europe/Berlin", "2090-07-01T00:00:00", 3_802_543_200_000_000),
        ("Asia/Kathmandu", "2026-W05-6T12:00", 1_769_840_100_000_000),
    ] {
        let found = micros(text.as_bytes(), TimeZone::named(zone));
        assert_eq!(found, Ok(expected), "{text} in {zone}");
        assert_eq!(read(text), Err(NoInstant::NoOffset), "{text}");
    }
}

#[test]
fn an_offset_counts_more_than_the_time_zone() {
    let zone = TimeZone::named("Asia/Tokyo");
    assert!(zone.is_some() && TimeZone::named("Asia/Tokio").is_none());
    for text in ["2026-01-31T12:00:00+01:00", "20260131T11Z", "Sat, 31 Jan 2026 12:00:00 +0100"] {
        assert_eq!(micros(text.as_bytes(), zone), Ok(1_769_857_200_000_000), "{text}");
    }
}

#[test]
fn what_names_no_instant_is_none() {
    for text in [
        "",
        "now",
        "12:00:00Z",
        "2026-01Z",
        "2026",
        "2026-W05T12Z",
        "26-01-31T12:00:00Z",
        "2026-1-31T12:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-366T00Z",
        "2026-000T00Z",
        "2026-W54-1T00Z",
        "2025-W53-1T00Z",
        "2026-W05-8T00Z",
        "2026-W0512T00Z",
        "2026W05-1T00Z",
        "2026-0131T12Z",
        "202601-31T12Z",
        "20260131 ",
        "2026-01-31T",
        "2026-01-31T25:00Z",
        "2026-01-31T24:00:01Z",
        "2026-01-31T24:00:00.1Z",
        "2026-01-31T12:60Z",
        "2026-01-31T12:00:61Z",
        "2026-01-31T12:0Z",
        "2026-01-31T12:Z",
        "2026-01-31T120Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00,+01:00",
        "2026-01-31T12:00:00+24:00",
        "2026-01-31T12:00:00+01:60",
        "2026-01-31T12:00:00+1",
        "2026-01-31T12:00:00Z ",
        "2026-01-31T12:00:00 Z",
        "2026-01-31T12:00:00UTC",
        "2026-01-31X12:00:00Z",
        "2026-02-28T23:59:59.123é:00",
        "+02026-01-31T12:00:00Z",
        "-000000-01-31T12:00:00Z",
        "+999999-12-31T00:00:00Z",
        // Leap seconds where there can be none.
        "2026-01-31T12:00:60Z",
        "2016-12-31T23:59:60+01:00",
        "2016-12-31T23:58:60Z",
        "Sat, 31 Dec 2016 12:00:60 +0000",
        // Dates of mails.
        "Fri, 31 Jan 2026 12:00:00 +0100",
        "Sat, 31 Jan 26 12:00:00 +0100",
        "Sat 31 Jan 2026 12:00:00 +0100",
        "Sat, 31 Jan 2026 12:00:00",
        "Sat, 31 Jan 2026 12:00:00 CET",
        "Sat, 31 Jan 2026 24:00:00 +0000",
        "Sat, 31 Jan 2026 120000 +0000",
        "Sat, 32 Jan 2026 12:00:00 +0000",
        "Sat, 31 Foo 2026 12:00:00 +0000",
        "Sat, 31 Jan 2026 12:00:00 +0100 x",
        "Sat, 31 Jan 2026 12:00:00 +010",
    ] {
        assert_eq!(read(text), Err(NoInstant::Form), "{text}");
    }
}

#[test]
fn a_leap_second_may_be_one_of_a_time_zone() {
    let tokyo = TimeZone::named("Asia/Tokyo");
    assert_eq!(micros(b"2017-01-01T08:59:60", tokyo), Ok(1_483_228_800_000_000));
    assert_eq!(micros(b"2016-12-31T23:59:60", tokyo), Err(NoInstant::Form));
}

fn moments() -> impl Strategy<Value = OffsetDateTime> {
    let zone = (-1_439_i32..1_440).prop_map(|minutes| UtcOffset::from_whole_seconds(minutes * 60).expect("an offset"));
    (-62_000_000_000_000_000_i64..253_000_000_000_000_000, zone).prop_map(|(micros, zone)| {
        let moment = OffsetDateTime::UNIX_EPOCH + Duration::microseconds(micros);
        moment.to_offset(zone)
    })
}

proptest! {
    #[test]
    fn what_the_time_crate_writes_is_read_back(moment in moments()) {
        let expected = i64::try_from(moment.unix_timestamp_nanos() / 1_000).expect("microseconds");
        prop_assert_eq!(read(&moment.format(&Rfc3339).expect("a text")), Ok(expected));
        let (year, week, weekday) = moment.to_iso_week_date();
        let weekday = weekday.number_from_monday();
        let (hour, minute, second, fraction) = moment.to_hms_micro();
        let (hours, minutes, _) = moment.offset().as_hms();
        let sign = if moment.offset().is_negative() { '-' } else { '+' };
        let (hours, minutes) = (hours.abs(), minutes.abs());
        let (month, day, ordinal) = (u8::from(moment.month()), moment.day(), moment.ordinal());
        let basic = format!("T{hour:02}{minute:02}{second:02},{fraction:06}{sign}{hours:02}{minutes:02}");
        let extended = format!("T{hour:02}:{minute:02}:{second:02}.{fraction:06}{sign}{hours:02}:{minutes:02}");
        for time in [&basic, &extended] {
            let own = moment.year();
            prop_assert_eq!(read(&format!("{own:04}{month:02}{day:02}{time}")), Ok(expected));
            prop_assert_eq!(read(&format!("+00{own:04}-{month:02}-{day:02}{time}")), Ok(expected));
            prop_assert_eq!(read(&format!("{own:04}-{ordinal:03}{time}")), Ok(expected));
            prop_assert_eq!(read(&format!("{own:04}{ordinal:03}{time}")), Ok(expected));
            prop_assert_eq!(read(&format!("{year:04}-W{week:02}-{weekday}{time}")), Ok(expected));
            prop_assert_eq!(read(&format!("{year:04}W{week:02}{weekday}{time}")), Ok(expected));
        }
        if moment.year() >= 1900 {
            let mail = moment.format(&Rfc2822).expect("a text");
            prop_assert_eq!(read(&mail), Ok(expected - i64::from(fraction)), "{}", mail);
        }
    }

    /// Arrow's reader of RFC 3339 and the one here agree wherever both read a text.
    #[test]
    fn other_readers_agree(text in "[0-9]{3,4}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,9})?(Z|[+-][0-2][0-9]:[0-5][0-9])") {
        let utc: arrow::array::timezone::Tz = "+00:00".parse().expect("a zone");
        let other = arrow::compute::kernels::cast_utils::string_to_datetime(&utc, &text);
        let is_leap = text.get(17..19) == Some("60");
        match (read(&text), other) {
            (Ok(found), Ok(other)) => prop_assert_eq!(found, other.timestamp_micros()),
            (Err(_), Ok(_)) => prop_assert!(is_leap, "{}", text),
            (Ok(_), Err(_)) => prop_assert!(text.get(11..13) == Some("24"), "{}", text),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn no_text_breaks_the_reader(text in "[0-9WT:.,+Z -]{0,40}|\\PC{0,40}") {
        let zone = TimeZone::named("Europe/Berlin");
        if let Ok(found) = read(&text) {
            prop_assert_eq!(micros(text.as_bytes(), zone), Ok(found));
        }
    }
}
