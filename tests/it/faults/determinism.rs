//! However messages are cut into steps, and wherever a run is broken off, the same comes out.
//!
//! ```text
//!   one stream    events ─▶ Run, 1 | 7 | 4,096 messages a step ─▶ outputs by name ─┐   on 1, 2 or 4 threads
//!                 in one go | stopped in order | abandoned, with or without        ├─▶ byte for byte the same
//!                 snapshots, and started again                                     ┘
//!   two streams   how they interleaved is in the markers: what comes out is compared with a step that follows those
//! ```
//!
//! Runs are in this process, so that the size of a step can be set, and one can be abandoned: dropped with everything that
//! is under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tidewheel::bus::{Bus, ConnectSettings, Outgoing, Subject};
use tidewheel::engine::{Run, RunSettings};
use tidewheel::pipeline::StreamIndex;
use tidewheel::snapshot::{Location, SnapshotStore};
use tokio::runtime::{Builder, Runtime};

use super::compare::compare;
use super::events::{Generator, Kind, Sent};
use super::outputs::{Outputs, What, newest_marker, read, read_input};
use super::pipeline::Changes;
use super::site::{PATIENCE, Site, patiently};
use super::truth::Truth;
use super::{alone, number};

/// 2025-10-09T00:00:00Z: events may be older than the broker's clock by any amount.
const START_MS: u64 = 1_759_968_000_000;
/// Messages of a test: more outputs than one batch holds, and some seconds where each is a step.
const MESSAGES: usize = 2_000;
/// Differences that are shown.
const SHOWN: usize = 5;
/// Scores are equal within this.
const CLOSE: f64 = 1e-6;

/// What outputs are and say, by their names.
type Named = BTreeMap<String, (What, Bytes)>;

/// How a first run ends, before everything has come.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// It doesn't.
    Never,
    /// As an operator ends it.
    Stopped,
    /// In the midst of everything.
    Abandoned,
}

/// A way to run a pipeline that must make no difference.
#[derive(Debug, Clone, Copy)]
struct Way {
    step_rows: usize,
    /// Of the runtime around the threads of the engine.
    threads: usize,
    has_snapshots: bool,
    ending: Ending,
}

/// A run with a connection of its own.
struct Running {
    run: Run,
    bus: Bus,
    runtime: Runtime,
}

/// Every size of a step with every way to go on, and one that begins anew without a snapshot.
fn ways() -> Vec<Way> {
    let endings = [(false, Ending::Never), (true, Ending::Stopped), (true, Ending::Abandoned)];
    let of_size =
        |(step_rows, threads)| endings.map(|(has_snapshots, ending)| Way { step_rows, threads, has_snapshots, ending });
    let mut ways: Vec<Way> = [(1, 4), (7, 1), (4_096, 2)].into_iter().flat_map(of_size).collect();
    ways.push(Way { step_rows: 7, threads: 4, has_snapshots: false, ending: Ending::Abandoned });
    ways
}

impl Running {
    async fn start(site: &Site, way: Way) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(way.threads).enable_all().build().unwrap();
        let settings = RunSettings {
            snapshots: way.has_snapshots.then(|| snapshots(site)),
            step_rows: Some(way.step_rows),
            ..RunSettings::default()
        };
        let (url, pipeline) = (site.url.clone(), Arc::clone(&site.pipeline));
        let start = async move {
            let bus = Bus::connect(&ConnectSettings::to_url(url)).await.unwrap();
            (Run::start(pipeline, &bus, &settings).await.unwrap(), bus)
        };
        let (run, bus) = runtime.spawn(start).await.unwrap();
        Self { run, bus, runtime }
    }

    /// Waits until so many messages of each stream are done and committed.
    async fn reaches(&self, ends: &[u64]) {
        let mut settled = self.run.settled();
        let reached = settled.wait_for(|position| {
            ends.iter().enumerate().all(|(stream, end)| position.of(StreamIndex(stream)).0 >= *end)
        });
        tokio::time::timeout(PATIENCE, reached).await.unwrap().unwrap();
    }

    async fn end(self, ending: Ending) {
        let Self { run, bus, runtime } = self;
        let end = async move {
            match ending {
                Ending::Abandoned => drop(run),
                Ending::Never | Ending::Stopped => run.stop().await.unwrap(),
            }
            bus.close().await.unwrap();
        };
        runtime.spawn(end).await.unwrap();
        runtime.shutdown_background();
    }
}

fn snapshots(site: &Site) -> Location {
    Location::folder(site.path().join("snapshots"))
}

/// Waits until there is something to go on from.
async fn saved(site: &Site) {
    patiently("a snapshot", async || {
        let store = SnapshotStore::open(&snapshots(site)).await.ok()?;
        store.generations().await.ok()?.iter().any(Result::is_ok).then_some(())
    })
    .await;
}

/// Messages of some streams, the same each time; the last of them close all windows.
pub fn messages(kinds: &[Kind]) -> Vec<Sent> {
    let mut generator = Generator::new(number("SEED", 5), START_MS);
    let mut sent: Vec<Sent> =
        std::iter::repeat_with(|| generator.next()).filter(|sent| kinds.contains(&sent.kind)).take(MESSAGES).collect();
    sent.extend(generator.closing().into_iter().filter(|sent| kinds.contains(&sent.kind)));
    sent
}

