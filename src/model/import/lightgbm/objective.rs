//! What LightGBM makes of the sums: the `ConvertOutput` of each objective.

use crate::model::import::error::ImportError;
use crate::model::import::tree::Link;

/// The line `objective=` of a file.
#[derive(Debug)]
pub(super) struct Objective {
    pub(super) text: String,
    pub(super) link: Link,
    /// What the output is, for people.
    pub(super) output: &'static str,
    /// Of a classifier of several.
    pub(super) classes: usize,
    /// Whether the file has none: the model was trained with one of the user's own.
    pub(super) is_absent: bool,
}

/// Objectives whose output is the sum, or its signed square with `sqrt`.
const AMOUNTS: [&str; 6] = ["regression", "regression_l1", "huber", "fair", "quantile", "mape"];

impl Objective {
    /// From a name and settings, such as `binary sigmoid:1`.
    pub(super) fn read(text: &str) -> Result<Self, ImportError> {
        let mut words = text.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let (mut slope, mut classes, mut is_root) = (1.0, 0, false);
        for word in words {
            let setting = word.split_once(':');
            let number = setting.and_then(|(_, number)| number.parse::<f64>().ok());
            match (setting.map_or(word, |(key, _)| key), number) {
                ("sigmoid", Some(number)) if number > 0.0 => slope = number,
                ("num_class", Some(number)) if (2.0..=1e6).contains(&number) => classes = number as usize,
                ("sqrt", None) if AMOUNTS.contains(&name) => is_root = true,
                _ => {
                    let reason = format!("{word:?} of objective={text} is not known");
                    return Err(ImportError::Broken { place: "header".to_owned(), reason });
                }
            }
        }
        let is_absent = matches!(name, "" | "none" | "null" | "custom" | "na");
        let (link, output) = match name {
            // With an objective of one's own the file has none: predict() gives the sum.
            _ if is_absent => (Link::Identity, "the sum of the trees, as no objective is in the file"),
            "binary" => (Link::Logistic { slope }, "the probability of class 1"),
            "multiclass" => (Link::Softmax, "the probability of each class"),
            "multiclassova" => {
                (Link::Logistic { slope }, "a probability for each class by itself: they don't add up to 1")
            }
            "cross_entropy" => (Link::Logistic { slope: 1.0 }, "a probability"),
            "cross_entropy_lambda" => (Link::LogOnePlusExp, "the intensity of cross_entropy_lambda, above 0"),
            "poisson" | "gamma" | "tweedie" => (Link::Exponential, "the expected amount"),
            "lambdarank" | "rank_xendcg" => (Link::Identity, "a relevance to rank by"),
            _ if AMOUNTS.contains(&name) => {
                (if is_root { Link::SignedSquare } else { Link::Identity }, "the expected amount")
            }
            _ => {
                return Err(ImportError::Refused {
                    what: format!("objective={text}"),
                    advice: "what it makes of the trees is not known here",
                });
            }
        };
        if matches!(name, "multiclass" | "multiclassova") != (classes > 0) {
            let reason = format!("objective={text} has no num_class, or one that it does not take");
            return Err(ImportError::Broken { place: "header".to_owned(), reason });
        }
        Ok(Self { text: text.to_owned(), link, output, classes, is_absent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_say_what_is_made_of_the_sums() {
        let link = |text| Objective::read(text).unwrap().link;
        assert_eq!(link("binary sigmoid:2.5"), Link::Logistic { slope: 2.5 });
        assert_eq!(link("regression sqrt"), Link::SignedSquare);
        assert_eq!(link("cross_entropy_lambda"), Link::LogOnePlusExp);
        assert_eq!(
            (link("tweedie"), link(""), link("multiclass num_class:3")),
            (Link::Exponential, Link::Identity, Link::Softmax)
        );
    }

    #[test]
    fn an_objective_that_is_not_known_is_refused_and_so_is_a_setting() {
        insta::assert_snapshot!(
            Objective::read("survival").unwrap_err(),
            @"objective=survival can't be imported: what it makes of the trees is not known here"
        );
        for (text, reason) in [
            ("binary sigmoid:-1", "\"sigmoid:-1\" of objective=binary sigmoid:-1 is not known"),
            ("poisson sqrt", "\"sqrt\" of objective=poisson sqrt is not known"),
            ("multiclass", "objective=multiclass has no num_class, or one that it does not take"),
        ] {
            assert_eq!(Objective::read(text).unwrap_err().to_string(), format!("header: {reason}"));
        }
    }
}
