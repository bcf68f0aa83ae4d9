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

use std::sync::Arc;

use hashbrown::HashMap;

use super::cells::NO_TAIL;
use super::distinct_values::{Aggregate, CountedHorizon, ENTRY_BYTES, LeavingValues, NONE, Seen};
use super::plan::FeaturePlan;
use super::recent::{Recent, RecentBatch};
use crate::window::keys::NO_SLOT;
use crate::window::paged::Paged;

/// Values that leave the counts at once; of more, some after each step.
const AT_ONCE: usize = if cfg!(test) { 2 } else { 4_096 };

pub(super) struct RunningDistinct {
    aggregates: Vec<Aggregate>,
    width: usize,
    /// Per slot, its counts. Those of [values that leave](LeavingValues) are still in them.
    counts: Paged<i64>,
    /// The counts of a new key.
    blank: Vec<i64>,
}

impl RunningDistinct {
    pub(super) fn new(plan: &FeaturePlan) -> Self {
        let mut width = 0;
        let aggregates = plan.distinct.iter().map(|distinct| {
            let horizons = distinct.horizons.iter().map(|index| CountedHorizon {
                index: *index,
                horizon: plan.horizons[*index].horizon,
                tail: NO_TAIL,
                leaving: LeavingValues::default(),
            });
            let offset = width;
            width += distinct.horizons.len();
            Aggregate::new(offset, horizons.collect())
        });
        let aggregates = aggregates.collect();
        Self { aggregates, width, counts: Paged::new(width), blank: vec![0; width.max(1)] }
    }

    /// A view: these counts and values, whatever comes after. It is read as of the newest event, and saved.
    pub(super) fn share(&mut self) -> Self {
        Self {
            aggregates: self.aggregates.iter_mut().map(Aggregate::share).collect(),
            width: self.width,
            counts: self.counts.share(),
            blank: self.blank.clone(),
        }
    }

    /// Gives back the counts of slots below this one.
    pub(super) fn release_below(&mut self, slot: u32) {
        self.counts.release_below(slot as usize);
    }

    /// Bytes of pages of counts that views have made it copy or move, since they were last [taken](Self::take_copied).
    pub(super) fn touched(&self) -> usize {
        self.counts.touched()
    }

    /// Bytes that were copied because a view held them, since this was last asked.
    pub(super) fn take_copied(&mut self) -> usize {
        let entries: usize = self.aggregates.iter_mut().map(|aggregate| aggregate.entries.take_copied()).sum();
        self.counts.take_copied() + entries
    }

    /// Counts per read.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Makes room for keys up to `slots`.
    pub(super) fn resize(&mut self, slots: usize) {
        self.counts.resize(slots, &self.blank);
        for aggregate in &mut self.aggregates {
            aggregate.heads.resize(slots, NONE);
        }
    }

    /// Moves the tails after the newest event time of the table.
    pub(super) fn advance(&mut self, newest: i64) {
        for aggregate in &mut self.aggregates {
            for place in 0..aggregate.horizons.len() {
                let mut slots = aggregate.advance(place, newest);
                if slots.is_empty() {
                    continue;
                }
                let horizon = &mut aggregate.horizons[place];
                take_off(&mut self.counts, aggregate.offset + place, &mut horizon.leaving, usize::MAX);
                slots.sort_unstable();
                let at_once = if slots.len() <= AT_ONCE { usize::MAX } else { 0 };
                horizon.leaving = LeavingValues { slots: Arc::new(slots), done: 0 };
                take_off(&mut self.counts, aggregate.offset + place, &mut horizon.leaving, at_once);
            }
        }
    }

    /// Whether values that have left are still in some counts.
    pub(super) fn is_leaving(&self) -> bool {
        self.aggregates.iter().flat_map(|aggregate| &aggregate.horizons).any(|one| !one.leaving.slots.is_empty())
    }

    /// Takes the next few of the values that have left off the counts.
    pub(super) fn go_on(&mut self, values: usize) {
        for aggregate in &mut self.aggregates {
            for (place, horizon) in aggregate.horizons.iter_mut().enumerate() {
                if !horizon.leaving.slots.is_empty() {
                    return take_off(&mut self.counts, aggregate.offset + place, &mut horizon.leaving, values);
                }
            }
        }
    }

