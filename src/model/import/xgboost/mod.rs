//! XGBoost's files (`booster.save_model("model.json")`, or `.ubj`), as versions 1 to 3 write them.
//!
//! ```text
//!   learner.learner_model_param   base_score, num_class, num_target
//!   learner.objective             what is made of the sums
//!   learner.gradient_booster      name: gbtree, or dart with weights of trees
//!     .model.trees[]              a list for each property of the nodes
//!     .model.tree_info[]          which sum a tree is added to
//!     .model.cats                 the categories of the data frame that was trained on, from 3.1 on
//! ```
//!
//! Numbers are rounded to float32 before they are compared (`src/tree/`, `src/predictor/`). XGBoost adds leaves up in float32;
//! here they are added up in double, so that both differ by that rounding.

mod categories;
mod objective;
mod tree;
mod ubjson;

use serde_json::Value;

use super::Options;
use super::error::ImportError;
use super::json::Json;
use super::model::{Library, Model};
use super::tree::{Feature, Forest};
use objective::Objective;
pub(super) use ubjson::read as read_ubjson;

/// The newest version whose files are known.
const NEWEST: i64 = 3;
const MOST_TARGETS: usize = 100_000;
const MOST_FEATURES: usize = 1_000_000;

/// Whether a JSON file is one of XGBoost's.
pub(super) fn is_one(file: &Value) -> bool {
    file.get("learner").is_some()
}

/// Reads a file.
pub(super) fn read(file: &Value, options: &Options) -> Result<Model, ImportError> {
    let file = Json::of(file);
    let version = file.get("version")?.wholes()?;
    if version.first().is_none_or(|major| !(1..=NEWEST).contains(major)) {
        return Err(ImportError::Refused {
            what: format!("a file of XGBoost {}", dotted(&version)),
            advice: "files of versions 1 to 3 are known: load it with one of these and save it again",
        });
    }
    let learner = file.get("learner")?;
    let (model, weights) = booster(&learner)?;
    let parameters = learner.get("learner_model_param")?;
    let targets = targets(&parameters)?;
    let objective = Objective::read(learner.get("objective")?.get("name")?.text()?)?;
    let trees = model.get("trees")?.items()?;
    let info = model.get("tree_info")?.wholes()?;
    if info.len() != trees.len() {
        return Err(model.broken(format!("tree_info has {} entries for {} trees", info.len(), trees.len())));
    }
    let per_round = model.get("gbtree_model_param")?.find("num_parallel_tree");
    let per_round = per_round.map_or(Ok(1), |count| count.count())?.max(1).saturating_mul(targets);
    if trees.is_empty() || !trees.len().is_multiple_of(per_round) {
        return Err(model.broken(format!("there are {} trees, {per_round} in each round", trees.len())));
    }
    let in_file = trees.len() / per_round;
    let rounds = options.rounds_of(in_file, best(&learner)?)?;
    let (features, is_named) = features(&learner, &parameters, &model)?;
    let mut forest = Forest {
        features,
        trees: Vec::with_capacity(rounds * per_round),
        base: objective.base(&parameters.get("base_score")?, targets)?,
        divisor: 1.0,
        link: objective.link,
        rounds_to_float32: true,
        sums_in_float32: true,
    };
    for (number, (tree, target)) in trees.iter().zip(&info).take(rounds * per_round).enumerate() {
        let target = usize::try_from(*target).map_err(|_| model.broken(format!("tree_info[{number}] is {target}")))?;
        let weight = match &weights {
            Some(weights) => *weights.get(number).ok_or_else(|| {
                model.broken(format!("weight_drop has {} entries for {} trees", weights.len(), trees.len()))
            })?,
            None => 1.0,
        };
        forest.trees.push(tree::read(tree, target, weight)?);
    }
    Ok(Model {
        library: Library::XgBoost,
        version: dotted(&version),
        objective: objective.name,
        kind: if weights.is_some() { "the weighted sum of boosted trees (dart)" } else { "the sum of boosted trees" },
        rounds,
        rounds_in_file: in_file,
        output: objective.output,
        classes: if objective.is_of_classes { targets } else { 0 },
        is_named,
        forest,
    })
}

/// The trees, and the weight of each in a dart model.
fn booster<'a>(learner: &Json<'a>) -> Result<(Json<'a>, Option<Vec<f64>>), ImportError> {
    let booster = learner.get("gradient_booster")?;
    match booster.get("name")?.text()? {
        "gbtree" => Ok((booster.get("model")?, None)),
        "dart" => Ok((booster.get("gbtree")?.get("model")?, Some(booster.get("weight_drop")?.numbers()?))),
        other => Err(ImportError::Refused {
            what: format!("booster {other}"),
            advice: "the boosters of trees are gbtree and dart",
        }),
    }
}

/// How many sums there are.
fn targets(parameters: &Json<'_>) -> Result<usize, ImportError> {
    let of = |key: &str| parameters.find(key).map_or(Ok(1), |count| count.count());
    let targets = of("num_class")?.max(1).saturating_mul(of("num_target")?.max(1));
    if targets > MOST_TARGETS {
        return Err(parameters.broken(format!("{targets} classes and targets")));
    }
    Ok(targets)
}

/// The rounds up to the best one, where training stopped early.
fn best(learner: &Json<'_>) -> Result<Option<usize>, ImportError> {
    let attribute = learner.find("attributes").and_then(|attributes| attributes.find("best_iteration"));
    attribute.map(|best| best.count().map(|best| best.saturating_add(1))).transpose()
}

/// The features, and whether their names are the user's own.
fn features(learner: &Json<'_>, parameters: &Json<'_>, model: &Json<'_>) -> Result<(Vec<Feature>, bool), ImportError> {
    let count = parameters.get("num_feature")?.count()?;
    let names = learner.find("feature_names").map_or(Ok(Vec::new()), |names| names.texts())?;
    if !names.is_empty() && names.len() != count {
        return Err(learner.broken(format!("feature_names has {} entries, num_feature is {count}", names.len())));
    }
    if count == 0 || count > MOST_FEATURES {
        return Err(parameters.broken(format!("num_feature is {count}")));
    }
    let is_named = !names.is_empty() && !names.iter().enumerate().all(|(number, name)| *name == format!("f{number}"));
    let mut features: Vec<Feature> = (0..count)
        .map(|number| Feature {
            name: names.get(number).map_or_else(|| format!("f{number}"), |name| (*name).to_owned()),
            coded: None,
        })
        .collect();
    categories::code(&mut features, model)?;
    Ok((features, is_named))
}

fn dotted(version: &[i64]) -> String {
    version.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}
