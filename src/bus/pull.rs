//! The pull protocol: one short-lived consumer, its requests and what comes back.
//!
//! ```text
//!   us  ──▶ CONSUMER.CREATE from sequence n, no acknowledgements
//!   us  ──▶ MSG.NEXT: up to `batch` messages to our inbox       (again when half of them have arrived)
//!   us  ◀── messages, numbered by the consumer from 1 ...        a jump: one was lost on the way
//!   us  ◀── 100 idle heartbeat | 408, 409 request over, k not sent | anything else: the consumer is of no use
//! ```
//!
//! A [`Pull`] never recovers: it reports a [`Loss`] and is replaced. That is the reader's decision.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::ConsumerErrorKind;
use async_nats::{HeaderMap, HeaderValue, StatusCode, Subscriber};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use serde::Serialize;

use super::bus::Bus;
use super::delivery::{Delivery, Encoding, Message};
use super::error::{BusError, refused_by_server};
use super::sequence::StreamSequence;
use super::sources::SOURCE;
use super::subject::Subject;

/// The server says so when it has nothing for this long.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Silence for longer than this means that the server has forgotten the request.
const SILENCE: Duration = Duration::from_secs(5);

/// A request that is not used up ends after this.
const REQUEST_EXPIRES: Duration = Duration::from_secs(30);

/// The server deletes the consumer when nobody has asked it for this long.
const CONSUMER_EXPIRES: Duration = Duration::from_secs(60);

/// What one request may bring at most: with two requests on the way, the bound of what is read ahead.
const REQUEST_BYTES: usize = 32 << 20;

/// One consumer on the server and the messages it sends.
pub(super) struct Pull {
    client: async_nats::Client,
    messages: Subscriber,
    inbox: async_nats::Subject,
    next: async_nats::Subject,
    request: Bytes,
    batch: usize,
    outstanding: usize,
    delivered: u64,
    tells_sources: bool,
}

/// What a consumer is to bring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Messages from here on...
    pub(super) from: StreamSequence,
    /// ...on these subjects; on all where there is none.
    pub(super) subjects: &'a [Subject],
    /// For how long the stream lets a consumer be idle at most, where it says so.
    pub(super) kept_for: Option<Duration>,
    /// Whether it is to be said of each message from which stream its own has it.
    pub(super) tells_sources: bool,
}

/// What one step of receiving brought.
pub(super) enum Arrival {
    /// A message and where it is.
    /// And from which stream its own has it, where that is asked for.
    Message(Message, Option<HeaderValue>),
    /// Something of the protocol; receive again.
    Other,
}

/// Why a consumer is of no use any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// A message was lost between server and us.
    Gap { expected: u64, found: u64 },
    /// Not even heartbeats arrive.
    Silence,
    /// The server ended it.
    Ended(String),
    /// The connection was closed.
    Closed,
}

#[derive(Serialize)]
struct Request {
    batch: usize,
    max_bytes: usize,
    expires: u64,
    idle_heartbeat: u64,
}

