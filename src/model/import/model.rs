//! What a file of another library turned out to be.

use std::fmt;

use serde::Serialize;

use super::tree::Forest;

/// Who wrote a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Library {
    #[serde(rename = "LightGBM")]
    LightGbm,
    #[serde(rename = "XGBoost")]
    XgBoost,
    #[serde(rename = "CatBoost")]
    CatBoost,
}

/// A model that was read.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) library: Library,
    /// Of the library or of its format, whichever the file names.
    pub(super) version: String,
    pub(super) objective: String,
    /// What the trees are together, for people.
    pub(super) kind: &'static str,
    /// How many rounds are taken over.
    pub(super) rounds: usize,
    pub(super) rounds_in_file: usize,
    /// What the output is, for people.
    pub(super) output: &'static str,
    /// Of a classifier of several, else 0.
    pub(super) classes: usize,
    /// Whether the names of the features are the user's own, and not made up by the library.
    pub(super) is_named: bool,
    pub(super) forest: Forest,
}

impl fmt::Display for Library {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::LightGbm => "LightGBM",
            Self::XgBoost => "XGBoost",
            Self::CatBoost => "CatBoost",
        })
    }
}
