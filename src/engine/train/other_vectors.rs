//! Examples of other vectors than that of now: counted, and told in one line.

use std::collections::BTreeMap;

/// What has been left out since it was told last.
#[derive(Debug, Default)]
pub(super) struct OtherVectors {
    /// Examples by the vector that they are of.
    examples: BTreeMap<String, u64>,
    /// The first and the last of their messages.
    messages: Option<(u64, u64)>,
}

impl OtherVectors {
    /// A message of examples of another vector.
    pub(super) fn note(&mut self, vector: String, examples: usize, sequence: u64) {
        *self.examples.entry(vector).or_default() += examples as u64;
        let (first, _) = self.messages.unwrap_or((sequence, sequence));
        self.messages = Some((first, sequence));
    }

    /// Says what was left out, if anything was.
    pub(super) fn tell(&mut self) {
        if let Some(line) = self.take() {
            tracing::warn!("{line}");
        }
    }

    fn take(&mut self) -> Option<String> {
        let Self { examples, messages } = std::mem::take(self);
        let (first, last) = messages?;
        let all: u64 = examples.values().sum();
        let vectors: Vec<&str> = examples.keys().map(String::as_str).collect();
        Some(format!(
            "{all} examples (messages {first} to {last}) are of another vector than that of now and are left out: they were \
             written before vector.sql or a table that it joins changed (vector {})",
            vectors.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There were 2,340 warnings in a second.
    #[test]
    fn examples_of_other_vectors_are_one_line() {
        let mut others = OtherVectors::default();
        assert_eq!(others.take(), None);
        for sequence in 7..2_347 {
            others.note("8a21".to_owned(), 2, sequence);
        }
        others.note("07fe".to_owned(), 1, 2_350);
        insta::assert_snapshot!(
            others.take().unwrap(),
            @"4681 examples (messages 7 to 2350) are of another vector than that of now and are left out: they were written before vector.sql or a table that it joins changed (vector 07fe, 8a21)"
        );
        assert_eq!(others.take(), None, "once");
    }
}
