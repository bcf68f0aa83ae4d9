//! The partial states of one merged aggregate in one pane.
//!
//! DataFusion's accumulators give their states away once, and some of them depend on how rows were cut into batches. So
//! rows wait until there are exactly [`CHUNK_ROWS`], which are drained into an immutable chunk: neither the size of a
//! step nor a save in between changes a bit of the result.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{concat, take_arrays};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use hashbrown::HashMap;

use super::aggregate::MergedAggregate;
use super::input::MergedInput;
use crate::window::WindowError;
use crate::window::content::content_size;
use crate::window::slot_hash::SlotHash;

/// Rows that are drained together.
const CHUNK_ROWS: usize = 4_096;

/// See the module. A clone has a pointer to each chunk.
#[derive(Clone, Default)]
pub(super) struct Partial {
    pub(super) chunks: Vec<Arc<Chunk>>,
    /// Rows that wait, in the order of arrival.
    pub(super) waiting: Vec<Arc<Rows>>,
    waiting_rows: usize,
}

/// Drained states, one row per key.
pub(super) struct Chunk {
    pub(super) slots: Vec<u32>,
    pub(super) states: Vec<ArrayRef>,
}

/// Evaluated arguments, one row per event.
pub(super) struct Rows {
    pub(super) slots: Vec<u32>,
    pub(super) arguments: Vec<ArrayRef>,
}

impl Partial {
    /// A partial of saved parts.
    pub(super) fn from_parts(chunks: Vec<Chunk>, waiting: Vec<Rows>) -> Self {
        let waiting_rows = waiting.iter().map(|rows| rows.slots.len()).sum();
        let (chunks, waiting) = (chunks.into_iter().map(Arc::new), waiting.into_iter().map(Arc::new));
        Self { chunks: chunks.collect(), waiting: waiting.collect(), waiting_rows }
    }

    /// Takes the events of a batch that are given by their places.
    pub(super) fn push(
        &mut self,
        aggregate: &MergedAggregate,
        part: &MergedInput,
        slots: &[u32],
        events: &[u32],
    ) -> Result<(), WindowError> {
        let passes = |event: &u32| part.filter.as_ref().is_none_or(|filter| filter.value(*event as usize));
        let events: Vec<u32> = events.iter().copied().filter(passes).collect();
        if events.is_empty() {
            return Ok(());
        }
        let slots: Vec<u32> = events.iter().map(|event| slots[*event as usize]).collect();
        self.waiting_rows += slots.len();
        let arguments = take_arrays(&part.arguments, &UInt32Array::from(events), None)?;
        self.waiting.push(Arc::new(Rows { slots, arguments }));
        while self.waiting_rows >= CHUNK_ROWS {
            let all = self.waiting()?;
            let chunk = all.slice(0, CHUNK_ROWS);
            let rest = all.slice(CHUNK_ROWS, all.slots.len() - CHUNK_ROWS);
            self.chunks.push(Arc::new(chunk.drain(aggregate)?));
            self.waiting_rows = rest.slots.len();
            self.waiting.clear();
            if self.waiting_rows > 0 {
                self.waiting.push(Arc::new(rest));
            }
        }
        Ok(())
    }

    /// Takes over the rows that wait in another partial, after its own.
    pub(super) fn take_waiting(&mut self, other: &Self) {
        self.waiting.extend(other.waiting.iter().cloned());
        self.waiting_rows += other.waiting_rows;
    }

    /// Merges everything into one chunk.
    pub(super) fn close(&mut self, aggregate: &MergedAggregate) -> Result<(), WindowError> {
        if self.waiting_rows > 0 {
            let chunk = self.waiting()?.drain(aggregate)?;
            self.chunks.push(Arc::new(chunk));
            self.waiting.clear();
            self.waiting_rows = 0;
        }
        if self.chunks.len() > 1 {
            let merged = Chunk::merge(aggregate, self.chunks.iter().map(Arc::as_ref))?;
            self.chunks = vec![Arc::new(merged)];
        }
        Ok(())
    }

    /// Merges the states of the keys that have a group into an accumulator of `groups` groups.
    pub(super) fn merge_into(
        &self,
        accumulator: &mut dyn GroupsAccumulator,
        groups: usize,
        group_of: &impl Fn(u32) -> Option<usize>,
    ) -> Result<(), WindowError> {
        for chunk in &self.chunks {
            if let Some((states, targets)) = wanted(&chunk.slots, &chunk.states, group_of)? {
                accumulator.merge_batch(&states, &targets, groups)?;
            }
        }
        if self.waiting_rows > 0 {
            let rows = self.waiting()?;
            if let Some((arguments, targets)) = wanted(&rows.slots, &rows.arguments, group_of)? {
                accumulator.update_batch(&arguments, &targets, None, groups)?;
            }
        }
        Ok(())
    }

