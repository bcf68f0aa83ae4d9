//! Models of other libraries: their own files become ONNX files that score as these libraries do.
//!
//! ```text
//!   model.txt  ─▶ lightgbm ─┐
//!   model.json ─▶ xgboost  ─┼─▶ Forest: splits, leaves, what is missing ─▶ write ─▶ ONNX: one TreeEnsemble in double
//!   model.json ─▶ catboost ─┘   base scores, what is made of the sums
//! ```
//!
//! The promise: what a file predicts here differs from what its library predicts by the rounding of float32 at most (some
//! 1e-7 of it), for every input that the library takes: numbers that float32 does not hold, NaN, zeros that are missing,
//! categories, also those that were never seen. `docs/models.md` has what was compared. What can't be promised is refused by name.
//!
//! It trains nothing, reads no pickles, and runs no code of these libraries. It fails with an [`ImportError`] that names the
//! place in the file; sizes and depths are bounded before they are trusted.

mod catboost;
mod error;
mod json;
mod lightgbm;
mod model;
mod tree;
mod write;
mod xgboost;

#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::Value;

pub(crate) use error::ImportError;
pub(crate) use model::Library;
use model::Model;
use tree::Coded;

/// What whoever imports a file says beside it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Who wrote the file; told by its content unless given.
    pub(crate) library: Option<Library>,
    /// Only so many of the first rounds of boosting.
    pub(crate) rounds: Option<usize>,
    /// Names for the features, in their order, instead of those in the file.
    pub(crate) columns: Option<Vec<String>>,
}

/// An imported model.
#[derive(Debug)]
pub(crate) struct Imported {
    /// The ONNX file.
    pub(crate) bytes: Vec<u8>,
    pub(crate) about: About,
}

/// What a file has, for people and programs.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct About {
    pub(crate) library: Library,
    pub(crate) version: String,
    pub(crate) objective: String,
    pub(crate) kind: &'static str,
    pub(crate) rounds: usize,
    pub(crate) rounds_in_file: usize,
    pub(crate) trees: usize,
    pub(crate) leaves: usize,
    /// In the order of training.
    pub(crate) features: Vec<AboutFeature>,
    /// Whether a vector with other columns, or in another order, is refused.
    pub(crate) names_are_compared: bool,
    pub(crate) output: AboutOutput,
}

/// What the model is given.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct AboutFeature {
    pub(crate) name: String,
    pub(crate) takes: &'static str,
    /// The values that are known, where it takes categories.
    pub(crate) categories: Option<usize>,
    /// Whether any tree asks for it.
    pub(crate) is_used: bool,
}

/// What the model gives.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct AboutOutput {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    /// Numbers per row.
    pub(crate) width: usize,
    /// How many of them are classes.
    pub(crate) classes: usize,
}

/// Reads a file of another library and makes an ONNX file of it.
///
/// # Errors
/// When it is none that is known, damaged, or would not score as its library does.
pub(crate) fn import(bytes: &[u8], options: &Options) -> Result<Imported, ImportError> {
    let mut model = read(bytes, options)?;
    if let Some(columns) = &options.columns {
        rename(&mut model, columns)?;
    }
    model.forest.check()?;
    let bytes = write::document(&model)?;
    Ok(Imported { bytes, about: about(&model) })
}

fn read(bytes: &[u8], options: &Options) -> Result<Model, ImportError> {
    let unknown = |found| ImportError::Unknown { found };
    let Ok(text) = std::str::from_utf8(bytes) else {
        // Both forms of XGBoost's files begin with an object.
        if bytes.first() == Some(&b'{') {
            return of_json(&xgboost::read_ubjson(bytes)?, options);
        }
        return Err(unknown(binary(bytes)));
    };
    if lightgbm::begins(text) {
        expect(options, Library::LightGbm)?;
        return lightgbm::read(text, options);
    }
    match json::parse(text) {
        Ok(file) => of_json(&file, options),
        // A small file in binary form may be text by chance.
        Err(error) => match xgboost::read_ubjson(bytes) {
            Ok(file) => of_json(&file, options),
            Err(_) if text.trim_start().starts_with('{') => {
                Err(ImportError::Broken { place: "the file".to_owned(), reason: format!("no readable JSON: {error}") })
            }
            Err(_) => Err(unknown("it is a text that is neither LightGBM's nor JSON")),
        },
    }
}

