//! The newest rows, kept one by one until the watermark has passed them.
//!
//! A read may ask for a time before the newest event (streams are out of order), so rows stay apart while that can
//! happen. Each row points to the row before it of the same key: a read walks only its own key's rows. A row also keeps
//! what it displaced in the structures that only know the newest state, so that a read of an earlier time can undo it.

mod batch;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::window::keys::NO_SLOT;

pub(super) use self::batch::{DistinctInput, LastInput, MergedInput, RecentBatch, Values};

/// The place of a row: batch number and row, newest first in every chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    batch: u32,
    row: u32,
}

impl Place {
    /// The end of a chain.
    const NONE: Self = Self { batch: u32::MAX, row: u32::MAX };
}

/// A batch whose rows change no more. What a walk along a chain asks of each row is beside it: a look into the batch as well
/// would be a line of memory more to fetch.
#[derive(Clone)]
struct Closed {
    batch: Arc<RecentBatch>,
    times: Arc<[i64]>,
    /// Per row, the row before it of the same key.
    previous: Arc<[Place]>,
    newest_so_far: i64,
}

/// A row on the way along a chain.
struct Link<'a> {
    index: usize,
    batch: &'a RecentBatch,
    row: usize,
    time: i64,
    newest_so_far: i64,
}

/// The recent rows of a table, oldest batch first.
pub(super) struct Recent {
    first: u32,
    batches: VecDeque<Closed>,
    /// The batch whose rows are being applied, behind the others.
    open: Option<RecentBatch>,
    /// Per slot, the newest row. A view has none before [`Self::chain`].
    heads: Vec<Place>,
    rows: usize,
    /// Rows of the newest batch that were linked: those before it in that batch.
    linked: usize,
    /// No row is older.
    oldest: i64,
}

/// No rows.
impl Default for Recent {
    fn default() -> Self {
        let (batches, heads) = (VecDeque::new(), Vec::new());
        Self { first: 0, batches, open: None, heads, rows: 0, linked: 0, oldest: i64::MAX }
    }
}

impl Recent {
    /// Adds a batch whose rows are linked one by one with [`Self::link`].
    pub(super) fn push(&mut self, mut batch: RecentBatch, slots: usize) {
        self.close();
        self.heads.resize(slots, Place::NONE);
        self.rows += batch.slots.len();
        self.linked = 0;
        self.oldest = self.oldest.min(batch.oldest);
        if let Some(last) = self.batches.back() {
            batch.newest_so_far = batch.newest.max(last.newest_so_far);
        }
        self.open = Some(batch);
    }

    /// Ends a step: the rows of its batch change no more.
    pub(super) fn close(&mut self) {
        let Some(mut batch) = self.open.take() else { return };
        let previous = std::mem::take(&mut batch.previous).into();
        let (times, newest_so_far) = (Arc::clone(&batch.times), batch.newest_so_far);
        self.batches.push_back(Closed { batch: Arc::new(batch), times, previous, newest_so_far });
    }

    /// A view, between two steps. Its rows are found by key after [`Self::chain`].
    pub(super) fn share(&self) -> Self {
        Self { batches: self.batches.clone(), open: None, heads: Vec::new(), ..*self }
    }

    /// Makes the rows of a view be found, of so many keys.
    pub(super) fn chain(&mut self, slots: usize) {
        if self.heads.len() == slots {
            return;
        }
        self.heads.resize(slots, Place::NONE);
        for (index, Closed { batch, .. }) in self.batches.iter().enumerate() {
            let number = self.first.wrapping_add(index as u32);
            for (row, slot) in batch.slots.iter().enumerate().filter(|(_, slot)| **slot != NO_SLOT) {
                self.heads[*slot as usize] = Place { batch: number, row: row as u32 };
            }
        }
    }

    /// Room for the chains of so many keys, when no batch has come yet.
    pub(super) fn resize(&mut self, slots: usize) {
        self.heads.resize(slots, Place::NONE);
    }

    /// The batch whose rows are being applied.
    pub(super) fn newest(&self) -> Option<&RecentBatch> {
        self.open.as_ref()
    }

