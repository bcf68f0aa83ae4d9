//! What a model said of an example, as closely as it said it.

use crate::model::{Link, logistic};

/// Probabilities closer to 0 or 1 than this are taken as this far away, so that one of them cannot make a loss infinite.
const CLOSEST: f64 = 1e-7;

/// How likely a positive was to a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Prediction {
    /// By its logit, a number: 40 and 41 differ, though their probabilities do not.
    Logit(f32),
    /// By the probability itself.
    Probability(f32),
}

impl Prediction {
    /// A model's output. One that is at most `most_beyond` below 0 or above 1 is taken as 0 or 1.
    pub(crate) fn of(link: Link, output: f32, most_beyond: f32) -> Self {
        match link {
            Link::Logistic if output.is_finite() => Self::Logit(output),
            Link::Logistic => Self::Probability(link.score(output)),
            Link::Identity => {
                let nearest = output.clamp(0.0, 1.0);
                Self::Probability(if (output - nearest).abs() <= most_beyond { nearest } else { output })
            }
        }
    }

    /// The probability.
    pub(crate) fn probability(self) -> f64 {
        match self {
            Self::Logit(logit) => logistic(f64::from(logit)),
            Self::Probability(probability) => f64::from(probability),
        }
    }

    /// The logit: an order of all predictions.
    pub(super) fn logit(self) -> f64 {
        match self {
            Self::Logit(logit) => f64::from(logit),
            Self::Probability(probability) => {
                let probability = f64::from(probability);
                (probability / (1.0 - probability)).ln()
            }
        }
    }

    /// The negative log-likelihood of a label, nats: of a logit without the way over the probability, in which it would get
    /// lost.
    pub(super) fn loss(self, is_positive: bool) -> f64 {
        match self {
            Self::Logit(logit) => {
                let against = f64::from(if is_positive { -logit } else { logit });
                against.max(0.0) + (-against.abs()).exp().ln_1p()
            }
            Self::Probability(probability) => {
                let probability = f64::from(probability).clamp(CLOSEST, 1.0 - CLOSEST);
                -if is_positive { probability } else { 1.0 - probability }.ln()
            }
        }
    }

    /// The number that is no prediction, if it is none.
    pub(super) fn flaw(self) -> Option<f32> {
        match self {
            Self::Logit(logit) => (!logit.is_finite()).then_some(logit),
            Self::Probability(probability) => (!(0.0..=1.0).contains(&probability)).then_some(probability),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sure_logit_costs_what_it_is_worth_and_keeps_its_place() {
        for logit in [14.0_f32, 16.0, 20.0, 40.0] {
            let sure = Prediction::Logit(logit);
            // ln(1 + e^-z) is e^-z to the first order.
            let right = (-f64::from(logit)).exp();
            assert!((sure.loss(true) / right - 1.0).abs() < 1e-6, "{logit}");
            assert!((sure.loss(false) - f64::from(logit) - right).abs() < 1e-6);
            assert!((Prediction::Logit(-logit).loss(true) - sure.loss(false)).abs() < 1e-12);
            assert!(Prediction::Logit(logit + 0.5).logit() > sure.logit());
            assert!((Prediction::Logit(-logit).probability() / (right / (1.0 + right)) - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn probabilities_keep_their_order_and_one_of_none_costs_no_end() {
        let ordered = [0.0, 1e-30, 1e-9, 0.3, 0.300_000_03, 0.5, 0.999_999_9, 1.0].map(Prediction::Probability);
        assert!(ordered.is_sorted_by(|low, high| low.logit() < high.logit()));
        assert!((ordered[0].loss(true) - 16.118_095_650_958_32).abs() < 1e-9);
        assert!((Prediction::Probability(0.5).logit() - Prediction::Logit(0.0).logit()).abs() < 1e-12);
    }

    #[test]
    fn what_rounding_puts_beyond_0_and_1_is_a_probability_and_nothing_else_is() {
        let of = |output, most| Prediction::of(Link::Identity, output, most);
        for (output, probability) in
            [(1.000_000_1, 1.0), (-1e-7, 0.0), (1.000_01, 1.000_01), (-0.5, -0.5), (0.25, 0.25)]
        {
            assert_eq!(of(output, 1e-6), Prediction::Probability(probability));
        }
        assert_eq!((of(7.0, f32::INFINITY), of(-2.0, f32::INFINITY)), (of(1.0, 0.0), of(0.0, 0.0)));
        assert!(of(f32::NAN, f32::INFINITY).flaw().is_some() && of(1.000_01, 1e-6).flaw().is_some());
        assert_eq!(Prediction::of(Link::Logistic, f32::NEG_INFINITY, 0.0), Prediction::Probability(0.0));
        assert_eq!(Prediction::of(Link::Logistic, 30.0, 0.0), Prediction::Logit(30.0));
    }
}
