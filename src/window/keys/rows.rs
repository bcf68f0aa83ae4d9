//! Keys of any other types, in Arrow's row format.

use std::mem::take;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use hashbrown::HashTable;

use super::{NO_SLOT, next_slot};
use crate::window::WindowError;

/// Keys of a page. Views copy a pointer per page, and the first new key after a view the last page.
const KEYS_OF_PAGE: usize = 1_024;

/// Keys of a view whose hashes are made at once.
const HASHED_TOGETHER: usize = 1 << 16;

/// See the module.
pub(super) struct Rows {
    types: Vec<DataType>,
    converter: RowConverter,
    hashes: Vec<u64>,
    /// Keys one after the other, so many to a page.
    pages: Vec<Arc<Page>>,
    bytes: usize,
    /// The hashes of the keys at hand.
    at_hand: Vec<u64>,
}

/// Key `i` of a page ends at `ends[i]` and begins where the one before it ends.
#[derive(Clone, Default)]
struct Page {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Rows {
    /// No keys yet, of these types.
    pub(super) fn new(types: &[DataType]) -> Result<Self, WindowError> {
        let converter = RowConverter::new(types.iter().cloned().map(SortField::new).collect())?;
        let types = types.to_vec();
        Ok(Self { types, converter, hashes: Vec::new(), pages: Vec::new(), bytes: 0, at_hand: Vec::new() })
    }

    pub(super) fn len(&self) -> usize {
        let last = self.pages.last().map_or(0, |page| page.ends.len());
        self.pages.len().saturating_sub(1) * KEYS_OF_PAGE + last
    }

    fn key(&self, slot: u32) -> &[u8] {
        key_of(&self.pages, slot as usize)
    }

    /// Bytes of all keys.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The hashes that were made last.
    pub(super) fn hashes_at_hand(&self) -> &[u64] {
        &self.at_hand
    }

    /// Keys in row format.
    pub(super) fn encode(&self, keys: &[ArrayRef]) -> Result<arrow::row::Rows, ArrowError> {
        self.converter.convert_columns(keys)
    }

    /// The key columns of these slots.
    pub(super) fn columns(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        let parser = self.converter.parser();
        self.converter.convert_rows(slots.iter().map(|slot| parser.parse(self.key(*slot))))
    }

    /// Keeps the keys that have a new slot, in their order.
    pub(super) fn retain(&mut self, moved: &[u32]) {
        let (pages, hashes) = (take(&mut self.pages), take(&mut self.hashes));
        self.bytes = 0;
        for (slot, hash) in hashes.iter().enumerate().filter(|(slot, _)| moved[*slot] != NO_SLOT) {
            self.push(*hash, key_of(&pages, slot));
        }
    }

    /// A view. Its keys are not found before they are [hashed again](Self::hash_all).
    pub(super) fn share(&self) -> Result<Self, WindowError> {
        let mut shared = Self::new(&self.types)?;
        (shared.pages, shared.bytes) = (self.pages.clone(), self.bytes);
        Ok(shared)
    }

    /// Makes the hashes of all keys of a view.
    pub(super) fn hash_all(&mut self) -> Result<(), WindowError> {
        let slots: Vec<u32> = (0..self.len() as u32).collect();
        for slots in slots.chunks(HASHED_TOGETHER) {
            let columns = self.columns(slots)?;
            self.hash(&columns, slots.len())?;
            self.hashes.extend_from_slice(&self.at_hand);
        }
        Ok(())
    }

    fn push(&mut self, hash: u64, key: &[u8]) {
        if self.hashes.len().is_multiple_of(KEYS_OF_PAGE) {
            self.pages.push(Arc::new(Page::default()));
        }
        if let Some(page) = self.pages.last_mut() {
            let page = Arc::make_mut(page);
            page.bytes.extend_from_slice(key);
            page.ends.push(page.bytes.len());
        }
        self.hashes.push(hash);
        self.bytes += key.len();
    }

    /// Makes the keys be found.
    pub(super) fn index(&self, table: &mut HashTable<u32>) {
        for (slot, hash) in self.hashes.iter().enumerate() {
            table.insert_unique(*hash, slot as u32, |slot| self.hashes[*slot as usize]);
        }
    }

    pub(super) fn find(&self, table: &HashTable<u32>, hash: u64, key: &[u8]) -> Option<u32> {
        table.find(hash, |slot| self.key(*slot) == key).copied()
    }

    /// The slot of the key of a row, whose hash was made last; a new one for a new key.
    pub(super) fn intern(&mut self, table: &mut HashTable<u32>, key: &[u8], row: usize) -> Result<u32, WindowError> {
        let hash = self.at_hand[row];
        if let Some(slot) = self.find(table, hash, key) {
            return Ok(slot);
        }
        let slot = next_slot(self.len())?;
        self.push(hash, key);
        table.insert_unique(hash, slot, |slot| self.hashes[*slot as usize]);
        Ok(slot)
    }

    /// Makes the hashes of some keys.
    pub(super) fn hash(&mut self, keys: &[ArrayRef], rows: usize) -> Result<(), WindowError> {
        self.at_hand.clear();
        self.at_hand.resize(rows, 0);
        // A fixed seed: the same input gives the same state on every run.
        create_hashes(keys, &RandomState::with_seed(0), &mut self.at_hand)?;
        Ok(())
    }
}

fn key_of(pages: &[Arc<Page>], slot: usize) -> &[u8] {
    let (page, place) = (&pages[slot / KEYS_OF_PAGE], slot % KEYS_OF_PAGE);
    let first = place.checked_sub(1).map_or(0, |before| page.ends[before]);
    &page.bytes[first..page.ends[place]]
}
