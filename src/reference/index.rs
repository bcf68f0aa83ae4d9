//! From a key and an instant to the row that holds.
//!
//! ```text
//!   key ──hash──▶ group g ──▶ order[offsets[g]..offsets[g+1]]: the key's rows, by the instant from which they hold
//!                                   │ the last one that begins at or before t
//!                                   ▼
//!                              holds if t is before its end
//! ```
//!
//! Keys are compared in Arrow's row format, one string of bytes whatever the number and types of the columns. The rows of
//! one key lie side by side, so that the search for an instant stays in a cache line or two.

use std::fmt;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// From when to when the rows hold, per row of the table in microseconds. Without beginnings a row holds from the end of
/// its key's row before it; without ends until its key's next row begins.
#[derive(Debug)]
pub(super) struct Periods {
    /// The first instants; `i64::MIN` is open.
    pub(super) from: Option<Vec<i64>>,
    /// The first instants after them; `i64::MAX` is open.
    pub(super) to: Option<Vec<i64>>,
}

/// When the rows hold, in the index's order.
#[derive(Debug)]
struct Spans {
    from: Vec<i64>,
    to: Vec<i64>,
}

/// Rows that can't be told apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Clash {
    /// Two rows, in the table's order, have one key.
    Repeated(usize, usize),
    /// Two rows of one key hold both at an instant.
    Overlapping(usize, usize, i64),
}

/// The rows of a table by key and time.
pub(super) struct KeyIndex {
    converter: RowConverter,
    /// The keys, in the table's order.
    keys: Rows,
    /// The numbers of the groups by the hashes of their keys.
    groups: HashTable<u32>,
    /// Where in `order` each group begins, and where the last one ends.
    offsets: Vec<u32>,
    /// The table's rows, group by group and within one by the instant from which they hold.
    order: Vec<u32>,
    /// Beside `order`, unless all rows hold always.
    spans: Option<Spans>,
}

impl KeyIndex {
    /// An index over key columns of one length, which is below `u32::MAX`.
    pub(super) fn new(columns: &[ArrayRef], periods: Option<Periods>) -> Result<Result<Self, Clash>, ArrowError> {
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        let keys = converter.convert_columns(columns)?;
        let nulls = nulls(columns);
        let mut groups = HashTable::new();
        // Per group its first row and its number of rows; per row its group.
        let mut firsts: Vec<(u32, u32)> = Vec::new();
        let mut group_of: Vec<u32> = Vec::with_capacity(keys.num_rows());
        for row in 0..keys.num_rows() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                group_of.push(u32::MAX);
                continue;
            }
            let key = keys.row(row);
            let first_of = |group: u32| firsts.get(group as usize).map_or(0, |(first, _)| *first);
            let hash = xxh3_64(key.as_ref());
            let found = groups.find(hash, |group| keys.row(first_of(*group) as usize) == key).copied();
            let group = found.unwrap_or(firsts.len() as u32);
            if found.is_none() {
                groups.insert_unique(hash, group, |group| xxh3_64(keys.row(first_of(*group) as usize).as_ref()));
                firsts.push((row as u32, 1));
            } else if let Some((first, rows)) = firsts.get_mut(group as usize) {
                if periods.is_none() {
                    return Ok(Err(Clash::Repeated(*first as usize, row)));
                }
                *rows += 1;
            }
            group_of.push(group);
        }
        let (offsets, order) = sort_by_group(&firsts, &group_of);
        let mut index = Self { converter, keys, groups, offsets, order, spans: None };
        if let Some(periods) = periods
            && let Some(clash) = index.sort_by_time(&periods)
        {
            return Ok(Err(clash));
        }
        Ok(Ok(index))
    }

    /// Puts the rows of each group into the order of time, and finds two that hold at once.
    fn sort_by_time(&mut self, periods: &Periods) -> Option<Clash> {
        let mut spans = Spans { from: vec![i64::MIN; self.order.len()], to: vec![i64::MAX; self.order.len()] };
        for bounds in self.offsets.windows(2) {
            let &[start, end] = bounds else { continue };
            let group = start as usize..end as usize;
            if let (Some(rows), Some(from), Some(to)) =
                (self.order.get_mut(group.clone()), spans.from.get_mut(group.clone()), spans.to.get_mut(group))
                && let Err(clash) = periods.sort(rows, from, to)
            {
                return Some(clash);
            }
        }
        self.spans = Some(spans);
        None
    }

    /// Per row of the key columns, which are of the index's types, the row of the table that holds at its time.
    pub(super) fn find(&self, columns: &[ArrayRef], times: &[i64]) -> Result<Vec<Option<u32>>, ArrowError> {
        let wanted = self.converter.convert_columns(columns)?;
        let nulls = nulls(columns);
        let mut found = Vec::with_capacity(wanted.num_rows());
        for row in 0..wanted.num_rows() {
            let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            let time = times.get(row).copied().unwrap_or_default();
            found.push(if is_null { None } else { self.find_one(wanted.row(row).as_ref(), time) });
        }
        Ok(found)
    }

    fn find_one(&self, key: &[u8], time: i64) -> Option<u32> {
        let is_it = |group: &u32| {
            let first = self.offsets.get(*group as usize).and_then(|start| self.order.get(*start as usize));
            first.is_some_and(|first| self.keys.row(*first as usize).as_ref() == key)
        };
        let group = *self.groups.find(xxh3_64(key), is_it)? as usize;
        let start = *self.offsets.get(group)? as usize;
        let Some(spans) = &self.spans else { return self.order.get(start).copied() };
        let end = *self.offsets.get(group + 1)? as usize;
        let begun = spans.from.get(start..end)?.partition_point(|from| *from <= time);
        let last = start + begun.checked_sub(1)?;
        let until = *spans.to.get(last)?;
        if time < until || until == i64::MAX { self.order.get(last).copied() } else { None }
    }

    /// How many keys there are.
    pub(super) fn keys(&self) -> usize {
        self.groups.len()
    }

    /// Bytes in memory.
    pub(super) fn size(&self) -> usize {
        let spans = self.spans.as_ref().map_or(0, |spans| (spans.from.len() + spans.to.len()) * 8);
        self.keys.size() + self.groups.allocation_size() + (self.offsets.len() + self.order.len()) * 4 + spans
    }
}

