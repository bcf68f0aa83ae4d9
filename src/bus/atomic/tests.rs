use std::time::Duration;

use bytes::Bytes;
use rustix::process::Signal;
use tokio::time::Instant;

use super::AtomicPublisher;
use crate::bus::testing::{self, TestServer};
use crate::bus::{Bus, BusError, Outgoing, ReadLimits, StreamSequence, StreamSpec, Subject};

const TAKE_ALL: ReadLimits = ReadLimits { rows: 1000, linger: Duration::ZERO };

fn spec() -> StreamSpec {
    StreamSpec { atomic: true, ..testing::spec("OUT", "out.>") }
}

async fn server() -> (TestServer, Bus) {
    let (server, bus) = testing::server().await;
    bus.ensure_stream(&spec()).await.unwrap();
    (server, bus)
}

async fn publisher(bus: &Bus, last: u64, in_flight: usize) -> AtomicPublisher {
    bus.atomic_publisher("OUT", StreamSequence(last), in_flight).await.unwrap()
}

/// Messages that are the numbers as text.
fn batch(numbers: std::ops::Range<u64>) -> Vec<Outgoing> {
    let subject = Subject::new("out.a").unwrap();
    numbers.map(|number| Outgoing::new(subject.clone(), Bytes::from(number.to_string()))).collect()
}

/// Everything that the stream holds; fails when it isn't `count` messages.
async fn stored(bus: &Bus, count: u64) -> Vec<u64> {
    let state = bus.stream_state("OUT").await.unwrap();
    assert_eq!((state.messages, state.last), (count, StreamSequence(count)));
    let mut reader = bus.reader("OUT", StreamSequence::FIRST, TAKE_ALL);
    testing::read_numbers(&mut reader, count as usize).await
}

