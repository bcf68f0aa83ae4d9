//! A subject that is known to be valid, cheap to clone.

use std::fmt;

use super::error::BusError;

/// A subject that messages can be sent to or, with wildcards, listened on.
///
/// Cloning shares the text; sending to a subject allocates nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Subject(async_nats::Subject);

impl Subject {
    /// Takes a subject of non-empty tokens separated by dots, without white space.
    ///
    /// # Errors
    /// [`BusError::InvalidSubject`] with the rule that the text breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, BusError> {
        let text = text.into();
        let reason = if text.is_empty() {
            "it is empty"
        } else if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            "it contains white space"
        } else if text.split('.').any(str::is_empty) {
            "it has an empty part between dots"
        } else {
            return Ok(Self(async_nats::Subject::from(text)));
        };
        Err(BusError::InvalidSubject { subject: text, reason })
    }

    /// Takes a subject that was put together of parts which have been checked.
    pub(crate) fn known(text: String) -> Self {
        debug_assert!(Self::new(text.as_str()).is_ok(), "{text:?}");
        Self(async_nats::Subject::from(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Wraps what the client has already parsed.
    pub(super) fn received(subject: async_nats::Subject) -> Self {
        Self(subject)
    }

    pub(super) fn to_client(&self) -> async_nats::Subject {
        self.0.clone()
    }
}

/// Whether there is a subject that both match.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        match (a.next(), b.next()) {
            (None, None) | (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_break_the_protocol_are_refused() {
        for text in ["", ".", "a..b", ".a", "a.", "a b", "a\r\nPUB b", "a\tb"] {
            assert!(Subject::new(text).is_err(), "{text:?} was taken");
        }
        assert_eq!(Subject::new("shop.clicks.>").unwrap().as_str(), "shop.clicks.>");
    }
}
