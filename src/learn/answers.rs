//! What a model says of a batch of examples, row by row: also where it fails on some of them.

use std::borrow::Cow;

use super::isolate::{isolate, of_rows};
use super::{Examples, Prediction};
use crate::model::{Link, ModelError};

/// The answers of one model, kept from batch to batch for their memory.
#[derive(Default)]
pub(super) struct Answers {
    outputs: Vec<f32>,
    predictions: Vec<Prediction>,
    are_scores: Vec<bool>,
}

impl Answers {
    /// Asks a model for its output of every example. A row that it fails on has none, and costs the others nothing.
    ///
    /// # Errors
    /// A defect of this program.
    pub(super) fn ask(
        &mut self,
        examples: &Examples,
        link: Link,
        most_beyond: f32,
        mut evaluate: impl FnMut(&[f32], usize, &mut Vec<f32>) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let Self { outputs, predictions, are_scores } = self;
        let (width, rows) = (examples.width(), examples.len());
        if of_rows(evaluate(examples.vectors(), rows, outputs))?.is_err() {
            outputs.clear();
            outputs.resize(rows, f32::NAN);
            let mut part = Vec::new();
            isolate(rows, |range| {
                let matrix = examples.vectors().get(range.start * width..range.end * width).unwrap_or_default();
                let outcome = of_rows(evaluate(matrix, range.len(), &mut part))?;
                if outcome.is_ok() {
                    outputs.iter_mut().skip(range.start).zip(&part).for_each(|(output, found)| *output = *found);
                }
                Ok(outcome)
            })?;
        }
        predictions.clear();
        predictions.extend(outputs.iter().map(|output| Prediction::of(link, *output, most_beyond)));
        are_scores.clear();
        are_scores.extend(outputs.iter().map(|output| link.is_score(*output)));
        Ok(())
    }

    /// What was predicted for each example; of a row without a score it means nothing.
    pub(super) fn predictions(&self) -> &[Prediction] {
        &self.predictions
    }

    /// Whether every score is a probability.
    pub(super) fn are_probabilities(&self) -> bool {
        let scored = self.predictions.iter().zip(&self.are_scores).filter(|(_, is_score)| **is_score);
        scored.into_iter().all(|(prediction, _)| (0.0..=1.0).contains(&prediction.probability()))
    }

    /// Whether there is a score wherever the other model has one: where it has none either, it is the example's fault.
    pub(super) fn has_all_of(&self, other: &Self) -> bool {
        self.are_scores.iter().zip(&other.are_scores).all(|(own, other)| *own || !*other)
    }
}

/// The rows that all of these models have a score for; `None`: they are all rows.
pub(super) fn comparable(models: &[&Answers]) -> Option<Vec<bool>> {
    if models.iter().all(|answers| answers.are_scores.iter().all(|is_score| *is_score)) {
        return None;
    }
    let rows = models.first().map_or(0, |answers| answers.are_scores.len());
    let is_compared = |row| models.iter().all(|answers| answers.are_scores.get(row) == Some(&true));
    Some((0..rows).map(is_compared).collect())
}

/// The values of these rows.
pub(super) fn pick<'a, T: Copy>(values: &'a [T], rows: Option<&[bool]>) -> Cow<'a, [T]> {
    match rows {
        None => Cow::Borrowed(values),
        Some(rows) => values.iter().zip(rows).filter_map(|(value, kept)| kept.then_some(*value)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::testing::{batch, example};

    /// The first column, unless a row that is asked for is infinite: then nothing.
    fn evaluate(matrix: &[f32], rows: usize, outputs: &mut Vec<f32>) -> Result<(), ModelError> {
        outputs.clear();
        assert_eq!(matrix.len(), rows * 3);
        if matrix.iter().any(|value| value.is_infinite()) {
            return Err(ModelError::Run { reason: "an id beyond its table".to_owned() });
        }
        outputs.extend(matrix.iter().step_by(3));
        Ok(())
    }

    /// A row that the model failed on ended training.
    #[test]
    fn a_row_that_a_model_fails_on_has_no_score_and_the_others_have_theirs() {
        let mut examples = batch(0..9);
        for value in [f32::INFINITY, f32::NAN] {
            examples.push(crate::learn::Example { vector: &[value, 0.0, 0.0], ..example(&[], 9) }).unwrap();
        }
        examples.extend(&batch(9..12)).unwrap();
        let [mut failing, mut whole] = [Answers::default(), Answers::default()];
        failing.ask(&examples, Link::Logistic, 0.0, evaluate).unwrap();
        let compared = comparable(&[&failing]).unwrap();
        let expected: Vec<bool> = (0..14).map(|row| !(9..11).contains(&row)).collect();
        assert_eq!(compared, expected);
        let mut honest = batch(0..12);
        whole.ask(&honest, Link::Logistic, 0.0, evaluate).unwrap();
        assert_eq!(comparable(&[&whole, &whole]), None);
        assert_eq!(pick(failing.predictions(), Some(&compared)), pick(whole.predictions(), None));
        assert_eq!(pick(examples.labels(), Some(&compared)), honest.labels());

        // Where the other model has no score either, none is missing.
        honest.extend(&batch(12..14)).unwrap();
        whole.ask(&honest, Link::Logistic, 0.0, evaluate).unwrap();
        assert!(failing.has_all_of(&failing) && whole.has_all_of(&failing) && !failing.has_all_of(&whole));
    }
}
