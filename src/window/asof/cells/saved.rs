//! Running cells as words, and back: the newest times of many keys, then the cells of one horizon after the other.

use std::ops::Range;

use super::{RunningCells, Sources};

impl RunningCells {
    /// The parts of a record: the newest time, and the cells of each horizon. A tail that moves changes those of its own.
    pub(in crate::window::asof) fn record_parts(&self) -> Vec<Range<usize>> {
        let mut starts: Vec<usize> = self.horizons.iter().filter_map(|part| part.words.first().copied()).collect();
        starts.extend([0, self.blank.len()]);
        starts.sort_unstable();
        starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
    }

    /// A part of the records of some keys, one after the other, without what has left.
    pub(in crate::window::asof) fn save(&self, part: &Range<usize>, slots: Range<usize>, sources: Sources) -> Vec<i64> {
        let mut words = Vec::with_capacity(slots.len() * part.len());
        let is_here = |horizon: usize| self.horizons[horizon].words.first() == Some(&part.start);
        let leaving = self.leaving.iter().find(|leaving| is_here(leaving.horizon()));
        for slot in slots.start as u32..slots.end as u32 {
            match leaving.filter(|leaving| leaving.concerns(slot)) {
                Some(leaving) => {
                    let mut record = self.record(slot).to_vec();
                    self.take_out(leaving, slot, &mut record, sources);
                    words.extend_from_slice(&record[part.clone()]);
                }
                None => words.extend_from_slice(&self.record(slot)[part.clone()]),
            }
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
