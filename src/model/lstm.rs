//! A model for sequences of ids: embeddings, an LSTM over the steps, one probability.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{
    ModelError,
    layer::{dense, fits_a_file, glorot_uniform, normal, product, refuse, uniform},
    metadata,
    onnx::{
        Attribute,
        Dimension::{Fixed, Named},
        Document, GraphBuilder,
        proto::data_type::{FLOAT, INT64},
    },
};

/// Gates of an LSTM, in the order in which ONNX keeps them: input, output, forget, cell.
const GATES: usize = 4;
/// The forget gate's place among them.
const FORGET: usize = 2;
/// Initial embeddings are uniform within this bound, Keras' default.
const EMBEDDING_BOUND: f32 = 0.05;

/// An LSTM over a sequence of ids, to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LstmSpec {
    /// The vector's columns in order, one per step of the sequence; empty for a model that belongs to no vector.
    pub columns: Vec<String>,
    /// Rows of the embedding table. An id is taken modulo this number, so two ids may share a row.
    pub vocab: usize,
    /// Numbers per embedding.
    pub dim: usize,
    /// Width of the LSTM's state.
    pub hidden: usize,
    /// Steps of a sequence, from the oldest to the newest.
    pub length: usize,
    /// Decides the initial weights.
    pub seed: u64,
    /// The vector's fingerprint, stored in the file.
    pub fingerprint: Option<String>,
}

/// Builds the file of a network with one output, `probability [batch, 1]`, from one input,
/// `sequence [batch, length]`, both float32; the sequence holds ids as whole numbers.
///
/// ```text
///   sequence ─▶ whole, modulo vocab ─▶ [length, batch] ─▶ embedding.weight ─▶ lstm.W, lstm.R, lstm.B ─┐ last state
///                                                        [length, batch, dim]        × length         ▼
///                                                                        probability ◀─ sigmoid ◀─ logit
/// ```
///
/// The LSTM is ONNX's (Hochreiter and Schmidhuber, "Long short-term memory", 1997, with the forget gate of Gers and
/// others, 2000): `lstm.W [1, 4 hidden, dim]`, `lstm.R [1, 4 hidden, hidden]`, `lstm.B [1, 8 hidden]`. Every step
/// counts: an id that stands for padding (0, say) is learned like any other.
///
/// Weights start as in Keras: embeddings uniform within ±0.05, `W` and the last layer as Glorot and Bengio, `R`
/// orthogonal (Saxe and others, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
/// networks", 2014), biases 0 but 1 for the forget gate (Jozefowicz and others, "An empirical exploration of recurrent
/// network architectures", 2015). The same spec always gives the same bytes.
///
/// # Errors
/// [`ModelError::Build`] for anything of size 0, columns of another number than steps, or more weights than a file
/// may hold.
pub fn build_lstm(spec: &LstmSpec) -> Result<Vec<u8>, ModelError> {
    check(spec)?;
    let LstmSpec { vocab, dim, hidden, .. } = *spec;
    let mut graph = GraphBuilder::new("lstm");
    graph.input("sequence", FLOAT, &[Named("batch"), Fixed(spec.length as u32)]);
    graph.whole_initializer("ids.vocab", &[], &[vocab as i64]);
    graph.node_with("Cast", &["sequence"], "ids", &[("to", i64::from(INT64))]);
    graph.node("Mod", &["ids", "ids.vocab"], "ids.hashed");
    graph.node_of("Transpose", &["ids.hashed"], &["steps"], &[("perm", Attribute::Ints(vec![1, 0]))]);

    let mut random = ChaCha8Rng::seed_from_u64(spec.seed);
    let embedding = uniform(&mut random, vocab * dim, EMBEDDING_BOUND);
    graph.initializer("embedding.weight", &[vocab, dim], &embedding);
    graph.node("Gather", &["embedding.weight", "steps"], "vectors");

    let width = GATES * hidden;
    let mut bias = vec![0.0; 2 * width];
    bias.iter_mut().skip(FORGET * hidden).take(hidden).for_each(|forget| *forget = 1.0);
    graph.initializer("lstm.W", &[1, width, dim], &glorot_uniform(&mut random, dim, width));
    graph.initializer("lstm.R", &[1, width, hidden], &orthogonal(&mut random, width, hidden));
    graph.initializer("lstm.B", &[1, 2 * width], &bias);
    let parts = ["vectors", "lstm.W", "lstm.R", "lstm.B"];
    let size = [("hidden_size", Attribute::Int(hidden as i64))];
    graph.node_of("LSTM", &parts, &["", "lstm.last"], &size);
    graph.whole_initializer("lstm.direction", &[1], &[0]);
    graph.node("Squeeze", &["lstm.last", "lstm.direction"], "state");

    let weights = glorot_uniform(&mut random, hidden, 1);
    dense(&mut graph, "logit", "state", [hidden, 1], &weights);
    graph.node("Sigmoid", &["logit"], "probability");
    graph.output("probability", FLOAT, &[Named("batch"), Fixed(1)]);

    let mut document = Document::new(graph.finish());
    document.set_metadata(metadata::KIND, "lstm");
    if let Some(fingerprint) = &spec.fingerprint {
        document.set_metadata(metadata::FINGERPRINT, fingerprint);
    }
    if !spec.columns.is_empty() {
        document.set_metadata(metadata::COLUMNS, &spec.columns.join(","));
    }
    Ok(document.write())
}

