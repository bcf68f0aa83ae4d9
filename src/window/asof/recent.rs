//! The newest rows, kept one by one until the watermark has passed them.
//!
//! A read may ask for a time before the newest event (streams are out of order), so rows stay apart while that can
//! happen. Each row points to the row before it of the same key: a read walks only its own key's rows.

use std::collections::VecDeque;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};

use super::plan::{FeaturePlan, RunningKind};
use crate::window::WindowError;
use crate::window::evaluate::{evaluate, evaluate_filter};
use crate::window::keys::{KeyIndex, NO_SLOT};

/// The place of a row: batch (or run) number and row, newest first in every chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) batch: u32,
    pub(super) row: u32,
}

impl Place {
    /// The end of a chain.
    pub(super) const NONE: Self = Self { batch: u32::MAX, row: u32::MAX };
}

/// The rows of one step with everything evaluated that the table needs of them.
pub(super) struct RecentBatch {
    pub(super) times: Vec<i64>,
    newest: i64,
    oldest: i64,
    pub(super) slots: Vec<u32>,
    /// Per running aggregate, what each row adds.
    pub(super) running: Vec<Contribution>,
    /// Per merged aggregate, its arguments and filter.
    pub(super) merged: Vec<MergedInput>,
    previous: Vec<Place>,
}

/// What the rows add to a running aggregate; nothing is zero.
pub(super) enum Contribution {
    Integers(Vec<i64>),
    Floats(Vec<f64>),
}

pub(super) struct MergedInput {
    pub(super) arguments: Vec<ArrayRef>,
    pub(super) filter: Option<BooleanArray>,
}

impl RecentBatch {
    /// Evaluates the expressions of `plan` over the events and gives every key a slot.
    pub(super) fn evaluate(plan: &FeaturePlan, events: &RecordBatch, keys: &mut KeyIndex) -> Result<Self, WindowError> {
        let rows = events.num_rows();
        let filter = evaluate_filter(plan.filter.as_ref(), events)?;
        let columns: Result<Vec<_>, _> = plan.keys().iter().map(|key| evaluate(&key.expression, events)).collect();
        let mut slots = Vec::with_capacity(rows);
        keys.intern(&columns?, rows, |row| filter.as_ref().is_none_or(|filter| filter.value(row)), &mut slots)?;
        let times = events.column(plan.time_index).as_primitive::<TimestampMicrosecondType>().values().to_vec();
        let mut running = Vec::with_capacity(plan.running.len());
        for aggregate in &plan.running {
            let filter = evaluate_filter(aggregate.filter.as_ref(), events)?;
            let argument = aggregate.argument.as_ref().map(|argument| evaluate(argument, events)).transpose()?;
            let counts = |row: usize| {
                filter.as_ref().is_none_or(|filter| filter.value(row))
                    && argument.as_ref().is_none_or(|argument| argument.is_valid(row))
            };
            running.push(match (aggregate.kind, argument.as_ref()) {
                (RunningKind::SumInteger, Some(argument)) => {
                    let values = argument.as_primitive::<Int64Type>().values();
                    Contribution::Integers((0..rows).map(|row| if counts(row) { values[row] } else { 0 }).collect())
                }
                (RunningKind::SumFloat, Some(argument)) => {
                    let values = argument.as_primitive::<Float64Type>().values();
                    Contribution::Floats((0..rows).map(|row| if counts(row) { values[row] } else { 0.0 }).collect())
                }
                _ => Contribution::Integers((0..rows).map(|row| i64::from(counts(row))).collect()),
            });
        }
        let mut merged = Vec::with_capacity(plan.merged.len());
        for aggregate in &plan.merged {
            let arguments: Result<_, _> =
                aggregate.arguments.iter().map(|argument| evaluate(argument, events)).collect();
            merged.push(MergedInput {
                arguments: arguments?,
                filter: evaluate_filter(aggregate.filter.as_ref(), events)?,
            });
        }
        let newest = times.iter().copied().max().unwrap_or(i64::MIN);
        let oldest = times.iter().copied().min().unwrap_or(i64::MAX);
        Ok(Self { times, newest, oldest, slots, running, merged, previous: vec![Place::NONE; rows] })
    }
}

/// The recent rows of a table, oldest batch first.
pub(super) struct Recent {
    first: u32,
    batches: VecDeque<RecentBatch>,
    heads: Vec<Place>,
    rows: usize,
}

impl Recent {
    pub(super) fn new() -> Self {
        Self { first: 0, batches: VecDeque::new(), heads: Vec::new(), rows: 0 }
    }

    /// Adds a batch whose rows are linked one by one with [`Self::link`].
    pub(super) fn push(&mut self, batch: RecentBatch, slots: usize) {
        self.heads.resize(slots, Place::NONE);
        self.rows += batch.slots.len();
        self.batches.push_back(batch);
    }

    /// The newest batch.
    pub(super) fn newest(&self) -> Option<&RecentBatch> {
        self.batches.back()
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The oldest event time among the rows.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.batches.iter().map(|batch| batch.oldest).min()
    }

    /// Makes row `row` of the newest batch visible to reads.
    pub(super) fn link(&mut self, row: usize) {
        let number = self.first.wrapping_add(self.batches.len() as u32).wrapping_sub(1);
        if let Some(batch) = self.batches.back_mut() {
            let slot = batch.slots[row];
            if slot != NO_SLOT {
                let place = Place { batch: number, row: row as u32 };
                batch.previous[row] = std::mem::replace(&mut self.heads[slot as usize], place);
            }
        }
    }

    /// Visits the key's rows, newest first, with the batch's index.
    pub(super) fn visit(&self, slot: u32, mut visit: impl FnMut(usize, &RecentBatch, usize)) {
        let mut place = self.heads.get(slot as usize).copied().unwrap_or(Place::NONE);
        while let Some((index, batch)) = self.get(place.batch) {
            let row = place.row as usize;
            visit(index, batch, row);
            place = batch.previous[row];
        }
    }

    pub(super) fn batch(&self, index: usize) -> Option<&RecentBatch> {
        self.batches.get(index)
    }

    /// How many batches, from the oldest, hold only rows up to `watermark`, and how many rows these are.
    pub(super) fn passed(&self, watermark: i64) -> (usize, usize) {
        let passed = self.batches.iter().take_while(|batch| batch.newest <= watermark);
        passed.fold((0, 0), |(batches, rows), batch| (batches + 1, rows + batch.slots.len()))
    }

    /// Removes the oldest `batches`.
    pub(super) fn take(&mut self, batches: usize) -> Vec<RecentBatch> {
        self.first = self.first.wrapping_add(batches as u32);
        let taken: Vec<_> = self.batches.drain(..batches).collect();
        self.rows -= taken.iter().map(|batch| batch.slots.len()).sum::<usize>();
        taken
    }

    /// Marks the keys that have recent rows.
    pub(super) fn mark_alive(&self, alive: &mut [bool]) {
        for slot in self.batches.iter().flat_map(|batch| &batch.slots).filter(|slot| **slot != NO_SLOT) {
            alive[*slot as usize] = true;
        }
    }

    /// Gives every key its new slot.
    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
        for slot in self.batches.iter_mut().flat_map(|batch| &mut batch.slots).filter(|slot| **slot != NO_SLOT) {
            *slot = moved[*slot as usize];
        }
        self.heads = renamed(&self.heads, moved, slots, Place::NONE);
    }

    fn get(&self, number: u32) -> Option<(usize, &RecentBatch)> {
        let index = number.wrapping_sub(self.first) as usize;
        self.batches.get(index).map(|batch| (index, batch))
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
