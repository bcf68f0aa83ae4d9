//! Dates of mails and of HTTP: `Sat, 31 Jan 2026 12:00:00 +0100`.
//!
//! The weekday and the seconds may be left out, and a comment in brackets may end the text. Of the older forms the zones of
//! North America are read, and not years of two digits, whose century readers disagree on.

use super::Shown;
use super::civil::{DAY, HOUR, MINUTE, day_of_date, days_after_monday};
use super::iso_8601::Rest;

const WEEKDAYS: [&[u8]; 7] = [b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun"];

const MONTHS: [&[u8]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// Zones by name, in hours ahead of UTC.
const ZONES: [(&[u8], i64); 12] = [
    (b"gmt", 0),
    (b"ut", 0),
    (b"utc", 0),
    (b"z", 0),
    (b"est", -5),
    (b"edt", -4),
    (b"cst", -6),
    (b"cdt", -5),
    (b"mst", -7),
    (b"mdt", -6),
    (b"pst", -8),
    (b"pdt", -7),
];

pub(super) fn micros(text: &[u8]) -> Option<i64> {
    let mut rest = Rest(text);
    let weekday = match word(&mut rest) {
        b"" => None,
        name => {
            rest.take(b",").then_some(())?;
            space(&mut rest);
            Some(place(&WEEKDAYS, name)?)
        }
    };
    let of_month = rest.digits(rest.run().clamp(1, 2))?;
    space(&mut rest).then_some(())?;
    let month = place(&MONTHS, word(&mut rest))? + 1;
    space(&mut rest).then_some(())?;
    let year = (rest.run() == 4).then(|| rest.digits(4))??;
    let day = day_of_date(i64::from(year), u32::try_from(month).ok()?, of_month)?;
    if weekday.is_some_and(|weekday| days_after_monday(day) != weekday as i64) {
        return None;
    }
    space(&mut rest).then_some(())?;
    let (micros, in_leap_second) = time(&mut rest)?;
    space(&mut rest).then_some(())?;
    let offset = offset(&mut rest)?;
    let shown = Shown { day, micros, in_leap_second };
    ends(&mut rest).then(|| shown.at(shown.local()?.checked_sub(offset)?))?
}

/// `12:00:00` or `12:00`: microseconds since midnight, and whether they are in a leap second.
fn time(rest: &mut Rest<'_>) -> Option<(i64, Option<i64>)> {
    // As in ISO 8601, which has more forms than this one.
    let end = rest.0.iter().position(|byte| !byte.is_ascii_digit() && *byte != b':')?;
    let (text, after) = rest.0.split_at_checked(end).filter(|(text, _)| matches!(text.len(), 5 | 8))?;
    let mut text = Rest(text);
    let found = text.time()?;
    rest.0 = after;
    (text.0.is_empty() && (found.0 < DAY || found.1.is_some())).then_some(found)
}

/// Microseconds ahead of UTC.
fn offset(rest: &mut Rest<'_>) -> Option<i64> {
    let is_behind = rest.take(b"-");
    if is_behind || rest.take(b"+") {
        let (hours, minutes) = (rest.digits(2)?, rest.digits(2)?);
        let offset = i64::from(hours) * HOUR + i64::from(minutes) * MINUTE;
        return (hours < 24 && minutes < 60).then_some(if is_behind { -offset } else { offset });
    }
    let name = word(rest);
    ZONES.iter().find(|(zone, _)| zone.eq_ignore_ascii_case(name)).map(|(_, hours)| hours * HOUR)
}

/// Passes spaces and tabs; whether there were any.
fn space(rest: &mut Rest<'_>) -> bool {
    let before = rest.0.len();
    while rest.take(b" \t") {}
    rest.0.len() < before
}

/// Passes letters.
fn word<'t>(rest: &mut Rest<'t>) -> &'t [u8] {
    let letters = rest.0.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (word, after) = rest.0.split_at_checked(letters).unwrap_or((rest.0, &[]));
    rest.0 = after;
    word
}

fn place(names: &[&[u8]], name: &[u8]) -> Option<usize> {
    names.iter().position(|known| known.eq_ignore_ascii_case(name))
}

/// Whether nothing follows but a comment.
fn ends(rest: &mut Rest<'_>) -> bool {
    space(rest);
    matches!(rest.0, [] | [b'(', .., b')'])
}
