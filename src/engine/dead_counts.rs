//! How many dead letters there were by reason, each with the first and the newest as examples.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::pipeline::Pipeline;
use crate::step::DeadLetter;

/// An example is cut here: it is a line in a log.
const LONGEST_EXAMPLE: usize = 300;

/// Counts dead letters, for whoever looks.
#[derive(Debug, Default)]
pub(crate) struct DeadCounts(Mutex<BTreeMap<&'static str, DeadCount>>);

/// Dead letters of one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeadCount {
    /// Since the start.
    pub(crate) count: u64,
    /// Stream, message and detail of the first.
    pub(crate) first: String,
    /// Of the newest.
    pub(crate) newest: String,
}

impl DeadCounts {
    /// Adds those of a step; gives how many there were of each reason.
    pub(crate) fn add(&self, pipeline: &Pipeline, letters: &[DeadLetter]) -> BTreeMap<&'static str, u64> {
        let mut added: BTreeMap<&'static str, (u64, &DeadLetter, &DeadLetter)> = BTreeMap::new();
        for letter in letters {
            let (count, _, newest) = added.entry(letter.reason).or_insert((0, letter, letter));
            (*count, *newest) = (*count + 1, letter);
        }
        if !added.is_empty() {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (reason, (count, first, newest)) in &added {
                let known = counts.entry(reason).or_default();
                if known.count == 0 {
                    known.first = example(pipeline, first);
                }
                known.count += count;
                known.newest = example(pipeline, newest);
            }
        }
        added.into_iter().map(|(reason, (count, ..))| (reason, count)).collect()
    }

    /// All so far.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, DeadCount> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn example(pipeline: &Pipeline, letter: &DeadLetter) -> String {
    let stream = pipeline.streams.get(letter.stream.0).map_or("?", |stream| stream.name.as_str());
    let mut text = format!("message {} of {stream}: {}", letter.sequence, letter.detail);
    if text.len() > LONGEST_EXAMPLE {
        text.truncate(text.floor_char_boundary(LONGEST_EXAMPLE));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::bus::StreamSequence;
    use crate::config::Folder;
    use crate::pipeline::StreamIndex;

    fn letter(sequence: u64, reason: &'static str, detail: &str) -> DeadLetter {
        DeadLetter {
            stream: StreamIndex(0),
            sequence: StreamSequence(sequence),
            reason,
            detail: detail.to_owned(),
            bytes: bytes::Bytes::new(),
            place: None,
        }
    }

    #[test]
    fn letters_are_counted_by_reason_with_the_first_and_the_newest_as_examples() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/trends");
        let pipeline = Folder::read(&folder).unwrap().assemble_without_model().unwrap();
        let counts = DeadCounts::default();
        let letters = [letter(3, "late", "old"), letter(4, "too_deep", "deep"), letter(5, "late", "older")];
        assert_eq!(counts.add(&pipeline, &letters), BTreeMap::from([("late", 2), ("too_deep", 1)]));
        assert_eq!(counts.add(&pipeline, &[letter(9, "late", &"ä".repeat(400))]), BTreeMap::from([("late", 1)]));
        assert_eq!(counts.add(&pipeline, &[]), BTreeMap::new());
        let found = counts.counts();
        assert_eq!((found["late"].count, found["late"].first.as_str()), (3, "message 3 of clicks: old"));
        assert!(found["late"].newest.starts_with("message 9 of clicks: ää") && found["late"].newest.len() < 310);
        assert_eq!((found["too_deep"].count, found["too_deep"].newest.as_str()), (1, "message 4 of clicks: deep"));
    }
}
