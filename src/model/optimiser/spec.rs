//! Which algorithm, with which numbers.

use super::{
    adagrad::Adagrad,
    adamw::AdamW,
    ftrl::Ftrl,
    kernel::{Cells, Kernel},
    sgd::Sgd,
};
use crate::model::ModelError;

/// An algorithm and its settings; the files of this folder have the formulas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptimizerSpec {
    /// Gradient descent.
    Sgd {
        /// Step size, above 0.
        learning_rate: f32,
        /// How much of the last step's direction stays, in [0, 1); 0 for plain gradient descent.
        momentum: f32,
        /// Looks ahead along the momentum, which must then be above 0.
        nesterov: bool,
    },
    /// Adam with decoupled weight decay. The only one that decays weights.
    AdamW {
        /// Step size, above 0.
        learning_rate: f32,
        /// Decay of the mean of gradients, in [0, 1).
        beta1: f32,
        /// Decay of the mean of squared gradients, in [0, 1).
        beta2: f32,
        /// Keeps the quotient finite, above 0.
        epsilon: f32,
        /// Part of a weight that a step of size 1 takes away, 0 or more.
        weight_decay: f32,
    },
    /// A step size of its own for every weight, falling with the squared gradients seen.
    Adagrad {
        /// Step size, above 0.
        learning_rate: f32,
        /// Keeps the quotient finite, above 0.
        epsilon: f32,
        /// Where the sum of squared gradients starts, 0 or more.
        initial_accumulator: f32,
    },
    /// Follow the regularised leader: sparse weights for very many rare features.
    Ftrl {
        /// The paper's alpha, above 0.
        learning_rate: f32,
        /// Slows the first steps, above 0.
        beta: f32,
        /// Sets weights with little evidence to exactly 0; 0 or more.
        l1: f32,
        /// Pulls weights towards 0; 0 or more.
        l2: f32,
    },
}

