//! An aggregate without a GROUP BY, or over a window frame: the vectorised accumulator with a single group.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use arrow::array::{Array, ArrayRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// DataFusion's row-wise interface over a vectorised accumulator.
pub(super) struct OneGroup {
    /// Never contended: DataFusion asks for `Sync`, and every use has the accumulator for itself.
    groups: Mutex<Box<dyn GroupsAccumulator>>,
    size: usize,
}

impl OneGroup {
    pub(super) fn new(groups: Box<dyn GroupsAccumulator>) -> Self {
        let size = groups.size();
        Self { groups: Mutex::new(groups), size }
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut dyn GroupsAccumulator) -> Result<T>) -> Result<T> {
        let groups = self.groups.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut();
        let result = act(groups);
        self.size = groups.size();
        result
    }
}

impl fmt::Debug for OneGroup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OneGroup").field("size", &self.size).finish_non_exhaustive()
    }
}

/// The state of the group, which stays in place: taking it drains the accumulator, so it is put back.
fn copy_state(groups: &mut dyn GroupsAccumulator) -> Result<Vec<ArrayRef>> {
    // Without a row there is no group yet; merging nothing declares it.
    let nothing = groups.state(EmitTo::All)?;
    let groups_held: Vec<usize> = (0..nothing.first().map_or(0, Array::len)).collect();
    groups.merge_batch(&nothing, &groups_held, 1)?;
    let state = groups.state(EmitTo::All)?;
    groups.merge_batch(&state, &[0], 1)?;
    Ok(state)
}

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let group_of_row = vec![0; values.first().map_or(0, Array::len)];
        self.with(|groups| groups.update_batch(values, &group_of_row, None, 1))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let group_of_row = vec![0; states.first().map_or(0, Array::len)];
        self.with(|groups| groups.merge_batch(states, &group_of_row, 1))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.with(|groups| {
            let state = copy_state(groups)?;
            let value = groups.evaluate(EmitTo::All)?;
            groups.merge_batch(&state, &[0], 1)?;
            ScalarValue::try_from_array(&value, 0)
        })
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = self.with(copy_state)?;
        state.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn size(&self) -> usize {
        self.size
    }
}
