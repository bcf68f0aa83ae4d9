//! A pane: what the events of one slice of time give per key, whatever windows are over it.
//!
//! What it gives is shared with views, and made its own again by the first write after one: pointers to pages, not the pages.

mod column;

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::aggregate::Aggregates;
use super::input::Input;
use super::partial::Partial;
use crate::window::WindowError;
use crate::window::keys::{doubled, hashed};
use crate::window::log::Log;
use crate::window::slot_hash::SlotHash;

pub(super) use self::column::PaneColumn;

/// The values that a distinct count has seen, each with its key, in the order of arrival; possibly more than once.
#[derive(Clone, Default)]
pub(super) struct Pairs {
    slots: Log<u32>,
    values: Log<i64>,
}

impl Pairs {
    /// Values and their keys, of which there are as many.
    pub(super) fn of(slots: impl IntoIterator<Item = u32>, values: impl IntoIterator<Item = i64>) -> Self {
        Self { slots: slots.into_iter().collect(), values: values.into_iter().collect() }
    }

    pub(super) fn push(&mut self, slot: u32, value: i64) {
        self.slots.push(slot);
        self.values.push(value);
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn slots(&self) -> &Log<u32> {
        &self.slots
    }

    pub(super) fn values(&self) -> &Log<i64> {
        &self.values
    }

    /// Keys and values of some pairs, in pieces.
    pub(super) fn pieces(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = (&[u32], &[i64])> {
        self.slots.pieces(range.clone()).zip(self.values.pieces(range))
    }

    /// Takes away the pairs from a place on.
    pub(super) fn split_off(&mut self, first: usize) -> (Vec<u32>, Vec<i64>) {
        (self.slots.split_off(first), self.values.split_off(first))
    }
}

/// See the module.
pub(super) struct Pane {
    rows: HashMap<u32, u32, SlotHash>,
    content: Arc<Content>,
    /// Whether it may have changed since a view of it was taken: of the many panes of a wide window few do.
    is_written: bool,
}

/// What a pane gives: everything but where the row of a key is.
#[derive(Clone)]
pub(super) struct Content {
    /// The key of each row.
    pub(super) slots: Log<u32>,
    pub(super) additive: Vec<PaneColumn>,
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
        Self::of(Content {
            slots: Log::default(),
            additive: aggregates.additive.iter().map(|one| PaneColumn::new(one.kind)).collect(),
            distinct: aggregates.distinct.iter().map(|_| Pairs::default()).collect(),
            merged: aggregates.merged.iter().map(|_| Partial::default()).collect(),
        })
    }

    /// A pane that will hold about as much as another: its index need not grow.
    pub(super) fn like(other: &Self, aggregates: &Aggregates) -> Self {
        let rows = HashMap::with_capacity_and_hasher(other.content.slots.len(), SlotHash);
        Self { rows, ..Self::new(aggregates) }
    }

    /// A pane that gives this.
    pub(super) fn of(content: Content) -> Self {
        let mut pane = Self { rows: HashMap::default(), content: Arc::new(content), is_written: true };
        pane.index();
        pane
    }

    /// Finds rows by their keys again, after those have changed.
    pub(super) fn index(&mut self) {
        self.rows = self.content.slots.iter().zip(0..).map(|(slot, row)| (*slot, row)).collect();
    }

    /// What it gives.
    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    /// What it gives, to be changed. Who changes keys makes the [index](Self::index) again.
    pub(super) fn content_mut(&mut self) -> &mut Content {
        self.is_written = true;
        Arc::make_mut(&mut self.content)
    }

    /// Adds events, given by their place in the input; each has a key.
    pub(super) fn add(
        &mut self,
        aggregates: &Aggregates,
        input: &Input,
        events: &[u32],
        scratch: &mut Scratch,
    ) -> Result<(), WindowError> {
        self.is_written = true;
        let content = Arc::make_mut(&mut self.content);
        scratch.rows.clear();
        for event in events {
            let slot = input.slots[*event as usize];
            scratch.rows.push(match self.rows.entry(slot) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    let row = content.slots.len() as u32;
                    content.slots.push(slot);
                    *new.insert(row)
                }
            });
        }
        for (column, part) in content.additive.iter_mut().zip(&input.additive) {
            column.resize(content.slots.len());
            column.add(part, events, &scratch.rows);
        }
        for (pairs, part) in content.distinct.iter_mut().zip(&input.distinct) {
            for event in events {
                let event = *event as usize;
                if part.counts.as_ref().is_none_or(|counts| counts.value(event)) {
                    pairs.push(input.slots[event], part.values[event]);
                }
            }
        }
        for ((partial, part), aggregate) in content.merged.iter_mut().zip(&input.merged).zip(&aggregates.merged) {
            partial.push(aggregate, part, &input.slots, events)?;
        }
        Ok(())
    }

    /// The row of a key, if the pane has events of it.
    pub(super) fn row_of(&self, slot: u32) -> Option<usize> {
        self.rows.get(&slot).map(|row| *row as usize)
    }

    /// No more events are expected: states are merged into one batch.
    pub(super) fn close(&mut self, aggregates: &Aggregates) -> Result<(), WindowError> {
        for (partial, aggregate) in self.content_mut().merged.iter_mut().zip(&aggregates.merged) {
            partial.close(aggregate)?;
        }
        Ok(())
    }

    /// A view: what it gives now, whatever is added from now on. It finds no row by its key.
    pub(super) fn share(&mut self) -> Self {
        if std::mem::take(&mut self.is_written)
            && let Some(content) = Arc::get_mut(&mut self.content)
        {
            content.additive.iter_mut().for_each(PaneColumn::freeze);
        }
        Self { rows: HashMap::default(), content: Arc::clone(&self.content), is_written: false }
    }

    /// Bytes that were copied because a view held them, since this was last asked.
    pub(super) fn take_copied(&mut self) -> usize {
        if !self.is_written {
            return 0;
        }
        // What a view has too has not been written since.
        let content = Arc::get_mut(&mut self.content);
        content.map_or(0, |content| content.additive.iter_mut().map(PaneColumn::take_copied).sum())
    }

    /// Bytes that views alone have once the pane is dropped.
    pub(super) fn left_to_views(&self) -> usize {
        if Arc::strong_count(&self.content) > 1 { self.content.size() } else { 0 }
    }

    /// Memory held, bytes: a function of the content, the same after a restart.
    pub(super) fn size(&self) -> usize {
        self.content.size() + 9 * hashed(self.content.slots.len())
    }
}

impl Content {
    fn size(&self) -> usize {
        let distinct: usize = self.distinct.iter().map(|pairs| 12 * doubled(pairs.len())).sum();
        let merged: usize = self.merged.iter().map(Partial::size).sum();
        self.columns_size() + distinct + merged + 4 * doubled(self.slots.len())
    }

    /// Bytes of counts and sums.
    pub(super) fn columns_size(&self) -> usize {
        self.additive.iter().map(PaneColumn::size).sum()
    }
}
