//! The newest rows, kept one by one until the watermark has passed them.
//!
//! A read may ask for a time before the newest event (streams are out of order), so rows stay apart while that can
//! happen. Each row points to the row before it of the same key: a read walks only its own key's rows. A row also keeps
//! what it displaced in the structures that only know the newest state, so that a read of an earlier time can undo it.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};

use super::column::to_word;
use super::plan::{FeaturePlan, RunningAggregate, RunningKind};
use crate::sql::{Failures, both};
use crate::window::WindowError;
use crate::window::keys::{KeyIndex, NO_SLOT};

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

/// The rows of one step with everything evaluated that the table needs of them.
#[derive(Clone)]
pub(super) struct RecentBatch {
    pub(super) times: Vec<i64>,
    pub(super) slots: Vec<u32>,
    /// Per running aggregate, what each row adds.
    pub(super) running: Vec<Vec<i64>>,
    /// Per aggregate of distinct values.
    pub(super) distinct: Vec<DistinctInput>,
    /// Per aggregate of last values.
    pub(super) last: Vec<LastInput>,
    /// Per merged aggregate, its arguments and filter.
    pub(super) merged: Vec<MergedInput>,
    newest: i64,
    oldest: i64,
    /// Newest time of this batch and all before it.
    newest_so_far: i64,
    previous: Vec<Place>,
}

/// Values, where they are there and the filter lets them through.
#[derive(Clone)]
pub(super) struct Values {
    pub(super) words: Vec<i64>,
    pub(super) is_valid: BooleanBuffer,
}

#[derive(Clone)]
pub(super) struct DistinctInput {
    pub(super) values: Values,
    /// When the value was last seen before this row; `i64::MIN` when never.
    pub(super) before: Vec<i64>,
}

#[derive(Clone)]
pub(super) struct LastInput {
    pub(super) values: Values,
    /// Time of the value that this row pushed out (its own, when it was too old to enter); `i64::MIN` when none.
    pub(super) evicted_times: Vec<i64>,
    pub(super) evicted_words: Vec<i64>,
}

#[derive(Clone)]
pub(super) struct MergedInput {
    pub(super) arguments: Vec<ArrayRef>,
    pub(super) filter: Option<BooleanArray>,
}

impl RecentBatch {
    /// Evaluates the expressions of `plan` over the events and gives every key a slot. A row that any expression fails on is
    /// noted and left out, as if WHERE had refused it; what WHERE or a FILTER keeps from an expression can't make it fail.
    pub(super) fn evaluate(
        plan: &FeaturePlan,
        events: &RecordBatch,
        keys: &mut KeyIndex,
        failures: &mut Failures,
    ) -> Result<Self, WindowError> {
        let rows = events.num_rows();
        let wanted = failures.evaluate_filter(plan.filter.as_ref(), events, || None)?;
        let wanted = wanted.as_ref().map(BooleanArray::values);
        let columns: Result<Vec<_>, _> =
            plan.keys().iter().map(|key| failures.evaluate(&key.expression, events, || wanted.cloned())).collect();
        let columns = columns?;
        let times = events.column(plan.time_index).as_primitive::<TimestampMicrosecondType>().values().to_vec();
        let mut filters = Vec::with_capacity(plan.filters.len());
        for filter in &plan.filters {
            filters.push(match failures.evaluate_filter(Some(filter.physical()), events, || wanted.cloned())? {
                Some(filter) => filter.values().clone(),
                None => BooleanBuffer::new_set(rows),
            });
        }
        let mut arguments = Vec::with_capacity(plan.arguments.len());
        for (index, argument) in plan.arguments.iter().enumerate() {
            let passing = || both(wanted, any_filter(plan, index, &filters).as_ref());
            arguments.push(failures.evaluate(argument.physical(), events, passing)?);
        }
        // Rows that count for an aggregate; none where all do.
        let mask = |argument: Option<usize>, filter: Option<usize>| -> Option<BooleanBuffer> {
            let valid = argument
                .and_then(|argument| arguments[argument].logical_nulls())
                .map(arrow::buffer::NullBuffer::into_inner);
            match (valid, filter.map(|filter| &filters[filter])) {
                (Some(valid), Some(filter)) => Some(&valid & filter),
                (Some(valid), None) => Some(valid),
                (None, filter) => filter.cloned(),
            }
        };
        let values = |argument: usize, filter: Option<usize>| Values {
            words: words(&arguments[argument], rows),
            is_valid: mask(Some(argument), filter).unwrap_or_else(|| BooleanBuffer::new_set(rows)),
        };
        let mut running = Vec::with_capacity(plan.running.len());
        for aggregate in &plan.running {
            let mask = mask(aggregate.argument, aggregate.filter);
            running.push(contributions(aggregate, &arguments, mask.as_ref(), rows));
        }
        let distinct = plan.distinct.iter().map(|aggregate| DistinctInput {
            values: values(aggregate.argument, aggregate.filter),
            before: vec![i64::MIN; rows],
        });
        let last = plan.last.iter().map(|aggregate| LastInput {
            values: values(aggregate.argument, aggregate.filter),
            evicted_times: vec![i64::MIN; rows],
            evicted_words: vec![0; rows],
        });
        let (distinct, last) = (distinct.collect(), last.collect());
        let merged = merged_inputs(plan, events, wanted, failures)?;
        let mut slots = Vec::with_capacity(rows);
        let is_kept = |row| wanted.is_none_or(|wanted| wanted.value(row)) && !failures.has(row);
        keys.intern(&columns, rows, is_kept, &mut slots)?;
        Ok(Self::new(times, slots, running, distinct, last, merged))
    }

