//! Byte sizes: a number, or text such as `64 KiB` and `10 GB`.

use std::fmt;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Unexpected, Visitor};

use super::text::Refusal;

const ADVICE: &str = "write whole bytes, such as 65536, \"64 KiB\" or \"10 GB\"";

/// The broker counts bytes in signed 64 bits.
const LARGEST: u64 = i64::MAX as u64;

const UNITS: [(&str, u64); 10] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

/// Bytes, at least one.
pub(super) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(SizeVisitor)
}

/// Bytes, at least one, that may be left out.
pub(super) fn bytes_if_given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    bytes(deserializer).map(Some)
}

/// What editors are told about a size.
pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": LARGEST },
            { "type": "string", "pattern": r"^\s*\d+\s*(B|kB|KB|KiB|MB|MiB|GB|GiB|TB|TiB)\s*$" },
        ],
        "examples": [65536, "64 KiB", "10 GB"],
    })
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = u64;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number of bytes above zero, or text such as \"64 KiB\"")
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<u64, E> {
        match u64::try_from(bytes) {
            Ok(bytes) if bytes > 0 => Ok(bytes),
            _ => Err(E::invalid_value(Unexpected::Signed(bytes), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        parse(text).map_err(Refusal::into_serde)
    }
}

fn parse(text: &str) -> Result<u64, Refusal> {
    let text = text.trim();
    let digits_end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let unit = unit.trim_start();
    let Some(&(_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(Refusal::new(format!("{text:?} is not a size"), ADVICE));
    };
    if digits.is_empty() {
        return Err(Refusal::new(format!("the size {text:?} has no number"), ADVICE));
    }
    // Digits alone can only fail to fit.
    let bytes = digits.parse().ok().and_then(|number: u64| number.checked_mul(factor));
    match bytes.filter(|&bytes| bytes <= LARGEST) {
        Some(0) => Err(Refusal::new(format!("the size {text:?} is zero"), ADVICE)),
        Some(bytes) => Ok(bytes),
        None => Err(Refusal::new(format!("the size {text:?} is larger than {LARGEST} bytes"), ADVICE)),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn decimal_and_binary_units_are_told_apart() {
        for (text, expected) in [
            ("1 B", 1),
            ("64 KiB", 65_536),
            ("64kB", 64_000),
            ("64 KB", 64_000),
            ("10 GiB", 10_737_418_240),
            ("10 GB", 10_000_000_000),
            (" 2  MiB ", 2_097_152),
            ("1 TiB", 1_099_511_627_776),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn the_largest_size_is_what_the_broker_can_count() {
        assert_eq!(parse("9223372036854775807 B"), Ok(LARGEST));
        assert!(parse("9223372036854775808 B").is_err());
        assert!(parse("8388608 TiB").is_err(), "2^63");
        assert!(parse("18446744073709551616 B").is_err(), "more than 64 bits");
    }

    #[test]
    fn refusals_name_the_text_and_the_fix() {
        let refusals = ["64", "64 kib", "1.5 GiB", "GiB", "", "-1 B", "0 KiB", "99999999999999999999 B"]
            .map(|text| parse(text).unwrap_err().to_string());
        insta::assert_snapshot!(refusals.join("\n"), @r#"
        "64" is not a size: write whole bytes, such as 65536, "64 KiB" or "10 GB"
        "64 kib" is not a size: write whole bytes, such as 65536, "64 KiB" or "10 GB"
        "1.5 GiB" is not a size: write whole bytes, such as 65536, "64 KiB" or "10 GB"
        the size "GiB" has no number: write whole bytes, such as 65536, "64 KiB" or "10 GB"
        "" is not a size: write whole bytes, such as 65536, "64 KiB" or "10 GB"
        "-1 B" is not a size: write whole bytes, such as 65536, "64 KiB" or "10 GB"
        the size "0 KiB" is zero: write whole bytes, such as 65536, "64 KiB" or "10 GB"
        the size "99999999999999999999 B" is larger than 9223372036854775807 bytes: write whole bytes, such as 65536, "64 KiB" or "10 GB"
        "#);
    }

    #[test]
    fn numbers_are_bytes_and_zero_is_refused() {
        #[derive(Deserialize)]
        struct Limit {
            #[serde(deserialize_with = "bytes")]
            size: u64,
        }
        let read = |text: &str| toml::from_str::<Limit>(text).map(|limit| limit.size);
        assert_eq!(read("size = 65536"), Ok(65_536));
        assert_eq!(read("size = '64 KiB'"), Ok(65_536));
        for bad in ["size = 0", "size = -1", "size = 1.0", "size = true", "size = 9223372036854775808"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