impl Pull {
    /// Creates a consumer of a stream. `batch` is how many messages one request asks for.
    pub(super) async fn open(bus: &Bus, stream: &str, wanted: Wanted<'_>, batch: usize) -> Result<Self, BusError> {
        let client = bus.client().clone();
        // One is named in the question's subject, so that permissions can be given for it.
        let (filter_subject, filter_subjects) = match wanted.subjects {
            [only] => (only.as_str().to_owned(), Vec::new()),
            several => (String::new(), several.iter().map(|subject| subject.as_str().to_owned()).collect()),
        };
        let config = pull::Config {
            ack_policy: AckPolicy::None,
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: wanted.from.0.max(1) },
            inactive_threshold: wanted.kept_for.map_or(CONSUMER_EXPIRES, |most| most.min(CONSUMER_EXPIRES)),
            filter_subject,
            filter_subjects,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer =
            bus.jetstream().create_consumer_on_stream(config, stream).await.map_err(|error| match error.kind() {
                ConsumerErrorKind::JetStream(refused) if refused.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    BusError::StreamNotFound { stream: stream.to_owned() }
                }
                _ => refused_by_server("read", stream, &error),
            })?;
        let inbox = async_nats::Subject::from(client.new_inbox());
        let messages = client.subscribe(inbox.clone()).await.map_err(|_| BusError::Closed)?;
        let request = Request {
            batch,
            max_bytes: REQUEST_BYTES.max(2 * client.max_payload()),
            expires: REQUEST_EXPIRES.as_nanos() as u64,
            idle_heartbeat: HEARTBEAT.as_nanos() as u64,
        };
        let request = serde_json::to_vec(&request).map_err(|error| refused_by_server("read", stream, &error))?;
        let name = &consumer.cached_info().name;
        Ok(Self {
            next: format!("{}.CONSUMER.MSG.NEXT.{stream}.{name}", bus.api().prefix()).into(),
            client,
            messages,
            inbox,
            request: request.into(),
            batch,
            outstanding: 0,
            delivered: 0,
            tells_sources: wanted.tells_sources,
        })
    }

    /// Asks for more when half of what was asked for has arrived.
    pub(super) async fn refill(&mut self) -> Result<(), Loss> {
        if self.outstanding > self.batch / 2 {
            return Ok(());
        }
        self.client
            .publish_with_reply(self.next.clone(), self.inbox.clone(), self.request.clone())
            .await
            .map_err(|_| Loss::Closed)?;
        self.outstanding += self.batch;
        Ok(())
    }

    /// Waits for something to arrive. May be cancelled without losing anything.
    pub(super) async fn receive(&mut self) -> Result<Arrival, Loss> {
        match tokio::time::timeout(SILENCE, self.messages.next()).await {
            Ok(Some(message)) => self.take(message),
            Ok(None) => Err(Loss::Closed),
            Err(_) => Err(Loss::Silence),
        }
    }

    /// What has already arrived, or `None`.
    pub(super) fn receive_ready(&mut self) -> Result<Option<Arrival>, Loss> {
        // Without this, tokio's fairness budget says "nothing there" after 128 messages.
        let ready = tokio::task::unconstrained(self.messages.next()).now_or_never();
        match ready {
            Some(Some(message)) => self.take(message).map(Some),
            Some(None) => Err(Loss::Closed),
            None => Ok(None),
        }
    }

    fn take(&mut self, message: async_nats::Message) -> Result<Arrival, Loss> {
        if let Some(status) = message.status {
            return self.take_status(status, message.headers.as_ref(), message.description.as_deref());
        }
        let Some(delivery) = message.reply.as_deref().and_then(Delivery::parse) else {
            return Ok(Arrival::Other);
        };
        self.outstanding = self.outstanding.saturating_sub(1);
        let expected = self.delivered + 1;
        if delivery.consumer != expected {
            return Err(Loss::Gap { expected, found: delivery.consumer });
        }
        self.delivered = delivery.consumer;
        let headers = message.headers.as_ref();
        let source = headers.filter(|_| self.tells_sources).and_then(|headers| headers.get(SOURCE)).cloned();
        let message = Message {
            encoding: Encoding::of(headers),
            payload: message.payload,
            sequence: delivery.stream,
            published_micros: delivery.published_micros,
            subject: Subject::received(message.subject),
        };
        Ok(Arrival::Message(message, source))
    }

    fn take_status(
        &mut self,
        status: StatusCode,
        headers: Option<&HeaderMap>,
        description: Option<&str>,
    ) -> Result<Arrival, Loss> {
        if status == StatusCode::IDLE_HEARTBEAT {
            return Ok(Arrival::Other);
        }
        // A request that merely ended says how many messages it still owed; everything else is about the consumer.
        let owed = headers.and_then(|headers| headers.get("Nats-Pending-Messages")?.as_str().parse::<usize>().ok());
        match owed {
            Some(owed) => {
                self.outstanding = self.outstanding.saturating_sub(owed);
                Ok(Arrival::Other)
            }
            None => Err(Loss::Ended(format!("{status} {}", description.unwrap_or_default()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::Signal;

    use super::*;
    use crate::bus::testing;

    const EVERYTHING: Wanted<'static> =
        Wanted { from: StreamSequence::FIRST, subjects: &[], kept_for: None, tells_sources: false };

    #[tokio::test]
    async fn a_message_lost_on_the_way_is_noticed() {
        let (server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
        let mut pull = Pull::open(&bus, "CLICKS", EVERYTHING, 16).await.unwrap();
        // As if the consumer's first message had been lost and the second had arrived.
        let second = async_nats::Message {
            subject: "clicks.a".into(),
            reply: Some("$JS.ACK.CLICKS.c.1.2.2.1700000000000000000.0".into()),
            payload: Bytes::new(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        };
        let loss = pull.take(second).err();
        assert_eq!(loss, Some(Loss::Gap { expected: 1, found: 2 }));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_at_all_is_noticed() {
        let (server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
        let mut pull = Pull::open(&bus, "CLICKS", EVERYTHING, 16).await.unwrap();
        pull.refill().await.unwrap();
        bus.flush().await.unwrap();
        assert!(pull.receive().await.is_ok(), "no heartbeat");
        server.signal(Signal::STOP);
        let loss = loop {
            if let Err(loss) = pull.receive().await {
                break loss;
            }
        };
        assert_eq!(loss, Loss::Silence);
        server.signal(Signal::CONT);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_request_that_is_used_up_by_bytes_is_made_again() {
        let (server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
        testing::publish_numbers(&bus, "clicks.a", 0..50).await;
        let mut pull = Pull::open(&bus, "CLICKS", EVERYTHING, 16).await.unwrap();
        pull.request = Bytes::from_static(br#"{"batch":16,"max_bytes":400,"expires":30000000000}"#);
        let mut received = 0;
        while received < 50 {
            pull.refill().await.unwrap();
            if let Arrival::Message(message, _) = pull.receive().await.unwrap() {
                received += 1;
                assert_eq!(message.sequence, StreamSequence(received));
            }
        }
        server.stop().await.unwrap();
    }
}
