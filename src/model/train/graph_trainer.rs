//! Weights that learn from plain tensors.

use std::fmt;

use crate::model::{
    Feed, ModelError,
    gradient::{GradientGraph, ScoredColumn, differentiate, names},
    onnx::{Document, proto::ValueInfoProto},
    optimiser::{Optimizer, clip_scale, sum_of_squares},
    train::{
        TrainSettings,
        parameter::{Parameter, Taken, bytes, with_weights_as_inputs},
        pass::{Outputs, Pass},
        saved,
    },
};

/// A model whose weights are trained, with any inputs; [`Trainer`](super::Trainer) is one bound to a vector.
#[derive(Debug)]
pub struct GraphTrainer {
    /// The model's file; the initializers of parameters are there without their values.
    template: Document,
    parameters: Vec<Parameter>,
    optimizer: Optimizer,
    clip_norm: Option<f32>,
    backward: Pass,
    forward: Pass,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The weights moved.
    Updated {
        /// The batch's loss before the step: the weighted mean over its rows.
        loss: f32,
        /// The length of all gradients together, before clipping.
        gradient_norm: f32,
    },
    /// Nothing changed.
    Skipped {
        /// What was not finite.
        reason: NotFinite,
    },
}

/// What of a step was NaN, infinite, or so large that its square is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFinite {
    /// The loss, also of a batch in which all weights are 0.
    Loss,
    /// The gradient of a parameter.
    Gradient {
        /// The initializer's name.
        parameter: String,
    },
}

impl GraphTrainer {
    /// Takes the weights of `document` as they are and differentiates the output that `settings` names.
    ///
    /// # Errors
    /// Those of [`differentiate`], [`ModelError::OptimizerSetting`] for a setting out of range, and
    /// [`ModelError::Load`] when ONNX Runtime refuses a graph.
    pub fn new(document: Document, settings: &TrainSettings) -> Result<Self, ModelError> {
        check_settings(settings)?;
        let gradient = differentiate(&document, &settings.gradient(settings.output.clone(), ScoredColumn::Each))?;
        let outputs = document.graph().output.iter().map(|output| output.name().to_owned()).collect::<Vec<_>>();
        let outputs = settings.output.clone().map_or(outputs, |output| vec![output]);
        Self::with_gradient(document, gradient, settings, &outputs, |_| {})
    }

    /// [`new`](Self::new) with a gradient graph that is there already; the forward pass, as `edit` leaves it, gives `outputs`.
    pub(super) fn with_gradient(
        mut document: Document,
        gradient: GradientGraph,
        settings: &TrainSettings,
        outputs: &[String],
        edit: impl FnOnce(&mut Document),
    ) -> Result<Self, ModelError> {
        let mut forward_graph = with_weights_as_inputs(&document, &gradient);
        edit(&mut forward_graph);
        let forward = Pass::open(&forward_graph, settings.threads, outputs.iter().map(String::as_str))?;
        let mut parameters = Vec::with_capacity(gradient.parameters.len());
        for described in gradient.parameters {
            parameters.push(Parameter::take(&mut document, described)?);
        }
        let wanted = [names::LOSS].into_iter().chain(parameters.iter().flat_map(Parameter::outputs));
        let backward = Pass::open(&gradient.document, settings.threads, wanted)?;
        let weights = parameters.iter().map(|parameter| parameter.weights.as_slice());
        let optimizer = Optimizer::new(settings.optimizer, weights)?;
        Ok(Self { template: document, parameters, optimizer, clip_norm: settings.clip_norm, backward, forward })
    }

