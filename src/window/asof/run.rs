//! Runs: immutable partial aggregates of one tile, one row per key; and the levels that hold them.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt64Array};
use arrow::compute::{take, take_arrays};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::plan::{FeaturePlan, RunningKind};
use super::recent::{Contribution, Place, RecentBatch, renamed};
use super::tile::{LevelBounds, Segment, floor, tile_start};
use crate::window::WindowError;
use crate::window::evaluate::new_accumulator;
use crate::window::keys::NO_SLOT;

/// The partial aggregates of one tile, drained once from the accumulators.
pub(super) struct Run {
    /// Start of the finest tile that it was made for.
    pub(super) start: i64,
    pub(super) slots: Vec<u32>,
    /// Per running aggregate, one value per row.
    pub(super) running: Vec<Contribution>,
    /// Per merged aggregate, its state columns.
    pub(super) merged: Vec<Vec<ArrayRef>>,
}

impl Run {
    /// Memory held, bytes.
    fn size(&self) -> usize {
        let merged = self.merged.iter().flatten().map(arrow::array::Array::get_array_memory_size).sum::<usize>();
        merged + self.slots.len() * (4 + 8 * self.running.len())
    }
}

/// Groups rows by key while a run is made. Kept between runs, so that grouping does not allocate per key.
pub(super) struct RunBuilder {
    generation: u32,
    /// Per slot, the generation it was last seen in and its row then.
    seen: Vec<(u32, u32)>,
    slots: Vec<u32>,
    groups: Vec<usize>,
}

impl RunBuilder {
    pub(super) fn new() -> Self {
        Self { generation: 0, seen: Vec::new(), slots: Vec::new(), groups: Vec::new() }
    }

    /// Aggregates the rows of passed batches into one run per finest tile, oldest tile first.
    pub(super) fn seal(
        &mut self,
        plan: &FeaturePlan,
        batches: &[RecentBatch],
        width: i64,
        key_count: usize,
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
        starts.into_iter().map(|start| self.seal_tile(plan, batches, start, width, key_count)).collect()
    }

    fn seal_tile(
        &mut self,
        plan: &FeaturePlan,
        batches: &[RecentBatch],
        start: i64,
        width: i64,
        key_count: usize,
    ) -> Result<Run, WindowError> {
        self.begin(key_count);
        let mut running = empty_contributions(plan);
        let mut accumulators = accumulators(plan)?;
        let mut rows = Vec::new();
        for batch in batches {
            rows.clear();
            rows.extend(
                (0..batch.slots.len())
                    .filter(|row| batch.slots[*row] != NO_SLOT && tile_start(batch.times[*row], width) == start)
                    .map(|row| row as u64),
            );
            if rows.is_empty() {
                continue;
            }
            self.group(rows.iter().map(|row| batch.slots[*row as usize]));
            for (total, part) in running.iter_mut().zip(&batch.running) {
                add_rows(total, part, &self.groups, self.slots.len(), rows.iter().map(|row| *row as usize));
            }
            let whole = rows.len() == batch.slots.len();
            let picked = UInt64Array::from(rows.clone());
            for (accumulator, input) in accumulators.iter_mut().zip(&batch.merged) {
                let (arguments, filter) = if whole {
                    (input.arguments.clone(), input.filter.clone())
                } else {
                    let filter = input.filter.as_ref().map(|filter| take(filter, &picked, None)).transpose()?;
                    let filter = filter.map(|filter| BooleanArray::from(filter.to_data()));
                    (take_arrays(&input.arguments, &picked, None)?, filter)
                };
                accumulator.update_batch(&arguments, &self.groups, filter.as_ref(), self.slots.len())?;
            }
        }
        self.finish(start, running, accumulators)
    }

