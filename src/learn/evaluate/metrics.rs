//! What is measured of one model's predictions.

use super::prediction::Prediction;
use super::sorted::{Outcome, Sorted};
use crate::fault::{Judged, Judgement};

/// How good predictions are on some examples.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Metrics {
    /// Area under the ROC curve, ties counted half; `None` unless both labels are there.
    pub auc: Option<f64>,
    /// Mean negative log-likelihood in nats.
    pub log_loss: f64,
}

impl Metrics {
    /// Measures predictions; each example weighs 1 / sampling. `None` when there are no examples.
    ///
    /// # Errors
    /// An [`EvaluationError`] when the slices differ in length or hold what they must not.
    pub(crate) fn of(
        predictions: &[Prediction],
        labels: &[f32],
        sampling: &[f32],
    ) -> Result<Option<Self>, EvaluationError> {
        check_lengths("predictions", predictions.len(), labels.len())?;
        check_lengths("sampling rates", sampling.len(), labels.len())?;
        check(predictions, labels, sampling)?;
        let rows = predictions.iter().zip(labels).zip(sampling);
        let outcomes: Vec<Outcome> = rows
            .map(|((prediction, label), sampling)| {
                Outcome::new(*prediction, *label > 0.0, 1.0 / f64::from(*sampling), 0)
            })
            .collect();
        let log_loss = log_loss(&outcomes);
        Ok(log_loss.map(|log_loss| Self { auc: Sorted::new(outcomes).auc(), log_loss }))
    }
}

/// Why predictions cannot be judged. A caller's mistake, or a model whose scores are no probabilities.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvaluationError {
    /// Not one value per example.
    #[error("there are {found} {what} for {expected} labels")]
    Length {
        /// What there is too little or too much of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many labels there are.
        expected: usize,
    },
    /// A prediction that is no probability.
    #[error("the prediction in row {row} is {value}, a probability from 0 to 1 is expected")]
    Prediction {
        /// The row, from 0.
        row: usize,
        /// The prediction.
        value: f32,
    },
    /// A label that is neither 0 nor 1.
    #[error("the label in row {row} is {value}, 0 or 1 is expected")]
    Label {
        /// The row, from 0.
        row: usize,
        /// The label.
        value: f32,
    },
    /// A sampling rate that is no share.
    #[error("the sampling rate in row {row} is {value}, it must be above 0 and at most 1")]
    Sampling {
        /// The row, from 0.
        row: usize,
        /// The rate.
        value: f32,
    },
}

impl Judged for EvaluationError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Length { .. } => Judgement::DEFECT,
            // A model whose scores are no probabilities.
            Self::Prediction { .. } => Judgement::OPERATOR,
            Self::Label { .. } | Self::Sampling { .. } => Judgement::DATA,
        }
    }
}

pub(super) fn check_lengths(what: &'static str, found: usize, expected: usize) -> Result<(), EvaluationError> {
    if found == expected { Ok(()) } else { Err(EvaluationError::Length { what, found, expected }) }
}

/// Refuses values that mean nothing.
pub(super) fn check(predictions: &[Prediction], labels: &[f32], sampling: &[f32]) -> Result<(), EvaluationError> {
    let find = |values: &[f32], is_good: fn(f32) -> bool| {
        values.iter().enumerate().map(|(row, value)| (row, *value)).find(|(_, value)| !is_good(*value))
    };
    let flaw = |(row, prediction): (usize, &Prediction)| prediction.flaw().map(|value| (row, value));
    if let Some((row, value)) = predictions.iter().enumerate().find_map(flaw) {
        return Err(EvaluationError::Prediction { row, value });
    }
    if let Some((row, value)) = find(labels, |value| [0.0, 1.0].contains(&value)) {
        return Err(EvaluationError::Label { row, value });
    }
    if let Some((row, value)) = find(sampling, |value| value > 0.0 && value <= 1.0) {
        return Err(EvaluationError::Sampling { row, value });
    }
    Ok(())
}

/// The weighted mean of the negative log-likelihood in nats; `None` without outcomes.
pub(super) fn log_loss(outcomes: &[Outcome]) -> Option<f64> {
    let (mut loss, mut total) = (0.0, 0.0);
    for outcome in outcomes {
        loss += outcome.weight * outcome.prediction.loss(outcome.is_positive);
        total += outcome.weight;
    }
    (total > 0.0).then(|| loss / total)
}