#[tokio::test]
async fn batches_are_stored_in_order_and_given_out_in_order() {
    let (server, bus) = server().await;
    let mut publisher = publisher(&bus, 0, 4).await;
    assert_eq!(publisher.committed().await.unwrap(), None);
    let (mut ends, mut next) = (Vec::new(), 0);
    for size in (1..=40).chain([1000, 1, 999]) {
        publisher.send(batch(next..next + size)).await.unwrap();
        next += size;
        ends.push(StreamSequence(next));
        assert!(publisher.outstanding() <= 4);
    }
    for end in ends {
        assert_eq!(publisher.committed().await.unwrap(), Some(end));
    }
    assert_eq!((publisher.committed().await.unwrap(), publisher.outstanding()), (None, 0));
    assert_eq!(stored(&bus, next).await, (0..next).collect::<Vec<_>>());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_the_stream_never_takes_is_refused_before_anything_is_sent() {
    let (server, bus) = server().await;
    let mut publisher = publisher(&bus, 0, 4).await;
    let other = Outgoing::new(Subject::new("other").unwrap(), Bytes::new());
    let large = Outgoing::new(Subject::new("out.a").unwrap(), vec![0; 2 << 20].into());
    for messages in [Vec::new(), batch(0..1001), vec![other]] {
        let error = publisher.send(messages).await.unwrap_err();
        assert!(matches!(error, BusError::BatchRefused { .. }), "{error}");
    }
    let error = publisher.send(vec![large]).await.unwrap_err();
    assert!(matches!(error, BusError::TooLarge { .. }), "{error}");
    publisher.send(batch(0..2)).await.unwrap();
    assert_eq!(publisher.settle().await.unwrap(), StreamSequence(2), "and what it takes is stored");
    assert_eq!(stored(&bus, 2).await, [0, 1]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_without_atomic_batches_and_a_missing_one_are_refused() {
    let (server, bus) = testing::server().await;
    bus.ensure_stream(&testing::spec("PLAIN", "plain.>")).await.unwrap();
    let error = bus.atomic_publisher("PLAIN", StreamSequence(0), 1).await.err().unwrap();
    insta::assert_snapshot!(
        error,
        @r#"stream "PLAIN" cannot take the batch: it does not allow atomic batches; set allow_atomic"#
    );
    let error = bus.atomic_publisher("NOWHERE", StreamSequence(0), 1).await.err().unwrap();
    assert!(matches!(error, BusError::StreamNotFound { .. }), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_that_the_streams_own_limit_refuses_ends_its_batch() {
    let (server, bus) = testing::server().await;
    bus.ensure_stream(&StreamSpec { max_message_bytes: Some(1000), ..spec() }).await.unwrap();
    let mut publisher = publisher(&bus, 0, 4).await;
    let mut messages = batch(0..3);
    messages.insert(1, Outgoing::new(Subject::new("out.a").unwrap(), vec![0; 2000].into()));
    publisher.send(messages).await.unwrap();
    let error = publisher.settle().await.unwrap_err();
    assert!(matches!(error, BusError::BatchRefused { .. }), "{error}");
    assert_eq!(bus.stream_state("OUT").await.unwrap().messages, 0);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn of_two_writers_one_is_fenced_and_nothing_of_its_batch_is_there() {
    let (server, bus) = server().await;
    let (mut first, mut second) = (publisher(&bus, 0, 4).await, publisher(&bus, 0, 4).await);
    first.send(batch(0..10)).await.unwrap();
    first.settle().await.unwrap();
    second.send(batch(100..110)).await.unwrap();
    second.send(batch(110..113)).await.unwrap();
    let error = second.settle().await.unwrap_err();
    insta::assert_snapshot!(
        error,
        @r#"stream "OUT" ends at 10, and what is behind 0 is not ours: somebody else writes to the stream"#
    );
    assert!(matches!(second.committed().await, Err(BusError::Fenced { .. })), "it stays fenced");
    first.send(batch(10..12)).await.unwrap();
    first.settle().await.unwrap();
    assert_eq!(stored(&bus, 12).await, (0..12).collect::<Vec<_>>());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_batch_of_another_writer_that_is_as_long_as_ours_does_not_let_our_next_one_pass() {
    let (server, bus) = server().await;
    for round in 0..50 {
        let last = bus.stream_state("OUT").await.unwrap().last.0;
        let (mut first, mut second) = (publisher(&bus, last, 8).await, publisher(&bus, last, 8).await);
        for part in 0..4 {
            first.send(batch(last + part * 5..last + part * 5 + 5)).await.unwrap();
            second.send(batch(last + part * 5..last + part * 5 + 5)).await.unwrap();
        }
        let (one, other) = tokio::join!(first.settle(), second.settle());
        let (winner, loser) = if one.is_ok() { (first, other) } else { (second, one) };
        assert!(matches!(loser, Err(BusError::Fenced { .. })), "round {round}: {loser:?}");
        let written = bus.stream_state("OUT").await.unwrap().last;
        assert_eq!(written, winner.end());
        for sequence in last + 1..=written.0 {
            let message = bus.message_at("OUT", StreamSequence(sequence)).await.unwrap().unwrap();
            assert!(message.header("Nats-Batch-Id").unwrap().starts_with(winner.id()), "round {round}");
        }
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_batch_whose_answer_is_lost_is_found_to_be_stored() {
    let (server, bus) = server().await;
    let mut publisher = publisher(&bus, 0, 4).await.answer_wait(Duration::from_millis(100));
    publisher.deaf().await;
    for number in 0..3 {
        publisher.send(batch(number * 10..number * 10 + 10)).await.unwrap();
    }
    assert_eq!(publisher.settle().await.unwrap(), StreamSequence(30));
    assert_eq!(stored(&bus, 30).await, (0..30).collect::<Vec<_>>());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_paused_past_every_time_out_stores_each_batch_once() {
    let (server, bus) = server().await;
    let mut publisher = publisher(&bus, 0, 3).await.answer_wait(Duration::from_millis(50));
    server.signal(Signal::STOP);
    let mut sent = 0;
    while publisher.has_room() {
        publisher.send(batch(sent..sent + 50)).await.unwrap();
        sent += 50;
    }
    assert!(tokio::time::timeout(Duration::from_millis(400), publisher.settle()).await.is_err());
    server.signal(Signal::CONT);
    publisher.send(batch(sent..sent + 50)).await.unwrap();
    publisher.settle().await.unwrap();
    assert_eq!(stored(&bus, sent + 50).await, (0..sent + 50).collect::<Vec<_>>());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_killed_under_load_loses_nothing_and_stores_nothing_twice_or_in_part() {
    let (mut server, bus) = server().await;
    let mut publisher = publisher(&bus, 0, 4).await.answer_wait(Duration::from_millis(500));
    let mut next = 0;
    for kill in 0..20_u64 {
        let until = next + 8_000;
        let publish = async {
            while next < until {
                let size = 1 + (next * 7 + kill) % 500;
                publisher.send(batch(next..next + size)).await.unwrap();
                next += size;
            }
        };
        let kill = async {
            let before = bus.stream_state("OUT").await.unwrap().last.0;
            while bus.stream_state("OUT").await.unwrap().last.0 < before + 500 + kill * 300 {}
            server.signal(Signal::KILL);
            server.server.restart().await.unwrap();
        };
        tokio::join!(publish, kill);
    }
    publisher.settle().await.unwrap();
    assert_eq!(stored(&bus, next).await, (0..next).collect::<Vec<_>>());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_full_stream_is_waited_for_and_takes_whole_batches_once_there_is_room() {
    let (server, bus) = testing::server().await;
    bus.ensure_stream(&StreamSpec { max_bytes: Some(100_000), ..spec() }).await.unwrap();
    let mut publisher = publisher(&bus, 0, 2).await;
    let subject = Subject::new("out.a").unwrap();
    let large = |number: u64| Outgoing::new(subject.clone(), vec![number as u8; 1000].into());
    for number in 0..12 {
        let sent =
            tokio::time::timeout(Duration::from_millis(300), publisher.send((0..20).map(|_| large(number)).collect()));
        if sent.await.is_err() {
            break;
        }
    }
    assert!(tokio::time::timeout(Duration::from_millis(500), publisher.settle()).await.is_err(), "it is full");
    let full = bus.stream_state("OUT").await.unwrap();
    println!("full at {full:?}");
    let began = Instant::now();
    let handle = bus.jetstream().get_stream("OUT").await.unwrap();
    handle.purge().await.unwrap();
    publisher.settle().await.unwrap();
    println!("went on after {:?}", began.elapsed());
    let last = bus.stream_state("OUT").await.unwrap().last;
    assert_eq!((last, last.0 % 20), (publisher.end(), 0));
    server.stop().await.unwrap();
}
