//! Reading one message back out of a stream.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageError, LastRawMessageErrorKind};
use bytes::Bytes;

use super::bus::Bus;
use super::error::{BusError, refused_by_server};
use super::sequence::StreamSequence;
use super::stream::micros;
use super::subject::Subject;

/// A message as the stream holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// What it was published to.
    pub subject: Subject,
    /// Where it is in the stream.
    pub sequence: StreamSequence,
    /// When the server stored it: microseconds since 1970 in UTC.
    pub published_micros: i64,
    /// Names and values, in no particular order.
    pub headers: Vec<(String, String)>,
    /// The bytes as published.
    pub payload: Bytes,
}

impl StoredMessage {
    fn received(message: StreamMessage) -> Self {
        let headers = message.headers.iter();
        let headers =
            headers.flat_map(|(name, all)| all.iter().map(|value| (name.to_string(), value.as_str().to_owned())));
        Self {
            subject: Subject::received(message.subject),
            sequence: StreamSequence(message.sequence),
            published_micros: micros(message.time),
            headers: headers.collect(),
            payload: message.payload,
        }
    }

    /// The first value of a header; names are compared exactly.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Bus {
    /// The newest message on the subject (wildcards allowed) that the stream holds, if it holds any.
    ///
    /// # Errors
    /// [`BusError::StreamNotFound`], or [`BusError::JetStream`] when the server doesn't answer.
    pub async fn last_message(&self, stream: &str, subject: &Subject) -> Result<Option<StoredMessage>, BusError> {
        let handle = self
            .jetstream()
            .get_stream_no_info(stream)
            .await
            .map_err(|error| refused_by_server("read", stream, &error))?;
        found(stream, handle.get_last_raw_message_by_subject(subject.as_str()).await)
    }

    /// The message at a position, if the stream has one there.
    ///
    /// # Errors
    /// [`BusError::StreamNotFound`], or [`BusError::JetStream`] when the server doesn't answer.
    pub async fn message_at(&self, stream: &str, sequence: StreamSequence) -> Result<Option<StoredMessage>, BusError> {
        let handle = self
            .jetstream()
            .get_stream_no_info(stream)
            .await
            .map_err(|error| refused_by_server("read", stream, &error))?;
        found(stream, handle.get_raw_message(sequence.0).await)
    }
}

fn found(stream: &str, answer: Result<StreamMessage, LastRawMessageError>) -> Result<Option<StoredMessage>, BusError> {
    let error = match answer {
        Ok(message) => return Ok(Some(StoredMessage::received(message))),
        Err(error) => error,
    };
    match error.kind() {
        LastRawMessageErrorKind::NoMessageFound => Ok(None),
        LastRawMessageErrorKind::JetStream(refused) if refused.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            Err(BusError::StreamNotFound { stream: stream.to_owned() })
        }
        _ => Err(refused_by_server("read", stream, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{Outgoing, testing};

    #[tokio::test]
    async fn the_newest_message_on_a_subject_comes_back_with_its_headers() {
        let (server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("OUT", "out.>")).await.unwrap();
        let marker = Subject::new("out.marker").unwrap();
        assert_eq!(bus.last_message("OUT", &marker).await.unwrap(), None);

        let mut publisher = bus.publisher(8).await.unwrap();
        for epoch in ["1", "2"] {
            let message = Outgoing::new(marker.clone(), Bytes::from(epoch)).header("Epoch", epoch);
            publisher.publish(message).await.unwrap();
        }
        publisher.settle().await.unwrap();
        let found = bus.last_message("OUT", &marker).await.unwrap().unwrap();
        assert_eq!((found.header("Epoch"), &found.payload[..]), (Some("2"), &b"2"[..]));
        assert_eq!(found.sequence, StreamSequence(2));
        assert!(found.published_micros > 1_700_000_000_000_000);

        let error = bus.last_message("NOWHERE", &marker).await.unwrap_err();
        assert!(matches!(error, BusError::StreamNotFound { .. }), "{error}");
        server.stop().await.unwrap();
    }
}
