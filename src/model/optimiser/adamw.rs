//! Adam with decoupled weight decay.
//!
//! ```text
//!   m  = beta1 × m + (1 - beta1) × g          v = beta2 × v + (1 - beta2) × g²
//!   m' = m / (1 - beta1^t)                   v' = v / (1 - beta2^t)
//!   w -= learning_rate × (m' / (sqrt(v') + epsilon) + weight_decay × w)
//! ```
//!
//! Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2, whose lambda is
//! `learning_rate × weight_decay` here, as in `PyTorch`.

use super::kernel::flushed;

/// One step: the settings and the corrections of step `t`, computed once, and what gradients are multiplied by.
#[derive(Debug, Clone, Copy)]
pub(super) struct AdamW {
    beta1: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    /// `learning_rate / (1 - beta1^t)`.
    rate: f32,
    /// `1 / sqrt(1 - beta2^t)`.
    root: f32,
    epsilon: f32,
    /// `1 - learning_rate × weight_decay`.
    keep: f32,
    scale: f32,
}

impl AdamW {
    /// Step `step`, the first being 1.
    pub(super) fn at(
        step: u64,
        learning_rate: f32,
        [beta1, beta2]: [f32; 2],
        epsilon: f32,
        weight_decay: f32,
        scale: f32,
    ) -> Self {
        let corrected = |beta: f32| 1.0 - f64::from(beta).powf(step as f64);
        let learning_rate = f64::from(learning_rate);
        Self {
            beta1,
            one_minus_beta1: (1.0 - f64::from(beta1)) as f32,
            beta2,
            one_minus_beta2: (1.0 - f64::from(beta2)) as f32,
            rate: (learning_rate / corrected(beta1)) as f32,
            root: corrected(beta2).sqrt().recip() as f32,
            epsilon,
            keep: (1.0 - learning_rate * f64::from(weight_decay)) as f32,
            scale,
        }
    }

    pub(super) fn update(&self, weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let Self { beta1, one_minus_beta1, beta2, one_minus_beta2, rate, root, epsilon, keep, scale } = *self;
        for (((weight, gradient), first), second) in weights.iter_mut().zip(gradient).zip(first).zip(second) {
            let gradient = gradient * scale;
            *first = flushed(beta1 * *first + one_minus_beta1 * gradient);
            *second = flushed(beta2 * *second + one_minus_beta2 * (gradient * gradient));
            *weight = keep * *weight - rate * *first / (second.sqrt() * root + epsilon);
        }
    }
}
