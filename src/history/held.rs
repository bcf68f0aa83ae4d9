//! Values that a row can have and neither Delta nor JSON can hold.
//!
//! | value | Delta | JSON |
//! |---|---|---|
//! | a time or date before the year 1 or after 9999 | no: readers agree on these years, and so does the date that a folder is named by | no: RFC 3339 writes a year in four digits |
//! | an unsigned integer above 9,223,372,036,854,775,807 | no: its largest integer | yes |
//! | a span of more than 292 million years, in seconds | (no such type) | no |
//!
//! Infinities and NaN are numbers in Delta and `null` in JSON. What a row has inside lists and structs counts as well.

use arrow::array::{Array, ArrowPrimitiveType, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, DurationSecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampSecondType, UInt64Type,
};

/// 0001-01-01 and 9999-12-31, in days since 1970.
const FIRST_DAY: i128 = -719_162;
const LAST_DAY: i128 = 2_932_896;
const SECONDS_PER_DAY: i128 = 86_400;

/// Who is to hold a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    Delta,
    Json,
}

/// The first value of a row that can't be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) row: usize,
    pub(crate) column: String,
    /// The value, and what can be held instead.
    pub(crate) reason: String,
}

/// The rows that can't be held, in their order.
pub(crate) fn misfits(rows: &RecordBatch, holder: Holder) -> Vec<Misfit> {
    let doubtful: Vec<usize> =
        (0..rows.num_columns()).filter(|column| unheld(rows.column(*column), holder).is_some()).collect();
    if doubtful.is_empty() {
        return Vec::new();
    }
    let misfit = |row: usize| {
        doubtful.iter().find_map(|column| {
            let reason = unheld(&rows.column(*column).slice(row, 1), holder)?;
            Some(Misfit { row, column: rows.schema_ref().field(*column).name().clone(), reason })
        })
    };
    (0..rows.num_rows()).filter_map(misfit).collect()
}

/// A value that can't be held, and what can. Of several rows it may be one that only a list's unused part has: whoever wants
/// to know asks for one row.
pub(crate) fn unheld(values: &dyn Array, holder: Holder) -> Option<String> {
    let is_one = values.len() == 1;
    if is_one && values.is_null(0) {
        return None;
    }
    let time = |found: Option<i128>| found.map(|value| out_of_years(value, values.data_type()));
    match values.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => time(outside::<TimestampSecondType>(values, years(1))),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            time(outside::<TimestampMillisecondType>(values, years(1_000)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            time(outside::<TimestampMicrosecondType>(values, years(1_000_000)))
        }
        DataType::Date32 => time(outside::<Date32Type>(values, (FIRST_DAY, LAST_DAY))),
        DataType::Date64 => time(outside::<Date64Type>(values, years(1_000))),
        DataType::Duration(TimeUnit::Second) if holder == Holder::Json => {
            let most = i128::from(i64::MAX / 1_000);
            let found = outside::<DurationSecondType>(values, (-most, most));
            found.map(|value| format!("{value} seconds: the longest span that can be written has {most}"))
        }
        DataType::UInt64 if holder == Holder::Delta => {
            let found = outside::<UInt64Type>(values, (0, i128::from(i64::MAX)));
            found.map(|value| format!("{value}: Delta's largest integer is {}", i64::MAX))
        }
        DataType::List(_) if is_one => unheld(&values.as_list::<i32>().value(0), holder),
        DataType::List(_) => unheld(values.as_list::<i32>().values(), holder),
        DataType::LargeList(_) if is_one => unheld(&values.as_list::<i64>().value(0), holder),
        DataType::LargeList(_) => unheld(values.as_list::<i64>().values(), holder),
        DataType::FixedSizeList(_, _) => unheld(values.as_fixed_size_list().values(), holder),
        DataType::ListView(_) if is_one => unheld(&values.as_list_view::<i32>().value(0), holder),
        DataType::ListView(_) => unheld(values.as_list_view::<i32>().values(), holder),
        DataType::LargeListView(_) if is_one => unheld(&values.as_list_view::<i64>().value(0), holder),
        DataType::LargeListView(_) => unheld(values.as_list_view::<i64>().values(), holder),
        DataType::Map(_, _) if is_one => unheld(&values.as_map().value(0), holder),
        DataType::Map(_, _) => unheld(values.as_map().entries(), holder),
        DataType::Struct(_) => values.as_struct().columns().iter().find_map(|column| unheld(column, holder)),
        DataType::Dictionary(_, _) if is_one => {
            let dictionary = values.as_any_dictionary();
            let key = dictionary.normalized_keys().first().copied()?;
            unheld(&dictionary.values().slice(key, 1), holder)
        }
        DataType::Dictionary(_, _) => unheld(values.as_any_dictionary().values(), holder),
        _ => None,
    }
}

/// The years 1 to 9999 in units of which a second has so many.
fn years(per_second: i128) -> (i128, i128) {
    let per_day = SECONDS_PER_DAY * per_second;
    (FIRST_DAY * per_day, (LAST_DAY + 1) * per_day - 1)
}