    pub(super) fn size(&self) -> usize {
        let chunks = self.chunks.iter().map(|chunk| 4 * chunk.slots.len() + content_size(&chunk.states));
        let waiting = self.waiting.iter().map(|rows| 4 * rows.slots.len() + content_size(&rows.arguments));
        let (chunks, waiting) = (chunks.sum::<usize>(), waiting.sum::<usize>());
        chunks + waiting
    }

    /// The rows that wait, as one batch: how they came must not show.
    fn waiting(&self) -> Result<Rows, WindowError> {
        if let [rows] = self.waiting.as_slice() {
            return Ok(rows.slice(0, rows.slots.len()));
        }
        let slots = self.waiting.iter().flat_map(|rows| &rows.slots).copied().collect();
        let width = self.waiting.first().map_or(0, |rows| rows.arguments.len());
        let mut arguments = Vec::with_capacity(width);
        for column in 0..width {
            let parts: Vec<&dyn Array> = self.waiting.iter().map(|rows| rows.arguments[column].as_ref()).collect();
            arguments.push(concat(&parts)?);
        }
        Ok(Rows { slots, arguments })
    }
}

/// The rows of keys that have a group, with the group of each; `None` when there are none.
#[expect(clippy::type_complexity, reason = "columns and the group of each of their rows")]
fn wanted(
    slots: &[u32],
    columns: &[ArrayRef],
    group_of: &impl Fn(u32) -> Option<usize>,
) -> Result<Option<(Vec<ArrayRef>, Vec<usize>)>, WindowError> {
    let (mut rows, mut groups) = (Vec::with_capacity(slots.len()), Vec::with_capacity(slots.len()));
    for (slot, row) in slots.iter().zip(0..) {
        if let Some(group) = group_of(*slot) {
            rows.push(row);
            groups.push(group);
        }
    }
    if groups.is_empty() {
        return Ok(None);
    }
    if groups.len() == slots.len() {
        return Ok(Some((columns.to_vec(), groups)));
    }
    Ok(Some((take_arrays(columns, &UInt32Array::from(rows), None)?, groups)))
}

impl Chunk {
    /// One chunk of several, in their order.
    pub(super) fn merge<'a>(
        aggregate: &MergedAggregate,
        chunks: impl Iterator<Item = &'a Self>,
    ) -> Result<Self, WindowError> {
        let mut groups = Groups::default();
        let chunks: Vec<(&Self, Vec<usize>)> = chunks.map(|chunk| (chunk, groups.of(&chunk.slots))).collect();
        let mut accumulator = aggregate.accumulator(groups.slots.len())?;
        for (chunk, targets) in chunks {
            accumulator.merge_batch(&chunk.states, &targets, groups.slots.len())?;
        }
        Ok(Self { slots: groups.slots, states: accumulator.state(EmitTo::All)? })
    }
}

impl Rows {
    fn slice(&self, offset: usize, rows: usize) -> Self {
        Self {
            slots: self.slots[offset..offset + rows].to_vec(),
            arguments: self.arguments.iter().map(|column| column.slice(offset, rows)).collect(),
        }
    }

    fn drain(&self, aggregate: &MergedAggregate) -> Result<Chunk, WindowError> {
        let mut groups = Groups::default();
        let targets = groups.of(&self.slots);
        let mut accumulator = aggregate.accumulator(groups.slots.len())?;
        accumulator.update_batch(&self.arguments, &targets, None, groups.slots.len())?;
        Ok(Chunk { slots: groups.slots, states: accumulator.state(EmitTo::All)? })
    }
}

/// Numbers keys in the order in which they come.
#[derive(Default)]
struct Groups {
    known: HashMap<u32, usize, SlotHash>,
    slots: Vec<u32>,
}

impl Groups {
    fn of(&mut self, slots: &[u32]) -> Vec<usize> {
        let mut groups = Vec::with_capacity(slots.len());
        for slot in slots {
            let next = self.slots.len();
            let group = *self.known.entry(*slot).or_insert(next);
            if group == next {
                self.slots.push(*slot);
            }
            groups.push(group);
        }
        groups
    }
}
