//! One table over shared panes: which window it follows, when it emits, and what.

mod emitting;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::aggregate::{Aggregates, OutputSource, Places};
use super::emit::{Emission, WindowIndex};
use super::gather::Gather;
use super::group::Panes;
use super::plan::{Emit, WindowPlan, WindowSettings};
use super::running::Running;
use crate::window::WindowError;
use crate::window::asof::floor;
use crate::window::keys::{NO_SLOT, doubled};
use crate::window::paged::Paged;

pub(super) use self::told::Told;

/// Event time between two looks at late events of windows that have closed, microseconds.
const LATE_EVERY: i64 = 1_000_000;

/// See the module.
pub(super) struct Member {
    pub(super) table: WindowIndex,
    pub(super) plan: Arc<WindowPlan>,
    pub(super) outputs: Vec<OutputSource>,
    pub(super) running: Running,
    /// Rows that no open window of this table holds.
    pub(super) late_rows: u64,
    /// Keys whose row in the window that closes next has changed since it was emitted.
    pub(super) dirty: Paged<u32>,
    is_dirty: Vec<bool>,
    /// Per end of a window that is open, the keys whose rows were emitted.
    pub(super) told: BTreeMap<i64, Told>,
    /// Ends of closed windows and keys that have changed since.
    pub(super) behind: Vec<(i64, u32)>,
    /// Bytes that views alone have since this was last asked for.
    left_to_views: usize,
}

impl Member {
    pub(super) fn new(table: WindowIndex, plan: Arc<WindowPlan>, places: &Places, aggregates: &Aggregates) -> Self {
        let outputs: Vec<_> = plan.outputs.iter().map(|output| output.moved(places)).collect();
        let mut additive = vec![false; aggregates.additive.len()];
        places.additive.iter().for_each(|place| additive[*place] = true);
        let mut distinct = vec![false; aggregates.distinct.len()];
        places.distinct.iter().for_each(|place| distinct[*place] = true);
        Self {
            table,
            running: Running::new(aggregates, &additive, &distinct),
            plan,
            outputs,
            late_rows: 0,
            dirty: Paged::new(1),
            is_dirty: Vec::new(),
            told: BTreeMap::new(),
            behind: Vec::new(),
            left_to_views: 0,
        }
    }

    pub(super) fn resize(&mut self, slots: usize) {
        self.running.resize(slots);
        if self.follows_changes() {
            self.is_dirty.resize(slots, false);
        }
    }

    fn settings(&self) -> WindowSettings {
        self.plan.settings
    }

    fn follows_changes(&self) -> bool {
        self.plan.settings.emit != Emit::OnClose
    }

    /// Event time between two looks at what has changed, if there are any.
    fn every(&self) -> Option<i64> {
        match self.settings().emit {
            Emit::OnUpdate { every } | Emit::Early { every } => Some(every.max(1)),
            Emit::OnClose => (self.settings().lateness > 0).then_some(LATE_EVERY),
        }
    }

    /// The least watermark after `watermark` at which something may happen.
    pub(super) fn due(&self, watermark: i64) -> i64 {
        if watermark == i64::MIN {
            return i64::MIN + 1;
        }
        let tick = self.every().map_or(i64::MAX, |every| floor(watermark, every).saturating_add(every));
        let last_taken = match self.settings().lateness {
            0 => i64::MAX,
            lateness => self.plan.spec.end_after(watermark.saturating_sub(lateness)).saturating_add(lateness),
        };
        tick.min(self.plan.spec.end_after(watermark)).min(last_taken)
    }

    /// Whether no window takes an event at `ts` any more.
    pub(super) fn is_late(&self, ts: i64, watermark: i64) -> bool {
        self.plan.spec.last_end(ts).saturating_add(self.settings().lateness) <= watermark
    }

    /// Whether the pane is needed for a window that is open or may be emitted again: at the next tick, if late events have
    /// changed it since the last.
    pub(super) fn needs(&self, pane: i64, watermark: i64) -> bool {
        let watermark =
            if self.settings().lateness > 0 { floor(watermark, self.every().unwrap_or(1)) } else { watermark };
        !self.is_late(pane, watermark)
    }