impl Periods {
    /// Sorts the rows of one key by time, and writes down from when to when each of them holds.
    fn sort(&self, rows: &mut [u32], from: &mut [i64], to: &mut [i64]) -> Result<(), Clash> {
        let at = |instants: &Option<Vec<i64>>, row: u32, open: i64| {
            instants.as_ref().and_then(|instants| instants.get(row as usize)).copied().unwrap_or(open)
        };
        let leading = if self.from.is_some() { &self.from } else { &self.to };
        // The table's order says which of two rows that hold at once is called the first.
        rows.sort_unstable_by_key(|row| (at(leading, *row, i64::MIN), *row));
        for ((row, from), to) in rows.iter().zip(from.iter_mut()).zip(to.iter_mut()) {
            (*from, *to) = (at(&self.from, *row, i64::MIN), at(&self.to, *row, i64::MAX));
        }
        for next in 1..rows.len() {
            let (Some(&[before, row]), Some([earlier_from, later_from]), Some([earlier_to, later_to])) =
                (rows.get(next - 1..=next), from.get_mut(next - 1..=next), to.get_mut(next - 1..=next))
            else {
                continue;
            };
            let clash = |at| Err(Clash::Overlapping(before as usize, row as usize, at));
            if self.to.is_none() {
                *earlier_to = *later_from;
            } else if self.from.is_none() {
                *later_from = *earlier_to;
            }
            if *earlier_from >= *earlier_to || *later_from < *earlier_to || *earlier_to == i64::MAX {
                return clash(*later_from);
            }
            if *later_from >= *later_to {
                return clash(later_to.saturating_sub(1));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for KeyIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyIndex").field("keys", &self.keys()).field("rows", &self.order.len()).finish_non_exhaustive()
    }
}

/// The rows in which one of the key columns is NULL.
fn nulls(columns: &[ArrayRef]) -> Option<NullBuffer> {
    columns.iter().fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref()))
}

