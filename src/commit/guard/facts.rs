//! What the broker says of one input stream, for as long as it may matter.

use super::input::Input;
use crate::bus::{Bus, StoredMessage, StreamSequence};
use crate::commit::CommitError;
use crate::commit::progress::InputMark;

/// A mark, and the stream that it is of as it is now.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// The stream's name in the broker.
    pub(super) stream: &'a str,
    /// How far it was read.
    pub(super) mark: &'a InputMark,
    /// When the broker created it, microseconds since 1970.
    pub(super) created_micros: i64,
    /// Where it ends.
    pub(super) last: StreamSequence,
    /// The message at the mark, or the stream's last one where it ends before the mark.
    pub(super) message: Option<StoredMessage>,
}

impl Facts<'_> {
    /// Whether nothing is known of the stream: nobody has opened it for this pipeline yet.
    pub(super) fn is_new(&self) -> bool {
        self.mark.sequence == 0 && self.mark.created_micros == 0
    }

    /// Whether it is the stream that the mark is of, by its time of creation.
    pub(super) fn is_recreated(&self) -> bool {
        self.mark.created_micros != self.created_micros
    }
}

/// Reads as much as the decision needs.
pub(super) async fn read<'a>(bus: &Bus, input: &'a Input, mark: &'a InputMark) -> Result<Facts<'a>, CommitError> {
    let (stream, state, known) = (input.name.as_str(), &input.state, StreamSequence(mark.sequence));
    let mut facts = Facts { stream, mark, created_micros: state.created_micros, last: state.last, message: None };
    if facts.is_new() || facts.is_recreated() || mark.sequence == 0 {
        return Ok(facts);
    }
    if facts.last < known {
        // A server that is behind the others does not know its newest messages yet.
        facts.last = bus.stream_state_past(stream, known).await?.last;
    }
    // No message has the number 0: the broker would refuse the question.
    if facts.last.0 > 0 {
        facts.message = bus.message_at(stream, known.min(facts.last)).await?;
    }
    Ok(facts)
}
