//! One step after the other.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::learn::EvaluationError;
use crate::learn::testing::{batch, example, learner, weights};
use crate::learn::{Example, ExampleKind};
use crate::model::onnx::{Dimension, Document, GraphBuilder, proto::data_type::FLOAT};
use crate::model::{Binding, Session};

#[test]
fn every_example_is_scored_before_it_is_learnt_from() {
    let mut learner = learner();
    learner.learn(&mut batch(0..64)).unwrap();
    let report = learner.evaluation();
    let first = report.horizons.last().unwrap();
    assert_eq!(first.rows, 64);
    let (learning, reference) = (first.learning.metrics.log_loss, first.reference.metrics.log_loss);
    assert!((learning - reference).abs() < 1e-6, "nothing was learnt before the first batch");
    learner.learn(&mut batch(64..128)).unwrap();
    let report = learner.evaluation();
    let both = report.horizons.last().unwrap();
    assert!((both.learning.metrics.log_loss - both.reference.metrics.log_loss).abs() > 1e-3);
}

#[test]
fn a_step_takes_older_examples_by_the_share_that_is_set_and_never_those_of_its_own_batch() {
    let mut learner = learner();
    let mut first = batch(0..40);
    learner.learn(&mut first).unwrap();
    assert_eq!(first, batch(0..40), "there is nothing older");
    let mut second = batch(40..80);
    learner.learn(&mut second).unwrap();
    assert_eq!(second.len(), 60, "one half of an older one for each new one");
    let older = 0..40_000;
    assert!(second.shown_micros()[40..].iter().all(|micros| older.contains(micros)));
}

#[test]
fn a_sample_of_the_negatives_gives_the_probabilities_of_all() {
    let mut learner = learner();
    learner.settings.negative_rate = 0.2;
    learner.settings.replay_share = 0.0;
    let (mut positives, mut all) = (0, 0);
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let shown = batch(0..40);
    for _ in 0..1_500 {
        // Labels that no column explains; four negatives in five are left out.
        let mut sampled = Examples::new(3);
        for example in (0..40).map_while(|row| shown.get(row)) {
            let is_positive = random.random_bool(0.3);
            (positives, all) = (positives + u32::from(is_positive), all + 1);
            let kind = if is_positive { ExampleKind::Positive } else { ExampleKind::Negative };
            if is_positive || random.random_bool(0.2) {
                let sampling = if is_positive { 1.0 } else { 0.2 };
                sampled.push(Example { kind, sampling, ..example }).unwrap();
            }
        }
        learner.learn(&mut sampled).unwrap();
    }
    let mut scores = Vec::new();
    learner.trainer.predict(shown.vectors(), 40, &mut scores).unwrap();
    let mean = f64::from(scores.iter().sum::<f32>()) / 40.0;
    let rate = f64::from(positives) / f64::from(all);
    // Without the correction it would be near 0.68.
    assert!((mean - rate).abs() < 0.05, "{mean} against {rate}");
}

/// One example whose loss was not finite cost the whole batch it came in, and three such batches the training.
#[test]
fn an_example_that_cannot_be_learnt_from_is_left_out_and_the_others_are_learnt() {
    let (mut learner, mut honest) = (learner(), crate::learn::testing::learner());
    for learner in [&mut learner, &mut honest] {
        learner.settings.replay_share = 0.0;
    }
    for number in 0..5 {
        let numbers = number * 32..(number + 1) * 32;
        let mut bad = Examples::new(3);
        for row in 0..32 {
            if row % 9 == 4 {
                bad.push(Example { vector: &[f32::INFINITY, -1.0, 0.0], ..example(&[], 9) }).unwrap();
            }
            bad.push(batch(numbers.clone()).get(row).unwrap()).unwrap();
        }
        let Lesson { learnt, left_out } = learner.learn(&mut bad).unwrap();
        assert!(matches!(learnt, Learnt::Updated { loss } if loss.is_finite()), "{learnt:?}");
        assert_eq!((left_out.rows, left_out.examples.len(), left_out.reasons.len()), (vec![4, 14, 24, 34], 4, 4));
        assert_eq!(bad, batch(numbers.clone()), "the others stay in their order");
        honest.learn(&mut batch(numbers)).unwrap();
    }
    assert_eq!(weights(&learner), weights(&honest), "bit for bit as if the bad ones had never come");
    assert_eq!((learner.skipped(), learner.reservoir.seen()), (0, 160));
}

