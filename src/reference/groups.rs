//! Rows with one key are a group: from a key to its group.
//!
//! A key of one integer column is looked up as it is. Any other key is first put into Arrow's row format, one string of bytes
//! whatever the number and types of its columns.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// The group of a row whose key is NULL, in whole or in part.
pub(super) const NO_GROUP: u32 = u32::MAX;

/// A group, by the order in which their first rows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) number: u32,
    /// The first row of the table that is in it.
    pub(super) first: u32,
}

/// Groups by their keys.
pub(super) enum Groups {
    Integers(HashTable<(i64, Group)>),
    Rows(RowGroups),
}

/// Groups by keys in row format.
pub(super) struct RowGroups {
    converter: RowConverter,
    /// The keys of the table's rows.
    keys: Rows,
    table: HashTable<Group>,
}

/// What became of the rows of a table.
pub(super) struct Grouped {
    pub(super) groups: Groups,
    /// Per row its group's number, or [`NO_GROUP`].
    pub(super) group_of: Vec<u32>,
    /// Per group how many rows it has.
    pub(super) sizes: Vec<u32>,
}

impl Grouped {
    /// Groups the rows of key columns of one length, which is below `u32::MAX`.
    pub(super) fn new(columns: &[ArrayRef]) -> Result<Self, ArrowError> {
        let rows = columns.first().map_or(0, Array::len);
        let mut grouped =
            Self { groups: Groups::none(columns)?, group_of: Vec::with_capacity(rows), sizes: Vec::new() };
        let nulls = nulls(columns);
        for row in 0..rows {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                grouped.group_of.push(NO_GROUP);
                continue;
            }
            let new = Group { number: grouped.sizes.len() as u32, first: row as u32 };
            let group = grouped.groups.insert(columns, row, new);
            match grouped.sizes.get_mut(group.number as usize) {
                Some(size) => *size += 1,
                None => grouped.sizes.push(1),
            }
            grouped.group_of.push(group.number);
        }
        Ok(grouped)
    }

    /// The rows that have an earlier row's key, each behind the first that has it.
    pub(super) fn repeated(&self) -> Vec<(usize, usize)> {
        let mut repeated = Vec::new();
        if self.sizes.iter().all(|size| *size == 1) {
            return repeated;
        }
        let mut firsts = vec![None; self.sizes.len()];
        for (row, group) in self.group_of.iter().enumerate() {
            match firsts.get_mut(*group as usize) {
                Some(Some(first)) => repeated.push((*first, row)),
                Some(none) => *none = Some(row),
                None => {}
            }
        }
        repeated
    }
}

impl Groups {
    /// No groups yet of keys that are known.
    fn none(columns: &[ArrayRef]) -> Result<Self, ArrowError> {
        if let [only] = columns
            && *only.data_type() == DataType::Int64
        {
            return Ok(Self::Integers(HashTable::new()));
        }
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        Ok(Self::Rows(RowGroups { keys: converter.convert_columns(columns)?, converter, table: HashTable::new() }))
    }

    /// The group of a row's key: the one that there is, or else the new one.
    fn insert(&mut self, columns: &[ArrayRef], row: usize, new: Group) -> Group {
        match self {
            Self::Integers(table) => {
                let Some(keys) = columns.first().and_then(|keys| keys.as_primitive_opt::<Int64Type>()) else {
                    return new;
                };
                let key = keys.values().get(row).copied().unwrap_or_default();
                let hash = hash_integer(key);
                if let Some((_, group)) = table.find(hash, |(other, _)| *other == key) {
                    return *group;
                }
                table.insert_unique(hash, (key, new), |(key, _)| hash_integer(*key));
            }
            Self::Rows(RowGroups { keys, table, .. }) => {
                let key = keys.row(row);
                let hash = xxh3_64(key.as_ref());
                if let Some(group) = table.find(hash, |group| keys.row(group.first as usize) == key) {
                    return *group;
                }
                table.insert_unique(hash, new, |group| xxh3_64(keys.row(group.first as usize).as_ref()));
            }
        }
        new
    }

