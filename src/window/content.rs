//! Bytes of what arrays hold: a function of their values alone, unlike the room of their buffers, so that a state counts the
//! same after it was saved and restored, and gives up the same keys at its limit.

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait};
use arrow::datatypes::DataType;

/// Longest value that a view holds in itself.
const INLINE: u32 = 12;

/// Bytes of the values of some columns.
pub(crate) fn content_size(columns: &[ArrayRef]) -> usize {
    columns.iter().map(|column| array_size(column.as_ref())).sum()
}

/// Bytes of one row of some columns, without what a list holds beyond its elements' own width.
pub(crate) fn row_size(columns: &[ArrayRef], row: usize) -> usize {
    columns.iter().map(|column| value_size(column.as_ref(), row)).sum()
}

fn array_size(array: &dyn Array) -> usize {
    let validity = if array.null_count() > 0 { array.len().div_ceil(8) } else { 0 };
    validity
        + match array.data_type() {
            DataType::Utf8 => 4 * array.len() + span(array.as_string::<i32>().value_offsets()),
            DataType::LargeUtf8 => 8 * array.len() + span(array.as_string::<i64>().value_offsets()),
            DataType::Binary => 4 * array.len() + span(array.as_binary::<i32>().value_offsets()),
            DataType::LargeBinary => 8 * array.len() + span(array.as_binary::<i64>().value_offsets()),
            DataType::Utf8View => views_size(array.as_string_view().views()),
            DataType::BinaryView => views_size(array.as_binary_view().views()),
            DataType::List(_) => 4 * array.len() + list_size(array.as_list::<i32>()),
            DataType::LargeList(_) => 8 * array.len() + list_size(array.as_list::<i64>()),
            DataType::FixedSizeList(..) => array_size(array.as_fixed_size_list().values().as_ref()),
            DataType::Struct(_) => content_size(array.as_struct().columns()),
            DataType::Boolean => array.len().div_ceil(8),
            DataType::FixedSizeBinary(width) => usize::try_from(*width).unwrap_or(0) * array.len(),
            other => other.primitive_width().unwrap_or(0) * array.len(),
        }
}

fn value_size(array: &dyn Array, row: usize) -> usize {
    if array.is_null(row) {
        return 8;
    }
    match array.data_type() {
        DataType::Utf8 => 4 + array.as_string::<i32>().value_length(row).unsigned_abs() as usize,
        DataType::LargeUtf8 => 8 + array.as_string::<i64>().value_length(row).unsigned_abs() as usize,
        DataType::Binary => 4 + array.as_binary::<i32>().value_length(row).unsigned_abs() as usize,
        DataType::LargeBinary => 8 + array.as_binary::<i64>().value_length(row).unsigned_abs() as usize,
        DataType::Utf8View => 16 + array.as_string_view().value(row).len(),
        DataType::List(_) => 4 + 8 * array.as_list::<i32>().value_length(row).unsigned_abs() as usize,
        other => other.primitive_width().unwrap_or(8),
    }
}

fn list_size<O: OffsetSizeTrait>(list: &arrow::array::GenericListArray<O>) -> usize {
    let offsets = list.value_offsets();
    let first = offsets.first().map_or(0, |first| first.as_usize());
    array_size(list.values().slice(first, span(offsets)).as_ref())
}

/// How many values offsets enclose.
fn span<O: OffsetSizeTrait>(offsets: &[O]) -> usize {
    offsets.last().map_or(0, |last| last.as_usize()) - offsets.first().map_or(0, |first| first.as_usize())
}

fn views_size(views: &[u128]) -> usize {
    let lengths = views.iter().map(|view| *view as u32);
    16 * views.len() + lengths.filter(|length| *length > INLINE).map(|length| length as usize).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, Int64Builder, ListBuilder, RecordBatch, StringArray, StringViewArray, StructArray};
    use arrow::buffer::NullBuffer;

    use super::*;
    use crate::snapshot::{SectionReader, SectionWriter};

    /// The column as a saved and restored state has it.
    fn restored(column: &ArrayRef) -> ArrayRef {
        let mut bytes = Vec::new();
        let mut writer = SectionWriter::new(&mut bytes, "test", 0).unwrap();
        let batch = RecordBatch::try_from_iter_with_nullable([("column", Arc::clone(column), true)]).unwrap();
        writer.section("column", &[batch]).unwrap();
        writer.finish().unwrap();
        let mut input = bytes.as_slice();
        SectionReader::new(&mut input, "test", 0).unwrap().batch("column").unwrap().column(0).clone()
    }

    #[test]
    fn slices_and_buffers_of_nulls_that_hold_none_count_as_what_is_restored_from_them() {
        let mut lists = ListBuilder::new(Int64Builder::new());
        for row in 0..40_i64 {
            (0..row % 5).for_each(|value| lists.values().append_value(value));
            lists.append(row % 7 != 0);
        }
        let lists = lists.finish();
        let words: Vec<Option<String>> = (0..40).map(|row| (row % 3 != 0).then(|| "w".repeat(row))).collect();
        let texts: StringArray = words.iter().map(Option::as_deref).collect();
        let views: StringViewArray = words.iter().map(Option::as_deref).collect();
        let numbers = Int64Array::new((0..40).collect::<Vec<i64>>().into(), Some(NullBuffer::new_valid(40)));
        let pair =
            StructArray::from(RecordBatch::try_from_iter([("number", Arc::new(numbers.clone()) as ArrayRef)]).unwrap());
        let columns: [ArrayRef; 5] =
            [Arc::new(lists), Arc::new(texts), Arc::new(views), Arc::new(numbers), Arc::new(pair)];
        for column in columns {
            for part in [column.slice(0, 40), column.slice(7, 20), column.slice(1, 0), column.slice(22, 2)] {
                let again = restored(&part);
                assert_eq!(content_size(&[Arc::clone(&part)]), content_size(&[again]), "{}", part.data_type());
            }
        }
    }
}
