//! Running counts of distinct integers: `count(DISTINCT item_id)` over a horizon, as of the newest event.
//!
//! ```text
//!  entry: key, value, newest time      one hash table for all keys, and a chain through each key's entries
//!  bucket of a step of time: the entries whose newest time lay in it when they were put there
//!
//!  an event          moves its entry to the newest bucket; the count rises if the value was not in the horizon
//!  a tail that moves goes through the buckets that it passes; entries still of that time leave the count
//!  a read            copies; one for an earlier time undoes the key's newest rows and what left since then
//! ```
//!
//! Merging sets costs as much as they hold, at every read and every roll-up; this costs a look-up per event.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashTable};

use super::cells::NO_TAIL;
use super::distinct_values::{Aggregate, CountedHorizon, ENTRY_BYTES, NONE, Seen};
use super::plan::FeaturePlan;
use super::recent::{Recent, RecentBatch};
use super::tile::Horizon;
use crate::window::keys::NO_SLOT;

pub(super) struct RunningDistinct {
    aggregates: Vec<Aggregate>,
    width: usize,
    /// Per slot, its counts.
    counts: Vec<i64>,
    slots: usize,
}

impl RunningDistinct {
    pub(super) fn new(plan: &FeaturePlan) -> Self {
        let mut width = 0;
        let aggregates = plan.distinct.iter().map(|distinct| {
            let horizons = distinct.horizons.iter().map(|index| plan.horizons[*index].horizon);
            let offset = width;
            width += distinct.horizons.len();
            Aggregate {
                offset,
                step: horizons.clone().map(Horizon::step_micros).min().unwrap_or(1),
                horizons: distinct
                    .horizons
                    .iter()
                    .zip(horizons)
                    .map(|(index, horizon)| CountedHorizon { index: *index, horizon, tail: NO_TAIL })
                    .collect(),
                entries: Vec::new(),
                free: Vec::new(),
                table: HashTable::new(),
                heads: Vec::new(),
                buckets: BTreeMap::new(),
                expired: i64::MIN,
            }
        });
        let aggregates = aggregates.collect();
        Self { aggregates, width, counts: Vec::new(), slots: 0 }
    }

    /// Counts per read.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Makes room for keys up to `slots`.
    pub(super) fn resize(&mut self, slots: usize) {
        self.slots = slots;
        self.counts.resize(slots * self.width, 0);
        for aggregate in &mut self.aggregates {
            aggregate.heads.resize(slots, NONE);
        }
    }

    /// Moves the tails after the newest event time of the table.
    pub(super) fn advance(&mut self, newest: i64) {
        for aggregate in &mut self.aggregates {
            for place in 0..aggregate.horizons.len() {
                aggregate.advance(place, newest, self.width, &mut self.counts);
            }
        }
    }

    /// Adds one event, and notes in the row what it displaced.
    pub(super) fn apply(&mut self, batch: &mut RecentBatch, row: usize) {
        let (slot, ts) = (batch.slots[row], batch.times[row]);
        if slot == NO_SLOT {
            return;
        }
        for (aggregate, input) in self.aggregates.iter_mut().zip(&mut batch.distinct) {
            if !input.values.is_valid.value(row) {
                continue;
            }
            let before = aggregate.see(slot, input.values.words[row], ts);
            input.before[row] = before;
            let first = slot as usize * self.width + aggregate.offset;
            for (count, horizon) in self.counts[first..].iter_mut().zip(&aggregate.horizons) {
                *count += i64::from(ts > horizon.tail && before <= horizon.tail);
            }
        }
    }

    /// Forgets the values that no read at or after the watermark sees.
    pub(super) fn expire(&mut self, watermark: i64) {
        for aggregate in &mut self.aggregates {
            let Aggregate { horizons, buckets, .. } = aggregate;
            for (start, bucket) in buckets.iter_mut().filter(|(_, bucket)| !bucket.left.is_empty()) {
                let is_between =
                    |horizon: &CountedHorizon| horizon.horizon.tail(watermark) <= *start && *start < horizon.tail;
                if !horizons.iter().any(is_between) {
                    bucket.left = Vec::new();
                }
            }
            let tail = aggregate.horizons.iter().map(|horizon| horizon.horizon.tail(watermark)).min();
            aggregate.expire(tail.unwrap_or(i64::MIN));
        }
    }

    /// Pushes the counts of a key as of `t`; `is_current` tells the horizons whose running count is that.
    pub(super) fn read(
        &self,
        slot: u32,
        t: i64,
        recent: &Recent,
        is_current: impl Fn(usize) -> bool,
        counts: &mut Vec<i64>,
    ) {
        for (number, aggregate) in self.aggregates.iter().enumerate() {
            let mut later = None;
            for (place, horizon) in aggregate.horizons.iter().enumerate() {
                counts.push(if is_current(horizon.index) {
                    self.counts[slot as usize * self.width + aggregate.offset + place]
                } else {
                    let later = later.get_or_insert_with(|| seen(slot, t, recent, number));
                    let (now, tail) = (horizon.tail, horizon.horizon.tail(t));
                    if tail > now {
                        aggregate.count(slot, tail, later)
                    } else {
                        let running = self.counts[slot as usize * self.width + aggregate.offset + place];
                        running + aggregate.undone(slot, (tail, now), later)
                    }
                });
            }
        }
    }

