//! Why a model file of another library is not taken over.

use std::fmt;

use crate::fault::{Judged, Judgement};

/// Why a file could not be imported. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// The content is of no kind that is read.
    #[error(
        "it is no model file that is read here: {found}. LightGBM writes one by booster.save_model(\"model.txt\"), XGBoost by \
         booster.save_model(\"model.json\"), CatBoost by model.save_model(\"model.json\", format=\"json\")"
    )]
    Unknown {
        /// What was looked at.
        found: &'static str,
    },
    /// The file is not as its library writes it.
    #[error("{place}: {reason}")]
    Broken {
        /// Where.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Something that would be scored otherwise than by the library.
    #[error("{what} can't be imported: {advice}")]
    Refused {
        /// What the model has.
        what: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// More trees than a file holds.
    #[error(
        "the trees have {nodes} nodes together, {limit} are possible: train fewer or smaller trees, or take the first ones by --rounds"
    )]
    TooLarge {
        /// Nodes.
        nodes: usize,
        /// At most.
        limit: usize,
    },
    /// Two ways to predict, and no word on which.
    #[error(
        "training stopped early: the file has {rounds} rounds, of which the first {best} were the best. XGBClassifier, XGBRegressor \
         and XGBRanker predict with these, Booster.predict with all: say which by --rounds {best} or --rounds {rounds}"
    )]
    Rounds {
        /// All rounds.
        rounds: usize,
        /// Rounds up to the best one.
        best: usize,
    },
    /// More rounds wanted than there are, or none.
    #[error("--rounds {wanted}: the file has {rounds} rounds, so 1 to {rounds} are possible")]
    NoSuchRounds {
        /// Asked for.
        wanted: usize,
        /// There are.
        rounds: usize,
    },
    /// Names that don't fit.
    #[error("{reason}: give each feature a name, in the order of training, by --columns a,b,c")]
    Columns {
        /// Why.
        reason: String,
    },
    /// The graph does not fit a file.
    #[error(
        "the ONNX file would have {bytes} bytes, {limit} are read: train fewer or smaller trees, or take the first ones by --rounds"
    )]
    FileTooLarge {
        /// Its size.
        bytes: usize,
        /// At most.
        limit: u64,
    },
}

impl Judged for ImportError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Unknown { .. }
            | Self::Broken { .. }
            | Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::Rounds { .. }
            | Self::NoSuchRounds { .. }
            | Self::Columns { .. }
            | Self::FileTooLarge { .. } => Judgement::OPERATOR,
        }
    }
}

/// What is wrong with a part of a file whose place the caller knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Faulty(String);

impl Faulty {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// The error, with the place.
    pub(super) fn at(self, place: impl Into<String>) -> ImportError {
        ImportError::Broken { place: place.into(), reason: self.0 }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
