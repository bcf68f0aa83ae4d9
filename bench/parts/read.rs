//! One stream read from its first message to its last, by our reader and by the client library's consumers.
//!
//! All acknowledge nothing: the position is the reader's own. The library's ordered consumer, like our reader, begins again
//! where it was when a message is lost on the way; its plain one does not look. Ours also notices a stream that is not the
//! one that was read, and counts what the stream no longer holds.

use std::fmt::Debug;
use std::hint::black_box;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use serde_json::{Map, Value};
use tidewheel::bus::{Outgoing, ReadLimits, StreamSequence, Subject};

use super::broker::{Broker, MESSAGE_BYTES};
use super::report::{Comparison, Gives, Watch, Way};

const MESSAGES: usize = 500_000;
const STREAM: &str = "PARTS_READ";
/// Rows of a step of a pipeline.
const ROWS: usize = 4_096;
/// What our reader asks the server for at a time when a step has so many rows.
const REQUEST: usize = 2 * ROWS;

/// Reads all messages and returns how many there were.
type Read = fn(&Broker) -> BoxFuture<'_, usize>;

pub(crate) async fn compare(rounds: usize, figures: &mut Map<String, Value>) {
    let broker = Broker::start().await;
    broker.fresh_stream(STREAM, "parts.read", false).await;
    fill(&broker).await;
    let mut comparison = Comparison::new("read", "messages", MESSAGES, ways());
    for round in 0..=rounds {
        for (way, run) in comparison.turns(round) {
            let watch = Watch::start();
            let read = run(&broker).await;
            comparison.took(round, way, &watch);
            assert_eq!(read, MESSAGES);
        }
    }
    comparison.report(figures);
    broker.stop().await;
}

fn ways() -> Vec<Way<Read>> {
    vec![
        Way {
            key: "reader",
            gives: Gives::Ours,
            description: "batches in order, with sequence and time",
            run: |broker| reader(broker).boxed(),
        },
        Way {
            key: "client_pull",
            gives: Gives::Less,
            description: "`consumer.messages()`, 200 a request; sequence and time not read, a lost message not noticed",
            run: |broker| client_pull(broker, None, false).boxed(),
        },
        Way {
            key: "client_pull_8192",
            gives: Gives::Less,
            description: "the same, 8,192 a request as ours",
            run: |broker| client_pull(broker, Some(REQUEST), false).boxed(),
        },
        Way {
            key: "client_pull_8192_info",
            gives: Gives::Less,
            description: "the same, sequence and time read",
            run: |broker| client_pull(broker, Some(REQUEST), true).boxed(),
        },
        Way {
            key: "client_ordered",
            gives: Gives::Less,
            description: "the ordered consumer, always 500 a request; sequence and time not given",
            run: |broker| client_ordered(broker, false).boxed(),
        },
        Way {
            key: "client_ordered_info",
            gives: Gives::Same,
            description: "the same, sequence and time read",
            run: |broker| client_ordered(broker, true).boxed(),
        },
    ]
}

async fn fill(broker: &Broker) {
    let mut publisher = broker.bus.publisher(2_000).await.unwrap();
    let message = Outgoing::new(Subject::new("parts.read").unwrap(), vec![b'x'; MESSAGE_BYTES].into());
    for _ in 0..MESSAGES {
        publisher.publish(message.clone()).await.unwrap();
    }
    publisher.settle().await.unwrap();
}

async fn reader(broker: &Broker) -> usize {
    let limits = ReadLimits { rows: ROWS, linger: Duration::ZERO };
    let mut reader = broker.bus.reader(STREAM, StreamSequence::FIRST, limits);
    let (mut batch, mut read) = (Vec::new(), 0);
    while read < MESSAGES {
        reader.read_into(&mut batch).await.unwrap();
        read += black_box(&batch).len();
    }
    read
}

async fn client_pull(broker: &Broker, request: Option<usize>, info: bool) -> usize {
    let config = pull::Config {
        ack_policy: AckPolicy::None,
        memory_storage: true,
        num_replicas: 1,
        inactive_threshold: Duration::from_secs(60),
        ..pull::Config::default()
    };
    let consumer = broker.jetstream.create_consumer_on_stream(config, STREAM).await.unwrap();
    let messages = match request {
        None => consumer.messages().await,
        Some(request) => {
            consumer.stream().max_messages_per_batch(request).heartbeat(Duration::from_secs(15)).messages().await
        }
    };
    take(messages.unwrap(), info).await
}

async fn client_ordered(broker: &Broker, info: bool) -> usize {
    let config = pull::OrderedConfig::default();
    let consumer = broker.jetstream.create_consumer_on_stream(config, STREAM).await.unwrap();
    take(consumer.messages().await.unwrap(), info).await
}

/// Takes all messages one by one, and of each its sequence and time where that is wanted.
async fn take<E: Debug>(mut messages: impl Stream<Item = Result<jetstream::Message, E>> + Unpin, info: bool) -> usize {
    for _ in 0..MESSAGES {
        let message = messages.next().await.unwrap().unwrap();
        if info {
            let info = message.info().unwrap();
            black_box((info.stream_sequence, info.published));
        }
        black_box(&message);
    }
    MESSAGES
}
