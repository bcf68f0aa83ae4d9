//! Kills the program at random instants while it serves and learns, and counts what that did.
//!
//! ```text
//!   shop (here) ── requests, clicks ──▶ nats-server ◀──▶ tidewheel run (a child; kill -9, start again)
//!        │                                  │
//!        └── what was answered, clicked ──▶ ledger ◀── examples, versions, checkpoints
//! ```
//!
//! `KILLS` and `SEED` in the environment say how often, and at which instants; the last line printed is JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tidewheel::bus::{Bus, Outgoing, Publisher, ReadLimits, Reader, StreamSequence, Subject};
use tidewheel::config::Folder;
use tidewheel::learn::{CheckpointHead, ExampleKind, Examples, decode, read_head};
use tidewheel::pipeline::{Names, Pipeline, input_spec, output_spec};
use tidewheel::registry::Registry;
use tokio::process::{Child, Command};

use crate::broker::server;
use crate::learning::{a_minute_ago, items, request, until, view};
use crate::taobao::{PATIENCE, root};
use crate::training::{hasty, last_example, train};

/// Event time between two requests, milliseconds; at the end it passes faster, so that few windows are still open then: a
/// label rate that falls to nothing stops training.
const STEP_MS: u64 = 5;
const LAST_STEP_MS: u64 = 200;
const LAST_REQUESTS: u64 = 100;
const CANDIDATES: u64 = 10;
const ITEMS: u64 = 300;
/// Longer than a ranking takes, shorter than a restart.
const REPLY: Duration = Duration::from_millis(500);

/// The people: they ask, and click on what they like.
struct Shop {
    bus: Bus,
    publisher: Publisher,
    random: ChaCha8Rng,
    /// Event time, milliseconds.
    now: u64,
    asked: u64,
    /// By the time at which it was asked for: which places were clicked. Answered requests only.
    answered: BTreeMap<u64, BTreeSet<u32>>,
}

impl Shop {
    async fn new(bus: &Bus, seed: u64) -> Self {
        Self {
            bus: bus.clone(),
            publisher: bus.publisher(100).await.unwrap(),
            random: ChaCha8Rng::seed_from_u64(seed),
            // Event time follows the number of requests: ten minutes leave room for many.
            now: a_minute_ago() - 540_000,
            asked: 0,
            answered: BTreeMap::new(),
        }
    }

    async fn publish(&mut self, event: Vec<u8>) {
        let message = Outgoing::new(Subject::new("shop.clicks.web").unwrap(), event.into());
        self.publisher.publish(message).await.unwrap();
    }

    /// One person asks; where there is an answer they react to it, and its model is returned.
    async fn visit(&mut self, step_ms: u64) -> Option<String> {
        self.asked += 1;
        self.now += step_ms;
        let (id, ts) = (format!("r{}", self.asked), self.now);
        let user = self.random.random_range(0..200);
        let first = self.random.random_range(0..ITEMS);
        let candidates: Vec<u64> = (0..CANDIDATES).map(|nth| (first + nth * 29) % ITEMS).collect();
        self.publish(view(&format!("{id}-v"), (user, first), ts, None)).await;
        let service = Subject::new("recommend.score").unwrap();
        let reply = self.bus.request(&service, request(&id, user, &candidates, Some(ts)).into(), REPLY).await.ok()?;
        let reply: Value = serde_json::from_slice(&reply).unwrap();
        let mut clicked = BTreeSet::new();
        for (place, item) in items(&reply).into_iter().enumerate() {
            // What people like does not depend on when: the model can learn it from how often an item is clicked.
            if self.random.random_bool(if item % 7 == 0 { 0.5 } else { 0.02 }) {
                clicked.insert(place as u32);
                self.publish(view(&format!("{id}-{place}"), (user, item), ts + 1, Some(&id))).await;
            }
        }
        self.publisher.settle().await.unwrap();
        self.answered.insert(ts, clicked);
        reply["model"].as_str().map(str::to_owned)
    }
}

/// What the examples stream holds about one shown candidate.
#[derive(Default)]
struct Labels {
    first: u32,
    positive: u32,
}

/// The examples stream, read as it grows.
struct Ledger {
    reader: Reader,
    columns: usize,
    fingerprint: String,
    /// By time and place.
    labels: BTreeMap<(u64, u32), Labels>,
    /// Examples up to each message.
    totals: BTreeMap<u64, u64>,
    total: u64,
}