    /// Merges runs, in the order given, into one.
    fn merge<'a>(
        &mut self,
        plan: &FeaturePlan,
        runs: impl Iterator<Item = &'a Run>,
        start: i64,
        key_count: usize,
    ) -> Result<Run, WindowError> {
        self.begin(key_count);
        let mut running = empty_contributions(plan);
        let mut accumulators = accumulators(plan)?;
        for run in runs {
            self.group(run.slots.iter().copied());
            for (total, part) in running.iter_mut().zip(&run.running) {
                add_rows(total, part, &self.groups, self.slots.len(), 0..run.slots.len());
            }
            for (accumulator, states) in accumulators.iter_mut().zip(&run.merged) {
                accumulator.merge_batch(states, &self.groups, self.slots.len())?;
            }
        }
        self.finish(start, running, accumulators)
    }

    fn begin(&mut self, key_count: usize) {
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.seen.fill((0, 0));
            self.generation = 1;
        }
        self.seen.resize(key_count, (0, 0));
        self.slots = Vec::new();
    }

    /// Writes the group of each slot into `self.groups`.
    fn group(&mut self, slots: impl Iterator<Item = u32>) {
        self.groups.clear();
        for slot in slots {
            let seen = &mut self.seen[slot as usize];
            if seen.0 != self.generation {
                *seen = (self.generation, self.slots.len() as u32);
                self.slots.push(slot);
            }
            self.groups.push(seen.1 as usize);
        }
    }

    fn finish(
        &mut self,
        start: i64,
        running: Vec<Contribution>,
        accumulators: Vec<Box<dyn GroupsAccumulator>>,
    ) -> Result<Run, WindowError> {
        let merged: Result<_, DataFusionError> =
            accumulators.into_iter().map(|mut accumulator| accumulator.state(EmitTo::All)).collect();
        Ok(Run { start, slots: std::mem::take(&mut self.slots), running, merged: merged? })
    }
}

fn accumulators(plan: &FeaturePlan) -> Result<Vec<Box<dyn GroupsAccumulator>>, DataFusionError> {
    plan.merged.iter().map(|aggregate| new_accumulator(&aggregate.function)).collect()
}

fn empty_contributions(plan: &FeaturePlan) -> Vec<Contribution> {
    let empty = |kind| match kind {
        RunningKind::Count | RunningKind::SumInteger => Contribution::Integers(Vec::new()),
        RunningKind::SumFloat => Contribution::Floats(Vec::new()),
    };
    plan.running.iter().map(|aggregate| empty(aggregate.kind)).collect()
}

fn add_rows(
    total: &mut Contribution,
    part: &Contribution,
    groups: &[usize],
    group_count: usize,
    rows: impl Iterator<Item = usize>,
) {
    match (total, part) {
        (Contribution::Integers(total), Contribution::Integers(part)) => {
            total.resize(group_count, 0);
            for (group, row) in groups.iter().zip(rows) {
                total[*group] = total[*group].wrapping_add(part[row]);
            }
        }
        (Contribution::Floats(total), Contribution::Floats(part)) => {
            total.resize(group_count, 0.0);
            for (group, row) in groups.iter().zip(rows) {
                total[*group] += part[row];
            }
        }
        // Both sides are made by the same plan.
        _ => debug_assert!(false, "contributions of one aggregate have one type"),
    }
}

/// The runs of one tile width, in the order they came, and for each key a chain through them, newest first.
pub(super) struct Level {
    bounds: LevelBounds,
    /// How long a tile is kept after the watermark has passed its end.
    keep: i64,
    first: u32,
    runs: VecDeque<LinkedRun>,
    heads: Vec<Place>,
}

struct LinkedRun {
    run: Arc<Run>,
    start: i64,
    /// The newest start of this run and all before it: a walk that looks for newer tiles can stop.
    newest_start: i64,
    previous: Vec<Place>,
}

impl Level {
    pub(super) fn new(width: i64, is_finest: bool, keep: i64) -> Self {
        let closed_until = if is_finest { i64::MAX } else { i64::MIN };
        let bounds = LevelBounds { width, closed_until };
        Self { bounds, keep, first: 0, runs: VecDeque::new(), heads: Vec::new() }
    }

    pub(super) fn bounds(&self) -> LevelBounds {
        self.bounds
    }

