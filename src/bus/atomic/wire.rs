//! How a batch is written: its headers, its names, and which subjects a stream takes.

use async_nats::HeaderName;
use async_nats::header::{HeaderMap, NATS_EXPECTED_LAST_SEQUENCE};

use crate::bus::outgoing::Outgoing;
use crate::bus::sequence::StreamSequence;
use crate::bus::stored::StoredMessage;

const BATCH_ID: HeaderName = HeaderName::from_static("Nats-Batch-Id");
const BATCH_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Batch-Sequence");
const BATCH_COMMIT: HeaderName = HeaderName::from_static("Nats-Batch-Commit");

/// By this header of its last message a batch is known again, under whatever id it was stored.
const OWN_BATCH: HeaderName = HeaderName::from_static("Tidewheel-Batch");

/// A message within one copy of a batch.
pub(super) struct Part<'a> {
    /// The batch: the publisher's id and its number.
    pub(super) batch: &'a str,
    /// Which copy of the batch this is.
    pub(super) attempt: u32,
    /// From 1.
    pub(super) position: usize,
    /// Where the stream must end for the batch to be stored; with the first message.
    pub(super) expected: Option<StreamSequence>,
    /// The last message.
    pub(super) commits: bool,
}

impl Part<'_> {
    pub(super) fn headers(&self, message: &Outgoing) -> HeaderMap {
        let mut headers = message.header_map();
        headers.insert(BATCH_ID, format!("{}-{}", self.batch, self.attempt));
        headers.insert(BATCH_SEQUENCE, self.position.to_string());
        if let Some(expected) = self.expected {
            headers.insert(NATS_EXPECTED_LAST_SEQUENCE, expected.0.to_string());
        }
        if self.commits {
            headers.insert(BATCH_COMMIT, "1");
            headers.insert(OWN_BATCH, self.batch);
        }
        headers
    }
}

/// Whether a stored message belongs to a copy of the batch.
pub(super) fn belongs(message: &StoredMessage, batch: &str) -> bool {
    if let Some(own) = message.header(OWN_BATCH.as_ref()) {
        return own == batch;
    }
    let id = message.header(BATCH_ID.as_ref());
    id.and_then(|id| id.rsplit_once('-')).is_some_and(|(own, _)| own == batch)
}

/// Whether a stream's subject, which may have wildcards, takes a message's.
pub(super) fn takes(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for expected in pattern.split('.') {
        match (expected, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (expected, Some(token)) if expected == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_those_of_nats() {
        for (pattern, subject, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.b.c", "a.b", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*.c", "a.b.c", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("a.>", "b.a", false),
        ] {
            assert_eq!(takes(pattern, subject), expected, "{pattern} {subject}");
        }
    }
}
