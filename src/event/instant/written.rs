//! An instant as a text that every reader of ISO 8601 takes.

use std::io::Write;

use super::civil::{DAY, HOUR, MINUTE, SECOND, date_of_day};

/// Appends `2026-01-31T12:00:00.000000` and `zone`. Years that don't have four digits have six and a sign.
pub(in crate::event) fn write(micros: i64, zone: &str, out: &mut Vec<u8>) {
    let (day, of_day) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (year, month, day) = date_of_day(day);
    let (hour, minute, second) = (of_day / HOUR, of_day % HOUR / MINUTE, of_day % MINUTE / SECOND);
    let fraction = of_day % SECOND;
    let rest = format_args!("-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}{zone}");
    let written = match year {
        0..=9999 => write!(out, "{year:04}{rest}"),
        _ => write!(out, "{year:+07}{rest}"),
    };
    // Writing into memory can't fail.
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::instant::micros;
    use crate::time::EventTime;

    fn text(micros: i64) -> String {
        let mut out = Vec::new();
        write(micros, "Z", &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn years_have_four_digits_or_a_sign() {
        assert_eq!(text(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(text(253_402_300_800_000_000), "+010000-01-01T00:00:00.000000Z");
        assert_eq!(text(-62_167_219_200_000_001), "-000001-12-31T23:59:59.999999Z");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_here_and_elsewhere(at: i64, year in -1_000_i64..10_000) {
            prop_assert_eq!(micros(text(at).as_bytes(), None), Ok(at));
            let within = at.rem_euclid(366 * DAY) + year * 365 * DAY;
            prop_assert_eq!(micros(text(within).as_bytes(), None), Ok(within));
            prop_assert_eq!(micros(EventTime(within.rem_euclid(250_000_000_000_000_000)).to_string().as_bytes(), None), Ok(within.rem_euclid(250_000_000_000_000_000)));
        }
    }
}
