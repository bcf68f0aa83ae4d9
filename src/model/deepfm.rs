//! A model for vectors with categories: embeddings, their pairwise products, and a deep part over all of them.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{
    ModelError,
    layer::{
        check_hidden, constant, dense, dense_weights, fits_a_file, he_normal, hidden, normal, normalise, product,
        refuse,
    },
    metadata,
    onnx::{
        Dimension::{Fixed, Named},
        Document, GraphBuilder,
        proto::data_type::{FLOAT, INT64},
    },
};

/// The deviation of initial embedding values: small, so that pairs of categories start with almost no weight.
const EMBEDDING_DEVIATION: f32 = 0.01;

/// A factorisation machine with a deep part, to be built.
#[derive(Debug, Clone, PartialEq)]
pub struct DeepFmSpec {
    /// The vector's columns in order.
    pub columns: Vec<String>,
    /// The columns that hold ids or codes, each with its number of rows in the embedding table. An id is taken modulo
    /// that number, so any two ids may share a row (the hashing trick: Weinberger and others, "Feature hashing for
    /// large scale multitask learning", 2009). Columns are float32, which holds whole numbers exactly up to 16777216.
    pub categorical: Vec<(String, usize)>,
    /// Numbers per embedding.
    pub dim: usize,
    /// The width of each hidden layer of the deep part; none leaves one dense layer.
    pub hidden: Vec<usize>,
    /// The share of each hidden layer's values that training leaves out, from 0 to below 1.
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
///             ┌ categorical ─▶ whole, modulo buckets, + first row ─┬─▶ linear.weight ───────▶ sum ─────────┐
///   features ─┤                                                    └─▶ embedding.weight ─┬─▶ pairs ────────┤
///             │                                                                          │                 + ─▶ logit
///             │                                                             concat ◀─────┘                 │   sigmoid
///             └ others ──────▶ normalised as in the MLP ─┬─────────────────▶  └─▶ dense, relu ─▶ … ─▶ deep ┤
///                                                        └─▶ linear.dense.weight ──────────────────────────┘
/// ```
///
/// The network is that of Guo and others (2017, arXiv 1703.04247, section 2). Pairs are the sum over all pairs of
/// categorical columns of the product of their embeddings, computed as ½ ((Σ v)² - Σ v²), summed over the embedding's
/// numbers (Rendle, "Factorization machines", 2010, lemma 3.1). All columns share one table `embedding.weight [sum of
/// buckets, dim]` and one `linear.weight [sum of buckets, 1]`. An id that is no whole number is cut to one; ids below 0
/// count from the last bucket.
///
/// First-order weights start at 0, embeddings normal with deviation 0.01, deep layers as in
/// [`build_mlp`](super::build_mlp). The same spec always gives the same bytes.
///
/// # Errors
/// [`ModelError::Build`] for a vector without columns, categorical columns that it does not have or that are named
/// twice, none of them at all, anything of size 0, a dropout outside its bounds, or more weights than a file may hold.
pub fn build_deepfm(spec: &DeepFmSpec) -> Result<Vec<u8>, ModelError> {
    let columns = Columns::of(spec)?;
    check_sizes(spec, &columns)?;
    let mut graph = GraphBuilder::new("deepfm");
    graph.input("features", FLOAT, &[Named("batch"), Fixed(spec.columns.len() as u32)]);
    let mut random = ChaCha8Rng::seed_from_u64(spec.seed);
    let fields = spec.categorical.len();

    embed(&mut graph, &mut random, spec, &columns);
    factorise(&mut graph);
    graph.node_with("Flatten", &["vectors"], "vectors.flat", &[("axis", 1)]);
    let (mut deep, mut width) = ("vectors.flat", fields * spec.dim);
    let mut terms = vec!["linear", "pairs", "deep"];
    if !columns.dense.is_empty() {
        let count = columns.dense.len();
        graph.whole_initializer("dense.columns", &[count], &columns.dense);
        graph.node_with("Gather", &["features", "dense.columns"], "dense", &[("axis", 1)]);
        let normalised = normalise(&mut graph, "dense", count);
        graph.initializer("linear.dense.weight", &[count, 1], &vec![0.0; count]);
        graph.node("MatMul", &[normalised, "linear.dense.weight"], "linear.dense");
        terms.push("linear.dense");
        graph.node_with("Concat", &["vectors.flat", normalised], "deep.input", &[("axis", 1)]);
        (deep, width) = ("deep.input", width + count);
    }
    let (value, width) = hidden(&mut graph, &mut random, (deep, width), &spec.hidden, spec.dropout);
    let weights = he_normal(&mut random, width, 1);
    dense(&mut graph, "deep", &value, [width, 1], &weights);
    graph.node("Sum", &terms, "logit");
    graph.node("Sigmoid", &["logit"], "probability");
    graph.output("probability", FLOAT, &[Named("batch"), Fixed(1)]);

    let mut document = Document::new(graph.finish());
    document.set_metadata(metadata::KIND, "deepfm");
    document.set_metadata(metadata::FINGERPRINT, &spec.fingerprint);
    document.set_metadata(metadata::COLUMNS, &spec.columns.join(","));
    Ok(document.write())
}

/// Adds `vectors [batch, fields, dim]` and `linear [batch, 1]`, from the rows of both tables that the ids name.
fn embed(graph: &mut GraphBuilder, random: &mut ChaCha8Rng, spec: &DeepFmSpec, columns: &Columns) {
    let fields = columns.categorical.len();
    graph.whole_initializer("categorical.columns", &[fields], &columns.categorical);
    graph.whole_initializer("categorical.buckets", &[fields], &columns.buckets);
    graph.whole_initializer("categorical.first_rows", &[fields], &columns.first_rows);
    graph.whole_initializer("fields", &[1], &[1]);
    graph.node_with("Gather", &["features", "categorical.columns"], "categorical", &[("axis", 1)]);
    graph.node_with("Cast", &["categorical"], "categorical.ids", &[("to", i64::from(INT64))]);
    graph.node("Mod", &["categorical.ids", "categorical.buckets"], "categorical.hashed");
    graph.node("Add", &["categorical.hashed", "categorical.first_rows"], "rows");

    let embedding = normal(random, columns.rows * spec.dim, EMBEDDING_DEVIATION);
    graph.initializer("embedding.weight", &[columns.rows, spec.dim], &embedding);
    graph.initializer("linear.weight", &[columns.rows, 1], &vec![0.0; columns.rows]);
    graph.node("Gather", &["embedding.weight", "rows"], "vectors");
    graph.node("Gather", &["linear.weight", "rows"], "linear.rows");
    graph.node_with("ReduceSum", &["linear.rows", "fields"], "linear", &[("keepdims", 0)]);
}

/// Adds `pairs [batch, 1]`, the second-order part, from `vectors`.
fn factorise(graph: &mut GraphBuilder) {
    constant(graph, "pairs.half", 0.5);
    graph.node_with("ReduceSum", &["vectors", "fields"], "pairs.sum", &[("keepdims", 0)]);
    graph.node("Mul", &["pairs.sum", "pairs.sum"], "pairs.square_of_sum");
    graph.node("Mul", &["vectors", "vectors"], "pairs.squares");
    graph.node_with("ReduceSum", &["pairs.squares", "fields"], "pairs.sum_of_squares", &[("keepdims", 0)]);
    graph.node("Sub", &["pairs.square_of_sum", "pairs.sum_of_squares"], "pairs.twice");
    // Axis 1 again: the numbers of an embedding, now that the fields are summed.
    graph.node_with("ReduceSum", &["pairs.twice", "fields"], "pairs.total", &[("keepdims", 1)]);
    graph.node("Mul", &["pairs.total", "pairs.half"], "pairs");
}

/// Where the vector's columns go: positions in the vector, and rows of the tables.
struct Columns {
    categorical: Vec<i64>,
    buckets: Vec<i64>,
    first_rows: Vec<i64>,
    /// Rows of the tables.
    rows: usize,
    dense: Vec<i64>,
}

impl Columns {
    fn of(spec: &DeepFmSpec) -> Result<Self, ModelError> {
        if spec.columns.is_empty() {
            return refuse("the vector has no columns");
        }
        if spec.categorical.is_empty() {
            return refuse("no column is categorical: name at least one, or build an mlp");
        }
        let (mut categorical, mut buckets, mut first_rows, mut rows) = (Vec::new(), Vec::new(), Vec::new(), 0_usize);
        for (name, size) in &spec.categorical {
            let Some(position) = spec.columns.iter().position(|column| column == name) else {
                let columns = spec.columns.join(", ");
                return refuse(format!("categorical column {name:?} is not in the vector, which has {columns}"));
            };
            let position = position as i64;
            if categorical.contains(&position) {
                return refuse(format!("categorical column {name:?} is named twice"));
            }
            if *size == 0 {
                return refuse(format!("categorical column {name:?} has 0 buckets, at least 1 is needed"));
            }
            categorical.push(position);
            buckets.push(*size as i64);
            first_rows.push(rows as i64);
            rows = rows.saturating_add(*size);
        }
        let dense = (0..spec.columns.len() as i64).filter(|position| !categorical.contains(position)).collect();
        Ok(Self { categorical, buckets, first_rows, rows, dense })
    }
}

fn check_sizes(spec: &DeepFmSpec, columns: &Columns) -> Result<(), ModelError> {
    if spec.dim == 0 {
        return refuse("embeddings have 0 numbers, at least 1 is needed");
    }
    check_hidden(&spec.hidden, spec.dropout)?;
    let tables = product(&[columns.rows as u64, (spec.dim as u64).saturating_add(1)]);
    // Mean, scale and first-order weight of each dense column.
    let dense = product(&[3, columns.dense.len() as u64]);
    let width = spec.dim.saturating_mul(columns.categorical.len()).saturating_add(columns.dense.len());
    let deep = dense_weights(width, &spec.hidden);
    let weights = tables.saturating_add(dense).saturating_add(deep);
    fits_a_file(weights, "use fewer buckets, shorter embeddings or narrower layers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Binding, Session, layer::plain};
    use proptest::prelude::*;

    fn spec(columns: usize, categorical: &[(usize, usize)], dim: usize, hidden: &[usize]) -> DeepFmSpec {
        DeepFmSpec {
            columns: (0..columns).map(|column| format!("c{column}")).collect(),
            categorical: categorical.iter().map(|(column, buckets)| (format!("c{column}"), *buckets)).collect(),
            dim,
            hidden: hidden.to_vec(),
            dropout: 0.0,
            seed: 1,
            fingerprint: "8a21".to_owned(),
        }
    }

    /// The probability for one row, pair by pair, from the weights in the file.
    fn forward(document: &Document, categorical: &[(usize, usize)], dim: usize, layers: usize, row: &[f32]) -> f64 {
        let (table, linear) = (plain::weights(document, "embedding.weight"), plain::weights(document, "linear.weight"));
        let mut vectors: Vec<&[f64]> = Vec::new();
        let (mut logit, mut first) = (0.0, 0);
        for &(column, buckets) in categorical {
            let place = first + (row[column].trunc() as i64).rem_euclid(buckets as i64) as usize;
            logit += linear[place];
            vectors.push(&table[place * dim..][..dim]);
            first += buckets;
        }
        for (a, left) in vectors.iter().enumerate() {
            for right in &vectors[..a] {
                logit += left.iter().zip(*right).map(|(x, y)| x * y).sum::<f64>();
            }
        }
        let is_dense = |column: &usize| !categorical.iter().any(|(categorical, _)| categorical == column);
        let dense: Vec<f32> = (0..row.len()).filter(is_dense).map(|column| row[column]).collect();
        let dense = plain::normalise(&dense);
        if !dense.is_empty() {
            let weights = plain::weights(document, "linear.dense.weight");
            logit += dense.iter().zip(weights).map(|(x, weight)| x * weight).sum::<f64>();
        }
        let deep = [vectors.concat(), dense].concat();
        plain::sigmoid(logit + plain::deep(document, layers, "deep", deep))
    }

    /// Gives weights that start at 0 or near it a size that shows.
    fn enlarge(document: &mut Document) {
        for tensor in &mut document.graph_mut().initializer {
            let deviation = match tensor.name() {
                "embedding.weight" | "linear.weight" | "linear.dense.weight" => 0.7,
                _ => continue,
            };
            let count = tensor.raw_data().len() / 4;
            let values = normal(&mut ChaCha8Rng::seed_from_u64(count as u64), count, deviation);
            tensor.raw_data = Some(values.iter().flat_map(|value| value.to_le_bytes()).collect());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn onnx_runtime_scores_as_plain_arithmetic_does(
            columns in 1_usize..7,
            categorical in prop::collection::vec(1_usize..20, 1..5),
            dim in 1_usize..9,
            hidden in prop::collection::vec(1_usize..20, 0..3),
            dropout in prop_oneof![Just(0.0_f32), 0.0_f32..0.9],
            numbers in prop::collection::vec(prop_oneof![-60.0_f32..60.0, (0_u32..1 << 24).prop_map(|id| id as f32)], 42),
        ) {
            // From the last column backwards, so that positions differ from the order of naming.
            let categorical: Vec<(usize, usize)> =
                categorical.into_iter().take(columns).enumerate().map(|(n, buckets)| (columns - 1 - n, buckets)).collect();
            let spec = DeepFmSpec { dropout, ..spec(columns, &categorical, dim, &hidden) };
            let mut document = Document::read(&build_deepfm(&spec).unwrap()).unwrap();
            enlarge(&mut document);
            let binding = Binding { inputs: None, columns: &spec.columns, fingerprint: Some("8a21"), output: None };
            let mut scorer = Session::from_bytes(&document.write(), 1).unwrap().bind(&binding).unwrap();
            let mut scores = Vec::new();
            let matrix = &numbers[..6 * columns];
            scorer.score(matrix, 6, &mut scores).unwrap();
            for (row, score) in matrix.chunks(columns).zip(&scores) {
                let expected = forward(&document, &categorical, dim, hidden.len(), row);
                prop_assert!((f64::from(*score) - expected).abs() < 2e-4, "{} {}", score, expected);
            }
        }
    }

    #[test]
    fn the_file_tells_its_vector_and_the_same_spec_gives_the_same_file() {
        let bytes = build_deepfm(&spec(3, &[(1, 10)], 4, &[8])).unwrap();
        assert_eq!(bytes, build_deepfm(&spec(3, &[(1, 10)], 4, &[8])).unwrap());
        let session = Session::from_bytes(&bytes, 1).unwrap();
        assert_eq!(session.signature().to_string(), "features float32 [?, 3] -> probability float32 [?, 1]");
        let entries: Vec<_> = session.metadata().iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(entries, ["tidewheel.columns=c0,c1,c2", "tidewheel.fingerprint=8a21", "tidewheel.kind=deepfm"]);
    }

    #[test]
    fn an_id_that_is_no_number_still_names_a_row() {
        let spec = spec(1, &[(0, 7)], 2, &[]);
        let binding = Binding { inputs: None, columns: &spec.columns[..0], fingerprint: None, output: None };
        assert!(Session::from_bytes(&build_deepfm(&spec).unwrap(), 1).unwrap().bind(&binding).is_err());
        let binding = Binding { inputs: None, columns: &spec.columns, ..binding };
        let mut scorer = Session::from_bytes(&build_deepfm(&spec).unwrap(), 1).unwrap().bind(&binding).unwrap();
        let ids = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -1.0];
        scorer.score(&ids, ids.len(), &mut Vec::new()).unwrap();
    }

    #[test]
    fn a_network_that_cannot_be_is_refused() {
        let refusal = |spec| build_deepfm(&spec).unwrap_err().to_string();
        insta::assert_snapshot!(refusal(spec(0, &[], 1, &[])), @"can't build the network: the vector has no columns");
        insta::assert_snapshot!(refusal(spec(2, &[], 1, &[])), @"can't build the network: no column is categorical: name at least one, or build an mlp");
        insta::assert_snapshot!(refusal(spec(2, &[(5, 9)], 1, &[])), @r#"can't build the network: categorical column "c5" is not in the vector, which has c0, c1"#);
        insta::assert_snapshot!(refusal(spec(2, &[(1, 9), (1, 9)], 1, &[])), @r#"can't build the network: categorical column "c1" is named twice"#);
        insta::assert_snapshot!(refusal(spec(2, &[(1, 0)], 1, &[])), @r#"can't build the network: categorical column "c1" has 0 buckets, at least 1 is needed"#);
        insta::assert_snapshot!(refusal(spec(2, &[(1, 9)], 0, &[])), @"can't build the network: embeddings have 0 numbers, at least 1 is needed");
        insta::assert_snapshot!(refusal(spec(2, &[(1, 9)], 1, &[0])), @"can't build the network: hidden layer 1 has width 0, at least 1 is needed");
        insta::assert_snapshot!(refusal(spec(2, &[(1, 10_000_000)], 16, &[4])), @"can't build the network: it would have 170000080 weights, at most 67043328 fit a file: use fewer buckets, shorter embeddings or narrower layers");
        assert!(build_deepfm(&spec(2, &[(0, usize::MAX), (1, usize::MAX)], usize::MAX, &[usize::MAX])).is_err());
    }
}
