//! Rows of a batch that are refused while their neighbours stay.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter;
use arrow::error::ArrowError;

use super::reject::Flaw;

/// The refused rows of one batch, each with the first fault that was found. Empty, it owns no memory.
#[derive(Debug, Default)]
pub(super) struct RowFaults(BTreeMap<usize, Flaw>);

impl RowFaults {
    /// Refuses a row, unless it is refused already.
    pub(super) fn add(&mut self, row: usize, flaw: Flaw) {
        self.0.entry(row).or_insert(flaw);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn keeps(&self, row: usize) -> bool {
        !self.0.contains_key(&row)
    }

    /// The columns, `rows` long, without the refused rows.
    pub(super) fn filter(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<ArrayRef>, ArrowError> {
        let kept: BooleanArray = (0..rows).map(|row| Some(self.keeps(row))).collect();
        columns.iter().map(|column| filter(column, &kept)).collect()
    }
}

impl IntoIterator for RowFaults {
    type Item = (usize, Flaw);
    type IntoIter = std::collections::btree_map::IntoIter<usize, Flaw>;

    /// The refused rows in ascending order.
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
