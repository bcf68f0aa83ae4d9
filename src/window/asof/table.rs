//! A live feature table: events in, rows as of an event time out.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};

use super::distinct::RunningDistinct;
use super::plan::FeaturePlan;
use super::read::{Pick, Picks, ReadSource, Reads};
use super::recent::{Recent, RecentBatch};
use super::run::{Level, RunBuilder};
use super::running::{Cell, Freshness, RunningCells, add};
use super::tile::{Horizon, LADDER, LevelBounds, Segment, cover};
use crate::window::WindowError;
use crate::window::keys::{KeyIndex, NO_SLOT};

/// Recent rows that the watermark has passed are drained into a run once there are this many.
const SEAL_ROWS: usize = 4_096;

/// Keys are not compacted below this many.
const COMPACT_KEYS: usize = 1 << 16;

/// The state of one [`FeaturePlan`].
pub struct FeatureTable {
    plan: Arc<FeaturePlan>,
    disorder: i64,
    keys: KeyIndex,
    cells: RunningCells,
    distinct: RunningDistinct,
    recent: Recent,
    levels: Vec<Level>,
    covers: Vec<Cover>,
    builder: RunBuilder,
    newest: i64,
    /// Keys after the last compaction; the next one is due at twice as many.
    compacted: usize,
    scratch: Vec<Cell>,
}

/// The cover of a horizon, remembered while tail and levels stay.
struct Cover {
    tail: i64,
    finest: usize,
    segments: Vec<Segment>,
}

impl FeatureTable {
    /// An empty table over a stream whose events come at most `disorder_micros` out of order.
    pub fn new(plan: Arc<FeaturePlan>, disorder_micros: i64) -> Result<Self, WindowError> {
        let schema = plan.schema();
        let types: Vec<_> = plan.keys().iter().map(|key| schema.field(key.output_index).data_type().clone()).collect();
        let (levels, covers) = levels(&plan, disorder_micros);
        Ok(Self {
            keys: KeyIndex::new(&types)?,
            cells: RunningCells::new(&plan),
            distinct: RunningDistinct::new(&plan),
            recent: Recent::new(),
            levels,
            covers,
            builder: RunBuilder::new(),
            newest: i64::MIN,
            compacted: 0,
            scratch: Vec::new(),
            disorder: disorder_micros,
            plan,
        })
    }

    /// The plan that the table follows.
    pub fn plan(&self) -> &Arc<FeaturePlan> {
        &self.plan
    }

    /// Keys that have a slot, expired ones that were not compacted yet included.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// Memory held, bytes.
    pub fn size(&self) -> usize {
        let levels: usize = self.levels.iter().map(Level::size).sum();
        levels
            + self.keys.size()
            + self.cells.size()
            + self.distinct.size()
            + self.recent.rows() * 8 * (4 + self.plan.running.len())
    }

    /// Takes in the events of a step without applying them: evaluates what the table needs of them.
    ///
    /// Follow with [`Self::apply`] for every row in order, then [`Self::settle`].
    pub fn begin(&mut self, events: &RecordBatch) -> Result<(), WindowError> {
        let batch = RecentBatch::evaluate(&self.plan, events, &mut self.keys)?;
        self.cells.resize(self.keys.len());
        self.distinct.resize(self.keys.len());
        self.recent.push(batch, self.keys.len());
        Ok(())
    }

    /// Applies one event of the batch that was begun.
    pub fn apply(&mut self, row: usize) {
        let Some(batch) = self.recent.newest() else { return };
        if batch.times[row] > self.newest {
            self.newest = batch.times[row];
            self.cells.advance(self.newest);
            self.distinct.advance(self.newest);
        }
        self.cells.apply(batch, row);
        self.distinct.apply(batch, row);
        self.recent.link(row);
    }

