//! Whether an input stream is the one that was read, and where to go on if not: decided from facts.

use xxhash_rust::xxh3::xxh3_64;

use super::facts::Facts;
use super::on_loss::OnLoss;
use crate::bus::StreamSequence;
use crate::commit::CommitError;
use crate::commit::progress::InputMark;

/// What becomes of the mark of one input stream.
#[derive(Debug)]
pub(super) enum Decision {
    /// It is the stream that was read: the mark stays.
    Same,
    /// It was never opened before: it is read from its beginning.
    Begin(InputMark),
    /// It is not what was read, and losses are accepted.
    SetMark {
        /// Where to go on.
        replacement: InputMark,
        /// What was accepted, for the log.
        lost: CommitError,
    },
    /// It is not what was read.
    Stop(CommitError),
}

/// What is not as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    Recreated,
    EndsBefore,
    Rewritten,
}

/// See the module.
pub(super) fn decide(facts: &Facts<'_>, on_loss: OnLoss) -> Decision {
    if facts.is_new() {
        return Decision::Begin(InputMark { created_micros: facts.created_micros, ..facts.mark.clone() });
    }
    let Some(difference) = difference(facts) else { return Decision::Same };
    let lost = CommitError::InputLost { stream: facts.stream.to_owned(), what: describe(difference, facts) };
    match on_loss {
        OnLoss::Stop => Decision::Stop(lost),
        OnLoss::Accept => Decision::SetMark { replacement: replacement(difference, facts), lost },
    }
}

fn difference(facts: &Facts<'_>) -> Option<Difference> {
    let mark = facts.mark;
    if facts.is_recreated() {
        return Some(Difference::Recreated);
    }
    if facts.last.0 < mark.sequence {
        return Some(Difference::EndsBefore);
    }
    if mark.sequence == 0 {
        return None;
    }
    // One that is not there expired or was deleted after it was read.
    let message = facts.message.as_ref()?;
    let is_same = message.published_micros == mark.published_micros && xxh3_64(&message.payload) == mark.payload_hash;
    (!is_same).then_some(Difference::Rewritten)
}

fn describe(difference: Difference, facts: &Facts<'_>) -> String {
    let (read, last) = (facts.mark.sequence, facts.last);
    match difference {
        Difference::Recreated => {
            format!("it is another stream than the one that was read up to {read}: it was created anew")
        }
        Difference::EndsBefore => {
            format!("it ends at {last}, but was read up to {read}: the broker lost its newest messages")
        }
        Difference::Rewritten => format!(
            "its message {read} is not the one that was read: the broker lost messages and gave out their numbers again"
        ),
    }
}

