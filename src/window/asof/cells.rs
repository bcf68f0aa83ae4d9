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
//!
//! What a tail passes is subtracted when it passes, or, of many keys, [a few keys after each step](leaving).

mod leaving;
mod saved;

use std::hint::black_box;

use self::leaving::Leaving;
use super::column::Combine;
use super::horizon_cells::{CellPlan, HorizonCells, value};
use super::level::Levels;
use super::plan::{CellRef, FeaturePlan};
use super::recent::{Recent, RecentBatch};
use super::tile::Segment;
use crate::window::keys::NO_SLOT;
use crate::window::paged::Paged;

/// Tail of a table that has seen no event.
pub(super) const NO_TAIL: i64 = i64::MIN;

/// Tiles and recent rows: what cells follow.
#[derive(Clone, Copy)]
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
    records: Paged<i64>,
    /// What tails have passed and some records still hold, at most one for each horizon.
    leaving: Vec<Leaving>,
    /// The newest time up to which no tail moves.
    tails_hold_until: i64,
    /// Per cell of a horizon, what rows have of it.
    decoded: Vec<Vec<i64>>,
}

/// What a read needs room for.
#[derive(Default)]
pub(super) struct CellScratch {
    /// A record as of the time that was read.
    record: Vec<i64>,
    /// The record as of the newest time, where it still holds what has left.
    current: Vec<i64>,
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
            let (extremes, mut sums): (Vec<_>, Vec<_>) = cells.partition(|cell| cell.combine == Combine::Largest);
            sums.sort_by_key(|cell| cell.combine == Combine::AddFloat);
            let offset = width;
            width += words.len();
            horizons.push(HorizonCells { horizon: part.horizon, tail: NO_TAIL, offset, sums, extremes, words });
        }
        Self {
            horizons,
            width,
            records: Paged::new(blank.len()),
            blank,
            leaving: Vec::new(),
            tails_hold_until: i64::MIN,
            decoded: Vec::new(),
        }
    }

    /// A view: these cells, whatever comes after.
    pub(super) fn share(&mut self) -> Self {
        Self {
            horizons: self.horizons.clone(),
            width: self.width,
            blank: self.blank.clone(),
            records: self.records.share(),
            leaving: self.leaving.clone(),
            tails_hold_until: self.tails_hold_until,
            decoded: Vec::new(),
        }
    }

    /// Gives back the records of slots below this one.
    pub(super) fn release_below(&mut self, slot: u32) {
        self.records.release_below(slot as usize);
    }

    /// Bytes of pages that views have made it copy or move, since they were last [taken](Self::take_copied).
    pub(super) fn touched(&self) -> usize {
        self.records.touched()
    }

    /// Bytes that were copied because a view held them, since this was last asked.
    pub(super) fn take_copied(&mut self) -> usize {
        self.records.take_copied()
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
        self.records.resize(slots, &self.blank);
    }

    pub(super) fn record(&self, slot: u32) -> &[i64] {
        self.records.row(slot as usize)
    }

    fn record_mut(&mut self, slot: u32) -> &mut [i64] {
        self.records.row_mut(slot as usize)
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
    pub(super) fn advance(&mut self, newest: i64, sources: Sources) -> bool {
        if newest < self.tails_hold_until {
            return false;
        }
        for index in 0..self.horizons.len() {
            let (from, to) = (self.horizons[index].tail, self.horizons[index].horizon.tail(newest));
            if from < to {
                // What has left before is taken out as of the tail that it left with.
                self.finish_horizon(index, sources);
            }
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

    /// Adds one event, of a key whose record has [caught up](Self::catch_up).
    pub(super) fn apply(&mut self, batch: &RecentBatch, row: usize) {
        let (slot, ts) = (batch.slots[row], batch.times[row]);
        if slot == NO_SLOT {
            return;
        }
        let record = self.records.row_mut(slot as usize);
        record[0] = record[0].max(ts);
        for part in self.horizons.iter().filter(|part| ts > part.tail) {
            part.add(record, |aggregate, _| batch.running[aggregate][row]);
        }
    }

    /// Whether the cells of a key over one horizon hold its values as of `t`: it has no event after `t`, and the tail is
    /// where it is at the newest event.
    pub(super) fn is_current(&self, slot: u32, horizon: usize, t: i64) -> bool {
        let part = &self.horizons[horizon];
        self.newest(slot) <= t && part.horizon.tail(t) == part.tail
    }

    /// Pushes the cells of a key over one horizon as of `t`, floats as their bits and extremes as their ranks. True when that
    /// has made extremes known, which `scratch` holds then and [`Self::learn`] takes.
    pub(super) fn read(
        &self,
        slot: u32,
        horizon: usize,
        t: i64,
        sources: Sources,
        scratch: &mut CellScratch,
        cells: &mut Vec<i64>,
    ) -> bool {
        let is_current = self.is_current(slot, horizon, t);
        let behind = self.leaving.iter().find(|leaving| leaving.horizon() == horizon && leaving.concerns(slot));
        let mut current = std::mem::take(&mut scratch.current);
        let record = match behind {
            Some(leaving) => {
                current.clear();
                current.extend_from_slice(self.record(slot));
                self.take_out(leaving, slot, &mut current, sources);
                &current[..]
            }
            None => self.record(slot),
        };
        let part = &self.horizons[horizon];
        let is_known = is_current && part.knows(record);
        if is_known {
            cells.extend(part.words.iter().map(|word| record[*word]));
        } else {
            let tail = part.horizon.tail(t);
            if is_current || !self.undo(record, (slot, horizon), t, sources, &mut scratch.record) {
                self.total((slot, horizon), (tail, t), sources, scratch);
            }
            cells.extend(part.words.iter().map(|word| scratch.record[*word]));
        }
        scratch.current = current;
        is_current && !is_known && behind.is_none()
    }

    /// Takes over the extremes that a read has made known.
    pub(super) fn learn(&mut self, slot: u32, horizon: usize, scratch: &CellScratch) {
        let record = self.records.row_mut(slot as usize);
        for cell in &self.horizons[horizon].extremes {
            record[cell.word] = scratch.record[cell.word];
        }
    }

    /// Makes the record as of `t` by undoing what came after `t` and moving the tail; false when the cells do not tell.
    fn undo(
        &self,
        current: &[i64],
        (slot, horizon): (u32, usize),
        t: i64,
        sources: Sources,
        record: &mut Vec<i64>,
    ) -> bool {
        record.clear();
        record.extend_from_slice(current);
        let part = &self.horizons[horizon];
        let (now, tail) = (part.tail, part.horizon.tail(t));
        let mut is_known = true;
        for (batch, row) in sources.recent.of_key_since(slot, t) {
            if batch.times[row] > t.max(now) {
                is_known &= part.subtract(record, |aggregate, _| batch.running[aggregate][row]);
            }
        }
        let (from, to) = (now.min(tail), now.max(tail));
        if from < to {
            let rows = sources.recent.of_key_within(slot, from, to.min(t));
            let runs = sources.levels.between(horizon, from, to);
            let tiles = runs.filter_map(|run| Some((run, run.find(slot)?)));
            if now < tail {
                for (run, row) in tiles {
                    is_known &= part.subtract(record, |aggregate, empty| value(run, row, aggregate, empty));
                }
                for (_, batch, row) in rows {
                    is_known &= part.subtract(record, |aggregate, _| batch.running[aggregate][row]);
                }
            } else {
                for (run, row) in tiles {
                    part.add(record, |aggregate, empty| value(run, row, aggregate, empty));
                }
                for (_, batch, row) in rows {
                    part.add(record, |aggregate, _| batch.running[aggregate][row]);
                }
            }
        }
        is_known && part.knows(record)
    }

    /// Makes the record by adding up everything in `(tail, t]`.
    fn total(
        &self,
        (slot, horizon): (u32, usize),
        (tail, t): (i64, i64),
        sources: Sources,
        CellScratch { record, segments, .. }: &mut CellScratch,
    ) {
        record.clone_from(&self.blank);
        let part = &self.horizons[horizon];
        sources.levels.cover(horizon, tail, segments);
        for segment in segments {
            for (_, run) in sources.levels.all()[segment.level].between(segment.from, segment.to) {
                if let Some(row) = run.find(slot) {
                    part.add(record, |aggregate, empty| value(run, row, aggregate, empty));
                }
            }
        }
        for (_, batch, row) in sources.recent.of_key_within(slot, tail, t) {
            part.add(record, |aggregate, _| batch.running[aggregate][row]);
        }
    }

    /// Gives every key its new slot; nothing is leaving.
    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
        let mut before = self.records.replace(Paged::new(self.blank.len()));
        self.resize(slots);
        for (slot, to) in moved.iter().enumerate().filter(|(_, to)| **to != NO_SLOT) {
            self.records.row_mut(*to as usize).copy_from_slice(before.row(slot));
            // New slots are in the order of the old ones, and pages are given back as soon as they are moved.
            before.release_below(slot);
        }
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        8 * self.records.len() * self.blank.len()
    }
}
