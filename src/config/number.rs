//! Numbers with a range, such as rates and shares.
//!
//! A number is read as 64 bits and used for weights as 32: what is above zero or below one in the file is so there too.

use std::fmt;

use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// A number above zero.
pub(super) fn above_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    within(deserializer, "a number above zero", |number| single(number) > 0.0)
}

/// A number above zero that may be left out.
pub(super) fn above_zero_if_given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    above_zero(deserializer).map(Some)
}

/// A number that is zero or more.
pub(super) fn zero_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    within(deserializer, "a number that is zero or more", |number| number >= 0.0)
}

/// As [`zero_or_more`], and it may be left out.
pub(super) fn zero_or_more_if_given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    zero_or_more(deserializer).map(Some)
}

/// How much is kept of what was there before, from nothing to nearly all; it may be left out.
pub(super) fn decay_if_given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    within(deserializer, "a number from 0 up to, but not, 1", |number| number >= 0.0 && single(number) < 1.0).map(Some)
}

/// A part of the whole, up to all of it, but not nothing.
pub(super) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    within(deserializer, "a number above 0 and at most 1", |number| single(number) > 0.0 && number <= 1.0)
}

/// How many times as much: more than one.
pub(super) fn factor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    within(deserializer, "a number above one", |number| number > 1.0)
}

/// A number, whole or not, that is accepted; never one that is infinite, no number, or beyond 32-bit floats.
pub(super) fn within<'de, D: Deserializer<'de>>(
    deserializer: D,
    expecting: &'static str,
    accepts: fn(f64) -> bool,
) -> Result<f64, D::Error> {
    deserializer.deserialize_f64(NumberVisitor { expecting, accepts })
}

/// The number as training uses it.
fn single(number: f64) -> f32 {
    number as f32
}

struct NumberVisitor {
    expecting: &'static str,
    accepts: fn(f64) -> bool,
}

impl NumberVisitor {
    fn read(&self, number: f64) -> Option<f64> {
        (single(number).is_finite() && (self.accepts)(number)).then_some(number)
    }
}

impl Visitor<'_> for NumberVisitor {
    type Value = f64;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.expecting)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
        self.read(number).ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
        self.read(number as f64).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Numbers {
        #[serde(default, deserialize_with = "above_zero_if_given")]
        rate: Option<f64>,
        #[serde(default, deserialize_with = "zero_or_more_if_given")]
        penalty: Option<f64>,
        #[serde(default, deserialize_with = "decay_if_given")]
        momentum: Option<f64>,
        #[serde(default = "one", deserialize_with = "share")]
        kept: f64,
        #[serde(default = "one", deserialize_with = "factor")]
        jump: f64,
    }

    fn one() -> f64 {
        1.0
    }

    #[test]
    fn edges_belong_to_the_range_or_do_not() {
        let read = |text: &str| {
            let numbers = toml::from_str::<Numbers>(text).unwrap();
            [numbers.rate, numbers.penalty, numbers.momentum, Some(numbers.kept), Some(numbers.jump)]
        };
        assert_eq!(read(""), [None, None, None, Some(1.0), Some(1.0)]);
        assert_eq!(read("rate = 1e-30\npenalty = 0")[..2], [Some(1e-30), Some(0.0)]);
        assert_eq!(read("rate = 3\npenalty = 1e38")[..2], [Some(3.0), Some(1e38)]);
        assert_eq!(read("momentum = 0\nkept = 1\njump = 1.01")[2..], [Some(0.0), Some(1.0), Some(1.01)]);
        assert_eq!(read("momentum = 0.9999\nkept = 1e-9")[2..4], [Some(0.9999), Some(1e-9)]);
    }

    #[test]
    fn numbers_out_of_range_name_the_range() {
        let refusals = [
            "rate = 0",
            "rate = -1e-3",
            "rate = 1e-60",
            "penalty = -0.1",
            "penalty = 1e39",
            "penalty = nan",
            "momentum = 1",
            "momentum = 0.99999999999",
            "kept = 0.0",
            "kept = 1.5",
            "jump = 1.0",
            "jump = inf",
            "jump = '2'",
        ]
        .map(|text| format!("{text}: {}", toml::from_str::<Numbers>(text).unwrap_err().message()));
        insta::assert_snapshot!(refusals.join("\n"), @r#"
        rate = 0: invalid value: integer `0`, expected a number above zero
        rate = -1e-3: invalid value: floating point `-0.001`, expected a number above zero
        rate = 1e-60: invalid value: floating point `0.000000000000000000000000000000000000000000000000000000000001`, expected a number above zero
        penalty = -0.1: invalid value: floating point `-0.1`, expected a number that is zero or more
        penalty = 1e39: invalid value: floating point `1000000000000000000000000000000000000000.0`, expected a number that is zero or more
        penalty = nan: invalid value: floating point `NaN`, expected a number that is zero or more
        momentum = 1: invalid value: integer `1`, expected a number from 0 up to, but not, 1
        momentum = 0.99999999999: invalid value: floating point `0.99999999999`, expected a number from 0 up to, but not, 1
        kept = 0.0: invalid value: floating point `0.0`, expected a number above 0 and at most 1
        kept = 1.5: invalid value: floating point `1.5`, expected a number above 0 and at most 1
        jump = 1.0: invalid value: floating point `1.0`, expected a number above one
        jump = inf: invalid value: floating point `inf`, expected a number above one
        jump = '2': invalid type: string "2", expected a number above one
        "#);
    }
}
