//! Keys of a single 64-bit integer: by far the most frequent ones, and they need no encoding.

use arrow::array::{Array, Int64Array};
use hashbrown::HashTable;

use super::{NO_SLOT, mix, next_slot};
use crate::window::WindowError;
use crate::window::paged::Paged;

/// See the module.
pub(super) struct Integers {
    values: Paged<i64>,
    /// The slot of NULL, whose value is not looked at.
    null: Option<u32>,
}

fn hash(value: i64) -> u64 {
    mix(value.cast_unsigned())
}

impl Integers {
    /// No keys yet.
    pub(super) fn new() -> Self {
        Self { values: Paged::new(1), null: None }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// The key column of these slots.
    pub(super) fn column(&self, slots: &[u32]) -> Int64Array {
        slots.iter().map(|slot| (Some(*slot) != self.null).then(|| *self.values.get(*slot as usize))).collect()
    }

    /// Keeps the keys that have a new slot, in their order.
    pub(super) fn retain(&mut self, moved: &[u32]) {
        let mut values = Paged::new(1);
        let kept = self.values.iter().zip(moved).filter(|(_, to)| **to != NO_SLOT);
        kept.for_each(|(value, _)| values.push(&[*value]));
        drop(self.values.replace(values));
        self.null = self.null.map(|slot| moved[slot as usize]).filter(|slot| *slot != NO_SLOT);
    }

    /// A view.
    pub(super) fn share(&mut self) -> Self {
        Self { values: self.values.share(), null: self.null }
    }

    /// Bytes that were copied because a view held them, since this was last asked.
    pub(super) fn take_copied(&mut self) -> usize {
        self.values.take_copied()
    }

    pub(super) fn find(&self, table: &HashTable<u32>, value: i64) -> Option<u32> {
        table.find(hash(value), |slot| *self.values.get(*slot as usize) == value).copied()
    }

    /// Makes the keys be found.
    pub(super) fn index(&self, table: &mut HashTable<u32>) {
        for (slot, value) in self.values.iter().enumerate().filter(|(slot, _)| Some(*slot as u32) != self.null) {
            table.insert_unique(hash(*value), slot as u32, |slot| hash(*self.values.get(*slot as usize)));
        }
    }

    /// The slot of the key of a row, a new one for a new key.
    pub(super) fn intern(
        &mut self,
        table: &mut HashTable<u32>,
        keys: &Int64Array,
        row: usize,
    ) -> Result<u32, WindowError> {
        let value = keys.value(row);
        if keys.is_null(row) {
            if let Some(slot) = self.null {
                return Ok(slot);
            }
            let slot = next_slot(self.values.len())?;
            self.values.push(&[0]);
            self.null = Some(slot);
            return Ok(slot);
        }
        if let Some(slot) = self.find(table, value) {
            return Ok(slot);
        }
        let slot = next_slot(self.values.len())?;
        self.values.push(&[value]);
        table.insert_unique(hash(value), slot, |slot| hash(*self.values.get(*slot as usize)));
        Ok(slot)
    }
}
