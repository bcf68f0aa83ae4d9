//! Runs: immutable partial aggregates of one tile, one row per key, ordered by slot.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::compute::{take, take_arrays};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::column::Column;
use super::plan::FeaturePlan;
use super::recent::RecentBatch;
use super::tile::tile_start;
use crate::sql::declared_accumulator;
use crate::window::WindowError;
use crate::window::content::content_size;
use crate::window::keys::NO_SLOT;

/// The partial aggregates of one tile.
#[derive(Clone)]
pub(super) struct Run {
    /// Start of the tile.
    pub(super) start: i64,
    /// The keys, ascending, each once.
    pub(super) slots: Arc<Vec<u32>>,
    /// The first of every [`BLOCK`] keys: small enough to stay in the cache, so that finding a key misses it once or twice.
    samples: Arc<Vec<u32>>,
    /// Per running aggregate, its column; none where no read can want it from this tile.
    pub(super) columns: Vec<Option<Arc<Column>>>,
    /// Per merged aggregate, its state columns; none likewise.
    pub(super) merged: Vec<Option<Vec<ArrayRef>>>,
}

/// Keys between two samples: four cache lines.
const BLOCK: usize = 64;

/// Which aggregates a run is made with: per running and per merged aggregate.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) running: Vec<bool>,
    pub(super) merged: Vec<bool>,
}

impl Run {
    /// A run of these keys, which are ascending.
    pub(super) fn new(
        start: i64,
        mut slots: Vec<u32>,
        columns: Vec<Option<Arc<Column>>>,
        merged: Vec<Option<Vec<ArrayRef>>>,
    ) -> Self {
        slots.shrink_to_fit();
        let samples = slots.chunks(BLOCK).filter_map(|block| block.first().copied()).collect();
        Self { start, slots: Arc::new(slots), samples: Arc::new(samples), columns, merged }
    }

    /// The row of a key.
    pub(super) fn find(&self, slot: u32) -> Option<usize> {
        let first = self.samples.partition_point(|sample| *sample <= slot).checked_sub(1)? * BLOCK;
        let block = &self.slots[first..self.slots.len().min(first + BLOCK)];
        block.binary_search(&slot).ok().map(|place| first + place)
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        let columns: usize = self.columns.iter().flatten().map(|column| 64 + column.size()).sum();
        let merged: usize = self.merged.iter().flatten().map(|states| content_size(states)).sum();
        size_of::<Self>()
            + 8 * self.columns.len()
            + 24 * self.merged.len()
            + columns
            + merged
            + 4 * (self.slots.len() + self.samples.len())
    }

    /// The same rows under new slots, those of forgotten keys left out; nothing when no row is left.
    pub(super) fn renamed(&self, plan: &FeaturePlan, moved: &[u32]) -> Result<Option<Self>, WindowError> {
        let kept: Vec<usize> =
            (0..self.slots.len()).filter(|row| moved[self.slots[*row] as usize] != NO_SLOT).collect();
        if kept.is_empty() {
            return Ok(None);
        }
        // New slots are in the order of the old ones, so rows stay ordered.
        let slots: Vec<u32> = kept.iter().map(|row| moved[self.slots[*row] as usize]).collect();
        if kept.len() == self.slots.len() {
            return Ok(Some(Self::new(self.start, slots, self.columns.clone(), self.merged.clone())));
        }
        let columns = self.columns.iter().zip(&plan.running).map(|(column, aggregate)| {
            let empty = aggregate.kind.combine().empty();
            let kept = |column: &Arc<Column>| {
                Arc::new(Column::encode(kept.iter().map(|row| column.get(*row, empty)).collect(), empty))
            };
            column.as_ref().map(kept)
        });
        let picked: UInt64Array = kept.iter().map(|row| *row as u64).collect::<Vec<_>>().into();
        let merged: Result<_, _> = self
            .merged
            .iter()
            .map(|states| states.as_ref().map(|states| take_arrays(states, &picked, None)).transpose())
            .collect();
        Ok(Some(Self::new(self.start, slots, columns.collect(), merged?)))
    }
}

/// Groups rows by key while a run is made. Kept between runs, so that grouping does not allocate per key.
#[derive(Default)]
pub(super) struct RunBuilder {
    generation: u32,
    /// Per slot, the generation it was last seen in and its group then.
    seen: Vec<(u32, u32)>,
    groups: Vec<usize>,
    decoded: Vec<i64>,
    entries: Vec<Entry>,
}

