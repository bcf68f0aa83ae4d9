//! A first model for a vector: a small network with random weights, written as an ONNX file.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{
    ModelError,
    layer::{check_hidden, dense, dense_weights, fits_a_file, he_normal, hidden, normalise, product, refuse},
    metadata,
    onnx::{
        Dimension::{Fixed, Named},
        Document, GraphBuilder,
        proto::data_type::FLOAT,
    },
};

/// A multilayer perceptron to be built.
#[derive(Debug, Clone, PartialEq)]
pub struct MlpSpec {
    /// The vector's columns in order.
    pub columns: Vec<String>,
    /// The width of each hidden layer; none gives a logistic regression.
    pub hidden: Vec<usize>,
    /// The share of each hidden layer's values that training leaves out at random, from 0 to below 1; 0 for none.
    /// Scoring always uses all of them (Srivastava and others, "Dropout", 2014).
    pub dropout: f32,
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
    let value = normalise(&mut graph, "features", inputs);

    let mut random = ChaCha8Rng::seed_from_u64(spec.seed);
    let (value, width) = hidden(&mut graph, &mut random, (value, inputs), &spec.hidden, spec.dropout);
    let weights = he_normal(&mut random, width, 1);
    dense(&mut graph, "logit", &value, [width, 1], &weights);
    graph.node("Sigmoid", &["logit"], "probability");
    graph.output("probability", FLOAT, &[Named("batch"), Fixed(1)]);

    let mut document = Document::new(graph.finish());
    document.set_metadata(metadata::KIND, "mlp");
    document.set_metadata(metadata::FINGERPRINT, &spec.fingerprint);
    document.set_metadata(metadata::COLUMNS, &spec.columns.join(","));
    Ok(document.write())
}

fn check(spec: &MlpSpec) -> Result<(), ModelError> {
    if spec.columns.is_empty() {
        return refuse("the vector has no columns");
    }
    check_hidden(&spec.hidden, spec.dropout)?;
    // And two numbers per column, to normalise it.
    let inputs = spec.columns.len();
    let weights = dense_weights(inputs, &spec.hidden).saturating_add(product(&[2, inputs as u64]));
    fits_a_file(weights, "use narrower layers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Binding, ScoreOutput, Session, layer::plain};
    use proptest::prelude::*;

    fn spec(columns: usize, hidden: &[usize], seed: u64) -> MlpSpec {
        let columns = (0..columns).map(|column| format!("c{column}")).collect();
        MlpSpec { columns, hidden: hidden.to_vec(), dropout: 0.0, seed, fingerprint: "8a21".to_owned() }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn onnx_runtime_scores_as_plain_arithmetic_does(
            columns in 1_usize..12,
            hidden in prop::collection::vec(1_usize..40, 0..3),
            dropout in prop_oneof![Just(0.0_f32), 0.0_f32..0.9],
            seed: u64,
            numbers in prop::collection::vec(prop_oneof![-5.0_f32..5.0, -1e6_f32..1e6, Just(0.0)], 12 * 9),
        ) {
            let spec = MlpSpec { dropout, ..spec(columns, &hidden, seed) };
            let bytes = build_mlp(&spec).unwrap();
            let document = Document::read(&bytes).unwrap();
            let output = ScoreOutput { name: Some("probability"), class: None };
            let binding = Binding { inputs: None, columns: &spec.columns, fingerprint: Some("8a21"), output: Some(output) };
            let mut scorer = Session::from_bytes(&bytes, 1).unwrap().bind(&binding).unwrap();
            let mut scores = Vec::new();
            for rows in [1, 9] {
                let matrix = &numbers[..rows * columns];
                scorer.score(matrix, rows, &mut scores).unwrap();
                prop_assert_eq!(scores.len(), rows);
                for (row, score) in matrix.chunks(columns).zip(&scores) {
                    let logit = plain::deep(&document, hidden.len(), "logit", plain::normalise(row));
                    let expected = plain::sigmoid(logit);
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
        let weights = plain::weights(&document, "dense_0.weight");
        let variance = weights.iter().map(|weight| weight * weight).sum::<f64>() / weights.len() as f64;
        assert!((variance - 2.0 / 50.0).abs() < 0.003, "{variance}");
    }

    #[test]
    fn a_network_that_cannot_be_is_refused() {
        insta::assert_snapshot!(build_mlp(&spec(0, &[], 1)).unwrap_err(), @"can't build the network: the vector has no columns");
        insta::assert_snapshot!(build_mlp(&spec(1, &[4, 0], 1)).unwrap_err(), @"can't build the network: hidden layer 2 has width 0, at least 1 is needed");
        let all = MlpSpec { dropout: 1.0, ..spec(1, &[4], 1) };
        insta::assert_snapshot!(build_mlp(&all).unwrap_err(), @"can't build the network: dropout is 1, it must be at least 0 and below 1");
        assert!(build_mlp(&MlpSpec { dropout: f32::NAN, ..all }).is_err());
        insta::assert_snapshot!(
            build_mlp(&spec(1, &[100_000, 100_000], 1)).unwrap_err(),
            @"can't build the network: it would have 10000400003 weights, at most 67043328 fit a file: use narrower layers"
        );
        assert!(build_mlp(&spec(1, &[usize::MAX, usize::MAX], 1)).is_err());
    }
}
