//! The window of a table that closes next, followed instead of merged: panes are added to it and taken away.
//!
//! A key that has left the window starts at exactly zero again.

use std::collections::BTreeMap;

use super::aggregate::{AdditiveAggregate, Aggregates};
use super::pane::{Pairs, Pane, PaneColumn};
use super::seen::Seen;
use super::totals::{Totals, add};
use crate::window::keys::{NO_SLOT, doubled};
use crate::window::paged::Paged;

/// See the module.
pub(super) struct Running {
    /// Bounds of the window; `None` while no event waits for one.
    pub(super) window: Option<(i64, i64)>,
    /// Panes of the window that start before this are in the totals.
    pub(super) included_until: i64,
    /// Per additive aggregate of the panes, the totals, if the table needs it. The first counts rows.
    pub(super) additive: Vec<Option<Totals>>,
    /// Per distinct count of the panes, if the table needs it.
    pub(super) distinct: Vec<Option<Seen>>,
    /// Per pane of the window, how many of its pairs the distinct counts have taken in, in the order of `distinct`.
    caught: BTreeMap<i64, Vec<usize>>,
    /// Keys that have been in the window since it was last empty; those that have left it are dropped when met.
    active: Paged<u32>,
    listed: Vec<bool>,
}

impl Running {
    /// An empty one for the aggregates that `needs` tells, additive first.
    pub(super) fn new(aggregates: &Aggregates, additive: &[bool], distinct: &[bool]) -> Self {
        let totals = |(one, needed): (&AdditiveAggregate, &bool)| needed.then(|| Totals::new(one.kind));
        Self {
            window: None,
            included_until: i64::MIN,
            additive: aggregates.additive.iter().zip(additive).map(totals).collect(),
            distinct: distinct.iter().map(|needed| needed.then(Seen::default)).collect(),
            caught: BTreeMap::new(),
            active: Paged::new(1),
            listed: Vec::new(),
        }
    }

    pub(super) fn resize(&mut self, slots: usize) {
        self.additive.iter_mut().flatten().for_each(|totals| totals.resize(slots));
        self.distinct.iter_mut().flatten().for_each(|seen| seen.resize(slots));
        self.listed.resize(slots, false);
    }

    /// Whether a pane is in the totals.
    pub(super) fn holds(&self, pane: i64) -> bool {
        self.window.is_some_and(|(start, _)| start <= pane && pane < self.included_until)
    }

    /// Adds the totals of a pane.
    pub(super) fn include(&mut self, pane: &Pane) {
        let pane = pane.content();
        for (totals, column) in self.additive.iter_mut().zip(&pane.additive) {
            if let Some(totals) = totals {
                totals.change(&pane.slots, column, true);
            }
        }
        for slot in pane.slots.iter() {
            self.list(*slot);
        }
    }

    /// Takes a pane away that was included.
    pub(super) fn exclude(&mut self, start: i64, number: u32, pane: &Pane) {
        let pane = pane.content();
        for (totals, column) in self.additive.iter_mut().zip(&pane.additive) {
            if let Some(totals) = totals {
                totals.change(&pane.slots, column, false);
            }
        }
        if let Some(Some(Totals::Integers(rows))) = self.additive.first() {
            let left: Vec<u32> = pane.slots.iter().copied().filter(|slot| *rows.get(*slot as usize) == 0).collect();
            for totals in self.additive.iter_mut().flatten() {
                for slot in &left {
                    totals.clear(*slot as usize);
                }
            }
        }
        let Some(caught) = self.caught.remove(&start) else { return };
        for ((seen, pairs), caught) in self.distinct.iter_mut().zip(&pane.distinct).zip(caught) {
            if let Some(seen) = seen {
                seen.forget(pairs, caught, number);
            }
        }
    }

    /// Takes in the pairs of a pane of the window that are new since the last call. `owned` says that nobody else looks at
    /// the pairs: repeated ones are then dropped from the pane.
    pub(super) fn catch_up(&mut self, start: i64, number: u32, pane: &mut Pane, owned: bool) {
        let count = pane.content().distinct.len();
        if count == 0 {
            return;
        }
        let caught = self.caught.entry(start).or_insert_with(|| vec![0; count]);
        for (place, (seen, caught)) in self.distinct.iter_mut().zip(caught).enumerate() {
            let known = &pane.content().distinct[place];
            let Some(seen) = seen.as_mut().filter(|_| *caught < known.len()) else { continue };
            if owned {
                seen.take_in_first(&mut pane.content_mut().distinct[place], *caught, number);
            } else {
                seen.take_in(known, *caught..known.len(), number);
            }
            *caught = pane.content().distinct[place].len();
        }
    }

