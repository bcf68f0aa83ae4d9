//! Running lists of last values: `last_n(item_id, 20)`, as of the newest event.
//!
//! Each key keeps its newest `n` values, ordered by time and, for equal times, by arrival; what is read over a horizon is
//! the end of that list. The rows of recent batches keep what they pushed out, so that a read of an earlier time finds
//! everything that can be among the newest `n` then: tiles hold nothing of it.

use arrow::datatypes::DataType;

use super::plan::FeaturePlan;
use super::recent::{Recent, RecentBatch};
use crate::window::keys::NO_SLOT;
use crate::window::paged::Paged;

/// Time and value.
type Entry = (i64, i64);

/// Bytes of the lists of a page, and lists: a copied page makes each anew.
const PAGE_BYTES: usize = 2_048;
const LISTS_OF_PAGE: usize = 8;

pub(super) struct RunningLast {
    lists: Vec<Lists>,
    slots: usize,
    entries_size: usize,
}

struct Lists {
    most: usize,
    keys: Paged<Vec<Entry>>,
}

/// No lists, of at most so many entries.
fn no_lists(most: usize) -> Paged<Vec<Entry>> {
    let lists = PAGE_BYTES / size_of::<Entry>() / most.max(1);
    Paged::of_pages(1, lists.min(LISTS_OF_PAGE)).weighed(|list| size_of::<Vec<Entry>>() + size_of_val(&list[..]))
}

impl RunningLast {
    /// Whether values of this type are kept here.
    pub(super) fn supports(data_type: &DataType) -> bool {
        matches!(data_type, DataType::Int64 | DataType::Float64)
    }

    pub(super) fn new(plan: &FeaturePlan) -> Self {
        let lists = plan.last.iter().map(|last| Lists { most: last.most, keys: no_lists(last.most) });
        Self { lists: lists.collect(), slots: 0, entries_size: 0 }
    }

    /// Makes room for keys up to `slots`.
    pub(super) fn resize(&mut self, slots: usize) {
        self.slots = slots;
        for lists in &mut self.lists {
            lists.keys.resize(slots, &[Vec::new()]);
        }
    }

    /// A view: these lists, whatever comes after.
    pub(super) fn share(&mut self) -> Self {
        let lists = self.lists.iter_mut().map(|lists| Lists { most: lists.most, keys: lists.keys.share() });
        Self { lists: lists.collect(), slots: self.slots, entries_size: self.entries_size }
    }

    /// Gives back the lists of slots below this one.
    pub(super) fn release_below(&mut self, slot: u32) {
        self.lists.iter_mut().for_each(|lists| lists.keys.release_below(slot as usize));
    }

    /// Bytes that were copied because a view held them, since this was last asked.
    pub(super) fn take_copied(&mut self) -> usize {
        self.lists.iter_mut().map(|lists| lists.keys.take_copied()).sum()
    }

    /// Adds one event, and notes in the row what it pushed out.
    pub(super) fn apply(&mut self, batch: &mut RecentBatch, row: usize) {
        let (slot, ts) = (batch.slots[row], batch.times[row]);
        if slot == NO_SLOT {
            return;
        }
        for (lists, input) in self.lists.iter_mut().zip(&mut batch.last) {
            if !input.values.is_valid.value(row) {
                continue;
            }
            let list = lists.keys.get_mut(slot as usize);
            let before = capacity(list.len(), lists.most);
            let evicted = push(list, lists.most, (ts, input.values.words[row]));
            self.entries_size += 16 * (capacity(list.len(), lists.most) - before);
            if let Some((ts, word)) = evicted {
                input.evicted_times[row] = ts;
                input.evicted_words[row] = word;
            }
        }
    }