    /// Whether a change of the pane changes totals, or a window that has closed.
    pub(super) fn looks_back_at(&self, pane: i64, watermark: i64) -> bool {
        self.running.holds(pane) || (self.settings().lateness > 0 && self.plan.spec.end_after(pane) <= watermark)
    }

    /// Takes note that keys of a pane have changed.
    pub(super) fn changed(&mut self, panes: &Panes, pane: i64, watermark: i64, slots: impl Iterator<Item = u32>) {
        let spec = self.plan.spec;
        if spec.last_end(pane) <= watermark {
            return;
        }
        let end = spec.end_after(pane).max(spec.end_after(watermark));
        match self.running.window {
            None => self.open(panes, end),
            Some((_, open)) if end < open => {
                self.note_changes(open);
                self.open(panes, end);
            }
            Some(_) => {}
        }
        if let (true, Some((start, end))) = (self.follows_changes(), self.running.window) {
            let is_followed = start <= pane && pane < end;
            // A later window was followed before an earlier one opened.
            let has_others = self.told.keys().any(|told| *told != end);
            for slot in slots {
                if is_followed {
                    self.mark(slot);
                }
                if has_others {
                    for (_, told) in self.told.iter_mut().filter(|(told, _)| **told != end) {
                        told.change(slot);
                    }
                }
            }
        }
    }

    /// Takes note that a key has changed in windows that have closed.
    pub(super) fn changed_behind(&mut self, pane: i64, slot: u32, watermark: i64) {
        let (spec, lateness) = (self.plan.spec, self.settings().lateness);
        let (first, last) = (spec.end_after(pane), spec.last_end(pane).min(watermark));
        let mut end = first.max(spec.end_after(watermark.saturating_sub(lateness)));
        while lateness > 0 && end <= last {
            self.behind.push((end, slot));
            end = end.saturating_add(spec.slide());
        }
    }

    /// Emits what is due between two watermarks.
    pub(super) fn advance(
        &mut self,
        gather: &mut Gather<'_>,
        (before, watermark): (i64, i64),
        out: &mut Vec<Emission>,
    ) -> Result<(), WindowError> {
        let ticked =
            self.every().filter(|every| before == i64::MIN || floor(watermark, *every) > floor(before, *every));
        // A window that takes no more events is told at once: what comes later may be of its panes, and of later windows only.
        let told_until = if ticked.is_some() { i64::MAX } else { watermark.saturating_sub(self.settings().lateness) };
        if !self.behind.is_empty() {
            self.emit_behind(gather, told_until, watermark, out)?;
        }
        while let Some((_, end)) = self.running.window.filter(|(_, end)| *end <= watermark) {
            self.close(gather, out)?;
            self.open_next(gather.panes, end);
        }
        if let Some(every) = ticked.filter(|_| self.follows_changes()) {
            self.emit_changes(gather, floor(watermark, every), out)?;
        }
        Ok(())
    }

    /// Makes `end` the window to follow, from what the panes hold.
    fn open(&mut self, panes: &Panes, end: i64) {
        self.forget_changes();
        self.running.clear();
        let start = self.plan.spec.start_of(end);
        self.running.window = Some((start, end));
        self.running.included_until = start;
        self.mark_panes(panes, start, end);
    }

    /// Follows the next window that has events, after the one that ended at `closed`.
    fn open_next(&mut self, panes: &Panes, closed: i64) {
        let spec = self.plan.spec;
        let Some((start, _)) = self.running.window else { return };
        // Panes before that have no window after the one that closed.
        let mut later = panes.by_start.range(closed.saturating_sub(spec.size())..).map(|(start, _)| start);
        let next = later.find(|pane| spec.last_end(**pane) > closed);
        let Some(next) = next else {
            self.forget_changes();
            self.running.clear();
            return;
        };
        let end = spec.end_after(*next).max(closed.saturating_add(spec.slide()));
        let next_start = spec.start_of(end);
        if next_start >= closed {
            return self.open(panes, end);
        }
        for (pane_start, pane) in panes.by_start.range(start..next_start) {
            self.running.exclude(*pane_start, panes.number(*pane_start), pane);
        }
        self.running.window = Some((next_start, end));
        self.forget_changes();
        self.mark_panes(panes, closed, end);
    }

