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

use super::holdout::Holdout;
use super::label_rate::LabelRates;
use super::{
    EvaluationReport, Examples, GateDecision, GateFacts, GateSettings, LearnError, Prequential, Reservoir, decide,
};
use crate::model::train::{Batch, Outcome, Trainer};
use crate::model::{ModelError, Scorer};

/// So many skipped batches in a row stop training.
pub(crate) const MOST_SKIPPED: u32 = 3;

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
        if self.settings.scores_are_amounts {
            for score in current.iter_mut().chain(active.iter_mut()).chain(reference.iter_mut()) {
                *score = score.clamp(0.0, 1.0);
            }
        }
        self.evaluation.record(current, reference, examples.labels(), examples.sampling())?;
        self.holdout.record(current, active, examples.labels(), examples.sampling());
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
        let (candidate, active) = self.holdout.compare()?;
        let (label_rate_recent, label_rate_before) = self.rates.facts();
        let facts = GateFacts {
            candidate,
            active,
            examples_in_holdout: self.holdout.len(),
            positives: self.holdout.positives(),
            weights_finite: self.trainer.weights_are_finite(),
            outputs_finite: self.holdout.outputs_finite(),
            label_rate_recent,
            label_rate_before,
        };
        Ok(Some(decide(&facts, &self.settings.gate)))
    }

    /// Another model serves now: candidates are compared with it on the examples that come.
    pub fn set_active(&mut self, active: Scorer) {
        self.active = active;
        self.holdout.clear();
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

/// Whether predictions were finite; that they were not is a finding here, no failure.
fn is_finite(predicted: Result<(), ModelError>) -> Result<bool, ModelError> {
    match predicted {
        Err(ModelError::NotFinite { .. }) => Ok(false),
        outcome => outcome.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_batch_that_is_not_finite_moves_nothing_and_is_not_learnt_again() {
        let mut learner = learner();
        learner.learn(&mut batch(0..32)).unwrap();
        let (before, seen) = (weights(&learner), learner.reservoir.seen());
        for in_a_row in 1..=2 {
            let mut bad = batch(32..64);
            bad.push(crate::learn::Example { vector: &[f32::NAN, 0.0, 0.0], ..example(&[], 64) }).unwrap();
            match learner.learn(&mut bad).unwrap() {
                Learnt::Skipped { in_a_row: found, .. } => assert_eq!(found, in_a_row),
                learnt @ Learnt::Updated { .. } => panic!("{learnt:?}"),
            }
        }
        assert_eq!((weights(&learner), learner.reservoir.seen(), learner.skipped()), (before, seen, 2));
        assert!(matches!(learner.learn(&mut batch(32..64)).unwrap(), Learnt::Updated { loss } if loss.is_finite()));
        assert_eq!((learner.skipped_in_a_row, learner.skipped()), (0, 2));
    }

    /// A model whose scores are sums of the columns, far above 1.
    fn sums() -> Scorer {
        let mut graph = GraphBuilder::new("sums");
        graph.input("features", FLOAT, &[Dimension::Named("batch"), Dimension::Fixed(3)]);
        graph.initializer("weights", &[3, 1], &[10.0; 3]);
        graph.node("MatMul", &["features", "weights"], "score");
        graph.output("score", FLOAT, &[Dimension::Named("batch"), Dimension::Fixed(1)]);
        let columns = ["a", "b", "c"].map(str::to_owned);
        let binding = Binding { columns: &columns, fingerprint: None, output: None };
        Session::from_bytes(&Document::new(graph.finish()).write(), 1).unwrap().bind(&binding).unwrap()
    }

    #[test]
    fn scores_that_are_no_probabilities_are_refused_unless_amounts_are_learnt() {
        let mut learner = learner();
        learner.set_reference(sums());
        let refused = learner.learn(&mut batch(0..8)).unwrap_err();
        assert!(matches!(refused, LearnError::Evaluation(EvaluationError::Prediction { .. })), "{refused}");
        assert_eq!(learner.trainer.steps(), 0);
        learner.settings.scores_are_amounts = true;
        learner.learn(&mut batch(0..8)).unwrap();
        assert_eq!((learner.evaluation().recorded, learner.trainer.steps()), (8, 1));
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
}
