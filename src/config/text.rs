//! Values that are written as text of a fixed form: how they are read, and how they refuse.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::de::{Deserializer, Error, Visitor};

use super::problem::Problem;
use super::source::Source;

/// Stands between a refusal and its suggestion in the one text that a serde error carries. Values are quoted with their
/// control characters escaped, so no value can contain it.
const SEPARATOR: char = '\n';

/// Why a text is not a value of its kind, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    message: String,
    suggestion: String,
}

impl Refusal {
    /// `message` quotes the text with `{:?}`.
    pub(super) fn new(message: impl Into<String>, suggestion: impl Into<String>) -> Self {
        Self { message: message.into(), suggestion: suggestion.into() }
    }

    /// The same refusal as a problem with a file's name.
    pub(super) fn into_problem_of(self, file: &Path) -> Problem {
        Problem::new(file, self.message).suggest(self.suggestion)
    }

    /// The same refusal as a problem with a range of a file.
    pub(super) fn into_problem(self, source: &Source, span: Range<usize>) -> Problem {
        source.problem_at(span, self.message).suggest(self.suggestion)
    }

    /// The same refusal as an error of a deserializer; [`split`] takes it apart.
    pub(super) fn into_serde<E: Error>(self) -> E {
        E::custom(format_args!("{}{SEPARATOR}{}", self.message, self.suggestion))
    }
}

#[cfg(test)]
impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.message, self.suggestion)
    }
}

/// The message of a deserializer's error, and its suggestion where it was a [`Refusal`].
pub(super) fn split(message: &str) -> (&str, Option<&str>) {
    match message.split_once(SEPARATOR) {
        Some((message, suggestion)) => (message, Some(suggestion)),
        None => (message, None),
    }
}

/// Reads a text and parses it; `expecting` names the kind where the value is no text at all.
pub(super) fn read_text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expecting: &'static str,
    parse: fn(&str) -> Result<T, Refusal>,
) -> Result<T, D::Error> {
    deserializer.deserialize_str(TextVisitor { expecting, parse })
}

struct TextVisitor<T> {
    expecting: &'static str,
    parse: fn(&str) -> Result<T, Refusal>,
}

impl<T> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.expecting)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(Refusal::into_serde)
    }
}

/// A newtype over a text that `$check` has accepted, described by `$pattern` in the JSON Schema.
macro_rules! text_value {
    ($(#[$attribute:meta])* $name:ident, $expecting:literal, $pattern:literal, $check:path) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub(super) fn parse(text: &str) -> Result<Self, $crate::config::text::Refusal> {
                $check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::text::read_text(deserializer, $expecting, Self::parse)
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}
pub(super) use text_value;