/// The first value that is not from `first` to `last`.
fn outside<T: ArrowPrimitiveType<Native: Into<i128>>>(values: &dyn Array, (first, last): (i128, i128)) -> Option<i128> {
    let values = values.as_primitive_opt::<T>()?;
    values.iter().flatten().map(Into::into).find(|value| *value < first || *value > last)
}

fn out_of_years(value: i128, data_type: &DataType) -> String {
    format!("{value}, a {data_type}: times can be of the years 1 to 9999")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Date32Array, DictionaryArray, DurationSecondArray, Int32Array, ListArray, StructArray,
        TimestampMicrosecondArray, TimestampSecondArray, UInt64Array,
    };
    use arrow::buffer::{NullBuffer, OffsetBuffer};
    use arrow::datatypes::Field;

    use super::*;

    /// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, in seconds.
    const FIRST: i64 = -62_135_596_800;
    const LAST: i64 = 253_402_300_799;

    fn found(values: ArrayRef, holder: Holder) -> Vec<usize> {
        let rows = RecordBatch::try_from_iter_with_nullable([("a", values, true)]).unwrap();
        misfits(&rows, holder).into_iter().map(|misfit| misfit.row).collect()
    }

    #[test]
    fn times_are_held_from_the_first_moment_of_year_1_to_the_last_one_of_9999() {
        let seconds = vec![Some(FIRST - 1), Some(FIRST), None, Some(LAST), Some(LAST + 1)];
        let micros = TimestampMicrosecondArray::from(vec![
            FIRST * 1_000_000 - 1,
            FIRST * 1_000_000,
            0,
            LAST * 1_000_000 + 999_999,
            (LAST + 1) * 1_000_000,
        ]);
        let days = vec![-719_163, -719_162, 0, 2_932_896, 2_932_897];
        for values in [
            Arc::new(TimestampSecondArray::from(seconds)) as ArrayRef,
            Arc::new(micros.with_timezone("UTC")),
            Arc::new(Date32Array::from(days)),
        ] {
            for holder in [Holder::Delta, Holder::Json] {
                assert_eq!(found(Arc::clone(&values), holder), [0, 4], "{values:?}");
            }
        }
    }

    #[test]
    fn what_only_one_of_the_two_can_hold_is_refused_by_the_other() {
        let counts: ArrayRef = Arc::new(UInt64Array::from(vec![i64::MAX as u64, i64::MAX as u64 + 1, 0]));
        assert_eq!((found(Arc::clone(&counts), Holder::Delta), found(counts, Holder::Json)), (vec![1], vec![]));
        let spans = vec![i64::MAX / 1_000, i64::MAX / 1_000 + 1, i64::MIN];
        let spans: ArrayRef = Arc::new(DurationSecondArray::from(spans));
        assert_eq!(found(spans, Holder::Json), [1, 2]);
    }

    #[test]
    fn values_inside_others_count_in_their_own_row_only() {
        let days: ArrayRef = Arc::new(Date32Array::from(vec![0, i32::MAX, 1, i32::MIN]));
        let item = Arc::new(Field::new_list_field(DataType::Date32, true));
        let offsets = OffsetBuffer::new(vec![0, 1, 2, 3, 4].into());
        let nulls = NullBuffer::from(vec![true, true, true, false]);
        let lists = ListArray::new(item, offsets, Arc::clone(&days), Some(nulls));
        assert_eq!(found(Arc::new(lists.clone()), Holder::Delta), [1], "a NULL has no value");
        assert_eq!(found(Arc::new(lists.slice(2, 2)), Holder::Delta), [0_usize; 0], "nor has what was cut away");
        let field = Arc::new(Field::new("day", DataType::Date32, true));
        let structs = StructArray::new(vec![field].into(), vec![Arc::clone(&days)], None);
        assert_eq!(found(Arc::new(structs), Holder::Json), [1, 3]);
        let keys = Int32Array::from(vec![Some(2), Some(1), None, Some(0)]);
        assert_eq!(found(Arc::new(DictionaryArray::new(keys, days)), Holder::Delta), [1]);
    }

    #[test]
    fn the_reason_names_the_value_and_what_can_be_held() {
        let counts: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
        let days: ArrayRef = Arc::new(Date32Array::from(vec![i32::MAX]));
        let rows = RecordBatch::try_from_iter([("n", counts), ("day", days)]).unwrap();
        let shown = |holder| {
            let misfit = misfits(&rows, holder).swap_remove(0);
            format!("{}: {}", misfit.column, misfit.reason)
        };
        insta::assert_snapshot!(shown(Holder::Delta), @"n: 18446744073709551615: Delta's largest integer is 9223372036854775807");
        insta::assert_snapshot!(shown(Holder::Json), @"day: 2147483647, a Date32: times can be of the years 1 to 9999");
    }
}
