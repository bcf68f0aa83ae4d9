//! The categories of the data frame that a model was trained on, which stand for their positions.

use crate::model::import::error::ImportError;
use crate::model::import::json::Json;
use crate::model::import::tree::{Coded, Feature};

/// Tells the features of categories which values they stand for (`CatContainer::Save` in `src/data/cat_container.cc`). Files of
/// versions before 3.1, and of models that were trained on numbers, have none: the model is then given positions.
pub(super) fn code(features: &mut [Feature], model: &Json<'_>) -> Result<(), ImportError> {
    let Some(lists) = model.find("cats").and_then(|cats| cats.find("enc")) else { return Ok(()) };
    let lists = lists.items()?;
    if !lists.is_empty() && lists.len() != features.len() {
        return Err(model.broken(format!("cats.enc has {} entries for {} features", lists.len(), features.len())));
    }
    for (feature, list) in features.iter_mut().zip(&lists) {
        let values = list.get("values")?;
        let coded = match list.find("offsets") {
            Some(offsets) => Coded::Texts(texts(&feature.name, &values, &offsets)?),
            None => Coded::Numbers(values.numbers()?),
        };
        feature.coded = Some(coded).filter(|coded| coded.len() > 0);
    }
    Ok(())
}

/// Texts one after another, as bytes, and where each begins and the last one ends.
///
/// XGBoost 3.2 counts letters where it should count bytes: of `süd` the last byte is lost, and all that follows is cut at the
/// wrong place, so that it does not know these categories again itself.
fn texts(feature: &str, values: &Json<'_>, offsets: &Json<'_>) -> Result<Vec<String>, ImportError> {
    // Bytes are written as signed numbers.
    let bytes: Vec<u8> = values.wholes()?.into_iter().map(|byte| byte as u8).collect();
    if !bytes.is_ascii() {
        return Err(ImportError::Refused {
            what: format!("feature {feature:?}, whose categories have other letters than those of ASCII,"),
            advice: "XGBoost damages such names when it writes them: give these categories other names before training",
        });
    }
    let offsets = offsets.wholes()?;
    let pairs = offsets.windows(2).map(|pair| match pair {
        [start, end] => usize::try_from(*start).ok()..usize::try_from(*end).ok(),
        _ => None..None,
    });
    let text = |range: std::ops::Range<Option<usize>>| {
        let bytes = bytes.get(range.start?..range.end?)?;
        String::from_utf8(bytes.to_vec()).ok()
    };
    pairs.map(|range| text(range).ok_or_else(|| values.broken("the texts of categories are damaged"))).collect()
}