    fn mark(&mut self, slot: u32) {
        if !std::mem::replace(&mut self.is_dirty[slot as usize], true) {
            self.dirty.push(&[slot]);
        }
    }

    /// The keys of panes that have come into the window have changed.
    fn mark_panes(&mut self, panes: &Panes, from: i64, to: i64) {
        if self.follows_changes() {
            for pane in panes.by_start.range(from..to).map(|(_, pane)| pane) {
                pane.content().slots.iter().for_each(|slot| self.mark(*slot));
            }
        }
    }

    fn forget_changes(&mut self) {
        self.take_changes();
    }

    /// The keys that have changed, which counts no more.
    fn take_changes(&mut self) -> Vec<u32> {
        let changed: Vec<u32> = self.dirty.iter().copied().collect();
        self.dirty.fill([]);
        changed.iter().for_each(|slot| self.is_dirty[*slot as usize] = false);
        changed
    }

    /// The window that ends at `end` is not followed for now: what has changed in it since it was told is noted.
    fn note_changes(&mut self, end: i64) {
        if let Some(told) = self.told.get_mut(&end) {
            self.dirty.iter().for_each(|slot| told.change(*slot));
        }
    }

    /// Restores the keys that have changed.
    pub(super) fn set_changed(&mut self, changed: Vec<u32>) {
        if self.follows_changes() {
            for slot in changed {
                self.mark(slot);
            }
        }
    }

    pub(super) fn mark_alive(&self, alive: &mut [bool]) {
        for (_, slot) in &self.behind {
            alive[*slot as usize] = true;
        }
    }

    pub(super) fn rename(&mut self, moved: &[u32], slots: usize) {
        self.running.rename(moved, slots);
        self.behind.retain_mut(|(_, slot)| {
            *slot = moved[*slot as usize];
            *slot != NO_SLOT
        });
        if self.follows_changes() {
            for told in self.told.values_mut() {
                let renamed = told.iter().map(|(slot, is_current)| (moved[slot as usize], is_current));
                let mut to = Told::default();
                renamed.filter(|(slot, _)| *slot != NO_SLOT).for_each(|(slot, is_current)| to.insert(slot, is_current));
                told.replace(to);
            }
            let changed = self.dirty.iter().map(|slot| moved[*slot as usize]).filter(|slot| *slot != NO_SLOT);
            let changed: Vec<u32> = changed.collect();
            self.dirty.fill([]);
            self.is_dirty = vec![false; slots];
            self.set_changed(changed);
        }
    }

    /// A view: what is saved of it, as it is now.
    pub(super) fn share(&mut self) -> Self {
        Self {
            table: self.table,
            plan: Arc::clone(&self.plan),
            outputs: Vec::new(),
            running: self.running.share(),
            late_rows: self.late_rows,
            dirty: self.dirty.share(),
            is_dirty: Vec::new(),
            told: self.told.iter_mut().map(|(end, told)| (*end, told.share())).collect(),
            behind: self.behind.clone(),
            left_to_views: 0,
        }
    }

    /// Bytes that were copied because a view held them, since this was last asked.
    pub(super) fn take_copied(&mut self) -> usize {
        let told: usize = self.told.values_mut().map(Told::take_copied).sum();
        let left = std::mem::take(&mut self.left_to_views);
        self.running.take_copied() + self.dirty.take_copied() + told + left
    }

    pub(super) fn size(&self) -> usize {
        let told = self.told.values().filter(|told| told.len() > 0).count() * self.is_dirty.len();
        let changes = 4 * doubled(self.dirty.len()) + doubled(self.is_dirty.len()) + told;
        self.running.size() + changes + 16 * doubled(self.behind.len())
    }
}
