//! How a model is trained.

use crate::model::{
    gradient::{GradientSpec, Loss},
    optimiser::OptimizerSpec,
};

/// What a training is told by its operator.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainSettings {
    /// What a prediction is held against.
    pub loss: Loss,
    /// How weights follow gradients.
    pub optimizer: OptimizerSpec,
    /// The longest that all gradients of a step may be together, above 0; longer ones are shortened to it.
    pub clip_norm: Option<f32>,
    /// Initializers that stay as they are: names, or beginnings of names followed by `*`.
    pub freeze: Vec<String>,
    /// Whether `Dropout` nodes drop values while training; their masks are random and not repeatable.
    pub dropout: bool,
    /// Threads inside one operator; with 1, the calling thread does all the work.
    pub threads: usize,
    /// The output that is trained; not needed when only one can be it.
    pub output: Option<String>,
}

impl TrainSettings {
    /// What is to be differentiated, for this output.
    pub(super) fn gradient(&self, prediction: Option<String>) -> GradientSpec {
        GradientSpec { prediction, loss: self.loss, freeze: self.freeze.clone(), dropout: self.dropout }
    }
}
