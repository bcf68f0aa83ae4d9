//! Rows that are ahead of the broker's time: they wait until it has come, and then are as if they had come with it.
//!
//! ```text
//!   event ──┬─ of a time that has come ────────────────────────────▶ recent rows, cells, distinct values, last values
//!           └─ of a later time ──▶ waits by time ── its time comes ──▶ the same, before the event that brought the time
//!                                      │
//!                                      └─ a read of a time after the table's newest adds those up to then
//! ```
//!
//! So one clock that is fast, by a minute or a month, moves no tail, closes no tile and holds no memory of others' rows.
//! A step with such a row is put in the order in which its rows are applied; any other step is applied as it came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::interleave;

use super::cells::RunningCells;
use super::plan::{CellRef, FeaturePlan};
use super::recent::{DistinctInput, LastInput, MergedInput, RecentBatch, Values};
use crate::window::WindowError;
use crate::window::keys::NO_SLOT;

/// What finds a row: by time, and by key.
const ENTRY_BYTES: usize = 2 * 32;

/// The rows of a table that wait for their time.
#[derive(Default)]
pub(super) struct Waiting {
    /// By the step that they came with.
    steps: BTreeMap<u32, Held>,
    next_step: u32,
    due: BTreeSet<Due>,
    /// Those that reads see.
    of_key: BTreeSet<(u32, Due)>,
}

/// The rows of one step, those included whose time has come meanwhile.
#[derive(Clone)]
struct Held {
    rows: Arc<RecentBatch>,
    waiting: usize,
}

/// A row that waits. The order of the fields is the order in which rows are due: time, then arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) ts: i64,
    pub(super) step: u32,
    pub(super) row: u32,
}

/// What becomes of the rows of a step, event by event.
pub(super) struct Turns {
    turns: Vec<Turn>,
    /// Per event, where its turns end.
    ends: Vec<usize>,
    done: usize,
}

/// One thing that happens in a table. Rows are those of the step's batch as it was arranged.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    /// The table's time moves on.
    Advance(i64),
    /// A row is applied.
    Apply(usize),
    /// A row is applied that has waited, of the key in this slot.
    Release(usize, u32, Due),
    /// A row of the key in this slot begins to wait.
    Wait(u32, Due),
}

impl Turns {
    /// What follows from an event, one thing after the other; events are asked for in their order.
    pub(super) fn next(&mut self, event: usize) -> Option<Turn> {
        let end = self.ends.get(event).copied().unwrap_or(0);
        let turn = self.turns.get(self.done).filter(|_| self.done < end).copied()?;
        self.done += 1;
        Some(turn)
    }
}

impl Waiting {
    /// Sets the rows of a step apart that are ahead of when they were received, and adds those whose time comes with it:
    /// the batch to apply, and in which order unless that is its own. `newest` is the table's time, `received` when each
    /// event was; one beyond its end was after its own time.
    pub(super) fn arrange(
        &mut self,
        batch: RecentBatch,
        newest: i64,
        received: &[i64],
    ) -> Result<(RecentBatch, Option<Turns>), WindowError> {
        let is_ahead = batch.times.iter().zip(received).any(|(ts, received)| ts > received);
        let comes = |due: &Due| due.ts <= batch.times.iter().copied().max().unwrap_or(i64::MIN).max(newest);
        if !is_ahead && !self.due.first().is_some_and(comes) {
            return Ok((batch, None));
        }
        let step = self.next_step;
        let (mut turns, mut ends, mut clock) = (Vec::new(), Vec::with_capacity(batch.times.len()), newest);
        // Of this step's batch, the rows that wait; and the rows to apply, each with the earlier step that it came with.
        let (mut kept, mut released, mut picks) = (Vec::new(), 0, Vec::new());
        for (row, (ts, slot)) in batch.times.iter().copied().zip(batch.slots.iter().copied()).enumerate() {
            let come = ts.min(received.get(row).copied().unwrap_or(i64::MAX));
            if come > clock {
                clock = come;
                turns.push(Turn::Advance(clock));
            }
            while let Some(due) = self.due.first().copied().filter(|due| due.ts <= clock) {
                self.due.remove(&due);
                let (slot, pick) = match self.steps.get_mut(&due.step) {
                    Some(held) => {
                        held.waiting -= 1;
                        (held.rows.slots[due.row as usize], (Some(due.step), due.row as usize))
                    }
                    None => {
                        released += 1;
                        (batch.slots[kept[due.row as usize]], (None, kept[due.row as usize]))
                    }
                };
                turns.push(Turn::Release(picks.len(), slot, due));
                picks.push(pick);
            }
            if ts <= clock {
                turns.push(Turn::Apply(picks.len()));
                picks.push((None, row));
            } else if slot != NO_SLOT {
                let due = Due { ts, step, row: kept.len() as u32 };
                kept.push(row);
                self.due.insert(due);
                turns.push(Turn::Wait(slot, due));
            }
            ends.push(turns.len());
        }
        let arranged = self.gather(&batch, &picks)?;
        if !kept.is_empty() {
            let places: Vec<_> = kept.iter().map(|row| (0, *row)).collect();
            let rows = RecentBatch::gathered(&batch, &[], &places)?;
            self.steps.insert(step, Held { rows: Arc::new(rows), waiting: kept.len() - released });
            self.next_step = step.wrapping_add(1);
        }
        Ok((arranged, Some(Turns { turns, ends, done: 0 })))
    }

