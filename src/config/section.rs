//! One section of the document as a value, or all that is wrong in it.
//!
//! A deserializer stops at the first bad value. So the entry that it stopped at is cut out of the parsed document, whose
//! other places stay as they are, and the rest is tried again until nothing is left to say.

use std::ops::Range;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::nearest::did_you_mean;
use super::problem::Problem;
use super::schema::{check_section, section_schema};
use super::source::Source;
use super::text;

/// A section with more bad values than this is not what was meant to be read.
const MOST_BAD_VALUES: usize = 50;

/// What became of a section.
#[derive(Debug, PartialEq)]
pub(super) enum Reading<T> {
    Sound(T),
    /// It is wrong in parts, and this is what it says without them.
    Spoilt(T),
    /// It can't be told what it says.
    Faulty,
}

impl<T> Reading<T> {
    /// The section if nothing is wrong in it.
    pub(super) fn sound(self) -> Option<T> {
        if let Self::Sound(section) = self { Some(section) } else { None }
    }
}

/// Reads a section, or a single value, of the document. When anything in it is wrong, at least one problem has been added.
pub(super) fn read<T: DeserializeOwned + JsonSchema>(
    source: &Source,
    section: &Spanned<DeValue<'_>>,
    problems: &mut Vec<Problem>,
) -> Reading<T> {
    let before = problems.len();
    let arrays = check_section(source, &section_schema::<T>(), section.get_ref(), section.span(), problems);
    if arrays.contains(&section.span()) {
        return Reading::Faulty;
    }
    let mut rest = section.clone();
    for array in arrays {
        cut(rest.get_mut(), &array);
    }
    for _ in 0..MOST_BAD_VALUES {
        let error = match T::deserialize(ValueDeserializer::from(rest.clone())) {
            Ok(value) if problems.len() == before => return Reading::Sound(value),
            Ok(value) => return Reading::Spoilt(value),
            Err(error) => error,
        };
        let span = error.span().unwrap_or_else(|| section.span());
        if !is_about_keys(error.message()) {
            problems.push(problem(source, span.clone(), error.message()));
        }
        if !cut(rest.get_mut(), &span) {
            break;
        }
    }
    Reading::Faulty
}

/// Unknown and missing keys have been reported, all of them, from the schema.
fn is_about_keys(message: &str) -> bool {
    message.starts_with("unknown field") || message.starts_with("missing field")
}

fn problem(source: &Source, span: Range<usize>, message: &str) -> Problem {
    let (message, suggestion) = text::split(message);
    let suggestion = suggestion.map(str::to_owned).or_else(|| nearest_variant(message));
    source.problem_at(span, message).suggest_some(suggestion)
}

/// The variant that was meant, from a message such as "unknown variant `a`, expected `b` or `c`".
fn nearest_variant(message: &str) -> Option<String> {
    let mut quoted = message.strip_prefix("unknown variant")?.split('`').skip(1).step_by(2);
    let found = quoted.next()?;
    did_you_mean(found, quoted)
}

