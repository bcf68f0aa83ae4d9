//! Tables that share panes: the events of a source, grouped by the same keys under the same WHERE.
//!
//! ```text
//!  rows ─▶ input ─▶ panes by start ──include──▶ running window of each table ──at its close──▶ rows
//!                        │                                                                       ▲
//!                        └────────── the few panes of a window that closed before ── late event ─┘
//! ```
//!
//! Where the time goes, per event: the key (a look-up), its row in the pane (a look-up), one addition per count or sum,
//! and two look-ups per distinct value and pane. A window costs one addition per key when it closes, however many panes
//! it has; an aggregate that is merged costs a merge per key and tile that covers the window.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::aggregate::Aggregates;
use super::emit::{Emission, WindowIndex};
use super::gather::Gather;
use super::input::{Input, InputPlan};
use super::member::Member;
use super::pane::{Pane, Scratch};
use super::plan::WindowPlan;
use super::tiles::Tiles;
use crate::sql::Failures;
use crate::window::WindowError;
use crate::window::asof::floor;
use crate::window::keys::{KeyIndex, NO_SLOT};

/// See the module.
pub(super) struct PaneGroup {
    pub(super) members: Vec<Member>,
    pub(super) aggregates: Arc<Aggregates>,
    pub(super) panes: Panes,
    pub(super) keys: KeyIndex,
    pub(super) watermark: i64,
    /// Keys that were given up at the limit of memory.
    pub(super) evicted_keys: u64,
    pub(super) compacted: usize,
    scratch: Scratch,
    pub(super) groups: Vec<u32>,
    /// Views have it too.
    views: Arc<()>,
    /// Bytes that views alone have since this was last asked for.
    pub(super) left_to_views: usize,
}

/// The panes by their start.
pub(super) struct Panes {
    pub(super) width: i64,
    pub(super) by_start: BTreeMap<i64, Pane>,
    pub(super) tiles: Tiles,
}

impl Panes {
    fn share(&mut self) -> Self {
        let by_start = self.by_start.iter_mut().map(|(start, pane)| (*start, pane.share())).collect();
        Self { width: self.width, by_start, tiles: self.tiles.clone() }
    }

    /// The number of a pane, modulo 2^32.
    pub(super) fn number(&self, start: i64) -> u32 {
        start.div_euclid(self.width) as u32
    }

    /// The pane that starts here; a new one is expected to hold as much as the one before.
    fn at(&mut self, start: i64, aggregates: &Aggregates) -> &mut Pane {
        let before = self.by_start.last_key_value().filter(|(last, _)| **last < start);
        let likely = before.map(|(_, last)| Pane::like(last, aggregates));
        self.by_start.entry(start).or_insert_with(|| likely.unwrap_or_else(|| Pane::new(aggregates)))
    }
}

impl PaneGroup {
    /// The tables, each with its place among all, which share panes.
    pub(super) fn new(tables: &[(WindowIndex, Arc<WindowPlan>)]) -> Result<Self, WindowError> {
        let mut aggregates = Aggregates::new();
        let places: Vec<_> = tables.iter().map(|(_, plan)| aggregates.join(&plan.aggregates)).collect();
        let mut members = Vec::with_capacity(tables.len());
        for ((table, plan), places) in tables.iter().zip(&places) {
            members.push(Member::new(*table, Arc::clone(plan), places, &aggregates));
        }
        let types = tables.first().map(|(_, plan)| plan.key_types()).unwrap_or_default();
        let width = tables.iter().map(|(_, plan)| plan.spec.slide()).min().unwrap_or(1);
        let size = tables.iter().map(|(_, plan)| plan.spec.size()).max().unwrap_or(1);
        let tiles = Tiles::new(width, size, &aggregates);
        Ok(Self {
            members,
            aggregates: Arc::new(aggregates),
            panes: Panes { width, by_start: BTreeMap::new(), tiles },
            keys: KeyIndex::new(&types)?,
            watermark: i64::MIN,
            evicted_keys: 0,
            compacted: 0,
            scratch: Scratch::default(),
            groups: Vec::new(),
            views: Arc::default(),
            left_to_views: 0,
        })
    }

