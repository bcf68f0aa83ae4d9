//! How fast batches are, for a person to look at.

use std::time::Duration;

use tokio::time::Instant;

use crate::bus::{Outgoing, StreamSequence, StreamSpec, Subject, testing};

const BYTES: usize = 200;

/// Run by hand for figures: `cargo test --release --lib speed_of_batches -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a check"]
async fn speed_of_batches() {
    const BATCHES: usize = 200;
    let (server, bus) = testing::server().await;
    bus.ensure_stream(&StreamSpec { atomic: true, ..testing::spec("OUT", "out.>") }).await.unwrap();
    bus.ensure_stream(&testing::spec("PLAIN", "plain.>")).await.unwrap();
    let plain = Outgoing::new(Subject::new("plain.a").unwrap(), vec![b'x'; BYTES].into());
    let batched = Outgoing::new(Subject::new("out.a").unwrap(), vec![b'x'; BYTES].into());
    for _ in 0..2 {
        let mut publisher = bus.publisher(4096).await.unwrap();
        let started = Instant::now();
        for _ in 0..BATCHES * 990 {
            publisher.publish(plain.clone()).await.unwrap();
        }
        publisher.settle().await.unwrap();
        println!("one by one, 4,096 outstanding: {:.0} messages/s", rate(BATCHES * 990, started));
        for in_flight in [1, 2, 4, 8] {
            let mut last = bus.stream_state("OUT").await.unwrap().last;
            let mut publisher = bus.atomic_publisher("OUT", last, in_flight).await.unwrap();
            let started = Instant::now();
            for _ in 0..BATCHES {
                publisher.send(vec![batched.clone(); 990]).await.unwrap();
            }
            publisher.settle().await.unwrap();
            println!("batches of 990, {in_flight} in flight: {:.0} messages/s", rate(BATCHES * 990, started));
            last = StreamSequence(last.0 + (BATCHES * 990) as u64);
            assert_eq!(publisher.end(), last);
        }
    }
    let last = bus.stream_state("OUT").await.unwrap().last;
    let mut publisher = bus.atomic_publisher("OUT", last, 1).await.unwrap();
    for size in [1, 10, 100, 990] {
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..200 {
            let started = Instant::now();
            publisher.send(vec![batched.clone(); size]).await.unwrap();
            publisher.settle().await.unwrap();
            times.push(started.elapsed());
        }
        times.sort_unstable();
        println!("a batch of {size}: p50 {:?}, p99 {:?}", times[100], times[198]);
    }
    server.stop().await.unwrap();
}

fn rate(messages: usize, since: Instant) -> f64 {
    messages as f64 / since.elapsed().as_secs_f64()
}
