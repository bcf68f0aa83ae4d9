//! The values behind a distinct count in the order in which they are saved.

use std::collections::BTreeMap;

use super::distinct_values::{Aggregate, Entry};
use super::tile::tile_start;

/// Entries that are put in order together: what is held in memory beside the table while it is saved.
const TOGETHER: usize = if cfg!(test) { 3 } else { 1 << 20 };

impl Aggregate {
    /// The entries by the step of time in which they were seen last, key and value: what was seen long ago stays the same bytes.
    pub(super) fn ordered(&self) -> impl Iterator<Item = Entry> {
        let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
        self.held().for_each(|entry| *counts.entry(tile_start(entry.newest, self.step)).or_default() += 1);
        // Steps of time, so many that they have enough entries together.
        let mut parts: Vec<(i64, i64, usize)> = Vec::new();
        for (start, count) in counts {
            match parts.last_mut().filter(|(.., together)| together + count <= TOGETHER) {
                Some((_, last, together)) => (*last, *together) = (start, *together + count),
                None => parts.push((start, start, count)),
            }
        }
        parts.into_iter().flat_map(|(first, last, count)| {
            let mut entries = Vec::with_capacity(count);
            for entry in self.held() {
                let start = tile_start(entry.newest, self.step);
                if first <= start && start <= last {
                    entries.push((start, *entry));
                }
            }
            entries.sort_unstable_by_key(|(start, entry)| (*start, entry.slot, entry.value));
            entries.into_iter().map(|(_, entry)| entry)
        })
    }
}
