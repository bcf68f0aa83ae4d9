//! What is asked of the door, as it comes over the bus.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::QueryError;

/// A question and its form as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A statement whose answer is one message, as SQL.
    Whole(String),
    /// A statement whose answer may be several messages, as JSON: the first of them comes.
    Parts {
        /// The statement.
        sql: String,
        /// How many rows are wanted; all unless given.
        rows: Option<usize>,
    },
    /// The next message of an answer, by what the one before it said.
    More(String),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire {
    Parts(WireParts),
    More(WireMore),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireParts {
    sql: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireMore {
    more: String,
}

impl Question {
    /// Reads a question. No statement begins with a brace.
    ///
    /// # Errors
    /// For bytes that are no text, and for JSON of another form.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, QueryError> {
        let text = std::str::from_utf8(bytes).map_err(|_| QueryError::Question("it is not UTF-8".to_owned()))?;
        if !text.trim_start().starts_with('{') {
            return Ok(Self::Whole(text.to_owned()));
        }
        match serde_json::from_str(text) {
            Ok(Wire::Parts(WireParts { sql, rows })) => Ok(Self::Parts { sql, rows }),
            Ok(Wire::More(WireMore { more })) => Ok(Self::More(more)),
            Err(error) if error.is_data() => Err(QueryError::Question("it has other fields".to_owned())),
            Err(error) => Err(QueryError::Question(error.to_string())),
        }
    }

    /// The question as it goes over the bus.
    ///
    /// # Errors
    /// Never in practice: texts and numbers have a form as JSON.
    pub fn to_bytes(&self) -> Result<Bytes, QueryError> {
        let wire = match self {
            Self::Whole(sql) => return Ok(sql.clone().into()),
            Self::Parts { sql, rows } => Wire::Parts(WireParts { sql: sql.clone(), rows: *rows }),
            Self::More(more) => Wire::More(WireMore { more: more.clone() }),
        };
        let bytes = serde_json::to_vec(&wire).map_err(|error| QueryError::Question(error.to_string()))?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_survives_its_way() {
        for question in [
            Question::Whole("SELECT '{\"sql\": 1}'".to_owned()),
            Question::Parts { sql: "SELECT \"a\" FROM t\n".to_owned(), rows: None },
            Question::Parts { sql: String::new(), rows: Some(10) },
            Question::More("7.1".to_owned()),
        ] {
            let bytes = question.to_bytes().unwrap();
            assert_eq!(Question::parse(&bytes).unwrap(), question);
        }
    }

    #[test]
    fn json_of_another_form_is_refused_with_what_would_be_right() {
        for (bytes, reason) in [
            (&b"{\"sql\": \"SELECT 1\", \"limit\": 3}"[..], "it has other fields"),
            (b" {\"more\": 3}", "it has other fields"),
            (b"{}", "it has other fields"),
            (b"{\"sql\": ", "EOF while parsing a value at line 1 column 8"),
            (b"SELECT '\xff'", "it is not UTF-8"),
        ] {
            let error = Question::parse(bytes).unwrap_err().to_string();
            let expected =
                format!("not a question: {reason}; send SQL, {{\"sql\": \"SELECT ...\"}} or {{\"more\": \"...\"}}");
            assert_eq!(error, expected);
        }
    }
}
