//! The sessions of one table: events in, watermarks past.
//!
//! ```text
//!            ┌──────── extended or joined to an end ahead ────────┐
//!            ▼                                                    │
//!  event ─▶ open ──watermark reaches the end──▶ closed ──and the lateness──▶ final ─▶ gone
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::evaluated::Evaluated;
use super::layout::Layout;
use super::sessions::{Handle, NONE, Phase, Removal, Sessions, Shown};
use crate::sql::Failures;
use crate::window::asof::floor;
use crate::window::closed::emit::Emission;
use crate::window::closed::input::{Input, InputPlan};
use crate::window::closed::plan::{Emit, WindowPlan};
use crate::window::keys::{KeyIndex, NO_SLOT, doubled};
use crate::window::{WindowError, WindowIndex};

/// Event time between two looks at removals and at sessions that have changed after their close, microseconds.
const LATE_EVERY: i64 = 1_000_000;

/// Closed sessions wait for their rows to be made until they have so many rows of events.
pub(super) const PENDING_ROWS: usize = 1 << 17;

/// See the module.
pub(in crate::window::closed) struct SessionTable {
    pub(super) table: WindowIndex,
    pub(super) plan: Arc<WindowPlan>,
    pub(super) keys: KeyIndex,
    pub(super) sessions: Sessions,
    pub(super) evaluated: Evaluated,
    /// When a session is to be looked at. Entries that are not the session's own `scheduled` any more mean nothing.
    pub(super) schedule: BinaryHeap<Reverse<(i64, Handle)>>,
    /// Sessions that have changed since their row was emitted, possibly more than once; some owe no row any more.
    pub(super) changed: Vec<Handle>,
    pub(super) removals: Vec<Removal>,
    /// Sessions that have closed, in the order of their rows, and how many rows of events they have.
    pub(super) pending: Vec<u32>,
    pub(super) pending_rows: usize,
    pub(super) watermark: i64,
    pub(super) late_rows: u64,
    /// Keys that were given up at the limit of memory.
    pub(super) evicted_keys: u64,
    pub(super) compacted: usize,
}

impl SessionTable {
    /// An empty table, by its place among all.
    pub(in crate::window::closed) fn new(table: WindowIndex, plan: Arc<WindowPlan>) -> Result<Self, WindowError> {
        Ok(Self {
            table,
            keys: KeyIndex::new(&plan.key_types())?,
            sessions: Sessions::new(plan.spec.size(), &plan.aggregates),
            evaluated: Evaluated::new(Layout::new(&plan.aggregates)),
            plan,
            schedule: BinaryHeap::new(),
            changed: Vec::new(),
            removals: Vec::new(),
            pending: Vec::new(),
            pending_rows: 0,
            watermark: i64::MIN,
            late_rows: 0,
            evicted_keys: 0,
            compacted: 0,
        })
    }

    /// The table as it is now, for [`Self::save`] alone: nothing of it can go on. It shares pages with this one, which copies
    /// what it writes from then on.
    pub(in crate::window::closed) fn share(&mut self) -> Result<Self, WindowError> {
        Ok(Self {
            table: self.table,
            plan: Arc::clone(&self.plan),
            keys: self.keys.share()?,
            sessions: self.sessions.share(),
            evaluated: self.evaluated.share(),
            schedule: BinaryHeap::new(),
            changed: self.changed.clone(),
            removals: self.removals.clone(),
            pending: Vec::new(),
            pending_rows: 0,
            watermark: self.watermark,
            late_rows: self.late_rows,
            evicted_keys: self.evicted_keys,
            compacted: self.compacted,
        })
    }

    /// Bytes that were copied because views hold what they were copied from, since this was last asked.
    pub(in crate::window::closed) fn take_copied(&mut self) -> usize {
        self.keys.take_copied() + self.sessions.take_copied() + self.evaluated.take_copied()
    }

