//! What is wrong with a contract file, in a form that a person can act on.

use std::fmt;

/// One problem of a contract file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractProblem {
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, with the name and value at fault.
    pub message: String,
    /// What to do about it.
    pub suggestion: Option<String>,
}

impl ContractProblem {
    /// A problem at a byte offset of `text`.
    pub(super) fn new(text: &str, offset: usize, message: String, suggestion: Option<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.chars().count() - before.get(..line_start).unwrap_or_default().chars().count() + 1,
            message,
            suggestion,
        }
    }
}

impl fmt::Display for ContractProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; {suggestion}"),
            None => Ok(()),
        }
    }
}

/// "did you mean ...", when one of the known words is at most two edits away.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let nearest = known.into_iter().map(|candidate| (edits(word, candidate), candidate)).min()?;
    (nearest.0 <= 2).then(|| format!("did you mean \"{}\"?", nearest.1))
}

/// Levenshtein distance: insertions, deletions and replacements of characters.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut left = i + 1;
        let mut diagonal = i;
        for (cell, b) in row.iter_mut().skip(1).zip(&to) {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_after_the_last_newline() {
        let text = "{\n  \"é\": x";
        let offset = text.find('x').expect("an x");
        let problem = ContractProblem::new(text, offset, "here".into(), None);
        assert_eq!(problem.to_string(), "2:8: here");
    }

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        assert_eq!(did_you_mean("requird", ["type", "required"]).as_deref(), Some("did you mean \"required\"?"));
        assert_eq!(did_you_mean("allOf", ["type", "required"]), None);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
    }
}
