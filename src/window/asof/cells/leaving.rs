//! What a tail has passed leaves the records: at once, or, where it is of many keys, a few keys after each step.
//!
//! ```text
//!   runs between the tails     slots ──▶
//!   █████████████████████████████████████
//!   taken out of their records │ still in them, but for the keys that had an event since
//!                        cursor┘
//! ```
//!
//! A key's record catches up before anything is added to it, and a read takes out of a copy what is still in: so for each key
//! the same is done in the same order, whenever it is done, and sums of floats have the same bits. Tiles stay as they are
//! until everything has left: whoever changes them [finishes](RunningCells::finish) first.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashSet;

use super::{CellScratch, RunningCells, Sources};
use crate::window::asof::column::{Column, Combine};
use crate::window::asof::horizon_cells::{CellPlan, subtract_float, value};
use crate::window::asof::run::Run;

/// Rows of a tile that are subtracted together, column after column, while the records are in the cache.
const CHUNK: usize = 512;

/// Rows that leave at once.
pub(super) const AT_ONCE: usize = if cfg!(test) { 2 } else { 4_096 };

/// See the module.
#[derive(Clone)]
pub(super) struct Leaving {
    horizon: usize,
    /// Runs, and how many of their rows have left.
    runs: Vec<(Arc<Run>, usize)>,
    /// Rows that no run holds yet, likewise.
    late: (Arc<LateRows>, usize),
    /// The keys below this slot have caught up.
    cursor: u32,
    /// Keys at or above it that have.
    ahead: HashSet<u32>,
}

/// Rows by key and arrival, with what they have of every running aggregate.
struct LateRows {
    slots: Vec<u32>,
    values: Vec<i64>,
    /// Running aggregates.
    width: usize,
}

impl LateRows {
    fn between(from: i64, to: i64, sources: Sources) -> Self {
        let (mut order, mut values, mut width) = (Vec::new(), Vec::new(), 0);
        sources.recent.between(from, to, |batch, rows| {
            width = batch.running.len();
            for row in rows.iter().map(|row| *row as usize) {
                order.push((batch.slots[row], order.len()));
                values.extend(batch.running.iter().map(|column| column[row]));
            }
        });
        order.sort_unstable();
        let in_order = order.iter().flat_map(|(_, row)| &values[row * width..(row + 1) * width]).copied().collect();
        Self { slots: order.into_iter().map(|(slot, _)| slot).collect(), values: in_order, width }
    }

    /// The rows of a key.
    fn of(&self, slot: u32) -> Range<usize> {
        let first = self.slots.partition_point(|other| *other < slot);
        first..first + self.slots[first..].iter().take_while(|other| **other == slot).count()
    }
}

impl Leaving {
    pub(super) fn horizon(&self) -> usize {
        self.horizon
    }

    /// Whether the record of a key may still hold what has left.
    pub(super) fn concerns(&self, slot: u32) -> bool {
        slot >= self.cursor && !self.ahead.contains(&slot)
    }

    /// The slot before which there are about `rows` rows to take out.
    fn next_cursor(&self, rows: usize) -> u32 {
        let ends = self.runs.iter().map(|(run, done)| run.slots.get(done.saturating_add(rows)));
        let late = self.late.0.slots.get(self.late.1.saturating_add(rows));
        ends.flatten().chain(late).copied().min().map_or(u32::MAX, |next| next.max(self.cursor.saturating_add(1)))
    }
}

impl RunningCells {
    /// Takes out what lies in `(from, to]`, or sets it apart.
    pub(super) fn leave(&mut self, horizon: usize, from: i64, to: i64, sources: Sources) {
        let runs: Vec<_> = sources.levels.between(horizon, from, to).map(|run| (Arc::clone(run), 0)).collect();
        let late = LateRows::between(from, to, sources);
        let rows = late.slots.len() + runs.iter().map(|(run, _)| run.slots.len()).sum::<usize>();
        self.leaving.push(Leaving { horizon, runs, late: (Arc::new(late), 0), cursor: 0, ahead: HashSet::new() });
        if rows <= AT_ONCE {
            self.go_on(usize::MAX, sources);
        }
    }

    /// Whether some records still hold what has left.
    pub(in crate::window::asof) fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Takes the next few rows out of their records.
    pub(in crate::window::asof) fn go_on(&mut self, rows: usize, sources: Sources) {
        if let Some(leaving) = self.leaving.pop() {
            self.take_out_next(leaving, rows, sources);
        }
    }

    /// Takes everything out that has left a horizon, whose tail is still where it was then.
    pub(super) fn finish_horizon(&mut self, horizon: usize, sources: Sources) {
        if let Some(place) = self.leaving.iter().position(|leaving| leaving.horizon == horizon) {
            let leaving = self.leaving.swap_remove(place);
            self.take_out_next(leaving, usize::MAX, sources);
        }
    }

    fn take_out_next(&mut self, mut leaving: Leaving, rows: usize, sources: Sources) {
        let cursor = leaving.next_cursor(rows);
        let mut drifted = Vec::new();
        self.take_out_until(&mut leaving, cursor, &mut drifted);
        self.sum_anew(leaving.horizon, drifted, sources);
        if cursor < u32::MAX {
            leaving.cursor = cursor;
            self.leaving.push(leaving);
        }
    }

    /// Takes everything out that has left.
    pub(in crate::window::asof) fn finish(&mut self, sources: Sources) {
        while self.is_leaving() {
            self.go_on(usize::MAX, sources);
        }
    }

