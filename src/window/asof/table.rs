//! A live feature table: events in, rows as of an event time out.

mod reading;

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::cells::{CellScratch, RunningCells, Sources};
use super::distinct::RunningDistinct;
use super::last::RunningLast;
use super::level::Levels;
use super::plan::FeaturePlan;
use super::recent::{Recent, RecentBatch};
use super::run::RunBuilder;
use super::tile::Segment;
use super::waiting::{Turn, Turns, Waiting};
use crate::sql::Failures;
use crate::window::keys::{KeyIndex, NO_SLOT};
use crate::window::{Budget, WindowError};

/// Recent rows that the watermark has passed are drained into runs once there are this many; each drain makes a run per
/// tile, and a table that merges states wants few rows to merge.
const SEAL_ROWS: usize = 1 << 16;
const SEAL_MERGED_ROWS: usize = 1 << 12;

/// Rows of tiles, and distinct values, that leave with a step where more have left than leave at once: so many, a few at a
/// time, or fewer where views hold their pages.
const LEFT_PER_STEP: usize = if cfg!(test) { 1 } else { 2_048 };
const LEFT_AT_A_TIME: usize = if cfg!(test) { 1 } else { 128 };
const TOUCHED_PER_STEP: usize = 512 << 10;

/// Keys are not compacted below this many.
const COMPACT_KEYS: usize = 1 << 16;

/// The state of one [`FeaturePlan`].
pub struct FeatureTable {
    pub(super) plan: Arc<FeaturePlan>,
    pub(super) disorder: i64,
    pub(super) budget: Budget,
    pub(super) keys: KeyIndex,
    pub(super) cells: RunningCells,
    pub(super) distinct: RunningDistinct,
    pub(super) last: RunningLast,
    pub(super) recent: Recent,
    pub(super) levels: Levels,
    pub(super) waiting: Waiting,
    /// The order of this step's rows, where it is not that of its events.
    pub(super) turns: Option<Turns>,
    pub(super) builder: RunBuilder,
    /// The newest event time, as far as the broker's had come.
    pub(super) newest: i64,
    /// Keys after the last compaction; the next one is due at twice as many.
    pub(super) compacted: usize,
    pub(super) evicted: u64,
    /// Events applied since the table was made or restored.
    pub(super) applied: u64,
    pub(super) scratch: CellScratch,
    pub(super) segments: Vec<Segment>,
}

