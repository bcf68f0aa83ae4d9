//! The pipelines that we ship: the same input gives the same output, however it is cut into steps and wherever a worker
//! stops and another goes on.
//!
//! ```text
//!   one input stream ─┬─▶ steps of 4,096, in one go ────────────────────▶ the reference
//!                     ├─▶ steps of 1; steps of 7 ───────────────────────▶ equal
//!                     ├─▶ steps of 7 ─ stop ─ snapshot ─ steps of 4,096 ─▶ equal
//!                     └─▶ steps of 97 ─ dropped ─ again, and again ──────▶ equal
//! ```
//!
//! Rows, dead letters and vectors are compared byte for byte, scores within a millionth. Examples share messages as they
//! come, so what is compared are the examples and not their messages.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use futures::StreamExt;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tidewheel::bus::{Bus, StreamSequence};
use tidewheel::config::Folder;
use tidewheel::engine::{Run, RunSettings};
use tidewheel::learn::{Examples, decode};
use tidewheel::pipeline::{Names, Pipeline, StreamIndex, input_spec, output_spec};
use tidewheel::snapshot::Location;

use super::alone;
use super::site::PATIENCE;
use crate::broker::{publish, server};
use crate::taobao::root;

/// Scores are equal within this.
const CLOSE: f64 = 1e-6;
const EVENTS: u64 = 5_000;

/// What a run has committed.
#[derive(Debug, Clone, Default)]
struct Committed {
    /// By what identifies it: subject and payload.
    outputs: BTreeMap<String, (String, Vec<u8>)>,
    /// Rankings without their scores, and the scores.
    rankings: BTreeMap<String, (Value, Vec<f64>)>,
    /// All bits of each.
    examples: Vec<Example>,
}