#[test]
fn batches_of_nothing_but_bad_examples_stop_nothing() {
    let mut learner = learner();
    let before = weights(&learner);
    for _ in 0..2 * MOST_SKIPPED {
        let mut bad = Examples::new(3);
        bad.push(Example { vector: &[f32::NAN; 3], ..example(&[], 1) }).unwrap();
        let Lesson { learnt, left_out } = learner.learn(&mut bad).unwrap();
        assert_eq!((learnt, left_out.rows), (Learnt::Nothing, vec![0]));
    }
    assert_eq!((weights(&learner), learner.reservoir.seen(), learner.skipped()), (before, 0, 0));
    assert!(matches!(learner.learn(&mut batch(32..64)).unwrap().learnt, Learnt::Updated { .. }));
}

#[test]
fn a_model_that_can_learn_from_nothing_skips_whole_batches_and_counts_them_in_a_row() {
    let mut learner = learner();
    learner.settings.negative_rate = f32::NAN;
    let before = weights(&learner);
    for expected in 1..=2 {
        let Lesson { learnt, left_out } = learner.learn(&mut batch(32..64)).unwrap();
        assert!(matches!(learnt, Learnt::Skipped { in_a_row, .. } if in_a_row == expected), "{learnt:?}");
        assert!(left_out.examples.is_empty());
    }
    assert_eq!((weights(&learner), learner.reservoir.seen(), learner.skipped()), (before, 0, 2));
    learner.settings.negative_rate = 1.0;
    assert!(matches!(learner.learn(&mut batch(32..64)).unwrap().learnt, Learnt::Updated { .. }));
    assert_eq!((learner.skipped_in_a_row, learner.skipped()), (0, 2));
}

/// A model whose scores are sums of the columns, far above 1, or what an operator makes of them.
fn sums(weight: f32, operator: Option<&str>) -> Scorer {
    weighted([weight; 3], operator)
}

/// The same with a weight for each column.
fn weighted(weights: [f32; 3], operator: Option<&str>) -> Scorer {
    let mut graph = GraphBuilder::new("sums");
    graph.input("features", FLOAT, &[Dimension::Named("batch"), Dimension::Fixed(3)]);
    graph.initializer("weights", &[3, 1], &weights);
    graph.node("MatMul", &["features", "weights"], if operator.is_some() { "sum" } else { "score" });
    if let Some(operator) = operator {
        graph.node(operator, &["sum"], "score");
    }
    graph.output("score", FLOAT, &[Dimension::Named("batch"), Dimension::Fixed(1)]);
    let columns = ["a", "b", "c"].map(str::to_owned);
    let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output: None };
    Session::from_bytes(&Document::new(graph.finish()).write(), 1).unwrap().bind(&binding).unwrap()
}

/// Training stopped where one prediction was 1.0000001.
#[test]
fn a_model_that_is_quite_sure_is_learnt_with() {
    for weight in [16.0, 100.0, 1e6] {
        let mut learner = learner();
        learner.set_reference(sums(weight, Some("Sigmoid")));
        learner.learn(&mut batch(0..64)).unwrap();
        assert_eq!((learner.evaluation().recorded, learner.trainer.steps()), (64, 1));
    }
}

