//! Gradients held against central finite differences, with ONNX Runtime running the model itself.
//!
//! The oracle shares nothing with the rules: it perturbs the parameters along a random direction of length 1, runs the
//! *model* for predictions, takes the loss in plain float64 arithmetic, and extrapolates two central differences
//! (Richardson) to an error of order `STEP⁴`.

use prost::Message;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{GradientForm, GradientGraph, GradientSpec, Loss, ScoredColumn, differentiate, names};
use crate::model::{
    ModelError,
    onnx::{
        Dimension::{Fixed, Named},
        Document, GraphBuilder, declaration,
        proto::{GraphProto, ModelProto, data_type::FLOAT},
    },
    session::{Computation, Feed, Output, Values},
};

/// The length of the step of the wider central difference.
const STEP: f32 = 2e-2;
/// Random directions for each parameter.
const DIRECTIONS: usize = 3;

/// A tensor of a test.
#[derive(Debug, Clone)]
pub(super) struct Fed {
    pub(super) name: String,
    pub(super) dims: Vec<usize>,
    pub(super) values: Data,
}

/// Row-major.
#[derive(Debug, Clone)]
pub(super) enum Data {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

/// What one run of a gradient graph gave.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) loss: f64,
    pub(super) prediction: Vec<f32>,
    /// Dense, in the order of the parameters: rows are added up here.
    pub(super) gradients: Vec<Vec<f64>>,
}

/// A model, its gradient graph and what both are fed with.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) graph: GradientGraph,
    loss: Loss,
    gradient: Computation,
    model: Computation,
    pub(super) inputs: Vec<Fed>,
    pub(super) parameters: Vec<Fed>,
    /// The shape of the labels: the prediction's, or of one for each row where one of its columns has them.
    shape: Vec<usize>,
    pub(super) label: Data,
    pub(super) weight: Vec<f32>,
    pub(super) offset: Vec<f32>,
}

pub(super) fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Uniform numbers.
pub(super) fn uniform(random: &mut ChaCha8Rng, elements: usize, low: f32, high: f32) -> Vec<f32> {
    (0..elements).map(|_| random.random_range(low..high)).collect()
}

/// Shuffled numbers that are at least 0.1 apart from each other and 0.05 from 0, so that no step crosses a kink.
pub(super) fn apart(random: &mut ChaCha8Rng, elements: usize) -> Vec<f32> {
    let middle = (elements / 2) as f32;
    let mut values: Vec<f32> = (0..elements).map(|at| 0.1 * (at as f32 - middle) + 0.05).collect();
    values.shuffle(random);
    values
}

/// A spec that trains all that can be: rules are tested on operands of all shapes.
pub(super) fn plain(loss: Loss) -> GradientSpec {
    GradientSpec { unfreeze: vec!["*".to_owned()], ..by_rule(loss) }
}

/// A spec without anything special.
pub(super) fn by_rule(loss: Loss) -> GradientSpec {
    GradientSpec {
        prediction: None,
        loss,
        freeze: Vec::new(),
        unfreeze: Vec::new(),
        activation: None,
        class: ScoredColumn::Each,
        dropout: false,
    }
}

/// The same document in another operator set.
pub(super) fn in_opset(document: &Document, opset: i64) -> Document {
    let mut model = ModelProto::decode(&document.write()[..]).unwrap();
    model.opset_import[0].version = Some(opset);
    Document::read(&model.encode_to_vec()).unwrap()
}