    /// Trains on one batch. `feeds` are the model's own inputs and those of [`names`]: label, weight and, where the
    /// loss has one, offset.
    ///
    /// # Errors
    /// [`ModelError::Run`] when ONNX Runtime fails, for example on an input of a wrong shape; the weights stay as
    /// they were.
    pub fn step_feeds(&mut self, feeds: &[Feed<'_>]) -> Result<Outcome, ModelError> {
        self.run(feeds, |optimizer, scale, gradients| {
            let mut step = optimizer.step(scale);
            for (number, (weights, gradient)) in gradients.into_iter().enumerate() {
                gradient.apply(&mut step, number, weights);
            }
        })
    }

    /// What [`step_feeds`](Self::step_feeds) would make of a batch; nothing changes.
    ///
    /// # Errors
    /// Those of [`step_feeds`](Self::step_feeds).
    pub(super) fn try_feeds(&mut self, feeds: &[Feed<'_>]) -> Result<Outcome, ModelError> {
        self.run(feeds, |_, _, _| {})
    }

    /// Computes loss and gradients, and hands them on where all are finite, with the factor that clips them.
    fn run(
        &mut self,
        feeds: &[Feed<'_>],
        apply: impl FnOnce(&mut Optimizer, f32, Vec<(&mut [f32], Taken<'_>)>),
    ) -> Result<Outcome, ModelError> {
        let outputs = self.backward.run(&with_weights(feeds, &self.parameters))?;
        let loss = scalar(&outputs, names::LOSS)?;
        if !loss.is_finite() {
            return Ok(Outcome::Skipped { reason: NotFinite::Loss });
        }
        let mut gradients = Vec::with_capacity(self.parameters.len());
        let mut squares = 0.0;
        for parameter in &mut self.parameters {
            let (name, weights, gradient) = parameter.gradient(&outputs)?;
            let of_this = sum_of_squares(gradient.values());
            if !of_this.is_finite() {
                let parameter = name.to_owned();
                return Ok(Outcome::Skipped { reason: NotFinite::Gradient { parameter } });
            }
            squares += of_this;
            gradients.push((weights, gradient));
        }
        let norm = squares.sqrt();
        apply(&mut self.optimizer, clip_scale(norm, self.clip_norm), gradients);
        Ok(Outcome::Updated { loss, gradient_norm: norm as f32 })
    }

    /// Runs the model with its current weights and hands the shape and values of the float32 output `output` to
    /// `take`. Nothing is learned; `Dropout` passes everything on.
    ///
    /// # Errors
    /// [`ModelError::Run`] when ONNX Runtime fails.
    pub fn predict_feeds<T>(
        &mut self,
        feeds: &[Feed<'_>],
        output: &str,
        take: impl FnOnce(&[i64], &[f32]) -> T,
    ) -> Result<T, ModelError> {
        let outputs = self.forward.run(&with_weights(feeds, &self.parameters))?;
        let (shape, values) = outputs.float32(output)?;
        Ok(take(shape, values))
    }

    /// Steps taken, without those skipped.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.optimizer.steps()
    }

    /// The model's file with the current weights; everything else is as it came.
    #[must_use]
    pub fn document(&self) -> Document {
        let mut document = self.template.clone();
        for initializer in &mut document.graph_mut().initializer {
            let parameter = self.parameters.iter().find(|parameter| parameter.name == initializer.name());
            if let Some(parameter) = parameter {
                initializer.raw_data = Some(bytes(&parameter.weights));
            }
        }
        document
    }

    /// Whether every trained weight is a number.
    #[must_use]
    pub fn weights_are_finite(&self) -> bool {
        let mut weights = self.parameters.iter().map(|parameter| &parameter.weights);
        weights.all(|weights| weights.iter().all(|weight| weight.is_finite()))
    }

    /// Weights, optimiser state and steps as bytes, for [`restore`](Self::restore).
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        saved::write(&self.template, &self.parameters, &self.optimizer)
    }

    /// Goes on where [`save`](Self::save) was called. Settings of the optimiser such as the learning rate are those
    /// of now, not those of then.
    ///
    /// # Errors
    /// [`ModelError::Restore`] for damaged bytes, another model or another optimiser, with what differs; then nothing
    /// has changed.
    pub fn restore(&mut self, saved: &[u8]) -> Result<(), ModelError> {
        saved::read(saved, &self.template, &mut self.parameters, &mut self.optimizer)
            .map_err(|reason| ModelError::Restore { reason })
    }
}

impl fmt::Display for NotFinite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loss => write!(formatter, "the loss is not finite"),
            Self::Gradient { parameter } => write!(formatter, "the gradient of {parameter:?} is not finite"),
        }
    }
}

/// Numbers that are wrong for any model, told before the model is looked at.
pub(super) fn check_settings(settings: &TrainSettings) -> Result<(), ModelError> {
    settings.optimizer.validate()?;
    match settings.clip_norm {
        Some(limit) if !(limit > 0.0 && limit.is_finite()) => Err(ModelError::ClipNorm { value: limit }),
        _ => Ok(()),
    }
}

/// How the gradient graph declares an input.
pub(super) fn declared<'a>(gradient: &'a GradientGraph, input: &str) -> Option<&'a ValueInfoProto> {
    gradient.document.graph().input.iter().find(|declared| declared.name() == input)
}

fn with_weights<'a>(feeds: &[Feed<'a>], parameters: &'a [Parameter]) -> Vec<Feed<'a>> {
    feeds.iter().copied().chain(parameters.iter().map(Parameter::feed)).collect()
}

fn scalar(outputs: &Outputs<'_>, name: &str) -> Result<f32, ModelError> {
    let (shape, values) = outputs.float32(name)?;
    values.first().copied().ok_or_else(|| ModelError::Run { reason: format!("output {name:?} has shape {shape:?}") })
}
