//! One column while its events arrive: values are appended as they are read, and taken back when their event is refused.
//!
//! ```text
//!   integer  values  ▏ 7 ▏ 9 ▏ 0 ▏ 4 ▏        text  bytes ▏viewbuy▏       list  items: a column
//!            nulls   ▏ 2 ▏                          ends  ▏ 0 ▏ 4 ▏ 7 ▏         ends  ▏ 0 ▏ 2 ▏ 2 ▏
//! ```
//!
//! The values are in Arrow's own layout, so that a whole column is handed over without copying it. Nulls are few: their
//! rows are listed, and a bitmap is made only when there is one.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{Field, FieldRef};
use arrow::error::ArrowError;

use super::rule::{FieldType, UTC};

/// The values of one field, or the items of one list field.
#[derive(Debug)]
pub(super) struct Column {
    values: Values,
    /// The rows that are null, ascending; each has a value too, which means nothing.
    nulls: Vec<u32>,
}

#[derive(Debug)]
enum Values {
    Integer(Vec<i64>),
    Number(Vec<f64>),
    /// Where a text begins its predecessor ends; the first end is 0 and belongs to none.
    Text {
        bytes: Vec<u8>,
        ends: Vec<i32>,
    },
    /// In microseconds since 1970.
    DateTime(Vec<i64>),
    Boolean(Vec<bool>),
    List {
        items: Box<Column>,
        field: FieldRef,
        ends: Vec<i32>,
    },
}

impl Column {
    pub(super) fn new(field_type: &FieldType) -> Self {
        let values = match field_type {
            FieldType::Integer => Values::Integer(Vec::new()),
            FieldType::Number => Values::Number(Vec::new()),
            FieldType::Text => Values::Text { bytes: Vec::new(), ends: vec![0] },
            FieldType::DateTime => Values::DateTime(Vec::new()),
            FieldType::Boolean => Values::Boolean(Vec::new()),
            FieldType::List(item) => Values::List {
                items: Box::new(Self::new(item)),
                field: Arc::new(Field::new_list_field(item.data_type(), true)),
                ends: vec![0],
            },
        };
        Self { values, nulls: Vec::new() }
    }

    /// How many rows there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        match &self.values {
            Values::Integer(values) | Values::DateTime(values) => values.len(),
            Values::Number(values) => values.len(),
            Values::Boolean(values) => values.len(),
            Values::Text { ends, .. } | Values::List { ends, .. } => ends.len().saturating_sub(1),
        }
    }

    // A value of another type than the column's is not appended: the rule that a value has passed names the same type.

    #[inline]
    pub(super) fn push_integer(&mut self, value: i64) {
        if let Values::Integer(values) = &mut self.values {
            values.push(value);
        }
    }

    #[inline]
    pub(super) fn push_number(&mut self, value: f64) {
        if let Values::Number(values) = &mut self.values {
            values.push(value);
        }
    }

    /// Appends a text, which must turn out to be UTF-8 before the column is finished.
    #[inline]
    pub(super) fn push_text(&mut self, text: &[u8]) {
        if let Values::Text { bytes, ends } = &mut self.values {
            bytes.extend_from_slice(text);
            ends.push(bytes.len() as i32);
        }
    }

    /// Appends a time in microseconds since 1970.
    #[inline]
    pub(super) fn push_date_time(&mut self, micros: i64) {
        if let Values::DateTime(values) = &mut self.values {
            values.push(micros);
        }
    }

    #[inline]
    pub(super) fn push_boolean(&mut self, value: bool) {
        if let Values::Boolean(values) = &mut self.values {
            values.push(value);
        }
    }

    /// The column to which the items of the next list are appended before [`end_list`](Self::end_list).
    pub(super) fn items(&mut self) -> Option<&mut Self> {
        match &mut self.values {
            Values::List { items, .. } => Some(items),
            _ => None,
        }
    }

    /// Appends the list of the items appended since the last one.
    pub(super) fn end_list(&mut self) {
        if let Values::List { items, ends, .. } = &mut self.values {
            ends.push(items.len() as i32);
        }
    }

    pub(super) fn push_null(&mut self) {
        self.nulls.push(self.len() as u32);
        match &mut self.values {
            Values::Integer(values) | Values::DateTime(values) => values.push(0),
            Values::Number(values) => values.push(0.0),
            Values::Boolean(values) => values.push(false),
            Values::Text { ends, .. } | Values::List { ends, .. } => ends.push(ends.last().copied().unwrap_or(0)),
        }
    }

    /// Takes back all rows but the first `rows`, and what has begun of another one.
    pub(super) fn truncate(&mut self, rows: usize) {
        let kept_of = |ends: &mut Vec<i32>| {
            ends.truncate(rows + 1);
            ends.last().map_or(0, |end| *end as usize)
        };
        match &mut self.values {
            Values::Integer(values) | Values::DateTime(values) => values.truncate(rows),
            Values::Number(values) => values.truncate(rows),
            Values::Boolean(values) => values.truncate(rows),
            Values::Text { bytes, ends } => bytes.truncate(kept_of(ends)),
            Values::List { items, ends, .. } => items.truncate(kept_of(ends)),
        }
        while self.nulls.last().is_some_and(|row| *row as usize >= rows) {
            self.nulls.pop();
        }
    }

    /// Hands the rows over to Arrow and begins anew, with room for as many.
    ///
    /// # Errors
    /// When a text is not UTF-8.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let nulls = null_bitmap(&self.nulls, self.len());
        self.nulls.clear();
        Ok(match &mut self.values {
            Values::Integer(values) => Arc::new(Int64Array::new(hand_over(values).into(), nulls)),
            Values::Number(values) => Arc::new(Float64Array::new(hand_over(values).into(), nulls)),
            Values::DateTime(values) => {
                Arc::new(TimestampMicrosecondArray::new(hand_over(values).into(), nulls).with_timezone(UTC))
            }
            Values::Boolean(values) => Arc::new(BooleanArray::new(BooleanBuffer::from(hand_over(values)), nulls)),
            Values::Text { bytes, ends } => {
                let bytes = Buffer::from_vec(hand_over(bytes));
                Arc::new(StringArray::try_new(hand_over_ends(ends), bytes, nulls)?)
            }
            Values::List { items, field, ends } => {
                let items = items.finish()?;
                Arc::new(ListArray::try_new(Arc::clone(field), hand_over_ends(ends), items, nulls)?)
            }
        })
    }
}

