//! Counts and sums of a pane: one value per row, in pages that views share.

use crate::window::closed::aggregate::Additive;
use crate::window::closed::emit::Column;
use crate::window::closed::input::Contribution;
use crate::window::keys::doubled;
use crate::window::paged::Paged;

/// See the module.
#[derive(Clone)]
pub(in crate::window::closed) enum PaneColumn {
    Integers(Paged<i64>),
    Floats(Paged<f64>),
}

impl PaneColumn {
    pub(super) fn new(kind: Additive) -> Self {
        match kind {
            Additive::Count | Additive::Integer(_) => Self::Integers(Paged::new(1)),
            Additive::Float => Self::Floats(Paged::new(1)),
        }
    }

    /// The values that were saved.
    pub(in crate::window::closed) fn restored(values: Column) -> Self {
        match values {
            Column::Integers(values) => Self::Integers(values.into_iter().collect()),
            Column::Floats(values) => Self::Floats(values.into_iter().collect()),
        }
    }

    pub(super) fn resize(&mut self, rows: usize) {
        match self {
            Self::Integers(values) => values.resize(rows, &[0]),
            Self::Floats(values) => values.resize(rows, &[0.0]),
        }
    }

    pub(super) fn add(&mut self, part: &Contribution, events: &[u32], rows: &[u32]) {
        let pairs = events.iter().zip(rows);
        match (self, part) {
            (Self::Integers(values), Contribution::Ones) => {
                for row in rows {
                    *values.get_mut(*row as usize) += 1;
                }
            }
            (Self::Integers(values), Contribution::Integers(part)) => {
                for (event, row) in pairs {
                    let value = values.get_mut(*row as usize);
                    *value = value.wrapping_add(part[*event as usize]);
                }
            }
            (Self::Floats(values), Contribution::Floats(part)) => {
                for (event, row) in pairs {
                    *values.get_mut(*row as usize) += part[*event as usize];
                }
            }
            _ => debug_assert!(false, "the contributions of an aggregate have its type"),
        }
    }

    /// Keeps the values of some rows, in their order.
    pub(in crate::window::closed) fn keep(&mut self, rows: &[u32]) {
        match self {
            Self::Integers(values) => drop(values.replace(rows.iter().map(|row| *values.get(*row as usize)).collect())),
            Self::Floats(values) => drop(values.replace(rows.iter().map(|row| *values.get(*row as usize)).collect())),
        }
    }

    pub(super) fn freeze(&mut self) {
        match self {
            Self::Integers(values) => values.freeze(),
            Self::Floats(values) => values.freeze(),
        }
    }

    pub(super) fn take_copied(&mut self) -> usize {
        match self {
            Self::Integers(values) => values.take_copied(),
            Self::Floats(values) => values.take_copied(),
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Self::Integers(values) => 8 * doubled(values.len()),
            Self::Floats(values) => 8 * doubled(values.len()),
        }
    }
}
