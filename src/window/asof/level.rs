//! Levels: the runs of one tile width, and the ranges of time that they answer for.
//!
//! ```text
//!  level 2 (5 min)  ██████████████████████│closed until
//!  level 1 (1 min)            ████████████████│closed until
//!  level 0 (10 s)                       ███████████  everything that was sealed
//!                   └─ expired             newest ─┘
//! ```
//!
//! A level holds an aggregate only as long as some horizon reads it from tiles of this width: the column of a week's
//! count is gone from a ten-second tile minutes after it was rolled up.

use std::collections::VecDeque;
use std::sync::Arc;

use super::plan::FeaturePlan;
use super::run::{Held, Run, RunBuilder};
use super::tile::{Horizon, LADDER, LevelBounds, Segment, cover, floor};
use crate::window::WindowError;

/// Runs of one tile are merged into one once there are so many.
const MOST_RUNS_OF_A_TILE: usize = 8;

/// The runs of one tile width, ordered by start and, within a tile, by arrival.
#[derive(Clone)]
pub(super) struct Level {
    bounds: LevelBounds,
    held: Held,
    /// Per running aggregate, how long a tile's column is kept after the watermark has passed its end; and merged ones.
    keep: Vec<i64>,
    keep_merged: Vec<i64>,
    longest: i64,
    runs: VecDeque<Arc<Run>>,
    /// Bytes of all runs.
    size: usize,
}

impl Level {
    pub(super) fn bounds(&self) -> LevelBounds {
        self.bounds
    }

    pub(super) fn runs(&self) -> &VecDeque<Arc<Run>> {
        &self.runs
    }

    pub(super) fn run(&self, index: usize) -> Option<&Run> {
        self.runs.get(index).map(Arc::as_ref)
    }

    /// The runs that start in `from..to`, oldest tile first, with their indices.
    pub(super) fn between(&self, from: i64, to: i64) -> impl Iterator<Item = (usize, &Arc<Run>)> {
        let first = self.runs.partition_point(|run| run.start < from);
        self.runs
            .range(first..)
            .take_while(move |run| run.start < to)
            .enumerate()
            .map(move |(place, run)| (first + place, run))
    }

    /// Adds a run behind the others of its tile; what the level does not hold of it is left out.
    pub(super) fn push(
        &mut self,
        mut run: Run,
        plan: &FeaturePlan,
        builder: &mut RunBuilder,
    ) -> Result<(), WindowError> {
        run.start = floor(run.start, self.bounds.width);
        for (column, held) in run.columns.iter_mut().zip(&self.held.running) {
            column.take_if(|_| !held);
        }
        for (states, held) in run.merged.iter_mut().zip(&self.held.merged) {
            states.take_if(|_| !held);
        }
        let start = run.start;
        let end = self.runs.partition_point(|other| other.start <= start);
        self.size += run.size();
        self.runs.insert(end, Arc::new(run));
        let first = self.runs.partition_point(|other| other.start < start);
        if end + 1 - first >= MOST_RUNS_OF_A_TILE {
            let parts: Vec<Arc<Run>> = self.runs.drain(first..=end).collect();
            self.size -= size(&parts);
            // Columns that some part has given up are not made up from the others.
            let mut held = self.held.clone();
            for part in &parts {
                held.running.iter_mut().zip(&part.columns).for_each(|(held, column)| *held &= column.is_some());
                held.merged.iter_mut().zip(&part.merged).for_each(|(held, states)| *held &= states.is_some());
            }
            let merged = builder.merge(plan, &parts.iter().map(Arc::as_ref).collect::<Vec<_>>(), start, &held)?;
            self.size += merged.size();
            self.runs.insert(first, Arc::new(merged));
        }
        Ok(())
    }

    /// Rolls up tiles of `finer` that the watermark has closed since the last call.
    pub(super) fn roll_up(
        &mut self,
        finer: &Self,
        plan: &FeaturePlan,
        builder: &mut RunBuilder,
        watermark: i64,
    ) -> Result<(), WindowError> {
        let closed = floor(watermark.min(finer.bounds.closed_until), self.bounds.width);
        if closed <= self.bounds.closed_until {
            return Ok(());
        }
        let width = self.bounds.width;
        let runs = finer.between(self.bounds.closed_until, closed);
        let runs: Vec<&Run> = runs.map(|(_, run)| run.as_ref()).collect();
        for runs in runs.chunk_by(|left, right| floor(left.start, width) == floor(right.start, width)) {
            let Some(first) = runs.first() else { continue };
            let run = builder.merge(plan, runs, floor(first.start, width), &self.held)?;
            self.push(run, plan, builder)?;
        }
        self.bounds.closed_until = closed;
        Ok(())
    }

