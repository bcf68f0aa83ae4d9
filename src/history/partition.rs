//! The partition column: the date (UTC) of a row, given by it or made of the start of its window.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Field, Schema, SchemaRef, TimestampMicrosecondType};

use super::error::HistoryError;

/// The partition column's name.
pub(super) const DATE: &str = "date";

/// What the date is made of when rows don't have it.
const WINDOW_START: &str = "window_start";

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The columns of a table with the date as the last one.
pub(super) fn with_date(table: &str, stored: &SchemaRef) -> Result<SchemaRef, HistoryError> {
    let kind = |name: &str| stored.field_with_name(name).ok().map(|field| field.data_type().clone());
    match (kind(DATE), kind(WINDOW_START)) {
        (Some(DataType::Date32), _) | (None, Some(DataType::Timestamp(_, _))) => {}
        (Some(found), _) => return Err(HistoryError::DateType { table: table.to_owned(), found }),
        (None, _) => return Err(HistoryError::NoDate { table: table.to_owned() }),
    }
    let others = stored.fields().iter().filter(|field| field.name() != DATE).cloned();
    let date = Arc::new(Field::new(DATE, DataType::Date32, true));
    Ok(Arc::new(Schema::new(others.chain([date]).collect::<Vec<_>>())))
}

/// The dates of rows of stored types.
pub(super) fn dates(rows: &RecordBatch) -> ArrayRef {
    if let Some(given) = rows.column_by_name(DATE) {
        return Arc::clone(given);
    }
    let starts = rows.column_by_name(WINDOW_START);
    let days = match starts.and_then(|starts| starts.as_primitive_opt::<TimestampMicrosecondType>()) {
        // Any microsecond of 64 bits is of a day of 32.
        Some(starts) => starts.unary::<_, Date32Type>(|micros| micros.div_euclid(MICROS_PER_DAY) as i32),
        None => Date32Array::new_null(rows.num_rows()),
    };
    Arc::new(days)
}

#[cfg(test)]
mod tests {
    use arrow::array::TimestampMicrosecondArray;
    use arrow::datatypes::TimeUnit;

    use super::*;

    fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
        let fields = fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    #[test]
    fn the_date_comes_last_and_is_given_or_made() {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let names = |schema: SchemaRef| -> Vec<String> {
            let dated = with_date("t", &schema).unwrap();
            dated.fields().iter().map(|field| field.name().clone()).collect()
        };
        assert_eq!(names(schema(&[("window_start", time), ("a", DataType::Int64)])), ["window_start", "a", "date"]);
        assert_eq!(names(schema(&[("date", DataType::Date32), ("a", DataType::Int64)])), ["a", "date"]);
        let error = with_date("t", &schema(&[("a", DataType::Int64)])).unwrap_err();
        insta::assert_snapshot!(error, @r#"history table "t" has no column that its date can be made of: add window_start, a time, or date, a DATE"#);
        let error = with_date("t", &schema(&[("date", DataType::Utf8)])).unwrap_err();
        insta::assert_snapshot!(error, @r#"column "date" of history table "t" is Utf8: the table is partitioned by it, so make it a DATE or rename it"#);
    }

    #[test]
    fn windows_belong_to_the_date_of_their_start_also_before_1970() {
        let starts = TimestampMicrosecondArray::from(vec![Some(0), Some(-1), Some(MICROS_PER_DAY - 1), None]);
        let starts: ArrayRef = Arc::new(starts.with_timezone("UTC"));
        let rows = RecordBatch::try_from_iter([("window_start", starts)]).unwrap();
        let expected: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), Some(-1), Some(0), None]));
        assert_eq!(&dates(&rows), &expected);
    }
}
