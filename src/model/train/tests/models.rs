//! Whole models, differentiated and trained.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::model::{
    Binding, MlpSpec, build_mlp,
    gradient::Loss,
    onnx::{
        Dimension::{Fixed, Named},
        Document, GraphBuilder,
        proto::data_type::FLOAT,
    },
    train::testing::ITEMS,
};

fn differentiated(settings: &TrainSettings) -> Trainer {
    let columns = COLUMNS.map(str::to_owned);
    let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output: None };
    Trainer::new(document(), &binding, settings).unwrap()
}

fn mlp(columns: usize, hidden: &[usize], settings: &TrainSettings) -> Trainer {
    let columns: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    let spec = MlpSpec { columns, hidden: hidden.to_vec(), dropout: 0.0, seed: 1, fingerprint: "8a21".to_owned() };
    let document = Document::read(&build_mlp(&spec).unwrap()).unwrap();
    let binding = Binding { inputs: None, columns: &spec.columns, fingerprint: Some("8a21"), output: None };
    Trainer::new(document, &binding, settings).unwrap()
}

/// The part of (positive, negative) pairs in which the positive has the higher score, ties counting half.
fn auc(scores: &[f32], labels: &[f32]) -> f64 {
    let (mut pairs, mut won) = (0.0, 0.0);
    for (score, _) in scores.iter().zip(labels).filter(|(_, label)| **label == 1.0) {
        for (other, _) in scores.iter().zip(labels).filter(|(_, label)| **label == 0.0) {
            pairs += 1.0;
            won += if score > other {
                1.0
            } else if score == other {
                0.5
            } else {
                0.0
            };
        }
    }
    won / pairs
}

