//! How the number that a model is run for becomes its score.

/// From an output to a score. Rows are ranked and judged by their outputs, people are shown scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The output is the score.
    Identity,
    /// The output is the logit of the score, which is a probability. ONNX Runtime's Sigmoid (1.32, float32, CPU) is 0 below a
    /// logit of -15.84 and 1.0000001 above 15.84, off by percents before that, and goes down in between: no order survives it.
    Logistic,
}

impl Link {
    /// The score.
    #[must_use]
    pub fn score(self, output: f32) -> f32 {
        match self {
            Self::Identity => output,
            Self::Logistic => logistic(f64::from(output)) as f32,
        }
    }

    /// Whether an output gives a score. Of a logit without end it is 0 or 1.
    #[must_use]
    pub fn is_score(self, output: f32) -> bool {
        match self {
            Self::Identity => output.is_finite(),
            Self::Logistic => !output.is_nan(),
        }
    }
}

/// The probability of a logit, as exact at one end as at the other.
pub(crate) fn logistic(logit: f64) -> f64 {
    let shrunk = (-logit.abs()).exp();
    if logit < 0.0 { shrunk / (1.0 + shrunk) } else { 1.0 / (1.0 + shrunk) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_never_leaves_0_to_1_and_never_goes_down() {
        let logits = (-2_000..=2_000).map(|step| step as f32 / 40.0);
        let scores: Vec<f32> = logits.map(|logit| Link::Logistic.score(logit)).collect();
        assert!(scores.is_sorted() && scores.iter().all(|score| (0.0..=1.0).contains(score)));
        assert!(scores[0] > 0.0, "a rare event is rare, not impossible");
    }

    #[test]
    fn probabilities_of_rare_events_are_those_of_decimal_arithmetic() {
        // To 15 digits.
        let known = [
            (-14.0, 8.315_280_276_641_32e-7),
            (-16.0, 1.125_351_620_550_95e-7),
            (-20.0, 2.061_153_618_190_20e-9),
            (-40.0, 4.248_354_255_291_59e-18),
        ];
        for (logit, probability) in known {
            let found = logistic(logit);
            assert!((found / probability - 1.0).abs() < 1e-13, "{logit}: {found}");
            assert!((logistic(-logit) - (1.0 - probability)).abs() < 1e-15);
        }
    }

    #[test]
    fn what_is_no_number_is_no_score_and_a_logit_without_end_is_certain() {
        assert!(!Link::Identity.is_score(f32::INFINITY) && !Link::Identity.is_score(f32::NAN));
        assert!(!Link::Logistic.is_score(f32::NAN) && Link::Logistic.is_score(f32::INFINITY));
        assert_eq!(Link::Logistic.score(f32::NEG_INFINITY), 0.0);
        assert_eq!((Link::Logistic.score(f32::INFINITY), Link::Identity.score(2.5)), (1.0, 2.5));
    }
}
