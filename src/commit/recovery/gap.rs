//! What lies between a state and the marker in one input stream, and whether it can be read again.

use crate::bus::StreamSequence;
use crate::commit::progress::InputMark;
use crate::commit::{CommitError, OnLoss};

/// Messages of one input stream that a state does not hold and the marker does.
#[derive(Debug)]
pub(crate) struct Gap<'a> {
    /// The stream's name in the broker.
    pub(crate) stream: &'a str,
    /// How far the state has come.
    pub(crate) state: &'a InputMark,
    /// How far the marker says that the stream was read.
    pub(crate) marked: &'a InputMark,
}

/// Where a stream is read on, with a gap before the marker.
#[derive(Debug)]
pub(crate) enum Crossing {
    /// After what the state holds.
    AfterState,
    /// After the marker, without what lies between, as was asked for.
    AfterMarker(CommitError),
    /// A person must choose.
    Stop(CommitError),
}

impl Gap<'_> {
    /// The last message that has to be read again; nothing where the state is as far as the marker.
    pub(crate) fn last(&self) -> Option<StreamSequence> {
        (self.state.sequence < self.marked.sequence).then_some(StreamSequence(self.marked.sequence))
    }

    /// Decides, once it is known whether the stream still has the [last](Self::last) message: without it nobody could tell
    /// when they have all been read.
    pub(crate) fn decide(&self, is_last_there: bool, on_loss: OnLoss) -> Crossing {
        let Some(until) = self.last().filter(|_| !is_last_there) else { return Crossing::AfterState };
        let differ = CommitError::InputsDiffer { stream: self.stream.to_owned(), until };
        match on_loss {
            OnLoss::Stop => Crossing::Stop(differ),
            OnLoss::Accept => Crossing::AfterMarker(differ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::recovery::testing::mark;

    #[test]
    fn a_gap_whose_last_message_is_gone_cannot_be_read_again() {
        let marked = mark("clicks", 9);
        let cases = [
            ("the state is one behind", 8, false, true),
            ("the state is empty", 0, false, true),
            ("the message is there", 8, true, false),
            ("the state is as far", 9, false, false),
            ("the state is one ahead", 10, false, false),
        ];
        for (case, sequence, is_last_there, is_lost) in cases {
            let state = mark("clicks", sequence);
            let gap = Gap { stream: "SHOP_CLICKS", state: &state, marked: &marked };
            assert_eq!(gap.last(), (sequence < 9).then_some(StreamSequence(9)), "{case}");
            match (gap.decide(is_last_there, OnLoss::Stop), gap.decide(is_last_there, OnLoss::Accept)) {
                (Crossing::AfterState, Crossing::AfterState) => assert!(!is_lost, "{case}"),
                (Crossing::Stop(stop), Crossing::AfterMarker(accepted)) => {
                    assert!(is_lost, "{case}");
                    assert_eq!(stop.to_string(), accepted.to_string());
                    assert!(stop.to_string().starts_with("stream SHOP_CLICKS up to 9 is not what it was"), "{stop}");
                }
                other => panic!("{case}: {other:?}"),
            }
        }
    }
}
