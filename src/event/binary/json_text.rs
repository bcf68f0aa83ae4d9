//! JSON written from binary values, into a buffer that is reused.

use std::io::Write;

/// A text with its quotes; `None` where the bytes are not UTF-8.
pub(super) fn text(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    str::from_utf8(bytes).ok()?;
    out.push(b'"');
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let (first, after) = special.split_first()?;
        match first {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *first]),
            control => written(write!(out, "\\u{control:04x}")),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
    Some(())
}

pub(super) fn integer(value: i128, out: &mut Vec<u8>) {
    written(write!(out, "{value}"));
}

/// A number; `None` where it is not finite, which JSON has no word for.
pub(super) fn number(value: f64, out: &mut Vec<u8>) -> Option<()> {
    value.is_finite().then(|| written(write!(out, "{value:?}")))
}

pub(super) fn boolean(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

pub(super) fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"null");
}

/// Digits with so many of them behind the point.
pub(super) fn decimal(unscaled: i128, scale: u32, out: &mut Vec<u8>) {
    if unscaled < 0 {
        out.push(b'-');
    }
    let magnitude = unscaled.unsigned_abs();
    match 10_u128.checked_pow(scale) {
        Some(_) if scale == 0 => written(write!(out, "{magnitude}")),
        Some(power) => {
            written(write!(out, "{}.{:0places$}", magnitude / power, magnitude % power, places = scale as usize));
        }
        // More digits behind the point than the number has.
        None => written(write!(out, "0.{magnitude:0places$}", places = scale as usize)),
    }
}

/// Puts a comma before what follows, unless it is the first in its object or list.
pub(super) fn comma(out: &mut Vec<u8>) {
    if !matches!(out.last(), Some(b'{' | b'[')) {
        out.push(b',');
    }
}

/// Writing into memory can't fail.
#[expect(clippy::needless_pass_by_value, reason = "what was written is over")]
fn written(outcome: std::io::Result<()>) {
    debug_assert!(outcome.is_ok());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn decimals_have_their_places() {
        for (unscaled, scale, expected) in [
            (1_234, 2, "12.34"),
            (-5, 3, "-0.005"),
            (0, 2, "0.00"),
            (7, 0, "7"),
            (-1_234, 0, "-1234"),
            (1, 40, "0.0000000000000000000000000000000000000001"),
            (i128::MIN, 38, "-1.70141183460469231731687303715884105728"),
        ] {
            assert_eq!(of(|out| decimal(unscaled, scale, out)), expected);
        }
    }

    #[test]
    fn what_json_can_t_hold_is_not_written() {
        assert_eq!([f64::NAN, f64::INFINITY].map(|value| number(value, &mut Vec::new())), [None, None]);
        assert_eq!(text(b"\xff", &mut Vec::new()), None);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in any::<f64>().prop_filter("finite", |value| value.is_finite()), words in "\\PC*|[\\x00-\\x7f]*") {
            let written = of(|out| number(value, out).expect("finite"));
            prop_assert!(serde_json::from_str::<serde_json::Value>(&written).is_ok(), "{}", written);
            let read: f64 = written.parse().expect("a number");
            prop_assert_eq!(read, value);
            let read: String = serde_json::from_str(&of(|out| text(words.as_bytes(), out).expect("UTF-8"))).expect("a text");
            prop_assert_eq!(read, words);
        }
    }
}
