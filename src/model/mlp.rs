//! A first model for a vector: a small network with random weights, written as an ONNX file.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::{
    ModelError, metadata,
    onnx::{
        Dimension::{Fixed, Named},
        Document, GraphBuilder, MAX_FILE_BYTES,
        proto::data_type::FLOAT,
    },
};

/// A multilayer perceptron to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MlpSpec {
    /// The vector's columns in order.
    pub columns: Vec<String>,
    /// The width of each hidden layer; none gives a logistic regression.
    pub hidden: Vec<usize>,
    /// Decides the initial weights.
    pub seed: u64,
    /// The vector's fingerprint, stored in the file.
    pub fingerprint: String,
}

/// Builds the file of a network with one output, `probability [batch, 1]`, from one input,
/// `features [batch, columns]`, both float32.
///
/// ```text
///   features ─▶ log(1 + relu(x)) - log(1 + relu(-x)) ─▶ (x - mean) * scale ─▶ dense, relu ─▶ … ─▶ logit ─▶ sigmoid
/// ```
///
/// Counts and prices span orders of magnitude, so they are compressed before they are scaled; `mean` starts as 0 and
/// `scale` as 1, for training to set. Weights are normal with variance 2 / inputs (He and others, "Delving deep into
/// rectifiers", 2015, section 2.2), biases 0. The same spec always gives the same bytes.
///
/// # Errors
/// [`ModelError::Build`] for a vector without columns, an empty layer, or more weights than a file may hold.
pub fn build_mlp(spec: &MlpSpec) -> Result<Vec<u8>, ModelError> {
    check(spec)?;
    let inputs = spec.columns.len();
    let mut graph = GraphBuilder::new("mlp");
    graph.input("features", FLOAT, &[Named("batch"), Fixed(inputs as u32)]);
    let mut value = normalise(&mut graph, "features", inputs);

    let mut random = ChaCha8Rng::seed_from_u64(spec.seed);
    let mut width = inputs;
    for (layer, &outputs) in spec.hidden.iter().enumerate() {
        let name = format!("dense_{layer}");
        dense(&mut graph, &mut random, &name, &value, [width, outputs]);
        value = format!("{name}.relu");
        graph.node("Relu", &[&name], &value);
        width = outputs;
    }
    dense(&mut graph, &mut random, "logit", &value, [width, 1]);
    graph.node("Sigmoid", &["logit"], "probability");
    graph.output("probability", FLOAT, &[Named("batch"), Fixed(1)]);

    let mut document = Document::new(graph.finish());
    document.set_metadata(metadata::KIND, "mlp");
    document.set_metadata(metadata::FINGERPRINT, &spec.fingerprint);
    document.set_metadata(metadata::COLUMNS, &spec.columns.join(","));
    Ok(document.write())
}

/// Adds signed log compression and scaling; returns the name of the result.
fn normalise(graph: &mut GraphBuilder, input: &str, width: usize) -> String {
    graph.initializer("normalise.one", &[1], &[1.0]);
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
    "normalised".to_owned()
}

/// Adds `name = value × name.weight + name.bias`, the weight `[inputs, outputs]`.
fn dense(graph: &mut GraphBuilder, random: &mut ChaCha8Rng, name: &str, value: &str, [inputs, outputs]: [usize; 2]) {
    let deviation = (2.0 / inputs as f32).sqrt();
    let normal = StandardNormal.sample_iter(random).map(|value: f32| value * deviation);
    let weights: Vec<f32> = normal.take(inputs * outputs).collect();
    let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
    graph.initializer(&weight, &[inputs, outputs], &weights);
    graph.initializer(&bias, &[outputs], &vec![0.0; outputs]);
    graph.node("Gemm", &[value, &weight, &bias], name);
}

