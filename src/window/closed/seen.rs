//! Distinct counts of a window that moves: for each key and value, the last pane of the window that has it.
//!
//! A pane that comes adds one for each pair that is not there yet; a pane that leaves takes one away for each pair that no
//! later pane has. So a pair costs two look-ups, however many windows it is in.

use std::ops::Range;

use super::pair_table::{PairTable, TOGETHER, hash};
use super::pane::Pairs;
use crate::window::keys::{NO_SLOT, doubled};

/// See the module.
#[derive(Default)]
pub(super) struct Seen {
    /// With the pane's number, modulo 2^32: those of one window are never so far apart.
    last: PairTable,
    counts: Vec<u32>,
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
    pub(super) fn take_in(&mut self, pairs: &Pairs, range: Range<usize>, pane: u32) {
        for (slots, values) in together(pairs, range) {
            let hashes = self.warm(slots, values);
            for ((slot, value), hash) in slots.iter().zip(values).zip(hashes) {
                self.see(hash, (*slot, *value), pane);
            }
        }
    }

    /// Takes in the pairs from the `first`th on, and drops those from the pane that it has already.
    pub(super) fn take_in_first(&mut self, pairs: &mut Pairs, first: usize, pane: u32) {
        let (slots, values) = pairs.split_off(first);
        for (slots, values) in slots.chunks(TOGETHER).zip(values.chunks(TOGETHER)) {
            let hashes = self.warm(slots, values);
            for ((slot, value), hash) in slots.iter().zip(values).zip(hashes) {
                if self.see(hash, (*slot, *value), pane) {
                    pairs.push(*slot, *value);
                }
            }
        }
    }

    /// The hashes of at most [`TOGETHER`] pairs, which will be looked up now.
    fn warm(&self, slots: &[u32], values: &[i64]) -> [u64; TOGETHER] {
        let mut hashes = [0; TOGETHER];
        for ((place, slot), value) in hashes.iter_mut().zip(slots).zip(values) {
            *place = hash(*slot, *value);
        }
        self.last.warm(&hashes[..slots.len()]);
        hashes
    }

    /// Whether the pair was not known in this pane or a later one. For a later one that is not certain, and said anyway: a
    /// pair too many does no harm.
    fn see(&mut self, hash: u64, pair: (u32, i64), pane: u32) -> bool {
        let newer = |known| if is_before(known, pane) { pane } else { known };
        let known = self.last.add(hash, pair, pane, newer);
        if known.is_none() {
            self.counts[pair.0 as usize] += 1;
        }
        known != Some(pane)
    }

    /// Takes away the first pairs of the pane that leaves.
    pub(super) fn forget(&mut self, pairs: &Pairs, until: usize, pane: u32) {
        for (slots, values) in together(pairs, 0..until) {
            let hashes = self.warm(slots, values);
            for ((slot, value), hash) in slots.iter().zip(values).zip(hashes) {
                if self.last.remove(hash, (*slot, *value), pane) {
                    self.counts[*slot as usize] -= 1;
                }
            }
        }
    }

    pub(super) fn clear(&mut self) {
        for entry in self.last.entries() {
            self.counts[entry.slot as usize] = 0;
        }
        self.last.clear();
    }

    /// Gives every key its new slot.
    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
        let mut renamed = PairTable::with_capacity(self.last.len());
        self.counts = vec![0; slots];
        for entry in self.last.entries() {
            let slot = moved[entry.slot as usize];
            if slot != NO_SLOT {
                self.counts[slot as usize] += 1;
                renamed.add(hash(slot, entry.value), (slot, entry.value), entry.pane, |known| known);
            }
        }
        self.last = renamed;
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        PairTable::size_of(self.last.len()) + 4 * doubled(self.counts.len())
    }
}

/// Keys and values of pairs that are looked up together.
fn together(pairs: &Pairs, range: Range<usize>) -> impl Iterator<Item = (&[u32], &[i64])> {
    pairs.pieces(range).flat_map(|(slots, values)| slots.chunks(TOGETHER).zip(values.chunks(TOGETHER)))
}