impl Ledger {
    fn new(bus: &Bus, pipeline: &Pipeline) -> Self {
        let (stream, vector) = (output_spec(pipeline).name, pipeline.vector.as_ref().unwrap());
        let subject = Names::of(&pipeline.name).examples();
        let limits = ReadLimits { rows: 4_096, linger: Duration::ZERO };
        Self {
            reader: bus.reader_of(&stream, &subject, StreamSequence::FIRST, limits),
            columns: vector.columns().len(),
            fingerprint: vector.fingerprint().as_str().to_owned(),
            labels: BTreeMap::new(),
            totals: BTreeMap::new(),
            total: 0,
        }
    }

    /// Reads what is there; the last message.
    async fn catch_up(&mut self, bus: &Bus, pipeline: &Pipeline) -> u64 {
        let last = last_example(bus, pipeline).await;
        while self.totals.keys().next_back().is_none_or(|read| *read < last) && last > 0 {
            let batch = tokio::time::timeout(PATIENCE, self.reader.next_batch()).await;
            for message in batch.expect("examples that are stored can be read").unwrap() {
                let mut examples = Examples::new(self.columns);
                decode(&message.payload, self.columns, &self.fingerprint, &mut examples).unwrap();
                for row in 0..examples.len() {
                    let example = examples.get(row).unwrap();
                    let shown = ((example.shown_micros / 1_000) as u64, example.place);
                    let labels = self.labels.entry(shown).or_default();
                    labels.first += u32::from(example.kind != ExampleKind::Correction);
                    labels.positive += u32::from(example.kind != ExampleKind::Negative);
                }
                self.total += examples.len() as u64;
                self.totals.insert(message.sequence.0, self.total);
            }
        }
        last
    }

    /// Candidates that were shown and have no label, or were clicked and have no positive.
    fn lost(&self, answered: &BTreeMap<u64, BTreeSet<u32>>) -> usize {
        let shown = answered.iter().flat_map(|(ts, clicked)| {
            (0..CANDIDATES as u32).map(move |place| ((*ts, place), clicked.contains(&place)))
        });
        let is_lost = |(shown, clicked)| {
            self.labels.get(&shown).is_none_or(|labels| labels.first == 0 || (clicked && labels.positive == 0))
        };
        shown.filter(|shown| is_lost(*shown)).count()
    }

    /// Candidates that were labelled more than once, other than a negative by one correction.
    fn twice(&self) -> usize {
        self.labels.values().filter(|labels| labels.first > 1 || labels.positive > 1).count()
    }
}

/// What must hold of versions and checkpoints, looked at from outside.
struct Auditor {
    registry: Registry,
    promoted: BTreeSet<String>,
    position: u64,
    wrong_model: usize,
}

impl Auditor {
    /// The pointer's history goes back a hundred moves: what was seen is kept.
    async fn note_versions(&mut self) {
        let pointer = self.registry.pointer().await.unwrap().unwrap();
        let moves = pointer.history.iter().map(|promotion| promotion.to.to_string());
        self.promoted.extend(moves.chain([pointer.active.to_string()]));
    }

    /// A reply names a version that was promoted, and whose bytes are those that were stored.
    async fn check_model(&mut self, model: &str) {
        self.note_versions().await;
        if !self.promoted.contains(model) {
            self.wrong_model += 1;
        }
        let pointer = self.registry.pointer().await.unwrap().unwrap();
        self.registry.fetch(&pointer.active).await.unwrap();
    }

    /// A checkpoint is whole, not before an earlier one, and not of examples that are not there.
    async fn check_checkpoint(&mut self, last_example: u64) -> Option<CheckpointHead> {
        let bytes = self.registry.load_checkpoint().await.unwrap()?;
        let (head, _) = read_head(&bytes).unwrap();
        assert!(head.position >= self.position, "{} after {}", head.position, self.position);
        assert!(head.position <= last_example, "{} of {last_example}", head.position);
        self.position = head.position;
        Some(head)
    }
}

