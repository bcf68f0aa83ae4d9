//! Compare and set: a message that is stored only if nothing newer is on its subject.
//!
//! ```text
//!   publish, expecting `last` on the subject ──▶ stored ───────────────────────▶ At
//!        ▲                                  └──▶ refused, or no answer
//!        │                                             │ read what is there now
//!        │      still the expected one ◀───────────────┼──▶ ours, by its id ───▶ At
//!        └─────── and the trouble may pass             └──▶ somebody else's ───▶ Changed
//! ```
//!
//! An answer that is lost says nothing about whether the message was stored, and a repeated message is refused because of
//! its own first copy. Each message therefore has an id, and what is stored decides.

use std::time::Duration;

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use tracing::debug;

use crate::bus::bus::Bus;
use crate::bus::error::{BusError, refused_by_server};
use crate::bus::outgoing::Outgoing;
use crate::bus::sequence::StreamSequence;

/// How often a message is sent while the server doesn't say what became of it.
const TRIES: u32 = 6;

/// The pause before the second try; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(50);

/// The header by which a stored message is known again.
const MESSAGE_ID: &str = "Nats-Msg-Id";

/// What became of a message that was to be stored on a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It is stored, here.
    At(StreamSequence),
    /// It is not stored: the subject's last message is this one (0: there is none).
    Changed(StreamSequence),
}

impl Bus {
    /// Stores a message if `expected` is the last one on its subject (0: there is none). Waits while the connection is
    /// down.
    ///
    /// A message that was stored and then overtaken by another one before we could look counts as not stored.
    pub(crate) async fn store_if_last(
        &self,
        stream: &str,
        message: Outgoing,
        expected: StreamSequence,
    ) -> Result<Condition, BusError> {
        let id = self.unique_id();
        self.store_under_id(stream, message.message_id(id.as_str()), &id, expected).await
    }

    /// As [`store_if_last`](Self::store_if_last); the message has this id.
    async fn store_under_id(
        &self,
        stream: &str,
        message: Outgoing,
        id: &str,
        expected: StreamSequence,
    ) -> Result<Condition, BusError> {
        message.check()?;
        self.check_size(&message.subject, message.bytes())?;
        let mut tries = 0;
        loop {
            self.connection().up().await?;
            tries += 1;
            let error = match self.send_expecting(&message, expected).await {
                Ok(sequence) => return Ok(Condition::At(sequence)),
                Err(error) => error,
            };
            debug!(subject = %message.subject, %error, tries, "not known to be stored: looking");
            match self.last_message(stream, &message.subject).await {
                Ok(Some(last)) if last.header(MESSAGE_ID) == Some(id) => return Ok(Condition::At(last.sequence)),
                Ok(last) => {
                    let last = last.map_or(StreamSequence(0), |last| last.sequence);
                    if last != expected {
                        return Ok(Condition::Changed(last));
                    }
                }
                // The server can't say now; the next try finds out.
                Err(BusError::JetStream { .. }) => {}
                Err(error) => return Err(error),
            }
            if tries >= TRIES || !may_pass(&error) {
                return Err(refused_by_server("write to", stream, &error));
            }
            tokio::time::sleep(PAUSE * 2_u32.pow(tries - 1)).await;
        }
    }

    async fn send_expecting(
        &self,
        message: &Outgoing,
        expected: StreamSequence,
    ) -> Result<StreamSequence, PublishError> {
        let mut headers = message.header_map();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.0.to_string());
        let subject = message.subject.to_client();
        let sent = self.jetstream().publish_with_headers(subject, headers, message.payload.clone()).await?;
        sent.await.map(|stored| StreamSequence(stored.sequence))
    }
}

/// Whether sending again may help. A refused condition is among these: it can come from our own copy on its way.
fn may_pass(error: &PublishError) -> bool {
    match error.kind() {
        PublishErrorKind::StreamNotFound
        | PublishErrorKind::WrongLastSequence
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending => true,
        PublishErrorKind::WrongLastMessageId | PublishErrorKind::MaxPayloadExceeded | PublishErrorKind::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::bus::subject::Subject;
    use crate::bus::testing;

    fn text(text: &'static str) -> Outgoing {
        Outgoing::new(Subject::new("out.a").unwrap(), Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn a_message_is_stored_only_on_top_of_the_expected_one() {
        let (server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("OUT", "out.>")).await.unwrap();
        let [none, first, second] = [0, 1, 2].map(StreamSequence);
        assert_eq!(bus.store_if_last("OUT", text("1"), none).await.unwrap(), Condition::At(first));
        assert_eq!(bus.store_if_last("OUT", text("x"), none).await.unwrap(), Condition::Changed(first));
        assert_eq!(bus.store_if_last("OUT", text("2"), first).await.unwrap(), Condition::At(second));
        assert_eq!(bus.store_if_last("OUT", text("x"), first).await.unwrap(), Condition::Changed(second));
        assert_eq!(bus.stream_state("OUT").await.unwrap().messages, 2);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_message_whose_answer_was_lost_is_found_to_be_stored() {
        let (server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("OUT", "out.>")).await.unwrap();
        // The first copy, whose answer nobody hears.
        let first = text("1").message_id("a");
        bus.send_expecting(&first, StreamSequence(0)).await.unwrap();
        let again = bus.store_under_id("OUT", first, "a", StreamSequence(0)).await.unwrap();
        assert_eq!(again, Condition::At(StreamSequence(1)));
        let other = bus.store_under_id("OUT", text("1").message_id("b"), "b", StreamSequence(0)).await.unwrap();
        assert_eq!(other, Condition::Changed(StreamSequence(1)), "equal bytes of somebody else are not ours");
        assert_eq!(bus.stream_state("OUT").await.unwrap().messages, 1);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_missing_stream_is_said_to_be_missing() {
        let (server, bus) = testing::server().await;
        let error = bus.store_if_last("OUT", text("1"), StreamSequence(0)).await.unwrap_err();
        assert!(matches!(error, BusError::StreamNotFound { .. }), "{error}");
        server.stop().await.unwrap();
    }
}
