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
    /// It was created again and holds what was read: it was put back from a backup.
    Restored(InputMark),
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
    /// Other subjects of it are read.
    OtherSubjects,
    /// What came first is gone, and nobody knows whose it was.
    BeginsLater,
}

/// See the module.
pub(super) fn decide(facts: &Facts<'_>, on_loss: OnLoss) -> Decision {
    if facts.is_new() {
        return Decision::Begin(start(facts));
    }
    let Some(difference) = difference(facts) else {
        let restored = || InputMark { restored_micros: facts.created_micros, ..facts.mark.clone() };
        return if facts.is_created_anew() { Decision::Restored(restored()) } else { Decision::Same };
    };
    let (stream, what) = (facts.stream.to_owned(), describe(difference, facts));
    let lost = match difference {
        Difference::OtherSubjects | Difference::BeginsLater => CommitError::InputDoubtful { stream, what },
        Difference::Recreated | Difference::EndsBefore | Difference::Rewritten => {
            CommitError::InputLost { stream, what }
        }
    };
    match on_loss {
        OnLoss::Stop => Decision::Stop(lost),
        OnLoss::Accept => Decision::SetMark { replacement: replacement(difference, facts), lost },
    }
}

fn difference(facts: &Facts<'_>) -> Option<Difference> {
    let mark = facts.mark;
    let is_same = facts.message.as_ref().map(|message| {
        message.published_micros == mark.published_micros && xxh3_64(&message.payload) == mark.payload_hash
    });
    let ends_before = facts.last < mark.known();
    // Only the message itself says that what was created since is what was read.
    if facts.is_created_anew() && (ends_before || mark.sequence == 0 || is_same != Some(true)) {
        return Some(Difference::Recreated);
    }
    if ends_before {
        return Some(Difference::EndsBefore);
    }
    // One that is not there expired or was deleted after it was read.
    if mark.sequence > 0 && is_same == Some(false) {
        return Some(Difference::Rewritten);
    }
    if mark.subjects != facts.subjects {
        return Some(Difference::OtherSubjects);
    }
    let is_fresh = mark.known() == StreamSequence(0);
    facts.first.filter(|first| !is_fresh && *first > mark.known().next()).map(|_| Difference::BeginsLater)
}

/// Before the first message of the stream that is there.
fn start(facts: &Facts<'_>) -> InputMark {
    InputMark { subjects: facts.subjects.clone(), ..InputMark::start(&facts.mark.stream, facts.created_micros) }
}

fn describe(difference: Difference, facts: &Facts<'_>) -> String {
    let (read, known, last) = (facts.mark.sequence, facts.mark.known(), facts.last);
    match difference {
        Difference::Recreated => {
            format!(
                "it is another stream than the one that was read up to {read}: it was created anew, and does not hold what \
                 was read; or it was put back from a backup of before"
            )
        }
        Difference::EndsBefore => {
            format!("it ends at {last}, but was read up to {known}: the broker lost its newest messages")
        }
        Difference::OtherSubjects => format!(
            "it is read through {}, and was read through {} up to {read}: what it holds of the others before that was never \
             counted",
            listed(&facts.subjects),
            listed(&facts.mark.subjects)
        ),
        Difference::BeginsLater => format!(
            "it begins at {} by now, and was read up to {known}: what was between expired or was purged, and whether any of it \
             was for this pipeline can't be told",
            facts.first.unwrap_or_default()
        ),
        Difference::Rewritten => format!(
            "its message {read} is not the one that was read: the broker lost messages and gave out their numbers again"
        ),
    }
}

/// Where to go on: after the message that the facts have. The digest goes on from what it was.
fn replacement(difference: Difference, facts: &Facts<'_>) -> InputMark {
    let (mark, subjects) = (facts.mark, facts.subjects.clone());
    match difference {
        Difference::Recreated => return start(facts),
        Difference::OtherSubjects => return InputMark { subjects, ..mark.clone() },
        Difference::BeginsLater => {
            let seen = facts.first.map_or(mark.seen, |first| first.0.saturating_sub(1));
            return InputMark { seen, ..mark.clone() };
        }
        Difference::EndsBefore | Difference::Rewritten => {}
    }
    let message = facts.message.as_ref();
    InputMark {
        sequence: facts.last.min(StreamSequence(mark.sequence)).0,
        published_micros: message.map_or(0, |message| message.published_micros),
        payload_hash: message.map_or(0, |message| xxh3_64(&message.payload)),
        seen: 0,
        subjects,
        ..mark.clone()
    }
}

