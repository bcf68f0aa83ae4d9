//! The text of a file, cut into the header and a section for each tree.

use std::collections::HashMap;
use std::str::FromStr;

use serde_json::Value;

use crate::model::import::error::ImportError;

/// A file in parts.
#[derive(Debug)]
pub(super) struct Sections<'a> {
    pub(super) header: Section<'a>,
    pub(super) trees: Vec<Section<'a>>,
    /// The categories of each column of type `category`, where the model was trained on a data frame.
    pub(super) pandas: Option<Vec<Vec<Value>>>,
}

/// Lines of `key=value`, and words alone.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub(super) place: String,
    entries: HashMap<&'a str, &'a str>,
}

impl<'a> Sections<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, ImportError> {
        let mut header = Section { place: "header".to_owned(), entries: HashMap::new() };
        let mut trees: Vec<Section<'a>> = Vec::new();
        let mut lines = text.lines().map(str::trim_end);
        let is_whole = lines.by_ref().any(|line| {
            if let Some(number) = line.strip_prefix("Tree=") {
                trees.push(Section { place: format!("tree {number}"), entries: HashMap::new() });
            } else if line != "end of trees" && !line.is_empty() {
                let (key, value) = line.split_once('=').unwrap_or((line, ""));
                trees.last_mut().unwrap_or(&mut header).entries.insert(key, value);
            }
            line == "end of trees"
        });
        if !is_whole {
            let reason = "there is no line \"end of trees\": the file is cut off".to_owned();
            return Err(ImportError::Broken { place: format!("after {} trees", trees.len()), reason });
        }
        Ok(Self { header, trees, pandas: pandas(lines)? })
    }
}

/// The lists of the line `pandas_categorical:`, the last one.
fn pandas<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Option<Vec<Vec<Value>>>, ImportError> {
    let Some(lists) = lines.filter_map(|line| line.strip_prefix("pandas_categorical:")).last() else { return Ok(None) };
    serde_json::from_str(lists).map_err(|error| ImportError::Broken {
        place: "pandas_categorical".to_owned(),
        reason: format!("it is no list of lists: {error}"),
    })
}

impl<'a> Section<'a> {
    pub(super) fn optional(&self, key: &str) -> Option<&'a str> {
        self.entries.get(key).copied()
    }

    pub(super) fn has_word(&self, word: &str) -> bool {
        self.entries.contains_key(word)
    }

    pub(super) fn text(&self, key: &str) -> Result<&'a str, ImportError> {
        self.optional(key).ok_or_else(|| self.broken(format!("there is no line {key}=")))
    }

    pub(super) fn number<T: FromStr>(&self, key: &str) -> Result<T, ImportError> {
        let text = self.text(key)?;
        text.parse().map_err(|_| self.broken(format!("{key}={text} is no number of its kind")))
    }

    /// The numbers of a line, separated by spaces.
    pub(super) fn list<T: FromStr>(&self, key: &str) -> Result<Vec<T>, ImportError> {
        let parse =
            |text: &str| text.parse().map_err(|_| self.broken(format!("{key} has {text:?}, no number of its kind")));
        self.text(key)?.split_ascii_whitespace().map(parse).collect()
    }

    /// [`list`](Self::list) of so many numbers.
    pub(super) fn exactly<T: FromStr>(&self, key: &str, count: usize) -> Result<Vec<T>, ImportError> {
        let list = self.list(key)?;
        if list.len() == count {
            return Ok(list);
        }
        Err(self.broken(format!("{key} has {} entries, {count} are expected", list.len())))
    }

    pub(super) fn broken(&self, reason: String) -> ImportError {
        ImportError::Broken { place: self.place.clone(), reason }
    }
}
