//! From a key and an instant to the row that holds.
//!
//! ```text
//!   key ──▶ group g ──▶ held[offsets[g]..offsets[g+1]]: the key's rows, by the instant from which they hold
//!                                │ the last one that begins at or before t
//!                                ▼
//!                           holds if t is before its end
//! ```
//!
//! The rows of one key lie side by side with their instants, so that the search stays in a cache line or two. Where all rows
//! hold always, the group's only row is the answer.

use std::fmt;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;

use super::groups::{Grouped, Groups};

/// From when to when the rows hold, per row of the table in microseconds. Without beginnings a row holds from the end of
/// its key's row before it; without ends until its key's next row begins.
#[derive(Debug)]
pub(super) struct Periods {
    /// The first instants; `i64::MIN` is open.
    pub(super) from: Option<Vec<i64>>,
    /// The first instants after them; `i64::MAX` is open.
    pub(super) to: Option<Vec<i64>>,
}

/// Why a row is found by no key: the last row that is named here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clash {
    /// Two rows, in the table's order, have one key.
    Repeated(usize, usize),
    /// Two rows of one key hold both at an instant.
    Overlapping(usize, usize, i64),
    /// A row ends at its second instant, which is not behind its first one.
    Never(usize, i64, i64),
}

/// The rows of a table by key and time.
pub(super) struct KeyIndex {
    groups: Groups,
    /// `None`: all rows hold always.
    timeline: Option<Timeline>,
}

/// Which rows of the groups hold when.
struct Timeline {
    /// Where in `held` each group begins, and where the last one ends.
    offsets: Vec<u32>,
    /// Group by group, and within one in the order of time.
    held: Vec<Held>,
}

/// A row, and from when to when it holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    from: i64,
    to: i64,
    row: u32,
}

impl KeyIndex {
    /// An index over key columns of one length, which is below `u32::MAX`, and the rows that it leaves out because they can't
    /// be told from others.
    pub(super) fn new(columns: &[ArrayRef], periods: Option<&Periods>) -> Result<(Self, Vec<Clash>), ArrowError> {
        let grouped = Grouped::new(columns)?;
        let (timeline, clashes) = match periods {
            None => (None, grouped.repeated().into_iter().map(|(first, row)| Clash::Repeated(first, row)).collect()),
            Some(periods) => {
                let (timeline, clashes) = Timeline::new(&grouped, periods);
                (Some(timeline), clashes)
            }
        };
        Ok((Self { groups: grouped.groups, timeline }, clashes))
    }

    /// Per row of the key columns, which are of the index's types, the row of the table that holds at its time.
    pub(super) fn find(&self, columns: &[ArrayRef], times: &[i64]) -> Result<Vec<Option<u32>>, ArrowError> {
        match &self.timeline {
            None => self.groups.find(columns, |_, group| Some(group.first)),
            Some(timeline) => {
                self.groups.find(columns, |row, group| timeline.at(group.number as usize, *times.get(row)?))
            }
        }
    }
}

impl fmt::Debug for KeyIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyIndex").field("keys", &self.groups.len()).finish_non_exhaustive()
    }
}

impl Timeline {
    /// Puts the rows of each group into the order of time, without those that hold at the same time as an earlier one.
    fn new(grouped: &Grouped, periods: &Periods) -> (Self, Vec<Clash>) {
        let (bounds, mut held) = sort_by_group(grouped, periods);
        let mut clashes = Vec::new();
        let mut offsets = Vec::with_capacity(bounds.len());
        let mut end = 0;
        offsets.push(0);
        for bounds in bounds.windows(2) {
            if let &[start, stop] = bounds
                && let Some(rows) = held.get_mut(start as usize..stop as usize)
            {
                let kept = periods.sort(rows, &mut clashes);
                let start = start as usize;
                if start != end {
                    held.copy_within(start..start + kept, end);
                }
                end += kept;
            }
            offsets.push(end as u32);
        }
        held.truncate(end);
        (Self { offsets, held }, clashes)
    }

    /// The group's row that holds at a time.
    fn at(&self, group: usize, time: i64) -> Option<u32> {
        let (start, end) = (*self.offsets.get(group)?, *self.offsets.get(group + 1)?);
        let rows = self.held.get(start as usize..end as usize)?;
        let last = rows.get(rows.partition_point(|row| row.from <= time).checked_sub(1)?)?;
        (time < last.to || last.to == i64::MAX).then_some(last.row)
    }
}

impl Periods {
    fn held(&self, row: u32) -> Held {
        let at = |instants: &Option<Vec<i64>>| instants.as_ref().and_then(|all| all.get(row as usize)).copied();
        Held { from: at(&self.from).unwrap_or(i64::MIN), to: at(&self.to).unwrap_or(i64::MAX), row }
    }

    /// Sorts the rows of one key by time, and completes from when to when each of them holds. Those that hold at no time of
    /// their own are left out; the others stand first, and it says how many they are.
    fn sort(&self, rows: &mut [Held], clashes: &mut Vec<Clash>) -> usize {
        // The table's order says which of two rows that hold at once is called the first.
        rows.sort_unstable_by_key(|row| (if self.from.is_some() { row.from } else { row.to }, row.row));
        let mut kept = 0_usize;
        for at in 0..rows.len() {
            let Some(mut row) = rows.get(at).copied() else { continue };
            if self.from.is_some() && self.to.is_some() && row.from >= row.to {
                clashes.push(Clash::Never(row.row as usize, row.from, row.to));
                continue;
            }
            if let Some(before) = kept.checked_sub(1).and_then(|last| rows.get_mut(last)) {
                let mut end = before.to;
                if self.to.is_none() {
                    end = row.from;
                } else if self.from.is_none() {
                    row.from = end;
                }
                let clash = if before.from >= end || row.from < end || end == i64::MAX {
                    Some(row.from)
                } else {
                    (row.from >= row.to).then(|| row.to.saturating_sub(1))
                };
                if let Some(at) = clash {
                    clashes.push(Clash::Overlapping(before.row as usize, row.row as usize, at));
                    continue;
                }
                before.to = end;
            }
            if let Some(place) = rows.get_mut(kept) {
                *place = row;
                kept += 1;
            }
        }
        kept
    }
}

