//! Key interner: key columns → dense slots.
//!
//! DataFusion's own interner cannot look a key up without adding it, and a look-up for an unknown user must not grow
//! the state. This one keeps each key once, in Arrow's row format, and answers both.

mod integers;
mod rows;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use hashbrown::HashTable;

use self::integers::Integers;
use self::rows::Rows;
use super::WindowError;
use crate::event::{finite, one_zero};

/// The slot of a row that has none: filtered out, or an unknown key.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// Keys as rows show them: zero has no sign, and what is no finite number is NULL.
fn normalised(keys: &[ArrayRef]) -> Result<Vec<ArrayRef>, ArrowError> {
    keys.iter().map(|key| finite(one_zero(Arc::clone(key))?)).collect()
}

/// Maps the key of a row to a slot; slots are dense and start at zero.
pub(crate) struct KeyIndex {
    form: Form,
    table: HashTable<u32>,
}

enum Form {
    Integer(Integers),
    Rows(Rows),
}

impl KeyIndex {
    /// An empty index for keys of these types.
    pub(crate) fn new(types: &[DataType]) -> Result<Self, WindowError> {
        let form = match types {
            [DataType::Int64] => Form::Integer(Integers::new()),
            _ => Form::Rows(Rows::new(types)?),
        };
        Ok(Self { form, table: HashTable::new() })
    }

    /// How many keys are known; every slot is below it.
    pub(crate) fn len(&self) -> usize {
        match &self.form {
            Form::Integer(keys) => keys.len(),
            Form::Rows(keys) => keys.len(),
        }
    }

    /// Memory held, bytes: a function of the keys alone, so that a restored index counts the same.
    pub(crate) fn size(&self) -> usize {
        let keys = match &self.form {
            Form::Integer(keys) => 8 * doubled(keys.len()),
            Form::Rows(keys) => doubled(keys.bytes()) + 16 * doubled(keys.len()),
        };
        keys + 5 * hashed(self.len())
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
        match &mut self.form {
            Form::Integer(known) => {
                let Some(keys) = keys.first().and_then(|key| key.as_primitive_opt::<Int64Type>()) else {
                    return not_integers();
                };
                for row in 0..rows {
                    slots.push(if wanted(row) { known.intern(&mut self.table, keys, row)? } else { NO_SLOT });
                }
            }
            Form::Rows(known) => {
                let keys = &normalised(keys)?;
                known.hash(keys, rows)?;
                let encoded = known.encode(keys)?;
                for row in 0..rows {
                    let key = encoded.row(row);
                    let key = key.as_ref();
                    slots.push(if wanted(row) { known.intern(&mut self.table, key, row)? } else { NO_SLOT });
                }
            }
        }
        Ok(())
    }

