//! What the tests of learning share: a small model, and examples that it can learn from.

use std::ops::Range;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Example, ExampleKind, Examples, GateMetric, GateSettings, Learner, LearnerSettings, Provenance};
use crate::model::gradient::Loss;
use crate::model::onnx::Document;
use crate::model::optimiser::OptimizerSpec;
use crate::model::train::{TrainSettings, Trainer};
use crate::model::{Binding, MlpSpec, Scorer, Session, build_mlp};

pub(super) const FINGERPRINT: &str = "f00d";
const COLUMNS: [&str; 3] = ["a", "b", "c"];

fn model() -> Vec<u8> {
    let spec = MlpSpec {
        columns: COLUMNS.map(str::to_owned).to_vec(),
        hidden: vec![8],
        dropout: 0.0,
        seed: 4,
        fingerprint: FINGERPRINT.to_owned(),
    };
    build_mlp(&spec).unwrap()
}

fn with_binding<T>(use_it: impl FnOnce(&Binding<'_>) -> T) -> T {
    let columns = COLUMNS.map(str::to_owned);
    use_it(&Binding { inputs: None, columns: &columns, fingerprint: Some(FINGERPRINT), output: None })
}

/// The model as it began.
pub(super) fn scorer() -> Scorer {
    with_binding(|binding| Session::from_bytes(&model(), 1).unwrap().bind(binding).unwrap())
}

/// A learner that has learnt nothing: half an older example for each new one, a decision each half second of event time.
pub(super) fn learner() -> Learner {
    let settings = TrainSettings {
        loss: Loss::BinaryCrossEntropy,
        optimizer: OptimizerSpec::AdamW {
            learning_rate: 0.02,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        },
        clip_norm: None,
        freeze: Vec::new(),
        unfreeze: Vec::new(),
        dropout: false,
        threads: 1,
        output: None,
        activation: None,
    };
    let gate = GateSettings {
        metric: GateMetric::Auc,
        holdout: 400,
        tolerance: 0.0,
        least_positives: 5,
        label_rate_factor: 100.0,
        label_rate_examples: 100,
    };
    let learning = LearnerSettings {
        batch: 50,
        replay: 200,
        replay_share: 0.5,
        negative_rate: 1.0,
        scores_are_amounts: false,
        promote_every_micros: 500_000,
        label_span_micros: 10_000_000,
        gate,
        remembered: 10_000,
        seed: 1,
    };
    let trainer = with_binding(|binding| Trainer::new(Document::read(&model()).unwrap(), binding, &settings).unwrap());
    Learner::new(trainer, scorer(), scorer(), learning)
}

/// The model's file as it is now.
pub(super) fn weights(learner: &Learner) -> Vec<u8> {
    learner.trainer().document().write()
}

/// Example `number`, a millisecond after the one before.
pub(super) fn example(vector: &[f32], number: u64) -> Example<'_> {
    let positive = vector.first() > vector.get(1);
    let micros = number as i64 * 1_000;
    Example {
        vector,
        kind: if positive { ExampleKind::Positive } else { ExampleKind::Negative },
        sampling: 1.0,
        shown_micros: micros,
        labelled_micros: micros,
        place: 0,
        provenance: Provenance::unknown(),
    }
}

/// Examples that are positive where the first column is above the second.
pub(super) fn batch(numbers: Range<u64>) -> Examples {
    let mut examples = Examples::new(COLUMNS.len());
    for number in numbers {
        let mut random = ChaCha8Rng::seed_from_u64(number);
        let vector: Vec<f32> = COLUMNS.iter().map(|_| random.random_range(0.0..3.0)).collect();
        examples.push(example(&vector, number)).unwrap();
    }
    examples
}
