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
use super::plan::FeaturePlan;
use super::recent::{Recent, RecentBatch, renamed};
use super::tile::{Horizon, tile_start};
use crate::window::keys::{NO_SLOT, mix};

const NONE: u32 = u32::MAX;

pub(super) struct RunningDistinct {
    aggregates: Vec<Aggregate>,
    width: usize,
    /// Per slot, its counts.
    counts: Vec<i64>,
    slots: usize,
}

struct Aggregate {
    /// Place of the first count among the counts of a key.
    offset: usize,
    /// Width of the buckets: the finest step of the horizons.
    step: i64,
    horizons: Vec<CountedHorizon>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    table: HashTable<u32>,
    /// Per slot, the first entry of its chain.
    heads: Vec<u32>,
    buckets: BTreeMap<i64, Bucket>,
    /// What is not newer than this is seen by no read to come.
    expired: i64,
}

/// The entries whose newest time lay in one step when they were put there.
#[derive(Default)]
struct Bucket {
    ids: Vec<u32>,
    /// When a tail has passed the bucket and reads before that are still to come: slots and ids of the first
    /// `left_ids`, ordered.
    left: Vec<(u32, u32)>,
    left_ids: usize,
}

#[derive(Clone, Copy)]
struct CountedHorizon {
    /// Index among the horizons of the plan.
    index: usize,
    horizon: Horizon,
    /// As of the newest event of the table.
    tail: i64,
}

#[derive(Clone, Copy)]
struct Entry {
    value: i64,
    newest: i64,
    /// [`NO_SLOT`] when the entry is free.
    slot: u32,
    previous: u32,
    next: u32,
}

/// A value as a read of an earlier time finds it among the recent rows of its key.
#[derive(Default)]
struct Seen {
    has_later: bool,
    newest: Option<i64>,
    before: i64,
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

    /// The entries of an aggregate (slot, value, newest), and what of its size they do not tell.
    pub(super) fn entries(&self, aggregate: usize) -> impl Iterator<Item = (u32, i64, i64)> {
        let entries = self.aggregates[aggregate].entries.iter().filter(|entry| entry.slot != NO_SLOT);
        entries.map(|entry| (entry.slot, entry.value, entry.newest))
    }