/// Where each group begins, and the rows that have a group, group by group.
fn sort_by_group(grouped: &Grouped, periods: &Periods) -> (Vec<u32>, Vec<Held>) {
    let mut offsets = Vec::with_capacity(grouped.sizes.len() + 1);
    let mut end = 0;
    offsets.push(end);
    for size in &grouped.sizes {
        end += size;
        offsets.push(end);
    }
    // The last one is where no group begins, and rows without a group find no place.
    let mut next = offsets.clone();
    let mut held = vec![Held { from: 0, to: 0, row: 0 }; end as usize];
    for (row, group) in grouped.group_of.iter().enumerate() {
        if let Some(at) = next.get_mut(*group as usize)
            && let Some(place) = held.get_mut(*at as usize)
        {
            *place = periods.held(row as u32);
            *at += 1;
        }
    }
    (offsets, held)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    /// An index, or the first row that it leaves out.
    fn index(keys: &[i64], periods: Option<&Periods>) -> Result<KeyIndex, Clash> {
        let (index, clashes) = all(keys, periods);
        clashes.first().map_or(Ok(index), |clash| Err(*clash))
    }

    fn all(keys: &[i64], periods: Option<&Periods>) -> (KeyIndex, Vec<Clash>) {
        KeyIndex::new(&[Arc::new(Int64Array::from(keys.to_vec())) as ArrayRef], periods).unwrap()
    }

    /// The rows that hold for the key 7 at some times.
    fn at(index: &KeyIndex, times: &[i64]) -> Vec<Option<u32>> {
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![7; times.len()]));
        index.find(&[keys], times).unwrap()
    }

    #[test]
    fn a_key_finds_its_row_and_null_finds_nothing() {
        let texts = |keys: &[Option<&str>]| -> Vec<ArrayRef> { vec![Arc::new(StringArray::from(keys.to_vec()))] };
        let (index, _) = KeyIndex::new(&texts(&[Some("b"), None, Some("a"), None]), None).unwrap();
        let found = index.find(&texts(&[Some("a"), Some("b"), Some("c"), None]), &[]).unwrap();
        assert_eq!(found, [Some(2), Some(0), None, None]);
    }

    #[test]
    fn the_earlier_of_two_rows_with_one_key_is_named_first() {
        assert_eq!(index(&[1, 2, 2], None).unwrap_err(), Clash::Repeated(1, 2));
    }

    #[test]
    fn rows_that_clash_are_left_out_and_the_others_are_found() {
        let (index, clashes) = all(&[7, 1, 7, 7], None);
        assert_eq!(clashes, [Clash::Repeated(0, 2), Clash::Repeated(0, 3)]);
        assert_eq!(at(&index, &[0]), [Some(0)]);
        let periods = Periods { from: Some(vec![0, 5, 9, 4, 20, 3]), to: Some(vec![10, 15, 5, 8, 30, 6]) };
        let (index, clashes) = all(&[1, 7, 7, 7, 7, 7], Some(&periods));
        assert_eq!(clashes, [Clash::Overlapping(5, 3, 4), Clash::Overlapping(5, 1, 5), Clash::Never(2, 9, 5)]);
        assert_eq!(at(&index, &[2, 3, 5, 7, 20, 29, 30]), [None, Some(5), Some(5), None, Some(4), Some(4), None]);
        let versions = Periods { from: Some(vec![5, 5, 9]), to: None };
        let (index, clashes) = all(&[7, 7, 7], Some(&versions));
        assert_eq!(clashes, [Clash::Overlapping(0, 1, 5)]);
        assert_eq!(at(&index, &[4, 5, 8, 9]), [None, Some(0), Some(0), Some(2)]);
    }

    #[test]
    fn validity_begins_with_its_first_instant_and_ends_before_its_last() {
        let periods = Periods { from: Some(vec![20, i64::MIN, 30]), to: Some(vec![25, 20, i64::MAX]) };
        let index = index(&[7, 7, 7], Some(&periods)).unwrap();
        let found = at(&index, &[i64::MIN, 19, 20, 24, 25, 29, 30, i64::MAX]);
        assert_eq!(found, [Some(1), Some(1), Some(0), Some(0), None, None, Some(2), Some(2)]);
    }

    #[test]
    fn overlaps_are_found_also_behind_an_open_end() {
        let clash = |from: Option<[i64; 2]>, to: Option<[i64; 2]>| {
            let periods = Periods { from: from.map(Vec::from), to: to.map(Vec::from) };
            index(&[7, 7], Some(&periods)).err()
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
        let times = [4, 5, 9, 10, i64::MAX];
        let versions = Periods { from: Some(vec![10, 5, 9]), to: None };
        let found = at(&index(&[7, 7, 7], Some(&versions)).unwrap(), &times);
        assert_eq!(found, [None, Some(1), Some(2), Some(0), Some(0)]);
        let ends = Periods { from: None, to: Some(vec![10, 5, 9]) };
        let found = at(&index(&[7, 7, 7], Some(&ends)).unwrap(), &times);
        assert_eq!(found, [Some(1), Some(2), Some(0), None, None]);
    }
}
