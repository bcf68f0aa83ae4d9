//! The kinds of property that a contract can have, and the keywords that each of them takes.

use super::document::Value;
use crate::event::written::Written;

const RANGE: [&str; 4] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];
const LENGTH: [&str; 2] = ["minLength", "maxLength"];
const ITEMS: [&str; 3] = ["items", "minItems", "maxItems"];
const CHOICE: [&str; 2] = ["enum", "const"];
const MEMBERS: [&str; 9] =
    ["properties", "required", "additionalProperties", "oneOf", "anyOf", "allOf", "if", "then", "else"];
const CONTENT: [&str; 2] = ["contentMediaType", "contentSchema"];
/// The name of the column, a keyword of this program's own.
const COLUMN: &str = "x-column";

/// What a property's `type` and `format` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Number,
    Text,
    DateTime,
    Boolean,
    List,
    Object,
    /// A string that holds a number.
    Written(Written),
    /// A string that holds the JSON of an object.
    ObjectText,
}

impl Kind {
    pub(super) fn from_type(name: &str) -> Option<Self> {
        match name {
            "integer" => Some(Self::Integer),
            "number" => Some(Self::Number),
            "string" => Some(Self::Text),
            "boolean" => Some(Self::Boolean),
            "array" => Some(Self::List),
            "object" => Some(Self::Object),
            _ => None,
        }
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::DateTime => "a date-time",
            Self::Boolean => "a boolean",
            Self::List => "an array",
            Self::Object => "an object",
            Self::Written(_) => "a string that holds a number",
            Self::ObjectText => "a string that holds JSON",
        }
    }

    pub(super) fn takes(self, keyword: &str) -> bool {
        let choice = CHOICE.contains(&keyword);
        if keyword == "nullable" || (keyword == COLUMN && !matches!(self, Self::Object | Self::ObjectText)) {
            return true;
        }
        match self {
            Self::Integer | Self::Number => choice || RANGE.contains(&keyword) || keyword == "format",
            Self::Text => choice || LENGTH.contains(&keyword) || keyword == "format",
            Self::DateTime | Self::Written(_) => keyword == "format",
            Self::ObjectText => CONTENT.contains(&keyword),
            Self::Boolean => choice,
            Self::List => ITEMS.contains(&keyword),
            Self::Object => MEMBERS.contains(&keyword),
        }
    }

    /// The formats that a column of this kind has by itself.
    pub(super) fn formats(self) -> &'static [&'static str] {
        match self {
            Self::Integer => &["int64"],
            Self::Number => &["double"],
            Self::DateTime => &["date-time"],
            Self::Written(written) if written.is_integer => &["int64"],
            Self::Written(_) => &["decimal", "double"],
            _ => &[],
        }
    }

    /// Whether a value is of this kind.
    pub(super) fn holds(self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Integer, Value::Number(number)) => number.as_i64().is_some(),
            (Self::Number, Value::Number(number)) => number.is_finite(),
            (Self::Text, Value::Text(_)) | (Self::Boolean, Value::Boolean(_)) => true,
            _ => false,
        }
    }
}

/// Every keyword that some kind of property takes.
pub(super) fn keywords() -> impl Iterator<Item = &'static str> {
    ["type", "format"]
        .into_iter()
        .chain(RANGE)
        .chain(LENGTH)
        .chain(ITEMS)
        .chain(CHOICE)
        .chain(MEMBERS)
        .chain(CONTENT)
        .chain([COLUMN, "nullable"])
}
