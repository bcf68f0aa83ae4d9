//! The types that columns have in Delta, and how a schema differs from the stored one.
//!
//! | Arrow | stored as |
//! |---|---|
//! | `Boolean`, `Int8` to `Int64`, `Float32`, `Float64`, `Date32`, `Decimal128` | the same |
//! | `UInt8`, `UInt16`, `UInt32`, `UInt64` | `Int64`; larger values are refused |
//! | `Float16` | `Float32` |
//! | texts and bytes of any layout, dictionaries | `Utf8`, `Binary`, the values |
//! | times of any unit | microseconds of UTC; a time without a zone is one of UTC |
//! | `Date64` | `Date32` |
//! | lists of any layout, structs | lists, structs of stored types |
//! | anything else | refused |
//!
//! All columns are nullable: whether a plan knows that a value can't be NULL says nothing about the data.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};

use super::error::HistoryError;

/// The type that a column of this type is stored as; `None`: Delta has none.
pub(super) fn stored(found: &DataType) -> Option<DataType> {
    Some(match found {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32
        | DataType::Decimal128(_, _) => found.clone(),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Dictionary(_, values) => stored(values)?,
        DataType::Timestamp(_, _) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Date64 => DataType::Date32,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => {
            // Delta's name of a list's items.
            DataType::List(Arc::new(Field::new("element", stored(item.data_type())?, true)))
        }
        DataType::Struct(fields) => {
            let fields: Option<Vec<Field>> = fields.iter().map(stored_field).collect();
            DataType::Struct(fields?.into())
        }
        _ => return None,
    })
}

fn stored_field(field: &FieldRef) -> Option<Field> {
    Some(Field::new(field.name(), stored(field.data_type())?, true))
}

/// The columns as they are stored.
pub(super) fn stored_schema(table: &str, schema: &Schema) -> Result<SchemaRef, HistoryError> {
    let mut fields: Vec<Field> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        check_name(table, field)?;
        if fields.iter().any(|other| other.name().eq_ignore_ascii_case(field.name())) {
            return Err(HistoryError::RepeatedColumn { table: table.to_owned(), column: field.name().clone() });
        }
        let stored = stored_field(field).ok_or_else(|| HistoryError::ColumnType {
            table: table.to_owned(),
            column: field.name().clone(),
            found: field.data_type().clone(),
        })?;
        fields.push(stored);
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Refuses what the Delta protocol does without column mapping, also within structs.
fn check_name(table: &str, field: &Field) -> Result<(), HistoryError> {
    let name = field.name();
    if name.is_empty() || name.contains([' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '=']) {
        return Err(HistoryError::ColumnName { table: table.to_owned(), column: name.clone() });
    }
    match field.data_type() {
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check_name(table, field)),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => match item.data_type() {
            DataType::Struct(fields) => fields.iter().try_for_each(|field| check_name(table, field)),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The columns in which two schemas differ; their order and nullability don't count.
pub(super) fn differences(expected: &Schema, found: &Schema) -> Vec<String> {
    let gone = expected.fields().iter().filter(|field| found.field_with_name(field.name()).is_err());
    let gone = gone.map(|field| format!("{:?} ({}) is missing", field.name(), field.data_type()));
    let others = found.fields().iter().filter_map(|field| match expected.field_with_name(field.name()) {
        Err(_) => Some(format!("{:?} ({}) is new", field.name(), field.data_type())),
        Ok(was) if !was.data_type().equals_datatype(field.data_type()) => {
            Some(format!("{:?} is {}, not {}", field.name(), field.data_type(), was.data_type()))
        }
        Ok(_) => None,
    });
    gone.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: &[(&str, DataType)]) -> Schema {
        Schema::new(fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), false)).collect::<Vec<_>>())
    }

    #[test]
    fn layouts_and_units_disappear_and_what_delta_lacks_is_refused() {
        let texts = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::LargeUtf8));
        let item = DataType::Struct(vec![Field::new("id", DataType::Utf8View, false)].into());
        let lists = DataType::LargeList(Arc::new(Field::new("item", item, false)));
        let nanos = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let stored = stored_schema("t", &schema(&[("a", texts), ("b", lists), ("c", nanos), ("d", DataType::UInt64)]));
        let item = DataType::Struct(vec![Field::new("id", DataType::Utf8, true)].into());
        let expected = [
            ("a", DataType::Utf8),
            ("b", DataType::List(Arc::new(Field::new("element", item, true)))),
            ("c", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            ("d", DataType::Int64),
        ];
        for (field, (name, kind)) in stored.unwrap().fields().iter().zip(expected) {
            assert_eq!((field.name().as_str(), field.data_type(), field.is_nullable()), (name, &kind, true));
        }
        let error = stored_schema("t", &schema(&[("a", DataType::Duration(TimeUnit::Second))])).unwrap_err();
        insta::assert_snapshot!(error, @r#"column "a" of history table "t" is Duration(s), which Delta does not have: cast it"#);
    }

    #[test]
    fn names_that_need_a_mapping_are_refused_with_what_to_write() {
        let error = stored_schema("t", &schema(&[("count(*)", DataType::Int64)])).unwrap_err();
        insta::assert_snapshot!(error, @r#"column "count(*)" of history table "t" can't have this name: give it one without spaces and ,;{}()=, as in count(*) AS views"#);
        let error = stored_schema("t", &schema(&[("a", DataType::Int64), ("A", DataType::Int64)])).unwrap_err();
        insta::assert_snapshot!(error, @r#"history table "t" has two columns "A", and Delta does not tell upper case from lower case: rename one"#);
    }

    #[test]
    fn differences_name_each_column_once() {
        let expected = schema(&[("a", DataType::Int64), ("b", DataType::Utf8), ("c", DataType::Int64)]);
        let found = schema(&[("c", DataType::Int64), ("d", DataType::Utf8), ("a", DataType::Float64)]);
        let found = differences(&expected, &found);
        assert_eq!(found, ["\"b\" (Utf8) is missing", "\"d\" (Utf8) is new", "\"a\" is Float64, not Int64"]);
    }
}
