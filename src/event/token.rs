//! JSON strings and numbers as they were written, and what they mean.

use std::fmt;

/// A string's bytes between its quotes; its escapes are known to be well formed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> Text<'a> {
    #[inline]
    pub(super) fn new(raw: &'a [u8], escaped: bool) -> Self {
        Self { raw, escaped }
    }

    /// The bytes that the string means. `scratch` is used only when there are escapes.
    #[inline]
    pub(super) fn resolve<'s>(&self, scratch: &'s mut Vec<u8>) -> &'s [u8]
    where
        'a: 's,
    {
        if !self.escaped {
            return self.raw;
        }
        scratch.clear();
        unescape(self.raw, scratch);
        scratch
    }
}

/// A number as it was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<'a> {
    text: &'a [u8],
    form: NumberForm,
    /// All digits before an exponent, read as one whole number modulo 2^64.
    digits: u64,
    /// How many of them stand behind the point.
    places: usize,
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberForm {
    Whole,
    Fraction,
    Exponent,
}

impl<'a> Number<'a> {
    /// A number whose text fits the grammar and has this form: `digits` are all that stand before an exponent, read as one
    /// whole number modulo 2^64, and `places` counts those behind the point.
    #[inline]
    pub(super) fn new(text: &'a [u8], form: NumberForm, digits: u64, places: usize) -> Self {
        Self { text, form, digits, places }
    }

    /// The number as a 64-bit integer: `None` when it has a fraction or does not fit.
    ///
    /// JSON Schema calls `1.0` and `1e3` integers. Written so, most programs read them as floating point, which is exact only
    /// up to 2^53; beyond that they are refused rather than silently changed, here or by whoever reads them next.
    #[inline]
    pub(super) fn as_i64(&self) -> Option<i64> {
        if self.form == NumberForm::Whole {
            // Eighteen digits fit into 64 bits with a sign.
            if self.text.len() > 18 {
                return whole(self.text);
            }
            let value = self.digits as i64;
            return Some(if self.is_negative() { -value } else { value });
        }
        let power = if self.form == NumberForm::Fraction && self.text.len() <= 18 { self.places } else { usize::MAX };
        let value = match POWERS.get(power) {
            Some(power) => self.digits.is_multiple_of(*power).then_some(self.digits / power)?,
            None => magnitude(self.text)?,
        };
        let value = if value <= EXACT { value.cast_signed() } else { return None };
        Some(if self.is_negative() { -value } else { value })
    }

    /// The nearest 64-bit floating-point number, infinite when it is out of range. Zero has no sign.
    ///
    /// A whole number of up to 53 bits and a power of ten of up to 10^22 are both exact, so their quotient is the nearest
    /// one (Clinger, "How to Read Floating Point Numbers Accurately", 1990). What does not fit goes to the standard library.
    #[inline]
    pub(super) fn as_f64(&self) -> f64 {
        // Nineteen digits are the most that 64 bits hold whatever they are.
        if self.form != NumberForm::Exponent
            && self.text.len() <= 19
            && self.digits <= 1 << 53
            && let Some(power) = POWERS_OF_TEN.get(self.places)
        {
            let value = self.digits as f64 / power;
            return if self.is_negative() { -value + 0.0 } else { value };
        }
        let text = str::from_utf8(self.text).unwrap_or_default();
        text.parse().unwrap_or(f64::NAN) + 0.0
    }

    /// Whether the number fits into a 64-bit floating-point number.
    #[inline]
    pub(super) fn is_finite(&self) -> bool {
        self.is_surely_finite() || self.as_f64().is_finite()
    }

    /// Whether its text alone shows that it fits. The largest one has 309 digits: only an exponent or a very long number
    /// needs to be parsed.
    #[inline]
    pub(super) fn is_surely_finite(&self) -> bool {
        self.form != NumberForm::Exponent && self.text.len() < 300
    }

    #[inline]
    fn is_negative(&self) -> bool {
        self.text.first() == Some(&b'-')
    }
}

/// The largest number up to which floating point has every integer.
const EXACT: u64 = 1 << 53;

/// The powers of ten that up to 18 digits can be divided by.
const POWERS: [u64; 18] = powers();

const fn powers() -> [u64; 18] {
    let mut powers = [1; 18];
    let mut place = 1;
    while place < powers.len() {
        powers[place] = powers[place - 1] * 10;
        place += 1;
    }
    powers
}

/// The powers of ten that are exact in 64-bit floating point.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(self.text).unwrap_or_default())
    }
}