    pub(super) fn newest_mut(&mut self) -> Option<&mut RecentBatch> {
        self.open.as_mut()
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn batches(&self) -> impl Iterator<Item = &RecentBatch> {
        self.batches.iter().map(|closed| closed.batch.as_ref()).chain(&self.open)
    }

    /// Oldest time among the rows.
    pub(super) fn oldest(&self) -> Option<i64> {
        (self.rows > 0).then_some(self.oldest)
    }

    /// Makes row `row` of the newest batch visible to reads.
    pub(super) fn link(&mut self, row: usize) {
        let number = self.first.wrapping_add(self.batches.len() as u32);
        if let Some(batch) = &mut self.open {
            self.linked = row + 1;
            let slot = batch.slots[row];
            if slot != NO_SLOT {
                let place = Place { batch: number, row: row as u32 };
                batch.previous[row] = std::mem::replace(&mut self.heads[slot as usize], place);
            }
        }
    }

    /// Makes all rows of the newest batch visible.
    pub(super) fn link_all(&mut self) {
        for row in 0..self.newest().map_or(0, |batch| batch.slots.len()) {
            self.link(row);
        }
        self.close();
    }

    /// The key's rows with `from < ts <= to`, newest arrival first, with the batch's index.
    pub(super) fn of_key_within(
        &self,
        slot: u32,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = (usize, &RecentBatch, usize)> {
        // A long way for nothing, where the span is over before the rows begin; and before a batch that is not newer than its
        // start lies none that is.
        let links = self.links(slot).take_while(move |link| self.oldest <= to && link.newest_so_far > from);
        let links = links.filter(move |link| from < link.time && link.time <= to);
        links.map(|link| (link.index, link.batch, link.row))
    }

    fn links(&self, slot: u32) -> impl Iterator<Item = Link<'_>> {
        let mut place = self.heads.get(slot as usize).copied().unwrap_or(Place::NONE);
        std::iter::from_fn(move || {
            let (index, row) = (place.batch.wrapping_sub(self.first) as usize, place.row as usize);
            if let Some(Closed { batch, times, previous, newest_so_far }) = self.batches.get(index) {
                place = previous[row];
                return Some(Link { index, batch, row, time: times[row], newest_so_far: *newest_so_far });
            }
            let batch = self.batch(index)?;
            place = batch.previous[row];
            Some(Link { index, batch, row, time: batch.times[row], newest_so_far: batch.newest_so_far })
        })
    }

    /// The key's rows back to the first that arrived when nothing was newer than `t`: everything newer is among them.
    pub(super) fn of_key_since(&self, slot: u32, t: i64) -> impl Iterator<Item = (&RecentBatch, usize)> {
        self.links(slot).take_while(move |link| link.newest_so_far > t).map(|link| (link.batch, link.row))
    }

    /// Visible rows of any key with `from < ts <= to`, batch by batch.
    pub(super) fn between(&self, from: i64, to: i64, mut visit: impl FnMut(&RecentBatch, &[u32])) {
        let mut rows = Vec::new();
        let count = self.batches.len() + usize::from(self.open.is_some());
        for (index, batch) in self.batches().enumerate() {
            if batch.oldest > to || batch.newest <= from {
                continue;
            }
            let visible = if index + 1 == count { self.linked } else { batch.times.len() };
            rows.clear();
            let times = batch.times[..visible].iter().zip(&batch.slots).enumerate();
            let within = times.filter(|(_, (ts, slot))| from < **ts && **ts <= to && **slot != NO_SLOT);
            rows.extend(within.map(|(row, _)| row as u32));
            if !rows.is_empty() {
                visit(batch, &rows);
            }
        }
    }

    pub(super) fn batch(&self, index: usize) -> Option<&RecentBatch> {
        match self.batches.get(index) {
            Some(closed) => Some(&closed.batch),
            None => self.open.as_ref().filter(|_| index == self.batches.len()),
        }
    }

    /// How many batches, from the oldest, hold only rows up to `watermark`, and how many rows these are.
    pub(super) fn passed(&self, watermark: i64) -> (usize, usize) {
        let passed = self.batches.iter().take_while(|closed| closed.batch.newest <= watermark);
        passed.fold((0, 0), |(batches, rows), closed| (batches + 1, rows + closed.times.len()))
    }

    /// Removes the oldest `batches`.
    pub(super) fn take(&mut self, batches: usize) -> Vec<Arc<RecentBatch>> {
        self.first = self.first.wrapping_add(batches as u32);
        let taken: Vec<_> = self.batches.drain(..batches).map(|closed| closed.batch).collect();
        self.rows -= taken.iter().map(|batch| batch.slots.len()).sum::<usize>();
        self.oldest = self.batches().map(|batch| batch.oldest).min().unwrap_or(i64::MAX);
        taken
    }

    /// Marks the keys that have recent rows.
    pub(super) fn mark_alive(&self, alive: &mut [bool]) {
        for slot in self.batches().flat_map(|batch| &batch.slots).filter(|slot| **slot != NO_SLOT) {
            alive[*slot as usize] = true;
        }
    }

    /// Gives every key its new slot; the rows of forgotten keys belong to no key any more.
    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
        let closed = self.batches.iter_mut().map(|closed| Arc::make_mut(&mut closed.batch));
        for slot in closed.chain(&mut self.open).flat_map(|batch| &mut batch.slots).filter(|slot| **slot != NO_SLOT) {
            *slot = moved[*slot as usize];
        }
        self.heads = renamed(&self.heads, moved, slots, Place::NONE);
    }

    /// Memory held, bytes, when a row takes `row_bytes`.
    pub(super) fn size(&self, row_bytes: usize) -> usize {
        self.rows * row_bytes + 8 * self.heads.len()
    }
}

/// Moves per-slot values to their new slots.
pub(super) fn renamed<T: Copy>(values: &[T], moved: &[u32], slots: usize, empty: T) -> Vec<T> {
    let mut result = vec![empty; slots];
    for (value, slot) in values.iter().zip(moved).filter(|(_, slot)| **slot != NO_SLOT) {
        result[*slot as usize] = *value;
    }
    result
}
