//! CatBoost's JSON files (`model.save_model("model.json", format="json")`).
//!
//! ```text
//!   features_info.float_features[]         borders, and where NaN goes
//!   features_info.categorical_features[]   of which only the hashes of values are in the file, unless it is saved with its pool
//!   oblivious_trees[] or trees[]           one split for each level, or nodes inside nodes
//!   scale_and_bias                         of the sum
//!   model_info.params.loss_function        what is made of it
//! ```
//!
//! Numbers are rounded to float32 before they are compared. What is missing goes where the feature's `nan_value_treatment` says.
//! Categories are taken where splits ask for one of them (one-hot); statistics of categories (CTR) are not.

mod categories;
mod features;
mod loss;
mod tree;

use serde_json::Value;

use super::Options;
use super::error::ImportError;
use super::json::Json;
use super::model::{Library, Model};
use super::tree::Forest;
use features::Features;
use loss::Loss;

/// Whether a JSON file is one of CatBoost's.
pub(super) fn is_one(file: &Value) -> bool {
    file.get("features_info").is_some()
}

/// Reads a file.
pub(super) fn read(file: &Value, options: &Options) -> Result<Model, ImportError> {
    let file = Json::of(file);
    let information = file.get("features_info")?;
    refuse_statistics(&information)?;
    let (trees, are_oblivious) = match file.find("oblivious_trees") {
        Some(trees) => (trees.items()?, true),
        None => (file.get("trees")?.items()?, false),
    };
    let rounds = options.rounds_of(trees.len(), None)?;
    let [scale, bias] = scale_and_bias(&file)?;
    let scale = scale.first().copied().unwrap_or(1.0);
    let loss = Loss::read(&file)?;
    let targets = bias.len();
    loss.check(&file, targets)?;
    let features = Features::read(&information)?;
    let mut forest = Forest {
        features: Vec::new(),
        trees: Vec::with_capacity(rounds * targets),
        base: bias,
        divisor: 1.0,
        link: loss.link,
        rounds_to_float32: true,
        sums_in_float32: false,
    };
    for tree in trees.iter().take(rounds) {
        let read = if are_oblivious { tree::oblivious } else { tree::nested };
        forest.trees.extend(read(tree, &features, targets, scale)?);
    }
    let is_named = features.are_named();
    forest.features = features.finish();
    Ok(Model {
        library: Library::CatBoost,
        version: version(&file),
        objective: loss.name,
        kind: "the sum of boosted trees",
        rounds,
        rounds_in_file: trees.len(),
        output: loss.output,
        classes: if loss.is_of_classes { targets } else { 0 },
        is_named,
        forest,
    })
}

/// Refuses features that are no numbers or categories by themselves.
fn refuse_statistics(information: &Json<'_>) -> Result<(), ImportError> {
    for (key, what, advice) in [
        (
            "ctrs",
            "statistics of categorical features (CTR)",
            "train with one_hot_max_size above the number of categories of each, and save the model with pool=, or encode \
             categories as numbers before training",
        ),
        ("text_features", "text features", "leave them out, or turn them into numbers before training"),
        ("embedding_features", "embedding features", "leave them out, or give each number a column of its own"),
    ] {
        if information.find(key).map_or(Ok(Vec::new()), |features| features.items())?.is_empty() {
            continue;
        }
        return Err(ImportError::Refused { what: format!("a CatBoost model with {what}"), advice });
    }
    Ok(())
}

/// What the sum is multiplied by, alone, and what is added to each target.
fn scale_and_bias(file: &Json<'_>) -> Result<[Vec<f64>; 2], ImportError> {
    let pair = file.get("scale_and_bias")?;
    match pair.items()?.as_slice() {
        [scale, bias] => {
            let bias = if bias.value().is_number() { vec![bias.number()?] } else { bias.numbers()? };
            if bias.is_empty() {
                return Err(pair.broken("there is no bias"));
            }
            Ok([vec![scale.number()?], bias])
        }
        _ => Err(pair.broken("it is no pair of scale and bias")),
    }
}

/// The version that trained the model, where the file says it.
fn version(file: &Json<'_>) -> String {
    let text = file.find("model_info").and_then(|info| info.find("catboost_version_info"));
    let text = text.and_then(|text| text.text().ok()).unwrap_or_default();
    let release = text.split_once("CatBoost release ").map(|(_, rest)| rest.split_ascii_whitespace().next());
    let branch = || text.split_once("Branch: tags/v").map(|(_, rest)| rest.split_ascii_whitespace().next());
    release.or_else(branch).flatten().unwrap_or("unknown").to_owned()
}
