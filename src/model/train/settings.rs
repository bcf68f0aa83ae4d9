//! How a model is trained.

use crate::model::{
    Activation,
    gradient::{GradientSpec, Loss, ScoredColumn},
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
    /// Initializers that are trained although they look like constants, named likewise; what is frozen too stays frozen.
    pub unfreeze: Vec<String>,
    /// Whether `Dropout` nodes drop values while training; their masks are random and not repeatable.
    pub dropout: bool,
    /// Threads inside one operator; with 1, the calling thread does all the work.
    pub threads: usize,
    /// The output that is trained; not needed when only one can be it.
    pub output: Option<String>,
    /// What makes a score of that output, where it is none yet.
    pub activation: Option<Activation>,
}

impl TrainSettings {
    /// What is to be differentiated, for this output; `class` is which of its columns is the score.
    pub(super) fn gradient(&self, prediction: Option<String>, class: ScoredColumn) -> GradientSpec {
        GradientSpec {
            prediction,
            loss: self.loss,
            freeze: self.freeze.clone(),
            unfreeze: self.unfreeze.clone(),
            activation: self.activation,
            class,
            dropout: self.dropout,
        }
    }
}
