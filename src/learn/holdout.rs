//! The newest examples, with what the model in training and the active one said of them before anything was learnt from
//! them: what the gate compares.

use std::collections::VecDeque;

use super::{EvaluationError, Metrics, Prediction};

/// A sliding window over examples.
#[derive(Debug)]
pub(super) struct Holdout {
    capacity: usize,
    candidate: VecDeque<Prediction>,
    active: VecDeque<Prediction>,
    labels: VecDeque<f32>,
    sampling: VecDeque<f32>,
    outputs_finite: bool,
}

impl Holdout {
    /// An empty window over this many examples.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            candidate: VecDeque::new(),
            active: VecDeque::new(),
            labels: VecDeque::new(),
            sampling: VecDeque::new(),
            outputs_finite: true,
        }
    }

    /// Adds examples; the oldest leave. All slices are of one length.
    pub(super) fn record(&mut self, candidate: &[Prediction], active: &[Prediction], labels: &[f32], sampling: &[f32]) {
        self.candidate.extend(candidate);
        self.active.extend(active);
        self.labels.extend(labels);
        self.sampling.extend(sampling);
        let leaving = self.labels.len().saturating_sub(self.capacity);
        for column in [&mut self.candidate, &mut self.active] {
            column.drain(..leaving);
        }
        for column in [&mut self.labels, &mut self.sampling] {
            column.drain(..leaving);
        }
    }

    /// Notes that a prediction was not finite: the candidate can't be promoted until the window has moved on.
    pub(super) fn note_outputs(&mut self, finite: bool) {
        self.outputs_finite = finite;
    }

    /// Empties the window, because one of the models is another one now.
    pub(super) fn clear(&mut self) {
        [&mut self.candidate, &mut self.active].into_iter().for_each(VecDeque::clear);
        [&mut self.labels, &mut self.sampling].into_iter().for_each(VecDeque::clear);
    }

    /// The candidate's and the active model's figures; `None` while there is no example.
    pub(super) fn compare(&mut self) -> Result<(Option<Metrics>, Option<Metrics>), EvaluationError> {
        let (labels, sampling) = (self.labels.make_contiguous(), self.sampling.make_contiguous());
        let candidate = Metrics::of(self.candidate.make_contiguous(), labels, sampling)?;
        let active = Metrics::of(self.active.make_contiguous(), labels, sampling)?;
        Ok((candidate, active))
    }

    /// Whether the newest predictions were finite.
    pub(super) fn outputs_finite(&self) -> bool {
        self.outputs_finite
    }

    /// How many examples are in the window.
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// How many of them are positive.
    pub(super) fn positives(&self) -> usize {
        self.labels.iter().filter(|label| **label > 0.5).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_holds_the_newest_examples() {
        let mut holdout = Holdout::new(4);
        let said =
            |probabilities: &[f32]| probabilities.iter().copied().map(Prediction::Probability).collect::<Vec<_>>();
        holdout.record(&said(&[0.1, 0.2]), &said(&[0.3, 0.4]), &[0.0, 1.0], &[0.5, 1.0]);
        assert_eq!((holdout.len(), holdout.positives()), (2, 1));
        holdout.record(&said(&[0.9, 0.1, 0.8, 0.2]), &said(&[0.5; 4]), &[1.0, 0.0, 1.0, 0.0], &[1.0; 4]);
        assert_eq!((holdout.len(), holdout.positives()), (4, 2));
        let (candidate, active) = holdout.compare().unwrap();
        assert_eq!((candidate.unwrap().auc, active.unwrap().auc), (Some(1.0), Some(0.5)));
        holdout.clear();
        assert_eq!((holdout.len(), holdout.compare().unwrap()), (0, (None, None)));
    }
}
