//! How a stream is known again: what was last read from it, compared with what it has there now.
//!
//! ```text
//!   the anchor: stream created at C, message S stored at T, with payload hash H
//!
//!   the stream now                              what happened
//!   ─────────────────────────────────────────   ─────────────────────────────────────────────────────
//!   ends before S                               PastEnd: the server lost its tail
//!   another time or hash at S                   Rewritten: lost its tail and gave the numbers out again
//!   nothing at S (expired, or deleted)          nothing that can be told, so nothing that is wrong
//!   the same at S                               it is the stream that was read, also where it was
//!                                               created since: it was put back from a backup
//!   created since, and anything else at S       Recreated: wiped, or another stream of the same name
//! ```
//!
//! The server says none of this by itself: sequences go on from wherever its files end.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::bus::Bus;
use super::delivery::Message;
use super::error::BusError;
use super::sequence::StreamSequence;
use super::stream::StreamState;

/// A message of a stream, by what tells it from any other that may come to have its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// When the stream was created: microseconds since 1970 in UTC.
    pub created_micros: i64,
    /// Where the message is.
    pub sequence: StreamSequence,
    /// When the server stored it: microseconds since 1970 in UTC.
    pub published_micros: i64,
    /// XXH3 (64 bits) of its payload.
    pub payload_hash: u64,
}

impl Anchor {
    /// The anchor of a message that was read from a stream that was created then.
    #[must_use]
    pub fn of(message: &Message, created_micros: i64) -> Self {
        Self {
            created_micros,
            sequence: message.sequence,
            published_micros: message.published_micros,
            payload_hash: xxh3_64(&message.payload),
        }
    }
}

impl Bus {
    /// Makes sure that the stream, which is in this state, is the one that the anchor was read from.
    pub(super) async fn check_anchor(&self, stream: &str, state: &StreamState, anchor: Anchor) -> Result<(), BusError> {
        let is_created_anew = state.created_micros != anchor.created_micros;
        let recreated = || BusError::Recreated {
            stream: stream.to_owned(),
            expected_micros: anchor.created_micros,
            found_micros: state.created_micros,
        };
        if state.last < anchor.sequence {
            let (position, last) = (anchor.sequence.next(), state.last);
            let past_end = || BusError::PastEnd { stream: stream.to_owned(), position, last };
            return Err(if is_created_anew { recreated() } else { past_end() });
        }
        let found = match anchor.sequence < state.first {
            true => None,
            false => self.message_at(stream, anchor.sequence).await?,
        };
        let Some(found) = found else { return if is_created_anew { Err(recreated()) } else { Ok(()) } };
        let same_time = found.published_micros == anchor.published_micros;
        if same_time && xxh3_64(&found.payload) == anchor.payload_hash {
            if is_created_anew {
                tracing::warn!(stream, sequence = anchor.sequence.0, "the stream was put back from a backup: going on");
            }
            return Ok(());
        }
        if is_created_anew {
            return Err(recreated());
        }
        Err(BusError::Rewritten {
            stream: stream.to_owned(),
            sequence: anchor.sequence,
            expected_micros: anchor.published_micros,
            found_micros: found.published_micros,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use rustix::process::Signal;

    use super::*;
    use crate::bus::{ReadLimits, Reader, testing};

    const TAKE_ALL: ReadLimits = ReadLimits { rows: 1024, linger: Duration::ZERO };

    /// A reader that has read three messages.
    async fn three_read(bus: &Bus) -> Reader {
        bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
        testing::publish_numbers(bus, "clicks.a", 0..3).await;
        let mut reader = bus.reader("CLICKS", StreamSequence::FIRST, TAKE_ALL);
        assert_eq!(reader.anchor(), None);
        testing::read_numbers(&mut reader, 3).await;
        reader
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_recorded_anchor_lets_the_same_stream_pass_and_no_other() {
        let (server, bus) = testing::server().await;
        let anchor = three_read(&bus).await.anchor().unwrap();
        assert_eq!(anchor.sequence, StreamSequence(3));
        testing::publish_numbers(&bus, "clicks.a", 3..5).await;
        let expecting = |anchor| bus.reader("CLICKS", StreamSequence(4), TAKE_ALL).expecting(anchor);
        let mut reader = expecting(anchor);
        assert_eq!(testing::read_numbers(&mut reader, 2).await, [3, 4]);

        for (changed, expected) in [
            (
                Anchor { created_micros: anchor.created_micros + 1, payload_hash: !anchor.payload_hash, ..anchor },
                "Recreated",
            ),
            (Anchor { created_micros: 1, sequence: StreamSequence(9), ..anchor }, "Recreated"),
            (Anchor { published_micros: anchor.published_micros + 1, ..anchor }, "Rewritten"),
            (Anchor { payload_hash: !anchor.payload_hash, ..anchor }, "Rewritten"),
            (Anchor { sequence: StreamSequence(9), ..anchor }, "PastEnd"),
        ] {
            let error = expecting(changed).next_batch().await.unwrap_err();
            assert!(format!("{error:?}").starts_with(expected), "{error}");
        }
        let restored = Anchor { created_micros: anchor.created_micros + 1, ..anchor };
        assert_eq!(testing::read_numbers(&mut expecting(restored), 2).await, [3, 4], "what was read is there");

        let stream = bus.jetstream().get_stream("CLICKS").await.unwrap();
        stream.purge().sequence(4).await.unwrap();
        let expired = Anchor { payload_hash: !anchor.payload_hash, ..anchor };
        assert_eq!(testing::read_numbers(&mut expecting(expired), 2).await, [3, 4], "what is gone can't be compared");
        let error = expecting(restored).next_batch().await.unwrap_err();
        assert!(
            matches!(error, BusError::Recreated { .. }),
            "and proves nothing of a stream that was created since: {error}"
        );
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_stream_that_was_wiped_while_it_is_read_is_noticed() {
        let (server, bus) = testing::server().await;
        let mut reader = three_read(&bus).await;
        bus.jetstream().delete_stream("CLICKS").await.unwrap();
        bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
        testing::publish_numbers(&bus, "clicks.a", 0..9).await;
        let error = reader.next_batch().await.unwrap_err();
        assert!(matches!(error, BusError::Recreated { .. }), "{error}");
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_lost_its_tail_and_gave_the_sequences_out_again_is_noticed() {
        let (mut server, bus) = testing::server().await;
        let mut reader = three_read(&bus).await;
        server.server.restart().await.unwrap();
        let (store, earlier) = (server.folder().join("jetstream"), server.folder().join("earlier"));
        copy(&store, &earlier);
        testing::publish_numbers(&bus, "clicks.a", 3..5).await;
        assert_eq!(testing::read_numbers(&mut reader, 2).await, [3, 4]);

        server.signal(Signal::KILL);
        server.ended();
        fs::remove_dir_all(&store).unwrap();
        fs::rename(&earlier, &store).unwrap();
        // What is written before the reader looks again is what makes it dangerous: nobody else could tell.
        let (error, ()) = tokio::join!(reader.next_batch(), async {
            server.server.restart().await.unwrap();
            testing::publish_numbers(&bus, "clicks.a", 100..110).await;
        });
        let error = match error {
            Err(error) => error,
            Ok(batch) => panic!("{batch:?}"),
        };
        assert!(matches!(error, BusError::Rewritten { .. } | BusError::PastEnd { .. }), "{error}");
        server.stop().await.unwrap();
    }
}
