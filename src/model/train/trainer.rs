//! A trainer bound to a vector: rows and labels in, better scores out.

use std::slice;

use crate::model::{
    Activation, Binding, Feed, Link, ModelError, ObjectiveError, ScoreOutput, Signature, Values,
    batches::{FixedBatch, free_batch},
    feeding::Feeding,
    fit::{self, Fit},
    gradient::{GradientGraph, Loss, ScoredColumn, differentiate, names},
    logit,
    onnx::Document,
    scorer::{TRIAL_ROWS, collect_scores, into_scores},
    signature::{ElementType, TensorSpec},
    train::{
        GraphTrainer, Inventory, Outcome, TrainSettings,
        graph_trainer::{check_settings, declared},
    },
};

/// The largest class number that float32 holds exactly.
const LARGEST_CLASS: f32 = 16_777_216.0;

/// Trains a model on labelled vectors and scores with it; on the thread that owns it.
#[derive(Debug)]
pub struct Trainer {
    graph: GraphTrainer,
    feeding: Feeding,
    output: String,
    inventory: Inventory,
    link: Link,
    class: Option<usize>,
    loss: Loss,
    labels: LabelForm,
    /// Kept between batches for their memory.
    classes: Vec<i64>,
    ones: Vec<f32>,
    zeros: Vec<f32>,
}

/// Labelled vectors; all slices but `matrix` have one value per row.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// `rows` vectors, row after row, as the inputs that were bound say.
    pub matrix: &'a [f32],
    /// How many; at least 1.
    pub rows: usize,
    /// What should have been predicted: 0 to 1 for binary cross-entropy, the number of a class for softmax.
    pub labels: &'a [f32],
    /// How much each row counts, 0 or more; empty when all count the same.
    pub weights: &'a [f32],
    /// Added to the log-odds in the loss but not in predictions; empty for none. Only binary cross-entropy has them.
    pub offsets: &'a [f32],
}

/// The tensor that labels are given as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LabelForm {
    /// int64 `[batch]`.
    Classes,
    /// float32 `[batch]`.
    Flat,
    /// float32 `[batch, 1]`.
    Column,
}

impl Trainer {
    /// Binds a model to a vector and an output, differentiates it, and runs it once on zeros.
    ///
    /// The output is that of `binding`, else that of `settings`, else the only one that can be a score.
    ///
    /// # Errors
    /// Those of [`Session::bind`](crate::model::Session::bind) and [`GraphTrainer::new`], and [`ModelError::LabelShape`] for
    /// an output that one label per row cannot train.
    pub fn new(document: Document, binding: &Binding<'_>, settings: &TrainSettings) -> Result<Self, ModelError> {
        check_settings(settings)?;
        let signature = Signature::of(document.graph())?;
        let output = binding.output.unwrap_or_default();
        let output = ScoreOutput { name: output.name.or(settings.output.as_deref()), ..output };
        let binding = Binding { output: Some(output), ..*binding };
        let fit = fit::decide(&signature, &document.metadata(), &binding)?;
        check_trainable(&signature, &fit)?;
        let class = fit.class.map_or(ScoredColumn::SecondOfTwo, |class| ScoredColumn::At(class as i64));
        let gradient = differentiate(&document, &settings.gradient(Some(fit.output.clone()), class))?;
        let feeding = Feeding::new(fit.routes.clone(), binding.columns, binding.inputs());
        Self::with_gradient(document, gradient, fit, feeding, settings)
    }

    /// [`new`](Self::new) with a gradient graph that is there already.
    pub(super) fn with_gradient(
        document: Document,
        gradient: GradientGraph,
        fit: Fit,
        feeding: Feeding,
        settings: &TrainSettings,
    ) -> Result<Self, ModelError> {
        let label = declared(&gradient, names::LABEL).map(TensorSpec::of).transpose()?;
        let labels = LabelForm::of(label.as_ref())?;
        let inventory = Inventory::of(&gradient, &fit.output);
        let mut link = Link::Identity;
        let outputs = slice::from_ref(&fit.output);
        let expose = |forward: &mut Document| link = logit::expose(forward, &fit.output);
        let graph = GraphTrainer::with_gradient(document, gradient, settings, outputs, expose)?;
        let zeros = vec![0.0; TRIAL_ROWS * feeding.width()];
        let mut trainer = Self {
            graph,
            feeding,
            output: fit.output,
            inventory,
            link: settings.activation.map_or(link, Activation::link),
            class: fit.class,
            loss: settings.loss,
            labels,
            classes: Vec::new(),
            ones: Vec::new(),
            zeros: Vec::new(),
        };
        trainer.evaluate(&zeros, TRIAL_ROWS, &mut Vec::new())?;
        Ok(trainer)
    }