    /// A batch none of whose rows is linked.
    pub(super) fn new(
        times: Vec<i64>,
        slots: Vec<u32>,
        running: Vec<Vec<i64>>,
        distinct: Vec<DistinctInput>,
        last: Vec<LastInput>,
        merged: Vec<MergedInput>,
    ) -> Self {
        let newest = times.iter().copied().max().unwrap_or(i64::MIN);
        let oldest = times.iter().copied().min().unwrap_or(i64::MAX);
        let previous = vec![Place::NONE; times.len()];
        Self { times, slots, running, distinct, last, merged, newest, oldest, newest_so_far: newest, previous }
    }
}

/// Arguments and filters of merged aggregates.
fn merged_inputs(
    plan: &FeaturePlan,
    events: &RecordBatch,
    wanted: Option<&BooleanBuffer>,
    failures: &mut Failures,
) -> Result<Vec<MergedInput>, WindowError> {
    let mut merged = Vec::with_capacity(plan.merged.len());
    for aggregate in &plan.merged {
        let filter = failures.evaluate_filter(aggregate.filter.as_ref(), events, || wanted.cloned())?;
        let passing = || both(wanted, filter.as_ref().map(BooleanArray::values));
        let arguments: Result<_, _> =
            aggregate.arguments.iter().map(|argument| failures.evaluate(argument, events, passing)).collect();
        merged.push(MergedInput { arguments: arguments?, filter });
    }
    Ok(merged)
}

/// What each row adds to a running aggregate, of which `mask` says the rows that count.
fn contributions(
    aggregate: &RunningAggregate,
    arguments: &[ArrayRef],
    mask: Option<&BooleanBuffer>,
    rows: usize,
) -> Vec<i64> {
    let mut column = match (aggregate.kind, aggregate.argument.and_then(|argument| arguments.get(argument))) {
        (RunningKind::Count, _) | (_, None) => {
            return mask.map_or_else(|| vec![1; rows], |mask| mask.iter().map(i64::from).collect());
        }
        (RunningKind::SumFloat, Some(argument)) => words(argument, rows),
        (RunningKind::Sum(half), Some(argument)) => {
            words(argument, rows).into_iter().map(|value| half.of(value)).collect()
        }
        (RunningKind::Extreme(extreme), Some(argument)) => match argument.as_primitive_opt::<Float64Type>() {
            Some(floats) => floats.values().iter().map(|value| extreme.rank_of_float(*value)).collect(),
            None => words(argument, rows).into_iter().map(|value| extreme.rank(value)).collect(),
        },
    };
    if let Some(mask) = mask {
        let empty = aggregate.kind.combine().empty();
        for (word, counts) in column.iter_mut().zip(mask.iter()) {
            *word = if counts { *word } else { empty };
        }
    }
    column
}

/// The rows that any aggregate over an argument looks at it in; all without a buffer.
fn any_filter(plan: &FeaturePlan, argument: usize, filters: &[BooleanBuffer]) -> Option<BooleanBuffer> {
    let running = plan.running.iter().filter(|one| one.argument == Some(argument)).map(|one| one.filter);
    let distinct = plan.distinct.iter().filter(|one| one.argument == argument).map(|one| one.filter);
    let last = plan.last.iter().filter(|one| one.argument == argument).map(|one| one.filter);
    let mut any: Option<BooleanBuffer> = None;
    for filter in running.chain(distinct).chain(last) {
        let filter = filters.get(filter?)?;
        any = Some(any.map_or_else(|| filter.clone(), |any| &any | filter));
    }
    any
}

