//! How far streams that are somebody else's have come beyond what was read of them: others write there too, so that the last
//! message that was read does not say where the stream ended then.
//!
//! ```text
//!   whoever looks:  after our message 10 nothing of ours up to 49 ─▶ Seen ─▶ the next marker that is at 10 says 49
//! ```
//!
//! When the stream begins at 50 one day, it is known by that that nothing was missed. Of a stream that takes messages from others
//! it is noted which those are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::progress::Progress;
use crate::bus::{SourceStream, StreamSequence};
use crate::pipeline::StreamIndex;

/// What was seen of each stream; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Looks>>);

#[derive(Default)]
struct Looks {
    ends: Vec<Look>,
    /// The streams that each stream takes messages from.
    sources: Vec<(StreamIndex, Vec<SourceStream>)>,
}

/// Nothing of the pipeline lies behind its message `after` up to `until`.
#[derive(Debug, Clone, Copy)]
struct Look {
    stream: StreamIndex,
    after: StreamSequence,
    until: StreamSequence,
}

impl Seen {
    /// Takes note that after this message of a stream nothing is to be read up to there.
    pub(crate) fn note(&self, stream: StreamIndex, after: StreamSequence, until: StreamSequence) {
        let mut looks = self.looks();
        looks.ends.retain(|look| look.stream != stream);
        looks.ends.push(Look { stream, after, until });
    }

    /// Takes note of the streams that a stream has been found to take messages from.
    pub(crate) fn note_sources(&self, stream: StreamIndex, sources: &[SourceStream]) {
        let mut looks = self.looks();
        match looks.sources.iter_mut().find(|(known, _)| *known == stream) {
            Some((_, known)) if known == sources => {}
            Some((_, known)) => *known = sources.to_vec(),
            None => looks.sources.push((stream, sources.to_vec())),
        }
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says it in marks that are at those messages.
    pub(super) fn stamp(&self, progress: &mut Progress) {
        let looks = self.looks();
        for Look { stream, after, until } in &looks.ends {
            if let Some(mark) = progress.inputs.get_mut(stream.0)
                && mark.sequence == after.0
                && until.0 > mark.known().0
            {
                mark.seen = until.0;
            }
        }
        for (stream, sources) in &looks.sources {
            let Some(mark) = progress.inputs.get_mut(stream.0) else { continue };
            // What is read and not committed will be read again.
            for source in sources.iter().filter(|source| source.since.0 <= mark.sequence) {
                mark.sources.retain(|known| known.name != source.name);
                mark.sources.push(source.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::progress::InputMark;

    #[test]
    fn only_a_mark_at_the_message_that_was_looked_behind_says_how_far_the_stream_has_come() {
        let seen = Seen::default();
        let mark = |sequence| InputMark { sequence, ..InputMark::start("clicks", 7) };
        let stamped = |clicks, orders| {
            let mut progress = Progress { inputs: vec![mark(clicks), mark(orders)], ..Progress::default() };
            seen.stamp(&mut progress);
            progress.inputs.iter().map(|mark| mark.seen).collect::<Vec<_>>()
        };
        assert_eq!(stamped(10, 3), [0, 0]);
        seen.note(StreamIndex(0), StreamSequence(10), StreamSequence(40));
        seen.note(StreamIndex(0), StreamSequence(10), StreamSequence(49));
        assert_eq!(stamped(10, 10), [49, 0]);
        assert_eq!(stamped(9, 3), [0, 0], "it has not read that message yet");
        assert_eq!(stamped(11, 3), [0, 0], "it has read on");
        seen.note(StreamIndex(0), StreamSequence(10), StreamSequence(10));
        assert_eq!(stamped(10, 3), [0, 0], "there is nothing behind it");
    }

    #[test]
    fn a_source_is_known_once_a_message_of_it_is_committed() {
        let seen = Seen::default();
        let source = |incarnation: &str, since| SourceStream {
            name: "A".to_owned(),
            incarnation: incarnation.to_owned(),
            since: StreamSequence(since),
        };
        let mark = |sequence, sources| InputMark { sequence, sources, ..InputMark::start("clicks", 7) };
        seen.note_sources(StreamIndex(0), &[source("one", 3)]);
        seen.note_sources(StreamIndex(0), &[source("two", 9)]);
        for (sequence, known) in [(8, "one"), (9, "two")] {
            let mut progress = Progress { inputs: vec![mark(sequence, vec![source("one", 3)])], ..Progress::default() };
            seen.stamp(&mut progress);
            assert_eq!(progress.inputs[0].sources.len(), 1);
            assert_eq!(progress.inputs[0].sources[0].incarnation, known, "{sequence}");
        }
    }
}
