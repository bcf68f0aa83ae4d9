//! What XGBoost makes of the sums (`PredTransform`), and where they begin (`ProbToMargin` of the base score).

use crate::model::import::error::ImportError;
use crate::model::import::json::Json;
use crate::model::import::tree::Link;

/// An objective by its name.
#[derive(Debug)]
pub(super) struct Objective {
    pub(super) name: String,
    pub(super) link: Link,
    /// What the output is, for people.
    pub(super) output: &'static str,
    /// Whether the sums are those of classes.
    pub(super) is_of_classes: bool,
}

impl Objective {
    pub(super) fn read(name: &str) -> Result<Self, ImportError> {
        let logistic = Link::Logistic { slope: 1.0 };
        let (link, output) = match name {
            "binary:logistic" => (logistic, "the probability of class 1"),
            "reg:logistic" => (logistic, "a share from 0 to 1"),
            "binary:logitraw" => (Link::Identity, "the logit of class 1"),
            "binary:hinge" => (Link::Step, "class 0 or 1"),
            "multi:softprob" => (Link::Softmax, "the probability of each class"),
            "multi:softmax" => (
                Link::Softmax,
                "the probability of each class; the class that predict() answers is the one with the greatest",
            ),
            "reg:squarederror"
            | "reg:linear"
            | "reg:absoluteerror"
            | "reg:pseudohubererror"
            | "reg:squaredlogerror" => (Link::Identity, "the expected amount"),
            "reg:quantileerror" => (Link::Identity, "the quantiles, in the order of quantile_alpha"),
            "count:poisson" | "reg:gamma" | "reg:tweedie" => (Link::Exponential, "the expected amount"),
            "survival:cox" => (Link::Exponential, "the hazard ratio"),
            "survival:aft" => (Link::Exponential, "the expected time"),
            "rank:pairwise" | "rank:ndcg" | "rank:map" => (Link::Identity, "a relevance to rank by"),
            other => {
                return Err(ImportError::Refused {
                    what: format!("objective {other}"),
                    advice: "what it makes of the trees is not known here",
                });
            }
        };
        Ok(Self { name: name.to_owned(), link, output, is_of_classes: name.starts_with("multi:") })
    }

    /// Where the sums begin. The file has the base score as a prediction: a number, or a list from version 3.1 on.
    pub(super) fn base(&self, score: &Json<'_>, targets: usize) -> Result<Vec<f64>, ImportError> {
        let text = score.value().as_str().map_or_else(|| score.value().to_string(), str::to_owned);
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&text);
        let scores: Option<Vec<f32>> = inner.split(',').map(|number| number.trim().parse().ok()).collect();
        let scores = scores.ok_or_else(|| score.broken(format!("{text} is neither a number nor a list of numbers")))?;
        let scores = match scores.as_slice() {
            [one] => vec![*one; targets],
            all if all.len() == targets => all.to_vec(),
            all => return Err(score.broken(format!("it has {} entries for {targets} classes or targets", all.len()))),
        };
        let margins = scores.iter().map(|score| f64::from(self.margin(*score)));
        let margins: Vec<f64> = margins.collect();
        match margins.iter().zip(&scores).find(|(margin, _)| !margin.is_finite()) {
            Some((_, found)) => Err(score.broken(format!("{found} is no prediction of {}", self.name))),
            None => Ok(margins),
        }
    }

    /// In float32, as XGBoost computes it.
    fn margin(&self, score: f32) -> f32 {
        match self.link {
            Link::Logistic { .. } => -(1.0 / score - 1.0).ln(),
            Link::Exponential => score.ln(),
            _ => score,
        }
    }
}
