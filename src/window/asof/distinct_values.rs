//! The values behind one distinct count, of all keys: when each was seen last, and which of them a tail passes next.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::{HashMap, HashTable};

use super::cells::NO_TAIL;
use super::recent::renamed;
use super::tile::{Horizon, tile_start};
use crate::window::keys::{NO_SLOT, mix};
use crate::window::paged::Paged;

pub(super) const NONE: u32 = u32::MAX;

pub(super) struct Aggregate {
    /// Place of the first count among the counts of a key.
    pub(super) offset: usize,
    /// Width of the buckets: the finest step of the horizons.
    pub(super) step: i64,
    pub(super) horizons: Vec<CountedHorizon>,
    /// Those that are not newer than `expired` are free.
    pub(super) entries: Paged<Entry>,
    /// Beside the entries: what chains them is of no use to a view.
    pub(super) links: Vec<Links>,
    pub(super) free: Vec<u32>,
    pub(super) table: HashTable<u32>,
    /// How many entries are not free.
    pub(super) count: usize,
    /// Per slot, the first entry of its chain.
    pub(super) heads: Vec<u32>,
    pub(super) buckets: BTreeMap<i64, Bucket>,
    /// What is not newer than this is seen by no read to come.
    pub(super) expired: i64,
}

/// The entries whose newest time lay in one step when they were put there.
#[derive(Default)]
pub(super) struct Bucket {
    pub(super) ids: Vec<u32>,
    /// When a tail has passed the bucket and reads before that are still to come: slots and ids of the first
    /// `left_ids`, ordered.
    pub(super) left: Vec<(u32, u32)>,
    pub(super) left_ids: usize,
}

#[derive(Clone)]
pub(super) struct CountedHorizon {
    /// Index among the horizons of the plan.
    pub(super) index: usize,
    pub(super) horizon: Horizon,
    /// As of the newest event of the table.
    pub(super) tail: i64,
    pub(super) leaving: LeavingValues,
}

/// Keys whose values a tail has passed, in order, one for each value; those before `done` are no longer counted.
#[derive(Clone, Default)]
pub(super) struct LeavingValues {
    pub(super) slots: Arc<Vec<u32>>,
    pub(super) done: usize,
}

impl LeavingValues {
    /// How many values of a key are still counted and have left.
    pub(super) fn of(&self, slot: u32) -> i64 {
        let rest = &self.slots[self.done..];
        let first = rest.partition_point(|other| *other < slot);
        rest[first..].iter().take_while(|other| **other == slot).count() as i64
    }

    /// The next so many, which are no longer counted from now on.
    pub(super) fn take(&mut self, count: usize) -> (Arc<Vec<u32>>, Range<usize>) {
        let first = self.done;
        self.done = self.slots.len().min(first.saturating_add(count));
        let taken = (Arc::clone(&self.slots), first..self.done);
        if self.done == self.slots.len() {
            *self = Self::default();
        }
        taken
    }
}

#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) value: i64,
    pub(super) newest: i64,
    pub(super) slot: u32,
}

/// Neighbours of an entry in the chain of its key.
#[derive(Clone, Copy)]
pub(super) struct Links {
    pub(super) previous: u32,
    pub(super) next: u32,
}

/// A value as a read of an earlier time finds it among the recent rows of its key.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) has_later: bool,
    pub(super) newest: Option<i64>,
    pub(super) before: i64,
}

/// An entry, its share of a hash table between 7/16 and 7/8 full, of vectors that grow by doubling, and of the buckets
/// that it stands in.
pub(super) const ENTRY_BYTES: usize = 32 + 16 + 8 + 8;

impl Aggregate {
    /// An aggregate without values, whose counts stand at `offset` among those of a key.
    pub(super) fn new(offset: usize, horizons: Vec<CountedHorizon>) -> Self {
        Self {
            offset,
            step: horizons.iter().map(|horizon| horizon.horizon.step_micros()).min().unwrap_or(1),
            horizons,
            entries: Paged::new(1),
            links: Vec::new(),
            free: Vec::new(),
            table: HashTable::new(),
            count: 0,
            heads: Vec::new(),
            buckets: BTreeMap::new(),
            expired: i64::MIN,
        }
    }

    /// A view: counts and entries, but nothing by which they are found.
    pub(super) fn share(&mut self) -> Self {
        let mut shared = Self::new(self.offset, self.horizons.clone());
        (shared.entries, shared.count, shared.expired) = (self.entries.share(), self.count, self.expired);
        shared
    }

    /// Moves the tail of a horizon; the keys whose values it has passed, one for each value.
    pub(super) fn advance(&mut self, place: usize, newest: i64) -> Vec<u32> {
        let horizon = &mut self.horizons[place];
        let (from, to) = (horizon.tail, horizon.horizon.tail(newest));
        horizon.tail = to;
        let mut slots = Vec::new();
        if from != NO_TAIL && from < to {
            self.leave(from, to, |slot| slots.push(slot));
        }
        slots
    }

    /// Goes through the entries of `(from, to]`, and leaves them ordered by key for reads of before they left.
    pub(super) fn leave(&mut self, from: i64, to: i64, mut left: impl FnMut(u32)) {
        for (start, bucket) in self.buckets.range_mut(from..to.max(from)) {
            bucket.left.clear();
            for id in &bucket.ids {
                let entry = self.entries.get(*id as usize);
                if tile_start(entry.newest, self.step) == *start {
                    left(entry.slot);
                    bucket.left.push((entry.slot, *id));
                }
            }
            bucket.left.sort_unstable();
            bucket.left_ids = bucket.ids.len();
        }
    }

