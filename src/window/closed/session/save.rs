//! Saving and restoring the sessions of a table: keys, sessions with their cells, evaluated rows, and what is owed.
//!
//! Sessions are written by number and rows in the order of arrival, so equal states give equal bytes. When a session is
//! looked at again, and in which places sessions and rows are, is made anew: no output depends on it.

use std::cmp::Reverse;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};

use super::cells::Saved;
use super::evaluated::Chain;
use super::sessions::{NONE, Phase, Removal, Session, Shown};
use super::table::SessionTable;
use crate::snapshot::{SaveError, SectionReader, SectionWriter};
use crate::window::closed::aggregate::Additive;
use crate::window::closed::save::{batch, floats, integers, slots_column, slots_of};

/// Rows of events that are written together.
const ROWS: usize = 1 << 16;

impl SessionTable {
    /// Writes everything that later output depends on.
    pub(in crate::window::closed) fn save(&self, writer: &mut SectionWriter<'_>) -> Result<(), SaveError> {
        let slots: Vec<u32> = (0..self.keys.len() as u32).collect();
        let keys = self.keys.columns(&slots).map_err(|error| error.in_section("keys"))?;
        writer.section("keys", &[batch("keys", keys)?])?;
        let counts = [self.late_rows.cast_signed(), self.evicted_keys.cast_signed(), self.compacted as i64];
        let [late_rows, evicted_keys, compacted] = counts;
        let next_born = self.sessions.next_born.cast_signed();
        writer.numbers("table", &[self.watermark, late_rows, evicted_keys, compacted, next_born])?;
        writer.section("barriers", &[batch("barriers", vec![numbers(self.sessions.barriers())])?])?;
        let handles = self.sessions.handles();
        let ids: Vec<u32> = handles.iter().map(|handle| handle.id).collect();
        writer.section("sessions", &[self.session_columns(&ids)?])?;
        self.save_rows(&ids, writer)?;
        let changed = self.changed.iter().filter_map(|handle| handles.binary_search(handle).ok());
        let changed: Vec<u32> = changed.map(|place| place as u32).collect();
        writer.section("changed", &[batch("changed", vec![slots_column(&changed)])?])?;
        let slots: Vec<u32> = self.removals.iter().map(|removal| removal.slot).collect();
        let removed = vec![
            slots_column(&slots),
            numbers(self.removals.iter().map(|removal| removal.window.0)),
            numbers(self.removals.iter().map(|removal| removal.window.1)),
            numbers(self.removals.iter().map(|removal| shown_number(removal.shown))),
        ];
        writer.section("removals", &[batch("removals", removed)?])
    }

    /// Takes over what [`Self::save`] wrote; the table is empty and of the same plan.
    pub(in crate::window::closed) fn restore(&mut self, reader: &mut SectionReader<'_>) -> Result<(), SaveError> {
        let keys = reader.batch("keys")?;
        let mut slots = Vec::new();
        let interned = self.keys.intern(keys.columns(), keys.num_rows(), |_| true, &mut slots);
        interned.map_err(|error| error.in_section("keys"))?;
        self.sessions.resize_keys(self.keys.len());
        let counts = reader.numbers("table", 5)?;
        self.watermark = counts[0];
        self.late_rows = counts[1].cast_unsigned();
        self.evicted_keys = counts[2].cast_unsigned();
        self.compacted = counts[3].max(0) as usize;
        self.sessions.next_born = counts[4].cast_unsigned();
        for (slot, barrier) in (0..self.keys.len() as u32).zip(integers("barriers", &reader.batch("barriers")?, 0)?) {
            self.sessions.raise_barrier(slot, barrier);
        }
        let count = self.restore_sessions(&reader.batch("sessions")?)?;
        self.restore_rows(count, reader)?;
        for place in slots_of("changed", &reader.batch("changed")?, 0, count)? {
            self.changed.push(self.sessions.handle(place));
        }
        let removals = reader.batch("removals")?;
        let slots = slots_of("removals", &removals, 0, self.keys.len())?;
        let windows = integers("removals", &removals, 1)?.into_iter().zip(integers("removals", &removals, 2)?);
        for ((slot, window), shown) in slots.into_iter().zip(windows).zip(integers("removals", &removals, 3)?) {
            self.removals.push(Removal { slot, window, shown: shown_of(shown) });
        }
        Ok(())
    }

    fn session_columns(&self, ids: &[u32]) -> Result<RecordBatch, SaveError> {
        let sessions = || ids.iter().map(|id| self.sessions.get(*id));
        let slots: Vec<u32> = sessions().map(|session| session.slot).collect();
        let mut columns = vec![
            slots_column(&slots),
            numbers(sessions().map(|session| session.start)),
            numbers(sessions().map(|session| session.last)),
            numbers(sessions().map(|session| session.born.cast_signed())),
            numbers(sessions().map(|session| phase_number(session.phase))),
            numbers(sessions().map(|session| shown_number(session.shown))),
            numbers(sessions().map(|session| i64::from(session.is_changed))),
        ];
        for saved in self.sessions.cells.save(ids) {
            match saved {
                Saved::Integers(values) => columns.push(numbers(values.into_iter())),
                Saved::Floats(high, low) => {
                    columns.push(Arc::new(arrow::array::Float64Array::from(high)));
                    columns.push(Arc::new(arrow::array::Float64Array::from(low)));
                }
            }
        }
        batch("sessions", columns)
    }