    /// Takes in rows of the source. `watermarks` are as of after each row; they never go back. Clears the bits in `late`
    /// of the rows that are taken or that WHERE keeps out. Rows in `failures`, and those that fail here, are left out.
    pub(in crate::window::closed) fn push(
        &mut self,
        rows: &RecordBatch,
        watermarks: &[i64],
        failures: &mut Failures,
        late: &mut [bool],
        out: &mut Vec<Emission>,
    ) -> Result<(), WindowError> {
        let plan = Arc::clone(&self.plan);
        let input = InputPlan {
            keys: plan.keys.iter().map(|key| &key.expression).collect(),
            filter: plan.filter.as_ref(),
            time_index: plan.source.time_index(),
            aggregates: &plan.aggregates,
        };
        let input = Input::evaluate(&input, rows, &mut self.keys, failures)?;
        self.sessions.resize_keys(self.keys.len());
        let first = self.evaluated.append(&input);
        let wanted = Layout::wanted(&input);
        let is_kept = !self.evaluated.layout.is_empty();
        let mut before = self.watermark;
        for (row, (watermark, late)) in watermarks.iter().zip(late).enumerate() {
            let number =
                (is_kept && wanted.as_ref().is_none_or(|wanted| wanted.value(row))).then(|| first + row as u64);
            if input.slots[row] == NO_SLOT || self.apply(&input, row, number, before, out)? {
                *late = false;
            } else {
                self.late_rows += 1;
            }
            before = before.max(*watermark);
            if before >= self.due() {
                self.step(before, out)?;
            }
        }
        self.advance(before, out)?;
        self.evaluated.tidy(self.sessions.chains())?;
        self.compact_keys();
        self.keep_to_budget()
    }

    /// Moves the watermark on: emits what is due and forgets what is final.
    pub(in crate::window::closed) fn advance(
        &mut self,
        watermark: i64,
        out: &mut Vec<Emission>,
    ) -> Result<(), WindowError> {
        self.step(watermark, out)?;
        self.emit_pending(out)
    }

    /// Its place among all tables.
    pub(in crate::window::closed) fn table(&self) -> WindowIndex {
        self.table
    }

    /// Rows that came when the session that would hold them was final.
    pub(in crate::window::closed) fn late_rows(&self) -> u64 {
        self.late_rows
    }

    /// Keys that were given up at the limit of memory.
    pub(in crate::window::closed) fn evicted_keys(&self) -> u64 {
        self.evicted_keys
    }

    /// Memory held, bytes.
    pub(in crate::window::closed) fn size(&self) -> usize {
        let removals = size_of::<Removal>() * doubled(self.removals.len());
        self.keys.size() + self.sessions.size() + self.evaluated.size() + removals
    }

    pub(super) fn lateness(&self) -> i64 {
        self.plan.settings.lateness
    }

    pub(super) fn follows_changes(&self) -> bool {
        self.plan.settings.emit != Emit::OnClose
    }

    /// Event time between two ticks.
    pub(super) fn every(&self) -> i64 {
        match self.plan.settings.emit {
            Emit::OnUpdate { every } | Emit::Early { every } => every.max(1),
            Emit::OnClose => LATE_EVERY,
        }
    }

    /// The time from which on a session is final.
    pub(super) fn final_at(&self, id: u32) -> i64 {
        self.sessions.end(id).saturating_add(self.lateness())
    }

    /// The least watermark at which something happens.
    fn due(&self) -> i64 {
        if self.watermark == i64::MIN {
            return i64::MIN + 1;
        }
        let tick = floor(self.watermark, self.every()).saturating_add(self.every());
        self.schedule.peek().map_or(tick, |Reverse((time, _))| tick.min(*time))
    }

    /// Adds a row to the session that it belongs to; whether there is one that is not final. `number` is that of the
    /// evaluated row, if an aggregate looks at it.
    fn apply(
        &mut self,
        input: &Input,
        row: usize,
        number: Option<u64>,
        before: i64,
        out: &mut Vec<Emission>,
    ) -> Result<bool, WindowError> {
        let (slot, ts) = (input.slots[row], input.times[row]);
        if ts < self.sessions.barrier(slot) {
            return Ok(false);
        }
        let neighbours = self.sessions.neighbours(slot, ts);
        let touched = [neighbours.touched, neighbours.also_touched];
        let touched = || touched.into_iter().filter(|id| *id != NONE);
        let last = touched().map(|id| self.sessions.get(id).last).fold(ts, i64::max);
        let start = touched().map(|id| self.sessions.get(id).start).fold(ts, i64::min);
        let gap = self.plan.spec.size();
        let end = last.saturating_add(gap);
        if end.saturating_add(self.lateness()) <= before {
            return Ok(false);
        }
        if touched().any(|id| self.sessions.get(id).is_pending) {
            // Its row is that of the moment at which it closed.
            self.emit_pending(out)?;
        }
        for id in touched() {
            let session = self.sessions.get_mut(id);
            if (session.start, session.last) != (start, last) && session.shown != Shown::Never {
                let window = (session.start, session.last.saturating_add(gap));
                self.removals.push(Removal { slot, window, shown: session.shown });
                session.shown = Shown::Never;
            }
        }
        let id = match (neighbours.touched, neighbours.also_touched) {
            (NONE, _) => {
                if !self.sessions.has_sessions(slot) {
                    let known = before.saturating_sub(gap).saturating_sub(self.lateness());
                    self.sessions.raise_barrier(slot, known);
                }
                self.sessions.insert(slot, ts, neighbours)
            }
            (one, NONE) => one,
            (one, two) => self.join(one, two),
        };
        let is_closed = end <= before;
        let owes_row = is_closed || self.follows_changes();
        let session = self.sessions.get_mut(id);
        (session.start, session.last) = (start, last);
        session.phase = if is_closed { Phase::Closed } else { Phase::Open };
        if owes_row && !session.is_changed {
            self.changed.push(Handle { born: session.born, id });
        }
        session.is_changed = owes_row;
        if let Some(number) = number {
            self.evaluated.link(&mut session.rows, number);
        }
        self.sessions.cells.add(id, &input.additive, row);
        let time = if is_closed { self.final_at(id) } else { end };
        // An entry that is too early is put right when it is met.
        if time < self.sessions.get(id).scheduled {
            self.schedule_at(id, time);
        }
        Ok(true)
    }

