//! What of a stream is read, and which streams can't be.

use std::process::Command;
use std::time::Duration;

use async_nats::jetstream::stream::{RetentionPolicy, Source};

use super::*;

const SOURCE: &str = "source = \"EVENTS\"";

fn tidewheel(arguments: &[&str], team: &Team) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewheel"));
    command.args(arguments).args(["--nats", &team.server.url()]).env_remove("TIDEWHEEL_LOG");
    let output = command.output().unwrap();
    let words = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (output.status.success(), words.concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_the_subjects_of_a_stream_is_read_once_and_the_stream_stays_as_it_was() {
    let team = Team::with(events()).await;
    let before = config_of(&team, "EVENTS").await;
    for id in 0..30 {
        let subject = if id % 3 == 0 { "shop.orders" } else { "shop.clicks" };
        team.publish(subject, id..id + 1).await;
    }
    let pipeline = team.pipeline("own", SOURCE);
    let run = team.start(&pipeline).await;
    assert_eq!(stopped_after(run, 20).await, [10, 10], "users 1 and 2; those of user 0 are orders");
    // Others go on writing while it is stopped, and while it runs.
    team.publish("shop.orders", 30..40).await;
    team.publish("shop.clicks", 40..43).await;
    let run = team.start(&pipeline).await;
    team.publish("shop.orders", 43..50).await;
    team.publish("shop.clicks", 50..53).await;
    assert_eq!(stopped_after(run, 26).await, [2, 12, 12]);
    assert_eq!(config_of(&team, "EVENTS").await, before);
    let mut names = team.js.stream_names();
    let mut streams = Vec::new();
    while let Some(name) = names.next().await {
        streams.push(name.unwrap());
    }
    streams.sort();
    assert_eq!(streams, ["EVENTS", "OWN_OUT"], "nothing is made for events that are there");
    team.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mirrors_and_aggregates_are_read_as_they_are() {
    let team = Team::with(events()).await;
    team.publish("shop.clicks", 0..6).await;
    let origin = Source { name: "EVENTS".to_owned(), ..Source::default() };
    let mirror = Config { name: "COPY".to_owned(), mirror: Some(origin.clone()), ..Config::default() };
    let all = Config { name: "ALL".to_owned(), sources: Some(vec![origin]), ..Config::default() };
    for (stream, name) in [(mirror, "one"), (all, "two")] {
        let source = format!("source = \"{}\"", stream.name);
        team.js.create_stream(stream).await.unwrap();
        let run = team.start(&team.pipeline(name, &source)).await;
        counted_to(&run, 6).await;
        run.stop().await.unwrap();
    }
    team.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_does_not_keep_what_it_takes_or_has_nothing_of_it_is_refused_with_the_way_out() {
    let team = Team::without_stream().await;
    let path = team.folder("own", SOURCE);
    let place = path.to_str().unwrap().to_owned();
    let refusals = [
        (None, "there is no stream \"EVENTS\" in our own account"),
        (Some(Config { retention: RetentionPolicy::WorkQueue, ..events() }), "its retention is `workqueue`"),
        (Some(Config { retention: RetentionPolicy::Interest, ..events() }), "its retention is `interest`"),
        (
            Some(Config { subjects: vec!["app.>".to_owned()], ..events() }),
            "nothing that it takes, app.>, is on `shop.clicks`",
        ),
    ];
    let pipeline = team.pipeline("own", SOURCE);
    for (stream, reason) in refusals {
        let is_there = stream.is_some();
        if let Some(stream) = stream {
            team.js.create_stream(stream).await.unwrap();
        }
        let refused = team.refused(&pipeline).await;
        assert!(refused.contains(reason), "{refused}");
        for verb in [["check", &place].as_slice(), &["doctor", "--pipeline", &place]] {
            let (is_fine, said) = tidewheel(verb, &team);
            assert!(!is_fine && said.contains(reason), "{verb:?}: {said}");
        }
        if is_there {
            team.js.delete_stream("EVENTS").await.unwrap();
        }
    }
    let names: Vec<_> = team.js.stream_names().collect().await;
    assert!(names.is_empty(), "a start that is refused makes nothing: {names:?}");
    team.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_and_doctor_say_what_a_stream_lacks_and_the_pipeline_runs_all_the_same() {
    let weak = Config {
        max_age: Duration::from_secs(3_600),
        max_messages: 100,
        max_messages_per_subject: 50,
        duplicate_window: Duration::from_secs(1),
        ..events()
    };
    let team = Team::with(weak).await;
    team.publish("shop.clicks", 0..3).await;
    let place = team.folder("own", SOURCE).to_str().unwrap().to_owned();
    for verb in [["check", &place].as_slice(), &["doctor", "--pipeline", &place]] {
        let (is_fine, said) = tidewheel(verb, &team);
        assert!(is_fine, "{said}");
        for lack in [
            "EVENTS is somebody else's: `tidewheel run` reads shop.clicks of it and alters nothing",
            "stream EVENTS deletes messages after 3600s",
            "stream EVENTS keeps the last 50 message(s) of each subject",
            "stream EVENTS deletes the oldest events at its limit",
            "stream EVENTS forgets message ids after 1s",
            "OWN_OUT is not there yet",
        ] {
            assert!(said.contains(lack), "{verb:?}: {lack:?} is not in\n{said}");
        }
        assert!(!said.contains("OWN_CLICKS"), "{said}");
    }
    let run = team.start(&team.pipeline("own", SOURCE)).await;
    counted_to(&run, 3).await;
    run.stop().await.unwrap();
    team.stop().await;
}
