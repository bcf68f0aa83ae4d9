//! Running cells: per key and horizon, the counts, sums and extremes as of the newest event.
//!
//! ```text
//!  one record per key:  newest time │ 10 s: count │ 5 min: count, sum, error, max │ 1 h: ... │ 7 days: ...
//!
//!  an event          adds to the cells of every horizon that it lies in
//!  a tail that moves subtracts the tiles that it passes, for all their keys, column by column
//!  a read            copies; one for another time undoes the few rows in between
//! ```
//!
//! Integers are exact. A sum of floats carries a bound on its rounding error beside it and is summed anew from tiles when
//! that bound is more than a trifle of the sum, or the sum is not a number any more: it cannot drift. When the largest
//! value leaves an extreme, the next one is looked up in the tiles by the first read that wants it; `i64::MIN`, the rank
//! of nothing, stands for *unknown* while the count beside it is not zero.

mod saved;

use std::hint::black_box;

use super::column::{Column, Combine};
use super::horizon_cells::{CellPlan, HorizonCells, subtract_float, value};
use super::level::Levels;
use super::plan::{CellRef, FeaturePlan};
use super::recent::{Recent, RecentBatch};
use super::tile::Segment;
use crate::window::keys::NO_SLOT;

/// Tail of a table that has seen no event.
pub(super) const NO_TAIL: i64 = i64::MIN;

/// Records per page: a table grows page by page, without copying.
const PAGE: usize = 4_096;

/// Rows of a tile that are subtracted together, column after column, while the records are in the cache.
const CHUNK: usize = 512;

/// Tiles and recent rows: what cells follow.
pub(super) struct Sources<'a> {
    pub(super) levels: &'a Levels,
    pub(super) recent: &'a Recent,
}

pub(super) struct RunningCells {
    horizons: Vec<HorizonCells>,
    /// Cells per key, over all horizons.
    width: usize,
    /// Records of a new key.
    blank: Vec<i64>,
    pages: Vec<Vec<i64>>,
    slots: usize,
    /// The newest time up to which no tail moves.
    tails_hold_until: i64,
    scratch: Vec<i64>,
    segments: Vec<Segment>,
}

impl RunningCells {
    pub(super) fn new(plan: &FeaturePlan) -> Self {
        let mut blank = vec![i64::MIN];
        let mut horizons = Vec::new();
        let mut width = 0;
        for part in &plan.horizons {
            let mut words = Vec::new();
            for aggregate in &part.cells {
                let combine = plan.running[*aggregate].kind.combine();
                words.push(blank.len());
                blank.push(combine.empty());
                if combine == Combine::AddFloat {
                    blank.push(0);
                }
            }
            let cells = part.cells.iter().zip(&part.counts).zip(&words);
            let cells = cells.map(|((aggregate, count), word)| CellPlan {
                aggregate: *aggregate,
                combine: plan.running[*aggregate].kind.combine(),
                word: *word,
                count: words[*count],
            });
            let (extremes, sums) = cells.partition(|cell| cell.combine == Combine::Largest);
            let offset = width;
            width += words.len();
            horizons.push(HorizonCells { horizon: part.horizon, tail: NO_TAIL, offset, sums, extremes, words });
        }
        Self {
            horizons,
            width,
            blank,
            pages: Vec::new(),
            slots: 0,
            tails_hold_until: i64::MIN,
            scratch: Vec::new(),
            segments: Vec::new(),
        }
    }

    /// Cells of one key, as many as a read gives.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Place of a cell among the cells of a key.
    pub(super) fn place(&self, cell: CellRef) -> usize {
        self.horizons[cell.horizon].offset + cell.place
    }

    /// Words of one key's record.
    pub(super) fn record_words(&self) -> usize {
        self.blank.len()
    }

    /// Makes room for keys up to `slots`.
    pub(super) fn resize(&mut self, slots: usize) {
        while self.slots < slots {
            if self.slots.is_multiple_of(PAGE) {
                self.pages.push(Vec::with_capacity(PAGE * self.blank.len()));
            }
            if let Some(page) = self.pages.last_mut() {
                page.extend_from_slice(&self.blank);
            }
            self.slots += 1;
        }
    }

    pub(super) fn record(&self, slot: u32) -> &[i64] {
        let first = slot as usize % PAGE * self.blank.len();
        &self.pages[slot as usize / PAGE][first..first + self.blank.len()]
    }

    fn record_mut(&mut self, slot: u32) -> &mut [i64] {
        record_of(&mut self.pages, self.blank.len(), slot)
    }

    /// Brings the records of a step's keys into the cache: as independent loads they overlap, one by one they would not.
    pub(super) fn warm(&self, slots: &[u32]) {
        let mut words = 0;
        for slot in slots.iter().filter(|slot| **slot != NO_SLOT) {
            // A cache line is eight words.
            words ^= self.record(*slot).iter().step_by(8).fold(0, |words, word| words ^ word);
        }
        black_box(words);
    }

