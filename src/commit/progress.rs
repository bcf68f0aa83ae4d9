//! How far a pipeline has come: the last message of each input stream, and what became of all of them so far.
//!
//! A marker in the output stream says it of what is committed, a snapshot of what is in it. Three things tie it to the
//! inputs: the identity of each stream, its message at the recorded sequence, and a digest of everything read before.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::position::Position;
use crate::bus::{Anchor, Message, SourceStream, StreamSequence};
use crate::pipeline::StreamIndex;
use crate::step::Counts;

/// How far one input stream has been read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InputMark {
    /// The stream's name in the pipeline.
    pub(crate) stream: String,
    /// When the broker created the stream, microseconds since 1970: which of the streams of this name it is.
    pub(super) created_micros: i64,
    /// When the broker created it again from a backup that holds all that was read; 0 where it never had to.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) restored_micros: i64,
    /// What is read of a stream that is somebody else's, in order; of one of our own everything is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) subjects: Vec<String>,
    /// The last message; 0 before the first.
    pub(crate) sequence: u64,
    /// When the broker stored it, microseconds since 1970.
    pub(super) published_micros: i64,
    /// XXH3 of its payload.
    pub(super) payload_hash: u64,
    /// Up to here nothing follows it that is to be read: so far the stream had come when it was looked at. 0 where that is not
    /// known, as of streams of our own, where all that follows is to be read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) seen: u64,
    /// The streams that its own takes messages from, as far as it does and says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sources: Vec<SourceStream>,
    /// Of all messages up to here, each with its sequence and time.
    pub(super) digest: u64,
}

/// How far a pipeline has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// In the order of the pipeline's streams.
    pub(crate) inputs: Vec<InputMark>,
    /// Since the first event.
    pub(crate) counts: Counts,
}

/// A step: messages of one stream up to a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(usize, u64, bool)", into = "(usize, u64, bool)")]
pub(crate) struct Run {
    /// By its index in the pipeline.
    pub(crate) stream: StreamIndex,
    /// Its last message.
    pub(crate) until: u64,
    /// Whether streams that were silent held nothing back: done again, the step must take silence for the same.
    pub(crate) is_present: bool,
}

impl Run {
    /// Whether a step after this one may be told of as one with it.
    pub(super) fn goes_on_in(self, next: Self) -> bool {
        (self.stream, self.is_present) == (next.stream, next.is_present)
    }
}

impl From<(usize, u64, bool)> for Run {
    fn from((stream, until, is_present): (usize, u64, bool)) -> Self {
        Self { stream: StreamIndex(stream), until, is_present }
    }
}

impl From<Run> for (usize, u64, bool) {
    fn from(run: Run) -> Self {
        (run.stream.0, run.until, run.is_present)
    }
}

impl InputMark {
    /// Before the first message of a stream.
    pub(super) fn start(stream: &str, created_micros: i64) -> Self {
        Self { stream: stream.to_owned(), created_micros, ..Self::default() }
    }

    /// Moves on over the messages that follow.
    pub(crate) fn take(&mut self, messages: &[Message]) {
        for message in messages {
            let place = self.digest.rotate_left(7)
                ^ message.sequence.0
                ^ message.published_micros.cast_unsigned().rotate_left(32);
            self.digest = xxh3_64_with_seed(&message.payload, place);
        }
        if let Some(last) = messages.last() {
            self.sequence = last.sequence.0;
            self.published_micros = last.published_micros;
            self.payload_hash = xxh3_64(&last.payload);
            self.seen = 0;
        }
    }

    /// Whether two marks say that the same was read of the same stream: how far others have gone on after that, and whether
    /// it was put back from a backup, does not matter.
    pub(crate) fn has_read_what(&self, other: &Self) -> bool {
        let Self { restored_micros, seen, ref sources, .. } = *other;
        Self { restored_micros, seen, sources: sources.clone(), ..self.clone() } == *other
    }

    /// How far the stream is known to have come.
    pub(super) fn known(&self) -> StreamSequence {
        StreamSequence(self.sequence.max(self.seen))
    }

    /// When the stream was created that is there now.
    pub(super) fn present_micros(&self) -> i64 {
        if self.restored_micros == 0 { self.created_micros } else { self.restored_micros }
    }

    /// What a reader that goes on from here must find.
    pub(crate) fn anchor(&self) -> Anchor {
        Anchor {
            created_micros: self.present_micros(),
            sequence: StreamSequence(self.sequence),
            published_micros: self.published_micros,
            payload_hash: self.payload_hash,
        }
    }
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

impl Progress {
    /// The sequences alone.
    pub(crate) fn position(&self) -> Position {
        let mut position = Position::start(self.inputs.iter().map(|input| input.stream.as_str()));
        for (stream, input) in self.inputs.iter().enumerate() {
            position.advance(StreamIndex(stream), StreamSequence(input.sequence));
        }
        position
    }

    /// The last message of a stream, by its index in the pipeline.
    pub(crate) fn sequence(&self, stream: StreamIndex) -> u64 {
        self.inputs.get(stream.0).map_or(0, |input| input.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{Encoding, Subject};

    fn message(sequence: u64, payload: &'static str) -> Message {
        Message {
            subject: Subject::new("clicks.a").unwrap(),
            sequence: StreamSequence(sequence),
            published_micros: sequence as i64 * 1_000,
            encoding: Encoding::Json,
            payload: payload.into(),
        }
    }

    #[test]
    fn the_digest_does_not_depend_on_batches_and_on_everything_else() {
        let all = [message(1, "a"), message(2, "b"), message(5, "c")];
        let digest = |batches: &[&[Message]]| {
            let mut mark = InputMark::start("clicks", 7);
            batches.iter().for_each(|batch| mark.take(batch));
            mark.digest
        };
        let whole = digest(&[&all]);
        assert_eq!(whole, digest(&[&all[..1], &[], &all[1..]]));
        let mut others = [all.clone(), all.clone(), all.clone(), all.clone()];
        others[0][1].payload = "x".into();
        others[1][1].sequence = StreamSequence(3);
        others[2][0].published_micros += 1;
        others[3].swap(0, 1);
        for other in &others {
            assert_ne!(digest(&[other]), whole);
        }
        assert_ne!(digest(&[&all[1..]]), whole);
    }

    #[test]
    fn the_position_of_a_progress_is_that_of_its_streams() {
        let mut progress = Progress {
            inputs: vec![InputMark::start("clicks", 7), InputMark::start("orders", 8)],
            counts: Counts::default(),
        };
        progress.inputs[1].take(&[message(3, "a")]);
        assert_eq!(progress.position().to_string(), "clicks=0,orders=3");
        assert_eq!((progress.sequence(StreamIndex(1)), progress.sequence(StreamIndex(2))), (3, 0));
    }
}
