//! Rows as they are stored.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::partition::{DATE, dates};

/// Columns of the stored schema, the date among them, from rows that have others by name: of those that they lack, NULL.
///
/// # Errors
/// For a value that doesn't fit its stored type; it is never made NULL instead.
pub(super) fn conform(rows: &RecordBatch, stored: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let cast = |column: &ArrayRef, name: &str| {
        let field = stored.field_with_name(name)?;
        let options = CastOptions { safe: false, ..CastOptions::default() };
        match column.data_type() == field.data_type() {
            true => Ok(Arc::clone(column)),
            false => cast_with_options(column, field.data_type(), &options)
                .map_err(|error| ArrowError::CastError(format!("column {name:?}: {error}"))),
        }
    };
    let mut named: Vec<(&str, ArrayRef)> = Vec::with_capacity(stored.fields().len());
    for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        named.push((field.name(), cast(column, field.name())?));
    }
    let cast_rows =
        RecordBatch::try_from_iter_with_nullable(named.into_iter().map(|(name, column)| (name, column, true)))?;
    let columns = stored.fields().iter().map(|field| match cast_rows.column_by_name(field.name()) {
        Some(column) => Arc::clone(column),
        None if field.name() == DATE => dates(&cast_rows),
        // Of rows from before that column was taken away.
        None => new_null_array(field.data_type(), rows.num_rows()),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(stored), columns.collect(), &options)
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array, TimestampSecondArray, UInt64Array};
    use arrow::datatypes::{Date32Type, Int64Type, TimestampMicrosecondType};

    use super::*;
    use crate::history::partition::with_date;
    use crate::history::stored_type::stored_schema;

    #[test]
    fn values_are_cast_by_name_and_one_that_does_not_fit_is_an_error() {
        let counts: ArrayRef = Arc::new(UInt64Array::from(vec![1, 2]));
        let starts: ArrayRef = Arc::new(TimestampSecondArray::from(vec![0, 86_400]));
        let rows =
            RecordBatch::try_from_iter([("n", Arc::clone(&counts)), ("window_start", Arc::clone(&starts))]).unwrap();
        let stored = with_date("t", &stored_schema("t", rows.schema_ref()).unwrap()).unwrap();
        let swapped = RecordBatch::try_from_iter([("window_start", Arc::clone(&starts)), ("n", counts)]).unwrap();
        let conformed = conform(&swapped, &stored).unwrap();
        assert_eq!(conformed, conform(&rows, &stored).unwrap());
        assert_eq!(conformed.column(0).as_primitive::<Int64Type>(), &Int64Array::from(vec![1, 2]));
        assert_eq!(conformed.column(1).as_primitive::<TimestampMicrosecondType>().value(1), 86_400_000_000);
        assert_eq!(conformed.column(2).as_primitive::<Date32Type>().values(), &[0, 1]);

        let large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 2]));
        let rows = RecordBatch::try_from_iter([("n", large), ("window_start", starts)]).unwrap();
        assert!(conform(&rows, &stored).unwrap_err().to_string().contains("column \"n\""));
    }
}