fn whole(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let mut magnitude: u64 = 0;
    for digit in digits {
        magnitude = magnitude.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// The whole number, sign aside, that a text with a point or an exponent means, from its digits: `None` when it has a
/// fraction or more digits than any that is exact.
#[cold]
fn magnitude(text: &[u8]) -> Option<u64> {
    let text = str::from_utf8(text).ok()?.trim_start_matches('-');
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (before, behind) = digits.split_once('.').unwrap_or((digits, ""));
    let behind = behind.trim_end_matches('0');
    let digits = [before, behind].concat();
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // An exponent of more digits than 64 bits have means a number that is far too large, or a fraction.
    let exponent: i64 = exponent.parse().ok()?;
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    let zeros = exponent.checked_add(i64::try_from(zeros).ok()?)?.checked_sub(i64::try_from(behind.len()).ok()?)?;
    let power = 10_u64.checked_pow(u32::try_from(zeros).ok()?)?;
    significant.parse::<u64>().ok()?.checked_mul(power)
}

fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'u') => {
                if let Some(char) = escaped_char(&mut bytes) {
                    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            Some(b'b') => out.push(0x08),
            Some(b'f') => out.push(0x0c),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(same) => out.push(same),
            None => {}
        }
    }
}

/// Reads what follows the `\u` of a Unicode escape: four hexadecimal digits, or those of a surrogate pair with the second
/// `\u` between them.
pub(super) fn escaped_char(bytes: &mut impl Iterator<Item = u8>) -> Option<char> {
    let first = hex4(bytes)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    if (bytes.next(), bytes.next()) != (Some(b'\\'), Some(b'u')) {
        return None;
    }
    let second = hex4(bytes)?;
    if !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
}

fn hex4(bytes: &mut impl Iterator<Item = u8>) -> Option<u32> {
    let mut value = 0;
    for _ in 0..4 {
        value = value * 16 + char::from(bytes.next()?).to_digit(16)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::scan::Scanner;

    fn number(text: &str) -> Number<'_> {
        Scanner::new(text.as_bytes()).number().expect("a number")
    }

    #[test]
    fn integers_are_exact_or_refused() {
        assert_eq!(number("-9223372036854775808").as_i64(), Some(i64::MIN));
        assert_eq!(number("9223372036854775807").as_i64(), Some(i64::MAX));
        for refused in ["9223372036854775808", "-9223372036854775809", "1.5", "1e30", "9223372036854775807.0"] {
            assert_eq!(number(refused).as_i64(), None, "{refused}");
        }
        for (text, value) in [("1.0", 1), ("-2e3", -2000), ("-0", 0), ("9007199254740992.0", 1 << 53)] {
            assert_eq!(number(text).as_i64(), Some(value), "{text}");
        }
    }

    /// 9007199254740993.0 was rounded to its neighbour, another person's id, before it was compared with the last exact
    /// number.
    #[test]
    fn an_integer_with_a_point_or_an_exponent_is_read_from_its_digits() {
        for (text, value) in [
            ("-9007199254740992.0", -(1 << 53)),
            ("9007199254740992e0", 1 << 53),
            ("90071992547409920E-1", 1 << 53),
            ("1.50e1", 15),
            ("0.001e+3", 1),
            ("100e-2", 1),
            ("-0.0", 0),
            ("0e99999999999999999999", 0),
            ("0.0e-5", 0),
        ] {
            assert_eq!(number(text).as_i64(), Some(value), "{text}");
        }
        for refused in [
            "9007199254740993.0",
            "-9007199254740993.0",
            "9007199254740993e0",
            "9.007199254740993e15",
            "900719925474099.3e1",
            "90071992547409930e-1",
            "1.0000000000000000000001",
            "1e-1",
            "15e-1",
            "1e19",
            "1e99999999999999999999",
            "1e-99999999999999999999",
        ] {
            assert_eq!(number(refused).as_i64(), None, "{refused}");
        }
    }

    #[test]
    fn numbers_beyond_floating_point_are_not_finite() {
        assert!(!number("1e999").is_finite());
        assert!(!number(&"9".repeat(400)).is_finite());
        assert!(number("1e-999").is_finite());
        assert!(number("1.7976931348623157e308").is_finite());
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_standard_library(text in r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?(e-?[0-9]{1,3})?") {
            let expected: f64 = text.parse().expect("a number");
            prop_assert_eq!(number(&text).as_f64().to_bits(), (expected + 0.0).to_bits());
            prop_assert_eq!(number(&text).is_finite(), expected.is_finite());
            if let Ok(whole) = text.parse::<i64>() {
                prop_assert_eq!(number(&text).as_i64(), Some(whole));
            }
        }
    }

    #[test]
    fn escapes_resolve_to_the_text_that_was_meant() {
        let source = r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z""#;
        let text = Scanner::new(source.as_bytes()).string().expect("a string");
        let expected: String = serde_json::from_str(source).expect("the same string");
        assert_eq!(text.resolve(&mut Vec::new()), expected.as_bytes());
        for broken in [r#""\ud83d""#, r#""\ud83d\u0041""#, r#""\ude00""#, r#""\x""#, r#""\u00g0""#, "\"\u{1}\""] {
            assert!(Scanner::new(broken.as_bytes()).string().is_err(), "{broken}");
        }
    }
}
