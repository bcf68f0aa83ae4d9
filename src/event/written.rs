//! Numbers that are written as strings: `"12.50"` where a column of numbers is wanted.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};

use super::column::Column;
use super::reject::RejectReason;
use super::scan::Scanner;
use super::token::Number;

/// How a number may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// Whether it is an integer.
    pub(super) is_integer: bool,
    /// Whether it may also be a number as it is.
    pub(super) or_bare: bool,
}

impl Written {
    /// What is asked for, to be read after "expected".
    pub(super) fn expected(self, nullable: bool) -> String {
        let number = if self.is_integer { "an integer" } else { "a number" };
        let bare = if self.or_bare { format!("{number} or ") } else { String::new() };
        format!("{bare}a string that holds {number}{}", if nullable { " or null" } else { "" })
    }

    /// Appends the number that a text holds to the column, if there is one.
    ///
    /// # Errors
    /// Why it holds none.
    pub(super) fn append(self, text: &[u8], column: Option<&mut Column>) -> Result<(), RejectReason> {
        let number = number(text).ok_or(RejectReason::WrongType)?;
        if self.is_integer {
            let value = number.as_i64().ok_or(RejectReason::WrongType)?;
            column.into_iter().for_each(|column| column.push_integer(value));
        } else {
            let value = Some(number.as_f64()).filter(|value| value.is_finite()).ok_or(RejectReason::NotFinite)?;
            column.into_iter().for_each(|column| column.push_number(value));
        }
        Ok(())
    }

    /// A column of texts as one of numbers, null where a text is none.
    pub(super) fn numbers(self, texts: &ArrayRef) -> ArrayRef {
        let texts = texts.as_string::<i32>();
        let read = |row: usize| texts.is_valid(row).then(|| number(texts.value(row).as_bytes())).flatten();
        let numbers = (0..texts.len()).map(read);
        if self.is_integer {
            Arc::new(numbers.map(|number| number?.as_i64()).collect::<Int64Array>())
        } else {
            let finite = numbers.map(|number| number.map(|number| number.as_f64()).filter(|number| number.is_finite()));
            Arc::new(finite.collect::<Float64Array>())
        }
    }
}

/// The number that a whole text is, as JSON writes numbers.
pub(super) fn number(text: &[u8]) -> Option<Number<'_>> {
    let mut scanner = Scanner::new(text);
    // The scanner would pass white space before it.
    text.first().filter(|first| matches!(first, b'-' | b'0'..=b'9'))?;
    scanner.number().ok().filter(|_| scanner.offset() == text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_number_as_a_whole_or_not_at_all() {
        for (text, is_number) in [
            ("12.50", true),
            ("-0", true),
            ("1e3", true),
            ("", false),
            (" 12", false),
            ("12 ", false),
            ("+1", false),
            ("01", false),
            ("1.", false),
            (".5", false),
            ("0x1", false),
            ("1,5", false),
            ("NaN", false),
        ] {
            assert_eq!(number(text.as_bytes()).is_some(), is_number, "{text:?}");
        }
    }
}
