//! What a contract allows as the value of a field: one rule for JSON values and Arrow columns alike.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit as ArrowTimeUnit};

/// The time zone that every timestamp column is in.
pub(super) const UTC: &str = "+00:00";

/// The rule for one field, or for the items of one list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ValueRule {
    pub(super) shape: Shape,
    /// Whether an explicit `null` is a value.
    pub(super) nullable: bool,
}

/// The type of a value and what is allowed within it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Integer(IntegerRule),
    Number(NumberRule),
    Text(TextRule),
    DateTime,
    /// With the values allowed; empty allows both.
    Boolean(Vec<bool>),
    List(ListRule),
}

/// The JSON type of a field, as its contract declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldType {
    /// A 64-bit integer.
    Integer,
    /// A finite 64-bit floating-point number.
    Number,
    /// UTF-8 text.
    Text,
    /// An RFC 3339 time with an offset from UTC, written as a string.
    DateTime,
    /// `true` or `false`.
    Boolean,
    /// A list of scalars of one type.
    List(Box<FieldType>),
}

impl ValueRule {
    pub(super) fn field_type(&self) -> FieldType {
        match &self.shape {
            Shape::Integer(_) => FieldType::Integer,
            Shape::Number(_) => FieldType::Number,
            Shape::Text(_) => FieldType::Text,
            Shape::DateTime => FieldType::DateTime,
            Shape::Boolean(_) => FieldType::Boolean,
            Shape::List(list) => FieldType::List(Box::new(list.item.field_type())),
        }
    }

    /// What the rule asks for, to be read after "expected".
    pub(super) fn expected(&self) -> String {
        let expected = match &self.shape {
            Shape::Integer(rule) => rule.expected(),
            Shape::Number(rule) => rule.expected(),
            Shape::Text(rule) => rule.expected(),
            Shape::DateTime => "a time such as \"2026-01-31T12:00:00Z\"".into(),
            Shape::Boolean(allowed) if allowed.is_empty() => "true or false".into(),
            Shape::Boolean(allowed) => one_of(allowed),
            Shape::List(rule) => rule.expected(),
        };
        if self.nullable { format!("{expected} or null") } else { expected }
    }
}

impl FieldType {
    /// The Arrow type of a column of this type.
    #[must_use]
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Text => DataType::Utf8,
            Self::DateTime => DataType::Timestamp(ArrowTimeUnit::Microsecond, Some(UTC.into())),
            Self::Boolean => DataType::Boolean,
            // Most Arrow writers declare items as nullable; that there are no nulls among them is the rule's business.
            Self::List(item) => DataType::List(Arc::new(Field::new_list_field(item.data_type(), true))),
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer => f.write_str("integer"),
            Self::Number => f.write_str("number"),
            Self::Text => f.write_str("string"),
            Self::DateTime => f.write_str("date-time"),
            Self::Boolean => f.write_str("boolean"),
            Self::List(item) => write!(f, "array of {item}"),
        }
    }
}

/// A range of integers, both ends included, or an enumeration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IntegerRule {
    pub(super) minimum: i64,
    pub(super) maximum: i64,
    /// Empty allows all in the range.
    pub(super) allowed: Vec<i64>,
}

impl Default for IntegerRule {
    /// Any 64-bit integer.
    fn default() -> Self {
        Self { minimum: i64::MIN, maximum: i64::MAX, allowed: Vec::new() }
    }
}

impl IntegerRule {
    #[inline]
    pub(super) fn permits(&self, value: i64) -> bool {
        (self.minimum..=self.maximum).contains(&value) && (self.allowed.is_empty() || self.allowed.contains(&value))
    }

    fn expected(&self) -> String {
        let at_least = (self.minimum != i64::MIN).then(|| format!("of at least {}", self.minimum));
        let at_most = (self.maximum != i64::MAX).then(|| format!("of at most {}", self.maximum));
        if self.allowed.is_empty() { ranged("an integer", at_least, at_most) } else { one_of(&self.allowed) }
    }
}

/// A range of finite numbers, or an enumeration.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct NumberRule {
    pub(super) minimum: Option<Bound>,
    pub(super) maximum: Option<Bound>,
    /// Empty allows all in the range.
    pub(super) allowed: Vec<f64>,
}

/// One end of a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bound {
    pub(super) value: f64,
    pub(super) included: bool,
}

impl NumberRule {
    /// Whether every finite number is allowed, so that a number need not be parsed to be checked.
    #[inline]
    pub(super) fn allows_all(&self) -> bool {
        self.minimum.is_none() && self.maximum.is_none() && self.allowed.is_empty()
    }

    pub(super) fn permits(&self, value: f64) -> bool {
        let above = self.minimum.is_none_or(|low| value > low.value || (low.included && value >= low.value));
        let below = self.maximum.is_none_or(|high| value < high.value || (high.included && value <= high.value));
        above && below && (self.allowed.is_empty() || self.allowed.contains(&value))
    }

