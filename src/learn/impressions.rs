//! What was shown, as a message: how a worker that starts again remembers what it was asked before.

mod save;

use super::codec::{decode_with, encode_with};
use super::key::JoinKey;
use super::{Example, ExampleError, ExampleKind, Examples, Impression};
use crate::feature::Inputs;
use crate::time::EventTime;

/// The key of the join keys in a message's metadata, 32 hexadecimal digits each.
const KEYS: &str = "tidewheel.keys";
/// The key of the position in the input streams.
const POSITION: &str = "tidewheel.position";
const DIGITS: usize = 32;

/// A batch of impressions. Its message is one of examples that have no label yet: all are marked as negatives that were
/// labelled when they arrived, and the metadata holds their join keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Impressions {
    keys: Vec<JoinKey>,
    rows: Examples,
}

impl Impressions {
    /// No impressions yet, of vectors of these types: so many float32, say.
    pub fn new(inputs: impl Into<Inputs>) -> Self {
        Self { keys: Vec::new(), rows: Examples::new(inputs) }
    }

    /// Adds an impression.
    ///
    /// # Errors
    /// [`ExampleError::Width`] when its vector is of another width.
    pub fn push(&mut self, impression: Impression<'_>) -> Result<(), ExampleError> {
        self.rows.push(Example {
            vector: impression.vector,
            kind: ExampleKind::Negative,
            sampling: 1.0,
            shown_micros: impression.at.micros(),
            labelled_micros: impression.arrived.micros(),
            place: impression.place,
            provenance: impression.provenance,
        })?;
        self.keys.push(impression.key);
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Forgets all rows and keeps the memory for the next ones.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.rows.clear();
    }

    /// The impressions in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = Impression<'_>> {
        self.keys.iter().enumerate().filter_map(|(row, key)| {
            let Example { vector, shown_micros, labelled_micros, place, provenance, .. } = self.rows.get(row)?;
            let (at, arrived) = (EventTime(shown_micros), EventTime(labelled_micros));
            Some(Impression { key: *key, at, arrived, place, vector, provenance })
        })
    }

    /// The message of these impressions of the vector with this fingerprint, made when the input streams stood at `position`.
    ///
    /// # Errors
    /// [`ExampleError::Value`] for a vector that is not finite, [`ExampleError::Write`] when Arrow fails.
    pub fn encode(&self, fingerprint: &str, position: &str) -> Result<Vec<u8>, ExampleError> {
        let keys: Vec<String> = self.keys.iter().map(|key| format!("{key:032x}")).collect();
        encode_with(&self.rows, fingerprint.into(), [(KEYS, keys.concat()), (POSITION, position.to_owned())])
    }

    /// Reads a message of [`encode`](Self::encode): the impressions, and the position that they were made at.
    ///
    /// # Errors
    /// As [`decode`](super::decode), and when there is not one key per row.
    pub fn decode(
        message: &[u8],
        inputs: impl Into<Inputs>,
        fingerprint: &str,
    ) -> Result<(Self, String), ExampleError> {
        let mut read = Self::new(inputs);
        let metadata = decode_with(message, fingerprint, &mut read.rows)?;
        let digits = metadata.get(KEYS).map_or("", String::as_str);
        let keys: Option<Vec<JoinKey>> = digits
            .as_bytes()
            .chunks(DIGITS)
            .map(|key| JoinKey::from_str_radix(std::str::from_utf8(key).ok()?, 16).ok())
            .collect();
        match keys {
            Some(keys) if keys.len() == read.rows.len() && digits.len() == keys.len() * DIGITS => {
                read.keys = keys;
                Ok((read, metadata.get(POSITION).cloned().unwrap_or_default()))
            }
            _ => Err(ExampleError::Unreadable { reason: "it has not one join key per row".to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::learn::{Asked, Provenance};
    use crate::model::ModelVersion;
    use crate::score::Id;

    #[test]
    fn impressions_read_back_as_they_were_written() {
        let mut impressions = Impressions::new(2);
        let unknown = Provenance::unknown();
        let known = Provenance {
            asked: Some(Arc::new(Asked::new("r", Some("7"), ModelVersion::parse("00000000000a").as_ref()))),
            item: Some(Id::Text("tea".into())),
            propensity: Some(0.25),
        };
        let shown = [
            (7, EventTime(-5), EventTime(3), 0, &[1.0, 2.0], unknown),
            (u128::MAX, EventTime(9), EventTime(9), 3, &[0.5, -2.0], &known),
        ];
        let shown = shown.map(|(key, at, arrived, place, vector, provenance)| Impression {
            key,
            at,
            arrived,
            place,
            vector,
            provenance,
        });
        for impression in shown {
            impressions.push(impression).unwrap();
        }
        let message = impressions.encode("f", "clicks=4").unwrap();
        let (read, position) = Impressions::decode(&message, 2, "f").unwrap();
        assert_eq!((&read, position.as_str()), (&impressions, "clicks=4"));
        assert_eq!(read.iter().collect::<Vec<_>>(), shown);
    }

    #[test]
    fn a_message_without_keys_is_refused() {
        let mut examples = Examples::new(1);
        let kind = ExampleKind::Positive;
        let example = Example {
            vector: &[1.0],
            kind,
            sampling: 1.0,
            shown_micros: 0,
            labelled_micros: 0,
            place: 0,
            provenance: Provenance::unknown(),
        };
        examples.push(example).unwrap();
        let message = super::super::encode(&examples, "f").unwrap();
        let error = Impressions::decode(&message, 1, "f").unwrap_err();
        insta::assert_snapshot!(error, @"not a message of examples: it has not one join key per row");
    }
}
