//! Training over a stream of examples that can be learnt from: versions, checkpoints, and going on after a stop.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewheel::bus::Bus;
use tidewheel::config::Folder;
use tidewheel::engine::{Training, TrainingOptions, TrainingReport};
use tidewheel::learn::{CheckpointHead, Example, ExampleKind, Examples, Provenance, encode, read_head};
use tidewheel::pipeline::{Names, Pipeline, output_spec};
use tidewheel::registry::{ModelKind, Registry};

use crate::broker::{publish, server};
use crate::learning::until;
use crate::taobao::root;

/// Examples of a message.
const ROWS: usize = 50;

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A copy of the pipeline `recommend` below a folder, which promotes and saves every second.
pub fn hasty(folder: &Path) -> PathBuf {
    copy(&root().join("schemas"), &folder.join("schemas"));
    let pipeline = folder.join("pipelines/recommend");
    copy(&root().join("pipelines/recommend"), &pipeline);
    let file = pipeline.join("pipeline.toml");
    let text = fs::read_to_string(&file).unwrap();
    let is_replaced = |line: &str| {
        let setting = line.split_whitespace().next().unwrap_or_default();
        ["promote", "checkpoint"].contains(&setting) || (setting == "batch" && !line.contains('{'))
    };
    let kept: Vec<&str> = text.lines().filter(|line| !is_replaced(line)).collect();
    assert!(kept.len() < text.lines().count() && !text.contains("[state]"), "the shipped pipeline has changed");
    // `[train]` is the last section.
    let hasty = format!(
        r#"
        promote = {{ every = "1s", holdout = 500, tolerance = 0.2, label_rate_jump = 1000 }}
        checkpoint = "1s"
        batch = 64
        [state]
        folder = "{}"
        "#,
        folder.join("state").display()
    );
    fs::write(file, kept.join("\n") + &hasty).unwrap();
    pipeline
}

/// Messages of examples, 10 ms apart, whose first two columns say how likely a positive is.
pub async fn teach(bus: &Bus, pipeline: &Pipeline, messages: Range<usize>) {
    let vector = pipeline.vector.as_ref().unwrap();
    let columns = vector.columns().len();
    let message = |number: usize| {
        let mut random = ChaCha8Rng::seed_from_u64(number as u64);
        let mut examples = Examples::new(columns);
        for row in 0..ROWS {
            let values: Vec<f32> = (0..columns).map(|_| random.random_range(0.0..3.0)).collect();
            let chance = 1.0 / (1.0 + (-2.0 * f64::from(values[0] - values[1])).exp());
            let kind = if random.random_bool(chance) { ExampleKind::Positive } else { ExampleKind::Negative };
            let micros = ((number * ROWS + row) * 10_000) as i64;
            let example = Example {
                vector: &values,
                kind,
                sampling: 1.0,
                shown_micros: micros,
                labelled_micros: micros + 1_000_000,
                place: row as u32,
                provenance: Provenance::unknown(),
            };
            examples.push(example).unwrap();
        }
        encode(&examples, vector.fingerprint().as_str()).unwrap()
    };
    publish(bus, Names::of(&pipeline.name).examples().as_str(), messages.map(message)).await;
}

/// Where the newest message of examples is; 0 where there is none.
pub async fn last_example(bus: &Bus, pipeline: &Pipeline) -> u64 {
    let subject = Names::of(&pipeline.name).examples();
    let last = bus.last_message(&output_spec(pipeline).name, &subject).await.unwrap();
    last.map_or(0, |message| message.sequence.0)
}

/// Trains until the last message, or until training stops by itself; what it said, and what it saved.
pub async fn train(bus: &Bus, pipeline: &Arc<Pipeline>) -> (TrainingReport, CheckpointHead) {
    let last = last_example(bus, pipeline).await;
    let training = Training::start(Arc::clone(pipeline), bus, TrainingOptions::default()).await.unwrap();
    let report = until("training", async || {
        let report = training.report().await.unwrap();
        (report.position == last || report.stopped.is_some()).then_some(report)
    });
    let report = report.await;
    training.stop().await.unwrap();
    let registry = Registry::open(bus, Names::of(&pipeline.name).registry(), None).await.unwrap();
    let checkpoint = registry.load_checkpoint().await.unwrap().unwrap();
    (report, read_head(&checkpoint).unwrap().0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn training_promotes_what_it_learnt_and_goes_on_where_its_checkpoint_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = Arc::new(Folder::read(&hasty(folder.path())).unwrap().assemble().unwrap());
    bus.ensure_stream(&output_spec(&pipeline)).await.unwrap();

    teach(&bus, &pipeline, 0..120).await;
    let (report, head) = train(&bus, &pipeline).await;
    assert_eq!((report.examples, report.position, report.skipped), (6_000, 120, 0));
    assert_eq!(report.stopped, None);
    assert_eq!((head.examples, head.position), (6_000, 120));
    let evaluation = report.evaluation.unwrap();
    let newest = evaluation.horizons.first().unwrap();
    let (learning, reference) = (newest.learning.metrics.auc.unwrap(), newest.reference.metrics.auc.unwrap());
    assert!(learning > 0.7 && learning > reference + 0.05, "{learning} {reference}");

    let registry = Registry::open(&bus, Names::of(&pipeline.name).registry(), None).await.unwrap();
    let pointer = registry.pointer().await.unwrap().unwrap();
    assert!(report.promoted >= 2 && pointer.history.len() as u64 == 1 + report.promoted, "{pointer:?}");
    let mut newest = registry.record(&pointer.active).await.unwrap();
    assert!(newest.example_position > 0 && newest.example_position <= 120);
    // Every version comes from the one before it, back to the folder's.
    for parent in &pointer.previous {
        assert_eq!((newest.kind, newest.parent.as_ref()), (ModelKind::Trained, Some(parent)));
        assert_eq!(newest.root, pointer.first);
        let record = registry.record(parent).await.unwrap();
        assert!(record.example_position < newest.example_position);
        newest = record;
    }
    assert_eq!(newest.version, pointer.first);

    let (again, unchanged) = train(&bus, &pipeline).await;
    assert_eq!((again.examples, again.steps), (6_000, report.steps), "nothing is learnt twice");
    assert_eq!(unchanged, head);

    teach(&bus, &pipeline, 120..160).await;
    let (more, head) = train(&bus, &pipeline).await;
    assert_eq!((more.examples, head.examples, head.position), (8_000, 8_000, 160));
    assert!(more.steps > report.steps);
    server.stop().await.unwrap();
}
