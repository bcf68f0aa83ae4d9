//! The values behind one distinct count, of all keys: when each was seen last, and which of them a tail passes next.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashTable};

use super::cells::NO_TAIL;
use super::recent::renamed;
use super::tile::{Horizon, tile_start};
use crate::window::keys::{NO_SLOT, mix};

pub(super) const NONE: u32 = u32::MAX;

pub(super) struct Aggregate {
    /// Place of the first count among the counts of a key.
    pub(super) offset: usize,
    /// Width of the buckets: the finest step of the horizons.
    pub(super) step: i64,
    pub(super) horizons: Vec<CountedHorizon>,
    pub(super) entries: Vec<Entry>,
    pub(super) free: Vec<u32>,
    pub(super) table: HashTable<u32>,
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

#[derive(Clone, Copy)]
pub(super) struct CountedHorizon {
    /// Index among the horizons of the plan.
    pub(super) index: usize,
    pub(super) horizon: Horizon,
    /// As of the newest event of the table.
    pub(super) tail: i64,
}

#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) value: i64,
    pub(super) newest: i64,
    /// [`NO_SLOT`] when the entry is free.
    pub(super) slot: u32,
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
    pub(super) fn advance(&mut self, place: usize, newest: i64, width: usize, counts: &mut [i64]) {
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
    pub(super) fn leave(&mut self, from: i64, to: i64, mut left: impl FnMut(u32)) {
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
    pub(super) fn see(&mut self, slot: u32, value: i64, ts: i64) -> i64 {
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

    pub(super) fn put(&mut self, start: i64, id: u32) {
        self.buckets.entry(start).or_default().ids.push(id);
    }

    pub(super) fn expire(&mut self, tail: i64) {
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

    pub(super) fn remove(&mut self, id: u32, entry: Entry) {
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

    /// The entries, bucket by bucket.
    pub(super) fn by_time(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flat_map(|(start, bucket)| {
            let entries = bucket.ids.iter().filter_map(|id| self.entries.get(*id as usize));
            entries.filter(|entry| entry.slot != NO_SLOT && tile_start(entry.newest, self.step) == *start)
        })
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
            for entry in left.chain(&bucket.ids[bucket.left_ids..]).map(|id| &self.entries[*id as usize]) {
                let is_undone = later.get(&entry.value).is_some_and(|seen| seen.has_later);
                change += i64::from(entry.slot == slot && tail < entry.newest && entry.newest <= now && !is_undone);
            }
        }
        change
    }

    pub(super) fn newest(&self, slot: u32, value: i64) -> i64 {
        let entry = |id: &u32| &self.entries[*id as usize];
        let found = self.table.find(hash(slot, value), |id| entry(id).slot == slot && entry(id).value == value);
        found.map_or(i64::MIN, |id| entry(id).newest)
    }

    /// Counts a key's values in `(tail, t]` one by one; `later` has those that were seen recently.
    pub(super) fn count(&self, slot: u32, tail: i64, later: &HashMap<i64, Seen>) -> i64 {
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

    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
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
    pub(super) fn hash(&self) -> u64 {
        hash(self.slot, self.value)
    }
}

pub(super) fn hash(slot: u32, value: i64) -> u64 {
    mix(value.cast_unsigned() ^ mix(u64::from(slot)))
}
