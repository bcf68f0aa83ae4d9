//! Counts and sums by key, to which panes are added and from which they are taken away.
//!
//! Sums of floats are kept as unevaluated pairs (the double-double arithmetic of Dekker, 1971), so that what is added
//! and taken away again leaves nothing behind: the error is about 2^-104 of the largest sum that was held, where a plain
//! sum would drift by 2^-53 with each pane.

use super::aggregate::Additive;
use super::pane::PaneColumn;
use crate::window::keys::{NO_SLOT, doubled};
use crate::window::log::Log;
use crate::window::paged::Paged;

/// Values by slot, in pages that views share.
pub(super) enum Totals {
    Integers(Paged<i64>),
    /// High and low part of each sum.
    Floats(Paged<(f64, f64)>),
}

impl Totals {
    pub(super) fn new(kind: Additive) -> Self {
        match kind {
            Additive::Count | Additive::Integer(_) => Self::Integers(Paged::new(1)),
            Additive::Float => Self::Floats(Paged::new(1)),
        }
    }

    /// The values of some slots.
    pub(super) fn of(&self, slots: &[u32]) -> Sums {
        match self {
            Self::Integers(totals) => Sums::Integers(slots.iter().map(|slot| *totals.get(*slot as usize)).collect()),
            Self::Floats(totals) => Sums::Floats(slots.iter().map(|slot| *totals.get(*slot as usize)).collect()),
        }
    }

    pub(super) fn resize(&mut self, slots: usize) {
        match self {
            Self::Integers(totals) => totals.resize(slots, &[0]),
            Self::Floats(totals) => totals.resize(slots, &[(0.0, 0.0)]),
        }
    }

    pub(super) fn clear(&mut self, slot: usize) {
        match self {
            Self::Integers(totals) => *totals.get_mut(slot) = 0,
            Self::Floats(totals) => *totals.get_mut(slot) = (0.0, 0.0),
        }
    }

    /// Adds a row of the column to each slot, or takes it away.
    pub(super) fn change(&mut self, slots: &Log<u32>, part: &PaneColumn, adds: bool) {
        match (self, part) {
            (Self::Integers(totals), PaneColumn::Integers(part)) => {
                for (slot, value) in slots.iter().zip(part.iter()) {
                    let total = totals.get_mut(*slot as usize);
                    *total = if adds { total.wrapping_add(*value) } else { total.wrapping_sub(*value) };
                }
            }
            (Self::Floats(totals), PaneColumn::Floats(part)) => {
                for (slot, value) in slots.iter().zip(part.iter()) {
                    let total = totals.get_mut(*slot as usize);
                    *total = add(*total, if adds { *value } else { -*value });
                }
            }
            _ => debug_assert!(false, "the columns of an aggregate have its type"),
        }
    }

    /// Gives every key its new slot.
    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
        match self {
            Self::Integers(totals) => renamed(totals, moved, slots, 0),
            Self::Floats(totals) => renamed(totals, moved, slots, (0.0, 0.0)),
        }
    }

    pub(super) fn share(&mut self) -> Self {
        match self {
            Self::Integers(totals) => Self::Integers(totals.share()),
            Self::Floats(totals) => Self::Floats(totals.share()),
        }
    }

    pub(super) fn take_copied(&mut self) -> usize {
        match self {
            Self::Integers(totals) => totals.take_copied(),
            Self::Floats(totals) => totals.take_copied(),
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Self::Integers(totals) => 8 * doubled(totals.len()),
            Self::Floats(totals) => 16 * doubled(totals.len()),
        }
    }
}

fn renamed<T: Copy>(values: &mut Paged<T>, moved: &[u32], slots: usize, empty: T) {
    let before = values.replace(Paged::new(1));
    values.resize(slots, &[empty]);
    for (value, slot) in before.iter().zip(moved).filter(|(_, slot)| **slot != NO_SLOT) {
        *values.get_mut(*slot as usize) = *value;
    }
}

/// Values of some keys, while they are read.
pub(super) enum Sums {
    Integers(Vec<i64>),
    /// High and low part of each sum.
    Floats(Vec<(f64, f64)>),
}

impl Sums {
    /// So many zeros.
    pub(super) fn zero(kind: Additive, count: usize) -> Self {
        match kind {
            Additive::Count | Additive::Integer(_) => Self::Integers(vec![0; count]),
            Additive::Float => Self::Floats(vec![(0.0, 0.0); count]),
        }
    }

    /// Adds to each value the row of the column that belongs to it, if there is one.
    pub(super) fn add_rows(&mut self, rows: &[Option<usize>], part: &PaneColumn) {
        match (self, part) {
            (Self::Integers(totals), PaneColumn::Integers(part)) => {
                for (total, row) in totals.iter_mut().zip(rows) {
                    *total = row.map_or(*total, |row| total.wrapping_add(*part.get(row)));
                }
            }
            (Self::Floats(totals), PaneColumn::Floats(part)) => {
                for (total, row) in totals.iter_mut().zip(rows) {
                    *total = row.map_or(*total, |row| add(*total, *part.get(row)));
                }
            }
            _ => debug_assert!(false, "the columns of an aggregate have its type"),
        }
    }
}

/// The sum of a pair and a number, as a pair.
pub(super) fn add((high, low): (f64, f64), value: f64) -> (f64, f64) {
    let sum = high + value;
    let part = sum - high;
    let error = (high - (sum - part)) + (value - part) + low;
    let total = sum + error;
    (total, error - (total - sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_sums_that_are_taken_away_again_leave_what_was_there() {
        let mut total = add((0.0, 0.0), 0.1);
        let mut value = 1.0e-3_f64;
        for _ in 0..1_000_000 {
            total = add(total, value);
            total = add(total, -value);
            value = value * 1.000_03 + 0.7;
        }
        assert_eq!(total.0, 0.1);
    }
}
