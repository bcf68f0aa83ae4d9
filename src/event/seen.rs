//! Repeated events, found by their ids in bounded memory.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Int64Type};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_128;

use crate::fault::{Judged, Judgement};

/// Remembers the ids of recent events.
///
/// An id that appeared among the last `capacity` events with an id is recognised, always; an older one may be forgotten.
/// Ids are kept as 128-bit XXH3 hashes in two generations of at most `capacity` each: when the younger is full, the older
/// is forgotten. The hash has no random seed, so that a replay decides the same on any machine; that two ids of a billion
/// share a hash has a chance of about 10^-21.
#[derive(Debug)]
pub(crate) struct SeenIds {
    capacity: usize,
    younger: Generation,
    older: Generation,
    /// Bytes of pages that were forgotten here while a view held them.
    held: usize,
}

/// Hashes of a page.
const PAGE: usize = 4_096;

/// Hashes in the order in which they came, so that what is saved of them only grows at its end.
///
/// A clone shares the pages that are full and copies the one that is being filled: it stays what it was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hashes {
    full: Vec<Arc<[u128]>>,
    /// What came after them, less than a page.
    open: Vec<u128>,
}

#[derive(Debug)]
struct Generation {
    hashes: Hashes,
    /// Places in `hashes`, found by the low bits of the hash.
    places: HashTable<u32>,
}

impl SeenIds {
    /// Two generations of `capacity` ids take about 50 bytes per id of capacity once they are full, and no more later.
    #[must_use]
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, u32::MAX as usize);
        Self { capacity, younger: Generation::new(capacity), older: Generation::new(capacity), held: 0 }
    }

    /// What is remembered: hashes of the older generation and of the younger, each in the order in which they came. It takes
    /// the time of copying a pointer per page.
    #[must_use]
    pub(crate) fn hashes(&self) -> [Hashes; 2] {
        [self.older.hashes.clone(), self.younger.hashes.clone()]
    }

    /// Bytes of what was forgotten here while somebody held it, since this was last asked.
    pub(crate) fn held_bytes(&mut self) -> usize {
        std::mem::take(&mut self.held)
    }

    /// Remembers what [`hashes`](Self::hashes) gave, instead of what it remembers now. `None` when there are more than two
    /// generations hold.
    #[must_use]
    pub(crate) fn restored(mut self, older: &[u128], younger: &[u128]) -> Option<Self> {
        if older.len().max(younger.len()) > self.capacity {
            return None;
        }
        self.older.fill(older);
        self.younger.fill(younger);
        Some(self)
    }

    /// Marks the rows whose id was not seen before, in earlier calls or earlier rows, and remembers all of them.
    ///
    /// `ids` is a column of strings or 64-bit integers. A null id is no id: such rows are never repeats.
    ///
    /// # Errors
    /// When the column has another type.
    pub(crate) fn first_seen(&mut self, ids: &dyn Array) -> Result<BooleanBuffer, SeenIdsError> {
        match ids.data_type() {
            DataType::Utf8 => {
                let ids = ids.as_string::<i32>();
                Ok(ids.iter().map(|id| id.is_none_or(|id| self.insert(id.as_bytes()))).collect())
            }
            DataType::Int64 => {
                let ids = ids.as_primitive::<Int64Type>();
                Ok(ids.iter().map(|id| id.is_none_or(|id| self.insert(&id.to_le_bytes()))).collect())
            }
            other => Err(SeenIdsError::IdType { found: other.clone() }),
        }
    }

    /// Bytes that are held for ids.
    #[cfg(test)]
    fn state_bytes(&self) -> usize {
        [&self.younger, &self.older].map(Generation::state_bytes).iter().sum()
    }

    /// Remembers an id and says whether it is new.
    fn insert(&mut self, id: &[u8]) -> bool {
        let hash = xxh3_128(id);
        if self.younger.hashes.len() >= self.capacity {
            std::mem::swap(&mut self.younger, &mut self.older);
            self.held += self.younger.hashes.held_bytes();
            self.younger.clear();
        }
        // A repeat is remembered anew: the promise counts from the last time that an id appeared.
        self.younger.insert(hash) && !self.older.contains(hash)
    }
}

/// Why ids cannot be looked at.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SeenIdsError {
    /// The column of ids has a type that ids do not have.
    #[error("event ids must be strings or integers, the column is {found}")]
    IdType {
        /// The column's type.
        found: DataType,
    },
}

impl Judged for SeenIdsError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::IdType { .. } => Judgement::OPERATOR,
        }
    }
}

impl Hashes {
    /// Room for a first page of at most `capacity` hashes.
    fn new(capacity: usize) -> Self {
        Self { full: Vec::new(), open: Vec::with_capacity(capacity.min(PAGE)) }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.full.len() * PAGE + self.open.len()
    }

    /// The hashes, page by page.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &[u128]> {
        self.full.iter().map(|page| &**page).chain([self.open.as_slice()])
    }

    fn at(&self, place: u32) -> u128 {
        let (page, row) = (place as usize / PAGE, place as usize % PAGE);
        self.full.get(page).map_or_else(|| self.open[row], |page| page[row])
    }

    fn push(&mut self, hash: u128) {
        self.open.push(hash);
        if self.open.len() == PAGE {
            self.full.push(self.open.as_slice().into());
            self.open.clear();
        }
    }

    fn clear(&mut self) {
        self.full.clear();
        self.open.clear();
    }

    /// Bytes of pages that somebody else holds too.
    fn held_bytes(&self) -> usize {
        let held = self.full.iter().filter(|page| Arc::strong_count(page) > 1);
        held.count() * PAGE * size_of::<u128>()
    }
}