    /// Ends a step: drains what the watermark has passed, rolls tiles up, drops what no read can want.
    pub fn settle(&mut self) -> Result<(), WindowError> {
        let watermark = self.watermark();
        let (batches, rows) = self.recent.passed(watermark);
        let finest = self.levels[0].bounds().width;
        let is_tile_over = self.recent.oldest().is_some_and(|oldest| watermark.saturating_sub(finest) >= oldest);
        if batches > 0 && (rows >= SEAL_ROWS || is_tile_over) {
            let passed = self.recent.take(batches);
            for run in self.builder.seal(&self.plan, &passed, finest, self.keys.len())? {
                let run = Arc::new(run);
                for level in &mut self.levels {
                    // A row that came after its tile was rolled up is added beside it, at every level that has it.
                    if run.start < level.bounds().closed_until {
                        level.push(Arc::clone(&run), self.keys.len());
                    }
                }
            }
            // A batch often straddles the watermark. Waiting a tile for its rows saves runs of their own for them; rows
            // that are older still must not hold the roll-up back.
            let oldest = self.recent.oldest().unwrap_or(watermark).max(watermark.saturating_sub(finest));
            let safe = watermark.min(oldest.saturating_sub(1));
            for wider in 1..self.levels.len() {
                let (finer, rest) = self.levels.split_at_mut(wider);
                if let (Some(finer), Some(level)) = (finer.last(), rest.first_mut()) {
                    level.roll_up(finer, &self.plan, &mut self.builder, safe, self.keys.len())?;
                }
            }
            for level in &mut self.levels {
                level.expire(watermark);
            }
            self.forget_covers();
            self.compact(COMPACT_KEYS);
        }
        Ok(())
    }

