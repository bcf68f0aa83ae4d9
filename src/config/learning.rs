//! `[labels]` and `[train]` → plans: columns resolved, numbers in the types of those who compute with them.

use std::ops::Range;
use std::time::Duration;

use arrow::datatypes::SchemaRef;

use super::labels::Labels;
use super::nearest::did_you_mean;
use super::optimizer::Optimizer;
use super::train::{Loss, Metric, Train};
use crate::feature::VectorPlan;
use crate::learn::{GateMetric, GateSettings, JoinSettings, LearnerSettings, can_join};
use crate::model::gradient::Loss as ModelLoss;
use crate::model::optimiser::OptimizerSpec;
use crate::model::train::{Inventory, TrainSettings};
use crate::pipeline::{LabelPlan, ModelPlan, StreamIndex, TrainPlan};
use crate::sql::Condition;

/// Examples that evaluation looks back on.
const REMEMBERED: usize = 100_000;
/// A label rate is taken over so many label windows, and over no less time than the second number.
const WINDOWS_PER_RATE: i64 = 4;
const SHORTEST_RATE_MICROS: i64 = 10_000_000;

/// Something in `[labels]` that does not fit the rest.
pub(super) struct Refused {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) suggestion: Option<String>,
}

/// The stream whose events are feedback.
pub(super) struct Feedback<'a> {
    pub(super) stream: StreamIndex,
    pub(super) name: &'a str,
    pub(super) schema: &'a SchemaRef,
    pub(super) disorder: Duration,
}

/// The plan of a label join, or all that is wrong with it; nothing where there is no vector that could be labelled.
pub(super) fn label_plan(
    labels: &Labels,
    feedback: &Feedback<'_>,
    positive: Result<Condition, Refused>,
    vector: Option<&VectorPlan>,
) -> Result<Option<LabelPlan>, Vec<Refused>> {
    let mut refused = Vec::new();
    for column in &labels.join {
        check_join(column, feedback, vector.map(VectorPlan::requests), &mut refused);
    }
    let columns = vector.map(VectorPlan::columns).unwrap_or_default();
    let position = labels.position.as_ref().filter(|_| vector.is_some()).and_then(|position| {
        let found = columns.iter().position(|column| column == position.get_ref());
        if found.is_none() {
            let names = columns.iter().map(String::as_str);
            refused.push(Refused {
                span: position.span(),
                message: format!("vector.sql has no column \"{}\"", position.get_ref()),
                suggestion: did_you_mean(position.get_ref(), names),
            });
        }
        found
    });
    match (positive, vector) {
        (Ok(positive), Some(_)) if refused.is_empty() => Ok(Some(LabelPlan {
            stream: feedback.stream,
            join: labels.join.iter().map(|column| column.get_ref().clone()).collect(),
            positive,
            settings: JoinSettings {
                window_micros: labels.window.as_micros() as i64,
                skew_micros: i64::try_from(feedback.disorder.as_micros()).unwrap_or(i64::MAX),
                columns: columns.len(),
                max_rows: labels.max_rows.get(),
                max_bytes: labels.max_bytes as usize,
                position,
                negative_rate: labels.negatives as f32,
            },
            retain: labels.retain,
        })),
        (Ok(_), None) if refused.is_empty() => Ok(None),
        (outcome, _) => {
            refused.extend(outcome.err());
            Err(refused)
        }
    }
}

