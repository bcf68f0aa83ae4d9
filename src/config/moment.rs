//! Moments as RFC 3339 text: `2000-01-01T00:00:00Z`.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::Deserializer;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::text::{Refusal, read_text};

/// Microseconds since 1970, UTC.
pub(super) fn micros<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    read_text(deserializer, "a date and time as text in quotes, such as \"2000-01-01T00:00:00Z\"", parse)
}

/// What editors are told about a moment.
pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

fn parse(text: &str) -> Result<i64, Refusal> {
    let refuse = || {
        Refusal::new(
            format!("{text:?} is not a date and time with a time zone"),
            "write it as \"2000-01-01T00:00:00Z\" or \"2000-01-01T00:00:00+01:00\"",
        )
    };
    let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| refuse())?;
    i64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000)).map_err(|_| refuse())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_microseconds_since_1970() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-01-01T00:00:00Z", 946_684_800_000_000),
            ("2000-01-01T01:00:00+01:00", 946_684_800_000_000),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000_000),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_moment_without_a_zone_is_refused() {
        for bad in ["", "2000-01-01", "2000-01-01T00:00:00", "2000-02-30T00:00:00Z", "946684800"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        insta::assert_snapshot!(parse("2000-01-01").unwrap_err(), @"");
    }
}
