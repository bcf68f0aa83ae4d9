//! Trainers against plain arithmetic, and what must not change.

mod bits;
mod constants;
mod models;
mod steps;

use super::{
    Batch, Outcome, TrainSettings, Trainer,
    graph_trainer::NotFinite,
    testing::{COLUMNS, Naive, Row, document, feeding, fitted, gradient, settings},
};
use crate::model::{ModelError, optimiser::OptimizerSpec};

const PLAIN: OptimizerSpec = OptimizerSpec::Sgd { learning_rate: 0.5, momentum: 0.0, nesterov: false };
const ADAMW: OptimizerSpec =
    OptimizerSpec::AdamW { learning_rate: 0.05, beta1: 0.9, beta2: 0.99, epsilon: 1e-6, weight_decay: 0.01 };

fn trainer(settings: &TrainSettings) -> Trainer {
    Trainer::with_gradient(document(), gradient(), fitted(), feeding(), settings).unwrap()
}

/// Rows as a trainer takes them.
#[derive(Debug, Clone, PartialEq, Default)]
struct Rows {
    matrix: Vec<f32>,
    labels: Vec<f32>,
    weights: Vec<f32>,
    offsets: Vec<f32>,
}

impl Rows {
    fn of(rows: &[Row]) -> Self {
        let mut all = Self::default();
        for &(x, item, label, weight, offset) in rows {
            all.matrix.extend([x[0] as f32, x[1] as f32, item as f32]);
            all.labels.push(label as f32);
            all.weights.push(weight as f32);
            all.offsets.push(offset as f32);
        }
        all
    }

    fn batch(&self) -> Batch<'_> {
        let Self { matrix, labels, weights, offsets } = self;
        Batch { matrix, rows: labels.len(), labels, weights, offsets }
    }
}
