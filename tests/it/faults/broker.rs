//! Faults of the broker: away, asleep, empty, or as it was some time ago.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tidewheel::pipeline::{input_spec, output_spec};

use super::compare::compare;
use super::outputs::newest_marker;
use super::producer::Producer;
use super::site::{Site, patiently};
use super::worker::{Start, Worker};
use super::{alone, number};
use crate::training::copy;

const RATE: u64 = 400;
/// Longer than anybody waits for an answer, and than the broker keeps half a batch.
const ASLEEP: Duration = Duration::from_secs(12);
/// Outputs carry no message ids, so that how long the broker remembers them is of no importance. `AWAY_SECONDS` in the
/// environment sets another time.
const AWAY_SECONDS: u64 = 3;

/// The worker goes on by itself, and everything is there.
async fn goes_on(site: Site, producer: Producer, mut worker: Worker) {
    let sent = producer.finish().await;
    site.caught_up(&mut worker).await;
    worker.stop().await;
    compare(&site, sent).await.must_be_clean();
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_outlives_a_broker_that_is_killed_away_or_asleep() {
    let _alone = alone().await;
    let mut site = Site::new().await;
    let producer = Producer::start(&site.bus, 3, RATE).await;
    let mut worker = site.start(&Start::default());
    site.runs(&mut worker).await;
    site.kill_broker();
    site.restart_broker().await;
    site.runs(&mut worker).await;
    site.kill_broker();
    tokio::time::sleep(Duration::from_secs(number("AWAY_SECONDS", AWAY_SECONDS))).await;
    worker.must_run();
    site.restart_broker().await;
    site.runs(&mut worker).await;
    site.signal_broker(Signal::STOP);
    tokio::time::sleep(ASLEEP).await;
    site.signal_broker(Signal::CONT);
    site.runs(&mut worker).await;
    goes_on(site, producer, worker).await;
}

/// A pipeline that has worked for a while, with a copy of what the broker held in between, and snapshots that are newer.
async fn with_a_past(site: &mut Site, seed: u64) -> (Producer, Worker) {
    let producer = Producer::start(&site.bus, seed, RATE).await;
    let mut worker = site.start(&Start::default());
    site.runs(&mut worker).await;
    patiently("a snapshot", async || (snapshots(site.path()) > 0).then_some(())).await;
    // In order, so that the copy is whole.
    let store = site.broker_folder().join("jetstream");
    let server = site.server.as_mut().unwrap();
    server.restart().await.unwrap();
    site.signal_broker(Signal::STOP);
    copy(&store, &site.path().join("earlier"));
    site.signal_broker(Signal::CONT);
    let before = snapshots(site.path());
    patiently("two snapshots", async || (snapshots(site.path()) >= before + 2).then_some(())).await;
    (producer, worker)
}

/// The number of the newest snapshot.
fn snapshots(folder: &Path) -> u64 {
    let heads = fs::read_dir(folder.join("state/snapshots/manifests")).into_iter().flatten().flatten();
    let numbers = heads.filter_map(|head| {
        let name = head.file_name().into_string().ok()?;
        let digits: String = name.chars().filter(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    numbers.max().unwrap_or(0)
}

/// Ends the broker, puts `replacement` in place of what it holds (nothing: it is empty), and starts it.
async fn put_back(site: &mut Site, replacement: Option<&Path>) {
    let store = site.broker_folder().join("jetstream");
    site.kill_broker();
    fs::remove_dir_all(&store).unwrap();
    if let Some(replacement) = replacement {
        copy(replacement, &store);
    }
    site.restart_broker().await;
}

/// Says that it cannot go on, which stream it is about, and what a person can choose.
fn must_explain(site: &Site, said: &str) {
    let mut names: Vec<String> =
        site.pipeline.streams.iter().map(|stream| input_spec(&site.pipeline, stream).name).collect();
    names.push(output_spec(&site.pipeline).name);
    // Whoever looks first.
    names.push("KV_FAULTS_REGISTRY".to_owned());
    assert!(names.iter().any(|name| said.contains(name.as_str())), "no stream is named: {said}");
    assert!(said.contains("--accept-loss") && said.contains("--from-scratch"), "no choice is offered: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_was_wiped_is_noticed_and_a_person_can_begin_anew() {
    let _alone = alone().await;
    let mut site = Site::new().await;
    let (producer, worker) = with_a_past(&mut site, 4).await;
    producer.finish().await;
    put_back(&mut site, None).await;
    // Somebody creates the streams again, as a shop that starts does; the worker may have looked before.
    site.open_streams().await;
    must_explain(&site, &worker.gave_up().await);
    // Starting again changes nothing.
    must_explain(&site, &site.start(&Start::default()).gave_up().await);

    let mut anew = site.start(&Start { arguments: vec!["--from-scratch".to_owned()], ..Start::default() });
    let producer = Producer::start(&site.bus, 5, RATE).await;
    site.runs(&mut anew).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    anew.kill().await;
    let worker = site.start(&Start::default());
    goes_on(site, producer, worker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_was_put_back_is_noticed_and_a_person_can_go_on() {
    let _alone = alone().await;
    let mut site = Site::new().await;
    let (producer, worker) = with_a_past(&mut site, 6).await;
    producer.finish().await;
    let earlier = site.path().join("earlier");
    put_back(&mut site, Some(&earlier)).await;
    must_explain(&site, &worker.gave_up().await);
    must_explain(&site, &site.start(&Start::default()).gave_up().await);

    let known = newest_marker(&site.bus, &site.pipeline).await.unwrap();
    let mut worker = site.start(&Start { arguments: vec!["--accept-loss".to_owned()], ..Start::default() });
    let producer = Producer::start(&site.bus, 7, RATE).await;
    site.runs(&mut worker).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    worker.kill().await;
    // The choice is made once.
    let mut worker = site.start(&Start::default());
    site.runs(&mut worker).await;
    producer.finish().await;
    let marker = site.caught_up(&mut worker).await;
    worker.stop().await;
    assert_eq!(marker.lineage, known.lineage, "what was counted before stays counted");
    assert!(marker.counts.published() > known.counts.published());
    site.close().await;
}
