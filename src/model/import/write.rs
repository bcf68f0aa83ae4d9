//! A forest as an ONNX file.
//!
//! ```text
//!   features float64 [batch, n] ─┬────────────────────────────────────────────────┐
//!   a text   string  [batch, 1] ─┼▶ LabelEncoder: categories to their positions ──┤
//!                                └▶ zeros to NaN, categories to whole numbers ────┴▶ Concat ─▶ TreeEnsemble ─▶ sums
//!   sums float64 [batch, targets] ─▶ mean ─▶ base scores ─▶ sigmoid, softmax, exp … ─▶ float32
//! ```
//!
//! Thresholds, leaves and sums are float64 (`TreeEnsemble` of ai.onnx.ml 5), which holds all that LightGBM compares; what other
//! libraries round to float32 is rounded first. A set of categories is one node (`BRANCH_MEMBER`), and what is missing or no category is a
//! whole number below 0, so that no comparison of a set meets NaN: ONNX Runtime 1.32 takes 2.5 for a member of some sets
//! that have 3.

mod columns;
mod ensemble;
mod link;

use super::error::ImportError;
use super::model::Model;
use super::tree::Coded;
use crate::model::metadata;
use crate::model::onnx::{
    Dimension::{Fixed, Named},
    Document, GraphBuilder, MAX_FILE_BYTES,
    proto::data_type::{DOUBLE, FLOAT, STRING},
};
use columns::Columns;

/// The operator set that has `TreeEnsemble`, and the oldest format that has that set.
const TREES: (&str, i64, i64) = ("ai.onnx.ml", 5, 10);

/// What the output is called.
pub(super) fn output_name(model: &Model) -> &'static str {
    match (model.forest.base.len(), model.classes) {
        (1, _) => "score",
        (_, 0) => "scores",
        _ => "probabilities",
    }
}

/// The file.
pub(super) fn document(model: &Model) -> Result<Vec<u8>, ImportError> {
    let forest = &model.forest;
    let names: Vec<&str> = forest.features.iter().map(|feature| feature.name.as_str()).collect();
    let output = output_name(model);
    check_names(model, &names, output)?;
    let input = input_name(&names);
    let is_text = |feature: &super::tree::Feature| matches!(feature.coded, Some(Coded::Texts(_)));
    let (texts, numbers): (Vec<_>, Vec<_>) = forest.features.iter().partition(|feature| is_text(feature));

    let mut graph = GraphBuilder::new("trees");
    if !numbers.is_empty() {
        graph.input(&input, DOUBLE, &[Named("batch"), Fixed(numbers.len() as u32)]);
    }
    for text in &texts {
        graph.input(&text.name, STRING, &[Named("batch"), Fixed(1)]);
    }
    let columns = Columns::add(&mut graph, forest, &input);
    ensemble::add(&mut graph, forest, &columns, "trees.sums");
    let sums = link::shift(&mut graph, forest, "trees.sums");
    link::add(&mut graph, forest.link, &sums, "trees.output");
    graph.node_with("Cast", &["trees.output"], output, &[("to", i64::from(FLOAT))]);
    graph.output(output, FLOAT, &[Named("batch"), Fixed(forest.base.len() as u32)]);

    let mut document = Document::new(graph.finish());
    document.require(TREES);
    if model.is_named {
        let names: Vec<&str> = numbers.iter().map(|feature| feature.name.as_str()).collect();
        document.set_metadata(metadata::COLUMNS, &names.join(","));
    }
    let bytes = document.write();
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ImportError::FileTooLarge { bytes: bytes.len(), limit: MAX_FILE_BYTES });
    }
    Ok(bytes)
}

/// A name for the matrix that no feature has.
fn input_name(names: &[&str]) -> String {
    let mut name = "features".to_owned();
    while names.contains(&name.as_str()) {
        name.push('_');
    }
    name
}

/// Refuses names that a file could not tell apart.
fn check_names(model: &Model, names: &[&str], output: &str) -> Result<(), ImportError> {
    let refuse = |reason: String| Err(ImportError::Columns { reason });
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    if let Some([name, ..]) = sorted.windows(2).find(|pair| pair.first() == pair.last()) {
        return refuse(format!("two features are called {name:?}"));
    }
    if let Some(name) = names.iter().find(|name| model.is_named && (name.contains(',') || name.is_empty())) {
        return refuse(format!("a feature is called {name:?}, which is no name of a column here"));
    }
    if let Some(name) = names.iter().find(|name| **name == output || name.starts_with("trees.")) {
        return refuse(format!("a feature is called {name:?}, a name that the file needs for itself"));
    }
    Ok(())
}
