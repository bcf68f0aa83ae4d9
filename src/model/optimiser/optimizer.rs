//! An algorithm with its memory: what is kept beside the weights of a model, and how many steps were taken.

use super::{
    OptimizerSpec, RowGradient,
    kernel::{Cells, Kernel},
};
use crate::model::ModelError;

/// Updates the weights of a model's parameters; weights and gradients stay the caller's.
///
/// Parameters are known by their number, in the order given to [`new`](Self::new).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Optimizer {
    spec: OptimizerSpec,
    steps: u64,
    beside: Vec<Slots>,
}

/// What is kept beside one parameter: as many numbers as it has weights, or none.
#[derive(Debug, Clone, PartialEq, Default)]
struct Slots {
    first: Vec<f32>,
    second: Vec<f32>,
}

/// A step that has begun: update every parameter once.
#[derive(Debug)]
pub struct Step<'a> {
    kernel: Kernel,
    beside: &'a mut [Slots],
}

impl Optimizer {
    /// An optimiser that has not taken a step, for parameters with these weights.
    ///
    /// # Errors
    /// [`ModelError::OptimizerSetting`] for settings out of range.
    pub(crate) fn new<'a>(
        spec: OptimizerSpec,
        parameters: impl Iterator<Item = &'a [f32]>,
    ) -> Result<Self, ModelError> {
        spec.validate()?;
        let slots = |weights: &[f32]| {
            let mut slots = Slots::of(&spec, weights.len());
            let mut weights = weights.to_vec();
            spec.start(&mut slots.cells(&mut weights));
            slots
        };
        Ok(Self { spec, steps: 0, beside: parameters.map(slots).collect() })
    }

    /// The algorithm and its settings.
    #[must_use]
    pub(crate) fn spec(&self) -> &OptimizerSpec {
        &self.spec
    }

    /// Steps taken so far.
    #[must_use]
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// Counts a step and begins it; gradients are multiplied by `scale` on their way, usually that of
    /// [`clip_scale`](super::clip_scale).
    pub(crate) fn step(&mut self, scale: f32) -> Step<'_> {
        self.steps += 1;
        Step { kernel: self.spec.kernel(self.steps, scale), beside: &mut self.beside }
    }

    /// What is kept beside parameter `parameter`, with the name of each: as many values as it has weights.
    pub(crate) fn slots(&self, parameter: usize) -> impl Iterator<Item = (&'static str, &[f32])> {
        let slots = self.beside.get(parameter).into_iter().flat_map(|slots| [&*slots.first, &*slots.second]);
        self.spec.slots().iter().copied().zip(slots)
    }

    /// [`slots`](Self::slots) to be overwritten, for continuing from a saved state.
    pub(crate) fn slots_mut(&mut self, parameter: usize) -> impl Iterator<Item = (&'static str, &mut [f32])> {
        let slots = self.beside.get_mut(parameter).into_iter();
        let slots = slots.flat_map(|slots| [&mut *slots.first, &mut *slots.second]);
        self.spec.slots().iter().copied().zip(slots)
    }

    /// Says how many steps were taken, for continuing from a saved state.
    pub(crate) fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }
}

impl Step<'_> {
    /// Moves all weights of a parameter by a gradient of the same length.
    pub fn dense(&mut self, parameter: usize, weights: &mut [f32], gradient: &[f32]) {
        debug_assert_eq!(weights.len(), gradient.len(), "parameter {parameter}");
        if let Some(slots) = self.beside.get_mut(parameter) {
            self.kernel.update(slots.cells(weights), gradient);
        }
    }

    /// Moves those rows of a table `[height, width]` that `gradient` names.
    pub fn rows(&mut self, parameter: usize, weights: &mut [f32], gradient: &RowGradient) {
        let Some(slots) = self.beside.get_mut(parameter) else { return };
        let mut table = slots.cells(weights);
        for (row, values) in gradient.iter() {
            let start = row * values.len();
            if let Some(cells) = table.part(start..start + values.len()) {
                self.kernel.update(cells, values);
            }
        }
    }
}

impl Slots {
    fn of(spec: &OptimizerSpec, weights: usize) -> Self {
        let slot = |number: usize| if number < spec.slots().len() { vec![0.0; weights] } else { Vec::new() };
        Self { first: slot(0), second: slot(1) }
    }

    fn cells<'a>(&'a mut self, weights: &'a mut [f32]) -> Cells<'a> {
        Cells { weights, first: &mut self.first, second: &mut self.second }
    }
}
