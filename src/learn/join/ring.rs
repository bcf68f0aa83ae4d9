//! Remembered impressions in the order of their arrival, found by key.
//!
//! ```text
//!             slab (64 rows)      slab                slab
//!           ┌───────────────┐  ┌───────────────┐  ┌───────────────┐
//!  rows     │ gone   3 4 5 6│  │7 8 9 …        │  │… 99 100       │     numbered by arrival: sequences
//!  vectors  │        ░ ░ ░ ░│  │░ ░ ░          │  │   ░  ░        │     row-major
//!           └────────▲──────┘  └───────────────┘  └──────▲────────┘
//!                 oldest                               newest
//!  buckets   hash of a key ─▶ newest row of the bucket ─▶ next older row ─▶ … ─▶ a row that is gone: the end
//! ```
//!
//! Rows leave only at the old end, so a link to a row that is gone is the end of its chain and nothing is ever unlinked.
//! A slab whose rows are all gone is used again for the newest rows, unless a view has it too: views share slabs, and the first
//! write to one of them copies it.

use std::collections::VecDeque;
use std::iter::successors;
use std::sync::Arc;

use crate::learn::Provenance;

const SLAB_ROWS: usize = 64;

/// What a row waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowState {
    /// Feedback, or the end of its window.
    Open,
    /// A correction.
    Negative,
    /// Nothing.
    Positive,
}

/// An impression without its vector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) key: u128,
    pub(super) at_micros: i64,
    /// Since when its window runs in event time: since it was shown, or since it came where event time was further.
    pub(super) opened_micros: i64,
    /// Since when its window runs by the clock; never before it was shown.
    pub(super) arrived_micros: i64,
    /// The newest time of this row and of all that arrived before it.
    pub(super) newest_micros: i64,
    /// The row of the same bucket that arrived before it.
    older: u64,
    pub(super) place: u32,
    pub(super) state: RowState,
}

impl Row {
    /// Whether the clock said when it was shown, and nobody's event or request did.
    pub(super) fn has_clock_time(&self) -> bool {
        self.at_micros == self.arrived_micros
    }
}

/// A row that arrives.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewRow {
    pub(super) key: u128,
    pub(super) at_micros: i64,
    pub(super) opened_micros: i64,
    pub(super) arrived_micros: i64,
    pub(super) place: u32,
}

/// A row with what belongs to it, to be changed.
pub(super) struct Held<'a> {
    pub(super) row: &'a mut Row,
    pub(super) vector: &'a mut [f32],
    pub(super) provenance: &'a Provenance,
}

#[derive(Debug)]
struct Slab {
    rows: Vec<Row>,
    vectors: Vec<f32>,
    provenances: Vec<Provenance>,
}

impl Slab {
    fn new(columns: usize) -> Self {
        Self {
            rows: Vec::with_capacity(SLAB_ROWS),
            vectors: Vec::with_capacity(SLAB_ROWS * columns),
            provenances: Vec::with_capacity(SLAB_ROWS),
        }
    }
}

/// With room for as many rows.
impl Clone for Slab {
    fn clone(&self) -> Self {
        let mut slab = Self {
            rows: Vec::with_capacity(SLAB_ROWS),
            vectors: Vec::with_capacity(self.vectors.capacity()),
            provenances: Vec::with_capacity(SLAB_ROWS),
        };
        slab.rows.extend_from_slice(&self.rows);
        slab.provenances.extend_from_slice(&self.provenances);
        slab.vectors.extend_from_slice(&self.vectors);
        slab
    }
}

/// A queue of rows with an index. Sequences count from 1 and are never given twice.
#[derive(Debug)]
pub(super) struct Ring {
    columns: usize,
    slabs: VecDeque<Arc<Slab>>,
    spare: Vec<Slab>,
    /// The sequence of the first row of the first slab.
    first: u64,
    oldest: u64,
    next: u64,
    /// The sequence of the newest row whose key falls here; a power of two of them.
    buckets: Vec<u64>,
    newest_micros: i64,
    /// Bytes of the ids of all rows that are there, a ranking's once.
    text_bytes: usize,
}

impl Ring {
    pub(super) fn new(columns: usize) -> Self {
        Self::starting_at(columns, 1, i64::MIN, 0)
    }

    /// An empty ring whose next row has this sequence and comes after rows of this newest time, with room for so many.
    pub(super) fn starting_at(columns: usize, sequence: u64, newest_micros: i64, rows: usize) -> Self {
        let buckets = vec![0; rows.max(SLAB_ROWS).next_power_of_two()];
        let (first, oldest, next) = (sequence, sequence, sequence);
        let (slabs, spare, text_bytes) = (VecDeque::new(), Vec::new(), 0);
        Self { columns, slabs, spare, first, oldest, next, buckets, newest_micros, text_bytes }
    }

