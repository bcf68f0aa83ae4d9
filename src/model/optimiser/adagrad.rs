//! A step size per weight that falls with the squared gradients seen.
//!
//! ```text
//!   n += g²
//!   w -= learning_rate × g / (sqrt(n) + epsilon)
//! ```
//!
//! Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization", 2011,
//! the diagonal form (figure 1).

/// One step: its settings, and what gradients are multiplied by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adagrad {
    pub(super) learning_rate: f32,
    pub(super) epsilon: f32,
    pub(super) scale: f32,
}

impl Adagrad {
    pub(super) fn update(&self, weights: &mut [f32], gradient: &[f32], accumulator: &mut [f32]) {
        let Self { learning_rate, epsilon, scale } = *self;
        for ((weight, gradient), accumulator) in weights.iter_mut().zip(gradient).zip(accumulator) {
            let gradient = gradient * scale;
            *accumulator += gradient * gradient;
            *weight -= learning_rate * gradient / (accumulator.sqrt() + epsilon);
        }
    }
}