/// A recent row on its way into a run. The order of the fields is the order of the rows: tile, key, arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    tile: u32,
    slot: u32,
    batch: u32,
    row: u32,
}

impl RunBuilder {
    /// Aggregates the rows of passed batches into one run per finest tile, oldest tile first.
    pub(super) fn seal(
        &mut self,
        plan: &FeaturePlan,
        batches: &[Arc<RecentBatch>],
        width: i64,
        held: &Held,
    ) -> Result<Vec<Run>, WindowError> {
        let mut starts: Vec<i64> = Vec::new();
        for batch in batches {
            for (ts, slot) in batch.times.iter().zip(&batch.slots) {
                let start = tile_start(*ts, width);
                if *slot != NO_SLOT && starts.last() != Some(&start) {
                    starts.push(start);
                }
            }
        }
        starts.sort_unstable();
        starts.dedup();
        let mut entries = std::mem::take(&mut self.entries);
        entries.clear();
        for (number, batch) in batches.iter().enumerate() {
            // Neighbours are mostly of one tile.
            let (mut start, mut tile) = (i64::MIN, 0);
            for (row, (ts, slot)) in
                batch.times.iter().zip(&batch.slots).enumerate().filter(|(_, (_, slot))| **slot != NO_SLOT)
            {
                let this = tile_start(*ts, width);
                if this != start {
                    start = this;
                    tile = starts.partition_point(|known| *known < start) as u32;
                }
                entries.push(Entry { tile, slot: *slot, batch: number as u32, row: row as u32 });
            }
        }
        entries.sort_unstable();
        let runs = entries
            .chunk_by_mut(|left, right| left.tile == right.tile)
            .zip(&starts)
            .map(|(entries, start)| self.seal_tile(plan, batches, entries, *start, held))
            .collect();
        self.entries = entries;
        runs
    }

    fn seal_tile(
        &mut self,
        plan: &FeaturePlan,
        batches: &[Arc<RecentBatch>],
        entries: &mut [Entry],
        start: i64,
        held: &Held,
    ) -> Result<Run, WindowError> {
        let mut slots: Vec<u32> = Vec::new();
        self.groups.clear();
        for entry in &*entries {
            if slots.last() != Some(&entry.slot) {
                slots.push(entry.slot);
            }
            self.groups.push(slots.len() - 1);
        }
        let mut columns = Vec::with_capacity(plan.running.len());
        for (index, aggregate) in plan.running.iter().enumerate() {
            let combine = aggregate.kind.combine();
            columns.push(held.running[index].then(|| {
                let mut totals = vec![combine.empty(); slots.len()];
                for (entry, group) in entries.iter().zip(&self.groups) {
                    let value = batches[entry.batch as usize].running[index][entry.row as usize];
                    combine.combine(&mut totals[*group], value);
                }
                Arc::new(Column::encode(totals, combine.empty()))
            }));
        }
        if !held.merged.contains(&true) {
            let merged = vec![None; plan.merged.len()];
            return Ok(Run::new(start, slots, columns, merged));
        }
        // Accumulators see the rows as they arrived, batch by batch.
        let mut rows: Vec<(u32, u32, usize)> =
            entries.iter().zip(&self.groups).map(|(entry, group)| (entry.batch, entry.row, *group)).collect();
        rows.sort_unstable();
        let mut accumulators = accumulators(plan, held, slots.len())?;
        for rows in rows.chunk_by(|left, right| left.0 == right.0) {
            let Some(batch) = rows.first().and_then(|row| batches.get(row.0 as usize)) else { continue };
            let groups: Vec<usize> = rows.iter().map(|row| row.2).collect();
            let picked: UInt64Array = rows.iter().map(|row| u64::from(row.1)).collect::<Vec<_>>().into();
            for (accumulator, input) in accumulators.iter_mut().zip(&batch.merged) {
                let Some(accumulator) = accumulator else { continue };
                let filter = input.filter.as_ref().map(|filter| take(filter, &picked, None)).transpose()?;
                let filter = filter.map(|filter| BooleanArray::from(filter.to_data()));
                let arguments = take_arrays(&input.arguments, &picked, None)?;
                accumulator.update_batch(&arguments, &groups, filter.as_ref(), slots.len())?;
            }
        }
        Ok(Run::new(start, slots, columns, drained(accumulators)?))
    }

