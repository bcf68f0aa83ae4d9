//! How fast publishing and reading are, for a person to look at.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;

use super::{Outgoing, ReadLimits, StreamSequence, Subject, testing};

/// Run by hand for figures: `cargo test --release --lib speed_of -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a check"]
async fn speed_of_publishing_and_reading() {
    const MESSAGES: u64 = 500_000;
    let (server, bus) = testing::server().await;
    bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
    let subject = Subject::new("clicks.a").unwrap();
    for ids in [false, true] {
        let mut publisher = bus.publisher(1000).await.unwrap();
        let started = Instant::now();
        for number in 0..MESSAGES {
            let mut message = Outgoing::new(subject.clone(), vec![b'x'; 256].into());
            message.message_id = ids.then(|| number.to_string());
            publisher.publish(message).await.unwrap();
        }
        publisher.settle().await.unwrap();
        let rate = MESSAGES as f64 / started.elapsed().as_secs_f64();
        println!("published with ids {ids}: {rate:.0} messages/s");
    }
    for rows in [256, 4096, 8192] {
        let limits = ReadLimits { rows, linger: Duration::ZERO };
        let mut reader = bus.reader("CLICKS", StreamSequence::FIRST, limits);
        let (mut batch, mut read, mut batches) = (Vec::new(), 0, 0);
        let started = Instant::now();
        while read < 2 * MESSAGES as usize {
            reader.read_into(&mut batch).await.unwrap();
            read += batch.len();
            batches += 1;
        }
        let rate = read as f64 / started.elapsed().as_secs_f64();
        println!("read with rows {rows}: {rate:.0} messages/s, {} a batch", read / batches);
    }
    // For comparison.
    let stream = bus.jetstream().get_stream("CLICKS").await.unwrap();
    let config = async_nats::jetstream::consumer::pull::OrderedConfig::default();
    let mut ordered = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
    let started = Instant::now();
    for _ in 0..2 * MESSAGES {
        ordered.next().await.unwrap().unwrap();
    }
    let rate = 2.0 * MESSAGES as f64 / started.elapsed().as_secs_f64();
    println!("the client's ordered consumer: {rate:.0} messages/s");
    server.stop().await.unwrap();
}