    /// A view: what is saved, as it is now, whatever comes after.
    ///
    /// # Errors
    /// When the keys have a type that has no row format, which the group itself would not have been made with.
    pub(super) fn share(&mut self) -> Result<Self, WindowError> {
        // Nobody has asked for what was copied for views that are no more.
        self.copied();
        Ok(Self {
            members: self.members.iter_mut().map(Member::share).collect(),
            aggregates: Arc::clone(&self.aggregates),
            panes: self.panes.share(),
            keys: self.keys.share()?,
            watermark: self.watermark,
            evicted_keys: self.evicted_keys,
            compacted: self.compacted,
            scratch: Scratch::default(),
            groups: Vec::new(),
            views: Arc::clone(&self.views),
            left_to_views: 0,
        })
    }

    /// Bytes that were copied because views hold what they were copied from, since this was last asked.
    pub(super) fn take_copied(&mut self) -> usize {
        // There may be thousands of panes to ask.
        if Arc::strong_count(&self.views) == 1 { 0 } else { self.copied() }
    }

    fn copied(&mut self) -> usize {
        let left = std::mem::take(&mut self.left_to_views);
        let members: usize = self.members.iter_mut().map(Member::take_copied).sum();
        let panes: usize = self.panes.by_start.values_mut().map(Pane::take_copied).sum();
        left + members + panes + self.keys.take_copied()
    }

    /// Takes in rows of the source. `watermarks` are as of after each row; they never go back. Clears the bits in `late`
    /// of the rows that at least one table takes. Rows in `failures`, and those that fail here, are left out.
    pub(super) fn push(
        &mut self,
        rows: &RecordBatch,
        watermarks: &[i64],
        failures: &mut Failures,
        late: &mut [bool],
        out: &mut Vec<Emission>,
    ) -> Result<(), WindowError> {
        let Some(plan) = self.members.first().map(|member| Arc::clone(&member.plan)) else { return Ok(()) };
        let input = InputPlan {
            keys: plan.keys.iter().map(|key| &key.expression).collect(),
            filter: plan.filter.as_ref(),
            time_index: plan.source.time_index(),
            aggregates: &self.aggregates,
        };
        let input = Input::evaluate(&input, rows, &mut self.keys, failures)?;
        for member in &mut self.members {
            member.resize(self.keys.len());
        }
        let mut first = 0;
        while first < watermarks.len() {
            let due = self.due();
            let last = watermarks[first..].iter().position(|watermark| *watermark >= due);
            let end = last.map_or(watermarks.len(), |last| first + last + 1);
            self.apply(&input, watermarks, first..end, late)?;
            self.advance(watermarks[end - 1], out)?;
            first = end;
        }
        self.compact()?;
        self.keep_to_budget()
    }

    /// Moves the watermark on: emits what is due and drops what nobody needs any more.
    pub(super) fn advance(&mut self, watermark: i64, out: &mut Vec<Emission>) -> Result<(), WindowError> {
        if watermark <= self.watermark {
            return Ok(());
        }
        let before = self.watermark;
        self.watermark = watermark;
        self.close_panes(before)?;
        self.panes.tiles.roll_up(&self.panes.by_start, &self.aggregates, watermark)?;
        let mut gather = Gather {
            owned: self.members.len() == 1,
            panes: &mut self.panes,
            aggregates: &self.aggregates,
            keys: &self.keys,
            groups: &mut self.groups,
        };
        for member in &mut self.members {
            member.advance(&mut gather, (before, watermark), out)?;
        }
        let members = &self.members;
        while let Some(first) = self.panes.by_start.first_entry() {
            if members.iter().any(|member| member.needs(*first.key(), watermark)) {
                break;
            }
            self.left_to_views += first.remove().left_to_views();
        }
        self.panes.tiles.expire(self.panes.by_start.first_key_value().map_or(watermark, |(start, _)| *start));
        Ok(())
    }

    /// Memory held, bytes.
    pub(super) fn size(&self) -> usize {
        let panes: usize = self.panes.by_start.values().map(Pane::size).sum();
        let members: usize = self.members.iter().map(Member::size).sum();
        panes + self.panes.tiles.size() + members + self.keys.size()
    }