    /// Takes everything off the counts that has left.
    pub(super) fn finish(&mut self) {
        while self.is_leaving() {
            self.go_on(usize::MAX);
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
            let counts = &mut self.counts.row_mut(slot as usize)[aggregate.offset..];
            for (count, horizon) in counts.iter_mut().zip(&aggregate.horizons) {
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
                let running = self.counts.row(slot as usize)[aggregate.offset + place] - horizon.leaving.of(slot);
                counts.push(if is_current(horizon.index) {
                    running
                } else {
                    let later = later.get_or_insert_with(|| seen(slot, t, recent, number));
                    let (now, tail) = (horizon.tail, horizon.horizon.tail(t));
                    if tail > now {
                        aggregate.count(slot, tail, later)
                    } else {
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

    /// Gives every key its new slot; nothing is leaving.
    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
        let mut before = self.counts.replace(Paged::new(self.width));
        self.counts.resize(slots, &self.blank);
        for (slot, to) in moved.iter().enumerate().filter(|(_, to)| **to != NO_SLOT) {
            self.counts.row_mut(*to as usize).copy_from_slice(before.row(slot));
            before.release_below(slot);
        }
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
        self.aggregates[aggregate].count
    }

    /// The entries of an aggregate (slot, value, newest time) from the oldest step of time to the newest.
    pub(super) fn entries(&self, aggregate: usize) -> impl Iterator<Item = (u32, i64, i64)> {
        self.aggregates[aggregate].ordered().map(|entry| (entry.slot, entry.value, entry.newest))
    }

    /// Makes room for so many entries.
    pub(super) fn reserve(&mut self, aggregate: usize, entries: usize) {
        let aggregate = &mut self.aggregates[aggregate];
        // A damaged count must not ask for more memory than there are bytes.
        let entries = entries.min(1 << 20);
        let Aggregate { table, entries: all, links, .. } = aggregate;
        links.reserve(entries);
        table.reserve(entries, |id| all.get(*id as usize).hash());
    }

    /// Takes over saved entries as of `newest`, into a table of that many slots.
    pub(super) fn restore(
        &mut self,
        aggregate: usize,
        newest: i64,
        expired: i64,
        entries: impl Iterator<Item = (u32, i64, i64)>,
    ) {
        let aggregate = &mut self.aggregates[aggregate];
        for horizon in &mut aggregate.horizons {
            horizon.tail = horizon.horizon.tail(newest);
        }
        aggregate.expired = expired;
        for (slot, value, seen) in entries {
            aggregate.see(slot, value, seen);
            let counts = &mut self.counts.row_mut(slot as usize)[aggregate.offset..];
            for (count, horizon) in counts.iter_mut().zip(&aggregate.horizons) {
                *count += i64::from(seen > horizon.tail);
            }
        }
    }

    /// Orders what left the horizons since the watermark, for reads of then, once all entries are restored.
    pub(super) fn restore_left(&mut self, watermark: i64) {
        for aggregate in &mut self.aggregates {
            for place in 0..aggregate.horizons.len() {
                let CountedHorizon { horizon, tail, .. } = aggregate.horizons[place].clone();
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
        for entry in self.aggregates.iter().flat_map(Aggregate::held) {
            if let Some(weight) = weights.get_mut(entry.slot as usize) {
                *weight += ENTRY_BYTES as u64;
            }
        }
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        let entries: usize = self.aggregates.iter().map(|aggregate| ENTRY_BYTES * aggregate.count).sum();
        entries + self.counts.len() * (8 * self.width + 4 * self.aggregates.len())
    }
}

/// Takes the next few of the values that have left off the counts at a place.
fn take_off(counts: &mut Paged<i64>, place: usize, leaving: &mut LeavingValues, values: usize) {
    let (slots, range) = leaving.take(values);
    slots[range].iter().for_each(|slot| counts.row_mut(*slot as usize)[place] -= 1);
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
