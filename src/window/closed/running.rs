//! The window of a table that closes next, followed instead of merged: panes are added to it and taken away.
//!
//! Sums of floats are kept as unevaluated pairs (the double-double arithmetic of Dekker, 1971), so that what is added
//! and taken away again leaves nothing behind: the error is about 2^-104 of the largest sum that was held, where a plain
//! sum would drift by 2^-53 with each pane. A key that has left the window starts at exactly zero again.

use std::collections::BTreeMap;

use super::aggregate::{Additive, AdditiveAggregate, Aggregates};
use super::pane::{Column, Pairs, Pane};
use super::seen::Seen;
use crate::window::keys::{NO_SLOT, doubled};

/// Values by slot.
pub(super) enum Totals {
    Integers(Vec<i64>),
    /// High and low part of each sum.
    Floats(Vec<(f64, f64)>),
}

impl Totals {
    /// So many zeros.
    pub(super) fn zero(kind: Additive, count: usize) -> Self {
        match kind {
            Additive::Count | Additive::Integer(_) => Self::Integers(vec![0; count]),
            Additive::Float => Self::Floats(vec![(0.0, 0.0); count]),
        }
    }

    /// The values of some slots.
    pub(super) fn of(&self, slots: &[u32]) -> Self {
        match self {
            Self::Integers(totals) => Self::Integers(slots.iter().map(|slot| totals[*slot as usize]).collect()),
            Self::Floats(totals) => Self::Floats(slots.iter().map(|slot| totals[*slot as usize]).collect()),
        }
    }

    /// Adds to each value the row of the column that belongs to it, if there is one.
    pub(super) fn add_rows(&mut self, rows: &[Option<usize>], part: &Column) {
        match (self, part) {
            (Self::Integers(totals), Column::Integers(part)) => {
                for (total, row) in totals.iter_mut().zip(rows) {
                    *total = row.map_or(*total, |row| total.wrapping_add(part[row]));
                }
            }
            (Self::Floats(totals), Column::Floats(part)) => {
                for (total, row) in totals.iter_mut().zip(rows) {
                    *total = row.map_or(*total, |row| add(*total, part[row]));
                }
            }
            _ => debug_assert!(false, "the columns of an aggregate have its type"),
        }
    }

    fn resize(&mut self, slots: usize) {
        match self {
            Self::Integers(totals) => totals.resize(slots, 0),
            Self::Floats(totals) => totals.resize(slots, (0.0, 0.0)),
        }
    }

    fn clear(&mut self, slot: usize) {
        match self {
            Self::Integers(totals) => totals[slot] = 0,
            Self::Floats(totals) => totals[slot] = (0.0, 0.0),
        }
    }