fn listed(subjects: &[String]) -> String {
    if subjects.is_empty() { "all subjects".to_owned() } else { subjects.join(", ") }
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
        Facts {
            stream: "SHOP_CLICKS",
            mark,
            subjects: Vec::new(),
            created_micros: CREATED,
            first: None,
            last: StreamSequence(last),
            message,
        }
    }

    /// The error of a stop; that of going on is the same one, and its mark comes with it.
    fn lost(facts: &Facts<'_>) -> (String, InputMark) {
        let Decision::Stop(stop) = decide(facts, OnLoss::Stop) else { panic!("goes on") };
        let Decision::SetMark { replacement, lost } = decide(facts, OnLoss::Accept) else { panic!("stops") };
        assert_eq!(stop.to_string(), lost.to_string());
        assert!(matches!(stop, CommitError::InputLost { .. } | CommitError::InputDoubtful { .. }));
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
            // However far it goes: only the message that was read last says that it is the same.
            let other = StoredMessage { published_micros: 7, ..stored(5) };
            for (last, message) in [(0, None), (3, Some(stored(3))), (5, None), (9, Some(other))] {
                let facts = Facts { created_micros: created, ..facts(&read, last, message) };
                let (error, replacement) = lost(&facts);
                let read = read.sequence;
                let what = format!("stream SHOP_CLICKS: it is another stream than the one that was read up to {read}:");
                assert!(error.starts_with(&what), "{error}");
                assert_eq!(replacement, InputMark::start("clicks", created));
            }
        }
    }

    #[test]
    fn a_stream_that_was_created_anew_and_holds_what_was_read_was_put_back_and_is_gone_on_with() {
        let (read, created) = (mark(5), CREATED + 1);
        for (last, on_loss) in [(5, OnLoss::Stop), (9, OnLoss::Stop), (9, OnLoss::Accept)] {
            let facts = Facts { created_micros: created, ..facts(&read, last, Some(stored(5))) };
            let Decision::Restored(restored) = decide(&facts, on_loss) else { panic!("{last}") };
            assert_eq!(restored, InputMark { restored_micros: created, ..mark(5) });
            // The next start finds it as it is, and a second backup is as good as the first.
            let again = |created_micros| {
                decide(
                    &Facts { created_micros, mark: &restored, ..self::facts(&restored, last, Some(stored(5))) },
                    on_loss,
                )
            };
            assert!(matches!(again(created), Decision::Same));
            assert!(matches!(again(created + 1), Decision::Restored(mark) if mark.created_micros == CREATED));
        }
    }

    /// Of a stream that is somebody else's.
    fn source<'a>(mark: &'a InputMark, first: u64, last: u64, subjects: &[&str]) -> Facts<'a> {
        let subjects = subjects.iter().map(|&subject| subject.to_owned()).collect();
        let message = (first <= mark.sequence).then(|| stored(mark.sequence));
        Facts { subjects, first: Some(StreamSequence(first)), ..facts(mark, last, message) }
    }

    #[test]
    fn gaps_of_somebody_elses_stream_are_no_loss_unless_its_beginning_has_passed_what_is_known() {
        let subjects = vec!["shop.a".to_owned()];
        let seen = |seen| InputMark { seen, subjects: subjects.clone(), ..mark(5) };
        for (case, mark, first, last) in [
            ("others have gone on", seen(0), 1, 900),
            ("it was emptied once all was read", seen(0), 6, 5),
            ("others expired that were known to be others", seen(40), 30, 50),
            ("all was purged up to where it was known to have come", seen(49), 50, 49),
            ("nothing was ever read of it", InputMark { sequence: 0, ..seen(0) }, 700, 900),
        ] {
            let decision = decide(&source(&mark, first, last, &["shop.a"]), OnLoss::Stop);
            assert!(matches!(decision, Decision::Same), "{case}: {decision:?}");
        }
        for (mark, first, last) in [(seen(0), 50, 49), (seen(48), 50, 60)] {
            let (error, replacement) = lost(&source(&mark, first, last, &["shop.a"]));
            let what = format!("stream SHOP_CLICKS: it begins at 50 by now, and was read up to {}:", mark.known());
            assert!(error.starts_with(&what) && !error.contains("lost"), "{error}");
            assert_eq!(replacement, seen(49));
            assert!(matches!(decide(&source(&replacement, first, last, &["shop.a"]), OnLoss::Stop), Decision::Same));
        }
        // What was known to be there is not there any more.
        let (error, _) = lost(&source(&seen(40), 1, 39, &["shop.a"]));
        assert!(error.starts_with("stream SHOP_CLICKS: it ends at 39, but was read up to 40:"), "{error}");
    }

    #[test]
    fn other_subjects_of_somebody_elses_stream_are_another_reading_of_it() {
        let read = InputMark { subjects: vec!["shop.a".to_owned()], ..mark(5) };
        let (error, replacement) = lost(&source(&read, 1, 9, &["shop.a", "shop.b"]));
        let what = "stream SHOP_CLICKS: it is read through shop.a, shop.b, and was read through shop.a up to 5:";
        assert!(error.starts_with(what), "{error}");
        assert_eq!(replacement.subjects, ["shop.a", "shop.b"]);
        assert_eq!(replacement.sequence, 5, "reading goes on where it was");
        let (error, _) = lost(&source(&mark(5), 1, 9, &["shop.a"]));
        assert!(error.contains("was read through all subjects up to 5"), "{error}");
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
