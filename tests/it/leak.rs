//! Nothing of a label reaches the vector that it labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tidewheel::bus::StreamSequence;
use tidewheel::engine::load_model;
use tidewheel::learn::{Example, ExampleKind, Examples, Learner};
use tidewheel::model::onnx::Document;
use tidewheel::model::train::Trainer;
use tidewheel::pipeline::StreamIndex;
use tidewheel::pipeline::{Pipeline, input_spec};
use tidewheel::step::Step;

use crate::broker::{pipeline, publish, server, start, stored, through};
use crate::learning::{examples, rows};

const EVENTS: i64 = 20_000;
const PEOPLE: usize = 200;
/// Examples whose vectors are made again.
const SAMPLED: usize = 40;
const START: i64 = 1_511_658_000;

/// One event a second, so that its time says which it is. Every fourth person often takes what they looked at.
fn behaviour() -> Vec<Vec<u8>> {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut looked_at: Vec<Option<i64>> = vec![None; PEOPLE];
    (0..EVENTS)
        .map(|index| {
            let user = random.random_range(0..PEOPLE);
            let eager = if user % 4 == 0 { 0.5 } else { 0.04 };
            let (item, kind) = match looked_at[user].take_if(|_| random.random_bool(eager)) {
                Some(item) => (item, "cart"),
                None => (random.random_range(0..8) + (user as i64 % 20) * 8, "pv"),
            };
            if kind == "pv" {
                looked_at[user] = Some(item);
            }
            let event = json!({
                "user_id": user, "item_id": item, "category_id": item / 8, "behavior": kind, "ts": START + index,
            });
            serde_json::to_vec(&event).unwrap()
        })
        .collect()
}

/// The area under the curve of a learner that has seen these examples once, each scored before it was learnt from.
fn prequential_auc(pipeline: &Pipeline, examples: &Examples) -> f64 {
    let (plan, vector, model) =
        (pipeline.train.as_ref().unwrap(), pipeline.vector.as_ref().unwrap(), pipeline.model.as_ref().unwrap());
    let trainer = Trainer::new(Document::read(&model.bytes).unwrap(), &model.binding(vector), &plan.settings).unwrap();
    let scorer = || load_model(pipeline).unwrap().unwrap();
    let mut learner = Learner::new(trainer, scorer(), scorer(), plan.learner.clone());
    for batch in rows(examples).chunks(plan.learner.batch) {
        let mut new = Examples::new(examples.width());
        for example in batch {
            new.push(*example).unwrap();
        }
        learner.learn(&mut new).unwrap();
    }
    let report = learner.evaluation();
    let all = report.horizons.last().unwrap();
    assert_eq!(all.rows, examples.len());
    all.learning.metrics.auc.unwrap()
}

/// The same examples with the labels of others.
fn shuffled(examples: &Examples) -> Examples {
    let mut kinds: Vec<ExampleKind> = examples.kinds().to_vec();
    kinds.shuffle(&mut ChaCha8Rng::seed_from_u64(5));
    let mut shuffled = Examples::new(examples.width());
    for (example, kind) in rows(examples).into_iter().zip(kinds) {
        shuffled.push(Example { kind, ..example }).unwrap();
    }
    shuffled
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vector_knows_what_was_before_it_and_nothing_of_its_label() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = pipeline("intent");
    let run = start(&pipeline, &bus).await;
    publish(&bus, "shop.behavior", behaviour()).await;
    through(&run, &bus, &pipeline).await;
    let counts = run.stats().labels();
    run.stop().await.unwrap();
    let made = examples(&bus, &pipeline).await;
    let messages = stored(&bus, &input_spec(&pipeline, &pipeline.streams[0]).name).await;
    server.stop().await.unwrap();
    assert_eq!(made.len() as u64, counts.examples());
    assert!(counts.positives > 1_000 && counts.negatives > 5_000, "{counts:?}");

    // Each sampled vector is that of a step to which nothing after the event that was scored has ever happened.
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let columns = pipeline.vector.as_ref().unwrap().columns();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..SAMPLED {
        let example = made.get(random.random_range(0..made.len())).unwrap();
        let index = (example.shown_micros / 1_000_000 - START) as usize;
        assert_eq!(messages[index].sequence, StreamSequence(index as u64 + 1));
        let mut step = Step::new(Arc::clone(&pipeline)).unwrap();
        let matrix = step.events(StreamIndex(0), &messages[..=index], true).unwrap().job.matrix;
        let alone = matrix.values.chunks(columns.len()).next_back().unwrap();
        assert_eq!(example.vector, alone, "event {index}");
        assert!(example.labelled_micros > example.shown_micros);
        *kinds.entry(example.kind.name()).or_default() += 1;
    }
    assert!(kinds.contains_key("positive") && kinds.contains_key("negative"), "{kinds:?}");

    // What can be learnt is learnt, and it goes with the labels.
    let (true_labels, others_labels) =
        (prequential_auc(&pipeline, &made), prequential_auc(&pipeline, &shuffled(&made)));
    println!("prequential AUC: {true_labels:.4}, with shuffled labels {others_labels:.4}");
    assert!(true_labels > 0.65, "{true_labels}");
    assert!((others_labels - 0.5).abs() < 0.03, "{others_labels}");
}
