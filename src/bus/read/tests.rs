use futures::TryStreamExt;
use rustix::process::Signal;

use super::*;
use crate::bus::testing;

const TAKE_ALL: ReadLimits = ReadLimits { rows: 1024, linger: Duration::ZERO };

#[tokio::test]
async fn every_message_comes_once_and_in_order_through_a_stopped_and_a_killed_server() {
    let (mut server, bus) = testing::server().await;
    bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
    testing::publish_numbers(&bus, "clicks.a", 0..6000).await;
    let mut reader = bus.reader("CLICKS", StreamSequence::FIRST, TAKE_ALL);
    let mut numbers = testing::read_numbers(&mut reader, 1500).await;

    server.server.restart().await.unwrap();
    testing::publish_numbers(&bus, "clicks.a", 6000..7000).await;
    numbers.extend(testing::read_numbers(&mut reader, 2000).await);

    server.signal(Signal::KILL);
    server.server.restart().await.unwrap();
    testing::publish_numbers(&bus, "clicks.a", 7000..8000).await;
    let rest = 8000 - numbers.len();
    numbers.extend(testing::read_numbers(&mut reader, rest).await);

    assert_eq!(numbers, (0..8000).collect::<Vec<_>>());
    assert_eq!((reader.take_missing(), reader.position()), (None, StreamSequence(8001)));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_reader_that_waits_at_the_end_survives_a_restart() {
    let (mut server, bus) = testing::server().await;
    bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
    testing::publish_numbers(&bus, "clicks.a", 0..1).await;
    let mut reader = bus.reader("CLICKS", StreamSequence::FIRST, TAKE_ALL);
    assert_eq!(testing::read_numbers(&mut reader, 1).await, [0]);
    let later = async {
        server.server.restart().await.unwrap();
        testing::publish_numbers(&bus, "clicks.a", 1..3).await;
    };
    let (numbers, ()) = tokio::join!(testing::read_numbers(&mut reader, 2), later);
    assert_eq!(numbers, [1, 2]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn reading_goes_on_when_its_consumer_is_deleted() {
    let (server, bus) = testing::server().await;
    bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
    testing::publish_numbers(&bus, "clicks.a", 0..10).await;
    let mut reader = bus.reader("CLICKS", StreamSequence::FIRST, TAKE_ALL);
    assert_eq!(testing::read_numbers(&mut reader, 10).await.len(), 10);
    let stream = bus.jetstream().get_stream("CLICKS").await.unwrap();
    let consumers: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
    for consumer in &consumers {
        stream.delete_consumer(consumer).await.unwrap();
    }
    assert_eq!(consumers.len(), 1);
    testing::publish_numbers(&bus, "clicks.a", 10..20).await;
    assert_eq!(testing::read_numbers(&mut reader, 10).await, (10..20).collect::<Vec<_>>());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn messages_that_the_stream_no_longer_has_are_counted_and_passed() {
    let (server, bus) = testing::server().await;
    bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
    testing::publish_numbers(&bus, "clicks.a", 0..20).await;
    let stream = bus.jetstream().get_stream("CLICKS").await.unwrap();
    for sequence in [1, 2, 3, 11, 12, 15] {
        stream.delete_message(sequence).await.unwrap();
    }
    let mut reader = bus.reader("CLICKS", StreamSequence::FIRST, TAKE_ALL);
    let numbers = testing::read_numbers(&mut reader, 14).await;
    assert_eq!(numbers, [3, 4, 5, 6, 7, 8, 9, 12, 13, 15, 16, 17, 18, 19]);
    assert_eq!(reader.position(), StreamSequence(21));
    let missing = Missing { first: StreamSequence(1), last: StreamSequence(15), messages: 6 };
    assert_eq!((reader.take_missing(), reader.take_missing()), (Some(missing), None));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_reader_of_one_subject_passes_the_others_and_misses_nothing() {
    let (server, bus) = testing::server().await;
    bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
    for number in 0..6 {
        testing::publish_numbers(&bus, if number % 2 == 0 { "clicks.a" } else { "clicks.b" }, number..number + 1).await;
    }
    let mut reader = bus.reader_of("CLICKS", &Subject::new("clicks.b").unwrap(), StreamSequence(3), TAKE_ALL);
    assert_eq!(testing::read_numbers(&mut reader, 2).await, [3, 5]);
    assert_eq!((reader.position(), reader.take_missing()), (StreamSequence(7), None));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_position_past_the_end_and_a_missing_stream_are_errors() {
    let (server, bus) = testing::server().await;
    bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
    testing::publish_numbers(&bus, "clicks.a", 0..2).await;
    let error = bus.reader("CLICKS", StreamSequence(9), TAKE_ALL).next_batch().await.unwrap_err();
    insta::assert_snapshot!(
        error,
        @r#"stream "CLICKS" ends at 2 but reading goes on from 9: the server lost messages, or is another one"#
    );
    let error = bus.reader("NOWHERE", StreamSequence::FIRST, TAKE_ALL).next_batch().await.unwrap_err();
    assert!(matches!(error, BusError::StreamNotFound { .. }), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_batch_ends_at_its_rows_or_when_nothing_more_comes_within_linger() {
    let (server, bus) = testing::server().await;
    bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
    testing::publish_numbers(&bus, "clicks.a", 0..10).await;
    let limits = ReadLimits { rows: 7, linger: Duration::from_millis(300) };
    let mut reader = bus.reader("CLICKS", StreamSequence::FIRST, limits);
    assert_eq!(reader.next_batch().await.unwrap().len(), 7);
    assert_eq!(reader.next_batch().await.unwrap().len(), 3);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_cancelled_read_loses_nothing() {
    let (server, bus) = testing::server().await;
    bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
    testing::publish_numbers(&bus, "clicks.a", 0..100).await;
    // A batch that never fills: each read is cancelled while it lingers with messages in hand.
    let limits = ReadLimits { rows: 1000, linger: Duration::from_secs(3600) };
    let mut reader = bus.reader("CLICKS", StreamSequence::FIRST, limits);
    while reader.position() != StreamSequence(101) {
        assert!(reader.next_batch().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    reader.limits.linger = Duration::ZERO;
    assert_eq!(testing::read_numbers(&mut reader, 100).await, (0..100).collect::<Vec<_>>());
    server.stop().await.unwrap();
}
