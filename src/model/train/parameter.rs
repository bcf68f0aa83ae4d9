//! The weights that are trained, on their way between a document, plain memory and the sessions.

use crate::model::{
    Feed, ModelError, Values,
    gradient::{self, GradientForm, GradientGraph},
    onnx::{
        Document, float_values,
        proto::{TensorProto, data_type::FLOAT},
    },
    optimiser::{RowGradient, Step},
    train::pass::Outputs,
};

/// One trainable initializer: its weights, and where its gradient comes out.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) dims: Vec<usize>,
    pub(super) weights: Vec<f32>,
    gradient: Gradient,
}

#[derive(Debug)]
enum Gradient {
    Dense { output: String },
    Rows { rows: String, values: String, sums: RowGradient },
}

/// The gradient of one parameter in one step.
#[derive(Debug, Clone, Copy)]
pub(super) enum Taken<'a> {
    Dense(&'a [f32]),
    Rows(&'a RowGradient),
}

impl Parameter {
    /// Moves the weights out of `document`, where an initializer without values stays.
    pub(super) fn take(document: &mut Document, described: gradient::Parameter) -> Result<Self, ModelError> {
        let gradient::Parameter { name, dims, gradient } = described;
        let initializers = &mut document.graph_mut().initializer;
        let initializer = initializers.iter_mut().find(|tensor| tensor.name() == name);
        let weights = initializer.map(take_values).unwrap_or_default();
        if dims.iter().product::<usize>() != weights.len() {
            return Err(ModelError::ParameterValues { parameter: name, values: weights.len(), dims });
        }
        let gradient = match gradient {
            GradientForm::Dense { output } => Gradient::Dense { output },
            GradientForm::Rows { rows, values } => {
                let height = dims.first().copied().unwrap_or_default();
                let sums = RowGradient::new(height, dims.iter().skip(1).product());
                Gradient::Rows { rows, values, sums }
            }
        };
        Ok(Self { name, dims, weights, gradient })
    }

    /// The outputs of the gradient graph that this parameter needs.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &str> {
        let (one, two) = match &self.gradient {
            Gradient::Dense { output } => (output.as_str(), None),
            Gradient::Rows { rows, values, .. } => (rows.as_str(), Some(values.as_str())),
        };
        [Some(one), two].into_iter().flatten()
    }

    /// The weights as an input, as they are.
    pub(super) fn feed(&self) -> Feed<'_> {
        Feed { input: &self.name, dims: &self.dims, values: Values::Float32(&self.weights) }
    }

    /// Checks the gradient's size and sums up rows that are named twice. The weights are handed out beside it, to be
    /// updated once all gradients of the step are known to be usable.
    pub(super) fn gradient<'a>(
        &'a mut self,
        outputs: &'a Outputs<'_>,
    ) -> Result<(&'a str, &'a mut [f32], Taken<'a>), ModelError> {
        let taken = match &mut self.gradient {
            Gradient::Dense { output } => {
                let (_, values) = outputs.float32(output)?;
                if values.len() != self.weights.len() {
                    let (values, weights) = (values.len(), self.weights.len());
                    return Err(ModelError::GradientShape { parameter: self.name.clone(), values, weights });
                }
                Taken::Dense(values)
            }
            Gradient::Rows { rows, values, sums } => {
                let (_, values) = outputs.float32(values)?;
                sums.collect(outputs.int64(rows)?, values)?;
                Taken::Rows(sums)
            }
        };
        Ok((&self.name, &mut self.weights, taken))
    }

    /// The weights as an initializer.
    pub(super) fn tensor(&self) -> TensorProto {
        tensor(&self.name, &self.dims, &self.weights)
    }
}

impl Taken<'_> {
    /// Moves the weights of parameter `number`.
    pub(super) fn apply(&self, step: &mut Step<'_>, number: usize, weights: &mut [f32]) {
        match self {
            Self::Dense(gradient) => step.dense(number, weights, gradient),
            Self::Rows(gradient) => step.rows(number, weights, gradient),
        }
    }

    /// The values that count for the length of the gradient.
    pub(super) fn values(&self) -> &[f32] {
        match self {
            Self::Dense(values) => values,
            Self::Rows(rows) => rows.sums(),
        }
    }
}

/// The document of a forward pass: `document` with its parameters as inputs, declared as in the gradient graph.
pub(super) fn with_weights_as_inputs(document: &Document, gradient: &GradientGraph) -> Document {
    let mut forward = document.clone();
    let graph = forward.graph_mut();
    let is_parameter = |name: &str| gradient.parameters.iter().any(|parameter| parameter.name == name);
    graph.initializer.retain(|tensor| !is_parameter(tensor.name()));
    // Files of old format declare their initializers as inputs too.
    graph.input.retain(|input| !is_parameter(input.name()));
    let inputs = gradient.document.graph().input.iter();
    graph.input.extend(inputs.filter(|input| is_parameter(input.name())).cloned());
    forward
}

/// A float32 tensor, its values as little-endian bytes.
pub(super) fn tensor(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    TensorProto {
        dims: dims.iter().map(|dim| *dim as i64).collect(),
        data_type: Some(FLOAT),
        name: Some(name.to_owned()),
        raw_data: Some(bytes(values)),
        ..Default::default()
    }
}

/// Little-endian bytes.
pub(super) fn bytes(values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * 4];
    for (bytes, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(values) {
        *bytes = value.to_le_bytes();
    }
    bytes
}

fn take_values(tensor: &mut TensorProto) -> Vec<f32> {
    let taken = float_values(tensor);
    tensor.raw_data = None;
    tensor.float_data.clear();
    taken
}