/// A range that a setting must be in: what it is called, and whether a value is inside. NaN never is.
type Range = (&'static str, fn(f32) -> bool);

const POSITIVE: Range = ("above 0 and finite", |value| value > 0.0 && value.is_finite());
const NOT_NEGATIVE: Range = ("at least 0 and finite", |value| value >= 0.0 && value.is_finite());
const FRACTION: Range = ("at least 0 and below 1", |value| (0.0..1.0).contains(&value));

impl OptimizerSpec {
    /// The algorithm's name as it is written in settings.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd { .. } => "sgd",
            Self::AdamW { .. } => "adamw",
            Self::Adagrad { .. } => "adagrad",
            Self::Ftrl { .. } => "ftrl",
        }
    }

    /// Are all numbers in their ranges?
    ///
    /// # Errors
    /// [`ModelError::OptimizerSetting`] with the first field that is not.
    pub fn validate(&self) -> Result<(), ModelError> {
        let check = |fields: &[(&'static str, f32, Range)]| {
            for &(field, value, (must, holds)) in fields {
                if !holds(value) {
                    return Err(ModelError::OptimizerSetting { optimizer: self.name(), field, value, must });
                }
            }
            Ok(())
        };
        match *self {
            Self::Sgd { learning_rate, momentum, nesterov } => {
                let with_nesterov: Range = ("above 0 and below 1 with nesterov", |value| value > 0.0 && value < 1.0);
                let momentum_range = if nesterov { with_nesterov } else { FRACTION };
                check(&[("learning_rate", learning_rate, POSITIVE), ("momentum", momentum, momentum_range)])
            }
            Self::AdamW { learning_rate, beta1, beta2, epsilon, weight_decay } => check(&[
                ("learning_rate", learning_rate, POSITIVE),
                ("beta1", beta1, FRACTION),
                ("beta2", beta2, FRACTION),
                ("epsilon", epsilon, POSITIVE),
                ("weight_decay", weight_decay, NOT_NEGATIVE),
            ]),
            Self::Adagrad { learning_rate, epsilon, initial_accumulator } => check(&[
                ("learning_rate", learning_rate, POSITIVE),
                ("epsilon", epsilon, POSITIVE),
                ("initial_accumulator", initial_accumulator, NOT_NEGATIVE),
            ]),
            Self::Ftrl { learning_rate, beta, l1, l2 } => check(&[
                ("learning_rate", learning_rate, POSITIVE),
                ("beta", beta, POSITIVE),
                ("l1", l1, NOT_NEGATIVE),
                ("l2", l2, NOT_NEGATIVE),
            ]),
        }
    }

    /// What is kept beside every weight, by name: none, one or two numbers.
    pub(super) fn slots(&self) -> &'static [&'static str] {
        match self {
            Self::Sgd { momentum, .. } if *momentum == 0.0 => &[],
            Self::Sgd { .. } => &["velocity"],
            Self::AdamW { .. } => &["first_moment", "second_moment"],
            Self::Adagrad { .. } => &["accumulator"],
            Self::Ftrl { .. } => &["linear", "accumulator"],
        }
    }

    /// Sets what is kept beside `cells` to its start, for weights that have not been trained by this algorithm.
    pub(super) fn start(&self, cells: &mut Cells<'_>) {
        match *self {
            Self::Sgd { .. } | Self::AdamW { .. } => {}
            Self::Adagrad { initial_accumulator, .. } => cells.first.fill(initial_accumulator),
            Self::Ftrl { learning_rate, beta, l1, l2 } => Ftrl::start(learning_rate, beta, l1, l2, cells),
        }
    }

    /// The update of step `step`, the first being 1, for gradients that are to be multiplied by `scale`.
    pub(super) fn kernel(&self, step: u64, scale: f32) -> Kernel {
        match *self {
            Self::Sgd { learning_rate, momentum, nesterov } => {
                Kernel::Sgd(Sgd { learning_rate, momentum, nesterov, scale })
            }
            Self::AdamW { learning_rate, beta1, beta2, epsilon, weight_decay } => {
                Kernel::AdamW(AdamW::at(step, learning_rate, [beta1, beta2], epsilon, weight_decay, scale))
            }
            Self::Adagrad { learning_rate, epsilon, .. } => Kernel::Adagrad(Adagrad { learning_rate, epsilon, scale }),
            Self::Ftrl { learning_rate, beta, l1, l2 } => Kernel::Ftrl(Ftrl { learning_rate, beta, l1, l2, scale }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adamw(learning_rate: f32, beta2: f32, epsilon: f32, weight_decay: f32) -> OptimizerSpec {
        OptimizerSpec::AdamW { learning_rate, beta1: 0.9, beta2, epsilon, weight_decay }
    }

    #[test]
    fn usual_settings_pass() {
        let specs = [
            OptimizerSpec::Sgd { learning_rate: 0.1, momentum: 0.0, nesterov: false },
            OptimizerSpec::Sgd { learning_rate: 0.1, momentum: 0.9, nesterov: true },
            adamw(1e-3, 0.999, 1e-8, 0.01),
            OptimizerSpec::Adagrad { learning_rate: 0.1, epsilon: 1e-7, initial_accumulator: 0.1 },
            OptimizerSpec::Ftrl { learning_rate: 0.1, beta: 1.0, l1: 0.0, l2: 0.0 },
        ];
        for spec in specs {
            spec.validate().unwrap();
        }
    }

    #[test]
    fn a_setting_out_of_range_is_named_with_its_value() {
        insta::assert_snapshot!(
            adamw(-0.5, 0.999, 1e-8, 0.0).validate().unwrap_err(),
            @"optimizer adamw has learning_rate -0.5: it must be above 0 and finite"
        );
        insta::assert_snapshot!(
            adamw(1e-3, 1.0, 1e-8, 0.0).validate().unwrap_err(),
            @"optimizer adamw has beta2 1: it must be at least 0 and below 1"
        );
        insta::assert_snapshot!(
            OptimizerSpec::Sgd { learning_rate: 0.1, momentum: 0.0, nesterov: true }.validate().unwrap_err(),
            @"optimizer sgd has momentum 0: it must be above 0 and below 1 with nesterov"
        );
        let refused = [
            adamw(f32::NAN, 0.999, 1e-8, 0.0),
            adamw(f32::INFINITY, 0.999, 1e-8, 0.0),
            adamw(1e-3, 0.999, 0.0, 0.0),
            adamw(1e-3, 0.999, 1e-8, -0.1),
            OptimizerSpec::Adagrad { learning_rate: 0.1, epsilon: 1e-7, initial_accumulator: -0.1 },
            OptimizerSpec::Ftrl { learning_rate: 0.1, beta: 0.0, l1: 0.0, l2: 0.0 },
            OptimizerSpec::Ftrl { learning_rate: 0.1, beta: 1.0, l1: f32::NAN, l2: 0.0 },
        ];
        for spec in refused {
            assert!(spec.validate().is_err(), "{spec:?}");
        }
    }
}