/// A matrix `[rows, columns]` whose columns have length 1 and are at right angles, `rows` at least `columns`.
///
/// Random directions, each made orthogonal to those before it (modified Gram-Schmidt, twice per column, which is
/// enough to lose nothing to rounding: Giraud and others, 2005).
fn orthogonal(random: &mut ChaCha8Rng, rows: usize, columns: usize) -> Vec<f32> {
    let mut basis: Vec<Vec<f32>> = Vec::with_capacity(columns);
    for _ in 0..columns {
        let mut direction = normal(random, rows, 1.0);
        for _ in 0..2 {
            for earlier in &basis {
                let shared: f32 = earlier.iter().zip(&direction).map(|(a, b)| a * b).sum();
                direction.iter_mut().zip(earlier).for_each(|(value, earlier)| *value -= shared * earlier);
            }
            let length = direction.iter().map(|value| value * value).sum::<f32>().sqrt();
            for value in &mut direction {
                *value /= length;
            }
        }
        basis.push(direction);
    }
    let mut matrix = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        matrix.extend(basis.iter().filter_map(|column| column.get(row)));
    }
    matrix
}

fn check(spec: &LstmSpec) -> Result<(), ModelError> {
    let LstmSpec { vocab, dim, hidden, length, .. } = *spec;
    for (what, size) in [
        ("the vocabulary has", vocab),
        ("embeddings have", dim),
        ("the LSTM's state has", hidden),
        ("sequences have", length),
    ] {
        if size == 0 {
            return refuse(format!("{what} size 0, at least 1 is needed"));
        }
    }
    let columns = spec.columns.len();
    if columns != 0 && columns != length {
        return refuse(format!("the vector has {columns} columns for sequences of {length} steps: one each is needed"));
    }
    let [vocab, dim, hidden] = [vocab, dim, hidden].map(|size| size as u64);
    // Inputs, states, and two biases of each gate; then the last layer.
    let inputs = dim.saturating_add(hidden).saturating_add(2);
    let lstm = product(&[GATES as u64, hidden, inputs]);
    let weights = product(&[vocab, dim]).saturating_add(lstm).saturating_add(hidden).saturating_add(1);
    fits_a_file(weights, "use a smaller vocabulary, shorter embeddings or a narrower state")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Binding, Session, layer::plain};
    use proptest::prelude::*;

    fn spec(vocab: usize, dim: usize, hidden: usize, length: usize) -> LstmSpec {
        let columns = (0..length).map(|step| format!("s{step}")).collect();
        LstmSpec { columns, vocab, dim, hidden, length, seed: 1, fingerprint: Some("8a21".to_owned()) }
    }

    /// The probability of one sequence, gate by gate, from the weights in the file.
    #[expect(clippy::many_single_char_names, reason = "the letters of the operator's formulas")]
    fn forward(document: &Document, spec: &LstmSpec, sequence: &[f32]) -> f64 {
        let LstmSpec { vocab, dim, hidden, .. } = *spec;
        let [table, w, r, b] =
            ["embedding.weight", "lstm.W", "lstm.R", "lstm.B"].map(|name| plain::weights(document, name));
        let (mut state, mut cell) = (vec![0.0; hidden], vec![0.0; hidden]);
        for id in sequence {
            let row = (id.trunc() as i64).rem_euclid(vocab as i64) as usize;
            let vector = &table[row * dim..][..dim];
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let gate = |place: usize| {
                let (x, h) = (dot(&w[place * dim..][..dim], vector), dot(&r[place * hidden..][..hidden], &state));
                x + h + b[place] + b[GATES * hidden + place]
            };
            let gates: Vec<f64> = (0..GATES * hidden).map(gate).collect();
            for unit in 0..hidden {
                let [i, o, f, c] = [0, 1, 2, 3].map(|place| gates[place * hidden + unit]);
                cell[unit] = plain::sigmoid(f) * cell[unit] + plain::sigmoid(i) * c.tanh();
                state[unit] = plain::sigmoid(o) * cell[unit].tanh();
            }
        }
        plain::sigmoid(plain::dense(document, "logit", &state)[0])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn onnx_runtime_scores_as_plain_arithmetic_does(
            vocab in 1_usize..30,
            dim in 1_usize..7,
            hidden in 1_usize..9,
            length in 2_usize..12,
            numbers in prop::collection::vec(prop_oneof![-60.0_f32..60.0, (0_u32..1 << 24).prop_map(|id| id as f32)], 60),
        ) {
            let spec = spec(vocab, dim, hidden, length);
            let bytes = build_lstm(&spec).unwrap();
            let binding = Binding { inputs: None, columns: &spec.columns, fingerprint: Some("8a21"), output: None };
            let mut scorer = Session::from_bytes(&bytes, 1).unwrap().bind(&binding).unwrap();
            let mut scores = Vec::new();
            let matrix = &numbers[..5 * length];
            scorer.score(matrix, 5, &mut scores).unwrap();
            let document = Document::read(&bytes).unwrap();
            for (sequence, score) in matrix.chunks(length).zip(&scores) {
                let expected = forward(&document, &spec, sequence);
                prop_assert!((f64::from(*score) - expected).abs() < 2e-5, "{} {}", score, expected);
            }
        }
    }

    #[test]
    fn the_file_tells_its_vector_only_if_it_has_one() {
        let entries = |spec: &LstmSpec| {
            let session = Session::from_bytes(&build_lstm(spec).unwrap(), 1).unwrap();
            assert_eq!(session.signature().to_string(), "sequence float32 [?, 2] -> probability float32 [?, 1]");
            let entries = session.metadata().iter().map(|(key, value)| format!("{key}={value}"));
            entries.collect::<Vec<_>>()
        };
        let spec = spec(5, 2, 3, 2);
        assert_eq!(entries(&spec), ["tidewheel.columns=s0,s1", "tidewheel.fingerprint=8a21", "tidewheel.kind=lstm"]);
        let free = LstmSpec { columns: Vec::new(), fingerprint: None, ..spec };
        assert_eq!(entries(&free), ["tidewheel.kind=lstm"]);
    }

    #[test]
    fn recurrent_weights_start_orthogonal() {
        let (rows, columns) = (4 * 24, 24);
        let matrix = orthogonal(&mut ChaCha8Rng::seed_from_u64(3), rows, columns);
        for a in 0..columns {
            for b in 0..columns {
                let product: f32 = (0..rows).map(|row| matrix[row * columns + a] * matrix[row * columns + b]).sum();
                assert!((product - f32::from(u8::from(a == b))).abs() < 1e-5, "{a} {b}: {product}");
            }
        }
    }

    #[test]
    fn a_network_that_cannot_be_is_refused() {
        let refusal = |spec| build_lstm(&spec).unwrap_err().to_string();
        insta::assert_snapshot!(refusal(spec(0, 1, 1, 1)), @"can't build the network: the vocabulary has size 0, at least 1 is needed");
        insta::assert_snapshot!(refusal(spec(1, 1, 1, 0)), @"can't build the network: sequences have size 0, at least 1 is needed");
        let short = LstmSpec { length: 9, ..spec(1, 1, 1, 3) };
        insta::assert_snapshot!(refusal(short), @"can't build the network: the vector has 3 columns for sequences of 9 steps: one each is needed");
        insta::assert_snapshot!(refusal(spec(1, 1, 1 << 20, 1)), @"can't build the network: it would have 4398060142594 weights, at most 67043328 fit a file: use a smaller vocabulary, shorter embeddings or a narrower state");
        assert!(build_lstm(&LstmSpec { columns: Vec::new(), ..spec(usize::MAX, usize::MAX, usize::MAX, 1) }).is_err());
    }
}