    pub(super) fn len(&self) -> usize {
        (self.next - self.oldest) as usize
    }

    /// The sequence of the oldest row, or of the next one when there is none.
    pub(super) fn oldest(&self) -> u64 {
        self.oldest
    }

    /// The sequence that the next row will have.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The newest time of all rows that arrived up to the oldest one, or ever when there is none.
    pub(super) fn newest_of_oldest(&self) -> i64 {
        self.row(self.oldest).map_or(self.newest_micros, |row| row.newest_micros)
    }

    /// Adds a row; `vector` has the ring's width. Returns its sequence.
    pub(super) fn push(&mut self, row: NewRow, vector: &[f32], provenance: &Provenance) -> u64 {
        let NewRow { key, at_micros, opened_micros, arrived_micros, place } = row;
        if self.len() == self.buckets.len() {
            self.grow_buckets();
        }
        if self.slabs.back().is_none_or(|slab| slab.rows.len() == SLAB_ROWS) {
            let slab = self.spare.pop().unwrap_or_else(|| Slab::new(self.columns));
            self.slabs.push_back(Arc::new(slab));
        }
        let mut provenance = provenance.clone();
        provenance.share_with(self.newest_provenance());
        self.text_bytes += self.bytes_of(&provenance);
        self.newest_micros = self.newest_micros.max(at_micros);
        let bucket = bucket_of(key, self.buckets.len());
        let older = self.buckets.get_mut(bucket).map_or(0, |head| std::mem::replace(head, self.next));
        if let Some(slab) = self.slabs.back_mut().map(Arc::make_mut) {
            let newest_micros = self.newest_micros;
            let state = RowState::Open;
            slab.rows.push(Row { key, at_micros, opened_micros, arrived_micros, newest_micros, older, place, state });
            slab.vectors.extend_from_slice(vector);
            slab.provenances.push(provenance);
        }
        self.next += 1;
        self.next - 1
    }

    /// Removes the oldest row.
    pub(super) fn pop(&mut self) {
        if self.oldest == self.next {
            return;
        }
        let gone = self.provenance(self.oldest).map_or(0, |gone| {
            let is_held_on = self.provenance(self.oldest + 1).is_some_and(|next| next.shares(gone));
            gone.own_bytes() + if is_held_on { 0 } else { gone.asked_bytes() }
        });
        self.text_bytes = self.text_bytes.saturating_sub(gone);
        self.oldest += 1;
        if self.oldest - self.first == SLAB_ROWS as u64
            && let Some(slab) = self.slabs.pop_front()
        {
            self.first = self.oldest;
            if let Ok(mut slab) = Arc::try_unwrap(slab) {
                slab.rows.clear();
                slab.vectors.clear();
                slab.provenances.clear();
                self.spare.push(slab);
            }
        }
    }

    /// A view: these rows by their sequences, whatever is done here from now on. It finds none by its key.
    pub(super) fn share(&self) -> Self {
        Self { slabs: self.slabs.clone(), spare: Vec::new(), buckets: Vec::new(), ..*self }
    }

    /// The row of this sequence; `None` when it is gone.
    pub(super) fn row(&self, sequence: u64) -> Option<&Row> {
        let (slab, index) = self.place_of(sequence)?;
        self.slabs.get(slab)?.rows.get(index)
    }

    /// The vector of this sequence.
    pub(super) fn vector(&self, sequence: u64) -> Option<&[f32]> {
        let (slab, index) = self.place_of(sequence)?;
        let from = index * self.columns;
        self.slabs.get(slab)?.vectors.get(from..from + self.columns)
    }

    /// Where the row of this sequence is from.
    pub(super) fn provenance(&self, sequence: u64) -> Option<&Provenance> {
        let (slab, index) = self.place_of(sequence)?;
        self.slabs.get(slab)?.provenances.get(index)
    }

    /// Whether the ids of a new row fit a limit, beside those that are there.
    pub(super) fn has_room(&self, provenance: &Provenance, limit: usize) -> bool {
        self.text_bytes + self.bytes_of(provenance) <= limit
    }

    /// What a new row adds to the bytes of ids.
    fn bytes_of(&self, provenance: &Provenance) -> usize {
        let is_known = self.newest_provenance().is_some_and(|newest| newest.asked == provenance.asked);
        provenance.own_bytes() + if is_known { 0 } else { provenance.asked_bytes() }
    }

    fn newest_provenance(&self) -> Option<&Provenance> {
        self.provenance(self.next - 1)
    }