    /// Appends, for a key as of `t`, the values after `tail`; how many there are is the result.
    pub(super) fn read(
        &self,
        list: usize,
        slot: u32,
        (tail, t): (i64, i64),
        is_newest: bool,
        recent: &Recent,
        words: &mut Vec<i64>,
    ) -> usize {
        let lists = &self.lists[list];
        let entries = lists.keys.get(slot as usize);
        let before = words.len();
        if is_newest {
            let first = entries.partition_point(|(ts, _)| *ts <= tail);
            words.extend(entries[first..].iter().map(|(_, word)| *word));
            return words.len() - before;
        }
        let mut candidates: Vec<Entry> = Vec::new();
        for (batch, row) in recent.of_key_since(slot, t) {
            let input = &batch.last[list];
            if input.evicted_times[row] != i64::MIN {
                candidates.push((input.evicted_times[row], input.evicted_words[row]));
            }
        }
        // What was pushed out came before what is still there. Before these rows nothing was newer than `t`, so that the
        // list was right.
        candidates.reverse();
        candidates.extend_from_slice(entries);
        candidates.retain(|(ts, _)| tail < *ts && *ts <= t);
        candidates.sort_by_key(|(ts, _)| *ts);
        let surplus = candidates.len().saturating_sub(lists.most);
        words.extend(candidates[surplus..].iter().map(|(_, word)| *word));
        words.len() - before
    }

    /// Gives every key its new slot.
    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
        self.slots = slots;
        self.entries_size = 0;
        for lists in &mut self.lists {
            let mut before = lists.keys.replace(no_lists(lists.most));
            lists.keys.resize(slots, &[Vec::new()]);
            for (slot, to) in moved.iter().enumerate().filter(|(_, to)| **to != NO_SLOT) {
                let list = before.take(slot);
                self.entries_size += 16 * capacity(list.len(), lists.most);
                *lists.keys.get_mut(*to as usize) = list;
            }
        }
    }

    /// Number of aggregates.
    pub(super) fn len(&self) -> usize {
        self.lists.len()
    }

    /// The list of a key.
    pub(super) fn entries(&self, list: usize, slot: usize) -> &[Entry] {
        self.lists[list].keys.get(slot)
    }

    /// Takes over the saved list of a key.
    pub(super) fn restore(&mut self, list: usize, slot: usize, entries: impl Iterator<Item = Entry>) {
        let lists = &mut self.lists[list];
        let known = lists.keys.get_mut(slot);
        let most = entries.size_hint().1.unwrap_or(0).min(lists.most);
        known.reserve_exact(capacity(most, lists.most));
        for entry in entries {
            push(known, lists.most, entry);
        }
        self.entries_size += 16 * capacity(known.len(), lists.most);
    }

    /// Lists per key, added to `weights` as bytes.
    pub(super) fn weigh(&self, weights: &mut [u64]) {
        for lists in &self.lists {
            for (weight, list) in weights.iter_mut().zip(lists.keys.iter()) {
                *weight += 16 * capacity(list.len(), lists.most) as u64;
            }
        }
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        self.entries_size + self.slots * self.lists.len() * size_of::<Vec<Entry>>()
    }
}

/// Room of a list of this length: it doubles, from two, up to the most.
fn capacity(length: usize, most: usize) -> usize {
    if length == 0 { 0 } else { length.next_power_of_two().max(2).min(most.max(1)) }
}

/// Inserts in order and returns what has no room: the oldest, which may be the new one itself.
fn push(list: &mut Vec<Entry>, most: usize, entry: Entry) -> Option<Entry> {
    let place = list.partition_point(|(ts, _)| *ts <= entry.0);
    if list.len() < most {
        if list.len() == list.capacity() {
            list.reserve_exact(capacity(list.len() + 1, most) - list.len());
        }
        list.insert(place, entry);
        return None;
    }
    if place == 0 {
        return Some(entry);
    }
    let oldest = list.first().copied();
    list.copy_within(1..place, 0);
    list[place - 1] = entry;
    oldest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_the_newest_by_time_and_then_arrival_and_says_what_it_lost() {
        let mut list = Vec::new();
        assert_eq!(push(&mut list, 2, (5, 1)), None);
        assert_eq!(push(&mut list, 2, (3, 2)), None);
        assert_eq!(push(&mut list, 2, (5, 3)), Some((3, 2)));
        assert_eq!(push(&mut list, 2, (4, 4)), Some((4, 4)));
        assert_eq!(push(&mut list, 2, (5, 5)), Some((5, 1)));
        assert_eq!(list, [(5, 3), (5, 5)]);
    }
}
