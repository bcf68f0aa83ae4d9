//! A value that a person expects of a column, and whether it is there. Integers, decimals, texts and truth compare exactly, also
//! in lists; only floating-point numbers have a tolerance.

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How far floating-point numbers may differ from what is expected.
const TOLERANCE: f64 = 1e-6;

/// The integers that a floating-point number can stand for are below this.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Under this name the TOML reader hands a date or time over.
const TOML_TIME: &str = "$__toml_private_datetime";

/// What is expected, as a case has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Integer(i128),
    /// `nan` is also what NULL is written as: TOML has no word for it.
    Float(f64),
    Text(String),
    Boolean(bool),
    List(Vec<Self>),
    Fields(BTreeMap<String, Self>),
}

impl Value {
    /// Whether a row of a column holds it.
    ///
    /// # Errors
    /// When the column can't be read, which is a defect.
    pub(super) fn is_in(&self, column: &ArrayRef, row: usize) -> Result<bool, ArrowError> {
        if column.is_null(row) {
            return Ok(matches!(self, Self::Float(number) if number.is_nan()));
        }
        let data_type = column.data_type();
        Ok(match (self, data_type) {
            (_, DataType::Dictionary(_, values)) => return self.is_in(&cast(&column.slice(row, 1), values)?, 0),
            (Self::Float(_) | Self::Integer(_), DataType::Float16 | DataType::Float32 | DataType::Float64) => {
                let found = cast(&column.slice(row, 1), &DataType::Float64)?;
                self.is_near(found.as_primitive::<Float64Type>().value(0))
            }
            (Self::Integer(wanted), found) if found.is_integer() => {
                array_value_to_string(column, row)?.parse() == Ok(*wanted)
            }
            // 3.0 is 3, as long as a number with a point can tell it from its neighbours.
            (Self::Float(wanted), found) if found.is_integer() => {
                let whole = wanted.fract() == 0.0 && wanted.abs() < EXACT;
                whole && array_value_to_string(column, row)?.parse() == Ok(*wanted as i128)
            }
            (wanted, found) if is_decimal(found) => wanted.is_decimal(&array_value_to_string(column, row)?),
            (Self::Boolean(wanted), DataType::Boolean) => column.as_boolean().value(row) == *wanted,
            (Self::List(wanted), DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)) => {
                let items = items(column, row)?;
                let mut is_same = items.len() == wanted.len();
                for (place, wanted) in wanted.iter().enumerate().take(items.len()) {
                    is_same &= wanted.is_in(&items, place)?;
                }
                is_same
            }
            (Self::Fields(wanted), DataType::Struct(fields)) => {
                let parts = column.as_struct();
                let mut is_same = wanted.len() == fields.len();
                for (name, wanted) in wanted {
                    is_same &= match parts.column_by_name(name) {
                        Some(part) => wanted.is_in(part, row)?,
                        None => false,
                    };
                }
                is_same
            }
            (Self::Fields(wanted), DataType::Map(..)) => {
                let entries = column.as_map().value(row);
                let mut is_same = wanted.len() == entries.len();
                for entry in 0..entries.len() {
                    let key = array_value_to_string(entries.column(0), entry)?;
                    is_same &= match wanted.get(&key) {
                        Some(wanted) => wanted.is_in(entries.column(1), entry)?,
                        None => false,
                    };
                }
                is_same
            }
            (Self::Text(wanted), DataType::Timestamp(..)) => {
                let found = array_value_to_string(column, row)?;
                let moment = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
                found == *wanted || moment(&found).is_some_and(|found| moment(wanted) == Some(found))
            }
            (Self::Text(wanted), found) => {
                let is_text = !(found.is_numeric() || found.is_nested() || *found == DataType::Boolean);
                is_text && array_value_to_string(column, row)? == *wanted
            }
            _ => false,
        })
    }

    fn is_near(&self, found: f64) -> bool {
        let wanted = match *self {
            Self::Integer(wanted) => wanted as f64,
            Self::Float(wanted) => wanted,
            _ => return false,
        };
        if wanted.is_finite() && found.is_finite() {
            return (wanted - found).abs() <= TOLERANCE * wanted.abs().max(1.0);
        }
        wanted == found || (wanted.is_nan() && found.is_nan())
    }

    /// Decimals may also be written as texts, which have all their digits.
    fn is_decimal(&self, found: &str) -> bool {
        let wanted = match self {
            Self::Integer(wanted) => wanted.to_string(),
            Self::Float(wanted) => wanted.to_string(),
            Self::Text(wanted) => wanted.clone(),
            _ => return false,
        };
        let shortest = |text: &str| match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text.to_owned(),
        };
        shortest(&wanted) == shortest(found)
    }
}

fn is_decimal(data_type: &DataType) -> bool {
    use DataType::{Decimal32, Decimal64, Decimal128, Decimal256};
    matches!(data_type, Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..))
}

fn items(column: &ArrayRef, row: usize) -> Result<ArrayRef, ArrowError> {
    let DataType::List(_) = column.data_type() else {
        let item = match column.data_type() {
            DataType::LargeList(item) | DataType::FixedSizeList(item, _) => item.clone(),
            other => return Err(ArrowError::CastError(format!("{other} is no list"))),
        };
        return items(&cast(&column.slice(row, 1), &DataType::List(item))?, 0);
    };
    Ok(column.as_list::<i32>().value(row))
}