/// The 64-bit words of an integer, float or time column; what stands under a NULL is not looked at.
fn words(column: &ArrayRef, rows: usize) -> Vec<i64> {
    match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().values().to_vec(),
        DataType::Float64 => column.as_primitive::<Float64Type>().values().iter().copied().map(to_word).collect(),
        // The planner lets no other type through.
        _ => vec![0; rows],
    }
}

/// The recent rows of a table, oldest batch first.
#[derive(Default)]
pub(super) struct Recent {
    first: u32,
    batches: VecDeque<Arc<RecentBatch>>,
    /// The batch whose rows are being applied, behind the others.
    open: Option<RecentBatch>,
    /// Per slot, the newest row. A view has none before [`Self::chain`].
    heads: Vec<Place>,
    rows: usize,
    /// Rows of the newest batch that were linked: those before it in that batch.
    linked: usize,
}

impl Recent {
    /// Adds a batch whose rows are linked one by one with [`Self::link`].
    pub(super) fn push(&mut self, mut batch: RecentBatch, slots: usize) {
        self.close();
        self.heads.resize(slots, Place::NONE);
        self.rows += batch.slots.len();
        self.linked = 0;
        if let Some(last) = self.batches.back() {
            batch.newest_so_far = batch.newest.max(last.newest_so_far);
        }
        self.open = Some(batch);
    }

    /// Ends a step: the rows of its batch change no more.
    pub(super) fn close(&mut self) {
        self.batches.extend(self.open.take().map(Arc::new));
    }

    /// A view, between two steps. Its rows are found by key after [`Self::chain`].
    pub(super) fn share(&self) -> Self {
        let Self { first, rows, linked, .. } = *self;
        Self { first, batches: self.batches.clone(), open: None, heads: Vec::new(), rows, linked }
    }

    /// Makes the rows of a view be found, of so many keys.
    pub(super) fn chain(&mut self, slots: usize) {
        if self.heads.len() == slots {
            return;
        }
        self.heads.resize(slots, Place::NONE);
        for (index, batch) in self.batches.iter().enumerate() {
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
        self.batches.iter().map(Arc::as_ref).chain(&self.open)
    }

    /// Oldest time among the rows.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.batches().map(|batch| batch.oldest).min()
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

    /// The key's rows, newest arrival first, with the batch's index.
    pub(super) fn of_key(&self, slot: u32) -> impl Iterator<Item = (usize, &RecentBatch, usize)> {
        let mut place = self.heads.get(slot as usize).copied().unwrap_or(Place::NONE);
        std::iter::from_fn(move || {
            let index = place.batch.wrapping_sub(self.first) as usize;
            let batch = self.batch(index)?;
            let row = place.row as usize;
            place = batch.previous[row];
            Some((index, batch, row))
        })
    }

    /// The key's rows back to the first that arrived when nothing was newer than `t`: everything newer is among them.
    pub(super) fn of_key_since(&self, slot: u32, t: i64) -> impl Iterator<Item = (&RecentBatch, usize)> {
        self.of_key(slot).take_while(move |(_, batch, _)| batch.newest_so_far > t).map(|(_, batch, row)| (batch, row))
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
            Some(batch) => Some(batch),
            None => self.open.as_ref().filter(|_| index == self.batches.len()),
        }
    }

    /// How many batches, from the oldest, hold only rows up to `watermark`, and how many rows these are.
    pub(super) fn passed(&self, watermark: i64) -> (usize, usize) {
        let passed = self.batches.iter().take_while(|batch| batch.newest <= watermark);
        passed.fold((0, 0), |(batches, rows), batch| (batches + 1, rows + batch.slots.len()))
    }

    /// Removes the oldest `batches`.
    pub(super) fn take(&mut self, batches: usize) -> Vec<Arc<RecentBatch>> {
        self.first = self.first.wrapping_add(batches as u32);
        let taken: Vec<_> = self.batches.drain(..batches).collect();
        self.rows -= taken.iter().map(|batch| batch.slots.len()).sum::<usize>();
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
        let closed = self.batches.iter_mut().map(Arc::make_mut);
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
