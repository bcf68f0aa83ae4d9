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

use std::ops::Range;

use super::answers::{Answers, comparable, pick};
use super::holdout::Holdout;
use super::isolate::{isolate, of_rows};
use super::label_rate::LabelRates;
use super::{
    EvaluationReport, Examples, GateDecision, GateFacts, GateSettings, LearnError, Prequential, Reservoir, decide,
};
use crate::model::train::{Batch, Outcome, Trainer};
use crate::model::{ModelError, Scorer};

/// So many skipped batches in a row stop training.
pub(crate) const MOST_SKIPPED: u32 = 3;

/// How far beyond 0 and 1 a probability may be that is no model's logit: what ONNX Runtime 1.32's Sigmoid (float32, CPU)
/// gives from about 15.84 on, 1.0000001, may have gone through other operators.
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

/// What became of a batch.
#[derive(Debug)]
pub struct Lesson {
    /// Of those examples that could be learnt from.
    pub learnt: Learnt,
    /// The new examples that could not.
    pub left_out: LeftOut,
}

/// Examples that a model can't learn from even alone, and why not.
#[derive(Debug)]
pub struct LeftOut {
    /// The examples.
    pub examples: Examples,
    /// For each, what the model said.
    pub reasons: Vec<String>,
    /// For each, its row in the batch as it came, from 0.
    pub rows: Vec<usize>,
}

impl LeftOut {
    /// Takes rows out of a batch and keeps the first `kept` of them, in the order of rows.
    fn take(examples: &mut Examples, at_fault: Vec<(usize, String)>, kept: usize) -> Self {
        let (mut rows, mut reasons): (Vec<usize>, Vec<String>) = at_fault.into_iter().unzip();
        let mut taken = examples.take_out(&rows);
        rows.truncate(kept);
        reasons.truncate(kept);
        let first: Vec<usize> = (0..kept).collect();
        Self { examples: taken.take_out(&first), reasons, rows }
    }
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Learnt {
    /// The weights moved.
    Updated {
        /// Mean loss of the batch before the step.
        loss: f32,
    },
    /// Every example was left out; the model can learn from others.
    Nothing,
    /// The weights are as they were: the batch cannot be learnt from, and no example of it is at fault.
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
    answers: Answers,
}

/// Buffers that are kept from step to step.
#[derive(Default)]
struct Scratch {
    current: Answers,
    active: Answers,
    reference: Answers,
    weights: Vec<f32>,
    offsets: Vec<f32>,
}

impl Scratch {
    /// Sets weights and offsets of so many rows, all the same.
    fn weigh(&mut self, rows: usize, settings: &LearnerSettings) {
        self.weights.clear();
        self.weights.resize(rows, 1.0);
        self.offsets.clear();
        // What is learnt from a sample of the negatives is off by the logarithm of the share: see `join`. Amounts have none.
        if !settings.scores_are_amounts {
            self.offsets.resize(rows, -settings.negative_rate.ln());
        }
    }

