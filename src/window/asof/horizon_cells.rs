//! The cells of one horizon: what an event adds to a key's record, and what a tail takes away.

use super::column::{Combine, as_float, to_word};
use super::run::Run;
use super::tile::Horizon;

/// The bound on the error of a float sum, in units of 2^-53 of the sum, at which it is made anew: 7e-12 of the sum.
const MOST_ERROR: f64 = 65_536.0;

#[derive(Clone)]
pub(super) struct HorizonCells {
    pub(super) horizon: Horizon,
    /// Tail as of the newest event of the table.
    pub(super) tail: i64,
    /// Place of the first cell among the cells of a key.
    pub(super) offset: usize,
    /// Counts and sums of integers go first: when rows are taken out, they tell the others whether anything is left.
    pub(super) sums: Vec<CellPlan>,
    pub(super) extremes: Vec<CellPlan>,
    /// The word of each cell, in the order of the plan.
    pub(super) words: Vec<usize>,
}

#[derive(Clone, Copy)]
pub(super) struct CellPlan {
    pub(super) aggregate: usize,
    pub(super) combine: Combine,
    /// Its place in a record. The error of a float sum follows its sum.
    pub(super) word: usize,
    /// Place of the count of the same rows.
    pub(super) count: usize,
}

impl HorizonCells {
    pub(super) fn add(&self, record: &mut [i64], value: impl Fn(usize, i64) -> i64) {
        // Extremes go first: whether nothing or the unknown stands in them shows in the count before this row.
        for cell in &self.extremes {
            let value = value(cell.aggregate, i64::MIN);
            if record[cell.word] != i64::MIN || record[cell.count] == 0 {
                record[cell.word] = record[cell.word].max(value);
            }
        }
        for cell in &self.sums {
            let value = value(cell.aggregate, 0);
            match cell.combine {
                Combine::AddFloat if value != 0 => {
                    let sum = as_float(record[cell.word]);
                    let after = sum + as_float(value);
                    let error = as_float(record[cell.word + 1]) + after.abs();
                    record[cell.word] = to_word(after);
                    record[cell.word + 1] = to_word(error);
                }
                Combine::AddFloat => {}
                _ => record[cell.word] = record[cell.word].wrapping_add(value),
            }
        }
    }

    /// Takes a row out; false when some cell is not known then.
    pub(super) fn subtract(&self, record: &mut [i64], value: impl Fn(usize, i64) -> i64) -> bool {
        let mut is_known = true;
        self.take_out(record, value, |_| is_known = false);
        is_known
    }

    /// Takes a row out, and names the words of the sums that are not exact enough then.
    pub(super) fn take_out(
        &self,
        record: &mut [i64],
        value: impl Fn(usize, i64) -> i64,
        mut drifted: impl FnMut(usize),
    ) {
        for cell in self.sums.iter().filter(|cell| cell.combine == Combine::Add) {
            record[cell.word] = record[cell.word].wrapping_sub(value(cell.aggregate, 0));
        }
        for cell in self.sums.iter().filter(|cell| cell.combine == Combine::AddFloat) {
            if !subtract_float(record, cell, value(cell.aggregate, 0)) {
                drifted(cell.word);
            }
        }
        for cell in &self.extremes {
            if record[cell.count] == 0 || value(cell.aggregate, i64::MIN) == record[cell.word] {
                record[cell.word] = i64::MIN;
            }
        }
    }

    /// Whether no extreme is unknown.
    pub(super) fn knows(&self, record: &[i64]) -> bool {
        self.extremes.iter().all(|cell| record[cell.word] != i64::MIN || record[cell.count] == 0)
    }
}

/// Takes a float out of a sum whose count has been lowered; false when what is left is not exact enough.
pub(super) fn subtract_float(record: &mut [i64], cell: &CellPlan, value: i64) -> bool {
    if record[cell.count] == 0 {
        record[cell.word] = 0;
        record[cell.word + 1] = 0;
        return true;
    }
    let value = as_float(value);
    if value == 0.0 {
        return true;
    }
    let sum = as_float(record[cell.word]) - value;
    // The tile's own sum was rounded as well.
    let error = as_float(record[cell.word + 1]) + sum.abs() + 2.0 * value.abs();
    record[cell.word] = to_word(sum);
    record[cell.word + 1] = to_word(error);
    sum.is_finite() && error <= MOST_ERROR * sum.abs()
}

pub(super) fn value(run: &Run, row: usize, aggregate: usize, empty: i64) -> i64 {
    run.columns[aggregate].as_ref().map_or(empty, |column| column.get(row, empty))
}