/// Where each group begins, and the rows that have a group, group by group.
fn sort_by_group(firsts: &[(u32, u32)], group_of: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut offsets = Vec::with_capacity(firsts.len() + 1);
    let mut end = 0;
    offsets.push(end);
    for (_, rows) in firsts {
        end += rows;
        offsets.push(end);
    }
    let mut next = offsets.clone();
    let mut order = vec![0; end as usize];
    for (row, group) in group_of.iter().enumerate() {
        if let Some(at) = next.get_mut(*group as usize)
            && let Some(place) = order.get_mut(*at as usize)
        {
            *place = row as u32;
            *at += 1;
        }
    }
    (offsets, order)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    fn texts(keys: &[Option<&str>]) -> Vec<ArrayRef> {
        vec![Arc::new(StringArray::from(keys.to_vec()))]
    }

    #[test]
    fn a_key_finds_its_row_and_null_finds_nothing() {
        let index = KeyIndex::new(&texts(&[Some("b"), None, Some("a"), None]), None).unwrap().unwrap();
        let found = index.find(&texts(&[Some("a"), Some("b"), Some("c"), None]), &[]).unwrap();
        assert_eq!((found, index.keys()), (vec![Some(2), Some(0), None, None], 2));
    }

    #[test]
    fn keys_of_several_columns_match_as_a_whole() {
        let left: ArrayRef = Arc::new(StringArray::from(vec!["a", "ab"]));
        let right: ArrayRef = Arc::new(StringArray::from(vec!["bc", "c"]));
        let index = KeyIndex::new(&[Arc::clone(&left), right], None).unwrap().unwrap();
        let other: ArrayRef = Arc::new(StringArray::from(vec!["c", "c"]));
        assert_eq!(index.find(&[left, other], &[]).unwrap(), [None, Some(1)]);
    }

    #[test]
    fn the_earlier_of_two_rows_with_one_key_is_named_first() {
        let clash = KeyIndex::new(&texts(&[Some("a"), Some("b"), Some("b")]), None).unwrap().unwrap_err();
        assert_eq!(clash, Clash::Repeated(1, 2));
    }

    #[test]
    fn validity_begins_with_its_first_instant_and_ends_before_its_last() {
        let keys: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![7, 7, 7]))];
        let periods = Periods { from: Some(vec![20, i64::MIN, 30]), to: Some(vec![25, 20, i64::MAX]) };
        let index = KeyIndex::new(&keys, Some(periods)).unwrap().unwrap();
        let at = |time: i64| index.find(&[Arc::new(Int64Array::from(vec![7])) as ArrayRef], &[time]).unwrap()[0];
        let found: Vec<_> = [i64::MIN, 19, 20, 24, 25, 29, 30, i64::MAX].into_iter().map(at).collect();
        assert_eq!(found, [Some(1), Some(1), Some(0), Some(0), None, None, Some(2), Some(2)]);
    }

    #[test]
    fn overlaps_are_found_also_behind_an_open_end() {
        let keys: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![7, 7]))];
        let clash = |from: Option<[i64; 2]>, to: Option<[i64; 2]>| {
            let periods = Periods { from: from.map(Vec::from), to: to.map(Vec::from) };
            KeyIndex::new(&keys, Some(periods)).unwrap().err()
        };
        assert_eq!(clash(Some([10, 5]), Some([20, 11])), Some(Clash::Overlapping(1, 0, 10)));
        assert_eq!(clash(Some([5, i64::MIN]), Some([6, i64::MAX])), Some(Clash::Overlapping(1, 0, 5)));
        assert_eq!(clash(Some([5, 5]), Some([6, 6])), Some(Clash::Overlapping(0, 1, 5)));
        assert_eq!(clash(Some([5, 6]), Some([6, 7])), None);
        assert_eq!(clash(Some([5, 5]), None), Some(Clash::Overlapping(0, 1, 5)));
        assert_eq!(clash(None, Some([6, 6])), Some(Clash::Overlapping(0, 1, 5)));
        assert_eq!(clash(None, Some([i64::MAX, i64::MAX])), Some(Clash::Overlapping(0, 1, i64::MAX)));
    }

    #[test]
    fn without_ends_a_row_holds_until_the_next_one_and_without_beginnings_since_the_last_one() {
        let keys: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![7, 7, 7]))];
        let find = |periods: Periods| {
            let index = KeyIndex::new(&keys, Some(periods)).unwrap().unwrap();
            let seven: ArrayRef = Arc::new(Int64Array::from(vec![7; 5]));
            index.find(&[seven], &[4, 5, 9, 10, i64::MAX]).unwrap()
        };
        let found = find(Periods { from: Some(vec![10, 5, 9]), to: None });
        assert_eq!(found, [None, Some(1), Some(2), Some(0), Some(0)]);
        let found = find(Periods { from: None, to: Some(vec![10, 5, 9]) });
        assert_eq!(found, [Some(1), Some(2), Some(0), None, None]);
    }
}
