//! What the networks that are built here share: layers, initial weights, and how much of them a file holds.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

use super::{
    ModelError,
    onnx::{Attribute, GraphBuilder, MAX_FILE_BYTES},
};

/// Adds `normalised = (sign(x) * log(1 + |x|) - mean) * scale` of `input [batch, width]`; returns the name.
///
/// `mean` starts as 0 and `scale` as 1, for training to set.
pub(super) fn normalise(graph: &mut GraphBuilder, input: &str, width: usize) -> &'static str {
    constant(graph, "normalise.one", 1.0);
    graph.initializer("normalise.mean", &[width], &vec![0.0; width]);
    graph.initializer("normalise.scale", &[width], &vec![1.0; width]);
    graph.node("Neg", &[input], "normalise.negated");
    for (source, side) in [(input, "positive"), ("normalise.negated", "negative")] {
        let name = |step: &str| format!("normalise.{side}.{step}");
        graph.node("Relu", &[source], &name("relu"));
        graph.node("Add", &[&name("relu"), "normalise.one"], &name("plus_one"));
        graph.node("Log", &[&name("plus_one")], &name("log"));
    }
    graph.node("Sub", &["normalise.positive.log", "normalise.negative.log"], "normalise.compressed");
    graph.node("Sub", &["normalise.compressed", "normalise.mean"], "normalise.centred");
    graph.node("Mul", &["normalise.centred", "normalise.scale"], "normalised");
    "normalised"
}

/// Adds dense layers with relu, and dropout after each when `dropout` is above 0; returns the name and width of the
/// result. Layer n is called `dense_n`.
pub(super) fn hidden(
    graph: &mut GraphBuilder,
    random: &mut impl Rng,
    (input, mut width): (&str, usize),
    widths: &[usize],
    dropout: f32,
) -> (String, usize) {
    let mut value = input.to_owned();
    if dropout > 0.0 && !widths.is_empty() {
        constant(graph, "dropout.ratio", dropout);
    }
    for (layer, &outputs) in widths.iter().enumerate() {
        let name = format!("dense_{layer}");
        let weights = he_normal(random, width, outputs);
        dense(graph, &name, &value, [width, outputs], &weights);
        value = format!("{name}.relu");
        graph.node("Relu", &[&name], &value);
        if dropout > 0.0 {
            let kept = format!("{name}.kept");
            graph.node("Dropout", &[&value, "dropout.ratio"], &kept);
            value = kept;
        }
        width = outputs;
    }
    (value, width)
}

/// Adds `name = value × name.weight + name.bias`, the weight `[inputs, outputs]` row-major, the bias 0.
pub(super) fn dense(graph: &mut GraphBuilder, name: &str, value: &str, [inputs, outputs]: [usize; 2], weights: &[f32]) {
    let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
    graph.initializer(&weight, &[inputs, outputs], weights);
    graph.initializer(&bias, &[outputs], &vec![0.0; outputs]);
    graph.node("Gemm", &[value, &weight, &bias], name);
}

/// Adds a number that training leaves alone: a node, because float initializers are what is trained.
pub(super) fn constant(graph: &mut GraphBuilder, name: &str, value: f32) {
    graph.node_of("Constant", &[], &[name], &[("value_float", Attribute::Float(value))]);
}

/// Weights `[inputs, outputs]` for a layer before a relu: normal with variance 2 / inputs (He and others, "Delving deep
/// into rectifiers", 2015, section 2.2).
pub(super) fn he_normal(random: &mut impl Rng, inputs: usize, outputs: usize) -> Vec<f32> {
    normal(random, inputs * outputs, (2.0 / inputs as f32).sqrt())
}

/// Weights `[inputs, outputs]` for a sigmoid or tanh: uniform within ±√(6 / (inputs + outputs)) (Glorot and Bengio,
/// "Understanding the difficulty of training deep feedforward neural networks", 2010, equation 16).
pub(super) fn glorot_uniform(random: &mut impl Rng, inputs: usize, outputs: usize) -> Vec<f32> {
    uniform(random, inputs * outputs, (6.0 / (inputs + outputs) as f32).sqrt())
}

