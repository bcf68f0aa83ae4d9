//! The learner: examples in, a model that has learnt from them and knows how well it does.
//!
//! ```text
//!   new examples ─▶ predict: in training, active, reference ─▶ evaluation ─▶ gate ─▶ promote, refuse, stop
//!        │
//!        └─▶ with older examples from the reservoir ─▶ one step of the trainer
//! ```
//!
//! Every example is scored before it trains anything, so all figures are about examples that the weights have not seen
//! (prequential evaluation: Dawid, "Statistical theory: the prequential approach", 1984; Gama and others, "On evaluating
//! stream learning algorithms", 2013). It has no clock: when the gate decides follows from the examples' own times.

#[cfg(test)]
mod tests;

use super::holdout::Holdout;
use super::label_rate::LabelRates;
use super::{
    EvaluationReport, Examples, GateDecision, GateFacts, GateSettings, LearnError, Prequential, Reservoir, decide,
};
use crate::model::train::{Batch, Outcome, Trainer};
use crate::model::{ModelError, Scorer};

/// So many skipped batches in a row stop training.
pub(crate) const MOST_SKIPPED: u32 = 3;

/// How far beyond 0 and 1 a probability may be: ONNX Runtime 1.32's Sigmoid (float32, CPU) gives 1.0000001 for logits from
/// about 15.84 on.
const ROUNDING: f32 = 1e-6;

/// What a learner does beside single steps.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnerSettings {
    /// New examples of a step.
    pub batch: usize,
    /// Older examples to choose from; 0 turns replay off.
    pub replay: usize,
    /// Older examples of a step per new one.
    pub replay_share: f64,
    /// The share of negatives that the label join keeps.
    pub negative_rate: f32,
    /// Whether scores need not be probabilities: then evaluation takes each as the nearest one.
    pub scores_are_amounts: bool,
    /// Event time between two decisions of the gate, microseconds.
    pub promote_every_micros: i64,
    /// How much of the labels' time a label rate is taken over, microseconds: several windows.
    pub label_span_micros: i64,
    /// The gate.
    pub gate: GateSettings,
    /// Examples that the evaluation remembers.
    pub remembered: usize,
    /// Decides which older examples are chosen.
    pub seed: u64,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Learnt {
    /// The weights moved.
    Updated {
        /// Mean loss of the batch before the step.
        loss: f32,
    },
    /// The weights are as they were: the batch cannot be learnt from.
    Skipped {
        /// What was not finite.
        reason: String,
        /// Skipped batches since the last one that was not.
        in_a_row: u32,
    },
}

/// A model in training.
pub struct Learner {
    pub(super) trainer: Trainer,
    pub(super) reservoir: Reservoir,
    active: Scorer,
    reference: Scorer,
    candidate: Option<Candidate>,
    settings: LearnerSettings,
    evaluation: Prequential,
    holdout: Holdout,
    rates: LabelRates,
    skipped_in_a_row: u32,
    skipped: u64,
    /// When the gate decided last, event time.
    decided_micros: Option<i64>,
    newest_micros: i64,
    scratch: Scratch,
}

/// A model that the gate decides on beside the weights in training.
struct Candidate {
    scorer: Scorer,
    holdout: Holdout,
    scores: Vec<f32>,
}

/// Buffers that are kept from step to step.
#[derive(Default)]
struct Scratch {
    current: Vec<f32>,
    active: Vec<f32>,
    reference: Vec<f32>,
    weights: Vec<f32>,
    offsets: Vec<f32>,
}

impl Learner {
    /// A learner whose weights are the trainer's. `active` serves now; `reference` is what lift is measured against.
    pub fn new(trainer: Trainer, active: Scorer, reference: Scorer, settings: LearnerSettings) -> Self {
        Self {
            reservoir: Reservoir::new(active.columns().len(), settings.replay, settings.seed),
            evaluation: Prequential::new(settings.remembered),
            holdout: Holdout::new(settings.gate.holdout),
            rates: LabelRates::new(settings.label_span_micros),
            trainer,
            active,
            reference,
            candidate: None,
            settings,
            skipped_in_a_row: 0,
            skipped: 0,
            decided_micros: None,
            newest_micros: i64::MIN,
            scratch: Scratch::default(),
        }
    }

    /// Evaluates on new examples, then takes one step on them and on older ones, which are added to the batch.
    ///
    /// # Errors
    /// When ONNX Runtime fails; what is not finite is a [`Learnt::Skipped`].
    pub fn learn(&mut self, examples: &mut Examples) -> Result<Learnt, LearnError> {
        self.evaluate(examples)?;
        let new = examples.len();
        let older = (new as f64 * self.settings.replay_share).round() as usize;
        self.reservoir.sample(older, examples)?;
        let rows = examples.len();
        let Scratch { weights, offsets, .. } = &mut self.scratch;
        weights.clear();
        weights.resize(rows, 1.0);
        offsets.clear();
        // What is learnt from a sample of the negatives is off by the logarithm of the share: see `join`.
        offsets.resize(rows, -self.settings.negative_rate.ln());
        let batch = Batch { matrix: examples.vectors(), rows, labels: examples.labels(), weights, offsets };
        Ok(match self.trainer.step(batch)? {
            Outcome::Updated { loss, .. } => {
                self.skipped_in_a_row = 0;
                for example in (0..new).map_while(|row| examples.get(row)) {
                    self.reservoir.offer(example)?;
                }
                Learnt::Updated { loss }
            }
            Outcome::Skipped { reason } => {
                self.skipped_in_a_row += 1;
                self.skipped += 1;
                Learnt::Skipped { reason: reason.to_string(), in_a_row: self.skipped_in_a_row }
            }
        })
    }

