//! How far each stream has been read, as a header of every output.

use std::fmt;

use crate::bus::StreamSequence;
use crate::pipeline::StreamIndex;

/// Sequences of all streams of a pipeline up to which every output has been published before this one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position(Vec<(String, StreamSequence)>);

impl Position {
    /// Nothing read of these streams.
    pub fn start<'a>(streams: impl Iterator<Item = &'a str>) -> Self {
        Self(streams.map(|name| (name.to_owned(), StreamSequence(0))).collect())
    }

    /// The last sequence of a stream, by its index in the pipeline.
    pub fn of(&self, stream: StreamIndex) -> StreamSequence {
        self.0.get(stream.0).map_or(StreamSequence(0), |(_, sequence)| *sequence)
    }

    /// Moves a stream on.
    pub fn advance(&mut self, stream: StreamIndex, sequence: StreamSequence) {
        if let Some((_, last)) = self.0.get_mut(stream.0) {
            *last = sequence.max(*last);
        }
    }

    /// Whether every stream is at least as far as in another position.
    pub fn has_reached(&self, other: &Self) -> bool {
        (0..other.0.len()).map(StreamIndex).all(|stream| self.of(stream) >= other.of(stream))
    }

    /// Takes over the sequences of the streams that `text` names; others stay. `None` when it is no position.
    #[must_use]
    pub fn resumed_from(mut self, text: &str) -> Option<Self> {
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, sequence) = part.split_once('=')?;
            let sequence = StreamSequence(sequence.parse().ok()?);
            if let Some((_, last)) = self.0.iter_mut().find(|(known, _)| known == name) {
                *last = sequence;
            }
        }
        Some(self)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, sequence)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{name}={sequence}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_reached_when_every_stream_is_as_far() {
        let mut there = Position::start(["clicks", "orders"].into_iter());
        let mut here = there.clone();
        assert!(here.has_reached(&there), "empty streams are rebuilt at once");
        there.advance(StreamIndex(1), StreamSequence(2));
        here.advance(StreamIndex(0), StreamSequence(9));
        assert!(!here.has_reached(&there));
        here.advance(StreamIndex(1), StreamSequence(2));
        assert!(here.has_reached(&there));
    }

    #[test]
    fn a_position_is_read_back_from_its_text_and_ignores_streams_that_are_gone() {
        let mut position = Position::start(["clicks", "orders"].into_iter());
        position.advance(StreamIndex(1), StreamSequence(42));
        assert_eq!(position.to_string(), "clicks=0,orders=42");
        let fresh = Position::start(["orders"].into_iter()).resumed_from(&position.to_string());
        assert_eq!(fresh.map(|position| position.of(StreamIndex(0))), Some(StreamSequence(42)));
        assert_eq!(Position::start(["orders"].into_iter()).resumed_from("orders=x"), None);
    }
}
