//! What the trees compare: the numbers that the model is given, and columns that are made of them.

use std::collections::HashMap;

use crate::model::import::tree::{Coded, Forest, Reading};
use crate::model::onnx::proto::TensorProto;
use crate::model::onnx::proto::data_type::{DOUBLE, FLOAT};
use crate::model::onnx::{Attribute, GraphBuilder, double_tensor, text_tensor};

/// The largest number whose size LightGBM takes for zero (`kZeroThreshold`): 1e-35 as a float32.
const ZERO: f64 = 1e-35_f32 as f64;
/// What stands for a number that is no category, and for a missing one. No set has them but a set that takes what is missing.
const NO_CATEGORY: f64 = -1.0;
pub(super) const MISSING_CATEGORY: f64 = -2.0;

/// The matrix that the trees look into.
#[derive(Debug)]
pub(super) struct Columns {
    /// Its value in the graph.
    pub(super) matrix: String,
    places: HashMap<(usize, Reading), usize>,
}

impl Columns {
    /// Adds the nodes that make the matrix of the inputs.
    pub(super) fn add(graph: &mut GraphBuilder, forest: &Forest, input: &str) -> Self {
        let (matrix, places, mut width) = given(graph, forest, input);
        let mut all: HashMap<(usize, Reading), usize> = HashMap::new();
        let mut made: Vec<(Reading, Vec<usize>)> = Vec::new();
        for reading in [Reading::ZeroIsMissing, Reading::Category, Reading::CategoryFromZero] {
            let mut features: Vec<usize> =
                forest.splits().filter(|split| split.reading == reading).map(|split| split.feature).collect();
            features.sort_unstable();
            features.dedup();
            if !features.is_empty() {
                all.extend(features.iter().zip(width..).map(|(feature, place)| ((*feature, reading), place)));
                width += features.len();
                made.push((reading, features.iter().filter_map(|feature| places.get(*feature).copied()).collect()));
            }
        }
        all.extend(places.iter().enumerate().map(|(feature, place)| ((feature, Reading::Number), *place)));
        let mut parts = vec![matrix];
        for (reading, from) in &made {
            parts.push(read(graph, *reading, from, &parts[0].clone()));
        }
        Self { matrix: concatenated(graph, &parts, "trees.columns"), places: all }
    }

    /// Where the trees find a feature, as it is read.
    pub(super) fn place(&self, feature: usize, reading: Reading) -> usize {
        self.places.get(&(feature, reading)).copied().unwrap_or_default()
    }
}

/// The numbers of all features side by side, the place of each, and how many columns there are: categories that have positions
/// as these, and rounded where the library rounds.
fn given(graph: &mut GraphBuilder, forest: &Forest, input: &str) -> (String, Vec<usize>, usize) {
    let is_text =
        |feature: usize| matches!(forest.features.get(feature).map(|one| &one.coded), Some(Some(Coded::Texts(_))));
    let mut places = vec![0; forest.features.len()];
    let numbers: Vec<usize> = (0..places.len()).filter(|feature| !is_text(*feature)).collect();
    let mut parts = Vec::new();
    let mut width = numbers.len();
    if !numbers.is_empty() {
        parts.push(if forest.rounds_to_float32 { rounded(graph, input) } else { input.to_owned() });
        numbers.iter().enumerate().for_each(|(place, feature)| places[*feature] = place);
    }
    for (feature, described) in forest.features.iter().enumerate() {
        let Some(coded) = &described.coded else { continue };
        let name = format!("trees.position_{feature}");
        match coded {
            Coded::Texts(texts) => encode(graph, &described.name, &name, text_tensor("keys", texts), texts.len()),
            Coded::Numbers(values) => {
                let (column, count) = (format!("{name}.number"), values.len());
                gather(graph, input, &[places[feature]], &column);
                encode(graph, &column, &name, double_tensor("keys", &[count], values), count);
            }
        }
        parts.push(name);
        places[feature] = width;
        width += 1;
    }
    (concatenated(graph, &parts, "trees.given"), places, width)
}

