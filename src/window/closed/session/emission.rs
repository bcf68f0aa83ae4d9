//! Rows of sessions: those that have closed, those that have changed, and those that are no more.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray, new_empty_array,
    new_null_array,
};
use arrow::datatypes::{DataType, Int64Type, Schema};
use datafusion::logical_expr::EmitTo;

use super::layout::{Argument, Stored};
use super::sessions::{Phase, Removal, Shown};
use super::table::{PENDING_ROWS, SessionTable};
use crate::sql::{Failures, evaluate};
use crate::time::EventTime;
use crate::window::WindowError;
use crate::window::closed::aggregate::MergedAggregate;
use crate::window::closed::emit::{Emission, EmissionKind, Rows, Values, project};
use crate::window::closed::plan::GroupColumn;
use crate::window::failed::FailedRow;

/// Rows of the sessions that are read together: their columns, and the place of each row's session.
struct Events {
    columns: Vec<ArrayRef>,
    groups: Vec<usize>,
}

impl SessionTable {
    /// Emits the sessions that have closed, one emission per end.
    pub(super) fn emit_pending(&mut self, out: &mut Vec<Emission>) -> Result<(), WindowError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.pending_rows = 0;
        let mut emissions = Vec::new();
        self.emit(&pending, EmissionKind::Final, 0, &mut emissions)?;
        split_by_end(emissions, out);
        for id in pending {
            self.sessions.get_mut(id).is_pending = false;
            self.release_if_done(id);
        }
        Ok(())
    }

    /// Emits what closed sessions owe since the last tick: removals, then rows that have changed.
    pub(super) fn emit_behind(&mut self, at: i64, out: &mut Vec<Emission>) -> Result<(), WindowError> {
        if self.removals.is_empty() && self.changed.is_empty() {
            return Ok(());
        }
        self.emit_pending(out)?;
        let removals = std::mem::take(&mut self.removals);
        for (shown, kind) in [(Shown::Closed, EmissionKind::Late), (Shown::Early, EmissionKind::Early)] {
            let removals: Vec<_> = removals.iter().filter(|removal| removal.shown == shown).collect();
            if !removals.is_empty() {
                out.push(self.removal(kind, at, &removals)?);
            }
        }
        let changed = self.take_changed(|phase| phase != Phase::Open);
        for part in self.parts(&changed) {
            self.emit(part, EmissionKind::Late, at, out)?;
        }
        for id in changed {
            self.release_if_done(id);
        }
        Ok(())
    }

    /// Emits the open sessions that have changed since the last tick.
    pub(super) fn emit_early(&mut self, at: i64, out: &mut Vec<Emission>) -> Result<(), WindowError> {
        let changed = self.take_changed(|phase| phase == Phase::Open);
        if changed.is_empty() {
            return Ok(());
        }
        self.emit_pending(out)?;
        for part in self.parts(&changed) {
            self.emit(part, EmissionKind::Early, at, out)?;
        }
        Ok(())
    }

    /// Takes the sessions off the list that owe a row and are in a wanted phase, ordered by end and number.
    fn take_changed(&mut self, is_wanted: impl Fn(Phase) -> bool) -> Vec<u32> {
        let mut taken = Vec::new();
        let sessions = &mut self.sessions;
        self.changed.retain(|handle| {
            let Some((phase, is_changed)) = sessions.find(*handle).map(|found| (found.phase, found.is_changed)) else {
                return false;
            };
            if is_changed && is_wanted(phase) {
                sessions.get_mut(handle.id).is_changed = false;
                taken.push((sessions.end(handle.id), *handle));
                return false;
            }
            is_changed
        });
        taken.sort_unstable();
        taken.into_iter().map(|(_, handle)| handle.id).collect()
    }

    /// Sessions cut so that those of a part have a bounded number of rows of events.
    fn parts<'a>(&self, ids: &'a [u32]) -> Vec<&'a [u32]> {
        let (mut parts, mut first, mut rows) = (Vec::new(), 0, 0);
        for (place, id) in ids.iter().enumerate() {
            rows += 1 + self.sessions.get(*id).rows.length;
            if rows >= PENDING_ROWS || place + 1 == ids.len() {
                parts.push(&ids[first..=place]);
                (first, rows) = (place + 1, 0);
            }
        }
        parts
    }

    /// Emits rows of some sessions, and remembers which of them HAVING let through.
    fn emit(&mut self, ids: &[u32], kind: EmissionKind, at: i64, out: &mut Vec<Emission>) -> Result<(), WindowError> {
        let values = self.values(ids)?;
        let sessions = || ids.iter().map(|id| self.sessions.get(*id));
        let slots: Vec<u32> = sessions().map(|session| session.slot).collect();
        let rows = Rows {
            table: self.table,
            kind,
            at,
            slots: &slots,
            windows: ids.iter().map(|id| (self.sessions.get(*id).start, self.sessions.end(*id))).collect(),
            was_emitted: sessions().map(|session| session.shown != Shown::Never).collect(),
        };
        let passing = rows.emit(&self.plan, &self.plan.outputs, &self.keys, &values, out)?;
        let shown = if kind == EmissionKind::Early { Shown::Early } else { Shown::Closed };
        for (row, id) in ids.iter().enumerate() {
            let is_out = passing.as_ref().is_none_or(|passing| passing.value(row));
            self.sessions.get_mut(*id).shown = if is_out { shown } else { Shown::Never };
        }
        Ok(())
    }

    /// All aggregates of some sessions.
    fn values(&self, ids: &[u32]) -> Result<Values, WindowError> {
        let (mut numbers, mut groups) = (Vec::new(), Vec::new());
        for (group, id) in ids.iter().enumerate() {
            self.evaluated.numbers(self.sessions.get(*id).rows, &mut numbers);
            groups.resize(numbers.len(), group);
        }
        let events = Events { columns: self.evaluated.gather(&numbers)?, groups };
        let layout = &self.evaluated.layout;
        let distinct = layout.distinct.iter().map(|column| events.distinct(*column, ids.len())).collect();
        let mut merged = Vec::with_capacity(layout.merged.len());
        for (stored, aggregate) in layout.merged.iter().zip(&self.plan.aggregates.merged) {
            merged.push(events.merged(stored, aggregate, ids.len())?);
        }
        Ok(Values { additive: self.sessions.cells.columns(ids), distinct, merged })
    }

    /// Rows without aggregates for keys and windows.
    fn removal(&self, kind: EmissionKind, at: i64, removals: &[&Removal]) -> Result<Emission, WindowError> {
        let plan = &self.plan;
        let slots: Vec<u32> = removals.iter().map(|removal| removal.slot).collect();
        let windows: Vec<(i64, i64)> = removals.iter().map(|removal| removal.window).collect();
        let keys = if plan.keys.is_empty() { Vec::new() } else { self.keys.columns(&slots)? };
        let mut columns = Vec::with_capacity(plan.aggregate_schema.fields().len());
        for (index, field) in plan.aggregate_schema.fields().iter().enumerate() {
            let bounds = |bounds: Vec<i64>| -> ArrayRef {
                Arc::new(TimestampMicrosecondArray::from(bounds).with_data_type(field.data_type().clone()))
            };
            columns.push(match plan.groups.get(index) {
                Some(GroupColumn::Key(key)) => Arc::clone(&keys[*key]),
                Some(GroupColumn::Start) => bounds(windows.iter().map(|window| window.0).collect()),
                Some(GroupColumn::End) => bounds(windows.iter().map(|window| window.1).collect()),
                None => new_null_array(field.data_type(), slots.len()),
            });
        }
        let rows = RecordBatch::try_new(Arc::clone(&plan.aggregate_schema), columns)?;
        let rows = project(plan, &rows, &mut Failures::default())?;
        let (table, at) = (self.table, EventTime(at));
        Ok(Emission { table, kind, at, rows, keys, windows, is_removal: true, failed: Vec::new() })
    }
}