    /// The row of this sequence, its vector and where it is from, to be changed.
    pub(super) fn row_mut(&mut self, sequence: u64) -> Option<Held<'_>> {
        let (slab, index) = self.place_of(sequence)?;
        let Slab { rows, vectors, provenances } = Arc::make_mut(self.slabs.get_mut(slab)?);
        let from = index * self.columns;
        Some(Held {
            row: rows.get_mut(index)?,
            vector: vectors.get_mut(from..from + self.columns)?,
            provenance: provenances.get(index)?,
        })
    }

    /// The rows of a key, the last that arrived first.
    pub(super) fn rows_of(&self, key: u128) -> impl Iterator<Item = (u64, &Row)> {
        let with_row = |sequence: u64| self.row(sequence).map(|row| (sequence, row));
        let newest = self.buckets.get(bucket_of(key, self.buckets.len())).copied().and_then(with_row);
        successors(newest, move |(_, row)| with_row(row.older)).filter(move |(_, row)| row.key == key)
    }

    /// Bytes that are held.
    #[cfg(test)]
    pub(super) fn size_bytes(&self) -> usize {
        let slabs = self.slabs.len() + self.spare.len();
        let lists = self.slabs.capacity() + self.spare.capacity();
        let (rows, buckets) = (slabs * slab_bytes(self.columns), self.buckets.capacity() * size_of::<u64>());
        rows + lists * size_of::<Slab>() + buckets + self.text_bytes
    }

    /// Most bytes that `rows` rows ever need, without their ids.
    pub(super) fn most_bytes(columns: usize, rows: usize) -> usize {
        let slabs = rows.saturating_add(SLAB_ROWS - 2) / SLAB_ROWS + 1;
        // Both lists grow by doubling, from 4.
        let lists = slabs.saturating_mul(4).saturating_add(8).saturating_mul(size_of::<Slab>());
        let buckets = rows.max(SLAB_ROWS).checked_next_power_of_two().unwrap_or(usize::MAX);
        let buckets = buckets.saturating_mul(size_of::<u64>());
        slabs.saturating_mul(slab_bytes(columns)).saturating_add(lists).saturating_add(buckets)
    }

    fn place_of(&self, sequence: u64) -> Option<(usize, usize)> {
        if sequence < self.oldest || sequence >= self.next {
            return None;
        }
        let offset = (sequence - self.first) as usize;
        Some((offset / SLAB_ROWS, offset % SLAB_ROWS))
    }

    fn grow_buckets(&mut self) {
        let count = self.buckets.len() * 2;
        self.buckets = vec![0; count];
        let rows = self.slabs.iter_mut().flat_map(|slab| &mut Arc::make_mut(slab).rows);
        for (sequence, row) in (self.first..).zip(rows) {
            if sequence >= self.oldest
                && let Some(head) = self.buckets.get_mut(bucket_of(row.key, count))
            {
                row.older = std::mem::replace(head, sequence);
            }
        }
    }
}

fn slab_bytes(columns: usize) -> usize {
    let beside = size_of::<Row>() + size_of::<Provenance>();
    let row = columns.saturating_mul(size_of::<f32>()).saturating_add(beside);
    row.saturating_mul(SLAB_ROWS)
}

/// A key is a hash already; `buckets` is a power of two.
fn bucket_of(key: u128, buckets: usize) -> usize {
    key as usize & (buckets - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: u128, at_micros: i64) -> NewRow {
        NewRow { key, at_micros, opened_micros: at_micros, arrived_micros: at_micros, place: 0 }
    }

    #[test]
    fn rows_are_found_by_key_newest_first_across_slabs_and_growing_buckets() {
        let mut ring = Ring::new(1);
        for number in 1..=1_000_u64 {
            let (row, unknown) = (row(u128::from(number % 7), number as i64), Provenance::unknown());
            assert_eq!(ring.push(row, &[number as f32], unknown), number);
            if number > 300 {
                ring.pop();
            }
        }
        assert_eq!((ring.len(), ring.oldest()), (300, 701));
        for key in 0..7 {
            let found: Vec<u64> = ring.rows_of(u128::from(key)).map(|(sequence, _)| sequence).collect();
            let expected: Vec<u64> = (701..=1_000).rev().filter(|number| number % 7 == key).collect();
            assert_eq!(found, expected);
        }
        assert_eq!(ring.row_mut(777).unwrap().vector, [777.0]);
        assert!(ring.row(700).is_none() && ring.row(1_001).is_none());
    }

    #[test]
    fn memory_is_used_again_and_stays_within_what_was_announced() {
        for rows in [1, 2, 63, 64, 65, 130, 1_000] {
            let mut ring = Ring::new(3);
            for number in 0..5_000 {
                if ring.len() == rows {
                    ring.pop();
                }
                ring.push(row(number, 0), &[0.0; 3], Provenance::unknown());
            }
            assert!(ring.size_bytes() <= Ring::most_bytes(3, rows), "{rows} rows take {}", ring.size_bytes());
        }
    }
}