impl Trial {
    /// Differentiates a model. The label is random: numbers from -2 to 2, truth values, or classes.
    pub(super) fn new(document: &Document, spec: &GradientSpec, inputs: Vec<Fed>, seed: u64) -> Self {
        let graph = differentiate(document, spec).unwrap();
        let written = Document::read(&graph.document.write()).unwrap();
        let mut outputs = vec![names::LOSS.to_owned(), names::PREDICTION.to_owned()];
        let mut parameters = Vec::new();
        for parameter in &graph.parameters {
            match &parameter.gradient {
                GradientForm::Dense { output } => outputs.push(output.clone()),
                GradientForm::Rows { rows, values } => outputs.extend([rows.clone(), values.clone()]),
            }
            let tensor = document.graph().initializer.iter().find(|tensor| tensor.name() == parameter.name).unwrap();
            let raw = tensor.raw_data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            let values = Data::Float(tensor.float_data.iter().copied().chain(raw).collect());
            parameters.push(Fed { name: parameter.name.clone(), dims: parameter.dims.clone(), values });
        }
        let gradient = Computation::open(&written, 1, &outputs).unwrap();

        let mut model = document.clone();
        let prediction = spec.prediction.clone().unwrap_or_else(|| model.graph().output[0].name().to_owned());
        let free = model.graph_mut();
        free.initializer.retain(|tensor| !parameters.iter().any(|parameter| parameter.name == tensor.name()));
        free.input.retain(|input| !parameters.iter().any(|parameter| parameter.name == input.name()));
        free.input.extend(parameters.iter().map(|parameter| declaration(&parameter.name, FLOAT, None)));
        let mut model = Computation::open(&model, 1, &[prediction]).unwrap();

        let fed: Vec<Feed> = inputs.iter().chain(&parameters).map(Fed::feed).collect();
        let mut shape = Vec::new();
        model
            .run(&fed, |_, output| {
                shape = output.dims;
                Ok(())
            })
            .unwrap();
        if let ScoredColumn::At(_) = spec.class {
            shape.truncate(1);
        }
        let mut random = random(seed);
        let elements = shape.iter().product();
        let label = match spec.loss {
            Loss::BinaryCrossEntropy => {
                Data::Float((0..elements).map(|_| f32::from(random.random_bool(0.5))).collect())
            }
            Loss::MeanSquaredError => Data::Float(uniform(&mut random, elements, -2.0, 2.0)),
            Loss::SoftmaxCrossEntropy => {
                Data::Int((0..shape[0]).map(|_| random.random_range(0..shape[1] as i64)).collect())
            }
        };
        let weight = uniform(&mut random, shape[0], 0.5, 2.0);
        let offset = uniform(&mut random, shape[0], -1.0, 1.0);
        Self { graph, loss: spec.loss, gradient, model, inputs, parameters, shape, label, weight, offset }
    }

    /// Runs the gradient graph without looking at what it gives.
    pub(super) fn run_only(&mut self) {
        self.run(|_, _| Ok(()));
    }

