//! The usual form, on the shortest way: `2026-01-31T12:00:00.123456+01:00`. What is not exactly so is left to the others.

use super::civil::{DAY, HOUR, MINUTE, SECOND, day_of_date};

/// Digits of a fraction that count.
const PLACES: usize = 6;

#[inline]
pub(super) fn micros(text: &[u8]) -> Option<i64> {
    let [
        y0,
        y1,
        y2,
        y3,
        b'-',
        mo0,
        mo1,
        b'-',
        d0,
        d1,
        b'T' | b't' | b' ',
        h0,
        h1,
        b':',
        mi0,
        mi1,
        b':',
        s0,
        s1,
        rest @ ..,
    ] = text
    else {
        return None;
    };
    let year = i64::from(pair(*y0, *y1)? * 100 + pair(*y2, *y3)?);
    let day = day_of_date(year, pair(*mo0, *mo1)?, pair(*d0, *d1)?)?;
    let (hour, minute, second) = (pair(*h0, *h1)?, pair(*mi0, *mi1)?, pair(*s0, *s1)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => fraction(rest)?,
        rest => (0, rest),
    };
    let offset = match rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
            let (hours, minutes) = (pair(*h0, *h1)?, pair(*m0, *m1)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = i64::from(hours) * HOUR + i64::from(minutes) * MINUTE;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    let of_day = i64::from(hour) * HOUR + i64::from(minute) * MINUTE + i64::from(second) * SECOND + fraction;
    Some(day * DAY + of_day - offset)
}

/// The number that two digits write.
#[inline]
fn pair(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// Microseconds of a fraction of a second, and what follows it.
#[inline]
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(digits).filter(|(digits, _)| !digits.is_empty())?;
    let mut micros = 0;
    for place in 0..PLACES {
        micros = micros * 10 + i64::from(digits.get(place).map_or(0, |digit| digit - b'0'));
    }
    Some((micros, rest))
}