/// Adds what turns a value into its position among those that are known, else into NaN.
fn encode(graph: &mut GraphBuilder, input: &str, output: &str, keys: TensorProto, count: usize) {
    let positions: Vec<f64> = (0..count).map(|position| position as f64).collect();
    let attributes = [
        ("keys_tensor", Attribute::Tensor(Box::new(keys))),
        ("values_tensor", Attribute::Tensor(Box::new(double_tensor("values", &[count], &positions)))),
        ("default_tensor", Attribute::Tensor(Box::new(double_tensor("default", &[1], &[f64::NAN])))),
    ];
    graph.node_in("ai.onnx.ml", "LabelEncoder", &[input], &[output], &attributes);
}

/// As float32 and back.
fn rounded(graph: &mut GraphBuilder, input: &str) -> String {
    graph.node_with("Cast", &[input], "trees.float32", &[("to", i64::from(FLOAT))]);
    graph.node_with("Cast", &["trees.float32"], "trees.rounded", &[("to", i64::from(DOUBLE))]);
    "trees.rounded".to_owned()
}

/// Adds columns as a reading has them; returns their name.
fn read(graph: &mut GraphBuilder, reading: Reading, from: &[usize], matrix: &str) -> String {
    let name = match reading {
        Reading::Number => return matrix.to_owned(),
        Reading::ZeroIsMissing => "trees.zero",
        Reading::Category => "trees.category",
        Reading::CategoryFromZero => "trees.category_from_zero",
    };
    let of = |step: &str| format!("{name}.{step}");
    gather(graph, matrix, from, &of("raw"));
    if reading == Reading::ZeroIsMissing {
        graph.double_initializer(&of("smallest"), &[], &[ZERO]);
        graph.double_initializer(&of("nan"), &[], &[f64::NAN]);
        graph.node("Abs", &[&of("raw")], &of("size"));
        graph.node("LessOrEqual", &[&of("size"), &of("smallest")], &of("is_zero"));
        graph.node("Where", &[&of("is_zero"), &of("nan"), &of("raw")], name);
        return name.to_owned();
    }
    // What is above -1 is cut off towards 0, or what is at least 0 downwards: the same for both.
    let (operator, bound) = if reading == Reading::Category { ("Greater", -1.0) } else { ("GreaterOrEqual", 0.0) };
    graph.double_initializer(&of("bound"), &[], &[bound]);
    graph.double_initializer(&of("zero"), &[], &[0.0]);
    graph.double_initializer(&of("none"), &[], &[NO_CATEGORY]);
    graph.double_initializer(&of("missing"), &[], &[MISSING_CATEGORY]);
    graph.node(operator, &[&of("raw"), &of("bound")], &of("is_category"));
    graph.node("Max", &[&of("raw"), &of("zero")], &of("from_zero"));
    graph.node("Floor", &[&of("from_zero")], &of("whole"));
    graph.node("Where", &[&of("is_category"), &of("whole"), &of("none")], &of("or_none"));
    graph.node("IsNaN", &[&of("raw")], &of("is_missing"));
    graph.node("Where", &[&of("is_missing"), &of("missing"), &of("or_none")], name);
    name.to_owned()
}

fn gather(graph: &mut GraphBuilder, matrix: &str, columns: &[usize], output: &str) {
    let indices: Vec<i64> = columns.iter().map(|column| *column as i64).collect();
    graph.whole_initializer(&format!("{output}.columns"), &[indices.len()], &indices);
    graph.node_with("Gather", &[matrix, &format!("{output}.columns")], output, &[("axis", 1)]);
}

/// One matrix of several side by side; of one, itself.
fn concatenated(graph: &mut GraphBuilder, parts: &[String], output: &str) -> String {
    match parts {
        [one] => one.clone(),
        parts => {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            graph.node_with("Concat", &parts, output, &[("axis", 1)]);
            output.to_owned()
        }
    }
}