    /// Notes that a value was seen, and returns when it had been seen before.
    pub(super) fn see(&mut self, slot: u32, value: i64, ts: i64) -> i64 {
        let hash = hash(slot, value);
        let entries = &self.entries;
        let is_it = |id: &u32| {
            let entry = entries.get(*id as usize);
            entry.slot == slot && entry.value == value
        };
        if let Some(id) = self.table.find(hash, is_it).copied() {
            let before = self.entries.get(id as usize).newest;
            if ts > before {
                self.entries.get_mut(id as usize).newest = ts;
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
        let (entry, links) = (Entry { value, newest: ts, slot }, Links { previous: NONE, next });
        let id = match self.free.pop() {
            Some(id) => {
                *self.entries.get_mut(id as usize) = entry;
                self.links[id as usize] = links;
                id
            }
            None => {
                self.entries.push(&[entry]);
                self.links.push(links);
                self.links.len() as u32 - 1
            }
        };
        if let Some(next) = self.links.get_mut(next as usize) {
            next.previous = id;
        }
        self.heads[slot as usize] = id;
        let entries = &self.entries;
        self.table.insert_unique(hash, id, |id| entries.get(*id as usize).hash());
        self.count += 1;
        self.put(tile_start(ts, self.step), id);
        i64::MIN
    }

    pub(super) fn put(&mut self, start: i64, id: u32) {
        self.buckets.entry(start).or_default().ids.push(id);
    }

    pub(super) fn expire(&mut self, tail: i64) {
        self.expired = self.expired.max(tail);
        while let Some(bucket) = self.buckets.first_entry().filter(|bucket| *bucket.key() < tail) {
            let (start, bucket) = bucket.remove_entry();
            for id in bucket.ids {
                let entry = *self.entries.get(id as usize);
                if tile_start(entry.newest, self.step) == start {
                    self.remove(id, entry);
                }
            }
        }
    }

    /// Frees an entry that has expired. It is not written: a view may hold its page.
    fn remove(&mut self, id: u32, entry: Entry) {
        if let Ok(found) = self.table.find_entry(entry.hash(), |other| *other == id) {
            found.remove();
        }
        let Links { previous, next } = self.links[id as usize];
        match self.links.get_mut(previous as usize) {
            Some(previous) => previous.next = next,
            None => self.heads[entry.slot as usize] = next,
        }
        if let Some(next) = self.links.get_mut(next as usize) {
            next.previous = previous;
        }
        self.free.push(id);
        self.count -= 1;
    }

    /// The entries that are not free.
    pub(super) fn held(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.newest > self.expired)
    }

    /// What a running count as of `now`, a later tail, must change by to be that of `tail`.
    pub(super) fn undone(&self, slot: u32, (tail, now): (i64, i64), later: &HashMap<i64, Seen>) -> i64 {
        let mut change = 0;
        for (value, seen) in later.iter().filter(|(_, seen)| seen.has_later) {
            let before = seen.before.max(seen.newest.unwrap_or(i64::MIN));
            change += i64::from(before > tail) - i64::from(self.newest(slot, *value) > now);
        }
        for bucket in self.buckets.range(tail..now).map(|(_, bucket)| bucket) {
            let first = bucket.left.partition_point(|(other, _)| *other < slot);
            let left = bucket.left[first..].iter().take_while(|(other, _)| *other == slot).map(|(_, id)| id);
            // What came too late is behind those that were ordered.
            for entry in left.chain(&bucket.ids[bucket.left_ids..]).map(|id| self.entries.get(*id as usize)) {
                let is_undone = later.get(&entry.value).is_some_and(|seen| seen.has_later);
                change += i64::from(entry.slot == slot && tail < entry.newest && entry.newest <= now && !is_undone);
            }
        }
        change
    }

    pub(super) fn newest(&self, slot: u32, value: i64) -> i64 {
        let entry = |id: &u32| self.entries.get(*id as usize);
        let found = self.table.find(hash(slot, value), |id| entry(id).slot == slot && entry(id).value == value);
        found.map_or(i64::MIN, |id| entry(id).newest)
    }

    /// Counts a key's values in `(tail, t]` one by one; `later` has those that were seen recently.
    pub(super) fn count(&self, slot: u32, tail: i64, later: &HashMap<i64, Seen>) -> i64 {
        let mut count = 0;
        let mut id = self.heads[slot as usize];
        while let Some(links) = self.links.get(id as usize) {
            let entry = self.entries.get(id as usize);
            let newest = match later.get(&entry.value) {
                Some(seen) if seen.has_later => seen.before.max(seen.newest.unwrap_or(i64::MIN)),
                _ => entry.newest,
            };
            count += i64::from(newest > tail);
            id = links.next;
        }
        count
    }

    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
        let entries = self.entries.replace(Paged::new(1));
        (self.links, self.free, self.count) = (Vec::new(), Vec::new(), 0);
        (self.table, self.buckets) = (HashTable::new(), BTreeMap::new());
        self.heads = renamed(&[], &[], slots, NONE);
        let expired = self.expired;
        for entry in entries.iter().filter(|entry| entry.newest > expired) {
            let slot = moved[entry.slot as usize];
            if slot != NO_SLOT {
                self.see(slot, entry.value, entry.newest);
            }
        }
    }
}

impl Entry {
    pub(super) fn hash(&self) -> u64 {
        hash(self.slot, self.value)
    }
}

pub(super) fn hash(slot: u32, value: i64) -> u64 {
    mix(value.cast_unsigned() ^ mix(u64::from(slot)))
}