/// Normal numbers around 0.
pub(super) fn normal(random: &mut impl Rng, count: usize, deviation: f32) -> Vec<f32> {
    StandardNormal.sample_iter(random).take(count).map(|value: f32| value * deviation).collect()
}

/// Uniform numbers between `-bound` and `bound`.
pub(super) fn uniform(random: &mut impl Rng, count: usize, bound: f32) -> Vec<f32> {
    (0..count).map(|_| (random.random::<f32>() * 2.0 - 1.0) * bound).collect()
}

/// Why a network cannot be built.
pub(super) fn refuse<T>(reason: impl Into<String>) -> Result<T, ModelError> {
    Err(ModelError::Build { reason: reason.into() })
}

/// Refuses layers without width, and a share of dropped values that leaves nothing.
pub(super) fn check_hidden(widths: &[usize], dropout: f32) -> Result<(), ModelError> {
    if let Some(layer) = widths.iter().position(|&width| width == 0) {
        return refuse(format!("hidden layer {} has width 0, at least 1 is needed", layer + 1));
    }
    if !(0.0..1.0).contains(&dropout) {
        return refuse(format!("dropout is {dropout}, it must be at least 0 and below 1"));
    }
    Ok(())
}

/// The weights and biases of dense layers from `input` over `hidden` to one output. Saturating, as all counts of
/// weights are, because widths are typed by people.
pub(super) fn dense_weights(input: usize, hidden: &[usize]) -> u64 {
    let widths: Vec<u64> = [input].iter().chain(hidden).chain(&[1]).map(|width| *width as u64).collect();
    let layers = widths.windows(2).map(product);
    layers.chain(widths.iter().skip(1).copied()).fold(0, u64::saturating_add)
}

/// The product of a tensor's dimensions, or of any counts.
pub(super) fn product(counts: &[u64]) -> u64 {
    counts.iter().fold(1, |product, count| product.saturating_mul(*count))
}

/// Refuses more float32 weights than a file can hold beside its nodes; `mend` says what to choose smaller.
pub(super) fn fits_a_file(weights: u64, mend: &str) -> Result<(), ModelError> {
    let limit = MAX_FILE_BYTES / 4 - 65_536;
    if weights > limit {
        return refuse(format!("it would have {weights} weights, at most {limit} fit a file: {mend}"));
    }
    Ok(())
}

/// The same arithmetic, plainly and in float64.
#[cfg(test)]
pub(super) mod plain {
    use crate::model::onnx::Document;

    /// The values of an initializer.
    pub(crate) fn weights(document: &Document, name: &str) -> Vec<f64> {
        let mut tensors = document.graph().initializer.iter();
        let tensor = tensors.find(|tensor| tensor.name() == name).unwrap();
        let bytes = tensor.raw_data().as_chunks::<4>().0;
        bytes.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
    }

    pub(crate) fn normalise(row: &[f32]) -> Vec<f64> {
        row.iter().map(|&x| f64::from(x)).map(|x| x.signum() * x.abs().ln_1p()).collect()
    }

    /// One layer of [`dense`](super::dense).
    pub(crate) fn dense(document: &Document, name: &str, value: &[f64]) -> Vec<f64> {
        let weight = weights(document, &format!("{name}.weight"));
        let mut sums = weights(document, &format!("{name}.bias"));
        let width = sums.len();
        assert_eq!(weight.len(), value.len() * width, "{name}");
        for (input, x) in value.iter().enumerate() {
            for (output, sum) in sums.iter_mut().enumerate() {
                *sum += x * weight[input * width + output];
            }
        }
        sums
    }

    /// [`hidden`](super::hidden) and the dense layer `output` after it, which has one value.
    pub(crate) fn deep(document: &Document, layers: usize, output: &str, mut value: Vec<f64>) -> f64 {
        for layer in 0..layers {
            value = dense(document, &format!("dense_{layer}"), &value);
            for x in &mut value {
                *x = x.max(0.0);
            }
        }
        dense(document, output, &value)[0]
    }

    pub(crate) fn sigmoid(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }
}
