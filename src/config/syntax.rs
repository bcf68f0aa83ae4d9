//! What makes `pipeline.toml` no TOML: each fault once, and what is left of the text without them.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::problem::Problem;
use super::source::Source;

/// What the parser says of a key or a header that stands there a second time.
const DUPLICATE: &str = "duplicate key";

/// A text with more faults than this is not what was meant to be read.
const MOST_FAULTS: usize = 50;

/// A header `[streams.clicks]` in the text.
struct Header {
    line: Range<usize>,
    names: Vec<String>,
}

/// What makes a text no TOML.
pub(super) fn check(source: &Source) -> Vec<Problem> {
    problems(source, &DeTable::parse_recoverable(&source.text).1)
}

/// Every fault as a problem at its place.
pub(super) fn problems(source: &Source, errors: &[Error]) -> Vec<Problem> {
    let headers = headers(&source.text);
    let mut problems = Vec::new();
    for error in errors {
        match repeated_header(&headers, error) {
            Some(header) => problems.push(repeated(source, header, &headers)),
            None if is_in_repeated(&headers, error, errors) => {}
            None => problems.push(problem(source, error)),
        }
    }
    problems
}

/// The text without its faults, every other byte at its place: lines at fault, and sections that are there twice, are blank.
pub(super) fn without_faults(text: &str) -> String {
    let mut rest = text.to_owned();
    for _ in 0..MOST_FAULTS {
        let (_, errors) = DeTable::parse_recoverable(&rest);
        let headers = headers(&rest);
        let faults = errors.iter().filter_map(|error| match repeated_header(&headers, error) {
            Some(header) => Some(section(&headers, header, rest.len())),
            None => error.span().map(|span| lines(&rest, span)),
        });
        let faults: Vec<_> = faults.collect();
        if faults.is_empty() {
            break;
        }
        for fault in faults {
            let blank =
                |part: &str| part.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect::<String>();
            if let Some(blank) = rest.get(fault.clone()).map(blank) {
                rest.replace_range(fault, &blank);
            }
        }
    }
    rest
}

/// The headers of sections that have lost lines to faults, or that the parser does not come to all the same.
pub(super) fn touched(text: &str, rest: &str, root: &DeTable<'_>) -> Vec<Vec<String>> {
    let headers = headers(text);
    let is_touched = |header: &&Header| {
        let section = section(&headers, header, text.len());
        let is_second =
            || headers.iter().any(|other| other.names == header.names && other.line.start < header.line.start);
        (text.get(section.clone()) != rest.get(section) && !is_second()) || !header.is_in(root)
    };
    headers.iter().filter(is_touched).map(|header| header.names.clone()).collect()
}

impl Header {
    /// Whether the parser has come to it.
    fn is_in(&self, root: &DeTable<'_>) -> bool {
        let mut table = root;
        for (index, name) in self.names.iter().enumerate() {
            match table.get(name.as_str()).map(Spanned::get_ref) {
                Some(DeValue::Table(inner)) => table = inner,
                Some(_) => return index + 1 == self.names.len(),
                None => return false,
            }
        }
        true
    }
}

/// The header that an error is about, if it is one that is there a second time.
fn repeated_header<'h>(headers: &'h [Header], error: &Error) -> Option<&'h Header> {
    let span = error.span().filter(|_| error.message() == DUPLICATE)?;
    headers.iter().find(|header| header.line.contains(&span.start))
}

/// Whether an error is about a key in a section that is there a second time: that says nothing new.
fn is_in_repeated(headers: &[Header], error: &Error, errors: &[Error]) -> bool {
    let Some(span) = error.span().filter(|_| error.message() == DUPLICATE) else { return false };
    let header = headers.iter().rev().find(|header| header.line.start <= span.start);
    header.is_some_and(|header| {
        errors.iter().filter_map(|error| repeated_header(headers, error)).any(|repeated| repeated.line == header.line)
    })
}

fn repeated(source: &Source, header: &Header, headers: &[Header]) -> Problem {
    let name = header.names.join(".");
    let first = headers.iter().find(|other| other.names == header.names).unwrap_or(header);
    let line = source.place(first.line.start).line;
    source
        .problem_at(header.line.clone(), format!("[{name}] is there twice, first in line {line}"))
        .suggest("make one section of both, or give this one another name")
}

