//! A JSON value that knows where in the file it is.

use serde_json::Value;

use super::error::ImportError;

/// A value and its place, such as `learner.gradient_booster.model.trees[3]`.
#[derive(Debug, Clone)]
pub(super) struct Json<'a> {
    value: &'a Value,
    place: String,
}

/// Reads JSON in which numbers may also be `NaN`, `Infinity` and `-Infinity`, as XGBoost wrote them up to version 2: these
/// become null.
pub(super) fn parse(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text).or_else(|error| serde_json::from_str(&without_words(text)).map_err(|_| error))
}

fn without_words(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    // Between quotes, or not. A quote after a backslash ends nothing.
    let (mut is_text, mut is_escaped) = (false, false);
    let mut letters = text.char_indices();
    while let Some((place, letter)) = letters.next() {
        let rest = text.get(place..).unwrap_or_default();
        let word = ["NaN", "Infinity", "-Infinity"].into_iter().find(|word| !is_text && rest.starts_with(word));
        if let Some(word) = word {
            plain.push_str("null");
            letters.by_ref().take(word.len() - 1).for_each(drop);
            continue;
        }
        is_text ^= letter == '"' && !is_escaped;
        is_escaped = is_text && letter == '\\' && !is_escaped;
        plain.push(letter);
    }
    plain
}

impl<'a> Json<'a> {
    /// The whole file.
    pub(super) fn of(value: &'a Value) -> Self {
        Self { value, place: String::new() }
    }

    /// A member of an object.
    pub(super) fn get(&self, key: &str) -> Result<Self, ImportError> {
        self.find(key).ok_or_else(|| self.broken(format!("there is no {key:?}")))
    }

    /// A member that may be absent; null is absent, too.
    pub(super) fn find(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        let place = if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) };
        Some(Self { value, place })
    }

    /// The items of a list; null is an empty one.
    pub(super) fn items(&self) -> Result<Vec<Self>, ImportError> {
        let item = |(number, value)| Self { value, place: format!("{}[{number}]", self.place) };
        Ok(self.list()?.iter().enumerate().map(item).collect())
    }

    pub(super) fn text(&self) -> Result<&'a str, ImportError> {
        self.value.as_str().ok_or_else(|| self.is_no("text"))
    }

    /// A number, or a text of one, as XGBoost writes its parameters.
    pub(super) fn number(&self) -> Result<f64, ImportError> {
        let number = self.value.as_f64().or_else(|| self.value.as_str()?.parse().ok());
        number.ok_or_else(|| self.is_no("number"))
    }

    /// A whole number from 0 on.
    pub(super) fn count(&self) -> Result<usize, ImportError> {
        let count = self.value.as_u64().or_else(|| self.value.as_str()?.parse().ok());
        count.and_then(|count| usize::try_from(count).ok()).ok_or_else(|| self.is_no("whole number from 0 on"))
    }

    /// A list of numbers.
    pub(super) fn numbers(&self) -> Result<Vec<f64>, ImportError> {
        self.each("number", Value::as_f64)
    }

    /// A list of numbers, of which null is NaN.
    pub(super) fn measures(&self) -> Result<Vec<f64>, ImportError> {
        self.each("number", |value| if value.is_null() { Some(f64::NAN) } else { value.as_f64() })
    }

    /// A list of whole numbers.
    pub(super) fn wholes(&self) -> Result<Vec<i64>, ImportError> {
        self.each("whole number", Value::as_i64)
    }

    /// A list of truth values, which XGBoost also writes as 0 and 1.
    pub(super) fn switches(&self) -> Result<Vec<bool>, ImportError> {
        self.each("true or false", |value| value.as_bool().or_else(|| value.as_i64().map(|number| number != 0)))
    }

    /// A list of texts.
    pub(super) fn texts(&self) -> Result<Vec<&'a str>, ImportError> {
        self.each("text", Value::as_str)
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn broken(&self, reason: impl Into<String>) -> ImportError {
        let place = if self.place.is_empty() { "the file" } else { self.place.as_str() };
        ImportError::Broken { place: place.to_owned(), reason: reason.into() }
    }

    fn each<T>(&self, kind: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Vec<T>, ImportError> {
        let item = |(number, value)| {
            read(value).ok_or_else(|| Self { value, place: format!("{}[{number}]", self.place) }.is_no(kind))
        };
        self.list()?.iter().enumerate().map(item).collect()
    }

    fn list(&self) -> Result<&'a [Value], ImportError> {
        match self.value {
            Value::Array(items) => Ok(items),
            Value::Null => Ok(&[]),
            _ => Err(self.is_no("list")),
        }
    }

    fn is_no(&self, kind: &str) -> ImportError {
        const SHOWN: usize = 40;
        let found: String = self.value.to_string().chars().take(SHOWN).collect();
        self.broken(format!("{found} is no {kind}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_for_numbers_are_null_outside_of_texts() {
        let text = r#"{"NaN \"NaN": [NaN, 1.5, Infinity, -Infinity, -2], "b": "Infinity\\"}"#;
        assert_eq!(parse(text).unwrap(), json!({ "NaN \"NaN": [null, 1.5, null, null, -2], "b": "Infinity\\" }));
        assert!(parse("[NaN").is_err() && parse("[Nan]").is_err());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let file = json!({ "learner": { "trees": [{ "left": [1, 2.5], "name": 7 }], "param": "12" } });
        let learner = Json::of(&file).get("learner").unwrap();
        assert_eq!(learner.get("param").unwrap().count().unwrap(), 12);
        let tree = &learner.get("trees").unwrap().items().unwrap()[0];
        insta::assert_snapshot!(tree.get("left").unwrap().wholes().unwrap_err(), @"learner.trees[0].left[1]: 2.5 is no whole number");
        insta::assert_snapshot!(tree.get("right").unwrap_err(), @r#"learner.trees[0]: there is no "right""#);
        insta::assert_snapshot!(tree.get("name").unwrap().text().unwrap_err(), @"learner.trees[0].name: 7 is no text");
        insta::assert_snapshot!(Json::of(&file).get("version").unwrap_err(), @r#"the file: there is no "version""#);
    }
}