    /// Makes one session of two; the one that was there first remains.
    fn join(&mut self, one: u32, two: u32) -> u32 {
        let order = |id: u32| self.sessions.get(id).born;
        let (into, from) = if order(one) < order(two) { (one, two) } else { (two, one) };
        let rows = self.sessions.get(from).rows;
        self.evaluated.join(&mut self.sessions.get_mut(into).rows, rows);
        self.sessions.cells.join(into, from);
        self.sessions.unlink(from);
        self.sessions.release(from);
        into
    }

    fn schedule_at(&mut self, id: u32, time: i64) {
        self.sessions.get_mut(id).scheduled = time;
        self.schedule.push(Reverse((time, self.sessions.handle(id))));
    }

    fn step(&mut self, watermark: i64, out: &mut Vec<Emission>) -> Result<(), WindowError> {
        if watermark <= self.watermark {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.watermark, watermark);
        let every = self.every();
        let has_ticked = before == i64::MIN || floor(watermark, every) > floor(before, every);
        if has_ticked {
            self.emit_behind(watermark, out)?;
        }
        while let Some(Reverse((time, handle))) = self.schedule.peek().copied()
            && time <= watermark
        {
            self.schedule.pop();
            let id = handle.id;
            let Some(session) = self.sessions.find(handle).filter(|session| session.scheduled == time) else {
                continue;
            };
            let due = match session.phase {
                Phase::Open => self.sessions.end(id),
                Phase::Closed => self.final_at(id),
                Phase::Final => continue,
            };
            if due > time {
                self.schedule_at(id, due);
            } else if session.phase == Phase::Open {
                self.close(id, out)?;
            } else {
                self.finish(id);
            }
        }
        if has_ticked && self.follows_changes() {
            self.emit_early(floor(watermark, every), out)?;
        }
        Ok(())
    }

    /// The watermark has reached the end of a session.
    fn close(&mut self, id: u32, out: &mut Vec<Emission>) -> Result<(), WindowError> {
        let end = self.sessions.end(id);
        let is_other_moment = self.pending.last().is_some_and(|last| self.sessions.end(*last) != end);
        if is_other_moment && self.pending_rows >= PENDING_ROWS {
            self.emit_pending(out)?;
        }
        let session = self.sessions.get_mut(id);
        // What was emitted and has not changed since is final without being said again.
        let is_known = session.shown == Shown::Early
            && !session.is_changed
            && matches!(self.plan.settings.emit, Emit::OnUpdate { .. });
        session.phase = Phase::Closed;
        session.is_changed = false;
        session.is_pending = !is_known;
        if is_known {
            session.shown = Shown::Closed;
        } else {
            self.pending_rows += 1 + session.rows.length;
            self.pending.push(id);
        }
        let due = self.final_at(id);
        if due > end {
            self.schedule_at(id, due);
        } else {
            self.finish(id);
        }
        Ok(())
    }

    /// Nothing reaches the session any more; it stays as long as it owes a row.
    fn finish(&mut self, id: u32) {
        self.sessions.unlink(id);
        let end = self.sessions.end(id);
        let session = self.sessions.get_mut(id);
        session.phase = Phase::Final;
        let slot = session.slot;
        self.sessions.raise_barrier(slot, end);
        self.release_if_done(id);
    }

    /// Drops a session that is final and owes no row.
    pub(super) fn release_if_done(&mut self, id: u32) {
        let session = self.sessions.get(id);
        if session.phase == Phase::Final && !session.is_changed && !session.is_pending {
            self.evaluated.release(session.rows);
            self.sessions.release(id);
        }
    }
}
