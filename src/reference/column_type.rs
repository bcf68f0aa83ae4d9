//! The few types that columns have here, so that a key of one width meets a key of another.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Date32Type, Field, Schema, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;

use crate::event::one_zero;

/// The time zone of all times.
const UTC: &str = "+00:00";

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Times: microseconds of UTC.
pub(super) fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

/// The type that columns of this type have here: 64 bits for numbers, `Utf8` for texts, microseconds of UTC for times (a
/// time without a zone is one of UTC). Types that have no wider form stay.
pub(super) fn normal(found: &DataType) -> DataType {
    match found {
        integer if integer.is_integer() => DataType::Int64,
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(_, values) => normal(values),
        DataType::Timestamp(_, _) => time(),
        DataType::Date64 => DataType::Date32,
        other => other.clone(),
    }
}

/// Whether values of this type are compared for equality without surprises.
pub(super) fn is_key(normal: &DataType) -> bool {
    matches!(normal, DataType::Int64 | DataType::Utf8 | DataType::Boolean | DataType::Date32) || *normal == time()
}

/// A column in its normal type; zero has no sign.
///
/// # Errors
/// For a value that doesn't fit: an integer above `i64::MAX`, or a time outside 64 bits of microseconds.
pub(super) fn normalise(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let wanted = normal(column.data_type());
    if *column.data_type() == wanted {
        return one_zero(Arc::clone(column));
    }
    one_zero(cast_with_options(column, &wanted, &CastOptions { safe: false, ..CastOptions::default() })?)
}

/// A batch with normal types, all of them nullable: a left join may leave any of them empty.
pub(super) fn normalise_batch(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<ArrayRef> = batch.columns().iter().map(normalise).collect::<Result<_, _>>()?;
    let fields = batch.schema_ref().fields().iter().zip(&columns);
    let fields: Vec<Field> =
        fields.map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

/// A column of dates or times as microseconds since 1970; `None` for other types.
pub(super) fn micros(column: &ArrayRef) -> Option<Vec<Option<i64>>> {
    if let Some(days) = column.as_primitive_opt::<Date32Type>() {
        return Some(days.iter().map(|day| day.map(|day| i64::from(day) * MICROS_PER_DAY)).collect());
    }
    column.as_primitive_opt::<TimestampMicrosecondType>().map(|times| times.iter().collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Date32Array, DictionaryArray, Int32Array, TimestampSecondArray, UInt64Array};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn widths_and_encodings_disappear_and_kinds_stay() {
        let texts: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
        let texts = normalise(&(Arc::new(texts) as ArrayRef)).unwrap();
        assert_eq!(texts.as_string::<i32>().value(2), "a");
        let seconds: ArrayRef = Arc::new(TimestampSecondArray::from(vec![1]).with_timezone("Europe/Berlin"));
        let times = normalise(&seconds).unwrap();
        assert_eq!((times.data_type(), micros(&times)), (&time(), Some(vec![Some(1_000_000)])));
        let naive: ArrayRef = Arc::new(TimestampSecondArray::from(vec![1]));
        assert_eq!(micros(&normalise(&naive).unwrap()), Some(vec![Some(1_000_000)]));
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![-7]));
        assert_eq!(normalise(&narrow).unwrap().data_type(), &DataType::Int64);
        assert_eq!(normal(&DataType::Boolean), DataType::Boolean);
    }

    #[test]
    fn a_value_that_does_not_fit_is_an_error_and_not_null() {
        let large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
        assert!(normalise(&large).is_err());
    }

    #[test]
    fn dates_count_from_midnight_utc() {
        let dates: ArrayRef = Arc::new(Date32Array::from(vec![Some(-1), None, Some(1)]));
        assert_eq!(micros(&dates), Some(vec![Some(-MICROS_PER_DAY), None, Some(MICROS_PER_DAY)]));
    }
}