    /// Merges runs, in the order given, into one.
    pub(super) fn merge(
        &mut self,
        plan: &FeaturePlan,
        runs: &[&Run],
        start: i64,
        held: &Held,
    ) -> Result<Run, WindowError> {
        let slots = self.union(runs);
        let mut totals: Vec<Option<Vec<i64>>> = Vec::with_capacity(plan.running.len());
        for (aggregate, held) in plan.running.iter().zip(&held.running) {
            totals.push(held.then(|| vec![aggregate.kind.combine().empty(); slots.len()]));
        }
        let mut accumulators = accumulators(plan, held, slots.len())?;
        for run in runs {
            self.groups.clear();
            self.groups.extend(run.slots.iter().map(|slot| self.seen[*slot as usize].1 as usize));
            for ((aggregate, totals), column) in plan.running.iter().zip(&mut totals).zip(&run.columns) {
                let (Some(totals), Some(column)) = (totals, column) else { continue };
                add_column(aggregate.kind.combine(), totals, column, &self.groups, &mut self.decoded);
            }
            for (accumulator, states) in accumulators.iter_mut().zip(&run.merged) {
                if let (Some(accumulator), Some(states)) = (accumulator, states) {
                    accumulator.merge_batch(states, &self.groups, slots.len())?;
                }
            }
        }
        let columns = plan.running.iter().zip(totals).map(|(aggregate, totals)| {
            totals.map(|totals| Arc::new(Column::encode(totals, aggregate.kind.combine().empty())))
        });
        Ok(Run::new(start, slots, columns.collect(), drained(accumulators)?))
    }

    /// The slots of all runs, ascending; each one's place among them is in `self.seen`.
    fn union(&mut self, runs: &[&Run]) -> Vec<u32> {
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.seen.fill((0, 0));
            self.generation = 1;
        }
        let mut slots = Vec::new();
        for run in runs {
            let needed = run.slots.last().map_or(0, |slot| *slot as usize + 1);
            if self.seen.len() < needed {
                self.seen.resize(needed, (0, 0));
            }
            for slot in run.slots.iter() {
                let seen = &mut self.seen[*slot as usize];
                if seen.0 != self.generation {
                    seen.0 = self.generation;
                    slots.push(*slot);
                }
            }
        }
        // Many slots are cheaper to find by looking at all of them in order than to sort.
        if slots.len() > self.seen.len() / 16 {
            slots.clear();
            let seen = self.seen.iter().enumerate().filter(|(_, seen)| seen.0 == self.generation);
            slots.extend(seen.map(|(slot, _)| slot as u32));
        } else {
            slots.sort_unstable();
        }
        for (group, slot) in slots.iter().enumerate() {
            self.seen[*slot as usize].1 = group as u32;
        }
        slots
    }
}

fn add_column(
    combine: super::column::Combine,
    totals: &mut [i64],
    column: &Column,
    groups: &[usize],
    decoded: &mut Vec<i64>,
) {
    match column {
        Column::Empty => {}
        Column::Sparse { rows, values } => {
            for (row, value) in rows.iter().zip(values) {
                combine.combine(&mut totals[groups[*row as usize]], *value);
            }
        }
        _ => {
            column.decode(0..groups.len(), combine.empty(), decoded);
            for (group, value) in groups.iter().zip(&*decoded) {
                combine.combine(&mut totals[*group], *value);
            }
        }
    }
}

type Accumulators = Vec<Option<Box<dyn GroupsAccumulator>>>;

/// Fresh ones for so many keys.
fn accumulators(plan: &FeaturePlan, held: &Held, keys: usize) -> Result<Accumulators, DataFusionError> {
    let made = plan.merged.iter().zip(&held.merged).map(|(aggregate, held)| {
        let fresh = || declared_accumulator(&aggregate.function, &aggregate.argument_types, keys);
        held.then(fresh).transpose()
    });
    made.collect()
}

fn drained(accumulators: Accumulators) -> Result<Vec<Option<Vec<ArrayRef>>>, DataFusionError> {
    let states = accumulators
        .into_iter()
        .map(|accumulator| accumulator.map(|mut accumulator| accumulator.state(EmitTo::All)).transpose());
    states.collect()
}
