//! Listening on core subjects: best effort, for dashboards, demos and tests.

use async_nats::Subscriber;
use bytes::Bytes;
use futures::StreamExt;

use super::subject::Subject;

/// What a subscriber hears, as long as it listens.
///
/// At most 65,536 messages wait for it; what arrives beyond that is dropped and counted by
/// [`Bus::dropped_messages`](super::Bus::dropped_messages).
pub struct Subscription {
    messages: Subscriber,
}

/// A message heard on a core subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What it was sent to.
    pub subject: Subject,
    /// The bytes as sent.
    pub payload: Bytes,
}

impl Subscription {
    pub(super) fn new(messages: Subscriber) -> Self {
        Self { messages }
    }

    /// The next message, or `None` when the connection was closed. May be cancelled without losing a message.
    pub async fn next(&mut self) -> Option<Received> {
        let message = self.messages.next().await?;
        Some(Received { subject: Subject::received(message.subject), payload: message.payload })
    }
}
