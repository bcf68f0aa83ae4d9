//! The features of a file: numbers and categories, by their place in what the model is given.

use super::categories::Hashes;
use crate::model::import::error::ImportError;
use crate::model::import::json::Json;
use crate::model::import::tree::{Feature, Reading, Split, Test};

/// What splits refer to.
#[derive(Debug)]
pub(super) struct Features {
    names: Vec<String>,
    numbers: Vec<Number>,
    categories: Vec<Category>,
    hashes: Hashes,
}

#[derive(Debug)]
struct Number {
    index: usize,
    place: usize,
    missing_is_above: bool,
}

#[derive(Debug)]
struct Category {
    index: usize,
    place: usize,
    /// The hashes that splits ask for.
    values: Vec<u32>,
}

impl Features {
    pub(super) fn read(information: &Json<'_>) -> Result<Self, ImportError> {
        let of = |key: &str| information.find(key).map_or(Ok(Vec::new()), |features| features.items());
        let (mut numbers, mut categories, mut named) = (Vec::new(), Vec::new(), Vec::new());
        for feature in of("float_features")? {
            let (index, place) = position(&feature, &mut named)?;
            let missing_is_above = match feature.find("nan_value_treatment").map_or(Ok("AsIs"), |one| one.text())? {
                "AsIs" | "AsFalse" => false,
                "AsTrue" => true,
                other => return Err(feature.broken(format!("nan_value_treatment {other:?} is not known"))),
            };
            numbers.push(Number { index, place, missing_is_above });
        }
        for feature in of("categorical_features")? {
            let (index, place) = position(&feature, &mut named)?;
            let values = feature.find("values").map_or(Ok(Vec::new()), |values| values.wholes())?;
            // A hash is of 32 bits, with or without a sign.
            categories.push(Category { index, place, values: values.into_iter().map(|hash| hash as u32).collect() });
        }
        named.sort();
        if named.is_empty() || !named.iter().map(|(place, _)| *place).eq(0..named.len()) {
            return Err(information.broken("flat_feature_index does not count the features from 0 on"));
        }
        let names = named.into_iter().map(|(_, name)| name).collect();
        Ok(Self { names, numbers, categories, hashes: Hashes::read(information)? })
    }

    /// Whether the names are the user's own, and not their numbers.
    pub(super) fn are_named(&self) -> bool {
        !self.names.iter().enumerate().all(|(number, name)| *name == number.to_string())
    }

    /// A split of a tree; where it leads is still to be said.
    pub(super) fn split(&self, split: &Json<'_>) -> Result<Split, ImportError> {
        let unknown = |index: usize| split.broken(format!("there is no feature {index} of this kind"));
        match split.get("split_type")?.text()? {
            "FloatFeature" => {
                let index = split.get("float_feature_index")?.count()?;
                let number = self.numbers.iter().find(|one| one.index == index).ok_or_else(|| unknown(index))?;
                let border = split.get("border")?.number()? as f32;
                let test = Test::Above(f64::from(border));
                let missing_is_yes = number.missing_is_above;
                Ok(Split { feature: number.place, reading: Reading::Number, test, missing_is_yes, yes: 0, no: 0 })
            }
            "OneHotFeature" => {
                let index = split.get("cat_feature_index")?.count()?;
                let category = self.categories.iter().find(|one| one.index == index).ok_or_else(|| unknown(index))?;
                let hash = split.get("value")?.number()? as i64 as u32;
                let position = category.values.iter().position(|value| *value == hash);
                let position = position.ok_or_else(|| split.broken(format!("feature {index} has no value {hash}")))?;
                // Its text is asked for here, where it is known to be needed.
                self.hashes.text(hash, self.names.get(category.place))?;
                let test = Test::Among(vec![position as u32]);
                let (feature, reading) = (category.place, Reading::CategoryFromZero);
                Ok(Split { feature, reading, test, missing_is_yes: false, yes: 0, no: 0 })
            }
            other => Err(ImportError::Refused {
                what: format!("{}, a split of kind {other},", split.place()),
                advice: "train with one_hot_max_size above the number of categories of each feature",
            }),
        }
    }

    /// The features in the order in which the model is given them.
    pub(super) fn finish(self) -> Vec<Feature> {
        let coded = |place: usize| {
            let category = self.categories.iter().find(|category| category.place == place)?;
            self.hashes.coded(&category.values)
        };
        let coded: Vec<_> = (0..self.names.len()).map(coded).collect();
        self.names.into_iter().zip(coded).map(|(name, coded)| Feature { name, coded }).collect()
    }
}

/// The number of a feature among those of its kind, and its place among all, which is kept with its name.
fn position(feature: &Json<'_>, named: &mut Vec<(usize, String)>) -> Result<(usize, usize), ImportError> {
    let place = feature.get("flat_feature_index")?.count()?;
    let name = feature.find("feature_id").map_or(Ok(""), |name| name.text())?;
    named.push((place, if name.is_empty() { place.to_string() } else { name.to_owned() }));
    Ok((feature.get("feature_index")?.count()?, place))
}
