//! Listening on core subjects: best effort, for dashboards, demos and tests.

use async_nats::Subscriber;
use bytes::Bytes;
use futures::StreamExt;

use super::bus::Bus;
use super::error::BusError;
use super::subject::Subject;

/// What a subscriber hears, as long as it listens.
///
/// At most 65,536 messages wait for it; what arrives beyond that is dropped, which the log tells.
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

impl Bus {
    /// Listens on a core subject, wildcards allowed, from now on: for what may be missed.
    ///
    /// # Errors
    /// [`BusError::Closed`] when the connection is closed.
    pub async fn subscribe(&self, subject: &Subject) -> Result<Subscription, BusError> {
        let messages = self.client().subscribe(subject.to_client()).await.map_err(|_| BusError::Closed)?;
        Ok(Subscription { messages })
    }
}

impl Subscription {
    /// The next message, or `None` when the connection was closed. May be cancelled without losing a message.
    pub async fn next(&mut self) -> Option<Received> {
        let message = self.messages.next().await?;
        Some(Received { subject: Subject::received(message.subject), payload: message.payload })
    }
}
