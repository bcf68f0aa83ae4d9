//! Key interner: key columns → dense slots.
//!
//! DataFusion's own interner cannot look a key up without adding it, and a look-up for an unknown user must not grow
//! the state. This one keeps each key once, in Arrow's row format, and answers both.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use hashbrown::HashTable;

use super::WindowError;

/// The slot of a row that has none: filtered out, or an unknown key.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// Maps the key of a row to a slot; slots are dense and start at zero.
pub(crate) struct KeyIndex {
    converter: RowConverter,
    table: HashTable<u32>,
    hashes: Vec<u64>,
    /// All keys one after the other in row format; key `slot` is `bytes[offsets[slot]..offsets[slot + 1]]`.
    bytes: Vec<u8>,
    offsets: Vec<usize>,
    scratch: Vec<u64>,
}

impl KeyIndex {
    /// An empty index for keys of these types.
    pub(crate) fn new(types: &[DataType]) -> Result<Self, WindowError> {
        let fields = types.iter().cloned().map(SortField::new).collect();
        Ok(Self {
            converter: RowConverter::new(fields)?,
            table: HashTable::new(),
            hashes: Vec::new(),
            bytes: Vec::new(),
            offsets: vec![0],
            scratch: Vec::new(),
        })
    }

    /// How many keys are known; every slot is below it.
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Memory held, bytes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.capacity() + 8 * (self.offsets.capacity() + self.hashes.capacity()) + 5 * self.table.capacity()
    }

    /// Writes the slot of every row for which `wanted` holds; the others get [`NO_SLOT`]. New keys get new slots.
    pub(crate) fn intern(
        &mut self,
        keys: &[ArrayRef],
        rows: usize,
        wanted: impl Fn(usize) -> bool,
        slots: &mut Vec<u32>,
    ) -> Result<(), WindowError> {
        slots.clear();
        self.hash(keys, rows)?;
        let encoded = self.converter.convert_columns(keys)?;
        for (row, hash) in self.scratch.iter().copied().enumerate() {
            if !wanted(row) {
                slots.push(NO_SLOT);
                continue;
            }
            let key = encoded.row(row);
            let key: &[u8] = key.as_ref();
            let found = self.table.find(hash, |slot| key_at(&self.bytes, &self.offsets, *slot) == key);
            let slot = match found {
                Some(slot) => *slot,
                None => {
                    let slot = u32::try_from(self.hashes.len()).ok().filter(|slot| *slot != NO_SLOT);
                    let slot = slot.ok_or(WindowError::TooManyKeys)?;
                    self.hashes.push(hash);
                    self.bytes.extend_from_slice(key);
                    self.offsets.push(self.bytes.len());
                    self.table.insert_unique(hash, slot, |slot| self.hashes[*slot as usize]);
                    slot
                }
            };
            slots.push(slot);
        }
        Ok(())
    }

    /// Writes the slot of every row; [`NO_SLOT`] where the key is unknown or has a NULL, which equals nothing in SQL.
    pub(crate) fn look_up(&mut self, keys: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<(), WindowError> {
        slots.clear();
        self.hash(keys, rows)?;
        let encoded = self.converter.convert_columns(keys)?;
        for (row, hash) in self.scratch.iter().copied().enumerate() {
            if keys.iter().any(|column| column.is_null(row)) {
                slots.push(NO_SLOT);
                continue;
            }
            let key = encoded.row(row);
            let key: &[u8] = key.as_ref();
            let found = self.table.find(hash, |slot| key_at(&self.bytes, &self.offsets, *slot) == key);
            slots.push(found.copied().unwrap_or(NO_SLOT));
        }
        Ok(())
    }

    /// The key columns of these slots.
    pub(crate) fn columns(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, WindowError> {
        let parser = self.converter.parser();
        let rows = slots.iter().map(|slot| parser.parse(key_at(&self.bytes, &self.offsets, *slot)));
        Ok(self.converter.convert_rows(rows)?)
    }

    /// Keeps only the keys for which `alive` holds, in order, and returns the new slot of each old one.
    pub(crate) fn retain(&mut self, alive: &[bool]) -> Vec<u32> {
        let mut moved = vec![NO_SLOT; self.len()];
        let (mut bytes, mut offsets, mut hashes) = (Vec::new(), vec![0], Vec::new());
        for (slot, _) in alive.iter().enumerate().filter(|(_, alive)| **alive) {
            moved[slot] = hashes.len() as u32;
            bytes.extend_from_slice(key_at(&self.bytes, &self.offsets, slot as u32));
            offsets.push(bytes.len());
            hashes.push(self.hashes[slot]);
        }
        let mut table = HashTable::with_capacity(hashes.len());
        for (slot, hash) in hashes.iter().enumerate() {
            table.insert_unique(*hash, slot as u32, |slot| hashes[*slot as usize]);
        }
        (self.bytes, self.offsets, self.hashes, self.table) = (bytes, offsets, hashes, table);
        moved
    }

    fn hash(&mut self, keys: &[ArrayRef], rows: usize) -> Result<(), WindowError> {
        self.scratch.clear();
        self.scratch.resize(rows, 0);
        // A fixed seed: the same input gives the same state on every run.
        create_hashes(keys, &RandomState::with_seed(0), &mut self.scratch)?;
        Ok(())
    }
}

fn key_at<'a>(bytes: &'a [u8], offsets: &[usize], slot: u32) -> &'a [u8] {
    &bytes[offsets[slot as usize]..offsets[slot as usize + 1]]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    fn keys(ids: &[i64], names: &[Option<&str>]) -> Vec<ArrayRef> {
        vec![Arc::new(Int64Array::from(ids.to_vec())), Arc::new(StringArray::from(names.to_vec()))]
    }

    #[test]
    fn look_ups_find_interned_keys_and_never_add_one() -> Result<(), WindowError> {
        let mut index = KeyIndex::new(&[DataType::Int64, DataType::Utf8])?;
        let mut slots = Vec::new();
        index.intern(&keys(&[1, 2, 1], &[Some("a"), Some("a"), Some("a")]), 3, |_| true, &mut slots)?;
        assert_eq!(slots, [0, 1, 0]);
        index.look_up(&keys(&[2, 3, 1], &[Some("a"), Some("a"), None]), 3, &mut slots)?;
        assert_eq!(slots, [1, NO_SLOT, NO_SLOT]);
        assert_eq!(index.len(), 2);
        Ok(())
    }

    #[test]
    fn retained_keys_keep_their_columns_under_new_slots() -> Result<(), WindowError> {
        let mut index = KeyIndex::new(&[DataType::Int64, DataType::Utf8])?;
        let mut slots = Vec::new();
        index.intern(&keys(&[1, 2, 3], &[Some("a"), None, Some("c")]), 3, |_| true, &mut slots)?;
        assert_eq!(index.retain(&[false, true, true]), [NO_SLOT, 0, 1]);
        assert_eq!(&index.columns(&[0, 1])?, &keys(&[2, 3], &[None, Some("c")]));
        index.look_up(&keys(&[3], &[Some("c")]), 1, &mut slots)?;
        assert_eq!(slots, [1]);
        Ok(())
    }
}