    /// Drops runs, and columns of runs, that no read at or after the watermark can want.
    pub(super) fn expire(&mut self, watermark: i64) {
        let width = self.bounds.width;
        let is_over = |start: i64, keep: i64| start < watermark.saturating_sub(keep).saturating_sub(width);
        while let Some(run) = self.runs.pop_front_if(|run| is_over(run.start, self.longest)) {
            self.size -= run.size();
        }
        let is_held = |run: &Run| {
            let columns = run.columns.iter().zip(&self.keep).filter(|(column, _)| column.is_some());
            let states = run.merged.iter().zip(&self.keep_merged).filter(|(states, _)| states.is_some());
            columns.map(|(_, keep)| keep).chain(states.map(|(_, keep)| keep)).any(|keep| is_over(run.start, *keep))
        };
        for run in self.runs.iter_mut().filter(|run| is_held(run)) {
            let before = run.size();
            let run = Arc::make_mut(run);
            for (column, keep) in run.columns.iter_mut().zip(&self.keep) {
                column.take_if(|_| is_over(run.start, *keep));
            }
            for (states, keep) in run.merged.iter_mut().zip(&self.keep_merged) {
                states.take_if(|_| is_over(run.start, *keep));
            }
            self.size -= before - run.size();
        }
    }

    pub(super) fn mark_alive(&self, alive: &mut [bool]) {
        for slot in self.runs.iter().flat_map(|run| run.slots.iter()) {
            alive[*slot as usize] = true;
        }
    }

    /// Gives every key its new slot and drops the rows of forgotten keys.
    pub(super) fn rename(&mut self, plan: &FeaturePlan, moved: &[u32]) -> Result<(), WindowError> {
        let mut runs = VecDeque::with_capacity(self.runs.len());
        for run in self.runs.drain(..) {
            runs.extend(run.renamed(plan, moved)?.map(Arc::new));
        }
        self.size = size(&runs);
        self.runs = runs;
        Ok(())
    }

    /// Takes over saved runs, which are in order.
    pub(super) fn restore(&mut self, closed_until: i64, runs: VecDeque<Arc<Run>>) {
        self.bounds.closed_until = closed_until;
        self.size = size(&runs);
        self.runs = runs;
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }
}

fn size<'a>(runs: impl IntoIterator<Item = &'a Arc<Run>>) -> usize {
    runs.into_iter().map(|run| run.size()).sum()
}

/// All levels of a table, narrow to wide. A clone costs a pointer per run.
#[derive(Clone)]
pub(super) struct Levels {
    levels: Vec<Level>,
    /// Per horizon, the level whose width is its step, and the widest level that it reads.
    reach: Vec<(usize, usize)>,
}

