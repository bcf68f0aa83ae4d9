//! SHA-256 digests of content, in the two spellings that are needed.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The alphabet of base64 that is safe in subjects and addresses (RFC 4648, section 5).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Up to so many bytes are hashed where they are; more would hold up an async thread.
const HASHED_IN_PLACE: usize = 64 * 1024;

/// The SHA-256 digest of some bytes. Shown, read and kept in JSON as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentDigest([u8; 32]);

/// A text that is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a SHA-256 digest of 64 hexadecimal digits")]
pub struct DigestError {
    /// What was given.
    pub text: String,
}

impl ContentDigest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// The digest of these bytes, computed on a thread of its own when they are many.
    pub async fn of_many(content: &Bytes) -> Self {
        if content.len() > HASHED_IN_PLACE {
            let shared = content.clone();
            if let Ok(digest) = tokio::task::spawn_blocking(move || Self::of(&shared)).await {
                return digest;
            }
        }
        Self::of(content)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As the object store of NATS spells it: `SHA-256=` and base64.
    pub(crate) fn to_object_store(self) -> String {
        format!("SHA-256={}", base64url(&self.0))
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for ContentDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let refuse = || DigestError { text: text.to_owned() };
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            let digits = text.get(at..at + 2).ok_or_else(refuse)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| refuse())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for ContentDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Base64 in the alphabet that is safe in subjects, with padding.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let three = group.iter().chain([0, 0].iter()).take(3).fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte));
        for place in 0..4 {
            let index = (three >> (18 - 6 * place)) & 63;
            match ALPHABET.get(index as usize) {
                Some(letter) if place <= group.len() => text.push(char::from(*letter)),
                _ => text.push('='),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_written_and_read_as_hexadecimal_digits() {
        // `printf abc | sha256sum`
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest = ContentDigest::of(b"abc");
        assert_eq!((digest.to_string(), text.parse()), (text.to_owned(), Ok(digest)));
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("{text:?}"));
        assert_eq!(serde_json::from_str::<ContentDigest>(&format!("{text:?}")).unwrap(), digest);
        for broken in ["", "ba78", &text.replace('b', "x"), &text.replacen("ba", "é", 1)] {
            assert!(broken.parse::<ContentDigest>().is_err(), "{broken}");
        }
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        // Section 10 of the RFC, and a text whose standard form has both `+` and `/`.
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (&[0xfb, 0xff, 0xfe], "-__-"),
        ] {
            assert_eq!(base64url(bytes), expected);
        }
    }

    #[tokio::test]
    async fn hashing_on_another_thread_gives_the_same() {
        let content = Bytes::from(vec![7; 3 * HASHED_IN_PLACE]);
        assert_eq!(ContentDigest::of_many(&content).await, ContentDigest::of(&content));
    }
}