    /// Moves one key of a pane that is included: its row as it was is taken away, or, with `adds`, as it is now added.
    pub(super) fn correct(&mut self, pane: &Pane, row: usize, slot: u32, adds: bool) {
        let sign = |value: f64| if adds { value } else { -value };
        for (totals, column) in self.additive.iter_mut().zip(&pane.content().additive) {
            match (totals, column) {
                (Some(Totals::Integers(totals)), PaneColumn::Integers(column)) => {
                    let (total, value) = (totals.get_mut(slot as usize), *column.get(row));
                    *total = if adds { total.wrapping_add(value) } else { total.wrapping_sub(value) };
                }
                (Some(Totals::Floats(totals)), PaneColumn::Floats(column)) => {
                    let total = totals.get_mut(slot as usize);
                    *total = add(*total, sign(*column.get(row)));
                }
                _ => {}
            }
        }
        if adds {
            self.list(slot);
        }
    }

    fn list(&mut self, slot: u32) {
        if !std::mem::replace(&mut self.listed[slot as usize], true) {
            self.active.push(&[slot]);
        }
    }

    /// The keys that the totals hold, in the order in which they came.
    pub(super) fn active(&mut self) -> Vec<u32> {
        let mut active = self.all_active();
        if let Some(Some(Totals::Integers(rows))) = self.additive.first() {
            let listed = &mut self.listed;
            active.retain(|slot| {
                let is_in = *rows.get(*slot as usize) != 0;
                listed[*slot as usize] = is_in;
                is_in
            });
        }
        if active.len() < self.active.len() {
            self.active.fill(active.iter().copied());
        }
        active
    }

    /// As [`Self::active`], with those that have left the window and were not dropped yet.
    pub(super) fn all_active(&self) -> Vec<u32> {
        self.active.iter().copied().collect()
    }

    /// Restores the keys that the totals hold.
    pub(super) fn set_active(&mut self, active: &[u32]) {
        active.iter().for_each(|slot| self.list(*slot));
    }

    /// Forgets the window and everything in it.
    pub(super) fn clear(&mut self) {
        for slot in self.all_active() {
            self.listed[slot as usize] = false;
            for totals in self.additive.iter_mut().flatten() {
                totals.clear(slot as usize);
            }
        }
        self.active.fill([]);
        self.distinct.iter_mut().flatten().for_each(Seen::clear);
        self.caught.clear();
        self.window = None;
        self.included_until = i64::MIN;
    }

    /// Per pane whose pairs were taken in, how many of each distinct count.
    pub(super) fn caught(&self) -> &BTreeMap<i64, Vec<usize>> {
        &self.caught
    }

    /// Takes in again what had been taken in of a pane; false when it has not so many pairs.
    pub(super) fn restore_caught(&mut self, start: i64, number: u32, pairs: &[Pairs], caught: Vec<usize>) -> bool {
        if pairs.iter().zip(&caught).any(|(pairs, caught)| pairs.len() < *caught) {
            return false;
        }
        for ((seen, pairs), caught) in self.distinct.iter_mut().zip(pairs).zip(&caught) {
            if let Some(seen) = seen {
                seen.take_in(pairs, 0..*caught, number);
            }
        }
        self.caught.insert(start, caught);
        true
    }

    /// Forgets the pairs that were taken in, which are about to change: the next look takes all in again.
    pub(super) fn forget_caught(&mut self) {
        self.distinct.iter_mut().flatten().for_each(Seen::clear);
        self.caught.clear();
    }

    /// Gives every key its new slot.
    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
        self.additive.iter_mut().flatten().for_each(|totals| totals.rename(moved, slots));
        self.distinct.iter_mut().flatten().for_each(|seen| seen.rename(moved, slots));
        let active = self.all_active().into_iter().map(|slot| moved[slot as usize]).filter(|slot| *slot != NO_SLOT);
        let active: Vec<u32> = active.collect();
        self.active.fill([]);
        self.listed = vec![false; slots];
        self.set_active(&active);
    }

    /// A view: what is saved of it, as it is now.
    pub(super) fn share(&mut self) -> Self {
        Self {
            window: self.window,
            included_until: self.included_until,
            additive: self.additive.iter_mut().map(|totals| totals.as_mut().map(Totals::share)).collect(),
            distinct: Vec::new(),
            caught: self.caught.clone(),
            active: self.active.share(),
            listed: Vec::new(),
        }
    }

    /// Bytes that were copied because a view held them, since this was last asked.
    pub(super) fn take_copied(&mut self) -> usize {
        let totals: usize = self.additive.iter_mut().flatten().map(Totals::take_copied).sum();
        totals + self.active.take_copied()
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        let additive: usize = self.additive.iter().flatten().map(Totals::size).sum();
        let distinct: usize = self.distinct.iter().flatten().map(Seen::size).sum();
        additive + distinct + 4 * doubled(self.active.len()) + doubled(self.listed.len())
    }
}