/// Vectors of which the label depends on the product of two columns: no linear model can learn it.
fn products(random: &mut ChaCha8Rng, rows: usize, columns: usize) -> Rows {
    let matrix: Vec<f32> = (0..rows * columns).map(|_| random.random_range(-2.0..2.0)).collect();
    let labels = matrix.chunks(columns).map(|row| f32::from(u8::from(row[0] * row[1] > 0.0))).collect();
    Rows { matrix, labels, weights: Vec::new(), offsets: Vec::new() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_differentiated_model_trains_as_the_one_differentiated_by_hand(
        seeds in prop::collection::vec(any::<u16>(), 1..5), clip in prop_oneof![Just(None), Just(Some(0.1_f32))]
    ) {
        let settings = TrainSettings { clip_norm: clip, ..settings(PLAIN) };
        let [mut found, mut expected] = [differentiated(&settings), trainer(&settings)];
        for seed in seeds {
            let mut random = ChaCha8Rng::seed_from_u64(u64::from(seed));
            let mut row = || {
                let x = [random.random_range(-2.0..2.0), random.random_range(-2.0..2.0)];
                let label = f64::from(random.random_range(0..2_u8));
                (x, random.random_range(0..ITEMS), label, random.random_range(0.1..2.0), random.random_range(-1.0..1.0))
            };
            let rows = Rows::of(&[row(), row(), row(), row()]);
            let outcomes = [found.step(rows.batch()).unwrap(), expected.step(rows.batch()).unwrap()];
            let [Outcome::Updated { loss, gradient_norm }, Outcome::Updated { loss: other, gradient_norm: norm }] = outcomes
            else { panic!("skipped") };
            prop_assert!((loss - other).abs() < 1e-5 && (gradient_norm - norm).abs() < 1e-5);
            let mut scores = [Vec::new(), Vec::new()];
            found.predict(&rows.matrix, 4, &mut scores[0]).unwrap();
            expected.predict(&rows.matrix, 4, &mut scores[1]).unwrap();
            for (score, other) in scores[0].iter().zip(&scores[1]) {
                prop_assert!((score - other).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn a_small_network_learns_what_no_linear_model_can() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let fast = OptimizerSpec::AdamW { learning_rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
    let freeze = vec!["normalise.*".to_owned()];
    let mut trainer = mlp(6, &[32, 16], &TrainSettings { clip_norm: Some(5.0), freeze, ..settings(fast) });
    let held_out = products(&mut random, 500, 6);
    let mut scores = Vec::new();
    trainer.predict(&held_out.matrix, 500, &mut scores).unwrap();
    let before = auc(&scores, &held_out.labels);
    for _ in 0..400 {
        let rows = products(&mut random, 64, 6);
        assert!(matches!(trainer.step(rows.batch()).unwrap(), Outcome::Updated { .. }));
    }
    trainer.predict(&held_out.matrix, 500, &mut scores).unwrap();
    let after = auc(&scores, &held_out.labels);
    assert!(before < 0.7 && after > 0.9, "{before} {after}");
    assert!(trainer.weights_are_finite());
}

#[test]
fn what_is_frozen_keeps_its_bytes() {
    let freeze = vec!["normalise.*".to_owned(), "dense_0.weight".to_owned()];
    let mut trainer = mlp(6, &[8], &TrainSettings { freeze, ..settings(ADAMW) });
    let before = trainer.document();
    trainer.step(products(&mut ChaCha8Rng::seed_from_u64(7), 64, 6).batch()).unwrap();
    let after = trainer.document();
    let changed: Vec<&str> = before
        .graph()
        .initializer
        .iter()
        .zip(&after.graph().initializer)
        .filter(|(before, after)| before != after)
        .map(|(tensor, _)| tensor.name())
        .collect();
    assert_eq!(changed, ["dense_0.bias", "logit.weight", "logit.bias"]);
    assert_eq!(before.metadata(), after.metadata());
}

#[test]
fn a_gradient_that_is_no_number_is_skipped_also_when_the_loss_is_one() {
    // A relu may swallow a NaN on the way to the loss; the gradient of the first layer still has it.
    let mut trainer = mlp(3, &[8, 4], &settings(ADAMW));
    let mut rows = products(&mut ChaCha8Rng::seed_from_u64(3), 16, 3);
    trainer.step(rows.batch()).unwrap();
    let before = trainer.save();
    rows.matrix[4] = f32::NAN;
    assert!(matches!(trainer.step(rows.batch()).unwrap(), Outcome::Skipped { .. }));
    assert_eq!(trainer.save(), before);
}

#[test]
fn a_network_restored_half_way_goes_on_bit_for_bit() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let batches: Vec<Rows> = (0..20).map(|_| products(&mut random, 32, 6)).collect();
    let mut straight = mlp(6, &[16], &settings(ADAMW));
    let mut saved = Vec::new();
    for (number, rows) in batches.iter().enumerate() {
        if number == 10 {
            saved = straight.save();
        }
        straight.step(rows.batch()).unwrap();
    }
    let mut restored = mlp(6, &[16], &settings(ADAMW));
    restored.restore(&saved).unwrap();
    for rows in &batches[10..] {
        restored.step(rows.batch()).unwrap();
    }
    assert_eq!(restored.save(), straight.save());
}

#[test]
fn two_classes_are_trained_by_their_number_and_scored_by_the_second() {
    let mut graph = GraphBuilder::new("classes");
    graph.input("x", FLOAT, &[Named("batch"), Fixed(2)]);
    graph.initializer("w", &[2, 2], &[0.1, -0.1, 0.2, 0.0]);
    graph.node("MatMul", &["x", "w"], "z");
    graph.node_with("Softmax", &["z"], "p", &[("axis", -1)]);
    graph.output("p", FLOAT, &[Named("batch"), Fixed(2)]);
    let document = Document::new(graph.finish());
    let columns = ["a".to_owned(), "b".to_owned()];
    let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output: None };
    let softmax = TrainSettings { loss: Loss::SoftmaxCrossEntropy, ..settings(PLAIN) };
    let mut trainer = Trainer::new(document, &binding, &softmax).unwrap();
    let rows = Rows { matrix: vec![1.0, 0.0, 0.0, 1.0], labels: vec![1.0, 0.0], ..Rows::default() };
    for _ in 0..50 {
        trainer.step(rows.batch()).unwrap();
    }
    let mut scores = Vec::new();
    trainer.predict(&rows.matrix, 2, &mut scores).unwrap();
    assert!(scores[0] > 0.9 && scores[1] < 0.1, "{scores:?}");
    insta::assert_snapshot!(
        trainer.step(Batch { labels: &[0.5, 0.0], ..rows.batch() }).unwrap_err(),
        @"the label of row 0 is 0.5: it must be the number of a class, from 0"
    );
    assert!(trainer.step(Batch { offsets: &[0.5, 0.0], ..rows.batch() }).is_err());

    let mut three = GraphBuilder::new("three");
    three.input("x", FLOAT, &[Named("batch"), Fixed(2)]);
    three.initializer("w", &[2, 3], &[0.1; 6]);
    three.node("MatMul", &["x", "w"], "z");
    three.node("Sigmoid", &["z"], "p");
    three.output("p", FLOAT, &[Named("batch"), Named("several")]);
    insta::assert_snapshot!(
        Trainer::new(Document::new(three.finish()), &binding, &settings(PLAIN)).unwrap_err(),
        @"the loss takes train.label float32 [?, 3], a batch has one label per row: train an output of shape [batch], [batch, 1] or [batch, 2]"
    );
}

/// `cargo test --release how_long -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn how_long_is_a_step_of_a_256_256_128_1_network_on_512_rows() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let rows = products(&mut random, 512, 256);
    let columns: Vec<String> = (0..256).map(|column| format!("c{column}")).collect();
    let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output: None };
    let mut graph = GraphBuilder::new("plain");
    graph.input("x", FLOAT, &[Named("batch"), Fixed(256)]);
    let mut value = "x".to_owned();
    for (layer, [inputs, outputs]) in [[256, 256], [256, 128], [128, 1]].into_iter().enumerate() {
        let name = |part: &str| format!("{part}{layer}");
        let weights: Vec<f32> = (0..inputs * outputs).map(|_| random.random_range(-0.1..0.1)).collect();
        graph.initializer(&name("w"), &[inputs, outputs], &weights);
        graph.initializer(&name("b"), &[outputs], &vec![0.0; outputs]);
        graph.node("Gemm", &[&value, &name("w"), &name("b")], &name("z"));
        value = name("a");
        graph.node(if layer < 2 { "Relu" } else { "Sigmoid" }, &[&name("z")], &value);
    }
    graph.output(&value, FLOAT, &[Named("batch"), Fixed(1)]);
    let mut trainer = Trainer::new(Document::new(graph.finish()), &binding, &settings(ADAMW)).unwrap();
    let best = |run: &mut dyn FnMut()| {
        let elapsed = |_| {
            let start = std::time::Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e3
        };
        let mut times: Vec<f64> = (0..400).map(elapsed).collect();
        times.sort_by(f64::total_cmp);
        format!("best {:.3} ms, median {:.3} ms", times[0], times[200])
    };
    eprintln!("step: {}", best(&mut || drop(trainer.step(rows.batch()).unwrap())));
    let mut scores = Vec::new();
    eprintln!("predict: {}", best(&mut || trainer.predict(&rows.matrix, 512, &mut scores).unwrap()));
    eprintln!("document: {}", best(&mut || drop(trainer.document())));
    eprintln!("save: {}", best(&mut || drop(trainer.save())));
}
