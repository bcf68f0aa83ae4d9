//! Running cells: per key and horizon, the counts and sums as of the newest event.
//!
//! A cell is a cache of the merge over `(tail, newest]`. It is tagged with the tail that it was computed for: an event
//! adds to the cells whose tag is current and leaves the others stale; a read recomputes a stale cell from tiles and
//! recent rows. So a key that nobody reads costs nothing when its tail moves, and sums of floats never drift, because
//! nothing is ever subtracted.

use super::plan::{CellRef, FeaturePlan};
use super::recent::{Contribution, RecentBatch, renamed};
use super::tile::Horizon;
use crate::window::keys::NO_SLOT;

/// The tag of a cell that holds nothing.
const STALE: i64 = i64::MIN;

/// The value of a cell: an integer, or the bits of a float, as the aggregate's kind says.
pub(super) type Cell = i64;

pub(super) struct RunningCells {
    horizons: Vec<HorizonCells>,
    width: usize,
    cells: Vec<Cell>,
    /// Per slot and horizon, the tail that the cells hold for.
    tags: Vec<i64>,
    /// Per slot, its newest event time.
    newest: Vec<i64>,
}

struct HorizonCells {
    horizon: Horizon,
    /// Tail as of the newest event of the table.
    tail: i64,
    offset: usize,
    aggregates: Vec<usize>,
}

impl RunningCells {
    pub(super) fn new(plan: &FeaturePlan) -> Self {
        let mut width = 0;
        let mut horizons = Vec::new();
        for part in &plan.horizons {
            let aggregates = part.cells.clone();
            let offset = width;
            width += aggregates.len();
            horizons.push(HorizonCells { horizon: part.horizon, tail: STALE, offset, aggregates });
        }
        Self { horizons, width, cells: Vec::new(), tags: Vec::new(), newest: Vec::new() }
    }

    /// Cells of one key.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Place of a cell among the cells of a key.
    pub(super) fn place(&self, cell: CellRef) -> usize {
        self.horizons[cell.horizon].offset + cell.place
    }

    pub(super) fn aggregates(&self, horizon: usize) -> &[usize] {
        &self.horizons[horizon].aggregates
    }

    /// Makes room for keys up to `slots`.
    pub(super) fn resize(&mut self, slots: usize) {
        self.cells.resize(slots * self.width, 0);
        self.tags.resize(slots * self.horizons.len(), STALE);
        self.newest.resize(slots, i64::MIN);
    }

    /// Moves the tails after the newest event time of the table.
    pub(super) fn advance(&mut self, newest: i64) {
        for part in &mut self.horizons {
            part.tail = part.horizon.tail(newest);
        }
    }

    /// Adds one event.
    pub(super) fn apply(&mut self, batch: &RecentBatch, row: usize) {
        let slot = batch.slots[row];
        if slot == NO_SLOT {
            return;
        }
        let (slot, ts) = (slot as usize, batch.times[row]);
        self.newest[slot] = self.newest[slot].max(ts);
        let cells = &mut self.cells[slot * self.width..(slot + 1) * self.width];
        let tags = &self.tags[slot * self.horizons.len()..(slot + 1) * self.horizons.len()];
        for (part, tag) in self.horizons.iter().zip(tags) {
            if *tag == part.tail && ts > part.tail {
                let cells = &mut cells[part.offset..part.offset + part.aggregates.len()];
                add(cells, &part.aggregates, &batch.running, row);
            }
        }
    }

    /// The cells of a key over one horizon as of `t`, if they can be had without looking at older events: the key has
    /// none after `t` and the tail is where it is at the newest event.
    pub(super) fn current(&self, slot: usize, horizon: usize, t: i64) -> Freshness<'_> {
        let part = &self.horizons[horizon];
        if self.newest[slot] > t || part.horizon.tail(t) != part.tail {
            return Freshness::OtherTime;
        }
        if self.tags[slot * self.horizons.len() + horizon] != part.tail {
            return Freshness::Stale;
        }
        let first = slot * self.width + part.offset;
        Freshness::Current(&self.cells[first..first + part.aggregates.len()])
    }

    /// Stores recomputed cells.
    pub(super) fn refresh(&mut self, slot: usize, horizon: usize, values: &[Cell]) {
        let part = &self.horizons[horizon];
        let first = slot * self.width + part.offset;
        self.cells[first..first + values.len()].copy_from_slice(values);
        self.tags[slot * self.horizons.len() + horizon] = part.tail;
    }

    /// Gives every key its new slot; all cells become stale.
    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
        self.newest = renamed(&self.newest, moved, slots, i64::MIN);
        self.cells = vec![0; slots * self.width];
        self.tags = vec![STALE; slots * self.horizons.len()];
    }

    pub(super) fn size(&self) -> usize {
        8 * (self.cells.len() + self.tags.len() + self.newest.len())
    }
}

/// What is known of the cells of a key for a read.
pub(super) enum Freshness<'a> {
    /// They hold the answer.
    Current(&'a [Cell]),
    /// They can hold it once recomputed.
    Stale,
    /// The read is for a time that they do not follow.
    OtherTime,
}

/// Adds what a row of a run or of recent rows contributes.
pub(super) fn add(cells: &mut [Cell], aggregates: &[usize], contributions: &[Contribution], row: usize) {
    for (cell, aggregate) in cells.iter_mut().zip(aggregates) {
        match &contributions[*aggregate] {
            Contribution::Integers(values) => *cell = cell.wrapping_add(values[row]),
            Contribution::Floats(values) => *cell = (as_float(*cell) + values[row]).to_bits().cast_signed(),
        }
    }
}

/// The float that a cell holds. Zero bits are zero, so that an empty cell is right for both kinds.
pub(super) fn as_float(cell: Cell) -> f64 {
    f64::from_bits(cell.cast_unsigned())
}