    /// These rows of the examples, of which there are as many as were weighed at most.
    fn batch<'a>(&'a self, examples: &'a Examples, rows: Range<usize>) -> Batch<'a> {
        let width = examples.width();
        Batch {
            matrix: examples.vectors().get(rows.start * width..rows.end * width).unwrap_or_default(),
            rows: rows.len(),
            labels: examples.labels().get(rows.clone()).unwrap_or_default(),
            weights: self.weights.get(..rows.len()).unwrap_or_default(),
            offsets: self.offsets.get(..rows.len()).unwrap_or_default(),
        }
    }
}

impl Learner {
    /// A learner whose weights are the trainer's. `active` serves now; `reference` is what lift is measured against.
    pub fn new(trainer: Trainer, active: Scorer, reference: Scorer, settings: LearnerSettings) -> Self {
        Self {
            reservoir: Reservoir::new(active.inputs(), settings.replay, settings.seed),
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

    /// Evaluates on new examples, then takes one step on them and on older ones, which are added to the batch. Examples that
    /// the model can't learn from even alone are taken out of it, and the others are learnt from.
    ///
    /// # Errors
    /// When the model fails on more than rows; what is not finite is a [`Learnt::Skipped`].
    pub fn learn(&mut self, examples: &mut Examples) -> Result<Lesson, LearnError> {
        self.evaluate(examples)?;
        let mut new = examples.len();
        let older = (new as f64 * self.settings.replay_share).round() as usize;
        self.reservoir.sample(older, examples)?;
        let mut left_out =
            LeftOut { examples: Examples::new(examples.inputs()), reasons: Vec::new(), rows: Vec::new() };
        let mut stepped = self.step(examples)?;
        if stepped.is_err() {
            let at_fault = self.find_faulty(examples)?;
            // Where all are, the model may be: then none is left out for it.
            let others_work = at_fault.len() < examples.len() || self.works_on_zeros()?;
            if others_work && !at_fault.is_empty() {
                let of_new = at_fault.partition_point(|(row, _)| *row < new);
                left_out = LeftOut::take(examples, at_fault, of_new);
                new -= of_new;
                if examples.is_empty() {
                    return Ok(Lesson { learnt: Learnt::Nothing, left_out });
                }
                stepped = self.step(examples)?;
            }
        }
        let learnt = match stepped {
            Ok(loss) => {
                self.skipped_in_a_row = 0;
                for example in (0..new).map_while(|row| examples.get(row)) {
                    self.reservoir.offer(example)?;
                }
                Learnt::Updated { loss }
            }
            Err(reason) => {
                self.skipped_in_a_row += 1;
                self.skipped += 1;
                Learnt::Skipped { reason, in_a_row: self.skipped_in_a_row }
            }
        };
        Ok(Lesson { learnt, left_out })
    }

    /// One step on a batch: its loss, or why the weights are as they were.
    fn step(&mut self, examples: &Examples) -> Result<Result<f32, String>, LearnError> {
        self.scratch.weigh(examples.len(), &self.settings);
        let batch = self.scratch.batch(examples, 0..examples.len());
        Ok(judge(self.trainer.step(batch))?)
    }

    /// The rows that can't be learnt from even alone, and why, in their order.
    fn find_faulty(&mut self, examples: &Examples) -> Result<Vec<(usize, String)>, LearnError> {
        let (scratch, trainer) = (&self.scratch, &mut self.trainer);
        let try_rows = |rows: Range<usize>| Ok(judge(trainer.try_step(scratch.batch(examples, rows)))?.map(drop));
        Ok(isolate(examples.len(), try_rows)?)
    }

    /// Whether the model can learn at all, from a vector of zeros.
    fn works_on_zeros(&mut self) -> Result<bool, LearnError> {
        let zeros = vec![0.0; self.trainer.width()];
        let offsets = self.scratch.offsets.get(..1).unwrap_or_default();
        let batch = Batch { matrix: &zeros, rows: 1, labels: &[0.0], weights: &[], offsets };
        Ok(judge(self.trainer.try_step(batch))?.is_ok())
    }

    fn evaluate(&mut self, examples: &Examples) -> Result<(), LearnError> {
        let most_beyond = if self.settings.scores_are_amounts { f32::INFINITY } else { ROUNDING };
        let Scratch { current, active, reference, .. } = &mut self.scratch;
        self.newest_micros = examples.labelled_micros().iter().copied().fold(self.newest_micros, i64::max);
        self.decided_micros.get_or_insert(self.newest_micros);
        self.rates.record(examples);
        let link = self.trainer.link();
        current
            .ask(examples, link, most_beyond, |matrix, rows, outputs| self.trainer.evaluate(matrix, rows, outputs))?;
        for (scorer, answers) in [(&mut self.active, &mut *active), (&mut self.reference, &mut *reference)] {
            let link = scorer.link();
            answers.ask(examples, link, most_beyond, |matrix, rows, outputs| scorer.evaluate(matrix, rows, outputs))?;
        }
        self.holdout.note_outputs(current.has_all_of(active));
        // Models are compared on what all of them have a score for.
        let compared = comparable(&[current, active, reference]);
        let compared = compared.as_deref();
        let picked = [&*current, &*active, &*reference].map(|answers| pick(answers.predictions(), compared));
        let [of_current, of_active, of_reference] = &picked;
        let (labels, sampling) = (pick(examples.labels(), compared), pick(examples.sampling(), compared));
        self.evaluation.record(of_current, of_reference, &labels, &sampling)?;
        self.holdout.record(of_current, of_active, &labels, &sampling);
        if let Some(Candidate { scorer, holdout, answers }) = &mut self.candidate {
            let link = scorer.link();
            answers.ask(examples, link, most_beyond, |matrix, rows, outputs| scorer.evaluate(matrix, rows, outputs))?;
            // What it gives is no fault of training.
            holdout.note_outputs(answers.has_all_of(active) && answers.are_probabilities());
            if answers.are_probabilities() {
                let compared = comparable(&[answers, active]);
                let compared = compared.as_deref();
                let (own, other) = (pick(answers.predictions(), compared), pick(active.predictions(), compared));
                let (labels, sampling) = (pick(examples.labels(), compared), pick(examples.sampling(), compared));
                holdout.record(&own, &other, &labels, &sampling);
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
        self.candidate = candidate.map(|scorer| Candidate { scorer, holdout: holdout(), answers: Answers::default() });
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

/// What became of a step, or of a try; a failure that is of rows is a reason not to take it.
fn judge(outcome: Result<Outcome, ModelError>) -> Result<Result<f32, String>, ModelError> {
    Ok(match of_rows(outcome)? {
        Ok(Outcome::Updated { loss, .. }) => Ok(loss),
        Ok(Outcome::Skipped { reason }) => Err(reason.to_string()),
        Err(reason) => Err(reason),
    })
}