    /// Takes out of the record of a key what has left.
    pub(in crate::window::asof) fn catch_up(&mut self, slot: u32, sources: Sources) {
        for index in 0..self.leaving.len() {
            let leaving = &mut self.leaving[index];
            if !leaving.concerns(slot) {
                continue;
            }
            leaving.ahead.insert(slot);
            let has_rows = leaving.runs.iter().any(|(run, _)| run.find(slot).is_some());
            if has_rows || !leaving.late.0.of(slot).is_empty() {
                let mut record = self.record(slot).to_vec();
                self.take_out(&self.leaving[index], slot, &mut record, sources);
                self.record_mut(slot).copy_from_slice(&record);
            }
        }
    }

    /// Takes out of a copy of a key's record what has left.
    pub(super) fn take_out(&self, leaving: &Leaving, slot: u32, record: &mut [i64], sources: Sources) {
        let part = &self.horizons[leaving.horizon];
        let mut drifted: Vec<usize> = Vec::new();
        for (run, _) in &leaving.runs {
            if let Some(row) = run.find(slot) {
                let of_row = |aggregate, empty| value(run, row, aggregate, empty);
                part.take_out(record, of_row, |word| drifted.push(word));
            }
        }
        let late = &leaving.late.0;
        for row in late.of(slot) {
            let of_row = |aggregate, _| late.values[row * late.width + aggregate];
            part.take_out(record, of_row, |word| drifted.push(word));
        }
        let mut scratch = CellScratch::default();
        for word in drifted {
            if record[word] != 0 || record[word + 1] != 0 {
                self.total((slot, leaving.horizon), (part.tail, i64::MAX), sources, &mut scratch);
                record[word..word + 2].copy_from_slice(&scratch.record[word..word + 2]);
            }
        }
    }

    /// Takes the rows of keys below `cursor` out of the records; sums that are not exact enough then are added to `drifted`.
    fn take_out_until(&mut self, leaving: &mut Leaving, cursor: u32, drifted: &mut Vec<(u32, usize)>) {
        for index in 0..leaving.runs.len() {
            let (run, first) = (Arc::clone(&leaving.runs[index].0), leaving.runs[index].1);
            let end = first + run.slots[first..].partition_point(|slot| *slot < cursor);
            leaving.runs[index].1 = end;
            for first in (first..end).step_by(CHUNK) {
                let rows = first..end.min(first + CHUNK);
                self.subtract(leaving, &run.slots[rows.clone()], drifted, |cell, decoded| {
                    match &run.columns[cell.aggregate] {
                        Some(column) => column.decode(rows.clone(), cell.combine.empty(), decoded),
                        None => Column::Empty.decode(rows.clone(), cell.combine.empty(), decoded),
                    }
                });
            }
        }
        let (late, first) = (Arc::clone(&leaving.late.0), leaving.late.1);
        let end = first + late.slots[first..].partition_point(|slot| *slot < cursor);
        leaving.late.1 = end;
        self.subtract(leaving, &late.slots[first..end], drifted, |cell, decoded| {
            decoded.clear();
            decoded.extend((first..end).map(|row| late.values[row * late.width + cell.aggregate]));
        });
    }

    /// Sums float sums up again, of the key and at the word: only after all has left is it known what is left.
    fn sum_anew(&mut self, horizon: usize, mut drifted: Vec<(u32, usize)>, sources: Sources) {
        drifted.sort_unstable();
        drifted.dedup();
        let mut scratch = CellScratch::default();
        for (slot, word) in drifted {
            if self.record(slot)[word] == 0 && self.record(slot)[word + 1] == 0 {
                continue;
            }
            let tail = self.horizons[horizon].tail;
            self.total((slot, horizon), (tail, i64::MAX), sources, &mut scratch);
            self.record_mut(slot)[word..word + 2].copy_from_slice(&scratch.record[word..word + 2]);
        }
    }

    /// Takes rows out of the records of their keys; `decode` gives what the rows have of a cell.
    fn subtract(
        &mut self,
        leaving: &Leaving,
        slots: &[u32],
        drifted: &mut Vec<(u32, usize)>,
        decode: impl Fn(&CellPlan, &mut Vec<i64>),
    ) {
        let Self { horizons, records, decoded, .. } = self;
        let part = &horizons[leaving.horizon];
        let cells = part.sums.len() + part.extremes.len();
        if decoded.len() < cells {
            decoded.resize_with(cells, Vec::new);
        }
        for (cell, values) in part.sums.iter().chain(&part.extremes).zip(&mut *decoded) {
            decode(cell, values);
        }
        let (sums, extremes) = decoded.split_at(part.sums.len());
        for (row, slot) in slots.iter().enumerate().filter(|(_, slot)| !leaving.ahead.contains(*slot)) {
            let record = records.row_mut(*slot as usize);
            for (cell, values) in part.sums.iter().zip(sums) {
                match cell.combine {
                    Combine::AddFloat if !subtract_float(record, cell, values[row]) => drifted.push((*slot, cell.word)),
                    Combine::AddFloat => {}
                    _ => record[cell.word] = record[cell.word].wrapping_sub(values[row]),
                }
            }
            for (cell, values) in part.extremes.iter().zip(extremes) {
                if record[cell.count] == 0 || values[row] == record[cell.word] {
                    record[cell.word] = i64::MIN;
                }
            }
        }
    }
}
