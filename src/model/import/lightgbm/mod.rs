//! LightGBM's text files (`booster.save_model("model.txt")`), format v3 and v4.
//!
//! ```text
//!   tree                          ┐
//!   objective=binary sigmoid:1    │ header
//!   feature_names=price views     ┘
//!   Tree=0                        ┐
//!   split_feature=1 0 ...         │ a section for each tree
//!   threshold=3.5 ...             ┘
//!   end of trees
//!   parameters: ...               not needed to predict
//!   pandas_categorical:[["a"]]    the categories of the data frame that was trained on
//! ```
//!
//! Decisions are those of LightGBM 4 (`include/LightGBM/tree.h`, `NumericalDecision` and `CategoricalDecision`): doubles are
//! compared as doubles, and what is missing depends on the split. The last transformation is the objective's `ConvertOutput`
//! (`src/objective/`).

mod objective;
mod sections;
mod tree;

use serde_json::Value;

use super::Options;
use super::error::ImportError;
use super::model::{Library, Model};
use super::tree::{Coded, Feature, Forest};
use objective::Objective;
use sections::{Section, Sections};

/// Formats whose decisions are known.
const VERSIONS: [&str; 2] = ["v3", "v4"];
const MOST_TARGETS: usize = 100_000;

/// Whether a file begins like one of LightGBM's.
pub(super) fn begins(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.trim_end() == "tree")
}

/// Reads a file.
pub(super) fn read(text: &str, options: &Options) -> Result<Model, ImportError> {
    let Sections { header, trees, pandas } = Sections::read(text)?;
    let version = header.text("version")?;
    if !VERSIONS.contains(&version) {
        return Err(ImportError::Refused {
            what: format!("format {version:?} of LightGBM's files"),
            advice: "load the file with LightGBM 4 and save it again",
        });
    }
    let objective = Objective::read(header.optional("objective").unwrap_or_default())?;
    let per_round: usize = header.number("num_tree_per_iteration")?;
    // An objective of one's own may have any number of sums.
    let fits = per_round == objective.classes.max(1) || objective.is_absent && (1..=MOST_TARGETS).contains(&per_round);
    if !fits {
        let reason = format!("num_tree_per_iteration={per_round} does not fit objective={}", objective.text);
        return Err(ImportError::Broken { place: "header".to_owned(), reason });
    }
    check_count(&header, &trees, per_round)?;
    let all = trees.len() / per_round;
    let rounds = options.rounds_of(all, None)?;
    let mut features = features(&header)?;
    code(&mut features, pandas.as_ref())?;

    let mut forest = Forest {
        features: features.into_iter().map(|(feature, _)| feature).collect(),
        trees: Vec::with_capacity(rounds * per_round),
        base: vec![0.0; per_round],
        // Random forests predict the mean, and transform it then.
        divisor: if header.has_word("average_output") { rounds as f64 } else { 1.0 },
        link: objective.link,
        rounds_to_float32: false,
        sums_in_float32: false,
    };
    for (number, section) in trees.iter().take(rounds * per_round).enumerate() {
        forest.trees.push(tree::read(section, number % per_round)?);
    }
    let is_forest = header.has_word("average_output");
    Ok(Model {
        library: Library::LightGbm,
        version: version.to_owned(),
        objective: if objective.is_absent { "none".to_owned() } else { objective.text },
        kind: if is_forest { "the mean of random trees" } else { "the sum of boosted trees" },
        rounds,
        rounds_in_file: all,
        output: objective.output,
        classes: objective.classes,
        is_named: !forest.features.iter().enumerate().all(|(number, one)| one.name == format!("Column_{number}")),
        forest,
    })
}

/// Refuses a file that has lost trees on its way.
fn check_count(header: &Section<'_>, trees: &[Section<'_>], per_round: usize) -> Result<(), ImportError> {
    let expected = header.list::<u64>("tree_sizes")?.len();
    let broken = |reason| Err(ImportError::Broken { place: "header".to_owned(), reason });
    if trees.len() != expected {
        return broken(format!("tree_sizes has {expected} entries, the file has {} trees", trees.len()));
    }
    if trees.is_empty() || !trees.len().is_multiple_of(per_round) {
        return broken(format!("the file has {} trees, {per_round} in each round", trees.len()));
    }
    Ok(())
}

/// The features, and what `feature_infos` says of each: `[0:9]` is a range, `0:1:2` are categories, `none` is never split on.
fn features<'a>(header: &Section<'a>) -> Result<Vec<(Feature, &'a str)>, ImportError> {
    let names: Vec<&str> = header.text("feature_names")?.split(' ').collect();
    let infos: Vec<&str> = header.text("feature_infos")?.split(' ').collect();
    let last: usize = header.number("max_feature_idx")?;
    if names.len() != infos.len() || Some(names.len()) != last.checked_add(1) {
        let (names, infos) = (names.len(), infos.len());
        let reason = format!("feature_names has {names} entries, feature_infos {infos}, and max_feature_idx is {last}");
        return Err(ImportError::Broken { place: "header".to_owned(), reason });
    }
    let feature = |(name, info): (&str, &'a str)| (Feature { name: name.to_owned(), coded: None }, info);
    Ok(names.into_iter().zip(infos).map(feature).collect())
}

/// Tells the features of categories which values they stand for. The file has the lists of the data frame's columns of type
/// `category` without the names of these, in the order of the features. Columns with one category, or none that is worth a
/// split, are `none` in `feature_infos` like any other.
fn code(features: &mut [(Feature, &str)], pandas: Option<&Vec<Vec<Value>>>) -> Result<(), ImportError> {
    let Some(lists) = pandas.filter(|lists| !lists.is_empty()) else { return Ok(()) };
    let of_categories = |info: &str| info != "none" && !info.starts_with('[');
    let count = |wanted: &dyn Fn(&str) -> bool| features.iter().filter(|(_, info)| wanted(info)).count();
    let with_unused = |info: &str| of_categories(info) || info == "none";
    let wanted: &dyn Fn(&str) -> bool = match lists.len() {
        found if found == count(&of_categories) => &of_categories,
        found if found == count(&with_unused) => &with_unused,
        found => {
            return Err(ImportError::Refused {
                what: format!("pandas_categorical with {found} columns beside {} of categories", count(&of_categories)),
                advice: "the file does not say which categories are whose: leave out columns that have one category, or make \
                         whole numbers of the categories before training and name them by categorical_feature",
            });
        }
    };
    for ((feature, info), list) in features.iter_mut().filter(|(_, info)| wanted(info)).zip(lists) {
        let place = || format!("pandas_categorical of {:?}", feature.name);
        let coded = Coded::of(list).map_err(|fault| fault.at(place()))?;
        let codes = info.split(':').filter_map(|code| code.parse::<usize>().ok());
        if let Some(code) = codes.max().filter(|code| *code >= coded.len() && of_categories(info)) {
            return Err(ImportError::Broken {
                place: place(),
                reason: format!("it has {} categories, feature_infos has code {code}", coded.len()),
            });
        }
        feature.coded = Some(coded).filter(|coded| coded.len() > 0);
    }
    Ok(())
}