    fn run(&mut self, take: impl FnMut(usize, Output<'_>) -> Result<(), ModelError>) {
        let batch = [self.weight.len()];
        let label = match self.label {
            Data::Int(_) => Fed { name: names::LABEL.to_owned(), dims: batch.to_vec(), values: self.label.clone() },
            Data::Float(_) => {
                Fed { name: names::LABEL.to_owned(), dims: self.shape.clone(), values: self.label.clone() }
            }
        };
        let mut feeds: Vec<Feed> = self.inputs.iter().chain(&self.parameters).map(Fed::feed).collect();
        feeds.push(label.feed());
        feeds.push(Feed { input: names::WEIGHT, dims: &batch, values: Values::Float32(&self.weight) });
        if self.loss == Loss::BinaryCrossEntropy {
            feeds.push(Feed { input: names::OFFSET, dims: &batch, values: Values::Float32(&self.offset) });
        }
        self.gradient.run(&feeds, take).unwrap();
    }

    /// Runs the gradient graph.
    pub(super) fn step(&mut self) -> Step {
        let mut outputs = Vec::new();
        let keep = |_: usize, output: Output| {
            outputs.push(match output.values.unwrap() {
                Values::Float32(values) => (output.dims, Data::Float(values.to_vec())),
                Values::Int64(values) => (output.dims, Data::Int(values.to_vec())),
                other => panic!("{other:?}"),
            });
            Ok(())
        };
        self.run(keep);
        let mut outputs = outputs.into_iter();
        let mut next = || outputs.next().unwrap();
        let (dims, loss) = next();
        assert!(dims.is_empty(), "the loss has shape {dims:?}");
        let loss = f64::from(loss.floats()[0]);
        let prediction = next().1.floats().to_vec();
        let mut gradients = Vec::new();
        for parameter in &self.graph.parameters {
            let mut dense = vec![0.0; parameter.dims.iter().product()];
            match &parameter.gradient {
                GradientForm::Dense { .. } => {
                    let (dims, values) = next();
                    assert_eq!(dims, parameter.dims, "the gradient of {}", parameter.name);
                    dense = values.floats().iter().map(|value| f64::from(*value)).collect();
                }
                GradientForm::Rows { .. } => {
                    let ((rows, indices), (dims, values)) = (next(), next());
                    let Data::Int(indices) = indices else { panic!("rows are not int64") };
                    assert_eq!(rows, dims[..1], "rows of {}", parameter.name);
                    assert_eq!(dims[1..], parameter.dims[1..], "rows of {}", parameter.name);
                    let width: usize = dims[1..].iter().product();
                    for (row, values) in indices.iter().zip(values.floats().chunks(width)) {
                        let start = usize::try_from(*row).unwrap() * width;
                        for (sum, value) in dense[start..start + width].iter_mut().zip(values) {
                            *sum += f64::from(*value);
                        }
                    }
                }
            }
            gradients.push(dense);
        }
        Step { loss, prediction, gradients }
    }

    /// Holds loss, prediction and every gradient against the model itself.
    pub(super) fn agrees(&mut self) {
        let step = self.step();
        let (prediction, shape) = self.predict(&self.parameters.clone());
        for (got, expected) in step.prediction.iter().zip(&prediction) {
            assert!((f64::from(*got) - expected).abs() < 1e-4 * (1.0 + expected.abs()), "prediction {got} {expected}");
        }
        let loss = self.loss_of(&prediction, &shape);
        assert!((step.loss - loss).abs() < 1e-4 * (1.0 + loss.abs()), "loss {} expected {loss}", step.loss);
        let mut random = random(7);
        for (position, gradient) in step.gradients.iter().enumerate() {
            let length = gradient.iter().map(|slope| slope * slope).sum::<f64>().sqrt();
            for _ in 0..DIRECTIONS {
                let direction = uniform(&mut random, gradient.len(), -1.0, 1.0);
                let norm = direction.iter().map(|part| part * part).sum::<f32>().sqrt().max(1e-3);
                let direction: Vec<f32> = direction.iter().map(|part| part / norm).collect();
                let expected: f64 = gradient.iter().zip(&direction).map(|(slope, part)| slope * f64::from(*part)).sum();
                let wide = self.difference(position, &direction, STEP);
                let narrow = self.difference(position, &direction, STEP / 2.0);
                let measured = (4.0 * narrow - wide) / 3.0;
                let name = &self.parameters[position].name;
                assert!(
                    (measured - expected).abs() < 3e-3 * (length + 0.1),
                    "gradient of {name}: {expected}, measured {measured}, length {length}"
                );
            }
            assert!(length > 1e-4, "the gradient of {} vanishes", self.parameters[position].name);
        }
    }

    fn difference(&mut self, position: usize, direction: &[f32], step: f32) -> f64 {
        let mut sides = [0.0; 2];
        for (side, sign) in sides.iter_mut().zip([1.0, -1.0]) {
            let mut parameters = self.parameters.clone();
            if let Data::Float(values) = &mut parameters[position].values {
                values.iter_mut().zip(direction).for_each(|(value, part)| *value += sign * step * part);
            }
            let (prediction, shape) = self.predict(&parameters);
            *side = self.loss_of(&prediction, &shape);
        }
        (sides[0] - sides[1]) / (2.0 * f64::from(step))
    }

    /// The model's prediction and its shape.
    fn predict(&mut self, parameters: &[Fed]) -> (Vec<f64>, Vec<usize>) {
        let feeds: Vec<Feed> = self.inputs.iter().chain(parameters).map(Fed::feed).collect();
        let (mut prediction, mut shape) = (Vec::new(), Vec::new());
        let keep = |_: usize, output: Output| {
            let Some(Values::Float32(values)) = output.values else { panic!("a prediction that is not float32") };
            prediction = values.iter().map(|value| f64::from(*value)).collect();
            shape = output.dims;
            Ok(())
        };
        self.model.run(&feeds, keep).unwrap();
        (prediction, shape)
    }

    /// The loss of predictions, by its definition.
    fn loss_of(&self, prediction: &[f64], shape: &[usize]) -> f64 {
        let width = prediction.len() / shape[0];
        let mut sum = 0.0;
        for (example, outputs) in prediction.chunks(width).enumerate() {
            let loss: f64 = match (&self.label, self.loss) {
                (Data::Int(classes), _) => -outputs[classes[example] as usize].max(1e-7).ln(),
                (Data::Float(labels), loss) => {
                    let labels = labels[example * width..].iter().map(|label| f64::from(*label));
                    let each = outputs.iter().zip(labels).map(|(p, y)| match loss {
                        Loss::BinaryCrossEntropy => {
                            let odds = (p / (1.0 - p)).ln() + f64::from(self.offset[example]);
                            let p = 1.0 / (1.0 + (-odds).exp());
                            -(y * p.ln() + (1.0 - y) * (1.0 - p).ln())
                        }
                        _ => (p - y) * (p - y),
                    });
                    each.sum::<f64>() / width as f64
                }
            };
            sum += loss * f64::from(self.weight[example]);
        }
        sum / self.weight.iter().map(|weight| f64::from(*weight)).sum::<f64>()
    }
}

impl Fed {
    pub(super) fn floats(name: &str, dims: &[usize], values: Vec<f32>) -> Self {
        Self { name: name.to_owned(), dims: dims.to_vec(), values: Data::Float(values) }
    }

