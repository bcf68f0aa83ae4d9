//! The normal form of a select: what the fingerprints of saved state are made of.
//!
//! ```text
//!   SELECT User_ID,  -- who          ─▶  select user_id , count ( * ) as "Views" from clicks group by user_id
//!     count(*) AS "Views" ... ;
//! ```
//!
//! It is printed here, of the words that SQL has and not of anybody's plan: another version of the planner leaves it as it
//! is. White space, comments, the case of keywords and plain names, and a semicolon at the end do not count. Every other
//! word does, such as parentheses that change nothing: two texts of one form mean the same, and to take two texts of one
//! meaning for different ones costs a rebuild and no wrong number.

use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::planner::PlanError;

/// Changes when what is printed for a text changes, or what the functions of this program make of it.
pub(crate) const FORM: u32 = 1;

/// A statement in its normal form.
///
/// # Errors
/// When the text is not made of SQL's words.
pub(crate) fn normal_form(sql: &str) -> Result<String, PlanError> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
    let tokens = tokens.map_err(|error| PlanError::new(error.to_string()))?;
    let mut words: Vec<String> = tokens.iter().filter_map(word).collect();
    while words.last().is_some_and(|word| word == ";") {
        words.pop();
    }
    Ok(words.join(" "))
}

/// Columns and their types, in their order.
pub(crate) fn columns_form(schema: &Schema) -> String {
    let column = |field: &arrow::datatypes::FieldRef| {
        let missing = if field.is_nullable() { "?" } else { "" };
        format!("{:?} {}{missing}", field.name(), type_form(field.data_type()))
    };
    schema.fields().iter().map(column).collect::<Vec<_>>().join(", ")
}

/// A token in normal form; none for what does not count.
pub(super) fn word(token: &Token) -> Option<String> {
    Some(match token {
        Token::EOF | Token::Whitespace(_) => return None,
        Token::Word(word) => match word.quote_style {
            // As the planner takes names.
            None => word.value.to_ascii_lowercase(),
            Some(_) => format!("\"{}\"", word.value.replace('"', "\"\"")),
        },
        Token::Number(digits, is_long) => format!("{digits}{}", if *is_long { "L" } else { "" }),
        Token::SingleQuotedString(text) => format!("'{}'", text.replace('\'', "''")),
        Token::SemiColon => ";".to_owned(),
        other => other.to_string(),
    })
}

/// The types of events and of facts by names of our own; others are rare, and as Arrow calls them.
fn type_form(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 => "int8",
        DataType::Int16 => "int16",
        DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::UInt8 => "uint8",
        DataType::UInt16 => "uint16",
        DataType::UInt32 => "uint32",
        DataType::UInt64 => "uint64",
        DataType::Float32 => "float32",
        DataType::Float64 => "float64",
        DataType::Utf8 => "text",
        DataType::LargeUtf8 => "large text",
        DataType::Utf8View => "text view",
        DataType::Binary => "bytes",
        DataType::Date32 => "date",
        DataType::Timestamp(TimeUnit::Microsecond, None) => "microseconds",
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => return format!("microseconds {zone}"),
        DataType::List(item) => return format!("list of {}", type_form(item.data_type())),
        DataType::Struct(fields) => return format!("({})", columns_form(&Schema::new(fields.clone()))),
        other => return other.to_string(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn white_space_comments_case_and_a_last_semicolon_do_not_count() {
        let one = "SELECT user_id, count(*) AS views FROM clicks WHERE kind = 'View' GROUP BY user_id";
        let other = "select User_ID,\n  COUNT( * ) as Views -- how many\nfrom Clicks /* all */\nwhere kind='View' \
            group by USER_ID;\n";
        assert_eq!(normal_form(one).unwrap(), normal_form(other).unwrap());
        assert_eq!(
            normal_form(one).unwrap(),
            "select user_id , count ( * ) as views from clicks where kind = 'View' group by user_id"
        );
    }

    #[test]
    fn whatever_can_change_a_meaning_counts() {
        let texts = [
            "SELECT a FROM t",
            "SELECT \"A\" FROM t",
            "SELECT 'a' FROM t",
            "SELECT 'A' FROM t",
            "SELECT 'it''s' FROM t",
            "SELECT 1 FROM t",
            "SELECT 1.0 FROM t",
            "SELECT a b FROM t",
            "SELECT a, b FROM t",
            "SELECT a > b FROM t",
            "SELECT a >= b FROM t",
            "SELECT (a + b) * c FROM t",
            "SELECT a + b * c FROM t",
            "SELECT a FROM t; SELECT a FROM t",
        ];
        let forms: std::collections::BTreeSet<String> = texts.iter().map(|sql| normal_form(sql).unwrap()).collect();
        assert_eq!(forms.len(), texts.len(), "{forms:?}");
    }

    #[test]
    fn what_is_not_made_of_words_is_refused() {
        assert!(normal_form("SELECT 'a FROM t").is_err());
    }

    #[test]
    fn columns_are_told_by_name_type_and_whether_they_can_be_missing() {
        let tags = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
        let schema = Schema::new(vec![
            Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), false),
            Field::new("tags", tags, true),
        ]);
        assert_eq!(columns_form(&schema), "\"ts\" microseconds +00:00, \"tags\" list of text?");
    }
}
