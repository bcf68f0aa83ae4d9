//! Lists as results and states: one field name, checked offsets.

use std::sync::Arc;

use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err};

/// The type of a list of values of one type.
pub(super) fn list_of(value: &DataType) -> DataType {
    DataType::List(list_field(value))
}

/// The field of the values of such a list.
pub(super) fn list_field(value: &DataType) -> FieldRef {
    Arc::new(Field::new("item", value.clone(), true))
}

/// A state column that holds a list per group.
pub(super) fn list_state(function: &str, part: &str, value: &DataType) -> FieldRef {
    Arc::new(Field::new(format!("{function}[{part}]"), list_of(value), true))
}

/// Where each list begins and ends, from the lengths.
///
/// # Errors
/// When one column would hold more than 2^31 - 1 values, which is what its offsets can say.
pub(super) fn offsets(lengths: &[usize]) -> Result<OffsetBuffer<i32>> {
    let total: usize = lengths.iter().sum();
    if i32::try_from(total).is_err() {
        return exec_err!("{total} list values in one column are too many: group by fewer keys at a time");
    }
    Ok(OffsetBuffer::from_lengths(lengths.iter().copied()))
}