    /// Newest event time of a key.
    pub(super) fn newest(&self, slot: u32) -> i64 {
        self.record(slot)[0]
    }

    /// Sets the tails without moving anything out: the cells are restored as of `newest`.
    pub(super) fn restore_tails(&mut self, newest: i64) {
        for part in &mut self.horizons {
            part.tail = part.horizon.tail(newest);
        }
        self.hold_tails();
    }

    /// Moves the tails after the newest event time of the table; whether any moved.
    pub(super) fn advance(&mut self, newest: i64, sources: &Sources) -> bool {
        if newest < self.tails_hold_until {
            return false;
        }
        for index in 0..self.horizons.len() {
            let (from, to) = (self.horizons[index].tail, self.horizons[index].horizon.tail(newest));
            self.horizons[index].tail = to;
            if from != NO_TAIL && from < to {
                self.leave(index, from, to, sources);
            }
        }
        self.hold_tails();
        true
    }

    fn hold_tails(&mut self) {
        let next = self.horizons.iter().map(|part| {
            part.tail.saturating_add(part.horizon.step_micros()).saturating_add(part.horizon.width_micros())
        });
        self.tails_hold_until = next.min().unwrap_or(i64::MAX);
    }

    /// Adds one event.
    pub(super) fn apply(&mut self, batch: &RecentBatch, row: usize) {
        let (slot, ts) = (batch.slots[row], batch.times[row]);
        if slot == NO_SLOT {
            return;
        }
        let record = record_of(&mut self.pages, self.blank.len(), slot);
        record[0] = record[0].max(ts);
        for part in self.horizons.iter().filter(|part| ts > part.tail) {
            part.add(record, |aggregate, _| batch.running[aggregate][row]);
        }
    }

    /// Subtracts what lies in `(from, to]`.
    fn leave(&mut self, horizon: usize, from: i64, to: i64, sources: &Sources) {
        let mut drifted = Vec::new();
        for run in sources.levels.between(horizon, from, to) {
            let mut first = 0;
            while first < run.slots.len() {
                let rows = first..run.slots.len().min(first + CHUNK);
                first = rows.end;
                self.subtract(horizon, &run.slots[rows.clone()], &mut drifted, |cell, decoded| {
                    match &run.columns[cell.aggregate] {
                        Some(column) => column.decode(rows.clone(), cell.combine.empty(), decoded),
                        None => Column::Empty.decode(rows.clone(), cell.combine.empty(), decoded),
                    }
                });
            }
        }
        let mut slots = Vec::new();
        sources.recent.between(from, to, |batch, rows| {
            for rows in rows.chunks(CHUNK) {
                slots.clear();
                slots.extend(rows.iter().map(|row| batch.slots[*row as usize]));
                self.subtract(horizon, &slots, &mut drifted, |cell, decoded| {
                    decoded.clear();
                    decoded.extend(rows.iter().map(|row| batch.running[cell.aggregate][*row as usize]));
                });
            }
        });
        // Only after all has left is it known what is left.
        drifted.sort_unstable();
        drifted.dedup();
        for (slot, word) in drifted {
            if self.record(slot)[word] == 0 && self.record(slot)[word + 1] == 0 {
                continue;
            }
            let tail = self.horizons[horizon].tail;
            self.total(slot, horizon, tail, i64::MAX, sources);
            let pair = [self.scratch[word], self.scratch[word + 1]];
            self.record_mut(slot)[word..word + 2].copy_from_slice(&pair);
        }
    }

    fn subtract(
        &mut self,
        horizon: usize,
        slots: &[u32],
        drifted: &mut Vec<(u32, usize)>,
        decode: impl Fn(&CellPlan, &mut Vec<i64>),
    ) {
        let (part, width) = (&self.horizons[horizon], self.blank.len());
        let mut decoded = std::mem::take(&mut self.scratch);
        // Counts go first: they tell sums and extremes whether anything is left.
        for cell in part.sums.iter().filter(|cell| cell.combine == Combine::Add) {
            decode(cell, &mut decoded);
            for (slot, value) in slots.iter().zip(&decoded) {
                let word = &mut record_of(&mut self.pages, width, *slot)[cell.word];
                *word = word.wrapping_sub(*value);
            }
        }
        for cell in part.sums.iter().filter(|cell| cell.combine == Combine::AddFloat) {
            decode(cell, &mut decoded);
            for (slot, value) in slots.iter().zip(&decoded) {
                let record = record_of(&mut self.pages, width, *slot);
                if !subtract_float(record, cell, *value) {
                    drifted.push((*slot, cell.word));
                }
            }
        }
        for cell in &part.extremes {
            decode(cell, &mut decoded);
            for (slot, value) in slots.iter().zip(&decoded) {
                let record = record_of(&mut self.pages, width, *slot);
                if record[cell.count] == 0 || *value == record[cell.word] {
                    record[cell.word] = i64::MIN;
                }
            }
        }
        self.scratch = decoded;
    }

