//! Follow the regularised leader, proximal form.
//!
//! ```text
//!   sigma = (sqrt(n + g²) - sqrt(n)) / alpha
//!   z    += g - sigma × w
//!   n    += g²
//!   w     = 0                                                         where |z| <= l1
//!   w     = -(z - sign(z) × l1) / ((beta + sqrt(n)) / alpha + l2)     elsewhere
//! ```
//!
//! McMahan and others, "Ad click prediction: a view from the trenches", 2013, algorithm 1. The paper derives w from z
//! when it predicts; here it is derived when z changes, so that the weights are always there.

use super::kernel::Cells;

/// One step: its settings, and what gradients are multiplied by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ftrl {
    /// The paper's alpha.
    pub(super) learning_rate: f32,
    pub(super) beta: f32,
    pub(super) l1: f32,
    pub(super) l2: f32,
    pub(super) scale: f32,
}

impl Ftrl {
    /// Chooses z so that the formula gives the weights that are there; the paper starts from weights of 0. The
    /// accumulated squares start at 0, so a first step is large.
    pub(super) fn start(learning_rate: f32, beta: f32, l1: f32, l2: f32, cells: &mut Cells<'_>) {
        for (linear, weight) in cells.first.iter_mut().zip(&*cells.weights) {
            let sign = if *weight == 0.0 { 0.0 } else { weight.signum() };
            *linear = -(weight * (beta / learning_rate + l2) + sign * l1);
        }
    }

    pub(super) fn update(&self, weights: &mut [f32], gradient: &[f32], linear: &mut [f32], accumulator: &mut [f32]) {
        let Self { learning_rate, beta, l1, l2, scale } = *self;
        let per_rate = learning_rate.recip();
        for (((weight, gradient), linear), accumulator) in weights.iter_mut().zip(gradient).zip(linear).zip(accumulator)
        {
            let gradient = gradient * scale;
            let root_before = accumulator.sqrt();
            *accumulator += gradient * gradient;
            let root = accumulator.sqrt();
            *linear += gradient - (root - root_before) * per_rate * *weight;
            // Without a branch, so that the loop is vectorised.
            let beyond = (linear.abs() - l1).max(0.0).copysign(*linear);
            *weight = -beyond / ((beta + root) * per_rate + l2);
        }
    }
}