fn spawn(folder: &Path, url: &str) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("child.log")).unwrap();
    let pipeline: PathBuf = folder.join("pipelines/recommend");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewheel"));
    command.arg("run").arg(pipeline).args(["--nats", url]).current_dir(root()).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(log)).spawn().unwrap()
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_kill_each_example_is_there_and_learnt_exactly_once() {
    let (kills, seed) = (number("KILLS", 5), number("SEED", 1));
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = Arc::new(Folder::read(&hasty(folder.path())).unwrap().assemble().unwrap());
    // The streams are there before the program is, as a shop's would be.
    bus.ensure_stream(&input_spec(&pipeline, &pipeline.streams[0])).await.unwrap();
    bus.ensure_stream(&output_spec(&pipeline)).await.unwrap();
    let (mut shop, mut ledger) = (Shop::new(&bus, seed).await, Ledger::new(&bus, &pipeline));
    let registry = Registry::open(&bus, Names::of(&pipeline.name).registry(), None).await.unwrap();
    let mut auditor = Auditor { registry, promoted: BTreeSet::new(), position: 0, wrong_model: 0 };
    let mut instants = ChaCha8Rng::seed_from_u64(seed ^ 0xdead);
    let url = server.url();

    for kill in 0..=kills {
        let mut child = spawn(folder.path(), &url);
        // Some die while they start.
        let answers = kill == 0 || kill == kills || instants.random_bool(0.8);
        if answers {
            let model = until("an answer", async || {
                assert!(child.try_wait().unwrap().is_none(), "the program ended by itself: {}", log(folder.path()));
                shop.visit(STEP_MS).await
            });
            let model = model.await;
            auditor.check_model(&model).await;
        }
        if kill == kills {
            let last = finish((&bus, &pipeline), &mut shop, &mut ledger, (child, folder.path())).await;
            // What the program had not come to yet. A start that is all negatives, because windows closed while nobody was
            // answered, stops training; starting it again is what a person does who has looked.
            let mut head = auditor.check_checkpoint(last).await;
            while head.as_ref().is_none_or(|head| head.position < last) {
                let (report, trained) = train(&bus, &pipeline).await;
                assert_eq!(report.skipped, 0);
                let before = head.replace(trained).map_or(0, |head| head.position);
                assert!(auditor.check_checkpoint(last).await.is_some_and(|head| head.position > before));
            }
            let head = head.unwrap();
            assert_eq!(head.examples, ledger.totals[&last], "each example is learnt once");
            auditor.note_versions().await;
            break;
        }
        let most = if answers { 3_000 } else { 600 };
        let instant = Duration::from_millis(instants.random_range(0..most));
        let pid = Pid::from_raw(child.id().unwrap() as i32).unwrap();
        // Of its own, so that it also strikes while somebody waits for an answer.
        let killer = tokio::spawn(async move {
            tokio::time::sleep(instant).await;
            kill_process(pid, Signal::KILL).unwrap();
        });
        while !killer.is_finished() {
            shop.visit(STEP_MS).await;
            tokio::task::yield_now().await;
        }
        killer.await.unwrap();
        assert!(!child.wait().await.unwrap().success());
        let last = ledger.catch_up(&bus, &pipeline).await;
        auditor.check_checkpoint(last).await;
    }
    let (lost, twice) = (ledger.lost(&shop.answered), ledger.twice());
    let report = json!({
        "kills": kills, "promoted": auditor.promoted.len() - 1, "examples": ledger.total, "lost": lost,
        "twice": twice, "wrong_model": auditor.wrong_model, "answered": shop.answered.len(), "asked": shop.asked,
    });
    println!("{report}");
    assert_eq!((lost, twice, auditor.wrong_model), (0, 0, 0), "{}", log(folder.path()));
    assert!(auditor.promoted.len() > 1, "nothing was ever promoted: {}", log(folder.path()));
    server.stop().await.unwrap();
}

/// Closes all windows, waits until everything is labelled, and ends the program as an operator does; the last message of
/// examples that it left.
async fn finish(
    (bus, pipeline): (&Bus, &Pipeline),
    shop: &mut Shop,
    ledger: &mut Ledger,
    (mut child, folder): (Child, &Path),
) -> u64 {
    for _ in 0..LAST_REQUESTS {
        shop.visit(LAST_STEP_MS).await;
    }
    let end = shop.now + 10_000;
    for nth in 0..2 {
        shop.publish(view(&format!("end-{nth}"), (1, 1), end + nth, None)).await;
    }
    shop.publisher.settle().await.unwrap();
    // Not a wait for nothing lost: what is lost would never come. The last window to close says that all have.
    let newest = *shop.answered.keys().next_back().unwrap();
    let closed = async || {
        let last = ledger.catch_up(bus, pipeline).await;
        let is_labelled = |place| ledger.labels.contains_key(&(newest, place));
        (0..CANDIDATES as u32).all(is_labelled).then_some(last)
    };
    until("the last label", closed).await;
    kill_process(Pid::from_raw(child.id().unwrap() as i32).unwrap(), Signal::TERM).unwrap();
    let ended = child.wait().await.unwrap();
    assert!(ended.success(), "{ended}: {}", log(folder));
    // While it ended it may have published, and learnt, what the last events led to.
    ledger.catch_up(bus, pipeline).await
}

/// The end of what the program said.
fn log(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("child.log")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