pub async fn publish(site: &Site, sent: &[Sent]) {
    let mut publisher = site.bus.publisher(500).await.unwrap();
    for Sent { kind, payload } in sent {
        let subject = Subject::new(kind.subject()).unwrap();
        publisher.publish(Outgoing::new(subject, payload.clone().into())).await.unwrap();
    }
    publisher.settle().await.unwrap();
}

/// Runs a pipeline over messages in a way, to the end.
async fn follow(pipeline: &'static str, way: Way, sent: &[Sent]) -> Site {
    let site = Site::with(&Changes { pipeline, checkpoint: "50ms", ..Changes::default() }).await;
    let (before, after) = sent.split_at(sent.len() * 3 / 5);
    let mut running = Running::start(&site, way).await;
    publish(&site, before).await;
    if !matches!(way.ending, Ending::Never) {
        let half: Vec<u64> = site.input_ends().await.iter().map(|end| end / 2).collect();
        running.reaches(&half).await;
        if way.has_snapshots {
            saved(&site).await;
        }
        running.end(way.ending).await;
        running = Running::start(&site, way).await;
    }
    publish(&site, after).await;
    running.reaches(&site.input_ends().await).await;
    running.end(Ending::Stopped).await;
    site
}

/// What came out, each once.
fn by_name(outputs: &Outputs) -> Named {
    let mut found = Named::new();
    for output in &outputs.outputs {
        let twice = found.insert(output.id.clone(), (output.what.clone(), output.payload.clone()));
        assert!(twice.is_none(), "{} comes twice", output.id);
    }
    found
}

/// Whether two outputs are the same, but for a little of a score.
fn is_same(one: &(What, Bytes), other: &(What, Bytes)) -> bool {
    if one == other {
        return true;
    }
    let ranking = |output: &(What, Bytes)| {
        let mut ranking: Value = serde_json::from_slice(&output.1).ok()?;
        let items = ranking["items"].as_array_mut()?;
        let scores: Option<Vec<f64>> = items.iter_mut().map(|item| item["score"].take().as_f64()).collect();
        Some((ranking, scores?))
    };
    match (ranking(one), ranking(other)) {
        (Some((a, left)), Some((b, right))) if one.0 == What::Ranking && other.0 == What::Ranking => {
            a == b && left.iter().zip(&right).all(|(left, right)| (left - right).abs() < CLOSE)
        }
        _ => false,
    }
}

/// What came out in one go, with enough of each kind.
fn must_be_rich(found: &Named, truth: &Truth) {
    let count = |is: &dyn Fn(&What) -> bool| found.values().filter(|(what, _)| is(what)).count();
    let dead = truth.dead.values().map(Vec::len).sum::<usize>();
    assert_eq!(count(&|what| matches!(what, What::Dead { .. })), dead);
    assert_eq!(count(&|what| *what == What::Ranking), truth.rankings.len());
    let examples = count(&|what| *what == What::Example);
    assert!(examples > MESSAGES / 4, "{examples} examples");
    for table in ["item", "recent", "session"] {
        let rows = count(&|what| *what == What::Row(table.to_owned()));
        assert!(rows > 100, "{table} has {rows} rows");
    }
}

fn must_be_same(way: Way, first: &Named, found: &Named) {
    let lost: Vec<_> = first.keys().filter(|name| !found.contains_key(*name)).take(SHOWN).collect();
    let more: Vec<_> = found.keys().filter(|name| !first.contains_key(*name)).take(SHOWN).collect();
    assert!(lost.is_empty() && more.is_empty(), "{way:?}: lost {lost:?}, and there are {more:?}");
    let differ: Vec<_> = first.iter().filter(|(name, expected)| !is_same(expected, &found[*name])).collect();
    let shown: Vec<_> = differ.iter().take(SHOWN).map(|(name, expected)| (expected, &found[*name])).collect();
    assert!(differ.is_empty(), "{way:?}: {} differ: {shown:#?}", differ.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stream_gives_the_same_bytes_however_it_is_cut_and_wherever_a_run_is_broken_off() {
    let _alone = alone().await;
    let sent = messages(&[Kind::Visit]);
    let mut first = None;
    for way in ways() {
        let site = follow("visits", way, &sent).await;
        let outputs = read(&site).await;
        let contradictions = outputs.contradictions();
        assert!(contradictions.is_empty(), "{way:?}: {contradictions:#?}");
        let truth = Truth::of(&[Vec::new(), read_input(&site, 0).await]);
        let marker = newest_marker(&site.bus, &site.pipeline).await.unwrap();
        assert_eq!(marker.counts, truth.counts, "{way:?}");
        let found = by_name(&outputs);
        match &first {
            None => {
                must_be_rich(&found, &truth);
                first = Some(found);
            }
            Some(first) => must_be_same(way, first, &found),
        }
        site.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_streams_give_what_the_markers_say_however_they_are_cut_and_wherever_a_run_is_broken_off() {
    let _alone = alone().await;
    let sent = messages(&Kind::ALL);
    for way in ways() {
        let site = follow("pipeline", way, &sent).await;
        let report = compare(&site, sent.len() as u64).await;
        report.examples.iter().for_each(|example| println!("{way:?}: {example}"));
        report.must_be_clean();
        site.close().await;
    }
}