    /// Writes the slot of every row; [`NO_SLOT`] where the key is unknown or has a NULL, which equals nothing in SQL.
    pub(crate) fn look_up(&mut self, keys: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<(), WindowError> {
        slots.clear();
        match &mut self.form {
            Form::Integer(known) => {
                let Some(keys) = keys.first().and_then(|key| key.as_primitive_opt::<Int64Type>()) else {
                    return not_integers();
                };
                slots.extend((0..rows).map(|row| {
                    let found = keys.is_valid(row).then(|| known.find(&self.table, keys.value(row))).flatten();
                    found.unwrap_or(NO_SLOT)
                }));
            }
            Form::Rows(known) => {
                let keys = &normalised(keys)?;
                known.hash(keys, rows)?;
                let encoded = known.encode(keys)?;
                slots.extend(known.hashes_at_hand().iter().enumerate().map(|(row, hash)| {
                    let key = encoded.row(row);
                    let is_null = keys.iter().any(|column| column.is_null(row));
                    let found = (!is_null).then(|| known.find(&self.table, *hash, key.as_ref())).flatten();
                    found.unwrap_or(NO_SLOT)
                }));
            }
        }
        Ok(())
    }

    /// The key columns of these slots.
    pub(crate) fn columns(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, WindowError> {
        match &self.form {
            Form::Integer(keys) => Ok(vec![Arc::new(keys.column(slots))]),
            Form::Rows(keys) => Ok(keys.columns(slots)?),
        }
    }

    /// Keeps only the keys for which `alive` holds, in order, and returns the new slot of each old one.
    pub(crate) fn retain(&mut self, alive: &[bool]) -> Vec<u32> {
        let mut moved = vec![NO_SLOT; self.len()];
        let mut slots = 0;
        for (moved, _) in moved.iter_mut().zip(alive).filter(|(_, alive)| **alive) {
            *moved = slots;
            slots += 1;
        }
        self.table = HashTable::with_capacity(slots as usize);
        match &mut self.form {
            Form::Integer(keys) => {
                keys.retain(&moved);
                keys.index(&mut self.table);
            }
            Form::Rows(keys) => {
                keys.retain(&moved);
                keys.index(&mut self.table);
            }
        }
        moved
    }

    /// A view: these keys by slot, whatever is added here from now on. It finds no key before [`Self::index`].
    pub(crate) fn share(&mut self) -> Result<Self, WindowError> {
        let form = match &mut self.form {
            Form::Integer(keys) => Form::Integer(keys.share()),
            Form::Rows(keys) => Form::Rows(keys.share()?),
        };
        Ok(Self { form, table: HashTable::new() })
    }

    /// Makes the keys of a view be found.
    pub(crate) fn index(&mut self) -> Result<(), WindowError> {
        if !self.table.is_empty() {
            return Ok(());
        }
        match &mut self.form {
            Form::Integer(keys) => keys.index(&mut self.table),
            Form::Rows(keys) => {
                keys.hash_all()?;
                keys.index(&mut self.table);
            }
        }
        Ok(())
    }

    /// Bytes that were copied because a view held them, since this was last asked.
    pub(crate) fn take_copied(&mut self) -> usize {
        match &mut self.form {
            Form::Integer(keys) => keys.take_copied(),
            // Only the last page, and that grows anyway.
            Form::Rows(_) => 0,
        }
    }
}

/// Scrambles a word so that all its bits take part in every bit of a hash (the finalizer of splitmix64).
pub(crate) fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// Room of a vector or table of this length that grows by doubling.
pub(crate) fn doubled(length: usize) -> usize {
    if length == 0 { 0 } else { length.next_power_of_two() }
}

/// Buckets of a hash table of this many entries: it is at most 7/8 full.
pub(crate) fn hashed(length: usize) -> usize {
    if length == 0 { 0 } else { doubled(length + length / 7) }
}

fn next_slot(keys: usize) -> Result<u32, WindowError> {
    u32::try_from(keys).ok().filter(|slot| *slot != NO_SLOT).ok_or(WindowError::TooManyKeys)
}

fn not_integers() -> Result<(), WindowError> {
    Err(ArrowError::CastError("the keys of this index are 64-bit integers".to_owned()).into())
}

#[cfg(test)]
mod tests {
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

    /// A row shows NULL for each of them, so that a group of its own would have the name of another.
    #[test]
    fn keys_that_are_no_finite_numbers_are_one_key_and_so_are_zeros() -> Result<(), WindowError> {
        let mut index = KeyIndex::new(&[DataType::Float64])?;
        let values = [Some(0.0), Some(-0.0), None, Some(f64::NAN), Some(f64::INFINITY), Some(1.5)];
        let column: [ArrayRef; 1] = [Arc::new(arrow::array::Float64Array::from(values.to_vec()))];
        let mut slots = Vec::new();
        index.intern(&column, 6, |_| true, &mut slots)?;
        assert_eq!(slots, [0, 0, 1, 1, 1, 2]);
        index.look_up(&column, 6, &mut slots)?;
        assert_eq!(slots, [0, 0, NO_SLOT, NO_SLOT, NO_SLOT, 2]);
        let expected: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![Some(0.0), None, Some(1.5)]));
        assert_eq!(index.columns(&[0, 1, 2])?, [expected]);
        Ok(())
    }

    #[test]
    fn integer_keys_keep_null_apart_from_every_integer() -> Result<(), WindowError> {
        let mut index = KeyIndex::new(&[DataType::Int64])?;
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), None, Some(i64::MIN), None, Some(0)]));
        let (mut slots, column) = (Vec::new(), [Arc::clone(&keys)]);
        index.intern(&column, 5, |row| row != 4, &mut slots)?;
        assert_eq!(slots, [0, 1, 2, 1, NO_SLOT]);
        index.look_up(&column, 5, &mut slots)?;
        assert_eq!(slots, [0, NO_SLOT, 2, NO_SLOT, 0]);
        assert_eq!(&index.columns(&[0, 1, 2])?, &[keys.slice(0, 3)]);
        assert_eq!(index.retain(&[false, true, true]), [NO_SLOT, 0, 1]);
        index.intern(&column, 5, |_| true, &mut slots)?;
        assert_eq!(slots, [2, 0, 1, 0, 2]);
        Ok(())
    }
}