fn problem(source: &Source, error: &Error) -> Problem {
    let problem = match error.span() {
        Some(span) => source.problem_at(span, error.message()),
        None => source.problem(error.message()),
    };
    // What the parser says of a word that begins with i or n, such as `name = intent`.
    let is_bare_word = error.message().starts_with("invalid float, expected `");
    problem.suggest_some(is_bare_word.then_some("text is written in quotes"))
}

/// The header and the lines below it.
fn section(headers: &[Header], header: &Header, length: usize) -> Range<usize> {
    let next = headers.iter().find(|other| other.line.start > header.line.start);
    header.line.start..next.map_or(length, |next| next.line.start)
}

/// The lines that a span is in; at a blank one, as at the end of a text that is still open, the last before it that is not.
fn lines(text: &str, span: Range<usize>) -> Range<usize> {
    let [from, to] = [span.start, span.end].map(|index| text.floor_char_boundary(index.min(text.len())));
    let (before, behind) = (text.get(..from).unwrap_or_default(), text.get(to..).unwrap_or_default());
    let mut start = before.rfind('\n').map_or(0, |index| index + 1);
    let end = behind.find('\n').map_or(text.len(), |index| to + index);
    if text.get(start..end).is_none_or(|line| line.trim().is_empty()) {
        let kept = before.trim_end().len();
        start = before.get(..kept).and_then(|before| before.rfind('\n')).map_or(0, |index| index + 1);
    }
    start..end
}

/// The headers of sections, by their lines: also of those that the parser did not come to.
fn headers(text: &str) -> Vec<Header> {
    let mut headers = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let names = line.trim().strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(names, _)| names);
        let is_name = |names: &&str| names.chars().all(|sign| sign.is_alphanumeric() || "._- \"'".contains(sign));
        if let Some(names) = names.filter(is_name) {
            let names = names.split('.').map(|name| name.trim().trim_matches(['"', '\'']).to_owned()).collect();
            headers.push(Header { line: start..end, names });
        }
        start = end;
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> (String, Vec<String>) {
        let source = Source { path: "p.toml".into(), text: text.to_owned() };
        let problems = check(&source)
            .into_iter()
            .map(|problem| format!("{}:{} {}", problem.line.unwrap(), problem.column.unwrap(), problem.message));
        let rest = without_faults(text);
        assert_eq!(rest.len(), text.len());
        let (root, _) = DeTable::parse_recoverable(&rest);
        let touched = touched(text, &rest, root.get_ref());
        (problems.collect::<Vec<_>>().join("\n"), touched.into_iter().map(|names| names.join(".")).collect())
    }

    #[test]
    fn a_section_that_is_there_twice_is_one_problem() {
        let first = "[streams.s]\nid = \"a\"\nkey = \"b\"\n";
        let (problems, touched) = faults(&format!("name = \"a\"\n{first}\n{first}[score]\non = \"c\"\n"));
        assert_eq!(
            (problems.as_str(), touched.as_slice()),
            ("6:1 [streams.s] is there twice, first in line 2", &[][..])
        );
        let (problems, touched) = faults("[streams.s]\nid = \"a\"\nid = \"b\"\n");
        assert_eq!((problems.as_str(), touched), ("3:1 duplicate key", vec!["streams.s".to_owned()]));
    }

    #[test]
    fn a_fault_touches_its_section_and_no_other() {
        let rest = "[streams.s]\nid = \"a\"\n[score]\nservice = \"b.c\"\n";
        assert!(faults(&format!("name = a\n{rest}")).1.is_empty());
        for line in ["graph \"m\"", "graph = \"m", "graph = m", "graph = [1,, 2]", "= 3", "é"] {
            let (problems, touched) = faults(&format!("[model]\n{line}\n{rest}"));
            assert!(!problems.is_empty(), "{line}");
            assert_eq!(touched, ["model"], "{line}");
        }
    }

    #[test]
    fn what_an_open_text_has_swallowed_is_not_taken_for_missing() {
        let rest = "[streams.s]\nid = \"a\"\n[score]\nservice = \"b.c\"\n";
        for line in ["graph = \"\"\"m", "graph = [1,"] {
            let (problems, touched) = faults(&format!("[model]\n{line}\n{rest}"));
            assert!(!problems.is_empty(), "{line}");
            assert!(touched.iter().any(|name| name == "model"), "{line}: {touched:?}");
        }
    }
}