    /// Adds a run at the end.
    pub(super) fn push(&mut self, run: Arc<Run>, key_count: usize) {
        self.heads.resize(key_count, Place::NONE);
        let start = floor(run.start, self.bounds.width);
        let newest_start = self.runs.back().map_or(start, |last| last.newest_start.max(start));
        let number = self.first.wrapping_add(self.runs.len() as u32);
        let mut previous = Vec::with_capacity(run.slots.len());
        for (row, slot) in run.slots.iter().enumerate() {
            let place = Place { batch: number, row: row as u32 };
            previous.push(std::mem::replace(&mut self.heads[*slot as usize], place));
        }
        self.runs.push_back(LinkedRun { run, start, newest_start, previous });
    }

    /// Visits the key's rows in the tiles of a segment, newest first, with the index of the run.
    pub(super) fn visit(&self, slot: u32, segment: Segment, mut visit: impl FnMut(usize, &Run, usize)) {
        let mut place = self.heads.get(slot as usize).copied().unwrap_or(Place::NONE);
        loop {
            let index = place.batch.wrapping_sub(self.first) as usize;
            let Some(linked) = self.runs.get(index).filter(|linked| linked.newest_start >= segment.from) else {
                return;
            };
            let row = place.row as usize;
            if segment.from <= linked.start && linked.start < segment.to {
                visit(index, &linked.run, row);
            }
            place = linked.previous[row];
        }
    }

    pub(super) fn run(&self, index: usize) -> Option<&Run> {
        self.runs.get(index).map(|linked| linked.run.as_ref())
    }

    /// Rolls up tiles of `finer` that the watermark has closed since the last call.
    pub(super) fn roll_up(
        &mut self,
        finer: &Self,
        plan: &FeaturePlan,
        builder: &mut RunBuilder,
        watermark: i64,
        key_count: usize,
    ) -> Result<(), WindowError> {
        let closed = floor(watermark.min(finer.bounds.closed_until), self.bounds.width);
        if closed <= self.bounds.closed_until {
            return Ok(());
        }
        let opened = self.bounds.closed_until;
        let mut starts: Vec<i64> = finer.runs.iter().map(|linked| floor(linked.start, self.bounds.width)).collect();
        starts.retain(|start| opened <= *start && *start < closed);
        starts.sort_unstable();
        starts.dedup();
        for start in starts {
            let parts = finer.runs.iter().filter(|part| floor(part.start, self.bounds.width) == start);
            let run = builder.merge(plan, parts.map(|part| part.run.as_ref()), start, key_count)?;
            self.push(Arc::new(run), key_count);
        }
        self.bounds.closed_until = closed;
        Ok(())
    }

    /// Drops runs, oldest first, that no read at or after the watermark can want.
    pub(super) fn expire(&mut self, watermark: i64) {
        let oldest_wanted = watermark.saturating_sub(self.keep).saturating_sub(self.bounds.width);
        // A chain must not lose rows behind a dropped run, so runs go in the order they came.
        while self.runs.front().is_some_and(|linked| linked.start < oldest_wanted) {
            self.runs.pop_front();
            self.first = self.first.wrapping_add(1);
        }
    }

    pub(super) fn mark_alive(&self, alive: &mut [bool]) {
        for slot in self.runs.iter().flat_map(|linked| &linked.run.slots) {
            alive[*slot as usize] = true;
        }
    }

    /// Gives every key its new slot.
    pub(super) fn rename(&mut self, moved: &[u32], key_count: usize) {
        for linked in &mut self.runs {
            let run = &linked.run;
            let running = run.running.iter().map(|part| match part {
                Contribution::Integers(values) => Contribution::Integers(values.clone()),
                Contribution::Floats(values) => Contribution::Floats(values.clone()),
            });
            let slots = run.slots.iter().map(|slot| moved[*slot as usize]).collect();
            linked.run =
                Arc::new(Run { start: run.start, slots, running: running.collect(), merged: run.merged.clone() });
        }
        self.heads = renamed(&self.heads, moved, key_count, Place::NONE);
    }

    pub(super) fn size(&self) -> usize {
        let runs: usize = self.runs.iter().map(|linked| linked.run.size() + 8 * linked.previous.len()).sum();
        runs + 8 * self.heads.len()
    }
}
