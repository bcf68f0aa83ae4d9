//! When something was shown while no event came: labels are decided by the clock, once, and a restart decides the same.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tidewheel::bus::{Bus, ConnectSettings, Subject};
use tidewheel::config::Folder;
use tidewheel::engine::{Run, RunSettings};
use tidewheel::learn::{Example, ExampleKind};
use tidewheel::pipeline::Pipeline;
use tidewheel::snapshot::Location;

use crate::broker::{publish, server, through};
use crate::learning::{examples, items, request, rows, until, view};
use crate::taobao::{PATIENCE, root};
use crate::training::copy;

const SUBJECT: &str = "shop.clicks.web";
/// Longer than a restart takes.
const WINDOW_MS: u64 = 4_000;

/// The pipeline `recommend` with a window of its own.
fn pipeline(folder: &Path) -> Arc<Pipeline> {
    copy(&root().join("schemas"), &folder.join("schemas"));
    let pipeline = folder.join("pipelines/recommend");
    copy(&root().join("pipelines/recommend"), &pipeline);
    let file = pipeline.join("pipeline.toml");
    let text = fs::read_to_string(&file).unwrap();
    let longer = text.replace("window   = \"1s\"", &format!("window   = \"{WINDOW_MS}ms\""));
    assert_ne!(text, longer, "the shipped pipeline has changed");
    fs::write(&file, longer).unwrap();
    Arc::new(Folder::read(&pipeline).unwrap().assemble().unwrap())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Kinds by item.
fn kinds(rows: &[Example<'_>], places: &[u64]) -> Vec<(u64, ExampleKind)> {
    let mut kinds: Vec<_> = rows.iter().map(|row| (places[row.place as usize], row.kind)).collect();
    kinds.sort_by_key(|(item, _)| *item);
    kinds
}

/// A request after a gap in event time, a click on what it showed a second later, and then silence; with a worker that is
/// asked to stop in between, and one that is dropped.
async fn after_a_gap(gap: Option<Duration>, has_snapshots: bool) {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(&folder.path().join("broker")).await;
    let pipeline = pipeline(folder.path());
    let snapshots = has_snapshots.then(|| Location::folder(folder.path().join("snapshots")));
    let start = async || {
        let own = Bus::connect(&ConnectSettings::to_url(server.url())).await.unwrap();
        let settings =
            RunSettings { version: "0.0.1".to_owned(), snapshots: snapshots.clone(), ..RunSettings::default() };
        (Run::start(Arc::clone(&pipeline), &own, &settings).await.unwrap(), own)
    };
    let (run, _own) = start().await;
    if let Some(gap) = gap {
        publish(&bus, SUBJECT, [view("old", (1, 1), now() - gap.as_millis() as u64, None)]).await;
        through(&run, &bus, &pipeline).await;
    }
    let asked = now();
    let service = Subject::new("recommend.score").unwrap();
    // A worker that begins answers once it knows that nothing waits for it.
    let ask = async || bus.request(&service, request("r", 1, &[0, 1, 2], None).into(), PATIENCE).await.ok();
    let reply = until("an answer", ask).await;
    let places = items(&serde_json::from_slice::<Value>(&reply).unwrap());
    let answered = now();
    run.stop().await.unwrap();

    let (run, own) = start().await;
    publish(&bus, SUBJECT, [view("click", (1, 1), answered + 1_000, Some("r"))]).await;
    through(&run, &bus, &pipeline).await;
    let made = examples(&bus, &pipeline).await;
    assert_eq!(kinds(&rows(&made), &places), [(1, ExampleKind::Positive)], "{gap:?}: a click on what was shown");
    let made = until("the end of the windows", async || {
        let made = examples(&bus, &pipeline).await;
        (made.len() > 1).then_some(made)
    });
    let made = made.await;
    assert!(now() >= asked + WINDOW_MS, "{gap:?}: they wait their whole window");
    let labels = [(0, ExampleKind::Negative), (1, ExampleKind::Positive), (2, ExampleKind::Negative)];
    assert_eq!(kinds(&rows(&made), &places), labels, "{gap:?}");
    for row in rows(&made) {
        let shown = row.shown_micros as u64 / 1_000;
        assert!((asked..=answered).contains(&shown), "{gap:?}: shown at {shown}, asked at {asked}");
    }
    drop(run);
    own.close().await.unwrap();

    // Whoever goes on closes no window again, and knows that they are closed.
    let (run, _own) = start().await;
    publish(&bus, SUBJECT, [view("late", (1, 2), answered + WINDOW_MS + 500, Some("r"))]).await;
    through(&run, &bus, &pipeline).await;
    let made = examples(&bus, &pipeline).await;
    assert_eq!((made.len(), made.get(3).unwrap().kind), (4, ExampleKind::Correction), "{gap:?}");
    assert_eq!(places[made.get(3).unwrap().place as usize], 2);
    let counts = run.stats().labels();
    assert_eq!((counts.shown, counts.positives, counts.negatives, counts.corrections), (3, 1, 2, 1), "{gap:?}");
    run.stop().await.unwrap();
    server.stop().await.unwrap();
}

/// What was asked for after an hour without events was taken for shown an hour ago: the click on it came too late to count, and
/// all of it became negatives at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_are_right_after_any_silence_and_a_restart_decides_the_same() {
    let gaps = [Some(5), Some(600), Some(3_600), None].map(|seconds| seconds.map(Duration::from_secs));
    let ways = gaps.into_iter().zip([true, false, true, false]);
    futures::future::join_all(ways.map(|(gap, has_snapshots)| after_a_gap(gap, has_snapshots))).await;
}
