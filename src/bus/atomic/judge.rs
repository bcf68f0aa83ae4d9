//! What became of a batch, told from where the stream ends.

use std::cmp::Ordering;

use crate::bus::sequence::StreamSequence;

/// Where a batch belongs in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Where the stream ends before it.
    pub(super) start: StreamSequence,
    /// Where the stream ends after it.
    pub(super) end: StreamSequence,
}

/// What a look at the stream's end says about a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The stream ends where the batch begins: none of it is stored.
    Absent,
    /// Whether it is ours is said by the message here.
    AskAt(StreamSequence),
    /// The stream is shorter than what was stored before: nothing of ours can follow.
    Lost,
}

/// What the message that was asked for says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All of it is stored.
    Stored,
    /// Its first messages are, so many of them.
    Part { messages: usize },
    /// Somebody else wrote where it belongs.
    Foreign,
}

impl Place {
    pub(super) fn look(self, last: StreamSequence) -> Look {
        match last.cmp(&self.start) {
            Ordering::Less => Look::Lost,
            Ordering::Equal => Look::Absent,
            Ordering::Greater => Look::AskAt(last.min(self.end)),
        }
    }

    /// `ours`: the message at the position that [`look`](Self::look) named is one of this batch.
    pub(super) fn verdict(self, asked: StreamSequence, ours: bool) -> Verdict {
        if !ours {
            Verdict::Foreign
        } else if asked == self.end {
            Verdict::Stored
        } else {
            Verdict::Part { messages: (asked.0 - self.start.0) as usize }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_of_the_stream_means_one_thing() {
        let place = Place { start: StreamSequence(10), end: StreamSequence(13) };
        let at = |last| place.look(StreamSequence(last));
        assert_eq!([at(9), at(10)], [Look::Lost, Look::Absent]);
        let asked = [11, 12, 13, 13].map(|sequence| Look::AskAt(StreamSequence(sequence)));
        assert_eq!([at(11), at(12), at(13), at(50)], asked);

        let says = |asked, ours| place.verdict(StreamSequence(asked), ours);
        assert_eq!([says(13, true), says(12, true)], [Verdict::Stored, Verdict::Part { messages: 2 }]);
        assert_eq!([says(13, false), says(11, false)], [Verdict::Foreign; 2]);
    }
}
