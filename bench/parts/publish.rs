//! Messages with ids published to a stream in files until each is known to be stored, by our publishers and by the client
//! library, which has no atomic batches.
//!
//! Ours sends a message again when no answer comes, under its id and in order; with the library that is left to the caller.
//! Messages of atomic batches carry no ids: a batch is stored once because it says where the stream must end before it.

use std::collections::VecDeque;

use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use serde_json::{Map, Value};
use tidewheel::bus::{Outgoing, StreamSequence, Subject};

use super::broker::{Broker, MESSAGE_BYTES};
use super::report::{Comparison, Gives, Watch, Way};

const MESSAGES: usize = 200_000;
const STREAM: &str = "PARTS_PUBLISH";
const SUBJECT: &str = "parts.publish";
/// Messages on the way at most.
const OUTSTANDING: usize = 1_000;
/// The most that the server takes in one batch.
const BATCH: usize = 1_000;
/// As a pipeline's outputs.
const BATCHES_IN_FLIGHT: usize = 4;
static PAYLOAD: [u8; MESSAGE_BYTES] = [b'x'; MESSAGE_BYTES];

/// Publishes all messages and waits until they are stored.
type Publish = fn(&Broker) -> BoxFuture<'_, ()>;

pub(crate) async fn compare(rounds: usize, figures: &mut Map<String, Value>) {
    let broker = Broker::start().await;
    let mut comparison = Comparison::new("publish", "messages", MESSAGES, ways());
    for round in 0..=rounds {
        for (way, run) in comparison.turns(round) {
            broker.fresh_stream(STREAM, SUBJECT, true).await;
            let watch = Watch::start();
            run(&broker).await;
            comparison.took(round, way, &watch);
            assert_eq!(broker.bus.stream_state(STREAM).await.unwrap().messages, MESSAGES as u64);
        }
    }
    comparison.report(figures);
    broker.stop().await;
}

fn ways() -> Vec<Way<Publish>> {
    vec![
        Way {
            key: "publisher",
            gives: Gives::Ours,
            description: "1,000 outstanding, sent again without an answer",
            run: |broker| publisher(broker).boxed(),
        },
        Way {
            key: "atomic_publisher",
            gives: Gives::Ours,
            description: "batches of 1,000 stored whole or not at all, 4 on the way, no ids",
            run: |broker| atomic_publisher(broker).boxed(),
        },
        Way {
            key: "client_oldest",
            gives: Gives::Less,
            description: "1,000 outstanding, the oldest answer awaited first; nothing sent again",
            run: |broker| client_oldest(broker).boxed(),
        },
        Way {
            key: "client_unordered",
            gives: Gives::Less,
            description: "1,000 outstanding in `FuturesUnordered`; nothing sent again",
            run: |broker| client_unordered(broker).boxed(),
        },
    ]
}

fn outgoing() -> Outgoing {
    Outgoing::new(Subject::new(SUBJECT).unwrap(), Bytes::from_static(&PAYLOAD))
}

async fn publisher(broker: &Broker) {
    let message = outgoing();
    let mut publisher = broker.bus.publisher(OUTSTANDING).await.unwrap();
    for number in 0..MESSAGES {
        publisher.publish(message.clone().message_id(number.to_string())).await.unwrap();
    }
    publisher.settle().await.unwrap();
}

async fn atomic_publisher(broker: &Broker) {
    let message = outgoing();
    let mut publisher =
        broker.bus.atomic_publisher(STREAM, StreamSequence::default(), BATCHES_IN_FLIGHT).await.unwrap();
    for _ in 0..MESSAGES / BATCH {
        publisher.send(vec![message.clone(); BATCH]).await.unwrap();
    }
    publisher.settle().await.unwrap();
}

async fn send(broker: &Broker, number: usize) -> PublishAckFuture {
    let payload = Bytes::from_static(&PAYLOAD);
    let message = PublishMessage::build().payload(payload).message_id(number.to_string());
    broker.jetstream.send_publish(SUBJECT, message).await.unwrap()
}

async fn client_oldest(broker: &Broker) {
    let mut waiting = VecDeque::with_capacity(OUTSTANDING);
    for number in 0..MESSAGES {
        if waiting.len() == OUTSTANDING {
            let oldest: PublishAckFuture = waiting.pop_front().unwrap();
            oldest.await.unwrap();
        }
        waiting.push_back(send(broker, number).await);
    }
    for answer in waiting {
        answer.await.unwrap();
    }
}

async fn client_unordered(broker: &Broker) {
    let mut waiting: FuturesUnordered<<PublishAckFuture as IntoFuture>::IntoFuture> = FuturesUnordered::new();
    for number in 0..MESSAGES {
        if waiting.len() == OUTSTANDING {
            waiting.next().await.unwrap().unwrap();
        }
        let answer = send(broker, number).await;
        waiting.push(answer.into_future());
    }
    while let Some(answer) = waiting.next().await {
        answer.unwrap();
    }
}