    /// Takes over saved entries as of `newest`, into a table of that many slots.
    pub(super) fn restore(
        &mut self,
        aggregate: usize,
        newest: i64,
        watermark: i64,
        entries: impl Iterator<Item = (u32, i64, i64)>,
    ) {
        let width = self.width;
        let aggregate = &mut self.aggregates[aggregate];
        for horizon in &mut aggregate.horizons {
            horizon.tail = horizon.horizon.tail(newest);
        }
        let tails = aggregate.horizons.iter().map(|horizon| horizon.horizon.tail(watermark));
        aggregate.expired = tails.min().unwrap_or(i64::MIN);
        for (slot, value, seen) in entries {
            aggregate.see(slot, value, seen);
            let first = slot as usize * width + aggregate.offset;
            for (count, horizon) in self.counts[first..].iter_mut().zip(&aggregate.horizons) {
                *count += i64::from(seen > horizon.tail);
            }
        }
        for place in 0..aggregate.horizons.len() {
            let CountedHorizon { horizon, tail, .. } = aggregate.horizons[place];
            aggregate.leave(horizon.tail(watermark), tail, |_| ());
        }
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

/// An entry, its share of a hash table between 7/16 and 7/8 full, of vectors that grow by doubling, and of the buckets
/// that it stands in.
const ENTRY_BYTES: usize = 32 + 16 + 8 + 8;

impl Aggregate {
    fn advance(&mut self, place: usize, newest: i64, width: usize, counts: &mut [i64]) {
        let horizon = &mut self.horizons[place];
        let (from, to) = (horizon.tail, horizon.horizon.tail(newest));
        horizon.tail = to;
        if from == NO_TAIL || from >= to {
            return;
        }
        let offset = self.offset + place;
        self.leave(from, to, |slot| counts[slot as usize * width + offset] -= 1);
    }

    /// Goes through the entries of `(from, to]`, and leaves them ordered by key for reads of before they left.
    fn leave(&mut self, from: i64, to: i64, mut left: impl FnMut(u32)) {
        for (start, bucket) in self.buckets.range_mut(from..to.max(from)) {
            bucket.left.clear();
            for id in &bucket.ids {
                let entry = &self.entries[*id as usize];
                if entry.slot != NO_SLOT && tile_start(entry.newest, self.step) == *start {
                    left(entry.slot);
                    bucket.left.push((entry.slot, *id));
                }
            }
            bucket.left.sort_unstable();
            bucket.left_ids = bucket.ids.len();
        }
    }

    /// Notes that a value was seen, and returns when it had been seen before.
    fn see(&mut self, slot: u32, value: i64, ts: i64) -> i64 {
        let hash = hash(slot, value);
        let entries = &self.entries;
        let is_it = |id: &u32| entries[*id as usize].slot == slot && entries[*id as usize].value == value;
        if let Some(id) = self.table.find(hash, is_it).copied() {
            let entry = &mut self.entries[id as usize];
            let before = entry.newest;
            if ts > before {
                entry.newest = ts;
                let start = tile_start(ts, self.step);
                if tile_start(before, self.step) != start {
                    self.put(start, id);
                }
            }
            return before;
        }
        if ts <= self.expired {
            return i64::MIN;
        }
        let next = std::mem::replace(&mut self.heads[slot as usize], NONE);
        let entry = Entry { value, newest: ts, slot, previous: NONE, next };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        if let Some(next) = self.entries.get_mut(next as usize) {
            next.previous = id;
        }
        self.heads[slot as usize] = id;
        let entries = &self.entries;
        self.table.insert_unique(hash, id, |id| entries[*id as usize].hash());
        self.put(tile_start(ts, self.step), id);
        i64::MIN
    }

    fn put(&mut self, start: i64, id: u32) {
        self.buckets.entry(start).or_default().ids.push(id);
    }

    fn expire(&mut self, tail: i64) {
        self.expired = self.expired.max(tail);
        while let Some(bucket) = self.buckets.first_entry().filter(|bucket| *bucket.key() < tail) {
            let (start, bucket) = bucket.remove_entry();
            for id in bucket.ids {
                let entry = self.entries[id as usize];
                if entry.slot != NO_SLOT && tile_start(entry.newest, self.step) == start {
                    self.remove(id, entry);
                }
            }
        }
    }

    fn remove(&mut self, id: u32, entry: Entry) {
        if let Ok(found) = self.table.find_entry(entry.hash(), |other| *other == id) {
            found.remove();
        }
        match self.entries.get_mut(entry.previous as usize) {
            Some(previous) => previous.next = entry.next,
            None => self.heads[entry.slot as usize] = entry.next,
        }
        if let Some(next) = self.entries.get_mut(entry.next as usize) {
            next.previous = entry.previous;
        }
        self.entries[id as usize].slot = NO_SLOT;
        self.free.push(id);
    }

    /// What a running count as of `now`, a later tail, must change by to be that of `tail`.
    fn undone(&self, slot: u32, (tail, now): (i64, i64), later: &HashMap<i64, Seen>) -> i64 {
        let mut change = 0;
        for (value, seen) in later.iter().filter(|(_, seen)| seen.has_later) {
            let before = seen.before.max(seen.newest.unwrap_or(i64::MIN));
            change += i64::from(before > tail) - i64::from(self.newest(slot, *value) > now);
        }
        for bucket in self.buckets.range(tail..now).map(|(_, bucket)| bucket) {
            let first = bucket.left.partition_point(|(other, _)| *other < slot);
            let left = bucket.left[first..].iter().take_while(|(other, _)| *other == slot).map(|(_, id)| id);
            // What came too late is behind those that were ordered.
            for entry in left.chain(&bucket.ids[bucket.left_ids..]).map(|id| &self.entries[*id as usize]) {
                let is_undone = later.get(&entry.value).is_some_and(|seen| seen.has_later);
                change += i64::from(entry.slot == slot && tail < entry.newest && entry.newest <= now && !is_undone);
            }
        }
        change
    }

    fn newest(&self, slot: u32, value: i64) -> i64 {
        let entry = |id: &u32| &self.entries[*id as usize];
        let found = self.table.find(hash(slot, value), |id| entry(id).slot == slot && entry(id).value == value);
        found.map_or(i64::MIN, |id| entry(id).newest)
    }

    /// Counts a key's values in `(tail, t]` one by one; `later` has those that were seen recently.
    fn count(&self, slot: u32, tail: i64, later: &HashMap<i64, Seen>) -> i64 {
        let mut count = 0;
        let mut id = self.heads[slot as usize];
        while let Some(entry) = self.entries.get(id as usize) {
            let newest = match later.get(&entry.value) {
                Some(seen) if seen.has_later => seen.before.max(seen.newest.unwrap_or(i64::MIN)),
                _ => entry.newest,
            };
            count += i64::from(newest > tail);
            id = entry.next;
        }
        count
    }

    fn rename(&mut self, moved: &[u32], slots: usize) {
        let entries = std::mem::take(&mut self.entries);
        (self.free, self.table, self.buckets) = (Vec::new(), HashTable::new(), BTreeMap::new());
        self.heads = renamed(&[], &[], slots, NONE);
        for entry in entries.into_iter().filter(|entry| entry.slot != NO_SLOT) {
            let slot = moved[entry.slot as usize];
            if slot != NO_SLOT {
                self.see(slot, entry.value, entry.newest);
            }
        }
    }
}

impl Entry {
    fn hash(&self) -> u64 {
        hash(self.slot, self.value)
    }
}

fn hash(slot: u32, value: i64) -> u64 {
    mix(value.cast_unsigned() ^ mix(u64::from(slot)))
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
