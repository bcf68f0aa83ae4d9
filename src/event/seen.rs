//! Repeated events, found by their ids in bounded memory.

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
}

/// Hashes in the order in which they came, so that what is saved of them only grows at its end.
#[derive(Debug)]
struct Generation {
    hashes: Vec<u128>,
    /// Places in `hashes`, found by the low bits of the hash.
    places: HashTable<u32>,
}

impl SeenIds {
    /// Memory for two generations of `capacity` ids (about 50 bytes per id of capacity) is taken here, and no more later.
    #[must_use]
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, u32::MAX as usize);
        Self { capacity, younger: Generation::new(capacity), older: Generation::new(capacity) }
    }

    /// What is remembered: hashes of the older generation and of the younger, each in the order in which they came.
    #[must_use]
    pub(crate) fn hashes(&self) -> [&[u128]; 2] {
        [&self.older.hashes, &self.younger.hashes]
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

impl Generation {
    fn new(capacity: usize) -> Self {
        Self { hashes: Vec::with_capacity(capacity), places: HashTable::with_capacity(capacity) }
    }

    fn contains(&self, hash: u128) -> bool {
        self.places.find(hash as u64, |place| self.hashes[*place as usize] == hash).is_some()
    }

    /// Whether it was not there.
    fn insert(&mut self, hash: u128) -> bool {
        if self.contains(hash) {
            return false;
        }
        let place = self.hashes.len() as u32;
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.places.insert_unique(hash as u64, place, |place| hashes[*place as usize] as u64);
        true
    }

    fn fill(&mut self, hashes: &[u128]) {
        self.clear();
        self.hashes.extend_from_slice(hashes);
        for (place, hash) in hashes.iter().enumerate() {
            self.places.insert_unique(*hash as u64, place as u32, |place| hashes[*place as usize] as u64);
        }
    }

    fn clear(&mut self) {
        self.hashes.clear();
        self.places.clear();
    }

    #[cfg(test)]
    fn state_bytes(&self) -> usize {
        self.hashes.capacity() * size_of::<u128>() + self.places.allocation_size()
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
        let mut seen = SeenIds::new(1_000);
        let at_first = seen.state_bytes();
        for start in (0..100_000).step_by(1_000) {
            let fresh = first(&mut seen, &Int64Array::from_iter_values(start..start + 1_000));
            assert!(fresh.into_iter().all(|new| new));
        }
        assert_eq!(seen.state_bytes(), at_first);
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
            let [older, younger] = saved.hashes();
            let mut restored = SeenIds::new(capacity).restored(older, younger).unwrap();
            again.extend(first(&mut restored, &Int64Array::from(after.to_vec())));
            prop_assert_eq!(&again, &marks);
            prop_assert!(SeenIds::new(older.len().saturating_sub(1)).restored(older, &[]).is_none() || older.len() < 2);
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