/// Vector, kind, place, times.
type Example = (Vec<u32>, &'static str, u32, i64, i64);

/// How a run goes.
struct Way {
    name: &'static str,
    /// Steps of so many messages, by one worker after the other.
    steps: &'static [usize],
    /// Whether workers are asked to stop, rather than dropped.
    is_orderly: bool,
}

const WAYS: [Way; 5] = [
    Way { name: "steps of 4,096", steps: &[4_096], is_orderly: true },
    Way { name: "steps of 1", steps: &[1], is_orderly: true },
    Way { name: "steps of 7", steps: &[7], is_orderly: true },
    Way { name: "stopped in between", steps: &[7, 1, 4_096], is_orderly: true },
    Way { name: "dropped in between", steps: &[97, 13, 41, 500], is_orderly: false },
];

/// Runs a pipeline over what its stream holds, from scratch.
async fn run(pipeline: &Arc<Pipeline>, bus: &Bus, url: &str, snapshots: &Path, way: &Way) -> Committed {
    let output = output_spec(pipeline).name;
    bus.ensure_stream(&output_spec(pipeline)).await.unwrap();
    let before = bus.stream_state(&output).await.unwrap().last;
    let last = bus.stream_state(&input_spec(pipeline, &pipeline.streams[0]).name).await.unwrap().last;
    for (turn, step_rows) in way.steps.iter().enumerate() {
        let settings = RunSettings {
            version: "0.0.1".to_owned(),
            snapshots: Some(Location::folder(snapshots.to_owned())),
            from_scratch: turn == 0,
            step_rows: Some(*step_rows),
            ..RunSettings::default()
        };
        let run = Run::start(Arc::clone(pipeline), bus, &settings).await.unwrap();
        let share = (turn + 1) as u64;
        let until = StreamSequence(last.0 * share / way.steps.len() as u64);
        let mut settled = run.settled();
        let reached = settled.wait_for(|position| position.of(StreamIndex(0)) >= until);
        tokio::time::timeout(PATIENCE, reached).await.unwrap().unwrap();
        if way.is_orderly || until == last {
            run.stop().await.unwrap();
        } else {
            drop(run);
        }
    }
    read(pipeline, url, before).await
}

/// Everything that was committed after a message.
async fn read(pipeline: &Pipeline, url: &str, after: StreamSequence) -> Committed {
    let context = jetstream::new(async_nats::connect(url).await.unwrap());
    let stream = context.get_stream(output_spec(pipeline).name).await.unwrap();
    let last = stream.cached_info().state.last_sequence;
    let start = jetstream::consumer::DeliverPolicy::ByStartSequence { start_sequence: after.0 + 1 };
    let config = jetstream::consumer::pull::OrderedConfig { deliver_policy: start, ..Default::default() };
    let mut messages = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
    let ranked = pipeline.score.as_ref().and_then(|score| score.publish.as_ref()).map(tidewheel::bus::Subject::as_str);
    let names = Names::of(&pipeline.name);
    let (commits, examples) = (names.commits().to_string(), names.examples().to_string());
    let mut committed = Committed::default();
    loop {
        let message = tokio::time::timeout(PATIENCE, messages.next()).await.unwrap().unwrap().unwrap();
        let sequence = message.info().unwrap().stream_sequence;
        let subject = message.subject.to_string();
        if subject == examples {
            committed.take_examples(pipeline, &message.payload);
        } else if subject != commits {
            let id = message.headers.as_ref().unwrap().get("Tidewheel-Id").unwrap().as_str().to_owned();
            let is_new = match Some(subject.as_str()) == ranked {
                true => committed.rankings.insert(id.clone(), without_scores(&message.payload)).is_none(),
                false => committed.outputs.insert(id.clone(), (subject, message.payload.to_vec())).is_none(),
            };
            assert!(is_new, "{id} is there twice");
        }
        if sequence >= last {
            committed.examples.sort_unstable();
            return committed;
        }
    }
}

fn without_scores(payload: &[u8]) -> (Value, Vec<f64>) {
    let mut ranking: Value = serde_json::from_slice(payload).unwrap();
    let items = ranking["items"].as_array_mut().unwrap();
    let scores = items.iter_mut().map(|item| item["score"].take().as_f64().unwrap()).collect();
    (ranking, scores)
}

impl Committed {
    fn take_examples(&mut self, pipeline: &Pipeline, payload: &[u8]) {
        let vector = pipeline.vector.as_ref().unwrap();
        let mut examples = Examples::new(vector.columns().len());
        decode(payload, vector.columns().len(), vector.fingerprint().as_str(), &mut examples).unwrap();
        for row in 0..examples.len() {
            let example = examples.get(row).unwrap();
            let bits = example.vector.iter().map(|value| value.to_bits()).collect();
            let (kind, place) = (example.kind.name(), example.place);
            self.examples.push((bits, kind, place, example.shown_micros, example.labelled_micros));
        }
    }

    /// Fails with the first difference.
    fn must_equal(&self, reference: &Self, way: &str) {
        let names: Vec<_> = self.outputs.keys().collect();
        assert_eq!(names, reference.outputs.keys().collect::<Vec<_>>(), "{way}");
        for (id, (subject, payload)) in &self.outputs {
            let expected = &reference.outputs[id];
            let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
            assert_eq!((subject, text(payload)), (&expected.0, text(&expected.1)), "{way}: {id}");
            assert_eq!(payload, &expected.1, "{way}: {id}");
        }
        let names: Vec<_> = self.rankings.keys().collect();
        assert_eq!(names, reference.rankings.keys().collect::<Vec<_>>(), "{way}");
        for (id, (ranking, scores)) in &self.rankings {
            let (expected, expected_scores) = &reference.rankings[id];
            assert_eq!(ranking, expected, "{way}: {id}");
            let are_close = scores.iter().zip(expected_scores).all(|(a, b)| (a - b).abs() < CLOSE);
            assert!(are_close, "{way}: {id}: {scores:?}, not {expected_scores:?}");
        }
        assert_eq!(self.examples.len(), reference.examples.len(), "{way}");
        for (here, there) in self.examples.iter().zip(&reference.examples) {
            assert_eq!(here, there, "{way}");
        }
    }
}

/// Runs a shipped pipeline in every way.
async fn every_way(name: &str, subject: &str, events: Vec<Vec<u8>>) -> Committed {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(&folder.path().join("broker")).await;
    let mut pipeline = Folder::read(&root().join("pipelines").join(name)).unwrap().assemble().unwrap();
    pipeline.state.checkpoint = Duration::from_millis(100);
    let pipeline = Arc::new(pipeline);
    bus.ensure_stream(&input_spec(&pipeline, &pipeline.streams[0])).await.unwrap();
    publish(&bus, subject, events).await;
    let mut reference = None;
    for (number, way) in WAYS.iter().enumerate() {
        let began = std::time::Instant::now();
        let snapshots = folder.path().join(format!("snapshots-{number}"));
        let committed = run(&pipeline, &bus, &server.url(), &snapshots, way).await;
        let counts = (committed.outputs.len(), committed.rankings.len(), committed.examples.len());
        println!("{name}, {}: {counts:?} outputs, rankings, examples in {:?}", way.name, began.elapsed());
        committed.must_equal(reference.get_or_insert_with(|| committed.clone()), way.name);
    }
    server.stop().await.unwrap();
    reference.unwrap()
}

fn bytes(event: &Value) -> Vec<u8> {
    serde_json::to_vec(event).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_scores_and_examples_do_not_depend_on_steps_or_restarts() {
    let _alone = alone().await;
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let events = (0..EVENTS).map(|index| {
        let ts = 1_511_658_000 + index * 2 - random.random_range(0..4);
        let (user, item) = (random.random_range(0..60_u64), random.random_range(0..40_u64));
        let kind = ["pv", "pv", "pv", "cart", "fav", "buy", "stare"][random.random_range(0..7)];
        bytes(&json!({"user_id": user, "item_id": item, "category_id": item % 5, "behavior": kind, "ts": ts}))
    });
    let committed = every_way("intent", "shop.behavior", events.collect()).await;
    assert!(!committed.outputs.is_empty() && !committed.rankings.is_empty() && !committed.examples.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_and_dead_letters_do_not_depend_on_steps_or_restarts() {
    let _alone = alone().await;
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let events = (0..EVENTS).map(|index| {
        // Some are too old for everything, some come twice, some can't be used.
        let late = if random.random_bool(0.02) { 7_200_000 } else { random.random_range(0..3_000) };
        let ts = 1_700_000_000_000_u64 + index * 700 - late;
        let (user, item) = (random.random_range(0..60_u64), random.random_range(0..40_u64));
        let id = if random.random_bool(0.05) { index / 2 } else { index };
        let kind = ["view", "view", "view", "cart", "buy", "stare"][random.random_range(0..6)];
        let price = f64::from(random.random_range(1..10_000_u32)) / 7.0;
        bytes(&json!({"event_id": format!("e{id}"), "user_id": user, "item_id": item, "category_id": item % 5,
            "kind": kind, "price": price, "ts": ts}))
    });
    let committed = every_way("trends", "shop.clicks.web", events.collect()).await;
    let tables: std::collections::BTreeSet<_> = committed.outputs.values().map(|(subject, _)| subject).collect();
    assert!(tables.len() >= 3, "{tables:?}");
}