    /// Adds the values of rows that wait, by time, to the counts of their key as of `t`, which is after every row applied.
    pub(super) fn add_later<'a>(
        &self,
        slot: u32,
        t: i64,
        rows: &(impl Iterator<Item = (&'a RecentBatch, usize)> + Clone),
        counts: &mut [i64],
    ) {
        for (number, aggregate) in self.aggregates.iter().enumerate() {
            let mut values: HashMap<i64, i64> = HashMap::new();
            for (batch, row) in rows.clone() {
                let input = &batch.distinct[number].values;
                if input.is_valid.value(row) {
                    values.insert(input.words[row], batch.times[row]);
                }
            }
            for (place, horizon) in aggregate.horizons.iter().enumerate() {
                let tail = horizon.horizon.tail(t);
                let is_new = |value: i64, seen: i64| seen > tail && aggregate.newest(slot, value) <= tail;
                let new = values.iter().filter(|(value, seen)| is_new(**value, **seen)).count();
                counts[aggregate.offset + place] += new as i64;
            }
        }
    }

    /// Gives every key its new slot.
    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
        let mut counts = vec![0; slots * self.width];
        for (slot, to) in moved.iter().enumerate().filter(|(_, to)| **to != NO_SLOT) {
            let (from, to) = (slot * self.width, *to as usize * self.width);
            counts[to..to + self.width].copy_from_slice(&self.counts[from..from + self.width]);
        }
        (self.counts, self.slots) = (counts, slots);
        for aggregate in &mut self.aggregates {
            aggregate.rename(moved, slots);
        }
    }

    /// Number of aggregates.
    pub(super) fn len(&self) -> usize {
        self.aggregates.len()
    }

    /// How many entries an aggregate has.
    pub(super) fn entry_count(&self, aggregate: usize) -> usize {
        self.aggregates[aggregate].table.len()
    }

    /// The entries of an aggregate (slot, value, newest time) from the oldest step of time to the newest.
    pub(super) fn entries(&self, aggregate: usize) -> impl Iterator<Item = (u32, i64, i64)> {
        self.aggregates[aggregate].by_time().map(|entry| (entry.slot, entry.value, entry.newest))
    }

    /// Makes room for so many entries.
    pub(super) fn reserve(&mut self, aggregate: usize, entries: usize) {
        let aggregate = &mut self.aggregates[aggregate];
        // A damaged count must not ask for more memory than there are bytes.
        let entries = entries.min(1 << 20);
        aggregate.entries.reserve(entries);
        let Aggregate { table, entries: all, .. } = aggregate;
        table.reserve(entries, |id| all[*id as usize].hash());
    }

    /// Takes over saved entries as of `newest`, into a table of that many slots.
    pub(super) fn restore(
        &mut self,
        aggregate: usize,
        newest: i64,
        expired: i64,
        entries: impl Iterator<Item = (u32, i64, i64)>,
    ) {
        let width = self.width;
        let aggregate = &mut self.aggregates[aggregate];
        for horizon in &mut aggregate.horizons {
            horizon.tail = horizon.horizon.tail(newest);
        }
        aggregate.expired = expired;
        for (slot, value, seen) in entries {
            aggregate.see(slot, value, seen);
            let first = slot as usize * width + aggregate.offset;
            for (count, horizon) in self.counts[first..].iter_mut().zip(&aggregate.horizons) {
                *count += i64::from(seen > horizon.tail);
            }
        }
    }

    /// Orders what left the horizons since the watermark, for reads of then, once all entries are restored.
    pub(super) fn restore_left(&mut self, watermark: i64) {
        for aggregate in &mut self.aggregates {
            for place in 0..aggregate.horizons.len() {
                let CountedHorizon { horizon, tail, .. } = aggregate.horizons[place];
                aggregate.leave(horizon.tail(watermark), tail, |_| ());
            }
        }
    }

    /// Per aggregate, the time up to which values were forgotten.
    pub(super) fn expired(&self) -> impl Iterator<Item = i64> {
        self.aggregates.iter().map(|aggregate| aggregate.expired)
    }

    /// Entries per key, added to `weights` as bytes.
    pub(super) fn weigh(&self, weights: &mut [u64]) {
        for entry in self.aggregates.iter().flat_map(|aggregate| &aggregate.entries) {
            if let Some(weight) = weights.get_mut(entry.slot as usize) {
                *weight += ENTRY_BYTES as u64;
            }
        }
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        let entries: usize = self.aggregates.iter().map(|aggregate| ENTRY_BYTES * aggregate.table.len()).sum();
        entries + self.slots * (8 * self.width + 4 * self.aggregates.len())
    }
}

/// The values of the rows of the key that arrived since something was newer than `t`.
fn seen(slot: u32, t: i64, recent: &Recent, aggregate: usize) -> HashMap<i64, Seen> {
    let mut values: HashMap<i64, Seen> = HashMap::new();
    for (batch, row) in recent.of_key_since(slot, t) {
        let input = &batch.distinct[aggregate];
        if !input.values.is_valid.value(row) {
            continue;
        }
        let seen = values.entry(input.values.words[row]).or_default();
        // The rows come newest first: what the oldest of them found had arrived when nothing was newer than `t`.
        seen.before = input.before[row];
        if batch.times[row] > t {
            seen.has_later = true;
        } else {
            seen.newest = seen.newest.max(Some(batch.times[row]));
        }
    }
    values
}