impl Generation {
    fn new(capacity: usize) -> Self {
        Self { hashes: Hashes::new(capacity), places: HashTable::with_capacity(capacity) }
    }

    fn contains(&self, hash: u128) -> bool {
        self.places.find(hash as u64, |place| self.hashes.at(*place) == hash).is_some()
    }

    /// Whether it was not there.
    fn insert(&mut self, hash: u128) -> bool {
        if self.contains(hash) {
            return false;
        }
        self.push(hash);
        true
    }

    fn push(&mut self, hash: u128) {
        let place = self.hashes.len() as u32;
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.places.insert_unique(hash as u64, place, |place| hashes.at(*place) as u64);
    }

    fn fill(&mut self, hashes: &[u128]) {
        self.clear();
        hashes.iter().for_each(|hash| self.push(*hash));
    }

    fn clear(&mut self) {
        self.hashes.clear();
        self.places.clear();
    }

    #[cfg(test)]
    fn state_bytes(&self) -> usize {
        let hashes = self.hashes.full.len() * PAGE + self.hashes.open.capacity();
        hashes * size_of::<u128>() + self.places.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use arrow::array::{BooleanArray, Int64Array, StringArray};
    use proptest::prelude::*;

    use super::*;

    fn first(seen: &mut SeenIds, ids: &dyn Array) -> Vec<bool> {
        seen.first_seen(ids).expect("marks").iter().collect()
    }

    #[test]
    fn repeats_are_found_within_a_batch_and_across_batches() {
        let mut seen = SeenIds::new(100);
        let ids = StringArray::from(vec![Some("a"), Some("b"), Some("a"), None, None, Some("")]);
        assert_eq!(first(&mut seen, &ids), [true, true, false, true, true, true]);
        assert_eq!(first(&mut seen, &ids), [false, false, false, true, true, false]);
        assert_eq!(first(&mut seen, &Int64Array::from(vec![1, 2, 1])), [true, true, false]);
    }

    #[test]
    fn memory_does_not_grow_with_the_number_of_ids() {
        let mut seen = SeenIds::new(10_000);
        let mut bytes = Vec::new();
        for start in (0..120_000).step_by(1_000) {
            let fresh = first(&mut seen, &Int64Array::from_iter_values(start..start + 1_000));
            assert!(fresh.into_iter().all(|new| new));
            bytes.push(seen.state_bytes());
        }
        assert_eq!(bytes[20..40].iter().max(), bytes[100..].iter().max());
    }

    /// What is remembered, hash by hash.
    fn remembered(hashes: [Hashes; 2]) -> [Vec<u128>; 2] {
        hashes.map(|hashes| hashes.pages().flatten().copied().collect())
    }

    #[test]
    fn what_was_handed_out_stays_what_it_was_and_is_counted_once_it_is_forgotten_here() {
        let mut seen = SeenIds::new(10_000);
        first(&mut seen, &Int64Array::from_iter_values(0..15_000));
        let held = seen.hashes();
        let before = remembered(held.clone());
        assert_eq!(before.each_ref().map(Vec::len), [10_000, 5_000]);
        first(&mut seen, &Int64Array::from_iter_values(15_000..40_000));
        assert_eq!(remembered(held), before);
        // Two full pages of the older generation, and the one of the younger with what came into it later.
        assert_eq!(seen.held_bytes(), 3 * PAGE * size_of::<u128>());
        assert_eq!(seen.held_bytes(), 0);
        first(&mut seen, &Int64Array::from_iter_values(40_000..80_000));
        assert_eq!(seen.held_bytes(), 0, "nobody holds anything any more");

        let mut again = SeenIds::new(10_000).restored(&before[0], &before[1]).unwrap();
        assert_eq!(remembered(again.hashes()), before);
        assert!(first(&mut again, &Int64Array::from_iter_values(5_000..15_000)).into_iter().all(|new| !new));
    }

    #[test]
    fn a_column_that_holds_no_ids_is_refused() {
        let error = SeenIds::new(1).first_seen(&BooleanArray::from(vec![true])).expect_err("no ids");
        assert_eq!(error.to_string(), "event ids must be strings or integers, the column is Boolean");
    }

    proptest! {
        #[test]
        fn a_repeat_within_capacity_is_always_found_and_nothing_new_is_ever_dropped(
            ids in prop::collection::vec(0_i64..40, 1..400),
            capacity in 1_usize..20,
            restored_at in 0_usize..400,
        ) {
            let mut seen = SeenIds::new(capacity);
            let marks = first(&mut seen, &Int64Array::from(ids.clone()));
            let (before, after) = ids.split_at(restored_at.min(ids.len()));
            let mut saved = SeenIds::new(capacity);
            let mut again = first(&mut saved, &Int64Array::from(before.to_vec()));
            let [older, younger] = remembered(saved.hashes());
            let mut restored = SeenIds::new(capacity).restored(&older, &younger).unwrap();
            again.extend(first(&mut restored, &Int64Array::from(after.to_vec())));
            prop_assert_eq!(&again, &marks);
            prop_assert!(SeenIds::new(older.len().saturating_sub(1)).restored(&older, &[]).is_none() || older.len() < 2);
            let mut recent = VecDeque::new();
            for (position, (id, new)) in ids.iter().zip(marks).enumerate() {
                if recent.contains(id) {
                    prop_assert!(!new, "row {position} repeats {id}");
                }
                if !ids[..position].contains(id) {
                    prop_assert!(new, "row {position} is the first {id}");
                }
                recent.push_back(*id);
                if recent.len() > capacity {
                    recent.pop_front();
                }
            }
        }
    }
}
