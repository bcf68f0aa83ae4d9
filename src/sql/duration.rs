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
    let duration = humantime::parse_duration(&text).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("it is zero".to_owned()) } else { Ok(duration) }
}