    /// Rows of this batch and of those held, in this order.
    fn gather(&self, batch: &RecentBatch, picks: &[(Option<u32>, usize)]) -> Result<RecentBatch, WindowError> {
        let steps: BTreeSet<u32> = picks.iter().filter_map(|(step, _)| *step).collect();
        let held: BTreeMap<u32, (usize, &RecentBatch)> = self
            .steps
            .iter()
            .filter(|(step, _)| steps.contains(step))
            .enumerate()
            .map(|(place, (step, held))| (*step, (1 + place, held.rows.as_ref())))
            .collect();
        let others: Vec<_> = held.values().map(|(_, rows)| *rows).collect();
        let place = |(step, row): &(Option<u32>, usize)| {
            (step.and_then(|step| held.get(&step)).map_or(0, |(place, _)| *place), *row)
        };
        RecentBatch::gathered(batch, &others, &picks.iter().map(place).collect::<Vec<_>>())
    }

    /// Shows a row that begins to wait to the reads that follow.
    pub(super) fn show(&mut self, slot: u32, due: Due) {
        self.of_key.insert((slot, due));
    }

    /// Hides a row that is applied.
    pub(super) fn hide(&mut self, slot: u32, due: Due) {
        self.of_key.remove(&(slot, due));
    }

    /// Ends a step: rows that are applied, and were kept for what had been read, are forgotten.
    pub(super) fn settle(&mut self) {
        self.steps.retain(|_, held| held.waiting > 0);
    }

    /// Whether a row of a key waits until `t` or before.
    pub(super) fn has(&self, slot: u32, t: i64) -> bool {
        self.until(slot, t).next().is_some()
    }

    /// The rows of a key that wait until `t` or before, each with its place, by time and then arrival.
    pub(super) fn until(&self, slot: u32, t: i64) -> impl Iterator<Item = (Due, &RecentBatch, usize)> + Clone {
        let bound = |ts, number| (slot, Due { ts, step: number, row: number });
        let found = self.of_key.range(bound(i64::MIN, 0)..=bound(t, u32::MAX));
        found.filter_map(|(_, due)| Some((*due, self.batch(due.step)?, due.row as usize)))
    }

    /// The rows that came with a step.
    pub(super) fn batch(&self, step: u32) -> Option<&RecentBatch> {
        self.steps.get(&step).map(|held| held.rows.as_ref())
    }

    /// Adds the rows of a key that wait until `t` to its cells as of then.
    pub(super) fn add_to_cells(&self, plan: &FeaturePlan, slot: u32, t: i64, read: &mut [i64], cells: &RunningCells) {
        for (horizon, part) in plan.horizons.iter().enumerate() {
            let tail = part.horizon.tail(t);
            for (_, batch, row) in self.until(slot, t).filter(|(due, ..)| due.ts > tail) {
                for (place, aggregate) in part.cells.iter().enumerate() {
                    let combine = plan.running[*aggregate].kind.combine();
                    let cell = &mut read[cells.place(CellRef { horizon, place })];
                    combine.combine(cell, batch.running[*aggregate][row]);
                }
            }
        }
    }

    /// Adds the values of a key that wait in `(tail, t]` to the `length` last ones of a list, which holds `most`; how many
    /// there are is the result.
    pub(super) fn add_to_last(
        &self,
        list: usize,
        slot: u32,
        (tail, t): (i64, i64),
        (most, length): (usize, usize),
        words: &mut Vec<i64>,
    ) -> usize {
        let first = words.len() - length;
        let later = self.until(slot, t).filter(|(due, ..)| due.ts > tail);
        let valid = later.map(|(_, batch, row)| (&batch.last[list].values, row));
        words.extend(valid.filter(|(values, row)| values.is_valid.value(*row)).map(|(values, row)| values.words[row]));
        let surplus = (words.len() - first).saturating_sub(most);
        words.drain(first..first + surplus);
        words.len() - first
    }

    /// Marks the keys that have rows here.
    pub(super) fn mark_alive(&self, alive: &mut [bool]) {
        self.of_key.iter().for_each(|(slot, _)| alive[*slot as usize] = true);
    }

    /// Gives every key its new slot, and forgets the rows of forgotten keys; between two steps.
    pub(super) fn rename(&mut self, moved: &[u32]) {
        for held in self.steps.values_mut() {
            for slot in Arc::make_mut(&mut held.rows).slots.iter_mut().filter(|slot| **slot != NO_SLOT) {
                *slot = moved[*slot as usize];
            }
        }
        for (slot, due) in std::mem::take(&mut self.of_key) {
            match moved[slot as usize] {
                NO_SLOT => {
                    self.due.remove(&due);
                    self.steps.get_mut(&due.step).into_iter().for_each(|held| held.waiting -= 1);
                }
                slot => {
                    self.of_key.insert((slot, due));
                }
            }
        }
        self.settle();
    }