impl Levels {
    /// The levels of tiles that the horizons of a plan need.
    pub(super) fn new(plan: &FeaturePlan, disorder: i64) -> Self {
        let finest = plan.horizons().map(Horizon::step_micros).min().unwrap_or(LADDER[0]);
        let mut reach = Vec::new();
        for part in &plan.horizons {
            let step = part.horizon.step_micros();
            // Cells follow tiles of their own step. What is answered by looking at tiles again pays for wider ones.
            let is_walked = !part.merged.is_empty() || part.has_extremes(plan);
            let widest = if is_walked { step.max(part.horizon.width_micros() / 2) } else { step };
            let place =
                |limit: i64| LADDER.iter().filter(|width| **width >= finest && **width <= limit).count().max(1) - 1;
            reach.push((place(step), place(widest)));
        }
        let count = reach.iter().map(|(_, top)| top + 1).max().unwrap_or(1);
        let widths: Vec<i64> = LADDER.into_iter().filter(|width| *width >= finest).take(count).collect();
        let made = widths.iter().enumerate().map(|(index, width)| {
            // A tile is read as long as its level is the finest that a horizon's tail falls into, and until it was rolled
            // up when the next level is read as well.
            let kept = |horizons: &mut dyn Iterator<Item = usize>| -> Option<i64> {
                let mut keep = None;
                for horizon in horizons.filter(|horizon| reach[*horizon].1 >= index) {
                    let read_for = plan.horizons[horizon].horizon.reach_micros();
                    let read_for = if reach[horizon].0 <= index { read_for } else { 0 };
                    let rolled_up_after = match widths.get(index + 1) {
                        Some(wider) if reach[horizon].1 > index => 2 * wider,
                        _ => 0,
                    };
                    keep = keep.max(Some(read_for.max(rolled_up_after).saturating_add(disorder)));
                }
                keep
            };
            let running: Vec<Option<i64>> = (0..plan.running.len())
                .map(|aggregate| {
                    let horizons = plan.horizons.iter().enumerate();
                    kept(&mut horizons.filter(|(_, part)| part.cells.contains(&aggregate)).map(|(horizon, _)| horizon))
                })
                .collect();
            let merged: Vec<Option<i64>> = (0..plan.merged.len())
                .map(|aggregate| {
                    let horizons = plan.horizons.iter().enumerate();
                    kept(&mut horizons.filter(|(_, part)| part.merged.contains(&aggregate)).map(|(horizon, _)| horizon))
                })
                .collect();
            let longest = running.iter().chain(&merged).copied().flatten().max().unwrap_or(0);
            Level {
                bounds: LevelBounds { width: *width, closed_until: if index == 0 { i64::MAX } else { i64::MIN } },
                held: Held {
                    running: running.iter().map(Option::is_some).collect(),
                    merged: merged.iter().map(Option::is_some).collect(),
                },
                keep: running.into_iter().map(Option::unwrap_or_default).collect(),
                keep_merged: merged.into_iter().map(Option::unwrap_or_default).collect(),
                longest,
                runs: VecDeque::new(),
                size: 0,
            }
        });
        Self { levels: made.collect(), reach }
    }

    pub(super) fn all(&self) -> &[Level] {
        &self.levels
    }

    pub(super) fn all_mut(&mut self) -> &mut [Level] {
        &mut self.levels
    }

    /// Width of the finest tiles, which events are sealed into.
    pub(super) fn finest_width(&self) -> i64 {
        self.levels.first().map_or(LADDER[0], |level| level.bounds.width)
    }

    /// What the finest level holds.
    pub(super) fn finest_held(&self) -> Option<&Held> {
        self.levels.first().map(|level| &level.held)
    }

    /// Adds a fresh run to the finest level and, as its tile may have been rolled up before, beside that.
    pub(super) fn push(&mut self, run: &Run, plan: &FeaturePlan, builder: &mut RunBuilder) -> Result<(), WindowError> {
        for level in &mut self.levels {
            if run.start < level.bounds.closed_until {
                level.push(run.clone(), plan, builder)?;
            }
        }
        Ok(())
    }

    /// Rolls up what closed before `safe`, drops what no read at or after the watermark wants.
    pub(super) fn roll_up(
        &mut self,
        plan: &FeaturePlan,
        builder: &mut RunBuilder,
        safe: i64,
        watermark: i64,
    ) -> Result<(), WindowError> {
        for wider in 1..self.levels.len() {
            let (finer, rest) = self.levels.split_at_mut(wider);
            if let (Some(finer), Some(level)) = (finer.last(), rest.first_mut()) {
                level.roll_up(finer, plan, builder, safe)?;
            }
        }
        for level in &mut self.levels {
            level.expire(watermark);
        }
        Ok(())
    }

    /// The segments of tiles that hold everything sealed after `tail`, which is a tail of this horizon.
    pub(super) fn cover(&self, horizon: usize, tail: i64, segments: &mut Vec<Segment>) {
        let (finest, top) = self.reach[horizon];
        let mut bounds = [LevelBounds { width: 1, closed_until: i64::MAX }; LADDER.len()];
        for (bound, level) in bounds.iter_mut().zip(&self.levels) {
            *bound = level.bounds;
        }
        cover(tail, finest, &bounds[..=top.min(self.levels.len() - 1)], segments);
    }

    /// The runs that hold everything sealed in `(from, to]`, both of which are tails of this horizon.
    pub(super) fn between(&self, horizon: usize, from: i64, to: i64) -> impl Iterator<Item = &Arc<Run>> {
        let mut position = from;
        let levels = self.levels[..=self.reach[horizon].0].iter().rev();
        levels.flat_map(move |level| {
            let end = to.min(level.bounds.closed_until);
            let from = position;
            position = position.max(end);
            level.between(from, end.max(from)).map(|(_, run)| run)
        })
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        self.levels.iter().map(Level::size).sum()
    }
}
