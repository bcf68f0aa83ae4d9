//! Durations in words: `2ms`, `5s`, `30 days`, `1h 30m`.

use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::text::{Refusal, read_text};
use crate::sql::duration_flaw;

const EXPECTING: &str = "a duration as text, such as \"5s\"";
const ADVICE: &str = "write it as \"2ms\", \"30 seconds\", \"5m\", \"12h\" or \"7 days\"";

/// A hundred years: microseconds and nanoseconds since 1970, plus this, still fit 64 bits.
const LONGEST: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);

/// The parser adds its terms up in 64 bits and panics in one corner of that; with so few digits it stays far away.
const MOST_DIGITS: usize = 15;

/// A duration that may be zero.
pub(super) fn any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    read_text(deserializer, EXPECTING, parse_any)
}

/// A duration that is longer than zero.
pub(super) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    read_text(deserializer, EXPECTING, parse_positive)
}

/// A duration that is longer than zero, and may be left out.
pub(super) fn positive_if_given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    positive(deserializer).map(Some)
}

/// A duration that may be zero, with its place, and may be left out.
pub(super) fn placed_if_given<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Spanned<Duration>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Placed(#[serde(deserialize_with = "any")] Duration);
    let placed = Spanned::<Placed>::deserialize(deserializer)?;
    Ok(Some(Spanned::new(placed.span(), placed.into_inner().0)))
}

/// What editors are told about a duration.
pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": r"^\s*\d[\d\s]*(\.\d+)?\s*[a-zµ]+(\s*\d[\d\s]*(\.\d+)?\s*[a-zµ]+)*\s*$",
        "examples": ["2ms", "5s", "30 days"],
    })
}

fn parse_positive(text: &str) -> Result<Duration, Refusal> {
    let duration = parse_any(text)?;
    if duration.is_zero() {
        return Err(Refusal::new(format!("the duration {text:?} is zero"), "it must be longer than that"));
    }
    Ok(duration)
}

fn parse_any(text: &str) -> Result<Duration, Refusal> {
    if text.split(|character: char| !character.is_alphabetic()).any(has_no_fixed_length) {
        return Err(Refusal::new(
            format!("the duration {text:?} is in months or years, which have no fixed length"),
            "write it in days, such as \"30 days\"",
        ));
    }
    let too_long = || Refusal::new(format!("the duration {text:?} is longer than 36500 days"), "shorten it");
    if text.matches(|character: char| character.is_ascii_digit()).count() > MOST_DIGITS {
        return Err(too_long());
    }
    let duration = humantime::parse_duration(text).map_err(|error| {
        Refusal::new(format!("{text:?} is not a duration: {}", duration_flaw(&error, text)), ADVICE)
    })?;
    if duration > LONGEST { Err(too_long()) } else { Ok(duration) }
}

fn has_no_fixed_length(unit: &str) -> bool {
    matches!(unit, "M" | "month" | "months" | "y" | "yr" | "yrs" | "year" | "years")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_and_short_units_mean_the_same() {
        for (text, expected) in [
            ("2ms", Duration::from_millis(2)),
            ("5s", Duration::from_secs(5)),
            ("5 minutes", Duration::from_secs(300)),
            ("1h 30m", Duration::from_secs(5_400)),
            ("30 days", Duration::from_secs(30 * 86_400)),
            ("2w", Duration::from_secs(14 * 86_400)),
        ] {
            assert_eq!(parse_positive(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn zero_is_a_duration_only_where_it_makes_sense() {
        for zero in ["0s", "0 days 0ms"] {
            assert_eq!(parse_any(zero), Ok(Duration::ZERO));
            assert!(parse_positive(zero).is_err());
        }
        assert_eq!(parse_positive("1ns"), Ok(Duration::from_nanos(1)));
    }

    #[test]
    fn a_hundred_years_are_the_longest() {
        assert_eq!(parse_any("36500 days"), Ok(LONGEST));
        assert!(parse_any("36500 days 1ns").is_err());
        assert!(i64::try_from(LONGEST.as_nanos()).is_ok());
    }

    #[test]
    fn refusals_name_the_text_and_the_fix() {
        let refusals = [
            "5",
            "5 parsecs",
            "",
            "-5s",
            "s",
            "5§s",
            "5 m s",
            "1 month",
            "1M 2d",
            "2y",
            "18446744073709551615s1000ms",
            "0s",
        ]
        .map(|text| parse_positive(text).unwrap_err().to_string());
        insta::assert_snapshot!(refusals.join("\n"), @r#"
        "5" is not a duration: the unit is missing: write it as "2ms", "30 seconds", "5m", "12h" or "7 days"
        "5 parsecs" is not a duration: unknown unit "parsecs": write it as "2ms", "30 seconds", "5m", "12h" or "7 days"
        "" is not a duration: it is empty: write it as "2ms", "30 seconds", "5m", "12h" or "7 days"
        "-5s" is not a duration: it is negative: write it as "2ms", "30 seconds", "5m", "12h" or "7 days"
        "s" is not a duration: 's' stands where a number is expected: write it as "2ms", "30 seconds", "5m", "12h" or "7 days"
        "5§s" is not a duration: '§' does not belong there: write it as "2ms", "30 seconds", "5m", "12h" or "7 days"
        "5 m s" is not a duration: 's' stands where a number is expected: write it as "2ms", "30 seconds", "5m", "12h" or "7 days"
        the duration "1 month" is in months or years, which have no fixed length: write it in days, such as "30 days"
        the duration "1M 2d" is in months or years, which have no fixed length: write it in days, such as "30 days"
        the duration "2y" is in months or years, which have no fixed length: write it in days, such as "30 days"
        the duration "18446744073709551615s1000ms" is longer than 36500 days: shorten it
        the duration "0s" is zero: it must be longer than that
        "#);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([0-9]{0,20}\\.?[0-9]{0,3} ?(ns|us|ms|s|m|h|d|w|M|y|é)? ?){0,4}") {
            if let Ok(duration) = parse_any(&text) {
                prop_assert!(duration <= LONGEST);
            }
        }
    }
}