    /// A view, between two steps: what is saved of these rows.
    pub(super) fn share(&self) -> Self {
        Self { steps: self.steps.clone(), ..Self::default() }
    }

    /// The rows that wait for a time after `newest`, as batches to be saved: those of a step in one, by arrival.
    pub(super) fn saved(&self, newest: i64) -> Result<Vec<RecentBatch>, WindowError> {
        let gathered = self.steps.values().filter_map(|Held { rows, .. }| {
            let of_row = rows.times.iter().zip(&rows.slots).enumerate();
            let waiting = of_row.filter(|(_, (ts, slot))| **ts > newest && **slot != NO_SLOT);
            let waiting: Vec<_> = waiting.map(|(row, _)| (0, row)).collect();
            (!waiting.is_empty()).then(|| RecentBatch::gathered(rows, &[], &waiting))
        });
        gathered.collect()
    }

    /// Takes over a saved batch.
    pub(super) fn restore(&mut self, rows: RecentBatch) {
        let (step, before) = (self.next_step, self.due.len());
        for (row, (ts, slot)) in
            rows.times.iter().zip(&rows.slots).enumerate().filter(|(_, (_, slot))| **slot != NO_SLOT)
        {
            let due = Due { ts: *ts, step, row: row as u32 };
            self.due.insert(due);
            self.of_key.insert((*slot, due));
        }
        self.steps.insert(step, Held { rows: Arc::new(rows), waiting: self.due.len() - before });
        self.next_step = step.wrapping_add(1);
    }

    /// Rows per key, added to `weights` as bytes.
    pub(super) fn weigh(&self, weights: &mut [u64], row_bytes: usize) {
        for (slot, _) in &self.of_key {
            if let Some(weight) = weights.get_mut(*slot as usize) {
                *weight += (row_bytes + ENTRY_BYTES) as u64;
            }
        }
    }

    /// Memory held, bytes, when a row takes `row_bytes`.
    pub(super) fn size(&self, row_bytes: usize) -> usize {
        self.due.len() * (row_bytes + ENTRY_BYTES)
    }
}

impl RecentBatch {
    /// Rows of a batch and of others, each by number and row, in this order; none of them is linked.
    fn gathered(first: &Self, others: &[&Self], rows: &[(usize, usize)]) -> Result<Self, WindowError> {
        let batches: Vec<&Self> = std::iter::once(first).chain(others.iter().copied()).collect();
        let words = |of: &dyn Fn(&Self) -> &[i64]| rows.iter().map(|(batch, row)| of(batches[*batch])[*row]).collect();
        let values = |of: &dyn Fn(&Self) -> &Values| Values {
            words: words(&|batch| &of(batch).words),
            is_valid: rows
                .iter()
                .map(|(batch, row)| of(batches[*batch]).is_valid.value(*row))
                .collect::<BooleanBuffer>(),
        };
        let column = |of: &dyn Fn(&Self) -> &dyn Array| -> Result<ArrayRef, WindowError> {
            let columns: Vec<&dyn Array> = batches.iter().map(|batch| of(batch)).collect();
            Ok(interleave(&columns, rows)?)
        };
        let running = (0..first.running.len()).map(|index| words(&|batch| &batch.running[index])).collect();
        let distinct = (0..first.distinct.len()).map(|index| DistinctInput {
            values: values(&|batch| &batch.distinct[index].values),
            before: vec![i64::MIN; rows.len()],
        });
        let last = (0..first.last.len()).map(|index| LastInput {
            values: values(&|batch| &batch.last[index].values),
            evicted_times: vec![i64::MIN; rows.len()],
            evicted_words: vec![0; rows.len()],
        });
        let (distinct, last) = (distinct.collect(), last.collect());
        let mut merged = Vec::with_capacity(first.merged.len());
        for (index, input) in first.merged.iter().enumerate() {
            let arguments: Result<_, _> = (0..input.arguments.len())
                .map(|argument| column(&|batch| batch.merged[index].arguments[argument].as_ref()))
                .collect();
            let filters: Option<Vec<&dyn Array>> =
                batches.iter().map(|batch| batch.merged[index].filter.as_ref().map(|filter| filter as _)).collect();
            let filter = filters.map(|filters| interleave(&filters, rows)).transpose()?;
            merged
                .push(MergedInput { arguments: arguments?, filter: filter.map(|filter| filter.as_boolean().clone()) });
        }
        let slots = rows.iter().map(|(batch, row)| batches[*batch].slots[*row]).collect();
        Ok(Self::new(words(&|batch| &batch.times), slots, running, distinct, last, merged))
    }
}

#[cfg(test)]
mod tests;
