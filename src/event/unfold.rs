//! Columns in the plainest form of their values: without dictionaries and views, with 32-bit offsets.
//!
//! | written as | becomes |
//! |---|---|
//! | `Utf8View`, `LargeUtf8` | `Utf8` |
//! | `BinaryView`, `LargeBinary` | `Binary` |
//! | a dictionary of scalars | the scalars |
//! | `LargeList`, `ListView`, `LargeListView`, `FixedSizeList` | `List` |
//!
//! A dictionary and a view name a value once that stands in many rows: written out, a message can be far larger than it was.
//! How much it may become is bounded by a [`Room`], which is asked before memory is taken.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, OffsetSizeTrait, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;

use super::reject::{Flaw, RejectReason};

/// The bytes that the values of one message may take.
pub(super) const MOST_BYTES: usize = 256 << 20;

/// What the values of one message may still take.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Room {
    /// That of a whole message.
    pub(super) fn of_a_message() -> Self {
        Self(MOST_BYTES)
    }

    /// Takes some of it.
    ///
    /// # Errors
    /// When there is less.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Flaw> {
        match self.0.checked_sub(bytes) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                let most = MOST_BYTES >> 20;
                let detail = format!(
                    "expected at most {most} MiB of values with dictionaries and views written out, got more: send fewer rows at once"
                );
                Err(Flaw::new(RejectReason::TooLarge, detail))
            }
        }
    }
}

/// The column in its plainest form; what has none stays as it is.
///
/// # Errors
/// When there is no room.
pub(super) fn unfold(values: &ArrayRef, room: &mut Room) -> Result<ArrayRef, Flaw> {
    match values.data_type() {
        DataType::Utf8View => {
            room.take(values.as_string_view().iter().flatten().map(str::len).sum())?;
            cast(values, &DataType::Utf8).map_err(|error| refused(&error))
        }
        DataType::BinaryView => {
            room.take(values.as_binary_view().iter().flatten().map(<[u8]>::len).sum())?;
            cast(values, &DataType::Binary).map_err(|error| refused(&error))
        }
        DataType::LargeUtf8 => cast(values, &DataType::Utf8).map_err(|error| refused(&error)),
        DataType::LargeBinary => cast(values, &DataType::Binary).map_err(|error| refused(&error)),
        DataType::Dictionary(_, items) if !items.is_nested() => {
            let dictionary = values.as_any_dictionary();
            let keys = cast(dictionary.keys(), &DataType::UInt32).map_err(|error| refused(&error))?;
            gather(&unfold(dictionary.values(), room)?, keys.as_primitive(), room)
        }
        DataType::List(item) if !item.data_type().is_nested() => {
            let lists = values.as_list::<i32>();
            let items = unfold(lists.values(), room)?;
            if Arc::ptr_eq(&items, lists.values()) {
                return Ok(Arc::clone(values));
            }
            list(lists.offsets().clone(), items, lists.nulls())
        }
        DataType::LargeList(item) if !item.data_type().is_nested() => {
            let lists = values.as_list::<i64>();
            let offsets: Result<Vec<i32>, _> = lists.offsets().iter().map(|end| i32::try_from(*end)).collect();
            let offsets = offsets.map_err(|_| too_many_items())?;
            list(OffsetBuffer::new(offsets.into()), unfold(lists.values(), room)?, lists.nulls())
        }
        DataType::ListView(item) if !item.data_type().is_nested() => list_view::<i32>(values, room),
        DataType::LargeListView(item) if !item.data_type().is_nested() => list_view::<i64>(values, room),
        // Lists of no items say nothing of how many there are, and are not believed.
        DataType::FixedSizeList(item, size) if *size > 0 && !item.data_type().is_nested() => {
            let lists = values.as_fixed_size_list();
            let offsets: Option<Vec<i32>> =
                (0..=lists.len()).map(|row| i32::try_from(row).ok()?.checked_mul(*size)).collect();
            let offsets = offsets.ok_or_else(too_many_items)?;
            list(OffsetBuffer::new(offsets.into()), unfold(lists.values(), room)?, lists.nulls())
        }
        _ => Ok(Arc::clone(values)),
    }
}

