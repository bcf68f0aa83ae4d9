//! Running counts of distinct integers: `count(DISTINCT item_id)` over a horizon, as of the newest event.
//!
//! Merging sets costs as much as they hold, at every read; for a popular key that is most of a table's work. Here each
//! key keeps, per value, the newest time it was seen at: the count over a horizon is the number of values newer than
//! its tail. Like a running cell it is tagged with its tail, follows each event while the tag is current, and is counted
//! anew by the first read after the tail has moved. Reads of other times merge tiles as every other aggregate does.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::plan::FeaturePlan;
use super::recent::RecentBatch;
use super::tile::Horizon;
use crate::window::keys::NO_SLOT;

/// The tag of a count that holds nothing.
const STALE: i64 = i64::MIN;

pub(super) struct RunningDistinct {
    aggregates: Vec<Aggregate>,
    width: usize,
}

struct Aggregate {
    /// Index among the merged aggregates.
    merged: usize,
    horizons: Vec<CountedHorizon>,
    keys: Vec<KeyValues>,
}

struct CountedHorizon {
    /// Index among the horizons of the plan.
    index: usize,
    horizon: Horizon,
    /// As of the newest event of the table.
    tail: i64,
}

#[derive(Default)]
struct KeyValues {
    newest: HashMap<i64, i64>,
    /// Per horizon, the tail that the count holds for, and the count.
    counts: Vec<(i64, i64)>,
}

impl RunningDistinct {
    pub(super) fn new(plan: &FeaturePlan) -> Self {
        let aggregates = plan.distinct.iter().map(|distinct| Aggregate {
            merged: distinct.aggregate,
            horizons: distinct
                .horizons
                .iter()
                .map(|index| CountedHorizon { index: *index, horizon: plan.horizons[*index].horizon, tail: STALE })
                .collect(),
            keys: Vec::new(),
        });
        let width = plan.distinct.iter().map(|distinct| distinct.horizons.len()).sum();
        Self { aggregates: aggregates.collect(), width }
    }

    /// Counts per read.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The horizons of the counts, in the order of a read's counts.
    pub(super) fn horizons(&self) -> impl Iterator<Item = usize> {
        self.aggregates.iter().flat_map(|aggregate| aggregate.horizons.iter().map(|horizon| horizon.index))
    }

    /// Makes room for keys up to `slots`.
    pub(super) fn resize(&mut self, slots: usize) {
        for aggregate in &mut self.aggregates {
            aggregate.keys.resize_with(slots, KeyValues::default);
        }
    }

    /// Moves the tails after the newest event time of the table.
    pub(super) fn advance(&mut self, newest: i64) {
        for horizon in self.aggregates.iter_mut().flat_map(|aggregate| &mut aggregate.horizons) {
            horizon.tail = horizon.horizon.tail(newest);
        }
    }

    /// Adds one event.
    pub(super) fn apply(&mut self, batch: &RecentBatch, row: usize) {
        let (slot, ts) = (batch.slots[row], batch.times[row]);
        if slot == NO_SLOT {
            return;
        }
        for aggregate in &mut self.aggregates {
            let input = &batch.merged[aggregate.merged];
            let values = input.arguments[0].as_primitive::<Int64Type>();
            if values.is_null(row) || input.filter.as_ref().is_some_and(|filter| !filter.value(row)) {
                continue;
            }
            let key = &mut aggregate.keys[slot as usize];
            let before = match key.newest.entry(values.value(row)) {
                Entry::Occupied(mut seen) => {
                    let before = *seen.get();
                    seen.insert(before.max(ts));
                    before
                }
                Entry::Vacant(new) => {
                    new.insert(ts);
                    i64::MIN
                }
            };
            for (count, horizon) in key.counts.iter_mut().zip(&aggregate.horizons) {
                if count.0 == horizon.tail && ts > horizon.tail && before <= horizon.tail {
                    count.1 += 1;
                }
            }
        }
    }

    /// The counts of a key over all horizons as of the newest event; pushes `None`'s stand-in, -1, for horizons of
    /// which `is_current` says that the read is for another time.
    pub(super) fn read(&mut self, slot: usize, is_current: impl Fn(usize) -> bool, counts: &mut Vec<i64>) {
        for aggregate in &mut self.aggregates {
            let key = &mut aggregate.keys[slot];
            key.counts.resize(aggregate.horizons.len(), (STALE, 0));
            let widest = aggregate.horizons.iter().map(|horizon| horizon.tail).min().unwrap_or(STALE);
            for (count, horizon) in key.counts.iter_mut().zip(&aggregate.horizons) {
                if !is_current(horizon.index) {
                    counts.push(-1);
                    continue;
                }
                if count.0 != horizon.tail {
                    key.newest.retain(|_, newest| *newest > widest);
                    *count =
                        (horizon.tail, key.newest.values().filter(|newest| **newest > horizon.tail).count() as i64);
                }
                counts.push(count.1);
            }
        }
    }

    /// Gives every key its new slot.
    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
        for aggregate in &mut self.aggregates {
            let mut keys: Vec<KeyValues> = Vec::new();
            keys.resize_with(slots, KeyValues::default);
            for (key, slot) in aggregate.keys.drain(..).zip(moved).filter(|(_, slot)| **slot != NO_SLOT) {
                keys[*slot as usize] = key;
            }
            aggregate.keys = keys;
        }
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        let keys = self.aggregates.iter().flat_map(|aggregate| &aggregate.keys);
        keys.map(|key| size_of::<KeyValues>() + 17 * key.newest.capacity() + 16 * key.counts.capacity()).sum()
    }
}
