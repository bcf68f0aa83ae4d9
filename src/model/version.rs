//! The name of a model file by its content.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// How many hexadecimal digits a version has.
const DIGITS: usize = 12;

/// Which model answered: the first 12 hexadecimal digits of the SHA-256 of the file's bytes.
///
/// It is in every reply, so that a score can be traced to the file it came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelVersion(String);

impl ModelVersion {
    /// The version of a file with this content.
    #[must_use]
    pub fn of(file: &[u8]) -> Self {
        let start = Sha256::digest(file).iter().take(6).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        Self(format!("{start:012x}"))
    }

    /// The version written as these 12 digits, lowercase; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == DIGITS && text.bytes().all(digit)).then(|| Self(text.to_owned()))
    }

    /// The 12 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for ModelVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ModelVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is not a model version of 12 hexadecimal digits"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_start_of_the_digest() {
        // `printf abc | sha256sum`
        assert_eq!(ModelVersion::of(b"abc").as_str(), "ba7816bf8f01");
    }

    #[test]
    fn only_twelve_lowercase_digits_are_read_as_a_version() {
        let version = ModelVersion::of(b"abc");
        assert_eq!(ModelVersion::parse("ba7816bf8f01"), Some(version.clone()));
        let json = serde_json::to_string(&version).unwrap();
        assert_eq!(serde_json::from_str::<ModelVersion>(&json).unwrap(), version);
        for text in ["", "ba7816bf8f0", "ba7816bf8f012", "BA7816BF8F01", "ba7816bf8f0g", "../../../etc"] {
            assert_eq!(ModelVersion::parse(text), None, "{text}");
        }
    }
}
