//! A hash table from (key, value) to a pane that is made for tables which do not fit the cache.
//!
//! Linear probing with removal by shifting back (Knuth, *The Art of Computer Programming*, volume 3, section 6.4, algorithm R).
//! What makes it fast where most look-ups miss the cache:
//! - An entry, its key and whether there is one are 16 bytes in one place: a look-up misses once, not twice. An empty place is
//!   zero, as memory comes from the system.
//! - The place is the upper bits of the hash, so that entries lie in the order of their hashes: growing reads and writes both
//!   tables from front to back.
//! - [`PairTable::warm`] touches the places of many pairs first, without a branch between them: the processor waits for all
//!   of them together.

use std::hint::black_box;

use crate::window::keys::NO_SLOT;
use crate::window::slot_hash::mix;

/// Places of the smallest table.
const LEAST: usize = 16;

/// How many pairs are looked up together.
pub(super) const TOGETHER: usize = 32;

/// See the module.
#[derive(Default)]
pub(super) struct PairTable {
    /// A power of two of them, or none.
    places: Vec<Packed>,
    len: usize,
}

/// The value, and slot + 1 above the pane; zero where there is no pair.
type Packed = [u64; 2];

const EMPTY: Packed = [0, 0];

/// A pair and its pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: i64,
    /// Not [`NO_SLOT`].
    pub(super) slot: u32,
    pub(super) pane: u32,
}

impl Entry {
    fn packed(self) -> Packed {
        debug_assert!(self.slot != NO_SLOT, "a key has a slot");
        [self.value.cast_unsigned(), u64::from(self.slot.wrapping_add(1)) << 32 | u64::from(self.pane)]
    }

    fn of([value, rest]: Packed) -> Option<Self> {
        let slot = ((rest >> 32) as u32).checked_sub(1)?;
        Some(Self { value: value.cast_signed(), slot, pane: rest as u32 })
    }
}

/// The hash of a pair.
pub(super) fn hash(slot: u32, value: i64) -> u64 {
    mix(value.cast_unsigned() ^ (u64::from(slot) << 32))
}

/// Places of a table of this many entries: at most two thirds of them are taken.
fn places(entries: usize) -> usize {
    if entries == 0 { 0 } else { (entries + entries / 2 + 1).next_power_of_two().max(LEAST) }
}

impl PairTable {
    /// A table that holds this many without growing.
    pub(super) fn with_capacity(entries: usize) -> Self {
        Self { places: vec![EMPTY; places(entries)], len: 0 }
    }

    /// Brings the places of these hashes into the cache.
    pub(super) fn warm(&self, hashes: &[u64]) {
        if self.len > 0 {
            black_box(hashes.iter().fold(0, |touched, hash| touched ^ self.places[self.home(*hash)][1]));
        }
    }

    /// Adds a pair that is not there, or puts `newer(pane)` in the place of its pane; the pane that it had.
    pub(super) fn add(
        &mut self,
        hash: u64,
        (slot, value): (u32, i64),
        pane: u32,
        newer: impl Fn(u32) -> u32,
    ) -> Option<u32> {
        if places(self.len + 1) > self.places.len() {
            self.grow();
        }
        let mut place = self.home(hash);
        loop {
            match Entry::of(self.places[place]) {
                None => {
                    self.places[place] = Entry { value, slot, pane }.packed();
                    self.len += 1;
                    return None;
                }
                Some(entry) if entry.value == value && entry.slot == slot => {
                    self.places[place] = Entry { pane: newer(entry.pane), ..entry }.packed();
                    return Some(entry.pane);
                }
                Some(_) => place = self.after(place),
            }
        }
    }

    /// Removes a pair if it is there with this pane; whether it was.
    pub(super) fn remove(&mut self, hash: u64, (slot, value): (u32, i64), pane: u32) -> bool {
        if self.len == 0 {
            return false;
        }
        let mut place = self.home(hash);
        loop {
            match Entry::of(self.places[place]) {
                None => return false,
                Some(entry) if entry.value == value && entry.slot == slot => {
                    let is_it = entry.pane == pane;
                    if is_it {
                        self.close_gap(place);
                        self.len -= 1;
                    }
                    return is_it;
                }
                Some(_) => place = self.after(place),
            }
        }
    }

