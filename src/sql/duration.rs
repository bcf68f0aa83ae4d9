//! Durations in the words of SQL and of configuration files.

use std::time::Duration;

/// A duration in the words that configuration files use too: `5s`, `5 minutes`, `1 day`.
///
/// # Errors
/// The reason, when it is none, zero, or in months or years, which have no fixed length.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let is_calendar = |unit: &str| matches!(unit, "M" | "month" | "months" | "y" | "year" | "years");
    if text.split(|letter: char| !letter.is_ascii_alphabetic()).any(is_calendar) {
        return Err("months and years have no fixed length".to_owned());
    }
    // The parser's sums are unchecked; so many digits are no horizon anyway.
    if text.chars().filter(char::is_ascii_digit).count() > 12 {
        return Err("it is longer than any stream".to_owned());
    }
    let text = text.replace("milliseconds", "ms").replace("millisecond", "ms");
    let text = text.replace("microseconds", "us").replace("microsecond", "us");
    let duration = humantime::parse_duration(&text).map_err(|error| duration_flaw(&error, &text))?;
    if duration.is_zero() { Err("it is zero".to_owned()) } else { Ok(duration) }
}

/// Why a text is no duration, in words, and without the parser's list of units: that has months and years in it.
pub(crate) fn duration_flaw(error: &humantime::DurationError, text: &str) -> String {
    let at = |place: usize| text.get(place..).and_then(|rest| rest.chars().next());
    match error {
        _ if text.trim_start().starts_with('-') => "it is negative".to_owned(),
        humantime::DurationError::Empty => "it is empty".to_owned(),
        humantime::DurationError::NumberExpected(place) => match at(*place) {
            Some(found) => format!("{found:?} stands where a number is expected"),
            None => "it ends where a number is expected".to_owned(),
        },
        humantime::DurationError::InvalidCharacter(place) => match at(*place) {
            Some(found) => format!("{found:?} does not belong there"),
            None => error.to_string(),
        },
        humantime::DurationError::UnknownUnit { unit, .. } if unit.is_empty() => "the unit is missing".to_owned(),
        humantime::DurationError::UnknownUnit { unit, .. } => format!("unknown unit {unit:?}"),
        humantime::DurationError::NumberOverflow => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_duration_is_refused_in_words() {
        let refused = ["-5s", "5", "", "5 parsecs", "s", "0s", "1 month"].map(|text| parse_duration(text).unwrap_err());
        insta::assert_snapshot!(refused.join("\n"), @r#"
        it is negative
        the unit is missing
        it is empty
        unknown unit "parsecs"
        's' stands where a number is expected
        it is zero
        months and years have no fixed length
        "#);
    }
}