    pub(super) fn ints(name: &str, dims: &[usize], values: Vec<i64>) -> Self {
        Self { name: name.to_owned(), dims: dims.to_vec(), values: Data::Int(values) }
    }

    fn feed(&self) -> Feed<'_> {
        let values = match &self.values {
            Data::Float(values) => Values::Float32(values),
            Data::Int(values) => Values::Int64(values),
        };
        Feed { input: &self.name, dims: &self.dims, values }
    }
}

impl Data {
    fn floats(&self) -> &[f32] {
        match self {
            Self::Float(values) => values,
            Self::Int(_) => panic!("not float32"),
        }
    }
}

/// Tests the rules of the nodes that `build` adds, in an operator set.
///
/// `operands` are trainable initializers, `build` computes `y` from them, and the prediction is a random projection of
/// `y`, so that every element of the gradient of `y` is different.
pub(super) fn agrees(opset: i64, operands: &[(&str, &[usize], Vec<f32>)], build: impl Fn(&mut GraphBuilder)) {
    let elements = elements_of_y(opset, operands, &build);
    let mut graph = with_operands(operands, &build);
    graph.input("x", FLOAT, &[Named("batch"), Fixed(elements as u32)]);
    graph.whole_initializer("column", &[2], &[-1, 1]);
    graph.node("Reshape", &["y", "column"], "flat");
    graph.node("MatMul", &["x", "flat"], "prediction");
    graph.output("prediction", FLOAT, &[Named("batch"), Fixed(1)]);
    let document = in_opset(&Document::new(graph.finish()), opset);
    let mut random = random(elements as u64);
    let x = Fed::floats("x", &[4, elements], uniform(&mut random, 4 * elements, -1.0, 1.0));
    Trial::new(&document, &plain(Loss::MeanSquaredError), vec![x], 11).agrees();
}

fn with_operands(operands: &[(&str, &[usize], Vec<f32>)], build: &impl Fn(&mut GraphBuilder)) -> GraphBuilder {
    let mut graph = GraphBuilder::new("operator");
    for (name, dims, values) in operands {
        graph.initializer(name, dims, values);
    }
    build(&mut graph);
    graph
}

fn elements_of_y(opset: i64, operands: &[(&str, &[usize], Vec<f32>)], build: &impl Fn(&mut GraphBuilder)) -> usize {
    let mut graph: GraphProto = with_operands(operands, build).finish();
    graph.output = vec![declaration("y", FLOAT, None)];
    let document = in_opset(&Document::new(graph), opset);
    let mut elements = 0;
    let mut computation = Computation::open(&document, 1, &["y".to_owned()]).unwrap();
    computation
        .run(&[], |_, output| {
            elements = output.dims.iter().product();
            Ok(())
        })
        .unwrap();
    elements
}
