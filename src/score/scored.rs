//! What the models say of a job.

use std::ops::Range;

use super::arms::Arm;

/// Outputs row by row, and which of them are none.
#[derive(Debug, Default)]
pub(super) struct Scored {
    /// What each row is ranked by; no score where a row was not scored.
    pub(super) outputs: Vec<f32>,
    /// Rows that a model failed on, in their order.
    pub(super) failed: Vec<Failed>,
    /// Who scored each group.
    pub(super) arms: Vec<Arm>,
    /// Kept between batches for its memory.
    pub(super) part: Vec<f32>,
}

/// A row that a model failed on, though its vector is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) row: usize,
    /// Why, for people.
    pub(super) reason: String,
}

impl Scored {
    /// Those of these rows that a model failed on, in their order.
    pub(super) fn failed_in(&self, rows: &Range<usize>) -> &[Failed] {
        let place = |row: usize| self.failed.partition_point(|failed| failed.row < row);
        &self.failed[place(rows.start)..place(rows.end.max(rows.start))]
    }

    /// Appends a row that was not scored.
    pub(super) fn fail(&mut self, reason: String) {
        self.failed.push(Failed { row: self.outputs.len(), reason });
        self.outputs.push(f32::NAN);
    }
}
