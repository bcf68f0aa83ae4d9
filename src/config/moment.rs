//! Moments as RFC 3339 text: `2000-01-01T00:00:00Z`.

use std::fmt;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toml::value::Datetime;

use super::text::Refusal;

/// Microseconds since 1970, UTC, from text in quotes or from a date and time of TOML's own.
pub(super) fn micros<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    deserializer.deserialize_any(MomentVisitor)
}

/// What editors are told about a moment.
pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

struct MomentVisitor;

impl<'de> Visitor<'de> for MomentVisitor {
    type Value = i64;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a date and time, such as \"2000-01-01T00:00:00Z\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<i64, E> {
        parse(text).map_err(Refusal::into_serde)
    }

    /// TOML's own dates come as maps with a private key.
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<i64, A::Error> {
        let moment = Datetime::deserialize(MapAccessDeserializer::new(map))?;
        self.visit_str(&moment.to_string())
    }
}

/// Microseconds since 1970, UTC; `None` for what is no moment with a time zone.
pub(crate) fn micros_of(text: &str) -> Option<i64> {
    parse(text).ok()
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

    #[derive(serde::Deserialize)]
    struct Limit {
        #[serde(deserialize_with = "micros")]
        earliest: i64,
    }

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
    fn quotes_may_be_left_out() {
        for text in ["2000-01-01T00:00:00Z", "2000-01-01 01:00:00+01:00"] {
            let limit: Limit = toml::from_str(&format!("earliest = {text}")).unwrap();
            assert_eq!(limit.earliest, 946_684_800_000_000, "{text}");
        }
    }

    #[test]
    fn a_moment_without_a_zone_is_refused() {
        for bad in ["", "2000-01-01", "2000-01-01T00:00:00", "2000-02-30T00:00:00Z", "946684800"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for bad in ["earliest = 2000-01-01", "earliest = 2000-01-01T00:00:00", "earliest = {}", "earliest = 946684800"]
        {
            assert!(toml::from_str::<Limit>(bad).is_err(), "{bad}");
        }
        insta::assert_snapshot!(parse("2000-01-01").unwrap_err(), @r#""2000-01-01" is not a date and time with a time zone: write it as "2000-01-01T00:00:00Z" or "2000-01-01T00:00:00+01:00""#);
    }
}
