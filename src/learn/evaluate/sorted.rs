//! Predictions from the lowest to the highest, ties together: what AUC and calibration are read from.

use std::cmp::Ordering;

use super::prediction::Prediction;

/// A prediction and what came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outcome {
    pub(super) prediction: Prediction,
    /// Its place among others.
    logit: f64,
    pub(super) is_positive: bool,
    /// How many examples of the stream it stands for.
    pub(super) weight: f64,
    /// The block of neighbouring rows with which it is drawn again.
    pub(super) block: u32,
}

/// Outcomes in the order of their predictions.
#[derive(Debug)]
pub(super) struct Sorted {
    outcomes: Vec<Outcome>,
}

impl Outcome {
    pub(super) fn new(prediction: Prediction, is_positive: bool, weight: f64, block: u32) -> Self {
        Self { prediction, logit: prediction.logit(), is_positive, weight, block }
    }
}

impl Sorted {
    pub(super) fn new(mut outcomes: Vec<Outcome>) -> Self {
        outcomes.sort_unstable_by(|left, right| left.logit.total_cmp(&right.logit));
        Self { outcomes }
    }

    /// Area under the ROC curve: the chance that a positive has a higher prediction than a negative, ties counted half
    /// (Mann and Whitney, "On a test of whether one of two random variables is stochastically larger than the other", 1947).
    /// `None` unless both labels are there.
    pub(super) fn auc(&self) -> Option<f64> {
        self.weighted_auc(|outcome| outcome.weight)
    }

    /// The AUC when each block is there as often as `draws` says.
    pub(super) fn resampled_auc(&self, draws: &[f64]) -> Option<f64> {
        self.weighted_auc(|outcome| outcome.weight * draws.get(outcome.block as usize).copied().unwrap_or(0.0))
    }

    /// Expected calibration error in bins of equal mass: how far the mean prediction of a bin is from its label rate, on
    /// average (Naeini and others, "Obtaining well calibrated probabilities using Bayesian binning", 2015, section 4).
    ///
    /// Equal predictions are never split: they are in the bin in which the middle of their mass falls.
    pub(super) fn calibration_error(&self, bins: usize) -> f64 {
        let total: f64 = self.outcomes.iter().map(|outcome| outcome.weight).sum();
        let (mut error, mut bin) = (0.0, Bin::default());
        let mut below = 0.0;
        for ties in self.ties() {
            let mass: f64 = ties.iter().map(|outcome| outcome.weight).sum();
            let number = ((below + mass / 2.0) / total * bins as f64) as usize;
            if number != bin.number {
                error += bin.error();
                bin = Bin { number, ..Bin::default() };
            }
            for outcome in ties {
                bin.predicted += outcome.prediction.probability() * outcome.weight;
                bin.positive += if outcome.is_positive { outcome.weight } else { 0.0 };
            }
            below += mass;
        }
        (error + bin.error()) / total
    }

    fn ties(&self) -> impl Iterator<Item = &[Outcome]> {
        // Not by the total order, in which -0 is below 0.
        let compare = |left: &Outcome, right: &Outcome| left.logit.partial_cmp(&right.logit);
        self.outcomes.chunk_by(move |left, right| compare(left, right) == Some(Ordering::Equal))
    }

    fn weighted_auc(&self, weight: impl Fn(&Outcome) -> f64) -> Option<f64> {
        let (mut positives, mut negatives, mut area) = (0.0, 0.0, 0.0);
        for ties in self.ties() {
            let (mut tied_positives, mut tied_negatives) = (0.0, 0.0);
            for outcome in ties {
                let side = if outcome.is_positive { &mut tied_positives } else { &mut tied_negatives };
                *side += weight(outcome);
            }
            area += tied_positives * (negatives + tied_negatives / 2.0);
            positives += tied_positives;
            negatives += tied_negatives;
        }
        (positives > 0.0 && negatives > 0.0).then(|| area / (positives * negatives))
    }
}

#[derive(Debug, Default)]
struct Bin {
    number: usize,
    predicted: f64,
    positive: f64,
}

impl Bin {
    /// Mass times the distance of mean prediction and label rate.
    fn error(&self) -> f64 {
        (self.predicted - self.positive).abs()
    }
}