fn check(spec: &MlpSpec) -> Result<(), ModelError> {
    let refuse = |reason: String| Err(ModelError::Build { reason });
    if spec.columns.is_empty() {
        return refuse("the vector has no columns".to_owned());
    }
    if let Some(layer) = spec.hidden.iter().position(|&width| width == 0) {
        return refuse(format!("hidden layer {} has width 0, at least 1 is needed", layer + 1));
    }
    // A layer's weights, its biases, and the two numbers per column; saturating, because widths are typed by people.
    let widths = [spec.columns.len()].into_iter().chain(spec.hidden.iter().copied()).chain([1]);
    let widths: Vec<u64> = widths.map(|width| width as u64).collect();
    let layers =
        widths.windows(2).map(|pair| pair.iter().fold(1, |product: u64, width| product.saturating_mul(*width)));
    let weights = layers.chain(widths.iter().map(|width| width.saturating_mul(2))).fold(0, u64::saturating_add);
    let limit = MAX_FILE_BYTES / 4 - 65_536;
    if weights > limit {
        return refuse(format!("it would have {weights} weights, at most {limit} fit a file: use narrower layers"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Binding, Session, onnx::proto::TensorProto};
    use proptest::prelude::*;

    fn spec(columns: usize, hidden: &[usize], seed: u64) -> MlpSpec {
        let columns = (0..columns).map(|column| format!("c{column}")).collect();
        MlpSpec { columns, hidden: hidden.to_vec(), seed, fingerprint: "8a21".to_owned() }
    }

    fn values(tensor: &TensorProto) -> Vec<f64> {
        let bytes = tensor.raw_data().as_chunks::<4>().0;
        bytes.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
    }

    /// The network's probability for one row, computed plainly from the weights in the file.
    fn forward(document: &Document, layers: usize, row: &[f32]) -> f64 {
        let initializers = &document.graph().initializer;
        let weights = |name: &str| values(initializers.iter().find(|tensor| tensor.name() == name).unwrap());
        let mut value: Vec<f64> = row.iter().map(|&x| f64::from(x)).map(|x| x.signum() * x.abs().ln_1p()).collect();
        for layer in 0..=layers {
            let name = if layer < layers { format!("dense_{layer}") } else { "logit".to_owned() };
            let (weight, mut sums) = (weights(&format!("{name}.weight")), weights(&format!("{name}.bias")));
            let width = sums.len();
            for (input, x) in value.iter().enumerate() {
                for (output, sum) in sums.iter_mut().enumerate() {
                    *sum += x * weight[input * width + output];
                }
            }
            value = sums.iter().map(|x| if layer < layers { x.max(0.0) } else { *x }).collect();
        }
        1.0 / (1.0 + (-value[0]).exp())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn onnx_runtime_scores_as_plain_arithmetic_does(
            columns in 1_usize..12,
            hidden in prop::collection::vec(1_usize..40, 0..3),
            seed: u64,
            numbers in prop::collection::vec(prop_oneof![-5.0_f32..5.0, -1e6_f32..1e6, Just(0.0)], 12 * 9),
        ) {
            let spec = spec(columns, &hidden, seed);
            let bytes = build_mlp(&spec).unwrap();
            let document = Document::read(&bytes).unwrap();
            let binding = Binding { columns: &spec.columns, fingerprint: Some("8a21"), output: Some("probability") };
            let mut scorer = Session::from_bytes(&bytes, 1).unwrap().bind(&binding).unwrap();
            let mut scores = Vec::new();
            for rows in [1, 9] {
                let matrix = &numbers[..rows * columns];
                scorer.score(matrix, rows, &mut scores).unwrap();
                prop_assert_eq!(scores.len(), rows);
                for (row, score) in matrix.chunks(columns).zip(&scores) {
                    let expected = forward(&document, hidden.len(), row);
                    prop_assert!((f64::from(*score) - expected).abs() < 2e-4, "{} {}", score, expected);
                }
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_file_and_another_seed_another() {
        let bytes = build_mlp(&spec(5, &[8], 1)).unwrap();
        assert_eq!(bytes, build_mlp(&spec(5, &[8], 1)).unwrap());
        assert_ne!(bytes, build_mlp(&spec(5, &[8], 2)).unwrap());
    }

    #[test]
    fn the_file_tells_its_vector() {
        let session = Session::from_bytes(&build_mlp(&spec(3, &[4], 1)).unwrap(), 1).unwrap();
        assert_eq!(session.signature().to_string(), "features float32 [?, 3] -> probability float32 [?, 1]");
        let entries: Vec<_> = session.metadata().iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(entries, ["tidewheel.columns=c0,c1,c2", "tidewheel.fingerprint=8a21", "tidewheel.kind=mlp"]);
    }

    #[test]
    fn initial_weights_have_the_variance_of_he() {
        let document = Document::read(&build_mlp(&spec(50, &[200], 3)).unwrap()).unwrap();
        let initializers = &document.graph().initializer;
        let weights = values(initializers.iter().find(|tensor| tensor.name() == "dense_0.weight").unwrap());
        let variance = weights.iter().map(|weight| weight * weight).sum::<f64>() / weights.len() as f64;
        assert!((variance - 2.0 / 50.0).abs() < 0.003, "{variance}");
    }

    #[test]
    fn a_network_that_cannot_be_is_refused() {
        insta::assert_snapshot!(build_mlp(&spec(0, &[], 1)).unwrap_err(), @"can't build the network: the vector has no columns");
        insta::assert_snapshot!(build_mlp(&spec(1, &[4, 0], 1)).unwrap_err(), @"can't build the network: hidden layer 2 has width 0, at least 1 is needed");
        insta::assert_snapshot!(
            build_mlp(&spec(1, &[100_000, 100_000], 1)).unwrap_err(),
            @"can't build the network: it would have 10000600004 weights, at most 67043328 fit a file: use narrower layers"
        );
        assert!(build_mlp(&spec(1, &[usize::MAX, usize::MAX], 1)).is_err());
    }
}
