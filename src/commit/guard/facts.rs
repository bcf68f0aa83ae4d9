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
    /// What is read of it, in order, if it is somebody else's.
    pub(super) subjects: Vec<String>,
    /// When the broker created it, microseconds since 1970.
    pub(super) created_micros: i64,
    /// Where it begins, if that says what is missing: not where messages are replaced one by one, or where each gap is noticed
    /// by whoever reads.
    pub(super) first: Option<StreamSequence>,
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

    /// Whether the broker has created it since the mark was made.
    pub(super) fn is_created_anew(&self) -> bool {
        self.mark.present_micros() != self.created_micros
    }
}

/// Reads as much as the decision needs.
pub(super) async fn read<'a>(bus: &Bus, input: &'a Input, mark: &'a InputMark) -> Result<Facts<'a>, CommitError> {
    let (stream, state) = (input.name.as_str(), &input.state);
    let mut facts = Facts {
        stream,
        mark,
        subjects: input.subjects(),
        created_micros: state.created_micros,
        first: (input.source.is_some() && !state.replaces).then_some(state.first),
        last: state.last,
        message: None,
    };
    if facts.is_new() {
        return Ok(facts);
    }
    if facts.last < mark.known() && !facts.is_created_anew() {
        // A server that is behind the others does not know its newest messages yet.
        facts.last = input.bus(bus).stream_state_past(stream, mark.known()).await?.last;
    }
    // No message has the number 0: the broker would refuse the question.
    let place = StreamSequence(mark.sequence).min(facts.last);
    if place.0 > 0 {
        facts.message = input.bus(bus).message_at(stream, place).await?;
    }
    Ok(facts)
}
