//! One thing that is wrong in a pipeline folder, and the list of all of them.

use std::fmt;
use std::path::Path;

use serde::Serialize;

/// Something an operator must mend before the pipeline can run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file or folder, as it was named by the caller.
    pub file: String,
    /// The line, from one, where it is known.
    pub line: Option<usize>,
    /// The character in the line, from one.
    pub column: Option<usize>,
    /// What is wrong, with the value that is.
    pub message: String,
    /// What would be right.
    pub suggestion: Option<String>,
    /// The text of the line.
    #[serde(skip)]
    pub(super) excerpt: Option<String>,
}

impl Problem {
    /// A problem with a file as a whole; [`Source`](super::source::Source) makes those with a place.
    pub fn new(file: &Path, message: impl Into<String>) -> Self {
        let file = file.display().to_string();
        Self { file, line: None, column: None, message: message.into(), suggestion: None, excerpt: None }
    }

    /// The same problem with advice.
    #[must_use]
    pub fn suggest(self, suggestion: impl Into<String>) -> Self {
        Self { suggestion: Some(suggestion.into()), ..self }
    }

    /// The same problem with advice, where there is any.
    #[must_use]
    pub fn suggest_some(self, suggestion: Option<impl Into<String>>) -> Self {
        match suggestion {
            Some(suggestion) => self.suggest(suggestion),
            None => self,
        }
    }

    /// The same problem at a place, with the text of its line.
    pub(super) fn at(self, place: Place, line: Option<&str>) -> Self {
        Self { line: Some(place.line), column: Some(place.column), excerpt: line.map(str::to_owned), ..self }
    }
}

/// A place in a text, as editors count: both from one, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

/// All problems of a folder, at least one, by file and place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Fails when there are problems.
    ///
    /// # Errors
    /// With all of them.
    pub fn check(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self::sorted(problems)) }
    }

    /// The problems in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    fn sorted(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        Self(problems)
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_come_by_file_line_and_column() {
        let at = |file: &str, line, column| Problem::new(Path::new(file), "").at(Place { line, column }, None);
        let whole = Problem::new(Path::new("b"), "");
        let problems = vec![at("b", 10, 1), at("b", 9, 2), at("a", 11, 1), at("b", 9, 1), whole];
        let order: Vec<_> =
            Problems::check(problems).unwrap_err().iter().map(|p| (p.file.clone(), p.line, p.column)).collect();
        let expected = [("a", 11, 1), ("b", 0, 0), ("b", 9, 1), ("b", 9, 2), ("b", 10, 1)]
            .map(|(file, line, column)| (file.to_owned(), (line > 0).then_some(line), (column > 0).then_some(column)));
        assert_eq!(order, expected);
    }

    #[test]
    fn json_has_place_message_and_suggestion_and_no_excerpt() {
        let problem =
            Problem::new(Path::new("a.toml"), "wrong").at(Place { line: 1, column: 2 }, Some("text")).suggest("right");
        insta::assert_snapshot!(
            serde_json::to_string(&Problems::from(problem)).unwrap(),
            @r#"[{"file":"a.toml","line":1,"column":2,"message":"wrong","suggestion":"right"}]"#
        );
    }
}