/// Takes a full vector out and leaves an empty one with room for a little more: batches are often alike.
fn hand_over<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(values.len() + values.len() / 8);
    let mut full = std::mem::replace(values, room);
    // What is handed over may be kept for long, so it should not be mostly room.
    if full.capacity() / 2 > full.len() {
        full.shrink_to_fit();
    }
    full
}

fn hand_over_ends(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let full = hand_over(ends);
    ends.push(0);
    OffsetBuffer::new(full.into())
}

fn null_bitmap(nulls: &[u32], rows: usize) -> Option<NullBuffer> {
    if nulls.is_empty() {
        return None;
    }
    let mut valid = vec![true; rows];
    for row in nulls {
        if let Some(valid) = valid.get_mut(*row as usize) {
            *valid = false;
        }
    }
    Some(NullBuffer::from(valid))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn what_is_taken_back_leaves_no_trace() {
        let mut column = Column::new(&FieldType::List(Box::new(FieldType::Text)));
        let push = |column: &mut Column, items: &[&str]| {
            for item in items {
                column.items().expect("items").push_text(item.as_bytes());
            }
        };
        push(&mut column, &["a", "bc"]);
        column.end_list();
        column.push_null();
        push(&mut column, &["taken"]);
        column.end_list();
        column.push_null();
        push(&mut column, &["taken", "back"]);
        column.truncate(2);
        column.items().expect("items").push_null();
        column.end_list();
        let finished = column.finish().expect("a column");
        let lists = finished.as_list::<i32>();
        assert_eq!((lists.len(), lists.null_count(), lists.is_null(1)), (3, 1, true));
        assert_eq!(lists.value(0).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["a", "bc"]);
        assert_eq!((lists.value(2).len(), lists.value(2).null_count()), (1, 1));
        assert_eq!(lists.values().as_string::<i32>().values().as_slice(), b"abc");
        assert_eq!(column.finish().expect("a column").len(), 0);
    }

    #[test]
    fn a_column_without_nulls_has_no_bitmap() {
        let mut column = Column::new(&FieldType::Integer);
        column.push_integer(7);
        column.push_null();
        column.truncate(1);
        let finished = column.finish().expect("a column");
        assert!(finished.nulls().is_none());
        assert_eq!(finished.as_primitive::<Int64Type>().values(), &[7]);
    }

    #[test]
    fn a_batch_that_is_kept_holds_at_most_twice_its_rows() {
        let mut column = Column::new(&FieldType::Integer);
        for rows in [10_000, 1, 10_000, 5_000] {
            (0..rows).for_each(|value| column.push_integer(value));
            let size = column.finish().expect("a column").get_buffer_memory_size();
            assert!(size <= 2 * 8 * rows as usize + 64, "{size} bytes for {rows} rows");
        }
    }
}
