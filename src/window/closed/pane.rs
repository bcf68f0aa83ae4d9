//! A pane: what the events of one slice of time give per key, whatever windows are over it.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::aggregate::{Additive, Aggregates};
use super::input::{Contribution, Input};
use super::partial::Partial;
use crate::window::WindowError;
use crate::window::keys::{doubled, hashed};
use crate::window::slot_hash::SlotHash;

/// One value per row of a pane.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Column {
    Integers(Vec<i64>),
    Floats(Vec<f64>),
}

impl Column {
    pub(super) fn new(kind: Additive) -> Self {
        match kind {
            Additive::Count | Additive::Integer(_) => Self::Integers(Vec::new()),
            Additive::Float => Self::Floats(Vec::new()),
        }
    }

    fn with_capacity(kind: Additive, rows: usize) -> Self {
        match kind {
            Additive::Count | Additive::Integer(_) => Self::Integers(Vec::with_capacity(rows)),
            Additive::Float => Self::Floats(Vec::with_capacity(rows)),
        }
    }

    fn resize(&mut self, rows: usize) {
        match self {
            Self::Integers(values) => values.resize(rows, 0),
            Self::Floats(values) => values.resize(rows, 0.0),
        }
    }

    fn add(&mut self, part: &Contribution, events: &[u32], rows: &[u32]) {
        let pairs = events.iter().zip(rows);
        match (self, part) {
            (Self::Integers(values), Contribution::Ones) => {
                for row in rows {
                    values[*row as usize] += 1;
                }
            }
            (Self::Integers(values), Contribution::Integers(part)) => {
                for (event, row) in pairs {
                    let value = &mut values[*row as usize];
                    *value = value.wrapping_add(part[*event as usize]);
                }
            }
            (Self::Floats(values), Contribution::Floats(part)) => {
                for (event, row) in pairs {
                    values[*row as usize] += part[*event as usize];
                }
            }
            _ => debug_assert!(false, "the contributions of an aggregate have its type"),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Integers(values) => 8 * doubled(values.len()),
            Self::Floats(values) => 8 * doubled(values.len()),
        }
    }
}

/// The values that a distinct count has seen, each with its key, in the order of arrival; possibly more than once.
#[derive(Default)]
pub(super) struct Pairs {
    pub(super) slots: Vec<u32>,
    pub(super) values: Vec<i64>,
}

/// See the module.
pub(super) struct Pane {
    rows: HashMap<u32, u32, SlotHash>,
    pub(super) slots: Vec<u32>,
    pub(super) additive: Vec<Column>,
    pub(super) distinct: Vec<Pairs>,
    pub(super) merged: Vec<Partial>,
}

/// Scratch space of [`Pane::add`], kept between calls.
#[derive(Default)]
pub(super) struct Scratch {
    rows: Vec<u32>,
}

impl Pane {
    pub(super) fn new(aggregates: &Aggregates) -> Self {
        Self {
            rows: HashMap::default(),
            slots: Vec::new(),
            additive: aggregates.additive.iter().map(|one| Column::new(one.kind)).collect(),
            distinct: aggregates.distinct.iter().map(|_| Pairs::default()).collect(),
            merged: aggregates.merged.iter().map(|_| Partial::default()).collect(),
        }
    }

    /// A pane that will hold about as much as another: it need not be copied from smaller memory to larger as it grows.
    pub(super) fn like(other: &Self, aggregates: &Aggregates) -> Self {
        let rows = other.slots.len();
        let pairs = |pairs: &Pairs| Pairs {
            slots: Vec::with_capacity(pairs.slots.len()),
            values: Vec::with_capacity(pairs.values.len()),
        };
        Self {
            rows: HashMap::with_capacity_and_hasher(rows, SlotHash),
            slots: Vec::with_capacity(rows),
            additive: aggregates.additive.iter().map(|one| Column::with_capacity(one.kind, rows)).collect(),
            distinct: other.distinct.iter().map(pairs).collect(),
            ..Self::new(aggregates)
        }
    }

    /// Adds events, given by their place in the input; each has a key.
    pub(super) fn add(
        &mut self,
        aggregates: &Aggregates,
        input: &Input,
        events: &[u32],
        scratch: &mut Scratch,
    ) -> Result<(), WindowError> {
        scratch.rows.clear();
        for event in events {
            scratch.rows.push(self.row(input.slots[*event as usize]));
        }
        for (column, part) in self.additive.iter_mut().zip(&input.additive) {
            column.resize(self.slots.len());
            column.add(part, events, &scratch.rows);
        }
        for (pairs, part) in self.distinct.iter_mut().zip(&input.distinct) {
            for event in events {
                let event = *event as usize;
                if part.counts.as_ref().is_none_or(|counts| counts.value(event)) {
                    pairs.slots.push(input.slots[event]);
                    pairs.values.push(part.values[event]);
                }
            }
        }
        for ((partial, part), aggregate) in self.merged.iter_mut().zip(&input.merged).zip(&aggregates.merged) {
            partial.push(aggregate, part, &input.slots, events)?;
        }
        Ok(())
    }

    /// The row of a key, if the pane has events of it.
    pub(super) fn row_of(&self, slot: u32) -> Option<usize> {
        self.rows.get(&slot).map(|row| *row as usize)
    }

    fn row(&mut self, slot: u32) -> u32 {
        match self.rows.entry(slot) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let row = self.slots.len() as u32;
                self.slots.push(slot);
                *new.insert(row)
            }
        }
    }

    /// No more events are expected: states are merged into one batch.
    pub(super) fn close(&mut self, aggregates: &Aggregates) -> Result<(), WindowError> {
        for (partial, aggregate) in self.merged.iter_mut().zip(&aggregates.merged) {
            partial.close(aggregate)?;
        }
        Ok(())
    }

    /// A pane of saved parts.
    pub(super) fn from_parts(
        slots: Vec<u32>,
        additive: Vec<Column>,
        distinct: Vec<Pairs>,
        merged: Vec<Partial>,
    ) -> Self {
        let mut pane = Self { rows: HashMap::default(), slots, additive, distinct, merged };
        pane.index();
        pane
    }

    /// Finds rows by their keys again, after those have changed.
    pub(super) fn index(&mut self) {
        self.rows = self.slots.iter().zip(0..).map(|(slot, row)| (*slot, row)).collect();
    }

    /// Memory held, bytes: a function of the content, the same after a restart.
    pub(super) fn size(&self) -> usize {
        let additive: usize = self.additive.iter().map(Column::size).sum();
        let distinct: usize = self.distinct.iter().map(|pairs| 12 * doubled(pairs.slots.len())).sum();
        let merged: usize = self.merged.iter().map(Partial::size).sum();
        additive + distinct + merged + 4 * doubled(self.slots.len()) + 9 * hashed(self.slots.len())
    }
}