impl Events {
    /// The number of different values of each session.
    fn distinct(&self, column: usize, sessions: usize) -> Vec<i64> {
        let mut counts = vec![0; sessions];
        let Some(column) = self.columns.get(column).and_then(|column| column.as_primitive_opt::<Int64Type>()) else {
            return counts;
        };
        let (mut values, mut row) = (Vec::new(), 0);
        // Rows of a session stand together.
        for groups in self.groups.chunk_by(|one, two| one == two) {
            values.clear();
            values.extend((row..row + groups.len()).filter_map(|row| valid(column, row)));
            row += groups.len();
            values.sort_unstable();
            values.dedup();
            counts[groups[0]] = values.len() as i64;
        }
        counts
    }

    /// What an aggregate gives for each session.
    fn merged(&self, stored: &Stored, aggregate: &MergedAggregate, sessions: usize) -> Result<ArrayRef, WindowError> {
        let mut accumulator = aggregate.accumulator(sessions)?;
        let rows = self.groups.len();
        if rows > 0 {
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            let nothing = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
            let mut arguments = Vec::with_capacity(stored.arguments.len());
            for argument in &stored.arguments {
                arguments.push(match argument {
                    Argument::Constant(constant) => evaluate(constant, &nothing)?,
                    Argument::Column(column) => self.column(*column),
                });
            }
            let filter = stored.filter.map(|column| self.column(column));
            let filter = filter.as_ref().and_then(|filter| filter.as_boolean_opt());
            accumulator.update_batch(&arguments, &self.groups, filter, sessions)?;
        }
        Ok(accumulator.evaluate(EmitTo::All)?)
    }

    fn column(&self, column: usize) -> ArrayRef {
        self.columns.get(column).map_or_else(|| new_empty_array(&DataType::Null), Arc::clone)
    }
}

fn valid(column: &Int64Array, row: usize) -> Option<i64> {
    column.is_valid(row).then(|| column.value(row))
}

/// Rows of sessions that closed, one emission per end, in which the watermark stands at the end.
fn split_by_end(emissions: Vec<Emission>, out: &mut Vec<Emission>) {
    let first = out.len();
    for emission in emissions {
        let part = |row: usize, windows: &[(i64, i64)], end: i64, failed: Vec<FailedRow>| Emission {
            table: emission.table,
            kind: emission.kind,
            at: EventTime(end),
            rows: emission.rows.slice(row, windows.len()),
            keys: emission.keys.iter().map(|column| column.slice(row, windows.len())).collect(),
            windows: windows.to_vec(),
            is_removal: emission.is_removal,
            failed,
        };
        let mut row = 0;
        for windows in emission.windows.chunk_by(|one, two| one.1 == two.1) {
            out.push(part(row, windows, windows[0].1, Vec::new()));
            row += windows.len();
        }
        for failed in emission.failed.chunk_by(|one, two| one.window.1 == two.window.1) {
            out.push(part(0, &[], failed[0].window.1, failed.to_vec()));
        }
    }
    // Removals, if there are any, are another emission before.
    out[first..].sort_by_key(|emission| (emission.at, !emission.is_removal));
}