    fn restore_sessions(&mut self, saved: &RecordBatch) -> Result<usize, SaveError> {
        let column = |index: usize| integers("sessions", saved, index);
        let slots = slots_of("sessions", saved, 0, self.keys.len())?;
        let (starts, lasts, borns) = (column(1)?, column(2)?, column(3)?);
        let (phases, shown, changed) = (column(4)?, column(5)?, column(6)?);
        let mut sessions = Vec::with_capacity(slots.len());
        for (place, slot) in slots.into_iter().enumerate() {
            sessions.push(Session {
                slot,
                older: NONE,
                start: starts[place],
                last: lasts[place],
                born: borns[place].cast_unsigned(),
                scheduled: i64::MAX,
                rows: Chain::default(),
                phase: phase_of(phases[place]),
                shown: shown_of(shown[place]),
                is_changed: changed[place] == 1,
                is_pending: false,
            });
        }
        let count = sessions.len();
        self.sessions.restore(sessions);
        let mut cells = Vec::new();
        let mut next = 7;
        for aggregate in &self.plan.aggregates.additive {
            if aggregate.kind == Additive::Float {
                cells.push(Saved::Floats(floats("sessions", saved, next)?, floats("sessions", saved, next + 1)?));
                next += 1;
            } else {
                cells.push(Saved::Integers(column(next)?));
            }
            next += 1;
        }
        if !self.sessions.cells.restore(&cells) {
            return Err(SaveError::Damaged { section: "sessions".to_owned() });
        }
        self.schedule_all();
        Ok(count)
    }

    /// Every session is to be looked at when its phase ends.
    pub(super) fn schedule_all(&mut self) {
        self.schedule.clear();
        for handle in self.sessions.handles() {
            let time = match self.sessions.get(handle.id).phase {
                Phase::Open => self.sessions.end(handle.id),
                Phase::Closed => self.final_at(handle.id),
                Phase::Final => continue,
            };
            self.sessions.get_mut(handle.id).scheduled = time;
            self.schedule.push(Reverse((time, handle)));
        }
    }

    /// Evaluated rows, each with the place of its session among `ids`.
    fn save_rows(&self, ids: &[u32], writer: &mut SectionWriter<'_>) -> Result<(), SaveError> {
        let mut rows: Vec<(u64, u32)> = Vec::new();
        let mut numbers = Vec::new();
        for (id, place) in ids.iter().zip(0..) {
            numbers.clear();
            self.evaluated.numbers(self.sessions.get(*id).rows, &mut numbers);
            rows.extend(numbers.iter().map(|number| (*number, place)));
        }
        rows.sort_unstable();
        let mut batches = Vec::with_capacity(rows.len().div_ceil(ROWS));
        for rows in rows.chunks(ROWS) {
            let numbers: Vec<u64> = rows.iter().map(|(number, _)| *number).collect();
            let places: Vec<u32> = rows.iter().map(|(_, place)| *place).collect();
            let mut columns = vec![slots_column(&places)];
            let gathered = self.evaluated.gather(&numbers);
            columns.extend(gathered.map_err(|source| SaveError::Batch { section: "rows".to_owned(), source })?);
            batches.push(batch("rows", columns)?);
        }
        writer.section("rows", &batches)
    }

    fn restore_rows(&mut self, sessions: usize, reader: &mut SectionReader<'_>) -> Result<(), SaveError> {
        for rows in reader.section("rows")? {
            let places = slots_of("rows", &rows, 0, sessions)?;
            let columns = rows.columns().get(1..).unwrap_or_default().to_vec();
            if columns.len() != self.evaluated.layout.width() {
                return Err(SaveError::Damaged { section: "rows".to_owned() });
            }
            let first = self.evaluated.append_columns(columns, places.len());
            for (number, place) in (first..).zip(places) {
                self.evaluated.link(&mut self.sessions.get_mut(place).rows, number);
            }
        }
        Ok(())
    }
}

fn numbers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn phase_number(phase: Phase) -> i64 {
    match phase {
        Phase::Open => 0,
        Phase::Closed => 1,
        Phase::Final => 2,
    }
}

fn phase_of(number: i64) -> Phase {
    match number {
        0 => Phase::Open,
        1 => Phase::Closed,
        _ => Phase::Final,
    }
}

fn shown_number(shown: Shown) -> i64 {
    match shown {
        Shown::Never => 0,
        Shown::Early => 1,
        Shown::Closed => 2,
    }
}

fn shown_of(number: i64) -> Shown {
    match number {
        0 => Shown::Never,
        1 => Shown::Early,
        _ => Shown::Closed,
    }
}
