//! What cannot be used, with the reason.

use bytes::Bytes;

use crate::bus::StreamSequence;
use crate::pipeline::StreamIndex;

/// Reason of events that are too old for every window.
pub(crate) const LATE: &str = "late";
/// Reason of events that a table left out because an expression failed on them.
pub(crate) const FAILED: &str = "failed";
/// Reason of rows whose vector is not made of finite numbers.
pub const UNSCORABLE: &str = "unscorable";

/// An event on its way to the dead-letter subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Index of the stream it came from.
    pub stream: StreamIndex,
    /// Its message.
    pub sequence: StreamSequence,
    /// Why, in a word.
    pub reason: &'static str,
    /// Why, in a sentence.
    pub detail: String,
    /// The event's own bytes where it was refused as it was read; the whole message, with its neighbours in it, where the
    /// event is late or can't be scored, for by then it is a row.
    pub bytes: Bytes,
}