    /// The least watermark at which something happens.
    fn due(&self) -> i64 {
        self.members.iter().map(|member| member.due(self.watermark)).min().unwrap_or(i64::MAX)
    }

    /// States of panes that the watermark has just passed are merged into one batch each.
    fn close_panes(&mut self, before: i64) -> Result<(), WindowError> {
        if self.aggregates.merged.is_empty() {
            return Ok(());
        }
        let ended = |watermark: i64| floor(watermark, self.panes.width);
        let (from, to) = (ended(before.max(i64::MIN + self.panes.width)), ended(self.watermark));
        let from = from.saturating_sub(self.panes.width).saturating_add(1);
        if from <= to.saturating_sub(self.panes.width) {
            for (_, pane) in self.panes.by_start.range_mut(from..=to.saturating_sub(self.panes.width)) {
                pane.close(&self.aggregates)?;
            }
        }
        Ok(())
    }

    /// Adds rows to their panes; no window closes and no tick passes before any of them but the last.
    fn apply(
        &mut self,
        input: &Input,
        watermarks: &[i64],
        range: std::ops::Range<usize>,
        late: &mut [bool],
    ) -> Result<(), WindowError> {
        // Rows are nearly in order: they fall into one or two panes.
        let mut batches: Vec<(i64, Vec<u32>)> = Vec::new();
        for row in range {
            let before = if row == 0 { self.watermark } else { watermarks[row - 1].max(self.watermark) };
            let ts = input.times[row];
            let slot = input.slots[row];
            let mut taken = false;
            for member in &mut self.members {
                if member.is_late(ts, before) {
                    member.late_rows += u64::from(slot != NO_SLOT);
                } else {
                    taken = true;
                }
            }
            // What the WHERE refuses, or fails, is of no use to these tables, whenever it comes.
            late[row] &= !taken && slot != NO_SLOT;
            if !taken || slot == NO_SLOT {
                continue;
            }
            let pane = floor(ts, self.panes.width);
            let is_rolled_up = self.panes.tiles.holds(pane);
            if is_rolled_up || self.members.iter().any(|member| member.looks_back_at(pane, before)) {
                self.apply_behind(input, row as u32, pane, before)?;
                continue;
            }
            match batches.iter_mut().rev().find(|(start, _)| *start == pane) {
                Some((_, rows)) => rows.push(row as u32),
                None => batches.push((pane, vec![row as u32])),
            }
        }
        for (start, rows) in batches {
            let pane = self.panes.at(start, &self.aggregates);
            pane.add(&self.aggregates, input, &rows, &mut self.scratch)?;
            for member in &mut self.members {
                member.changed(&self.panes, start, self.watermark, rows.iter().map(|row| input.slots[*row as usize]));
            }
        }
        Ok(())
    }

    /// Adds a row to a pane that is in totals already, or in windows that have closed.
    fn apply_behind(&mut self, input: &Input, row: u32, start: i64, watermark: i64) -> Result<(), WindowError> {
        let slot = input.slots[row as usize];
        let pane = self.panes.by_start.entry(start).or_insert_with(|| Pane::new(&self.aggregates));
        let held: Vec<bool> = self.members.iter().map(|member| member.running.holds(start)).collect();
        if let Some(row) = pane.row_of(slot) {
            for (member, _) in self.members.iter_mut().zip(&held).filter(|(_, held)| **held) {
                member.running.correct(pane, row, slot, false);
            }
        }
        pane.add(&self.aggregates, input, &[row], &mut self.scratch)?;
        self.panes.tiles.add(&self.aggregates, input, row, start)?;
        if let Some(row) = pane.row_of(slot) {
            for (member, _) in self.members.iter_mut().zip(&held).filter(|(_, held)| **held) {
                member.running.correct(pane, row, slot, true);
            }
        }
        for member in &mut self.members {
            member.changed_behind(start, slot, watermark);
            member.changed(&self.panes, start, watermark, std::iter::once(slot));
        }
        Ok(())
    }
}