/// The values at some positions.
fn gather(values: &ArrayRef, positions: &UInt32Array, room: &mut Room) -> Result<ArrayRef, Flaw> {
    let offsets = match values.data_type() {
        DataType::Utf8 => Some(values.as_string::<i32>().offsets()),
        DataType::Binary => Some(values.as_binary::<i32>().offsets()),
        _ => None,
    };
    if let Some(offsets) = offsets {
        let length = |at: u32| Some((offsets.get(at as usize + 1)? - offsets.get(at as usize)?) as usize);
        room.take(positions.iter().flatten().filter_map(length).sum())?;
    }
    take(values, positions, None).map_err(|error| refused(&error))
}

/// Lists whose items may stand anywhere, and several times.
fn list_view<O: OffsetSizeTrait>(values: &ArrayRef, room: &mut Room) -> Result<ArrayRef, Flaw> {
    let lists = values.as_list_view::<O>();
    let ranges = || {
        let rows = lists.offsets().iter().zip(lists.sizes()).enumerate();
        rows.map(|(row, (start, size))| if lists.is_null(row) { (0, 0) } else { (start.as_usize(), size.as_usize()) })
    };
    let items: usize = ranges().fold(0, |items, (_, size)| items.saturating_add(size));
    room.take(items.saturating_mul(size_of::<u32>()))?;
    let positions: UInt32Array = ranges().flat_map(|(start, size)| start..start + size).map(|at| at as u32).collect();
    let items = gather(&unfold(lists.values(), room)?, &positions, room)?;
    list(OffsetBuffer::from_lengths(ranges().map(|(_, size)| size)), items, lists.nulls())
}

fn list(offsets: OffsetBuffer<i32>, items: ArrayRef, nulls: Option<&NullBuffer>) -> Result<ArrayRef, Flaw> {
    let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    let lists = ListArray::try_new(field, offsets, items, nulls.cloned());
    Ok(Arc::new(lists.map_err(|error| refused(&error))?))
}

fn too_many_items() -> Flaw {
    Flaw::new(RejectReason::TooLarge, "more than 2,147,483,647 items of lists in one column: send fewer rows")
}

fn refused(error: &ArrowError) -> Flaw {
    Flaw::new(RejectReason::InvalidArrow, format!("a column can't be read: {error}"))
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Int8Array, Int32Array, ListViewArray, StringArray, StringViewArray};
    use arrow::datatypes::Int8Type;

    use super::*;

    #[test]
    fn what_would_be_written_out_too_often_is_refused_before_it_is() {
        let long = "x".repeat(1 << 20);
        let keys = Int8Array::from(vec![0; 300]);
        let texts = Arc::new(StringArray::from(vec![long.as_str()]));
        let dictionary: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::try_new(keys, texts).expect("a dictionary"));
        let views: ArrayRef = Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(&long, 300)));
        let items: ArrayRef = Arc::new(StringArray::from(vec![long.as_str()]));
        let field = Arc::new(Field::new_list_field(DataType::Utf8, true));
        let (offsets, sizes) = (vec![0; 300].into(), vec![1; 300].into());
        let lists: ArrayRef = Arc::new(ListViewArray::try_new(field, offsets, sizes, items, None).expect("lists"));
        for values in [dictionary, views, lists] {
            let flaw = unfold(&values, &mut Room::of_a_message()).expect_err("too much");
            assert_eq!(flaw.reason, RejectReason::TooLarge, "{}", values.data_type());
            assert!(unfold(&values.slice(0, 100), &mut Room::of_a_message()).is_ok());
        }
    }

    #[test]
    fn items_that_overlap_are_each_lists_own() {
        let items: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
        let field = Arc::new(Field::new_list_field(DataType::Int32, true));
        let nulls = Some(NullBuffer::from(vec![true, false, true]));
        let lists = ListViewArray::try_new(field, vec![1, 0, 0].into(), vec![2, 3, 2].into(), items, nulls);
        let plain = unfold(&(Arc::new(lists.expect("lists")) as ArrayRef), &mut Room::of_a_message()).expect("lists");
        let lists = plain.as_list::<i32>();
        assert_eq!((lists.value(0).as_ref(), lists.is_null(1)), (&Int32Array::from(vec![2, 3]) as &dyn Array, true));
        assert_eq!(lists.value(2).as_ref(), &Int32Array::from(vec![1, 2]) as &dyn Array);
    }
}