impl FeatureTable {
    /// An empty table over a stream whose events come at most `disorder_micros` out of order, which may hold as much
    /// memory as the budget says.
    pub fn new(plan: Arc<FeaturePlan>, disorder_micros: i64, budget: Budget) -> Result<Self, WindowError> {
        let schema = plan.schema();
        let types: Vec<_> = plan.keys().iter().map(|key| schema.field(key.output_index).data_type().clone()).collect();
        Ok(Self {
            keys: KeyIndex::new(&types)?,
            cells: RunningCells::new(&plan),
            distinct: RunningDistinct::new(&plan),
            last: RunningLast::new(&plan),
            recent: Recent::default(),
            levels: Levels::new(&plan, disorder_micros),
            waiting: Waiting::default(),
            turns: None,
            builder: RunBuilder::default(),
            newest: i64::MIN,
            compacted: 0,
            evicted: 0,
            applied: 0,
            scratch: CellScratch::default(),
            segments: Vec::new(),
            disorder: disorder_micros,
            budget,
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

    /// Keys that were forgotten because the table had reached its limit.
    pub fn evicted_keys(&self) -> u64 {
        self.evicted
    }

    /// Takes in the events of a step, none of which is ahead of the broker's time, without applying them: evaluates what the
    /// table needs of them.
    ///
    /// Follow with [`Self::apply`] for every row in order, then [`Self::settle`]. Slots that were looked up before are
    /// not valid after it.
    ///
    /// The rows in `failures`, and those that an expression of the table fails on, are left out.
    ///
    /// # Errors
    /// When the table would exceed a limit at which it stops.
    pub fn begin(&mut self, events: &RecordBatch, failures: &mut Failures) -> Result<(), WindowError> {
        self.begin_received(events, &[], failures)
    }

    /// As [`Self::begin`], of events that were received at these times, microseconds: one of a later time counts in reads of
    /// that time from now on, and moves nothing else before it has come.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn begin_received(
        &mut self,
        events: &RecordBatch,
        received: &[i64],
        failures: &mut Failures,
    ) -> Result<(), WindowError> {
        self.stay_within_budget(events.num_rows())?;
        let batch = RecentBatch::evaluate(&self.plan, events, &mut self.keys, failures)?;
        self.make_room();
        let (batch, turns) = self.waiting.arrange(batch, self.newest, received)?;
        self.turns = turns;
        self.cells.warm(&batch.slots);
        self.recent.push(batch, self.keys.len());
        Ok(())
    }

    /// Applies one event of the batch that was begun.
    pub fn apply(&mut self, row: usize) {
        if self.turns.is_some() {
            return self.follow(row);
        }
        let Some(ts) = self.recent.newest().map(|batch| batch.times[row]) else { return };
        self.applied += 1;
        self.advance(ts);
        self.apply_row(row);
    }

    /// Applies an event of a step that was arranged, and those that have waited for its time.
    fn follow(&mut self, event: usize) {
        self.applied += 1;
        while let Some(turn) = self.turns.as_mut().and_then(|turns| turns.next(event)) {
            match turn {
                Turn::Advance(newest) => self.advance(newest),
                Turn::Apply(row) => self.apply_row(row),
                Turn::Release(row, slot, due) => {
                    self.waiting.hide(slot, due);
                    self.apply_row(row);
                }
                Turn::Wait(slot, due) => self.waiting.show(slot, due),
            }
        }
    }

    fn advance(&mut self, newest: i64) {
        if newest > self.newest {
            self.newest = newest;
            let sources = Sources { levels: &self.levels, recent: &self.recent };
            if self.cells.advance(newest, sources) {
                self.distinct.advance(newest);
            }
        }
    }

    fn apply_row(&mut self, row: usize) {
        if self.cells.is_leaving()
            && let Some(slot) = self.recent.newest().map(|batch| batch.slots[row]).filter(|slot| *slot != NO_SLOT)
        {
            self.cells.catch_up(slot, Sources { levels: &self.levels, recent: &self.recent });
        }
        if let Some(batch) = self.recent.newest_mut() {
            self.cells.apply(batch, row);
            self.distinct.apply(batch, row);
            self.last.apply(batch, row);
        }
        self.recent.link(row);
    }

    /// Ends a step: drains what the watermark has passed, rolls tiles up, drops what no read can want.
    ///
    /// # Errors
    /// When a kernel fails, or the table has reached a limit at which it stops.
    pub fn settle(&mut self) -> Result<(), WindowError> {
        self.recent.close();
        if self.turns.take().is_some() {
            self.waiting.settle();
        }
        self.leave_some();
        let watermark = self.watermark();
        let (batches, rows) = self.recent.passed(watermark);
        let finest = self.levels.finest_width();
        let is_tile_over = self.recent.oldest().is_some_and(|oldest| watermark.saturating_sub(finest) >= oldest);
        let enough = if self.plan.merged.is_empty() { SEAL_ROWS } else { SEAL_MERGED_ROWS };
        if batches > 0 && (rows >= enough || is_tile_over) {
            // Tiles stay as they are, and rows where they are, until everything has left that lay in them.
            self.cells.finish(Sources { levels: &self.levels, recent: &self.recent });
            let passed = self.recent.take(batches);
            if let Some(held) = self.levels.finest_held() {
                for run in self.builder.seal(&self.plan, &passed, finest, held)? {
                    self.levels.push(&run, &self.plan, &mut self.builder)?;
                }
            }
            // A batch often straddles the watermark. Waiting a tile for its rows saves runs of their own for them; rows
            // that are older still must not hold the roll-up back.
            let oldest = self.recent.oldest().unwrap_or(watermark).max(watermark.saturating_sub(finest));
            let safe = watermark.min(oldest.saturating_sub(1));
            self.levels.roll_up(&self.plan, &mut self.builder, safe, watermark)?;
            self.distinct.expire(watermark);
            self.compact(COMPACT_KEYS)?;
        }
        self.stay_within_budget(0)
    }

    /// Takes some of what tails have passed out of what follows the events.
    fn leave_some(&mut self) {
        let before = self.cells.touched() + self.distinct.touched();
        for _ in 0..LEFT_PER_STEP / LEFT_AT_A_TIME {
            self.cells.go_on(LEFT_AT_A_TIME, Sources { levels: &self.levels, recent: &self.recent });
            self.distinct.go_on(LEFT_AT_A_TIME);
            if self.cells.touched() + self.distinct.touched() > before + TOUCHED_PER_STEP {
                return;
            }
        }
    }

    pub(super) fn watermark(&self) -> i64 {
        self.newest.saturating_sub(self.disorder)
    }

    /// Gives every known key its place in all structures.
    pub(super) fn make_room(&mut self) {
        let slots = self.keys.len();
        self.cells.resize(slots);
        self.distinct.resize(slots);
        self.last.resize(slots);
    }

    /// Gives up the slots of keys that have no rows left, once half of the slots may be such.
    fn compact(&mut self, least: usize) -> Result<(), WindowError> {
        if self.keys.len() < least.max(2 * self.compacted) {
            return Ok(());
        }
        let mut alive = vec![false; self.keys.len()];
        self.recent.mark_alive(&mut alive);
        self.waiting.mark_alive(&mut alive);
        for level in self.levels.all() {
            level.mark_alive(&mut alive);
        }
        self.keep(&alive)?;
        self.compacted = self.keys.len();
        Ok(())
    }

    /// Forgets all other keys.
    pub(super) fn keep(&mut self, alive: &[bool]) -> Result<(), WindowError> {
        self.cells.finish(Sources { levels: &self.levels, recent: &self.recent });
        self.distinct.finish();
        let moved = self.keys.retain(alive);
        let slots = self.keys.len();
        self.recent.rename(&moved, slots);
        self.waiting.rename(&moved);
        for level in self.levels.all_mut() {
            level.rename(&self.plan, &moved)?;
        }
        self.cells.rename(&moved, slots);
        self.distinct.rename(&moved, slots);
        self.last.rename(&moved, slots);
        self.builder = RunBuilder::default();
        Ok(())
    }
}
