//! The name of a model file by its content.

use std::fmt;

use sha2::{Digest, Sha256};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_start_of_the_digest() {
        // `printf abc | sha256sum`
        assert_eq!(ModelVersion::of(b"abc").as_str(), "ba7816bf8f01");
    }
}
