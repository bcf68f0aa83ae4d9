//! Who is asked for, and what is ranked: ids in the types that columns have.

use std::fmt;

/// An id of a person or an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Id {
    /// An integer.
    Whole(i64),
    /// A text.
    Text(Box<str>),
}

impl Id {
    /// The id that a JSON number or string is; `None` for anything else.
    #[must_use]
    pub fn of_json(json: &str) -> Option<Self> {
        if json.starts_with('"') {
            return serde_json::from_str::<String>(json).ok().map(|text| Self::Text(text.into()));
        }
        json.parse().ok().map(Self::Whole)
    }

    /// The bytes that it holds beside itself.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::Whole(_) => 0,
            Self::Text(text) => text.len(),
        }
    }
}

/// As JSON.
impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(formatter),
            Self::Text(text) => formatter.write_str(&serde_json::Value::from(&**text).to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_their_json_says() {
        for (json, id) in [
            ("-5", Id::Whole(-5)),
            ("9223372036854775807", Id::Whole(i64::MAX)),
            (r#""a\"b""#, Id::Text("a\"b".into())),
            (r#""7""#, Id::Text("7".into())),
        ] {
            assert_eq!(Id::of_json(json).as_ref(), Some(&id));
            assert_eq!(id.to_string(), json);
        }
        assert_eq!([Id::of_json("null"), Id::of_json(""), Id::of_json("1.5")], [None, None, None]);
    }
}