    /// The entries, in no order that means anything.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.places.iter().copied().filter_map(Entry::of)
    }

    /// Removes all; keeps the places if as many pairs may come again.
    pub(super) fn clear(&mut self) {
        if places(self.len) * 8 < self.places.len() {
            *self = Self::with_capacity(self.len);
        }
        self.places.fill(EMPTY);
        self.len = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Memory of a table of this many entries, bytes.
    pub(super) fn size_of(entries: usize) -> usize {
        size_of::<Packed>() * places(entries)
    }

    /// The place where a hash belongs: its upper bits.
    fn home(&self, hash: u64) -> usize {
        // At least sixteen places, so that the shift is less than 64.
        (hash >> (64 - self.places.len().trailing_zeros())) as usize
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }

    /// Moves entries back that were pushed on by the one at `gap`, so that each can be found from its home.
    fn close_gap(&mut self, mut gap: usize) {
        let mask = self.places.len() - 1;
        let mut place = self.after(gap);
        while let Some(entry) = Entry::of(self.places[place]) {
            let home = self.home(hash(entry.slot, entry.value));
            // It may move to the gap unless its home lies behind the gap.
            if (place.wrapping_sub(home) & mask) >= (place.wrapping_sub(gap) & mask) {
                self.places[gap] = self.places[place];
                gap = place;
            }
            place = self.after(place);
        }
        self.places[gap] = EMPTY;
    }

    /// Twice as many places.
    fn grow(&mut self) {
        let mut larger = Self { places: vec![EMPTY; (2 * self.places.len()).max(LEAST)], len: self.len };
        for entry in self.entries() {
            let mut place = larger.home(hash(entry.slot, entry.value));
            while larger.places[place] != EMPTY {
                place = larger.after(place);
            }
            larger.places[place] = entry.packed();
        }
        *self = larger;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn add(table: &mut PairTable, pair: (u32, i64), pane: u32) -> Option<u32> {
        table.add(hash(pair.0, pair.1), pair, pane, |known| known)
    }

    /// Pairs with the greatest hashes, which are pushed on over the end of the table.
    fn last_pairs(count: usize) -> Vec<(u32, i64)> {
        let mut pairs: Vec<_> = (0..20_000_i64).map(|value| (0, value)).collect();
        pairs.sort_by_key(|(slot, value)| std::cmp::Reverse(hash(*slot, *value)));
        pairs.truncate(count);
        pairs
    }

    #[test]
    fn it_grows_when_two_thirds_are_taken() {
        assert_eq!([0, 1, 10, 11, 21, 22].map(places), [0, 16, 16, 32, 32, 64]);
        let mut table = PairTable::default();
        for value in 0..21 {
            assert_eq!(add(&mut table, (1, value), 7), None);
        }
        assert_eq!(table.places.len(), 32);
        assert_eq!(add(&mut table, (1, 21), 7), None);
        assert_eq!(table.places.len(), 64);
    }

    #[test]
    fn pairs_at_the_end_go_on_at_the_front_and_come_back() {
        let pairs = last_pairs(10);
        for first in 0..pairs.len() {
            let mut table = PairTable::default();
            pairs.iter().for_each(|pair| assert_eq!(add(&mut table, *pair, 3), None));
            assert!(table.places[0] != EMPTY, "none went over the end");
            let mut left = pairs.clone();
            left.rotate_left(first);
            while let Some(pair) = left.pop() {
                assert!(!table.remove(hash(pair.0, pair.1), pair, 4), "it is of another pane");
                assert!(table.remove(hash(pair.0, pair.1), pair, 3));
                assert!(!table.remove(hash(pair.0, pair.1), pair, 3));
                assert_eq!(table.len(), left.len());
                left.iter().for_each(|other| assert_eq!(add(&mut table, *other, 9), Some(3)));
            }
        }
    }

    #[test]
    fn a_table_that_was_much_larger_gives_its_places_back() {
        let mut table = PairTable::default();
        (0..1_000).for_each(|value| assert_eq!(add(&mut table, (1, value), 7), None));
        table.clear();
        assert_eq!((table.len(), table.entries().count(), table.places.len()), (0, 0, 2_048));
        assert_eq!(add(&mut table, (1, 5), 7), None);
        table.clear();
        assert_eq!((table.len(), table.entries().count(), table.places.len()), (0, 0, 16));
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0_u32..4, -6_i64..40, 0_u32..3, any::<bool>()), 1..400)) {
            let (mut table, mut map) = (PairTable::default(), BTreeMap::new());
            for (slot, value, pane, adds) in steps {
                let pair = (slot, value);
                if adds {
                    let known = add(&mut table, pair, pane);
                    prop_assert_eq!(known, map.get(&pair).copied());
                    map.entry(pair).or_insert(pane);
                } else {
                    let removed = table.remove(hash(slot, value), pair, pane);
                    prop_assert_eq!(removed, map.get(&pair) == Some(&pane));
                    if removed {
                        map.remove(&pair);
                    }
                }
                prop_assert_eq!(table.len(), map.len());
            }
            let found: BTreeMap<_, _> = table.entries().map(|entry| ((entry.slot, entry.value), entry.pane)).collect();
            prop_assert_eq!(found, map);
        }
    }
}
