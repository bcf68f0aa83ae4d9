//! What can go wrong with a model.

mod judgement;
mod runtime;

pub(crate) use runtime::RuntimeError;

use super::{
    objective::ObjectiveError,
    onnx::{FileError, UpgradeError},
    trial::TrialError,
};

/// Why a model could not be loaded, bound to a vector, built or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The library.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),

    // The file. The operator's or the model author's to mend.
    /// The file is larger than is accepted.
    #[error("it is larger than the limit of {limit} bytes")]
    TooLarge {
        /// Bytes.
        limit: u64,
    },
    /// The bytes are not an ONNX model.
    #[error("not a readable ONNX file: {reason}")]
    NotOnnx {
        /// What is wrong with the bytes.
        reason: String,
    },
    /// A field that this version cannot keep.
    #[error(
        "field {field} of {message} is not known to this version and would be lost: export the model with an older ONNX format"
    )]
    UnknownField {
        /// The message that has it.
        message: &'static str,
        /// Its number.
        field: u32,
    },
    /// A part of the format that is left out on purpose.
    #[error("the model uses {what}, which are not supported: export it without")]
    Unsupported {
        /// The part, in the plural.
        what: &'static str,
    },
    /// The file on disk, or what it refers to.
    #[error(transparent)]
    File(#[from] FileError),
    /// A loop whose end is not known.
    #[error(
        "loop {node:?} may never end: its trip count must be a constant in the file, and loops together at most {limit} \
         rounds"
    )]
    UnboundedLoop {
        /// The node.
        node: String,
        /// Rounds of a loop times those of the loops around it.
        limit: u64,
    },
    /// A division of whole numbers by numbers that are not bounded.
    #[error(
        "node {node:?} divides whole numbers by {divisor:?}, which inputs can make any number, and for some of them ONNX Runtime \
         ends the whole process: cast both to float32 before, or bound the divisor in the model, for example with \
         Max({divisor}, 1)"
    )]
    UnboundedDivisor {
        /// The node.
        node: String,
        /// What it divides by.
        divisor: String,
    },
    /// An operator that needs a library of its own.
    #[error("operator {operator:?} of node {node:?} is from domain {domain:?}: only {known} are supported")]
    UnknownDomain {
        /// The operator.
        operator: String,
        /// Its domain.
        domain: String,
        /// The node that uses it.
        node: String,
        /// The domains that are accepted.
        known: String,
    },
    /// ONNX Runtime refuses the model.
    #[error("ONNX Runtime refuses the model: {reason}")]
    Load {
        /// What it said.
        reason: String,
    },

    // Model and vector. The operator's to mend.
    /// The inputs are not what the vector gives.
    #[error("the model does not fit the vector: {reason}; the vector gives {vector}; the model wants {model}")]
    InputsDoNotFit {
        /// The first thing that differs.
        reason: String,
        /// The vector's columns.
        vector: String,
        /// The model's inputs.
        model: String,
    },
    /// No output can be used as the score.
    #[error(
        "no score in the model: {reason}; a score is an output of floats of shape [batch], [batch, 1] or [batch, columns]; the model has {model}"
    )]
    OutputDoesNotFit {
        /// What is wrong.
        reason: String,
        /// The model's outputs.
        model: String,
    },
    /// The model was made for another vector of the same shape.
    #[error(
        "the model was made for vector {model}, the pipeline's is now {vector}: {changed}. Where every value stays what it was, \
         \"tidewheel model adopt FOLDER\" goes on with the same weights; otherwise put a model for the vector of now in its place"
    )]
    FingerprintDiffers {
        /// The fingerprint in the model.
        model: String,
        /// The pipeline's fingerprint.
        vector: String,
        /// What has changed, in words.
        changed: String,
    },
    /// Two numbers per row that are not the probabilities of two classes.
    #[error(
        "output {output:?} has two numbers per row that are not the probabilities of two classes, {reason}: say which is the \
         score with class = 0 or class = 1 under [model]"
    )]
    NotTwoClasses {
        /// The output.
        output: String,
        /// What shows it.
        reason: String,
    },

    /// Scores that depend on who shares a batch.
    #[error(
        "a row's score depends on the rows that are scored with it: {found}: export the model without that (static scales, \
         no statistics over the batch), or set mixing = \"per-request\" under [score], which scores every request and every \
         event by itself"
    )]
    Mixes {
        /// The node or the trial that shows it.
        found: String,
    },

    // A new model. The operator's to mend.
    /// A network that cannot be built.
    #[error("can't build the network: {reason}")]
    Build {
        /// Why.
        reason: String,
    },

    // A gradient graph. The operator's to mend, by freezing or by another export.
    /// The output to train is not clear.
    #[error("no prediction to train: {reason}; the model has {model}")]
    NoPrediction {
        /// What is wrong.
        reason: String,
        /// The model's outputs.
        model: String,
    },
    /// A loss that the prediction's shape does not allow.
    #[error("output {prediction:?} is {shape}: {loss}")]
    LossDoesNotFit {
        /// What the loss wants.
        loss: &'static str,
        /// The output.
        prediction: String,
        /// Its type and shape.
        shape: String,
    },
    /// Operators in forms that are not known.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// The model has a value of a name that the gradient graph needs.
    #[error("the model has a value {name:?}, a name that training uses: rename it")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The model could not be run on zeros.
    #[error("the shapes inside the model can't be found by running it on zeros: {reason}")]
    NotMeasurable {
        /// What ONNX Runtime said.
        reason: String,
    },
    /// What the model gives is not what training needs, or it can't be trained at all.
    #[error(transparent)]
    Objective(#[from] ObjectiveError),
    /// The model does not score rows one by one.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// Nothing is left to train.
    #[error(
        "nothing to train: {prediction:?} depends on no float32 initializer that is a weight and not frozen (frozen: {freeze}; \
         taken for constants: {constants}): freeze less, unfreeze what is a weight, or export the model with its weights as \
         initializers"
    )]
    NothingToTrain {
        /// The output to train.
        prediction: String,
        /// What is frozen by the settings.
        freeze: String,
        /// What is not trained by the rule.
        constants: String,
    },
    /// A name to freeze or unfreeze that the model does not have.
    #[error("can't {setting} {name:?}: no float32 initializer has that name; there are {initializers}")]
    FreezeUnknown {
        /// The setting that has the name.
        setting: &'static str,
        /// The name.
        name: String,
        /// The float32 initializers.
        initializers: String,
    },
    /// An operator on the way from a trainable initializer to the loss that can't be differentiated.
    #[error(
        "operator {operator} of node {node:?} can't be differentiated: {reason}: to train the rest, freeze {freeze}"
    )]
    NoGradient {
        /// The operator.
        operator: String,
        /// The node, by its name or else its first output.
        node: String,
        /// What is in the way.
        reason: String,
        /// The trainable initializers whose gradients would go through it.
        freeze: String,
    },

    // One batch. The scorer stays usable.
    /// The caller's matrix is not rows × columns (a bug).
    #[error("the matrix has {values} values, {rows} rows of {columns} columns were announced")]
    MatrixSize {
        /// Values given.
        values: usize,
        /// Rows announced.
        rows: usize,
        /// Columns of the vector.
        columns: usize,
    },
    /// A value that an int64 input cannot take exactly.
    #[error(
        "column {column:?} is {value} in row {row}, its model input is int64: only whole numbers up to 16777216 either way pass"
    )]
    NotWhole {
        /// The column.
        column: String,
        /// The row in the batch, from 0.
        row: usize,
        /// The value.
        value: f32,
    },
    /// A value that the type of its input does not hold.
    #[error("column {column:?} is {value} in row {row}, its model input is {input}, which does not hold it")]
    NotHeld {
        /// The column.
        column: String,
        /// The row in the batch, from 0.
        row: usize,
        /// The value.
        value: String,
        /// The type of the input.
        input: &'static str,
    },
    /// ONNX Runtime failed while running the model.
    #[error("the model failed: {reason}")]
    Run {
        /// What it said.
        reason: String,
    },
    /// The output of a run has another shape than one score per row.
    #[error(
        "output {output:?} has shape {shape:?} for {rows} rows: a score is [{rows}] or [{rows}, 1], or [{rows}, columns] where class under [model] may name one"
    )]
    OutputShape {
        /// The output.
        output: String,
        /// Its shape in this run.
        shape: Vec<i64>,
        /// Rows given.
        rows: usize,
    },
    /// Scores that are not numbers; none of the batch is passed on.
    #[error("{count} of {rows} scores are NaN or infinite")]
    NotFinite {
        /// How many.
        count: usize,
        /// Rows given.
        rows: usize,
    },

    // Training. Settings are the operator's to mend.
    /// A setting of an optimiser that is out of its range.
    #[error("optimizer {optimizer} has {field} {value}: it must be {must}")]
    OptimizerSetting {
        /// The algorithm.
        optimizer: &'static str,
        /// The setting.
        field: &'static str,
        /// Its value.
        value: f32,
        /// The range.
        must: &'static str,
    },
    /// A limit for gradients that is no length.
    #[error("clip_norm is {value}: it must be above 0 and finite")]
    ClipNorm {
        /// Its value.
        value: f32,
    },
    /// A gradient of rows whose sizes don't agree (a bug).
    #[error("the gradient has {values} values for {rows} rows of width {width}")]
    GradientSize {
        /// Values given.
        values: usize,
        /// Rows named.
        rows: usize,
        /// Values per row.
        width: usize,
    },
    /// A gradient of a row that the table does not have (a bug).
    #[error("the gradient names row {row} of a table of {height} rows")]
    GradientRow {
        /// The row.
        row: i64,
        /// Rows of the table.
        height: usize,
    },
    /// An initializer that does not hold as many float32 values as its shape says.
    #[error("initializer {parameter:?} has {values} float32 values for shape {dims:?}")]
    ParameterValues {
        /// The initializer.
        parameter: String,
        /// Values found.
        values: usize,
        /// Its shape.
        dims: Vec<usize>,
    },
    /// A prediction that one label per row cannot train.
    #[error(
        "the loss takes {label}, a batch has one label per row: train an output of shape [batch], [batch, 1] or [batch, 2]"
    )]
    LabelShape {
        /// The name, type and shape of a batch of labels.
        label: String,
    },
    /// A gradient that is not of the size of its parameter (a bug).
    #[error("the gradient of {parameter:?} has {values} values for {weights} weights")]
    GradientShape {
        /// The initializer.
        parameter: String,
        /// Values of the gradient.
        values: usize,
        /// Values of the initializer.
        weights: usize,
    },
    /// The caller's batch is not as long as it says (a bug).
    #[error("the batch has {values} {what} for {rows} rows")]
    BatchSize {
        /// Labels, weights or offsets.
        what: &'static str,
        /// Values given.
        values: usize,
        /// Rows announced.
        rows: usize,
    },
    /// A label that the loss has no meaning for.
    #[error("the label of row {row} is {value}: it must be {must}")]
    Label {
        /// The row in the batch, from 0.
        row: usize,
        /// Its label.
        value: f32,
        /// What the loss takes.
        must: &'static str,
    },
    /// A saved state that does not continue this training.
    #[error("can't continue from the saved training state: {reason}")]
    Restore {
        /// What is wrong with it, or what differs.
        reason: String,
    },
}