    /// Per row of key columns, which are of the table's types, what becomes of its group.
    pub(super) fn find<T>(
        &self,
        columns: &[ArrayRef],
        mut with: impl FnMut(usize, Group) -> Option<T>,
    ) -> Result<Vec<Option<T>>, ArrowError> {
        let nulls = nulls(columns);
        let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        match (self, columns) {
            (Self::Integers(table), [keys]) => {
                let keys = keys.as_primitive_opt::<Int64Type>().map(|keys| keys.values().iter()).unwrap_or_default();
                let found = keys.enumerate().map(|(row, key)| {
                    if is_null(row) {
                        return None;
                    }
                    let (_, group) = table.find(hash_integer(*key), |(other, _)| other == key)?;
                    with(row, *group)
                });
                Ok(found.collect())
            }
            (Self::Integers(_), _) => Ok(Vec::new()),
            (Self::Rows(RowGroups { converter, keys, table }), columns) => {
                let wanted = converter.convert_columns(columns)?;
                let found = wanted.iter().enumerate().map(|(row, key)| {
                    if is_null(row) {
                        return None;
                    }
                    let group = table.find(xxh3_64(key.as_ref()), |group| keys.row(group.first as usize) == key)?;
                    with(row, *group)
                });
                Ok(found.collect())
            }
        }
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Integers(table) => table.len(),
            Self::Rows(rows) => rows.table.len(),
        }
    }
}

fn hash_integer(key: i64) -> u64 {
    xxh3_64(&key.to_le_bytes())
}

/// The rows in which one of the key columns is NULL.
fn nulls(columns: &[ArrayRef]) -> Option<NullBuffer> {
    columns.iter().fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    /// The groups of all rows, and what other keys find.
    fn check(keys: &[ArrayRef], group_of: &[u32], repeated: &[(usize, usize)], others: &[ArrayRef], found: &[i64]) {
        let grouped = Grouped::new(keys).unwrap();
        assert_eq!((grouped.group_of.as_slice(), grouped.repeated().as_slice()), (group_of, repeated));
        assert_eq!(grouped.groups.len(), grouped.sizes.len());
        let firsts = grouped.groups.find(others, |_, group| Some(group.first)).unwrap();
        assert_eq!(firsts.iter().map(|first| first.map_or(-1, i64::from)).collect::<Vec<_>>(), found);
    }

    #[test]
    fn integers_and_texts_are_grouped_alike() {
        let integers = |keys: &[Option<i64>]| -> Vec<ArrayRef> { vec![Arc::new(Int64Array::from(keys.to_vec()))] };
        let texts = |keys: &[Option<i64>]| -> Vec<ArrayRef> {
            let texts = keys.iter().map(|key| key.map(|key| key.to_string()));
            vec![Arc::new(texts.collect::<StringArray>())]
        };
        let keys = [Some(7), None, Some(-1), Some(0), Some(7), Some(0), None];
        let others = [Some(0), Some(1), None, Some(-1), Some(7)];
        for columns in [integers, texts] as [fn(&[Option<i64>]) -> Vec<ArrayRef>; 2] {
            let group_of = [0, NO_GROUP, 1, 2, 0, 2, NO_GROUP];
            check(&columns(&keys), &group_of, &[(0, 4), (3, 5)], &columns(&others), &[3, -1, -1, 2, 0]);
        }
    }

    #[test]
    fn keys_of_several_columns_match_as_a_whole() {
        let column = |texts: [&str; 2]| Arc::new(StringArray::from(texts.to_vec())) as ArrayRef;
        let keys = [column(["a", "ab"]), column(["bc", "c"])];
        check(&keys, &[0, 1], &[], &[column(["a", "ab"]), column(["c", "c"])], &[-1, 1]);
    }
}