/// Where to go on: after the message that the facts have. The digest goes on from what it was.
fn replacement(difference: Difference, facts: &Facts<'_>) -> InputMark {
    let mark = facts.mark;
    if difference == Difference::Recreated {
        return InputMark::start(&mark.stream, facts.created_micros);
    }
    let message = facts.message.as_ref();
    InputMark {
        sequence: facts.last.min(StreamSequence(mark.sequence)).0,
        published_micros: message.map_or(0, |message| message.published_micros),
        payload_hash: message.map_or(0, |message| xxh3_64(&message.payload)),
        ..mark.clone()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::bus::{StoredMessage, Subject};

    const CREATED: i64 = 7;

    /// A message whose text and time follow from its sequence.
    fn stored(sequence: u64) -> StoredMessage {
        StoredMessage {
            subject: Subject::new("clicks.a").unwrap(),
            sequence: StreamSequence(sequence),
            published_micros: sequence as i64 * 1_000,
            headers: Vec::new(),
            payload: Bytes::from(format!("message {sequence}")),
        }
    }

    /// A mark at such a message.
    fn mark(sequence: u64) -> InputMark {
        let message = stored(sequence);
        InputMark {
            sequence,
            published_micros: message.published_micros,
            payload_hash: xxh3_64(&message.payload),
            digest: 99,
            ..InputMark::start("clicks", CREATED)
        }
    }

    /// The facts of a stream that ends at a sequence, read up to a mark.
    fn facts(mark: &InputMark, last: u64, message: Option<StoredMessage>) -> Facts<'_> {
        Facts { stream: "SHOP_CLICKS", mark, created_micros: CREATED, last: StreamSequence(last), message }
    }

    /// The error of a stop; that of going on is the same one, and its mark comes with it.
    fn lost(facts: &Facts<'_>) -> (String, InputMark) {
        let Decision::Stop(stop) = decide(facts, OnLoss::Stop) else { panic!("goes on") };
        let Decision::SetMark { replacement, lost } = decide(facts, OnLoss::Accept) else { panic!("stops") };
        assert_eq!(stop.to_string(), lost.to_string());
        assert!(matches!(stop, CommitError::InputLost { .. }));
        (stop.to_string(), replacement)
    }

    #[test]
    fn a_stream_that_holds_what_was_read_is_the_same() {
        let read = mark(5);
        let unread = InputMark::start("clicks", CREATED);
        let cases = [
            ("it ends where it was read to", facts(&read, 5, Some(stored(5)))),
            ("it went on by one", facts(&read, 6, Some(stored(5)))),
            ("the message expired after it was read", facts(&read, 9, None)),
            ("it was emptied after it was read", facts(&read, 5, None)),
            ("nothing was read, and it is still empty", facts(&unread, 0, None)),
            ("nothing was read, and it has messages now", facts(&unread, 3, None)),
        ];
        for (case, facts) in cases {
            for on_loss in [OnLoss::Stop, OnLoss::Accept] {
                let decision = decide(&facts, on_loss);
                assert!(matches!(decision, Decision::Same), "{case}: {decision:?}");
            }
        }
    }

    #[test]
    fn a_stream_that_was_never_opened_begins_under_its_own_identity() {
        let never = InputMark::start("clicks", 0);
        for (last, on_loss) in [(0, OnLoss::Stop), (3, OnLoss::Stop), (3, OnLoss::Accept)] {
            let Decision::Begin(mark) = decide(&facts(&never, last, None), on_loss) else { panic!("{last}") };
            assert_eq!(mark, InputMark::start("clicks", CREATED));
        }
    }

    #[test]
    fn a_stream_that_was_created_anew_is_read_from_its_beginning_once_that_is_accepted() {
        let created = CREATED + 1;
        for read in [mark(5), InputMark::start("clicks", CREATED)] {
            // However far it goes, and whatever its messages are.
            for last in [0, 5, 9] {
                let facts = Facts { created_micros: created, ..facts(&read, last, Some(stored(5))) };
                let (error, replacement) = lost(&facts);
                let read = read.sequence;
                let what = format!("stream SHOP_CLICKS: it is another stream than the one that was read up to {read}:");
                assert!(error.starts_with(&what), "{error}");
                assert_eq!(replacement, InputMark::start("clicks", created));
            }
        }
    }

    #[test]
    fn a_stream_that_ends_before_its_mark_goes_on_from_its_end_once_that_is_accepted() {
        let read = mark(5);
        for last in [4, 1] {
            let (error, replacement) = lost(&facts(&read, last, Some(stored(last))));
            let what = format!("stream SHOP_CLICKS: it ends at {last}, but was read up to 5:");
            assert!(error.starts_with(&what), "{error}");
            assert_eq!(replacement, mark(last), "the digest goes on from what it was");
        }
        for last in [4, 0] {
            let (_, replacement) = lost(&facts(&read, last, None));
            let expected = InputMark { sequence: last, published_micros: 0, payload_hash: 0, ..mark(5) };
            assert_eq!(replacement, expected, "the last message is gone too");
        }
    }

    #[test]
    fn a_message_that_is_not_the_one_that_was_read_becomes_the_mark_once_that_is_accepted() {
        let read = mark(5);
        let later = StoredMessage { published_micros: 5_001, ..stored(5) };
        let other = StoredMessage { payload: Bytes::from("another"), ..stored(5) };
        for (last, message) in [(5, later), (9, other)] {
            let (error, replacement) = lost(&facts(&read, last, Some(message.clone())));
            assert!(error.starts_with("stream SHOP_CLICKS: its message 5 is not the one that was read:"), "{error}");
            let expected = InputMark {
                published_micros: message.published_micros,
                payload_hash: xxh3_64(&message.payload),
                ..mark(5)
            };
            assert_eq!(replacement, expected, "it goes on after the message that is there now");
        }
    }
}
