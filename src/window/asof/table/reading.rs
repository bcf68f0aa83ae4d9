//! What a table answers: look-ups of keys, as of a moment, and scans.

use std::ops::Range;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};

use super::FeatureTable;
use crate::sql::Failed;
use crate::time::EventTime;
use crate::window::WindowError;
use crate::window::asof::cells::Sources;
use crate::window::asof::read::{Pick, Picks, ReadSource, Reads, WAITING};
use crate::window::failed::FailedValue;
use crate::window::keys::NO_SLOT;

impl FeatureTable {
    /// Slots of keys for [`Self::read`], one per row of the key columns; unknown keys get a slot that reads as missing.
    pub fn look_up(&mut self, keys: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<(), WindowError> {
        self.keys.look_up(keys, rows, slots)
    }

    /// The moment that a read as of `t` is answered for: a time before the watermark is taken as the watermark.
    pub(crate) fn moment(&self, t: EventTime) -> EventTime {
        t.max(EventTime(self.watermark()))
    }

    /// Looks up a key as of [that moment](Self::moment), with the events applied so far.
    pub fn read(&mut self, slot: u32, t: EventTime, reads: &mut Reads) {
        if slot != NO_SLOT {
            self.cells.catch_up(slot, Sources { levels: &self.levels, recent: &self.recent });
        }
        self.look(slot, t, reads, true);
    }

    /// [`Self::read`], remembering what it has found out where it `learns`.
    pub(in crate::window::asof) fn look(&mut self, slot: u32, t: EventTime, reads: &mut Reads, learns: bool) {
        let t = self.moment(t).micros();
        let read = reads.slots.len() as u32;
        let state = (t, self.applied);
        if let Some((known_t, known_applied, known)) = reads.known.insert(slot, (state.0, state.1, read))
            && (known_t, known_applied) == state
        {
            reads.known.insert(slot, (state.0, state.1, known));
            reads.read_of.push(known);
            return;
        }
        reads.read_of.push(read);
        reads.slots.push(slot);
        reads.times.push(t);
        reads.picks.resize_with(self.plan.horizons.len(), Picks::default);
        if slot == NO_SLOT {
            reads.cells.resize(reads.cells.len() + self.cells.width(), 0);
            reads.distinct.resize(reads.distinct.len() + self.distinct.width(), 0);
            let lists: usize = self.plan.last.iter().map(|last| last.horizons.len()).sum();
            reads.last_lengths.resize(reads.last_lengths.len() + lists, 0);
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        for horizon in 0..self.plan.horizons.len() {
            let sources = Sources { levels: &self.levels, recent: &self.recent };
            if self.cells.read(slot, horizon, t, sources, &mut scratch, &mut reads.cells) && learns {
                self.cells.learn(slot, horizon, &scratch);
            }
        }
        self.scratch = scratch;
        let cells = &self.cells;
        let is_current = |horizon| cells.is_current(slot, horizon, t);
        self.distinct.read(slot, t, &self.recent, is_current, &mut reads.distinct);
        let is_newest = self.cells.newest(slot) <= t;
        let has_waiting = t > self.newest && self.waiting.has(slot, t);
        for (list, last) in self.plan.last.iter().enumerate() {
            for horizon in &last.horizons {
                let range = (self.plan.horizons[*horizon].horizon.tail(t), t);
                let mut length = self.last.read(list, slot, range, is_newest, &self.recent, &mut reads.last_words);
                if has_waiting {
                    let bounds = (last.most, length);
                    length = self.waiting.add_to_last(list, slot, range, bounds, &mut reads.last_words);
                }
                reads.last_lengths.push(length);
            }
        }
        for (horizon, picks) in reads.picks.iter_mut().enumerate() {
            if !self.plan.horizons[horizon].merged.is_empty() {
                self.pick(slot, horizon, t, read, picks);
            }
        }
        if has_waiting {
            self.add_waiting(slot, t, reads);
        }
    }

    /// Adds the rows of the key that wait until `t` to the read made last.
    fn add_waiting(&self, slot: u32, t: i64, reads: &mut Reads) {
        let cells = reads.cells.len() - self.cells.width();
        self.waiting.add_to_cells(&self.plan, slot, t, &mut reads.cells[cells..], &self.cells);
        let distinct = reads.distinct.len() - self.distinct.width();
        let rows = self.waiting.until(slot, t).map(|(_, batch, row)| (batch, row));
        self.distinct.add_later(slot, t, &rows, &mut reads.distinct[distinct..]);
        let read = reads.slots.len() as u32 - 1;
        for (part, picks) in self.plan.horizons.iter().zip(&mut reads.picks) {
            let tail = part.horizon.tail(t);
            let later = self.waiting.until(slot, t).filter(|(due, ..)| !part.merged.is_empty() && due.ts > tail);
            picks.rows.extend(later.map(|(due, ..)| Pick { read, source: (WAITING, due.step), row: due.row }));
        }
    }

    /// The rows of the table for the look-ups in `reads`: as many, in their order. A value that can't be computed is NULL.
    pub fn evaluate(&self, reads: &Reads) -> Result<RecordBatch, WindowError> {
        self.evaluate_noting(reads, &mut Vec::new())
    }

    /// [`Self::evaluate`], taking note of the values that could not be computed.
    pub(crate) fn evaluate_noting(
        &self,
        reads: &Reads,
        failed: &mut Vec<FailedValue>,
    ) -> Result<RecordBatch, WindowError> {
        let source = ReadSource {
            plan: &self.plan,
            keys: &self.keys,
            cells: &self.cells,
            levels: &self.levels,
            recent: &self.recent,
            waiting: &self.waiting,
        };
        source.evaluate(reads, failed)
    }

    /// The rows of the keys with slots in `slots` as of the newest event that is not of the future; keys without a row are left
    /// out. A value that can't be computed is NULL, and the log says so.
    pub fn scan(&mut self, slots: Range<u32>) -> Result<RecordBatch, WindowError> {
        self.scan_as(slots, true)
    }

    /// [`Self::scan`], remembering what it has found out where it `learns`.
    pub(in crate::window::asof) fn scan_as(
        &mut self,
        slots: Range<u32>,
        learns: bool,
    ) -> Result<RecordBatch, WindowError> {
        let end = slots.end.min(self.keys.len() as u32);
        let mut reads = Reads::default();
        for slot in slots.start.min(end)..end {
            match learns {
                true => self.read(slot, EventTime(self.newest), &mut reads),
                false => self.look(slot, EventTime(self.newest), &mut reads, false),
            }
        }
        let mut failed = Vec::new();
        let rows = self.evaluate_noting(&reads, &mut failed)?;
        if let Some(FailedValue { failed: Failed { expression, reason }, .. }) = failed.first() {
            let (table, values) = (self.plan.name(), failed.len());
            tracing::warn!(table, values, expression, reason, "values that can't be computed are NULL");
        }
        let exists = self.cells.place(self.plan.exists);
        let is_alive = |read: &u32| Some(reads.cells[*read as usize * self.cells.width() + exists] > 0);
        let alive: BooleanArray = reads.read_of.iter().map(is_alive).collect();
        Ok(arrow::compute::filter_record_batch(&rows, &alive)?)
    }

    /// Collects the states and rows that a merged aggregate needs, oldest first.
    fn pick(&mut self, slot: u32, horizon: usize, t: i64, read: u32, picks: &mut Picks) {
        let tail = self.plan.horizons[horizon].horizon.tail(t);
        self.levels.cover(horizon, tail, &mut self.segments);
        for segment in &self.segments {
            for (run, tile) in self.levels.all()[segment.level].between(segment.from, segment.to) {
                if let Some(row) = tile.find(slot) {
                    picks.states.push(Pick { read, source: (segment.level as u32, run as u32), row: row as u32 });
                }
            }
        }
        let first = picks.rows.len();
        let rows = self.recent.of_key_within(slot, tail, t);
        picks.rows.extend(rows.map(|(batch, _, row)| Pick { read, source: (0, batch as u32), row: row as u32 }));
        picks.rows[first..].reverse();
    }
}
