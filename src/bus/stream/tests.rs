//! Streams of a real server: created, extended, refused.

use async_nats::jetstream::stream::PersistenceMode;

use super::*;
use crate::bus::testing;

#[tokio::test]
async fn a_stream_is_created_once_and_then_found_as_it_is() {
    let (server, bus) = testing::server().await;
    let spec = testing::spec("CLICKS", "clicks.>");
    let created = bus.ensure_stream(&spec).await.unwrap();
    assert_eq!((created.last, created.messages), (StreamSequence(0), 0));
    testing::publish_numbers(&bus, "clicks.a", 0..3).await;
    let found = bus.ensure_stream(&spec).await.unwrap();
    assert_eq!((found.first, found.last, found.messages), (StreamSequence(1), StreamSequence(3), 3));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_of_another_shape_is_refused_with_every_difference() {
    let (server, bus) = testing::server().await;
    let spec = testing::spec("CLICKS", "clicks.>");
    bus.ensure_stream(&spec).await.unwrap();
    let other = StreamSpec {
        subjects: vec!["views.>".to_owned()],
        max_age: Some(Duration::from_secs(7200)),
        max_bytes: Some(1 << 20),
        discard_new: false,
        ..spec
    };
    let error = bus.ensure_stream(&other).await.unwrap_err();
    insta::assert_snapshot!(
        error,
        @r#"stream "CLICKS" exists with another shape: subjects is ["clicks.>"] (expected ["views.>"]), discard is New (expected Old); if another pipeline made it, whose name and stream make the same name, rename one of them; otherwise change it, or use another name"#
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_of_atomic_batches_gets_the_subjects_that_it_lacks_and_keeps_its_others_and_all_it_holds() {
    let (server, bus) = testing::server().await;
    let spec = |subjects: &[&str]| {
        let subjects = subjects.iter().map(|&subject| subject.to_owned()).collect();
        StreamSpec { atomic: true, subjects, ..testing::spec("OUT", "out.>") }
    };
    bus.ensure_stream(&spec(&["out.a", "out.b"])).await.unwrap();
    testing::publish_numbers(&bus, "out.b", 0..3).await;
    let grown = bus.ensure_stream(&spec(&["out.a", "out.c"])).await.unwrap();
    assert_eq!(grown.messages, 3);
    assert_eq!(bus.atomic_subjects("OUT").await.unwrap(), ["out.a", "out.b", "out.c"]);
    bus.ensure_stream(&spec(&["out.a"])).await.unwrap();
    let other = StreamSpec { discard_new: false, ..spec(&["out.a", "out.d"]) };
    let error = bus.ensure_stream(&other).await.unwrap_err();
    assert!(matches!(&error, BusError::StreamDiffers { .. }), "{error}");
    assert_eq!(bus.atomic_subjects("OUT").await.unwrap(), ["out.a", "out.b", "out.c"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn limits_are_raised_and_never_lowered_and_subjects_are_added() {
    let (server, bus) = testing::server().await;
    let limited = |hours: u64, megabytes: u64| StreamSpec {
        max_age: Some(Duration::from_secs(3_600 * hours)),
        max_bytes: Some(megabytes << 20),
        ..testing::spec("CLICKS", "clicks.a")
    };
    let limits = async |bus: &Bus| {
        let config = bus.stream_info("CLICKS").await.unwrap().config;
        (config.max_age.as_secs() / 3_600, config.max_bytes >> 20, config.duplicate_window.as_secs(), config.subjects)
    };
    bus.ensure_stream(&limited(2, 8)).await.unwrap();
    testing::publish_numbers(&bus, "clicks.a", 0..3).await;
    let grown = bus.ensure_stream(&limited(1, 16)).await.unwrap();
    assert_eq!((grown.messages, grown.max_bytes), (3, Some(16 << 20)));
    assert_eq!(limits(&bus).await, (2, 16, 120, vec!["clicks.a".to_owned()]));
    let more = StreamSpec {
        subjects: vec!["clicks.a".to_owned(), "clicks.b".to_owned()],
        duplicate_window: Duration::from_secs(600),
        ..limited(3, 1)
    };
    bus.ensure_stream(&more).await.unwrap();
    assert_eq!(limits(&bus).await, (3, 16, 600, vec!["clicks.a".to_owned(), "clicks.b".to_owned()]));
    // Events of a subject that is not asked for any more would still be read.
    let error = bus.ensure_stream(&limited(9, 9)).await.unwrap_err();
    assert!(error.to_string().contains(r#"subjects is ["clicks.a", "clicks.b"] (expected ["clicks.a"])"#), "{error}");
    let another = StreamSpec { subjects: vec!["views.a".to_owned()], ..limited(9, 9) };
    assert!(bus.ensure_stream(&another).await.is_err());
    assert_eq!(limits(&bus).await.0, 3);
    let unlimited = StreamSpec { max_age: None, ..more };
    bus.ensure_stream(&unlimited).await.unwrap();
    assert_eq!(limits(&bus).await.0, 0);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn overlapping_subjects_name_the_stream_that_has_them() {
    let (server, bus) = testing::server().await;
    bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
    let error = bus.ensure_stream(&testing::spec("OTHER", "clicks.a")).await.unwrap_err();
    insta::assert_snapshot!(
        error,
        @r#"stream "OTHER" cannot take subjects ["clicks.a"]: stream "CLICKS" has overlapping ones; read that one, with `source = "CLICKS"` in [streams.NAME], or share it with the pipeline that makes it, where each gives the same `subjects` and `stream = "CLICKS"`"#
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_larger_than_the_server_s_disk_is_refused_with_what_to_change() {
    let (server, bus) = testing::server().await;
    for number in 1..=7 {
        let name = format!("HELD{number}");
        let held = StreamSpec { max_bytes: Some(number << 20), ..testing::spec(&name, &format!("held.{number}")) };
        bus.ensure_stream(&held).await.unwrap();
    }
    let spec = StreamSpec { max_bytes: Some(1 << 60), ..testing::spec("CLICKS", "clicks.>") };
    let error = bus.ensure_stream(&spec).await.unwrap_err();
    assert!(matches!(error, BusError::NoRoom { bytes: 0x1000_0000_0000_0000, .. }), "{error}");
    let told = r#", and has set 29360128 aside (7340032 for "HELD7", 6291456 for "HELD6", 5242880 for "HELD5", 4194304 for "HELD4", 3145728 for "HELD3" and more for 2 others); lower"#;
    assert!(error.to_string().contains(told), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_missing_stream_is_said_to_be_missing() {
    let (server, bus) = testing::server().await;
    let error = bus.stream_state("NOWHERE").await.unwrap_err();
    assert!(matches!(error, BusError::StreamNotFound { .. }), "{error}");
    server.stop().await.unwrap();
}

#[test]
fn a_stream_that_acknowledges_before_storing_is_another_shape() {
    let expected = testing::spec("CLICKS", "clicks.>").to_config();
    let found = Config { persist_mode: Some(PersistenceMode::Async), ..expected.clone() };
    let fields: Vec<_> = differences(&expected, &found).into_iter().map(|d| d.field).collect();
    assert_eq!(fields, ["persist_mode"]);
}
