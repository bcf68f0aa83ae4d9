//! What is asked for, and what comes out.

use crate::model::{
    TensorSpec,
    activation::Activation,
    onnx::{Document, proto::TensorProto},
};

/// What to differentiate, and with respect to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GradientSpec {
    /// The graph output that is trained; not needed when the model has only one.
    pub prediction: Option<String>,
    /// What the prediction is held against.
    pub loss: Loss,
    /// Initializers that stay as they are: names, or beginnings of names followed by `*`.
    pub freeze: Vec<String>,
    /// Initializers that are trained although the [rule](super::weights) takes them for constants, named likewise. What is
    /// frozen too stays frozen.
    pub unfreeze: Vec<String>,
    /// What makes a score of the prediction, where the prediction is none yet.
    pub activation: Option<Activation>,
    /// Which column of a prediction `[batch, n]` is the score that one label per row is held against. Of no effect for classes
    /// and other shapes.
    pub class: ScoredColumn,
    /// Whether `Dropout` nodes drop values; without it they pass everything on, as in serving.
    pub dropout: bool,
}

/// Which column of a prediction has the labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ScoredColumn {
    /// None: every element of the prediction has a label of its own.
    #[default]
    Each,
    /// Of two columns the second: the probability of class 1 as classifiers export it. Of more, none.
    SecondOfTwo,
    /// This one.
    At(i64),
}

/// The loss of one example. The loss of a batch is the mean over its examples, weighted by `train.weight`:
/// `sum(weight × loss) / sum(weight)`, which is NaN for a batch whose weights are all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// `-(y log p + (1 - y) log(1 - p))` of a probability, meaned over the outputs of the example. The label `y` has
    /// the shape of the prediction and may be any number from 0 to 1.
    BinaryCrossEntropy,
    /// `-log p[y]` of probabilities `[batch, classes]`; the label is a class, int64 `[batch]`.
    SoftmaxCrossEntropy,
    /// `(p - y)²`, meaned over the outputs of the example. The label has the shape of the prediction.
    MeanSquaredError,
}

/// A graph that computes a loss and its gradient, and what to give it and take from it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GradientGraph {
    /// The graph. Its inputs are, in order, the model's own, [`LABEL`](names::LABEL), [`WEIGHT`](names::WEIGHT), for
    /// binary cross-entropy [`OFFSET`](names::OFFSET), and every parameter under its own name. Its outputs are
    /// [`LOSS`](names::LOSS) (float32, no dimensions), [`PREDICTION`](names::PREDICTION) and the gradients.
    pub document: Document,
    /// The trainable initializers, in the order of the model's file.
    pub parameters: Vec<Parameter>,
    /// The other initializers that hold numbers, and why they are not trained.
    pub kept: Vec<Kept>,
    /// The model's own inputs.
    pub inputs: Vec<TensorSpec>,
}

/// An initializer that stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub dims: Vec<usize>,
    /// In a few words.
    pub why: String,
}

impl Kept {
    pub(super) fn new(tensor: &TensorProto, why: String) -> Self {
        let dims = tensor.dims.iter().map(|dim| usize::try_from(*dim).unwrap_or(0)).collect();
        Self { name: tensor.name().to_owned(), dims, why }
    }
}

/// One trainable initializer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// The initializer's name, and that of the input which takes its place.
    pub name: String,
    /// Its shape.
    pub dims: Vec<usize>,
    /// Where its gradient comes out.
    pub gradient: GradientForm,
}

/// How the gradient of a parameter is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GradientForm {
    /// A tensor of the parameter's shape.
    Dense {
        /// The output.
        output: String,
    },
    /// The gradient of a table that is only looked up in: all other rows are zero.
    Rows {
        /// The output that names rows: int64 `[n]`, from 0 to `dims[0] - 1`, a row as often as it was looked up.
        rows: String,
        /// The output with what is to be added to each: float32 `[n, dims[1..]]`.
        values: String,
    },
}

/// Names of inputs and outputs of the written graph.
pub(crate) mod names {
    /// Input: what should have been predicted.
    pub(crate) const LABEL: &str = "train.label";
    /// Input: how much each example counts, float32 `[batch]`.
    pub(crate) const WEIGHT: &str = "train.weight";
    /// Input: added to each example's log-odds in the loss, not in the prediction, float32 `[batch]`. With negatives
    /// kept at rate `r`, `-ln r` on every example makes the prediction that of the unsampled stream.
    pub(crate) const OFFSET: &str = "train.offset";
    /// Output: the loss of the batch.
    pub(crate) const LOSS: &str = "train.loss";
    /// Output: the prediction, of the shape it has in the model, or the score that was made of it.
    pub(crate) const PREDICTION: &str = "train.prediction";
    /// How names begin of what makes a score of a prediction that is none yet.
    pub(crate) const SCORE: &str = "train.score";
}