    /// Adds a row of the column to each slot, or takes it away.
    fn change(&mut self, slots: &[u32], part: &Column, adds: bool) {
        match (self, part) {
            (Self::Integers(totals), Column::Integers(part)) => {
                for (slot, value) in slots.iter().zip(part) {
                    let total = &mut totals[*slot as usize];
                    *total = if adds { total.wrapping_add(*value) } else { total.wrapping_sub(*value) };
                }
            }
            (Self::Floats(totals), Column::Floats(part)) => {
                for (slot, value) in slots.iter().zip(part) {
                    let total = &mut totals[*slot as usize];
                    *total = add(*total, if adds { *value } else { -*value });
                }
            }
            _ => debug_assert!(false, "the columns of an aggregate have its type"),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Integers(totals) => 8 * doubled(totals.len()),
            Self::Floats(totals) => 16 * doubled(totals.len()),
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
    active: Vec<u32>,
    listed: Vec<bool>,
}

impl Running {
    /// An empty one for the aggregates that `needs` tells, additive first.
    pub(super) fn new(aggregates: &Aggregates, additive: &[bool], distinct: &[bool]) -> Self {
        let totals = |(one, needed): (&AdditiveAggregate, &bool)| needed.then(|| Totals::zero(one.kind, 0));
        Self {
            window: None,
            included_until: i64::MIN,
            additive: aggregates.additive.iter().zip(additive).map(totals).collect(),
            distinct: distinct.iter().map(|needed| needed.then(Seen::default)).collect(),
            caught: BTreeMap::new(),
            active: Vec::new(),
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
        for (totals, column) in self.additive.iter_mut().zip(&pane.additive) {
            if let Some(totals) = totals {
                totals.change(&pane.slots, column, true);
            }
        }
        for slot in &pane.slots {
            let listed = &mut self.listed[*slot as usize];
            if !std::mem::replace(listed, true) {
                self.active.push(*slot);
            }
        }
    }

    /// Takes a pane away that was included.
    pub(super) fn exclude(&mut self, start: i64, number: u32, pane: &Pane) {
        for (totals, column) in self.additive.iter_mut().zip(&pane.additive) {
            if let Some(totals) = totals {
                totals.change(&pane.slots, column, false);
            }
        }
        if let Some(Some(Totals::Integers(rows))) = self.additive.first() {
            let left: Vec<u32> = pane.slots.iter().copied().filter(|slot| rows[*slot as usize] == 0).collect();
            for totals in self.additive.iter_mut().flatten() {
                for slot in &left {
                    totals.clear(*slot as usize);
                }
            }
        }
        let Some(caught) = self.caught.remove(&start) else { return };
        for ((seen, pairs), caught) in self.distinct.iter_mut().zip(&pane.distinct).zip(caught) {
            if let Some(seen) = seen {
                seen.forget(&pairs.slots[..caught], &pairs.values[..caught], number);
            }
        }
    }

    /// Takes in the pairs of a pane of the window that are new since the last call. `owned` says that nobody else looks at
    /// the pairs: repeated ones are then dropped from the pane.
    pub(super) fn catch_up(&mut self, start: i64, number: u32, pairs: &mut [Pairs], owned: bool) {
        if pairs.is_empty() {
            return;
        }
        let caught = self.caught.entry(start).or_insert_with(|| vec![0; pairs.len()]);
        for ((seen, pairs), caught) in self.distinct.iter_mut().zip(pairs).zip(caught) {
            let Some(seen) = seen else { continue };
            if owned {
                seen.take_in_first(pairs, *caught, number);
            } else {
                seen.take_in(&pairs.slots[*caught..], &pairs.values[*caught..], number);
            }
            *caught = pairs.slots.len();
        }
    }

    /// Moves one key of a pane that is included: its row as it was is taken away, or, with `adds`, as it is now added.
    pub(super) fn correct(&mut self, pane: &Pane, row: usize, slot: u32, adds: bool) {
        let sign = |value: f64| if adds { value } else { -value };
        for (totals, column) in self.additive.iter_mut().zip(&pane.additive) {
            match (totals, column) {
                (Some(Totals::Integers(totals)), Column::Integers(column)) => {
                    let total = &mut totals[slot as usize];
                    *total = if adds { total.wrapping_add(column[row]) } else { total.wrapping_sub(column[row]) };
                }
                (Some(Totals::Floats(totals)), Column::Floats(column)) => {
                    let total = &mut totals[slot as usize];
                    *total = add(*total, sign(column[row]));
                }
                _ => {}
            }
        }
        if adds && !std::mem::replace(&mut self.listed[slot as usize], true) {
            self.active.push(slot);
        }
    }

    /// The keys that the totals hold, in the order in which they came.
    pub(super) fn active(&mut self) -> &[u32] {
        if let Some(Some(Totals::Integers(rows))) = self.additive.first() {
            let listed = &mut self.listed;
            self.active.retain(|slot| {
                let is_in = rows[*slot as usize] != 0;
                listed[*slot as usize] = is_in;
                is_in
            });
        }
        &self.active
    }

    /// As [`Self::active`], with those that have left the window and were not dropped yet.
    pub(super) fn all_active(&self) -> &[u32] {
        &self.active
    }

    /// Restores the keys that the totals hold.
    pub(super) fn set_active(&mut self, active: Vec<u32>) {
        for slot in &active {
            self.listed[*slot as usize] = true;
        }
        self.active = active;
    }

    /// Forgets the window and everything in it.
    pub(super) fn clear(&mut self) {
        for slot in self.active.drain(..) {
            self.listed[slot as usize] = false;
            for totals in self.additive.iter_mut().flatten() {
                totals.clear(slot as usize);
            }
        }
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
        let parts = pairs
            .iter()
            .zip(&caught)
            .map(|(pairs, caught)| Some((pairs.slots.get(..*caught)?, pairs.values.get(..*caught)?)));
        let Some(parts) = parts.collect::<Option<Vec<_>>>() else { return false };
        for (seen, (slots, values)) in self.distinct.iter_mut().zip(parts) {
            if let Some(seen) = seen {
                seen.take_in(slots, values, number);
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
        fn moved_to<T: Copy>(values: &mut Vec<T>, moved: &[u32], slots: usize, empty: T) {
            let mut renamed = vec![empty; slots];
            for (value, slot) in values.iter().zip(moved).filter(|(_, slot)| **slot != NO_SLOT) {
                renamed[*slot as usize] = *value;
            }
            *values = renamed;
        }
        for totals in self.additive.iter_mut().flatten() {
            match totals {
                Totals::Integers(totals) => moved_to(totals, moved, slots, 0),
                Totals::Floats(totals) => moved_to(totals, moved, slots, (0.0, 0.0)),
            }
        }
        self.distinct.iter_mut().flatten().for_each(|seen| seen.rename(moved, slots));
        self.active.retain_mut(|slot| {
            *slot = moved[*slot as usize];
            *slot != NO_SLOT
        });
        self.listed = vec![false; slots];
        for slot in &self.active {
            self.listed[*slot as usize] = true;
        }
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        let additive: usize = self.additive.iter().flatten().map(Totals::size).sum();
        let distinct: usize = self.distinct.iter().flatten().map(Seen::size).sum();
        additive + distinct + 4 * doubled(self.active.len()) + doubled(self.listed.len())
    }
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