    /// Scores `rows` vectors with the current weights, as [`Scorer::score`](crate::model::Scorer::score) does, errors
    /// included. Nothing is learned.
    pub fn predict(&mut self, matrix: &[f32], rows: usize, scores: &mut Vec<f32>) -> Result<(), ModelError> {
        self.evaluate(matrix, rows, scores)?;
        into_scores(self.link, scores)
    }

    /// Gives one output per row, as [`Scorer::evaluate`](crate::model::Scorer::evaluate) does.
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict), but what is no score is there as it is.
    pub fn evaluate(&mut self, matrix: &[f32], rows: usize, outputs: &mut Vec<f32>) -> Result<(), ModelError> {
        outputs.clear();
        self.feeding.fill(matrix, rows)?;
        if rows == 0 {
            return Ok(());
        }
        let (output, class) = (&self.output, self.class);
        let feeds = self.feeding.feeds(matrix);
        let take = |shape: &[i64], values: &[f32]| collect_scores(output, class, shape, values, rows, outputs);
        self.graph.predict_feeds(&feeds, output, take)?
    }

    /// What makes scores of outputs.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link
    }

    /// Takes one step on a batch, or [skips](Outcome::Skipped) it when it would ruin the weights.
    ///
    /// # Errors
    /// [`ModelError::BatchSize`], [`ModelError::MatrixSize`], [`ModelError::Label`], [`ModelError::NotWhole`],
    /// [`ModelError::NotHeld`] or [`ModelError::Run`]; weights and optimiser stay as they were.
    pub fn step(&mut self, batch: Batch<'_>) -> Result<Outcome, ModelError> {
        self.pass(batch, GraphTrainer::step_feeds)
    }

    /// What [`step`](Self::step) would make of a batch, but for what is random; nothing changes.
    ///
    /// # Errors
    /// Those of [`step`](Self::step).
    pub fn try_step(&mut self, batch: Batch<'_>) -> Result<Outcome, ModelError> {
        self.pass(batch, GraphTrainer::try_feeds)
    }

    /// Hands a batch as tensors to one of the graph's ways of running.
    fn pass(
        &mut self,
        batch: Batch<'_>,
        run: fn(&mut GraphTrainer, &[Feed<'_>]) -> Result<Outcome, ModelError>,
    ) -> Result<Outcome, ModelError> {
        self.check(&batch)?;
        self.feeding.fill(batch.matrix, batch.rows)?;
        let Batch { matrix, rows, labels, weights, offsets } = batch;
        let (flat, column) = ([rows], [rows, 1]);
        let (dims, values): (&[usize], Values<'_>) = match self.labels {
            LabelForm::Classes => {
                self.classes.clear();
                self.classes.extend(labels.iter().map(|label| *label as i64));
                (&flat, Values::Int64(&self.classes))
            }
            LabelForm::Flat => (&flat, Values::Float32(labels)),
            LabelForm::Column => (&column, Values::Float32(labels)),
        };
        let mut feeds = self.feeding.feeds(matrix);
        feeds.push(Feed { input: names::LABEL, dims, values });
        let weights = Values::Float32(given_or(weights, &mut self.ones, 1.0, rows));
        feeds.push(Feed { input: names::WEIGHT, dims: &flat, values: weights });
        if self.loss == Loss::BinaryCrossEntropy {
            let offsets = Values::Float32(given_or(offsets, &mut self.zeros, 0.0, rows));
            feeds.push(Feed { input: names::OFFSET, dims: &flat, values: offsets });
        }
        run(&mut self.graph, &feeds)
    }

    /// What is trained and what is not.
    #[must_use]
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Words of a vector: of numbers alone, how many there are.
    #[must_use]
    pub fn width(&self) -> usize {
        self.feeding.width()
    }

    /// Steps taken, without those skipped.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.graph.steps()
    }

    /// The model's file with the current weights; names, metadata and operator sets are as they came. It costs one
    /// copy of the weights.
    #[must_use]
    pub fn document(&self) -> Document {
        self.graph.document()
    }

    /// Weights, optimiser state and steps as bytes, for [`restore`](Self::restore).
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        self.graph.save()
    }

    /// Goes on where [`save`](Self::save) was called, with the optimiser's settings of now.
    ///
    /// # Errors
    /// [`ModelError::Restore`] for damaged bytes, another model or another optimiser, with what differs; then nothing
    /// has changed.
    pub fn restore(&mut self, saved: &[u8]) -> Result<(), ModelError> {
        self.graph.restore(saved)
    }

    /// Whether every trained weight is a number.
    #[must_use]
    pub fn weights_are_finite(&self) -> bool {
        self.graph.weights_are_finite()
    }

    fn check(&self, batch: &Batch<'_>) -> Result<(), ModelError> {
        let Batch { rows, labels, weights, offsets, .. } = *batch;
        let has_offsets = self.loss == Loss::BinaryCrossEntropy;
        let sizes = [
            ("labels", labels.len(), labels.len() == rows && rows > 0),
            ("weights", weights.len(), weights.is_empty() || weights.len() == rows),
            ("offsets", offsets.len(), offsets.is_empty() || has_offsets && offsets.len() == rows),
        ];
        for (what, values, holds) in sizes {
            if !holds {
                return Err(ModelError::BatchSize { what, values, rows });
            }
        }
        let (must, holds): (&'static str, fn(f32) -> bool) = match self.loss {
            Loss::BinaryCrossEntropy => ("from 0 to 1", |label| (0.0..=1.0).contains(&label)),
            Loss::SoftmaxCrossEntropy => ("the number of a class, from 0", |label| {
                (0.0..=LARGEST_CLASS).contains(&label) && label.fract() == 0.0
            }),
            Loss::MeanSquaredError => ("finite", f32::is_finite),
        };
        match labels.iter().position(|label| !holds(*label)) {
            Some(row) => Err(ModelError::Label { row, value: labels.get(row).copied().unwrap_or_default(), must }),
            None => Ok(()),
        }
    }
}

