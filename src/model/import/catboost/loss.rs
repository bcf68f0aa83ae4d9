//! What CatBoost makes of the sums: what `predict_proba` answers for classes, and `predict` for all else.

use crate::model::import::error::ImportError;
use crate::model::import::json::Json;
use crate::model::import::tree::Link;

/// A loss function by its name.
#[derive(Debug)]
pub(super) struct Loss {
    pub(super) name: String,
    pub(super) link: Link,
    /// What the output is, for people.
    pub(super) output: &'static str,
    /// Whether the sums are those of classes.
    pub(super) is_of_classes: bool,
}

/// Losses whose prediction is the sum.
const AMOUNTS: [&str; 10] =
    ["RMSE", "MAE", "Quantile", "Huber", "Expectile", "MAPE", "Lq", "LogCosh", "MultiRMSE", "MultiQuantile"];
const RANKINGS: [&str; 8] = [
    "YetiRank",
    "YetiRankPairwise",
    "PairLogit",
    "PairLogitPairwise",
    "QueryRMSE",
    "QuerySoftMax",
    "StochasticRank",
    "LambdaMart",
];

impl Loss {
    pub(super) fn read(file: &Json<'_>) -> Result<Self, ImportError> {
        let loss =
            file.find("model_info").and_then(|info| info.find("params")).and_then(|all| all.find("loss_function"));
        let logistic = Link::Logistic { slope: 1.0 };
        let Some(loss) = loss else {
            // Models that were added up have no training to speak of.
            let (name, output) = ("none".to_owned(), "the sum of the trees, as no loss function is in the file");
            return Ok(Self { name, link: Link::Identity, output, is_of_classes: false });
        };
        let name = loss.get("type")?.text()?;
        let (link, output) = match name {
            "Logloss" | "CrossEntropy" => (logistic, "the probability of class 1"),
            "MultiClass" => (Link::Softmax, "the probability of each class"),
            "MultiClassOneVsAll" => (logistic, "a probability for each class by itself: they don't add up to 1"),
            "MultiLogloss" | "MultiCrossEntropy" => (logistic, "the probability of each label"),
            "Poisson" | "Tweedie" => (Link::Exponential, "the expected amount"),
            _ if AMOUNTS.contains(&name) => (Link::Identity, "the expected amount"),
            _ if RANKINGS.contains(&name) => (Link::Identity, "a relevance to rank by"),
            _ => {
                return Err(ImportError::Refused {
                    what: format!("loss function {name}"),
                    advice: "what it makes of the trees is not known here",
                });
            }
        };
        let is_of_classes = name.starts_with("Multi") && !AMOUNTS.contains(&name);
        Ok(Self { name: name.to_owned(), link, output, is_of_classes })
    }

    /// Refuses sums that the loss can't have.
    pub(super) fn check(&self, file: &Json<'_>, targets: usize) -> Result<(), ImportError> {
        let has_several = self.name.starts_with("Multi");
        if self.name == "none" || has_several == (targets > 1) {
            return Ok(());
        }
        Err(file.broken(format!("scale_and_bias has {targets} biases, loss function {} has another number", self.name)))
    }
}
