//! Distinct counts of a window that moves: for each key and value, the last pane of the window that has it.
//!
//! A pane that comes adds one for each pair that is not there yet; a pane that leaves takes one away for each pair that no
//! later pane has. So a pair costs two look-ups, however many windows it is in.

use hashbrown::HashTable;

use super::pane::{Pairs, mix};
use crate::window::keys::{NO_SLOT, doubled, hashed};

/// See the module.
#[derive(Default)]
pub(super) struct Seen {
    last: HashTable<Entry>,
    counts: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Entry {
    value: i64,
    slot: u32,
    /// Number of the pane, modulo 2^32: those of one window are never so far apart.
    pane: u32,
}

fn hash(slot: u32, value: i64) -> u64 {
    mix(value.cast_unsigned() ^ (u64::from(slot) << 32))
}

/// Whether pane `one` comes before pane `two`.
fn is_before(one: u32, two: u32) -> bool {
    one.wrapping_sub(two).cast_signed() < 0
}

impl Seen {
    pub(super) fn resize(&mut self, slots: usize) {
        self.counts.resize(slots, 0);
    }

    /// The number of values of a key.
    pub(super) fn count(&self, slot: u32) -> i64 {
        self.counts.get(slot as usize).map_or(0, |count| i64::from(*count))
    }

    /// Takes in pairs of a pane; repeated ones change nothing.
    pub(super) fn take_in(&mut self, slots: &[u32], values: &[i64], pane: u32) {
        for (slot, value) in slots.iter().zip(values) {
            self.see(*slot, *value, pane);
        }
    }

    /// Takes in the pairs from the `first`th on, and drops those from the pane that it has already.
    pub(super) fn take_in_first(&mut self, pairs: &mut Pairs, first: usize, pane: u32) {
        let mut kept = first;
        for index in first..pairs.slots.len() {
            let (slot, value) = (pairs.slots[index], pairs.values[index]);
            if self.see(slot, value, pane) {
                (pairs.slots[kept], pairs.values[kept]) = (slot, value);
                kept += 1;
            }
        }
        pairs.slots.truncate(kept);
        pairs.values.truncate(kept);
    }

    /// Whether the pair was not known in this pane or a later one. For a later one that is not certain, and said anyway: a
    /// pair too many does no harm.
    fn see(&mut self, slot: u32, value: i64, pane: u32) -> bool {
        let hash = hash(slot, value);
        let is_pair = |entry: &Entry| entry.value == value && entry.slot == slot;
        match self.last.entry(hash, is_pair, |entry| self::hash(entry.slot, entry.value)) {
            hashbrown::hash_table::Entry::Occupied(mut known) => {
                let known = known.get_mut();
                if known.pane == pane {
                    return false;
                }
                if is_before(known.pane, pane) {
                    known.pane = pane;
                }
                true
            }
            hashbrown::hash_table::Entry::Vacant(new) => {
                new.insert(Entry { value, slot, pane });
                self.counts[slot as usize] += 1;
                true
            }
        }
    }

    /// Takes away the pairs of the pane that leaves.
    pub(super) fn forget(&mut self, slots: &[u32], values: &[i64], pane: u32) {
        for (slot, value) in slots.iter().zip(values) {
            let is_pair = |entry: &Entry| entry.value == *value && entry.slot == *slot;
            if let Ok(known) = self.last.find_entry(hash(*slot, *value), is_pair)
                && known.get().pane == pane
            {
                known.remove();
                self.counts[*slot as usize] -= 1;
            }
        }
    }

    pub(super) fn clear(&mut self) {
        for entry in self.last.drain() {
            self.counts[entry.slot as usize] = 0;
        }
    }

    /// Gives every key its new slot.
    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
        let entries: Vec<Entry> = self.last.drain().collect();
        self.counts = vec![0; slots];
        for entry in entries {
            let slot = moved[entry.slot as usize];
            if slot != NO_SLOT {
                self.counts[slot as usize] += 1;
                let entry = Entry { slot, ..entry };
                let hash = hash(entry.slot, entry.value);
                self.last.insert_unique(hash, entry, |entry| self::hash(entry.slot, entry.value));
            }
        }
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        17 * hashed(self.last.len()) + 4 * doubled(self.counts.len())
    }
}