    fn expected(&self) -> String {
        let describe = |bound: Bound, included: &str, excluded: &str| {
            format!("{} {}", if bound.included { included } else { excluded }, bound.value)
        };
        let low = self.minimum.map(|bound| describe(bound, "of at least", "above"));
        let high = self.maximum.map(|bound| describe(bound, "of at most", "below"));
        if self.allowed.is_empty() { ranged("a number", low, high) } else { one_of(&self.allowed) }
    }
}

/// A range of lengths in characters, or an enumeration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextRule {
    pub(super) shortest: usize,
    pub(super) longest: usize,
    /// Empty allows all in the range.
    pub(super) allowed: Vec<String>,
}

impl Default for TextRule {
    /// Any string.
    fn default() -> Self {
        Self { shortest: 0, longest: usize::MAX, allowed: Vec::new() }
    }
}

impl TextRule {
    /// Whether every string is allowed, so that its text need not be looked at.
    #[inline]
    pub(super) fn allows_all(&self) -> bool {
        self.shortest == 0 && self.longest == usize::MAX && self.allowed.is_empty()
    }

    /// Whether the UTF-8 text is allowed.
    pub(super) fn permits(&self, text: &[u8]) -> bool {
        if !self.allowed.is_empty() && !self.allowed.iter().any(|allowed| allowed.as_bytes() == text) {
            return false;
        }
        // Bytes are never fewer than characters and at most four per character: counting is seldom needed.
        if text.len() / 4 >= self.shortest && text.len() <= self.longest {
            return true;
        }
        let characters = text.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
        (self.shortest..=self.longest).contains(&characters)
    }

    fn expected(&self) -> String {
        let at_least = (self.shortest > 0).then(|| format!("of at least {}", self.shortest));
        let at_most = (self.longest < usize::MAX).then(|| format!("of at most {}", self.longest));
        if !self.allowed.is_empty() {
            return one_of(&self.allowed);
        }
        let unit = if at_least.is_some() || at_most.is_some() { " characters" } else { "" };
        ranged("a string", at_least, at_most) + unit
    }
}

/// A range of lengths in items, and the rule for each item.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ListRule {
    pub(super) item: Box<ValueRule>,
    pub(super) shortest: usize,
    pub(super) longest: usize,
}

impl ListRule {
    pub(super) fn permits(&self, items: usize) -> bool {
        (self.shortest..=self.longest).contains(&items)
    }

    fn expected(&self) -> String {
        let at_least = (self.shortest > 0).then(|| format!("of at least {}", self.shortest));
        let at_most = (self.longest < usize::MAX).then(|| format!("of at most {}", self.longest));
        let unit = if at_least.is_some() || at_most.is_some() { " items" } else { "" };
        ranged(&format!("an array of {}", self.item.field_type()), at_least, at_most) + unit
    }
}

fn ranged(what: &str, low: Option<String>, high: Option<String>) -> String {
    match (low, high) {
        (None, None) => what.into(),
        (Some(only), None) | (None, Some(only)) => format!("{what} {only}"),
        (Some(low), Some(high)) => format!("{what} {low} and {high}"),
    }
}

/// "one of 1, 2, 3", cut short when there are many.
fn one_of<T: fmt::Debug>(allowed: &[T]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<_> = allowed.iter().take(SHOWN).map(|value| format!("{value:?}")).collect();
    match (shown.as_slice(), allowed.len().saturating_sub(SHOWN)) {
        ([only], _) => only.clone(),
        (_, 0) => format!("one of {}", shown.join(", ")),
        (_, more) => format!("one of {} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_characters_not_bytes() {
        let rule = TextRule { shortest: 2, longest: 3, ..TextRule::default() };
        for (text, permitted) in
            [("a", false), ("é", false), ("éé", true), ("日本語", true), ("日本語だ", false), ("abcd", false)]
        {
            assert_eq!(rule.permits(text.as_bytes()), permitted, "{text}");
        }
    }

    #[test]
    fn excluded_bounds_exclude_only_themselves() {
        let rule = NumberRule {
            minimum: Some(Bound { value: 0.0, included: false }),
            maximum: Some(Bound { value: 1.0, included: true }),
            allowed: Vec::new(),
        };
        for (value, permitted) in
            [(0.0, false), (f64::MIN_POSITIVE, true), (1.0, true), (1.5, false), (f64::NAN, false)]
        {
            assert_eq!(rule.permits(value), permitted, "{value}");
        }
    }

    #[test]
    fn expectations_read_as_sentences() {
        let rule = |shape, nullable| ValueRule { shape, nullable };
        let integer = |minimum, maximum, allowed| Shape::Integer(IntegerRule { minimum, maximum, allowed });
        assert_eq!(rule(integer(1, 5, vec![]), false).expected(), "an integer of at least 1 and of at most 5");
        assert_eq!(rule(integer(i64::MIN, i64::MAX, vec![1, 2]), true).expected(), "one of 1, 2 or null");
        let text = Shape::Text(TextRule { longest: 64, ..TextRule::default() });
        let list = Shape::List(ListRule { item: Box::new(rule(text, false)), shortest: 1, longest: usize::MAX });
        assert_eq!(rule(list, false).expected(), "an array of string of at least 1 items");
    }
}
