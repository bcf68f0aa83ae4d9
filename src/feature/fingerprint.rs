//! What a vector means, in sixteen characters.

use std::fmt::{self, Write};

use sha2::{Digest, Sha256};

/// Digest of a vector's select and of the feature selects it reads: equal fingerprints mean equal columns with equal
/// definitions. White space and comments do not count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of these texts, order included.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut text = String::with_capacity(16);
        for byte in hasher.finalize().iter().take(8) {
            // Writing to a String cannot fail.
            if write!(text, "{byte:02x}").is_err() {
                break;
            }
        }
        Self(text)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