/// What ONNX Runtime's Sigmoid gives from a logit of 15.84 on is one number, and no order is left.
#[test]
fn a_model_is_judged_by_its_logits_where_probabilities_are_all_the_same() {
    let mut learner = learner();
    learner.set_reference(sums(16.0, Some("Sigmoid")));
    let examples = batch(0..400);
    learner.learn(&mut batch(0..400)).unwrap();
    let reference = learner.evaluation().horizons.last().unwrap().reference.metrics;
    let (mut loss, mut wins, mut pairs) = (0.0, 0.0, 0.0);
    let rows: Vec<(f64, bool)> = (0..400)
        .map_while(|row| examples.get(row))
        .map(|example| {
            let logit: f64 = example.vector.iter().map(|value| f64::from(*value) * 16.0).sum();
            (logit, example.kind == ExampleKind::Positive)
        })
        .collect();
    for (logit, is_positive) in &rows {
        loss += if *is_positive { (-logit).exp().ln_1p() } else { logit + (-logit).exp().ln_1p() };
        for (other, _) in rows.iter().filter(|(_, other)| *is_positive && !other) {
            wins += if logit > other { 1.0 } else { 0.0 };
            pairs += 1.0;
        }
    }
    assert!((reference.log_loss / (loss / 400.0) - 1.0).abs() < 1e-5, "{reference:?}");
    assert!((reference.auc.unwrap() - wins / pairs).abs() < 1e-3, "{reference:?}, not {}", wins / pairs);
}

#[test]
fn scores_that_are_no_probabilities_are_refused_unless_amounts_are_learnt() {
    let mut learner = learner();
    learner.set_reference(sums(10.0, None));
    let refused = learner.learn(&mut batch(0..8)).unwrap_err();
    assert!(matches!(refused, LearnError::Evaluation(EvaluationError::Prediction { .. })), "{refused}");
    assert_eq!(learner.trainer.steps(), 0);
    learner.settings.scores_are_amounts = true;
    learner.learn(&mut batch(0..8)).unwrap();
    assert_eq!((learner.evaluation().recorded, learner.trainer.steps()), (8, 1));
}

#[test]
fn the_gate_decides_on_a_model_that_a_person_has_named_as_on_the_weights_in_training() {
    let mut learner = learner();
    let mut decided = |candidate: Option<Scorer>| {
        learner.set_candidate(candidate);
        for number in 0..10 {
            learner.learn(&mut batch(number * 50..(number + 1) * 50)).unwrap();
        }
        learner.decide_on_candidate().unwrap()
    };
    assert_eq!(decided(None), None);
    assert_eq!(decided(Some(crate::learn::testing::scorer())), Some(GateDecision::Promote), "as good as what serves");
    // Neither what it says of the examples nor that it says something else than probabilities stops training.
    for candidate in [weighted([-1.0, 1.0, 0.0], Some("Sigmoid")), sums(10.0, None)] {
        let decision = decided(Some(candidate));
        assert!(matches!(decision, Some(GateDecision::Refuse { .. })), "{decision:?}");
    }
    assert_eq!(decided(None), None, "it was withdrawn");
    learner.set_candidate(Some(crate::learn::testing::scorer()));
    assert!(matches!(learner.decide_on_candidate().unwrap(), Some(GateDecision::Wait { .. })));
}

#[test]
fn the_gate_decides_when_the_examples_own_time_says_so_and_starts_anew_with_another_active_model() {
    let mut learner = learner();
    assert_eq!(learner.decide().unwrap(), None, "there is no example");
    let mut decisions = Vec::new();
    // A batch lasts 50 ms of event time; decisions are due every 500 ms.
    for number in 0..40 {
        learner.learn(&mut batch(number * 50..(number + 1) * 50)).unwrap();
        decisions.extend(learner.decide().unwrap().map(|decision| (number, decision)));
    }
    let due: Vec<u64> = decisions.iter().map(|(number, _)| *number).collect();
    assert_eq!(due, [10, 20, 30]);
    assert_eq!(decisions.last().map(|(_, decision)| decision), Some(&GateDecision::Promote));

    let active = crate::learn::testing::scorer();
    learner.set_active(active);
    for number in 40..42 {
        learner.learn(&mut batch(number * 50..(number + 1) * 50)).unwrap();
    }
    learner.decided_micros = Some(0);
    assert!(matches!(learner.decide().unwrap(), Some(GateDecision::Wait { .. })));
}