fn of_json(file: &Value, options: &Options) -> Result<Model, ImportError> {
    if xgboost::is_one(file) {
        expect(options, Library::XgBoost)?;
        return xgboost::read(file, options);
    }
    if catboost::is_one(file) {
        expect(options, Library::CatBoost)?;
        return catboost::read(file, options);
    }
    let found = if file.get("tree_info").is_some() && file.get("pandas_categorical").is_some() {
        "it is LightGBM's dump_model(), which leaves out what is needed to predict"
    } else {
        "it is JSON without the \"learner\" of XGBoost or the \"features_info\" of CatBoost"
    };
    Err(ImportError::Unknown { found })
}

/// What a file that is no text looks like.
fn binary(bytes: &[u8]) -> &'static str {
    match bytes {
        [b'C', b'B', b'M', b'1', ..] => "it is CatBoost's own binary form",
        [b'b', b'i', b'n', b'f', ..] => "it is XGBoost's old binary form",
        [0x80, 2..=5, ..] => "it is a Python pickle, which runs code when it is read",
        [b'P', b'K', ..] => "it is a ZIP file",
        _ => "its bytes are no text",
    }
}

/// Refuses a file of another library than was said.
fn expect(options: &Options, found: Library) -> Result<(), ImportError> {
    match options.library {
        Some(said) if said != found => {
            let reason = format!("it is a file of {found}, not of {said}: leave --from out");
            Err(ImportError::Broken { place: "the file".to_owned(), reason })
        }
        _ => Ok(()),
    }
}

fn rename(model: &mut Model, columns: &[String]) -> Result<(), ImportError> {
    let features = &mut model.forest.features;
    if columns.len() != features.len() {
        let reason = format!("--columns has {} names, the model has {} features", columns.len(), features.len());
        return Err(ImportError::Columns { reason });
    }
    for (feature, name) in features.iter_mut().zip(columns) {
        name.clone_into(&mut feature.name);
    }
    model.is_named = true;
    Ok(())
}

fn about(model: &Model) -> About {
    let forest = &model.forest;
    let mut used = vec![false; forest.features.len()];
    for split in forest.splits() {
        if let Some(used) = used.get_mut(split.feature) {
            *used = true;
        }
    }
    let categories = forest.of_categories();
    let features = forest.features.iter().zip(used).zip(categories).map(|((feature, is_used), is_of_categories)| {
        let (takes, categories) = match &feature.coded {
            Some(coded @ Coded::Texts(_)) => ("a text", Some(coded.len())),
            Some(coded @ Coded::Numbers(_)) => ("a number that is a category", Some(coded.len())),
            None if is_of_categories => ("the code of a category, from 0 on", None),
            None => ("a number", None),
        };
        AboutFeature { name: feature.name.clone(), takes, categories, is_used }
    });
    About {
        library: model.library,
        version: model.version.clone(),
        objective: model.objective.clone(),
        kind: model.kind,
        rounds: model.rounds,
        rounds_in_file: model.rounds_in_file,
        trees: forest.trees.len(),
        leaves: forest.trees.iter().map(tree::Tree::leaves).sum(),
        features: features.collect(),
        names_are_compared: model.is_named,
        output: AboutOutput {
            name: write::output_name(model),
            meaning: model.output,
            width: forest.base.len(),
            classes: model.classes,
        },
    }
}

impl Options {
    /// How many rounds are taken of those in a file, of which those up to the best may be what the library predicts with.
    fn rounds_of(&self, rounds: usize, best: Option<usize>) -> Result<usize, ImportError> {
        match (self.rounds, best) {
            (Some(wanted), _) if !(1..=rounds).contains(&wanted) => Err(ImportError::NoSuchRounds { wanted, rounds }),
            (Some(wanted), _) => Ok(wanted),
            (None, Some(best)) if best < rounds => Err(ImportError::Rounds { rounds, best }),
            (None, _) => Ok(rounds),
        }
    }
}