impl LabelForm {
    /// From how the gradient graph declares its labels.
    fn of(label: Option<&TensorSpec>) -> Result<Self, ModelError> {
        let dims = label.and_then(|label| label.dims.as_deref());
        match (label.map(|label| label.element), dims) {
            (Some(ElementType::Int64), Some([_])) => Ok(Self::Classes),
            (Some(ElementType::Float32), Some([_])) => Ok(Self::Flat),
            (Some(ElementType::Float32), Some([_, Some(1) | None])) => Ok(Self::Column),
            _ => {
                let label = label.map_or_else(|| "no label".to_owned(), TensorSpec::to_string);
                Err(ModelError::LabelShape { label })
            }
        }
    }
}

/// Refuses what training can't run: numbers of 16 bits, a score that is not float32, a batch of one size.
fn check_trainable(signature: &Signature, fit: &Fit) -> Result<(), ObjectiveError> {
    let is_narrow = |input: &&TensorSpec| input.element == ElementType::Float16;
    if let Some(input) = signature.inputs.iter().find(is_narrow) {
        return Err(ObjectiveError::OtherPrecision { what: "input", name: input.name.clone(), element: input.element });
    }
    if fit.element != ElementType::Float32 {
        return Err(ObjectiveError::OtherPrecision { what: "output", name: fit.output.clone(), element: fit.element });
    }
    match &fit.batch {
        Some(FixedBatch { input, rows }) => {
            Err(ObjectiveError::FixedBatch { rows: *rows, remedy: free_batch(input), input: input.clone() })
        }
        None => Ok(()),
    }
}

/// `given`, or `rows` times the usual value.
fn given_or<'a>(given: &'a [f32], usual: &'a mut Vec<f32>, value: f32, rows: usize) -> &'a [f32] {
    if !given.is_empty() {
        return given;
    }
    usual.resize(rows, value);
    usual
}
