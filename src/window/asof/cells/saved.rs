//! Running cells as words, and back: the newest times of many keys, then the cells of one horizon after the other.

use std::ops::Range;

use super::RunningCells;

impl RunningCells {
    /// The parts of a record: the newest time, and the cells of each horizon. A tail that moves changes those of its own.
    pub(in crate::window::asof) fn record_parts(&self) -> Vec<Range<usize>> {
        let mut starts: Vec<usize> = self.horizons.iter().filter_map(|part| part.words.first().copied()).collect();
        starts.extend([0, self.blank.len()]);
        starts.sort_unstable();
        starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
    }

    /// A part of the records of some keys, one after the other.
    pub(in crate::window::asof) fn save(&self, part: &Range<usize>, slots: Range<usize>) -> Vec<i64> {
        let mut words = Vec::with_capacity(slots.len() * part.len());
        for slot in slots {
            words.extend_from_slice(&self.record(slot as u32)[part.clone()]);
        }
        words
    }

    /// Overwrites a part of the records of some keys; false when they are not so many.
    pub(in crate::window::asof) fn restore(&mut self, part: &Range<usize>, slots: Range<usize>, words: &[i64]) -> bool {
        if part.is_empty() || words.len() != slots.len() * part.len() {
            return false;
        }
        for (slot, words) in slots.zip(words.chunks_exact(part.len())) {
            self.record_mut(slot as u32)[part.clone()].copy_from_slice(words);
        }
        true
    }
}