/// A value of a column for people.
///
/// # Errors
/// When the column can't be read, which is a defect.
pub(super) fn shown(column: &ArrayRef, row: usize) -> Result<String, ArrowError> {
    match column.data_type() {
        _ if column.is_null(row) => Ok("NULL".to_owned()),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Ok(format!("{:?}", array_value_to_string(column, row)?))
        }
        _ => array_value_to_string(column, row),
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(formatter, "{number}"),
            Self::Float(number) if number.is_nan() => formatter.write_str("NULL or NaN"),
            Self::Float(number) => write!(formatter, "{number:?}"),
            Self::Text(text) => write!(formatter, "{text:?}"),
            Self::Boolean(truth) => write!(formatter, "{truth}"),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::to_string).collect();
                write!(formatter, "[{}]", items.join(", "))
            }
            Self::Fields(fields) => {
                let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                write!(formatter, "{{{}}}", fields.join(", "))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of a column")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((name, value)) = entries.next_entry::<String, Value>()? {
            fields.insert(name, value);
        }
        match fields.remove(TOML_TIME) {
            Some(time) => Ok(time),
            None => Ok(Value::Fields(fields)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array, ListArray, MapBuilder, StringArray,
        StringBuilder, StructArray, TimestampMicrosecondArray, UInt64Array,
    };
    use arrow::datatypes::{Field, Int64Type};

    use super::*;

    fn value(text: &str) -> Value {
        let mut case: BTreeMap<String, Value> = toml::from_str(&format!("x = {text}")).unwrap();
        case.remove("x").unwrap()
    }

    #[track_caller]
    fn check(column: impl Array + 'static, same: &[&str], others: &[&str]) {
        let column: ArrayRef = Arc::new(column);
        for text in same {
            assert!(value(text).is_in(&column, 0).unwrap(), "{text} is {}", shown(&column, 0).unwrap());
        }
        for text in others {
            assert!(!value(text).is_in(&column, 0).unwrap(), "{text} is not {}", shown(&column, 0).unwrap());
        }
    }

    /// 20000020 passed for 20000001: integers were compared as floating-point numbers, up to a millionth.
    #[test]
    fn integers_compare_exactly_up_to_their_ends() {
        let integer = |number: i64| Int64Array::from(vec![number]);
        check(integer(20_000_001), &["20000001", "20000001.0"], &["20000020", "20000000", "20000001.01", "'20000001'"]);
        check(integer((1 << 53) + 1), &["9007199254740993"], &["9007199254740992", "9007199254740993.0"]);
        check(integer(i64::MAX), &["9223372036854775807"], &["9223372036854775806", "9223372036854775807.0", "inf"]);
        check(integer(i64::MIN), &["-9223372036854775808"], &["-9223372036854775807"]);
        let large = UInt64Array::from(vec![u64::MAX]);
        check(large, &["18446744073709551615"], &["18446744073709551614", "-1", "nan"]);
    }

    #[test]
    fn only_floating_point_has_a_tolerance() {
        check(Float64Array::from(vec![0.1 + 0.2]), &["0.3", "0.30000000000000004"], &["0.3001", "'0.3'"]);
        check(Float64Array::from(vec![2.0]), &["2", "2.0"], &["3", "nan", "inf", "true"]);
        check(Float32Array::from(vec![0.1]), &["0.1"], &["0.2"]);
        check(Float64Array::from(vec![f64::INFINITY]), &["inf"], &["-inf", "nan", "1e308"]);
        check(Float64Array::from(vec![f64::NAN]), &["nan"], &["inf", "0.0"]);
        check(Float64Array::from(vec![None]), &["nan"], &["inf", "0.0", "''"]);
        let price = Decimal128Array::from(vec![110]).with_precision_and_scale(10, 2).unwrap();
        check(price, &["1.1", "'1.10'"], &["1.1000001", "1", "'1.11'"]);
    }

    #[test]
    fn texts_and_times_compare_as_they_are() {
        check(BooleanArray::from(vec![true]), &["true"], &["false", "'true'", "1"]);
        check(StringArray::from(vec!["12"]), &["'12'"], &["12", "12.0", "'12 '", "nan"]);
        let at = TimestampMicrosecondArray::from(vec![1_699_920_000_000_000]).with_timezone("+00:00");
        let same = ["2023-11-14T00:00:00Z", "'2023-11-14T00:00:00Z'", "'2023-11-14T01:00:00+01:00'"];
        check(at, &same, &["2023-11-14T00:00:01Z", "'2023-11-14'", "1699920000000000"]);
    }

    #[test]
    fn what_is_in_lists_and_maps_compares_as_it_would_alone() {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(20_000_001), Some(2)])]);
        check(
            lists,
            &["[20000001, 2]"],
            &["'[20000001, 2]'", "[20000020, 2]", "[20000001]", "[20000001, 2, 3]", "[2, 20000001]"],
        );
        let entry = StructArray::from(vec![(
            Arc::new(Field::new("value", DataType::Int64, true)),
            Arc::new(Int64Array::from(vec![20_000_001])) as ArrayRef,
        )]);
        check(entry, &["{ value = 20000001 }"], &["{ value = 20000002 }", "{}", "{ value = 20000001, n = 1 }"]);
        let mut map = MapBuilder::new(None, StringBuilder::new(), arrow::array::Int64Builder::new());
        map.keys().append_value("a");
        map.values().append_value(20_000_001);
        map.append(true).unwrap();
        check(map.finish(), &["{ a = 20000001 }"], &["{ a = 20000002 }", "{ b = 20000001 }", "{}"]);
    }
}
