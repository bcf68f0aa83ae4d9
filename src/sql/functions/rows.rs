//! Which rows of a batch an accumulator takes, and rows as states of their own.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

/// The rows where the filter is true and no argument is NULL; `None` when these are all.
pub(super) fn wanted(arguments: &[&dyn Array], filter: Option<&BooleanArray>) -> Option<BooleanBuffer> {
    let mut valid: Option<NullBuffer> = None;
    for argument in arguments {
        valid = NullBuffer::union(valid.as_ref(), argument.logical_nulls().as_ref());
    }
    let valid = valid.filter(|valid| valid.null_count() > 0).map(NullBuffer::into_inner);
    let passing = filter.map(|filter| match filter.nulls() {
        Some(nulls) => filter.values() & nulls.inner(),
        None => filter.values().clone(),
    });
    match (valid, passing) {
        (Some(valid), Some(passing)) => Some(&valid & &passing),
        (valid, passing) => valid.or(passing),
    }
}

/// Visits the wanted rows of a batch of `count` rows.
pub(super) fn for_each_row(wanted: Option<&BooleanBuffer>, count: usize, visit: impl FnMut(usize)) {
    match wanted {
        None => (0..count).for_each(visit),
        Some(wanted) => wanted.set_indices().for_each(visit),
    }
}

/// The states of a fresh accumulator in which every row is a group: how a batch aggregation passes rows on when there
/// is little to aggregate.
pub(super) fn each_row_alone(
    mut fresh: impl GroupsAccumulator,
    values: &[ArrayRef],
    filter: Option<&BooleanArray>,
) -> Result<Vec<ArrayRef>> {
    let count = values.first().map_or(0, Array::len);
    let every_row: Vec<usize> = (0..count).collect();
    fresh.update_batch(values, &every_row, filter, count)?;
    fresh.state(EmitTo::All)
}