    fn evaluate(&mut self, examples: &Examples) -> Result<(), LearnError> {
        let Scratch { current, active, reference, .. } = &mut self.scratch;
        let (matrix, rows) = (examples.vectors(), examples.len());
        self.newest_micros = examples.labelled_micros().iter().copied().fold(self.newest_micros, i64::max);
        self.decided_micros.get_or_insert(self.newest_micros);
        self.rates.record(examples);
        let outputs_finite = is_finite(self.trainer.predict(matrix, rows, current))?;
        self.holdout.note_outputs(outputs_finite);
        let is_comparable = outputs_finite
            && is_finite(self.active.score(matrix, rows, active))?
            && is_finite(self.reference.score(matrix, rows, reference))?;
        if !is_comparable {
            return Ok(());
        }
        let most_beyond = if self.settings.scores_are_amounts { f32::INFINITY } else { ROUNDING };
        for scores in [&mut *current, &mut *active, &mut *reference] {
            take_as_probabilities(scores, most_beyond);
        }
        self.evaluation.record(current, reference, examples.labels(), examples.sampling())?;
        self.holdout.record(current, active, examples.labels(), examples.sampling());
        if let Some(Candidate { scorer, holdout, scores }) = &mut self.candidate {
            let outputs_finite = is_finite(scorer.score(matrix, rows, scores))?;
            take_as_probabilities(scores, most_beyond);
            // What it gives is no fault of training.
            let is_comparable = outputs_finite && scores.iter().all(|score| (0.0..=1.0).contains(score));
            holdout.note_outputs(is_comparable);
            if is_comparable {
                holdout.record(scores, active, examples.labels(), examples.sampling());
            }
        }
        Ok(())
    }

    /// The gate's decision, when the examples' time says that one is due.
    ///
    /// # Errors
    /// None that input can reach.
    pub fn decide(&mut self) -> Result<Option<GateDecision>, LearnError> {
        let Some(last) = self.decided_micros else { return Ok(None) };
        if self.newest_micros < last.saturating_add(self.settings.promote_every_micros) {
            return Ok(None);
        }
        self.decided_micros = Some(self.newest_micros);
        let facts = facts(&mut self.holdout, &self.rates, self.trainer.weights_are_finite())?;
        Ok(Some(decide(&facts, &self.settings.gate)))
    }

    /// The gate's decision on the candidate, if there is one: to be asked for when one on the weights is due.
    ///
    /// # Errors
    /// None that input can reach.
    pub fn decide_on_candidate(&mut self) -> Result<Option<GateDecision>, LearnError> {
        let Some(Candidate { holdout, .. }) = &mut self.candidate else { return Ok(None) };
        // Its file was read as it is: what it has of NaN shows in its scores.
        let facts = facts(holdout, &self.rates, true)?;
        Ok(Some(decide(&facts, &self.settings.gate)))
    }

    /// Another model serves now: candidates are compared with it on the examples that come.
    pub fn set_active(&mut self, active: Scorer) {
        self.active = active;
        self.holdout.clear();
        if let Some(Candidate { holdout, .. }) = &mut self.candidate {
            holdout.clear();
        }
    }

    /// The gate decides on another model too, on the examples that come, or on none but the weights in training.
    pub fn set_candidate(&mut self, candidate: Option<Scorer>) {
        let holdout = || Holdout::new(self.settings.gate.holdout);
        self.candidate = candidate.map(|scorer| Candidate { scorer, holdout: holdout(), scores: Vec::new() });
    }

    /// Lift is measured against another model, from now on.
    pub fn set_reference(&mut self, reference: Scorer) {
        self.reference = reference;
        self.evaluation = Prequential::new(self.settings.remembered);
    }

    /// Goes on from other weights, those of an older version say, with the optimiser at its start.
    pub fn set_trainer(&mut self, trainer: Trainer) {
        self.trainer = trainer;
        self.holdout.clear();
        self.skipped_in_a_row = 0;
    }

    /// How well the model does, and what it is compared with.
    pub fn evaluation(&self) -> EvaluationReport {
        self.evaluation.report()
    }

    /// The model in training.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// Batches that could not be learnt from.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

fn facts(holdout: &mut Holdout, rates: &LabelRates, weights_finite: bool) -> Result<GateFacts, LearnError> {
    let (candidate, active) = holdout.compare()?;
    let (label_rate_recent, label_rate_before) = rates.facts();
    Ok(GateFacts {
        candidate,
        active,
        examples_in_holdout: holdout.len(),
        positives: holdout.positives(),
        weights_finite,
        outputs_finite: holdout.outputs_finite(),
        label_rate_recent,
        label_rate_before,
    })
}

/// Takes scores that are at most so far below 0 or above 1 as 0 or 1.
fn take_as_probabilities(scores: &mut [f32], most_beyond: f32) {
    for score in scores {
        let nearest = score.clamp(0.0, 1.0);
        if (*score - nearest).abs() <= most_beyond {
            *score = nearest;
        }
    }
}

/// Whether predictions were finite; that they were not is a finding here, no failure.
fn is_finite(predicted: Result<(), ModelError>) -> Result<bool, ModelError> {
    match predicted {
        Err(ModelError::NotFinite { .. }) => Ok(false),
        outcome => outcome.map(|()| true),
    }
}