/// A join column is in feedback and in what is scored, as far as that is known, with one type that can be compared.
fn check_join(
    column: &toml::Spanned<String>,
    feedback: &Feedback<'_>,
    requests: Option<&SchemaRef>,
    refused: &mut Vec<Refused>,
) {
    let name = column.get_ref();
    let mut types = Vec::new();
    let of_feedback = format!("feedback, the events of stream `{}`", feedback.name);
    let scored = requests.map(|requests| ("what is scored".to_owned(), requests, "the contract of requests"));
    for (what, schema, contract) in [(of_feedback, feedback.schema, "its contract")].into_iter().chain(scored) {
        match schema.field_with_name(name) {
            Ok(field) => types.push(field.data_type().clone()),
            Err(_) => {
                let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                let listed = || format!("add it to {contract}, or join on what both have, of {}", names.join(", "));
                refused.push(Refused {
                    span: column.span(),
                    message: format!("column \"{name}\" is not in {what}"),
                    suggestion: Some(did_you_mean(name, names.iter().copied()).unwrap_or_else(listed)),
                });
            }
        }
    }
    let message = match types.as_slice() {
        [one, other] if one != other => format!("column \"{name}\" is {one} in feedback and {other} in what is scored"),
        [one, _] if !can_join(one) => format!("column \"{name}\" is {one}: only integers and texts can be joined on"),
        _ => return,
    };
    refused.push(Refused { span: column.span(), message, suggestion: None });
}

/// The plan of training.
pub(super) fn train_plan(train: &Train, labels: &LabelPlan, model: &ModelPlan) -> TrainPlan {
    let promote = &train.promote;
    TrainPlan {
        settings: TrainSettings {
            loss: match train.loss {
                Loss::BinaryCrossEntropy => ModelLoss::BinaryCrossEntropy,
                Loss::MeanSquaredError => ModelLoss::MeanSquaredError,
            },
            optimizer: optimizer(train.optimizer),
            clip_norm: train.clip_norm.map(|norm| norm as f32),
            freeze: train.freeze.iter().map(|name| name.get_ref().clone()).collect(),
            unfreeze: train.unfreeze.iter().map(|name| name.get_ref().clone()).collect(),
            dropout: train.dropout,
            threads: train.threads.get(),
            output: model.output.clone(),
            activation: model.activation,
        },
        inventory: Inventory::default(),
        learner: LearnerSettings {
            batch: train.batch.get(),
            replay: train.replay,
            replay_share: train.replay_share,
            negative_rate: labels.settings.negative_rate,
            scores_are_amounts: train.loss == Loss::MeanSquaredError,
            label_span_micros: labels.settings.window_micros.saturating_mul(WINDOWS_PER_RATE).max(SHORTEST_RATE_MICROS),
            promote_every_micros: promote.every.as_micros() as i64,
            gate: GateSettings {
                metric: match promote.metric {
                    Metric::Auc => GateMetric::Auc,
                    Metric::LogLoss => GateMetric::LogLoss,
                },
                holdout: promote.holdout.get(),
                tolerance: promote.tolerance,
                least_positives: promote.least_positives.get(),
                label_rate_factor: promote.label_rate_jump,
                label_rate_examples: promote.holdout.get() as u64,
            },
            remembered: REMEMBERED,
            seed: 1,
        },
        linger: train.linger,
        checkpoint: train.checkpoint,
        keep: train.keep.get(),
    }
}

fn optimizer(optimizer: Optimizer) -> OptimizerSpec {
    match optimizer {
        Optimizer::Sgd { learning_rate, momentum, nesterov } => {
            OptimizerSpec::Sgd { learning_rate: learning_rate as f32, momentum: momentum as f32, nesterov }
        }
        Optimizer::AdamW { learning_rate, beta1, beta2, epsilon, weight_decay } => OptimizerSpec::AdamW {
            learning_rate: learning_rate as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            epsilon: epsilon as f32,
            weight_decay: weight_decay as f32,
        },
        Optimizer::Adagrad { learning_rate, epsilon, initial_accumulator } => OptimizerSpec::Adagrad {
            learning_rate: learning_rate as f32,
            epsilon: epsilon as f32,
            initial_accumulator: initial_accumulator as f32,
        },
        Optimizer::Ftrl { learning_rate, beta, l1, l2 } => {
            OptimizerSpec::Ftrl { learning_rate: learning_rate as f32, beta: beta as f32, l1: l1 as f32, l2: l2 as f32 }
        }
    }
}