    /// Slots of keys for [`Self::read`], one per row of the key columns; unknown keys get a slot that reads as missing.
    pub fn look_up(&mut self, keys: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<(), WindowError> {
        self.keys.look_up(keys, rows, slots)
    }

    /// Looks up a key as of `t`, with the events applied so far. A time before the watermark is taken as the watermark.
    pub fn read(&mut self, slot: u32, t: i64, reads: &mut Reads) {
        let t = t.max(self.watermark());
        let read = reads.slots.len() as u32;
        reads.slots.push(slot);
        reads.picks.resize_with(self.plan.horizons.len(), Picks::default);
        if slot == NO_SLOT {
            reads.cells.resize(reads.cells.len() + self.cells.width(), 0);
            reads.distinct.resize(reads.distinct.len() + self.distinct.width(), 0);
            return;
        }
        let cells = &self.cells;
        let is_current = |horizon| !matches!(cells.current(slot as usize, horizon, t), Freshness::OtherTime);
        let first = reads.distinct.len();
        self.distinct.read(slot as usize, is_current, &mut reads.distinct);
        for horizon in 0..self.plan.horizons.len() {
            self.read_cells(slot, horizon, t, &mut reads.cells);
            let counts = self.distinct.horizons().zip(&reads.distinct[first..]);
            let is_uncounted = counts.into_iter().any(|(index, count)| index == horizon && *count < 0);
            if is_uncounted || self.plan.horizons[horizon].has_merged {
                self.pick(slot, horizon, t, read, &mut reads.picks[horizon]);
            }
        }
    }

    /// The rows of the table for the look-ups in `reads`: as many, in their order.
    pub fn evaluate(&self, reads: &Reads) -> Result<RecordBatch, WindowError> {
        let source = ReadSource {
            plan: &self.plan,
            keys: &self.keys,
            cells: &self.cells,
            levels: &self.levels,
            recent: &self.recent,
        };
        source.evaluate(reads)
    }

    /// The rows of the keys with slots in `slots` as of the newest event; keys without a row are left out.
    pub fn scan(&mut self, slots: std::ops::Range<u32>) -> Result<RecordBatch, WindowError> {
        let end = slots.end.min(self.keys.len() as u32);
        let mut reads = Reads::default();
        for slot in slots.start.min(end)..end {
            self.read(slot, self.newest, &mut reads);
        }
        let rows = self.evaluate(&reads)?;
        let exists = self.cells.place(self.plan.exists);
        let alive: arrow::array::BooleanArray =
            (0..reads.len()).map(|read| Some(reads.cells[read * self.cells.width() + exists] > 0)).collect();
        Ok(arrow::compute::filter_record_batch(&rows, &alive)?)
    }

    fn watermark(&self) -> i64 {
        self.newest.saturating_sub(self.disorder)
    }

    fn read_cells(&mut self, slot: u32, horizon: usize, t: i64, cells: &mut Vec<Cell>) {
        let refresh = match self.cells.current(slot as usize, horizon, t) {
            Freshness::Current(values) => {
                cells.extend_from_slice(values);
                return;
            }
            Freshness::Stale => true,
            Freshness::OtherTime => false,
        };
        let mut values = std::mem::take(&mut self.scratch);
        let aggregates = self.cells.aggregates(horizon);
        values.clear();
        values.resize(aggregates.len(), 0);
        let tail = self.plan.horizons[horizon].horizon.tail(t);
        for segment in find_cover(&mut self.covers[horizon], &self.levels, tail) {
            self.levels[segment.level].visit(slot, *segment, |_, run, row| {
                add(&mut values, aggregates, &run.running, row);
            });
        }
        self.recent.visit(slot, |_, batch, row| {
            if batch.times[row] > tail && batch.times[row] <= t {
                add(&mut values, aggregates, &batch.running, row);
            }
        });
        cells.extend_from_slice(&values);
        if refresh {
            self.cells.refresh(slot as usize, horizon, &values);
        }
        self.scratch = values;
    }

    /// Collects the states and rows that a merged aggregate needs, oldest first.
    fn pick(&mut self, slot: u32, horizon: usize, t: i64, read: u32, picks: &mut Picks) {
        let tail = self.plan.horizons[horizon].horizon.tail(t);
        for segment in find_cover(&mut self.covers[horizon], &self.levels, tail) {
            let first = picks.states.len();
            self.levels[segment.level].visit(slot, *segment, |run, _, row| {
                picks.states.push(Pick { read, source: (segment.level as u32, run as u32), row: row as u32 });
            });
            picks.states[first..].reverse();
        }
        let first = picks.rows.len();
        self.recent.visit(slot, |index, batch, row| {
            if batch.times[row] > tail && batch.times[row] <= t {
                picks.rows.push(Pick { read, source: (0, index as u32), row: row as u32 });
            }
        });
        picks.rows[first..].reverse();
    }

    /// Gives up the slots of keys that have no rows left, once half of the slots may be such.
    fn compact(&mut self, least: usize) {
        if self.keys.len() < least.max(2 * self.compacted) {
            return;
        }
        let mut alive = vec![false; self.keys.len()];
        self.recent.mark_alive(&mut alive);
        for level in &self.levels {
            level.mark_alive(&mut alive);
        }
        let moved = self.keys.retain(&alive);
        let slots = self.keys.len();
        self.recent.rename(&moved, slots);
        for level in &mut self.levels {
            level.rename(&moved, slots);
        }
        self.cells.rename(&moved, slots);
        self.distinct.rename(&moved, slots);
        self.builder = RunBuilder::new();
        self.compacted = slots;
    }

    fn forget_covers(&mut self) {
        for cover in &mut self.covers {
            cover.segments.clear();
        }
    }
}

/// The levels of tiles that the horizons of a plan need, and per horizon where its cover starts.
fn levels(plan: &FeaturePlan, disorder: i64) -> (Vec<Level>, Vec<Cover>) {
    let widths = plan.level_widths();
    let levels = widths.iter().enumerate().map(|(index, width)| {
        let readers = plan.horizons().filter(|horizon| horizon.step_micros() <= *width);
        let read_for = readers.map(Horizon::reach_micros).max().unwrap_or(0);
        let rolled_up_after = widths.get(index + 1).map_or(0, |wider| 2 * wider);
        Level::new(*width, index == 0, read_for.max(rolled_up_after).saturating_add(disorder))
    });
    let covers = plan.horizons().map(|horizon| Cover {
        tail: 0,
        finest: widths.iter().position(|width| *width == horizon.step_micros()).unwrap_or(0),
        segments: Vec::new(),
    });
    (levels.collect(), covers.collect())
}

fn find_cover<'a>(remembered: &'a mut Cover, levels: &[Level], tail: i64) -> &'a [Segment] {
    if remembered.segments.is_empty() || remembered.tail != tail {
        let mut bounds = [LevelBounds { width: 1, closed_until: i64::MAX }; LADDER.len()];
        for (bound, level) in bounds.iter_mut().zip(levels) {
            *bound = level.bounds();
        }
        cover(tail, remembered.finest, &bounds[..levels.len()], &mut remembered.segments);
        remembered.tail = tail;
    }
    &remembered.segments
}
