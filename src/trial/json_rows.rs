//! Values that a person wrote, as columns of one row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Schema};
use serde_json::Value;

use super::error::TrialError;

/// The integers that a number with a point can stand for are below this.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Columns of one row.
pub(super) fn one_row(schema: &Schema, values: &BTreeMap<String, Value>) -> Result<Vec<ArrayRef>, TrialError> {
    check_exact(schema, values)?;
    let mut decoder = arrow_json::ReaderBuilder::new(Arc::new(schema.clone())).build_decoder()?;
    decoder.serialize(std::slice::from_ref(values))?;
    let batch = decoder.flush()?.ok_or(TrialError::NoValue)?;
    Ok(batch.columns().to_vec())
}

/// Refuses what would be another integer by the time it is read.
pub(super) fn check_exact(schema: &Schema, values: &BTreeMap<String, Value>) -> Result<(), TrialError> {
    for field in schema.fields() {
        if let Some(value) = values.get(field.name()).filter(|value| !is_exact(field.data_type(), value)) {
            return Err(TrialError::NotExact { column: field.name().clone(), value: value.clone() });
        }
    }
    Ok(())
}

fn is_exact(data_type: &DataType, value: &Value) -> bool {
    match (data_type, value) {
        (DataType::List(item), Value::Array(items)) => items.iter().all(|value| is_exact(item.data_type(), value)),
        (data_type, Value::Number(number)) if data_type.is_integer() => {
            !number.is_f64() || number.as_f64().is_some_and(|number| number.fract() == 0.0 && number.abs() < EXACT)
        }
        (data_type, Value::String(_)) => !data_type.is_integer(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{Field, Int64Type};

    use super::*;

    fn row(text: &str) -> Result<Vec<ArrayRef>, String> {
        let item = Arc::new(Field::new_list_field(DataType::Int64, true));
        let schema =
            Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("ids", DataType::List(item), true)]);
        one_row(&schema, &toml::from_str(text).unwrap()).map_err(|error| error.to_string())
    }

    /// 1.5 was read as the user 1, and 9007199254740993.0 as 9007199254740992.
    #[test]
    fn an_integer_is_exact_or_refused() {
        let columns = row("id = 9223372036854775807\nids = [9007199254740993, 1.0]").unwrap();
        assert_eq!(columns[0].as_primitive::<Int64Type>().value(0), i64::MAX);
        let items = Int64Array::from(vec![(1 << 53) + 1, 1]);
        assert_eq!(columns[1].as_list::<i32>().value(0).as_primitive::<Int64Type>(), &items);
        for text in ["id = 1.5", "id = 9007199254740993.0", "id = '12'", "ids = [1, 2.5]"] {
            assert!(row(text).is_err(), "{text}");
        }
        insta::assert_snapshot!(row("id = 1.5").unwrap_err(), @"`1.5` is no exact value of the integer column `id`: write it in digits, without a point and without quotes");
    }
}
