//! Categories behind their hashes. CatBoost hashes the text of a category, also of a number, and knows nothing else of it;
//! a file that is saved with the training data (`pool=`) has the texts beside the hashes.

use std::collections::HashMap;

use crate::model::import::error::ImportError;
use crate::model::import::json::Json;
use crate::model::import::tree::Coded;

/// The text of each hash.
#[derive(Debug)]
pub(super) struct Hashes(HashMap<u32, String>);

impl Hashes {
    pub(super) fn read(information: &Json<'_>) -> Result<Self, ImportError> {
        let pairs = information.find("cat_features_hash").map_or(Ok(Vec::new()), |pairs| pairs.items())?;
        let mut texts = HashMap::new();
        for pair in pairs {
            texts.insert(pair.get("hash")?.number()? as i64 as u32, pair.get("value")?.text()?.to_owned());
        }
        Ok(Self(texts))
    }

    /// The text of a hash that a split of a feature asks for.
    pub(super) fn text(&self, hash: u32, feature: Option<&String>) -> Result<&str, ImportError> {
        self.0.get(&hash).map(String::as_str).ok_or_else(|| ImportError::Refused {
            what: format!("categorical feature {:?}, of which the file has the hashes of values alone,", feature.map_or("", |name| name)),
            advice: "save the model with its training data: model.save_model(\"model.json\", format=\"json\", pool=pool)",
        })
    }

    /// The categories of these hashes: as numbers where all are whole numbers, as texts where none is, and nothing where a
    /// text is not known, which then no split asks for.
    pub(super) fn coded(&self, hashes: &[u32]) -> Option<Coded> {
        let texts: Vec<String> = hashes.iter().map(|hash| self.0.get(hash).cloned()).collect::<Option<_>>()?;
        let whole = |text: &String| text.parse::<i64>().ok().filter(|number| number.to_string() == *text);
        let numbers: Option<Vec<f64>> = texts.iter().map(|text| whole(text).map(|number| number as f64)).collect();
        match numbers {
            _ if texts.is_empty() => None,
            Some(numbers) => Some(Coded::Numbers(numbers)),
            None => Some(Coded::Texts(texts)),
        }
    }
}
