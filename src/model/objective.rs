//! Whether what a model gives is what training holds against labels.

use super::{
    ModelError, Scorer, gradient,
    onnx::Document,
    trial::{self, scores_alone},
};
use crate::fault::{Judged, Judgement};

/// How far beyond 0 and 1 rounding may put a probability.
const ROUNDING: f32 = 1e-5;

/// Why a model is not trained: what it is, or what it gives.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ObjectiveError {
    /// A model that learns otherwise.
    #[error(
        "{kind} can't be trained by gradients (operator {operator} of node {node:?}): remove [train], and put another file there \
         when the model has been trained elsewhere"
    )]
    NotByGradients {
        /// What kind of model it is, in the plural.
        kind: &'static str,
        /// The operator.
        operator: String,
        /// The node, by its name or else its first output.
        node: String,
    },
    /// An output that a probability is expected of.
    #[error("output {output:?} is no probability, and loss = \"binary_cross_entropy\" needs one: {why}")]
    NoProbability {
        /// The output.
        output: String,
        /// What says so.
        why: String,
    },
    /// An activation on what is a probability.
    #[error(
        "output {output:?} is a probability already, made by {operator}: remove activation from [model], or name another output"
    )]
    AlreadyProbability {
        /// The output.
        output: String,
        /// The operator that made it.
        operator: String,
    },
}

impl Judged for ObjectiveError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::NotByGradients { .. } | Self::NoProbability { .. } | Self::AlreadyProbability { .. } => {
                Judgement::OPERATOR
            }
        }
    }
}

/// Refuses a model whose scores are, or by training become, no probabilities. It is looked at, and run on a few rows.
///
/// # Errors
/// [`ObjectiveError::NoProbability`], or what the model fails with.
pub(crate) fn expect_probability(document: &Document, scorer: &mut Scorer) -> Result<(), ModelError> {
    let refuse =
        |output: &str, why: String| Err(ObjectiveError::NoProbability { output: output.to_owned(), why }.into());
    if scorer.activation().is_some() {
        return Ok(());
    }
    let output = scorer.output().to_owned();
    let scores = scores_alone(scorer, &trial::wide_rows(scorer.columns().len()))?;
    let is_outside = |score: &&f32| score.is_finite() && !(-ROUNDING..=1.0 + ROUNDING).contains(*score);
    if let Some(score) = scores.iter().find(is_outside) {
        return refuse(&output, format!("a row of the trial scores {score}"));
    }
    if gradient::is_unbounded(document, &output) {
        return refuse(&output, "it is a weighted sum, which has no bounds".to_owned());
    }
    Ok(())
}