    /// Whether the cells of a key over one horizon hold its values as of `t`: it has no event after `t`, and the tail is
    /// where it is at the newest event.
    pub(super) fn is_current(&self, slot: u32, horizon: usize, t: i64) -> bool {
        let part = &self.horizons[horizon];
        self.newest(slot) <= t && part.horizon.tail(t) == part.tail
    }

    /// Pushes the cells of a key over one horizon as of `t`, floats as their bits and extremes as their ranks.
    pub(super) fn read(&mut self, slot: u32, horizon: usize, t: i64, sources: &Sources, cells: &mut Vec<i64>) {
        let is_current = self.is_current(slot, horizon, t);
        if is_current && self.horizons[horizon].knows(self.record(slot)) {
            let record = self.record(slot);
            cells.extend(self.horizons[horizon].words.iter().map(|word| record[*word]));
            return;
        }
        let tail = self.horizons[horizon].horizon.tail(t);
        if is_current || !self.undo(slot, horizon, t, sources) {
            self.total(slot, horizon, tail, t, sources);
        }
        let part = &self.horizons[horizon];
        cells.extend(part.words.iter().map(|word| self.scratch[*word]));
        if is_current {
            let record = record_of(&mut self.pages, self.blank.len(), slot);
            for cell in &part.extremes {
                record[cell.word] = self.scratch[cell.word];
            }
        }
    }

    /// Makes the record as of `t` in `self.scratch` by undoing what came after `t` and moving the tail; false when the
    /// cells do not tell.
    fn undo(&mut self, slot: u32, horizon: usize, t: i64, sources: &Sources) -> bool {
        let mut record = std::mem::take(&mut self.scratch);
        record.clear();
        record.extend_from_slice(self.record(slot));
        let part = &self.horizons[horizon];
        let (now, tail) = (part.tail, part.horizon.tail(t));
        let mut is_known = true;
        for (batch, row) in sources.recent.of_key_since(slot, t) {
            if batch.times[row] > t.max(now) {
                is_known &= part.subtract(&mut record, |aggregate, _| batch.running[aggregate][row]);
            }
        }
        let (from, to) = (now.min(tail), now.max(tail));
        if from < to {
            let rows = sources.recent.of_key(slot).filter(|(_, batch, row)| {
                let ts = batch.times[*row];
                from < ts && ts <= to.min(t)
            });
            let runs = sources.levels.between(horizon, from, to);
            let tiles = runs.filter_map(|run| Some((run, run.find(slot)?)));
            if now < tail {
                for (run, row) in tiles {
                    is_known &= part.subtract(&mut record, |aggregate, empty| value(run, row, aggregate, empty));
                }
                for (_, batch, row) in rows {
                    is_known &= part.subtract(&mut record, |aggregate, _| batch.running[aggregate][row]);
                }
            } else {
                for (run, row) in tiles {
                    part.add(&mut record, |aggregate, empty| value(run, row, aggregate, empty));
                }
                for (_, batch, row) in rows {
                    part.add(&mut record, |aggregate, _| batch.running[aggregate][row]);
                }
            }
        }
        is_known &= part.knows(&record);
        self.scratch = record;
        is_known
    }

    /// Makes the record in `self.scratch` by adding up everything in `(tail, t]`.
    fn total(&mut self, slot: u32, horizon: usize, tail: i64, t: i64, sources: &Sources) {
        self.scratch.clone_from(&self.blank);
        let part = &self.horizons[horizon];
        sources.levels.cover(horizon, tail, &mut self.segments);
        for segment in &self.segments {
            for (_, run) in sources.levels.all()[segment.level].between(segment.from, segment.to) {
                if let Some(row) = run.find(slot) {
                    part.add(&mut self.scratch, |aggregate, empty| value(run, row, aggregate, empty));
                }
            }
        }
        for (_, batch, row) in sources.recent.of_key(slot) {
            if tail < batch.times[row] && batch.times[row] <= t {
                part.add(&mut self.scratch, |aggregate, _| batch.running[aggregate][row]);
            }
        }
    }

    /// Gives every key its new slot.
    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
        let mut renamed = Vec::new();
        std::mem::swap(&mut renamed, &mut self.pages);
        self.slots = 0;
        self.resize(slots);
        let width = self.blank.len();
        // New slots are in the order of the old ones, and pages are given back as soon as they are moved.
        for (number, page) in renamed.into_iter().enumerate() {
            for (record, slot) in
                page.chunks_exact(width).zip(&moved[number * PAGE..]).filter(|(_, slot)| **slot != NO_SLOT)
            {
                record_of(&mut self.pages, width, *slot).copy_from_slice(record);
            }
        }
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        8 * self.slots * self.blank.len()
    }
}

fn record_of(pages: &mut [Vec<i64>], width: usize, slot: u32) -> &mut [i64] {
    let first = slot as usize % PAGE * width;
    &mut pages[slot as usize / PAGE][first..first + width]
}