/// Removes the innermost entry whose key or value covers the range; false when there is none.
fn cut(value: &mut DeValue<'_>, range: &Range<usize>) -> bool {
    match value {
        DeValue::Table(table) => {
            if table.iter_mut().any(|(_, entry)| cut(entry.get_mut(), range)) {
                return true;
            }
            let entry = table.iter().find(|(key, entry)| covers(&key.span(), range) || covers(&entry.span(), range));
            let Some(key) = entry.map(|(key, _)| key.clone()) else { return false };
            table.remove(&key).is_some()
        }
        DeValue::Array(array) => {
            if array.iter_mut().any(|item| cut(item.get_mut(), range)) {
                return true;
            }
            let kept: Vec<_> = array.iter().filter(|item| !covers(&item.span(), range)).cloned().collect();
            let was_cut = kept.len() < array.len();
            *array = kept.into_iter().collect();
            was_cut
        }
        _ => false,
    }
}

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use toml::de::DeTable;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, expecting = "a table")]
    struct Sample {
        numbers: Vec<u8>,
        text: Option<String>,
        inner: Option<Inner>,
        unit: Option<super::super::stream::TimeUnit>,
    }

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, expecting = "a table")]
    struct Inner {
        flag: bool,
        size: Option<u8>,
    }

    fn read_text(text: &str) -> (Option<Sample>, Vec<String>) {
        let source = Source { path: "s.toml".into(), text: text.to_owned() };
        let root = DeTable::parse(text).unwrap();
        let mut problems = Vec::new();
        let sample = read(&source, root.get_ref().get("sample").unwrap(), &mut problems).sound();
        let lines =
            problems.iter().map(|p| format!("{}:{} {}", p.line.unwrap(), p.column.unwrap(), p.message)).collect();
        (sample, lines)
    }

    #[test]
    fn a_sound_section_is_read_whole() {
        let (sample, problems) = read_text("[sample]\nnumbers = [1, 2]\ninner = { flag = true }\n");
        let inner = Some(Inner { flag: true, size: None });
        assert_eq!(sample, Some(Sample { numbers: vec![1, 2], text: None, inner, unit: None }));
        assert!(problems.is_empty());
    }

    #[test]
    fn every_bad_value_is_found_also_in_arrays_and_inner_tables() {
        let (sample, problems) = read_text(
            "[sample]\nnumbers = [\n  1,\n  \"two\",\n  3,\n  400,\n]\ntext = 5\n\n[sample.inner]\nflag = \"yes\"\nsize = -1\n",
        );
        assert_eq!(sample, None);
        insta::assert_snapshot!(problems.join("\n"), @r#"
        11:8 invalid type: string "yes", expected a boolean
        12:8 invalid value: integer `-1`, expected u8
        4:3 invalid type: string "two", expected u8
        6:3 invalid value: integer `400`, expected u8
        8:8 invalid type: integer `5`, expected a string
        "#);
    }

    #[test]
    fn a_bad_value_over_several_lines_hides_nothing_after_it() {
        let (_, problems) = read_text("[sample]\nnumbers = \"\"\"\n[1]\n\"\"\"\ntext = [\n 1,\n 2,\n]\ninner = 1\n");
        insta::assert_snapshot!(problems.join("\n"), @r#"
        9:9 invalid type: integer `1`, expected a table
        2:11 invalid type: string "[1]\n", expected a sequence
        5:8 invalid type: sequence, expected a string
        "#);
    }

    #[test]
    fn every_unknown_and_missing_key_is_found_once() {
        let (sample, problems) = read_text("[sample]\nnumbrs = [1]\ntex = 1\n\n[sample.inner]\nsise = 1\n");
        assert_eq!(sample, None);
        insta::assert_snapshot!(problems.join("\n"), @"
        2:1 unknown field `numbrs`
        3:1 unknown field `tex`
        6:1 unknown field `sise`
        5:1 missing field `flag`
        ");
    }

    #[test]
    fn what_is_wrong_in_parts_says_the_rest() {
        let read = |text: &str| {
            let source = Source { path: "s.toml".into(), text: text.to_owned() };
            let root = DeTable::parse(text).unwrap();
            read::<Sample>(&source, root.get_ref().get("sample").unwrap(), &mut Vec::new())
        };
        let rest = Sample { numbers: vec![1], text: None, inner: None, unit: None };
        assert_eq!(read("[sample]\nnumbers = [1]\ntext = 5\nunti = 's'\n"), Reading::Spoilt(rest));
        assert_eq!(read("[sample]\ntext = 'needs numbers'\n"), Reading::Faulty);
    }

    #[test]
    fn a_missing_key_does_not_hide_a_bad_value() {
        let (_, problems) = read_text("[sample]\ntext = 1\nunit = 'sec'\n");
        insta::assert_snapshot!(problems.join("\n"), @"
        1:1 missing field `numbers`
        2:8 invalid type: integer `1`, expected a string
        3:8 unknown variant `sec`, expected one of `s`, `ms`, `us`
        ");
    }

    #[test]
    fn what_is_no_table_is_one_problem() {
        let (_, problems) = read_text("sample = 1\n");
        insta::assert_snapshot!(problems.join("\n"), @"1:10 invalid type: integer `1`, expected a table");
    }

    #[test]
    fn an_array_is_not_taken_for_the_fields_in_order() {
        assert_eq!(read_text("sample = [[1]]").1, ["1:10 invalid type: array, expected a table"]);
        let (sample, problems) = read_text("[sample]\nnumbers = [1]\ninner = [true, 1]\n");
        assert_eq!((sample, problems), (None, vec!["3:9 invalid type: array, expected a table".to_owned()]));
        let (_, problems) = read_text("[sample]\nnumbers = [1]\ninner = ['yes']\ntext = 1\n");
        assert_eq!(
            problems,
            ["3:9 invalid type: array, expected a table", "4:8 invalid type: integer `1`, expected a string"]
        );
    }

    #[test]
    fn a_hopeless_section_ends() {
        let items = "\"x\", ".repeat(1_000);
        let (_, problems) = read_text(&format!("[sample]\nnumbers = [{items}]\n"));
        assert_eq!(problems.len(), MOST_BAD_VALUES);
    }

    #[test]
    fn the_nearest_variant_is_suggested() {
        assert_eq!(
            nearest_variant("unknown variant `deadletter`, expected `dead-letter` or `drop`").as_deref(),
            Some("did you mean `dead-letter`?")
        );
        assert_eq!(nearest_variant("unknown variant `x`, expected `dead-letter` or `drop`"), None);
    }
}
