//! Types of columns that are all text: what every value of a column could be.
//!
//! | type | a value looks like |
//! |---|---|
//! | `Boolean` | `true`, `false`, in any case |
//! | `Int64` | `-17`; no leading zeros (`007` is a code, not a number), within 64 bits |
//! | `Float64` | `1.5`, `2e6`, and integers among them; finite |
//! | `Date32` | `2026-01-31` |
//! | `Timestamp(Microsecond, "+00:00")` | `2026-01-31T12:00:00Z`, with a space for `T`, with another offset, with none for UTC; and dates among them |
//! | `Utf8` | anything else, or a column without values |

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime};
use arrow::datatypes::Date32Type;
use arrow::error::ArrowError;

/// What a value, or all values so far, could be; one bit each.
type Could = u8;

const BOOLEAN: Could = 1;
const INTEGER: Could = 2;
const FLOAT: Could = 4;
const DATE: Could = 8;
const TIME: Could = 16;

/// The column in the narrowest type that all its values are of.
///
/// # Errors
/// When the time-zone database of the Arrow library does not know UTC, which it always does.
pub(super) fn typed(column: StringArray) -> Result<ArrayRef, ArrowError> {
    narrowed(column, BOOLEAN | INTEGER | FLOAT | DATE | TIME)
}

/// The column as dates or times when all its values are.
///
/// # Errors
/// As [`typed`].
pub(super) fn dates_and_times(column: StringArray) -> Result<ArrayRef, ArrowError> {
    narrowed(column, DATE | TIME)
}

fn narrowed(column: StringArray, allowed: Could) -> Result<ArrayRef, ArrowError> {
    let utc: Tz = "+00:00".parse()?;
    let mut could = allowed;
    let mut values = column.iter().flatten().peekable();
    if values.peek().is_none() {
        return Ok(Arc::new(column));
    }
    for value in values {
        could &= looks(value, could, utc);
        if could == 0 {
            return Ok(Arc::new(column));
        }
    }
    let is = |kind: Could| could & kind != 0;
    Ok(if is(BOOLEAN) {
        let values = column.iter().map(|value| value.map(|value| value.eq_ignore_ascii_case("true")));
        Arc::new(values.collect::<BooleanArray>())
    } else if is(INTEGER) {
        Arc::new(column.iter().map(|value| value.and_then(integer)).collect::<Int64Array>())
    } else if is(FLOAT) {
        Arc::new(column.iter().map(|value| value.and_then(float)).collect::<Float64Array>())
    } else if is(DATE) {
        Arc::new(column.iter().map(|value| value.and_then(date)).collect::<Date32Array>())
    } else {
        let times = column.iter().map(|value| value.and_then(|value| micros(value, utc)));
        Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("+00:00"))
    })
}

/// Which of the types in question a value could be of.
fn looks(value: &str, question: Could, utc: Tz) -> Could {
    let asked = |kind: Could| question & kind != 0;
    let mut could = 0;
    if asked(BOOLEAN) && (value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")) {
        could |= BOOLEAN;
    }
    if asked(INTEGER) && integer(value).is_some() {
        could |= INTEGER;
    }
    if asked(FLOAT) && float(value).is_some() {
        could |= FLOAT;
    }
    if asked(DATE) && date(value).is_some() {
        could |= DATE;
    }
    if asked(TIME) && micros(value, utc).is_some() {
        could |= TIME;
    }
    could
}

fn integer(value: &str) -> Option<i64> {
    is_decimal(value).then(|| value.parse().ok()).flatten()
}

/// A finite number; digits alone are one only if they are an integer, so that long codes don't lose their ends.
fn float(value: &str) -> Option<f64> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return integer(value).map(|value| value as f64);
    }
    let starts = digits.bytes().next().is_some_and(|byte| byte.is_ascii_digit() || byte == b'.');
    value.parse().ok().filter(|value: &f64| starts && value.is_finite())
}

/// Digits without leading zeros, perhaps below zero.
fn is_decimal(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value).as_bytes();
    match digits {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn date(value: &str) -> Option<i32> {
    (value.len() == 10 && begins_with_date(value)).then(|| Date32Type::parse(value)).flatten()
}

fn micros(value: &str, utc: Tz) -> Option<i64> {
    if !begins_with_date(value) {
        return None;
    }
    string_to_datetime(&utc, value).ok().map(|time| time.timestamp_micros())
}

/// Whether a text begins like `2026-01-31`, which spares most texts the parser.
fn begins_with_date(value: &str) -> bool {
    let pattern = |(at, byte): (usize, &u8)| if at == 4 || at == 7 { *byte == b'-' } else { byte.is_ascii_digit() };
    value.as_bytes().get(..10).is_some_and(|date| date.iter().enumerate().all(pattern))
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use arrow::datatypes::DataType;
    use arrow::util::display::array_value_to_string;

    use super::*;
    use crate::reference::column_type::time;

    /// The type of a column and its values as text, `-` for NULL.
    fn inferred(values: &[&str]) -> (DataType, String) {
        let column: StringArray = values.iter().map(|value| (*value != "-").then_some(*value)).collect();
        let typed = typed(column).unwrap();
        let shown = (0..typed.len()).map(|row| match typed.is_null(row) {
            true => "-".to_owned(),
            false => array_value_to_string(&typed, row).unwrap(),
        });
        (typed.data_type().clone(), shown.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_column_has_the_narrowest_type_of_all_its_values() {
        let cases: [(&[&str], DataType, &str); 14] = [
            (&["true", "-", "FALSE"], DataType::Boolean, "true - false"),
            (&["1", "-", "-17"], DataType::Int64, "1 - -17"),
            (&["1", "2.5", "1e3", ".5"], DataType::Float64, "1.0 2.5 1000.0 0.5"),
            (&["007", "1"], DataType::Utf8, "007 1"),
            (&["99999999999999999999", "1"], DataType::Utf8, "99999999999999999999 1"),
            (&["9223372036854775807"], DataType::Int64, "9223372036854775807"),
            (&["1.5", "nan"], DataType::Utf8, "1.5 nan"),
            (&["1.5", "1e999"], DataType::Utf8, "1.5 1e999"),
            (&["+1", "1"], DataType::Utf8, "+1 1"),
            (&["2026-01-31", "-", "9999-12-31"], DataType::Date32, "2026-01-31 - 9999-12-31"),
            (&["2026-01-31", "2026-01-31T12:00:00+02:00"], time(), "2026-01-31T00:00:00Z 2026-01-31T10:00:00Z"),
            (&["2026-01-31T12:00:00.000001Z"], time(), "2026-01-31T12:00:00.000001Z"),
            (&["2026-02-30"], DataType::Utf8, "2026-02-30"),
            (&["-", "-"], DataType::Utf8, "- -"),
        ];
        for (values, data_type, shown) in cases {
            assert_eq!(inferred(values), (data_type, shown.to_owned()), "{values:?}");
        }
    }
}
