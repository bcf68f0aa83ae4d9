//! What a table emits: at the close of a window, on changes, and of windows that have closed.

use arrow::array::BooleanArray;

use super::{Member, Told};
use crate::window::WindowError;
use crate::window::closed::aggregate::OutputSource;
use crate::window::closed::emit::{Emission, EmissionKind, Rows};
use crate::window::closed::gather::{Gather, Range};
use crate::window::closed::plan::Emit;

/// Rows that are read and made together, where that costs nothing: their columns stay in the cache, and memory that was
/// given back is used again instead of being asked of the system, which has to clear it.
const TOGETHER: usize = 4_096;

impl Member {
    /// Emits the window that closes.
    pub(super) fn close(&mut self, gather: &mut Gather<'_>, out: &mut Vec<Emission>) -> Result<(), WindowError> {
        let Some(window) = self.running.window else { return Ok(()) };
        gather.include_until(&mut self.running, window.1);
        gather.catch_up(&mut self.running, window);
        let mut slots = self.running.active();
        if matches!(self.settings().emit, Emit::OnUpdate { .. }) {
            // What was emitted and has not changed since is final without being said again.
            let told = self.told.get(&window.1);
            let is_final = |slot: u32| told.and_then(|told| told.get(slot)).unwrap_or(false);
            slots.retain(|slot| self.is_dirty[*slot as usize] || !is_final(*slot));
        }
        self.emit(gather, Range::Running(window), &slots, (EmissionKind::Final, window.1), out)?;
        if let Some(mut told) = self.told.remove(&window.1) {
            told.replace(Told::default());
            self.left_to_views += told.take_copied();
        }
        Ok(())
    }

    /// Emits the keys that have changed in the open window.
    pub(super) fn emit_changes(
        &mut self,
        gather: &mut Gather<'_>,
        at: i64,
        out: &mut Vec<Emission>,
    ) -> Result<(), WindowError> {
        let Some(window) = self.running.window.filter(|_| self.dirty.len() > 0) else { return Ok(()) };
        gather.catch_up(&mut self.running, window);
        let slots = self.take_changes();
        let range = Range::Running(window);
        for slots in slots.chunks(self.together(range)) {
            let passing = self.emit_part(gather, range, slots, (EmissionKind::Early, at), out)?;
            let told = self.told.entry(window.1).or_default();
            for (row, slot) in slots.iter().enumerate() {
                if passing.as_ref().is_none_or(|passing| passing.value(row)) {
                    told.insert(*slot, true);
                } else {
                    told.remove(*slot);
                }
            }
        }
        Ok(())
    }

    /// Emits the rows of closed windows that have changed, of those that end at `until` or before.
    pub(super) fn emit_behind(
        &mut self,
        gather: &mut Gather<'_>,
        until: i64,
        at: i64,
        out: &mut Vec<Emission>,
    ) -> Result<(), WindowError> {
        let mut changed: Vec<_> = self.behind.extract_if(.., |(end, _)| *end <= until).collect();
        changed.sort_unstable();
        changed.dedup();
        for rows in changed.chunk_by(|one, two| one.0 == two.0) {
            let end = rows[0].0;
            let slots: Vec<u32> = rows.iter().map(|(_, slot)| *slot).collect();
            let window = (self.plan.spec.start_of(end), end);
            self.emit(gather, Range::Closed(window), &slots, (EmissionKind::Late, at), out)?;
        }
        Ok(())
    }

    /// How many keys are read together. What is not read key by key, but by going through what a window holds, is read in
    /// one go for all of them.
    fn together(&self, range: Range) -> usize {
        let is_merged =
            |output: &OutputSource| matches!(output, OutputSource::Merged { .. } | OutputSource::Decayed { .. });
        match range {
            Range::Running(_) if !self.outputs.iter().any(is_merged) => TOGETHER,
            _ => usize::MAX,
        }
    }

    fn emit(
        &self,
        gather: &mut Gather<'_>,
        range: Range,
        slots: &[u32],
        why: (EmissionKind, i64),
        out: &mut Vec<Emission>,
    ) -> Result<(), WindowError> {
        for slots in slots.chunks(self.together(range)) {
            self.emit_part(gather, range, slots, why, out)?;
        }
        Ok(())
    }

    /// Tells which rows HAVING lets through, all without a mask.
    fn emit_part(
        &self,
        gather: &mut Gather<'_>,
        range: Range,
        slots: &[u32],
        (kind, at): (EmissionKind, i64),
        out: &mut Vec<Emission>,
    ) -> Result<Option<BooleanArray>, WindowError> {
        let values = gather.values(&self.running, range, slots, &self.outputs)?;
        let (start, end) = range.window();
        // What a window that has closed has emitted is not remembered.
        let was_emitted = |slot: &u32| match kind {
            EmissionKind::Late => true,
            _ => self.told.get(&end).is_some_and(|told| told.get(*slot).is_some()),
        };
        let rows = Rows {
            table: self.table,
            kind,
            at,
            slots,
            windows: vec![(start, end); slots.len()],
            was_emitted: slots.iter().map(was_emitted).collect(),
        };
        rows.emit(&self.plan, &self.outputs, gather.keys, &values, out)
    }
}
