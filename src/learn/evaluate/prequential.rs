//! The newest predictions of two models, and what they are worth.

use std::collections::VecDeque;

use super::bootstrap::{Interval, block_rows, intervals};
use super::metrics::{EvaluationError, Metrics, check, check_lengths, log_loss};
use super::prediction::Prediction;
use super::sorted::{Outcome, Sorted};

const HORIZONS: [usize; 3] = [1_000, 10_000, 100_000];
const CALIBRATION_BINS: usize = 10;

/// Follows a learning model and a frozen reference over a stream of examples.
#[derive(Debug)]
pub(crate) struct Prequential {
    capacity: usize,
    kept: VecDeque<Observation>,
    recorded: u64,
    /// Weight of all examples and of the positives among them.
    total: f64,
    positive: f64,
}

#[derive(Debug, Clone, Copy)]
struct Observation {
    learning: Prediction,
    reference: Prediction,
    constant: f32,
    is_positive: bool,
    weight: f64,
}

/// What was measured, from the shortest horizon to the longest.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct EvaluationReport {
    /// Examples recorded since the start, kept or not.
    pub recorded: u64,
    /// One for each horizon; none before the first example.
    pub horizons: Vec<HorizonReport>,
}

/// What was measured on the newest examples.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct HorizonReport {
    /// How far back it reaches, in examples.
    pub horizon: usize,
    /// Examples that there were, at most `horizon`.
    pub rows: usize,
    /// Positives among them.
    pub positives: usize,
    /// The share of positives in the stream, sampling undone.
    pub label_rate: f64,
    /// The model that learns, as it was before each example.
    pub learning: ModelReport,
    /// The frozen model.
    pub reference: ModelReport,
    /// A predictor that knows nothing but the share of positives among all earlier examples.
    pub constant: Metrics,
    /// Learning over reference; `None` unless both labels are there.
    pub lift: Option<Lift>,
}

/// What was measured of one model.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct ModelReport {
    /// AUC and log-loss.
    pub metrics: Metrics,
    /// Where the AUC lies; `None` when there are too few examples of a label to say.
    pub auc_interval: Option<Interval>,
    /// Mean prediction by label rate, best at 1; `None` without positives.
    pub calibration: Option<f64>,
    /// Expected calibration error in ten bins of equal mass, best at 0.
    pub calibration_error: f64,
}

/// How much better the learning model is.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Lift {
    /// AUC of the learning model minus AUC of the reference.
    pub auc: f64,
    /// Where the difference lies; `None` when there are too few examples of a label to say.
    pub interval: Option<Interval>,
}

impl Prequential {
    /// Keeps the newest `capacity` examples, 32 bytes each; at least one.
    #[must_use]
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), kept: VecDeque::new(), recorded: 0, total: 0.0, positive: 0.0 }
    }

    /// Records what both models predicted for examples before they trained on them, oldest first.
    ///
    /// # Errors
    /// An [`EvaluationError`] when the slices differ in length or hold what they must not; nothing is recorded.
    pub(crate) fn record(
        &mut self,
        learning: &[Prediction],
        reference: &[Prediction],
        labels: &[f32],
        sampling: &[f32],
    ) -> Result<(), EvaluationError> {
        check_lengths("predictions of the learning model", learning.len(), labels.len())?;
        check_lengths("predictions of the reference", reference.len(), labels.len())?;
        check_lengths("sampling rates", sampling.len(), labels.len())?;
        check(learning, labels, sampling)?;
        check(reference, &[], &[])?;
        let rows = learning.iter().zip(reference).zip(labels).zip(sampling);
        for (((learning, reference), label), sampling) in rows {
            if self.kept.len() == self.capacity {
                self.kept.pop_front();
            }
            // With half an example of each label before the first (Krichevsky and Trofimov, 1981).
            let constant = ((self.positive + 0.5) / (self.total + 1.0)) as f32;
            let (is_positive, weight) = (*label > 0.0, 1.0 / f64::from(*sampling));
            let (learning, reference) = (*learning, *reference);
            self.kept.push_back(Observation { learning, reference, constant, is_positive, weight });
            self.total += weight;
            self.positive += if is_positive { weight } else { 0.0 };
            self.recorded += 1;
        }
        Ok(())
    }

    /// Measures every horizon. Sorts what is kept and draws it again 200 times.
    #[must_use]
    pub(crate) fn report(&self) -> EvaluationReport {
        let mut horizons: Vec<HorizonReport> = Vec::new();
        let capacity = self.capacity;
        for horizon in HORIZONS.into_iter().filter(|horizon| *horizon < capacity).chain([capacity]) {
            let rows = horizon.min(self.kept.len());
            let report = match horizons.last() {
                // The shorter horizon had all examples already.
                Some(shorter) if shorter.rows == rows => Some(HorizonReport { horizon, ..shorter.clone() }),
                _ => self.measure(horizon, rows),
            };
            horizons.extend(report);
        }
        EvaluationReport { recorded: self.recorded, horizons }
    }

    /// Measures the newest rows; `None` when there are none.
    fn measure(&self, horizon: usize, rows: usize) -> Option<HorizonReport> {
        let newest = || self.kept.range(self.kept.len() - rows..);
        let positives = newest().filter(|observation| observation.is_positive).count();
        let (mut total, mut positive) = (0.0, 0.0);
        for observation in newest() {
            total += observation.weight;
            positive += if observation.is_positive { observation.weight } else { 0.0 };
        }
        let label_rate = positive / total;
        let block_rows = block_rows(rows);
        let outcomes = |prediction: fn(&Observation) -> Prediction| {
            let outcome = |(row, observation): (usize, &Observation)| {
                let block = (row / block_rows) as u32;
                Outcome::new(prediction(observation), observation.is_positive, observation.weight, block)
            };
            newest().enumerate().map(outcome).collect::<Vec<_>>()
        };
        let (learning, learning_sorted) = model_report(outcomes(|row| row.learning), label_rate)?;
        let (reference, reference_sorted) = model_report(outcomes(|row| row.reference), label_rate)?;
        let (constant, _) = model_report(outcomes(|row| Prediction::Probability(row.constant)), label_rate)?;
        let intervals = intervals(&learning_sorted, &reference_sorted, rows.div_ceil(block_rows));
        let lift = learning.metrics.auc.zip(reference.metrics.auc);
        Some(HorizonReport {
            horizon,
            rows,
            positives,
            label_rate,
            learning: ModelReport { auc_interval: intervals.learning, ..learning },
            reference: ModelReport { auc_interval: intervals.reference, ..reference },
            constant: constant.metrics,
            lift: lift.map(|(learning, reference)| Lift { auc: learning - reference, interval: intervals.lift }),
        })
    }
}

/// Everything but the interval; `None` without outcomes.
fn model_report(outcomes: Vec<Outcome>, label_rate: f64) -> Option<(ModelReport, Sorted)> {
    let log_loss = log_loss(&outcomes)?;
    let (mut predicted, mut total) = (0.0, 0.0);
    for outcome in &outcomes {
        predicted += outcome.prediction.probability() * outcome.weight;
        total += outcome.weight;
    }
    let sorted = Sorted::new(outcomes);
    let report = ModelReport {
        metrics: Metrics { auc: sorted.auc(), log_loss },
        auc_interval: None,
        calibration: (label_rate > 0.0).then(|| predicted / total / label_rate),
        calibration_error: sorted.calibration_error(CALIBRATION_BINS),
    };
    Some((report, sorted))
}
