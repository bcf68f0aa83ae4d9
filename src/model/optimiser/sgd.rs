//! Gradient descent with momentum.
//!
//! ```text
//!   velocity = momentum × velocity + g
//!   w       -= learning_rate × velocity                      classical
//!   w       -= learning_rate × (g + momentum × velocity)     Nesterov
//! ```
//!
//! Sutskever and others, "On the importance of initialization and momentum in deep learning", 2013, section 2, written
//! with the learning rate outside the velocity, as `PyTorch` does.

use super::kernel::flushed;

/// One step: its settings, and what gradients are multiplied by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sgd {
    pub(super) learning_rate: f32,
    pub(super) momentum: f32,
    pub(super) nesterov: bool,
    pub(super) scale: f32,
}

impl Sgd {
    /// `velocity` is empty when the momentum is 0.
    pub(super) fn update(&self, weights: &mut [f32], gradient: &[f32], velocity: &mut [f32]) {
        let Self { learning_rate, momentum, nesterov, scale } = *self;
        if momentum == 0.0 {
            for (weight, gradient) in weights.iter_mut().zip(gradient) {
                *weight -= learning_rate * (gradient * scale);
            }
        } else if nesterov {
            for ((weight, gradient), velocity) in weights.iter_mut().zip(gradient).zip(velocity) {
                let gradient = gradient * scale;
                *velocity = flushed(momentum * *velocity + gradient);
                *weight -= learning_rate * (gradient + momentum * *velocity);
            }
        } else {
            for ((weight, gradient), velocity) in weights.iter_mut().zip(gradient).zip(velocity) {
                *velocity = flushed(momentum * *velocity + gradient * scale);
                *weight -= learning_rate * *velocity;
            }
        }
    }
}
