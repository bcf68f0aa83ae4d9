//! What the server says about a batch.

use async_nats::StatusCode;
use serde::Deserialize;

/// The answer to a message of a batch, mostly the last one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BatchAnswer {
    /// A message that is not the last one waits for the rest.
    Taken,
    /// Stored; this is its last message's sequence.
    Stored { sequence: u64 },
    /// The stream never takes this batch.
    Never(String),
    /// Not stored by this copy, or not known: look.
    Look(String),
}

#[derive(Deserialize)]
struct Wire {
    error: Option<WireError>,
    #[serde(default)]
    seq: u64,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(default)]
    err_code: u16,
    #[serde(default)]
    description: String,
}

/// Codes of the server for what no repetition cures: a message or a header block that is too large, atomic batches not
/// allowed, a header that a batch can't have, an id, a size or a commit that isn't valid, a message id twice.
const NEVER: [u16; 8] = [10054, 10097, 10174, 10177, 10179, 10199, 10200, 10201];

impl BatchAnswer {
    pub(super) fn read(message: &async_nats::Message) -> Self {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Self::Look("no stream takes the subject".to_owned());
        }
        if message.payload.is_empty() {
            return Self::Taken;
        }
        match serde_json::from_slice::<Wire>(&message.payload) {
            Ok(Wire { error: None, seq }) => Self::Stored { sequence: seq },
            Ok(Wire { error: Some(WireError { err_code, description }), .. }) if NEVER.contains(&err_code) => {
                Self::Never(description)
            }
            Ok(Wire { error: Some(error), .. }) => Self::Look(error.description),
            Err(error) => Self::Look(format!("the answer cannot be read: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(payload: &'static str) -> BatchAnswer {
        BatchAnswer::read(&async_nats::Message {
            subject: "a".into(),
            reply: None,
            payload: payload.into(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        })
    }

    #[test]
    fn only_stored_and_never_are_final() {
        let stored = answer(r#"{"stream":"OUT","seq":7,"batch":"x-1-0","count":3}"#);
        assert_eq!(stored, BatchAnswer::Stored { sequence: 7 });
        let large =
            answer(r#"{"error":{"code":400,"err_code":10054,"description":"too large"},"stream":"OUT","seq":0}"#);
        assert_eq!(large, BatchAnswer::Never("too large".to_owned()));
        let fenced = answer(r#"{"error":{"code":400,"err_code":10071,"description":"wrong"},"stream":"OUT","seq":0}"#);
        assert_eq!(fenced, BatchAnswer::Look("wrong".to_owned()));
        assert!(matches!(answer("+OK"), BatchAnswer::Look(_)));
    }
}
