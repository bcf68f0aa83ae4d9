//! All tables of windows of a pipeline, and the watermarks of the streams that they read.

mod save;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::emit::{Emission, WindowIndex};
use super::group::PaneGroup;
use super::plan::WindowPlan;
use super::session::SessionTable;
use super::spec::WindowSpec;
use crate::sql::Failures;
use crate::time::EventTime;
use crate::window::WindowError;
use crate::window::failed::FailedEvent;
use crate::window::source::References;

pub(in crate::window) use save::{earlier_fingerprint, fingerprint};
pub(crate) use view::GroupView;

/// The state of several [`WindowPlan`]s.
pub struct WindowTables {
    plans: Vec<Arc<WindowPlan>>,
    groups: Vec<TableGroup>,
    references: References,
    /// Events that tables have left out, until whoever pushes them takes note.
    failed: Vec<FailedEvent>,
}

/// Tables that share panes, or one of sessions.
pub(crate) struct TableGroup {
    state: State,
    /// All read the same source.
    tables: Vec<(WindowIndex, Arc<WindowPlan>)>,
    /// Whether it takes in events; else it stays as it is.
    is_fed: bool,
    /// Per stream of the source, how far it is.
    watermarks: BTreeMap<String, Mark>,
}

/// The watermark of a stream.
#[derive(Clone, Copy)]
struct Mark {
    value: i64,
    /// Whether it holds nothing back.
    is_idle: bool,
}

/// What the tables of a group keep.
#[expect(clippy::large_enum_variant, reason = "there are a few of them, and each holds far more on the heap")]
enum State {
    Panes(PaneGroup),
    Sessions(SessionTable),
}

impl WindowTables {
    /// Empty tables.
    pub fn new(plans: Vec<Arc<WindowPlan>>) -> Result<Self, WindowError> {
        let mut shared: Vec<Vec<(WindowIndex, Arc<WindowPlan>)>> = Vec::new();
        for (table, plan) in plans.iter().enumerate() {
            let entry = (WindowIndex(table), Arc::clone(plan));
            let known = shared.iter_mut().find(|known| known.iter().all(|(_, other)| other.shares_panes_with(plan)));
            match known {
                Some(known) => known.push(entry),
                None => shared.push(vec![entry]),
            }
        }
        let mut groups = Vec::with_capacity(shared.len());
        for tables in shared {
            let Some((table, plan)) = tables.first() else { continue };
            let state = match plan.spec {
                WindowSpec::Session { .. } => State::Sessions(SessionTable::new(*table, Arc::clone(plan))?),
                _ => State::Panes(PaneGroup::new(&tables)?),
            };
            let watermarks =
                plan.source.streams().map(|stream| (stream.to_owned(), Mark { value: i64::MIN, is_idle: false }));
            let watermarks = watermarks.collect();
            groups.push(TableGroup { tables, state, is_fed: true, watermarks });
        }
        Ok(Self { plans, groups, references: References::default(), failed: Vec::new() })
    }

    /// The plans, in the order that [`Emission::table`] counts in.
    pub fn plans(&self) -> &[Arc<WindowPlan>] {
        &self.plans
    }

    /// The reference tables that events are joined with from now on.
    pub fn set_references(&mut self, references: References) {
        self.references = references;
    }

    /// Takes in events of a stream. `watermarks` are the stream's after each event, and never go back.
    /// Clears the entries of `late`, one per event, for those that at least one table takes or has no use for. A table leaves
    /// out an event that one of its expressions fails on, see [`Self::take_failed`].
    pub fn push(
        &mut self,
        stream: &str,
        events: &RecordBatch,
        watermarks: &[EventTime],
        late: &mut [bool],
        out: &mut Vec<Emission>,
    ) -> Result<(), WindowError> {
        for group in self.groups.iter_mut().filter(|group| group.is_fed) {
            let mut failures = Failures::default();
            let Some((_, plan)) = group.tables.first() else { continue };
            let rows = plan.source.rows(stream, events, &self.references, &mut failures)?;
            let Some(rows) = rows else { continue };
            let others = group.others(stream);
            let Some(mark) = group.watermarks.get_mut(stream) else { continue };
            let known = mark.value;
            let series: Vec<i64> =
                watermarks.iter().map(|watermark| watermark.micros().max(known).min(others)).collect();
            if let Some(last) = watermarks.last() {
                *mark = Mark { value: known.max(last.micros()), is_idle: false };
            }
            group.state.push(&rows, &series, &mut failures, late, out)?;
            for (row, failed) in failures.iter() {
                let tables = (0..self.plans.len()).map(WindowIndex).filter(|table| group.state.holds(*table));
                self.failed.extend(tables.map(|table| FailedEvent { table, row, failed: failed.clone() }));
            }
        }
        Ok(())
    }

    /// The events that tables have left out since this was last asked.
    pub(crate) fn take_failed(&mut self) -> Vec<FailedEvent> {
        std::mem::take(&mut self.failed)
    }

    /// Moves the watermark of a stream without an event. `None` says that the stream is idle and holds nothing back.
    pub fn advance(
        &mut self,
        stream: &str,
        watermark: Option<EventTime>,
        out: &mut Vec<Emission>,
    ) -> Result<(), WindowError> {
        for group in self.groups.iter_mut().filter(|group| group.is_fed) {
            let Some(mark) = group.watermarks.get_mut(stream) else { continue };
            *mark = match watermark {
                Some(watermark) => Mark { value: mark.value.max(watermark.micros()), is_idle: false },
                None => Mark { is_idle: true, ..*mark },
            };
            let least = group.watermarks.values().filter(|mark| !mark.is_idle).map(|mark| mark.value).min();
            if let Some(least) = least {
                group.state.advance(least, out)?;
            }
        }
        Ok(())
    }

    /// The tables that share what they keep: each group is saved, restored and made again as a whole.
    pub(crate) fn groups(&self) -> &[TableGroup] {
        &self.groups
    }

    /// See [`Self::groups`].
    pub(crate) fn groups_mut(&mut self) -> &mut [TableGroup] {
        &mut self.groups
    }

    /// Events that were late for a table.
    pub fn late_rows(&self, table: WindowIndex) -> u64 {
        self.groups.iter().map(|group| group.state.late_rows(table)).sum()
    }

    /// Keys that a table has given up at its limit of memory; those of tables that share panes count for each.
    pub fn evicted_keys(&self, table: WindowIndex) -> u64 {
        self.groups.iter().map(|group| group.state.evicted_keys(table)).sum()
    }

    /// Memory of the panes behind a table, bytes. Tables that share panes have the same.
    pub fn size_of(&self, table: WindowIndex) -> usize {
        self.groups.iter().find(|group| group.state.holds(table)).map_or(0, |group| group.state.size())
    }

    /// Memory held, bytes.
    pub fn size(&self) -> usize {
        self.groups.iter().map(|group| group.state.size()).sum()
    }
}

impl State {
    fn push(
        &mut self,
        rows: &RecordBatch,
        watermarks: &[i64],
        failures: &mut Failures,
        late: &mut [bool],
        out: &mut Vec<Emission>,
    ) -> Result<(), WindowError> {
        match self {
            Self::Panes(panes) => panes.push(rows, watermarks, failures, late, out),
            Self::Sessions(sessions) => sessions.push(rows, watermarks, failures, late, out),
        }
    }

    fn advance(&mut self, watermark: i64, out: &mut Vec<Emission>) -> Result<(), WindowError> {
        match self {
            Self::Panes(panes) => panes.advance(watermark, out),
            Self::Sessions(sessions) => sessions.advance(watermark, out),
        }
    }

    fn late_rows(&self, table: WindowIndex) -> u64 {
        match self {
            Self::Panes(panes) => {
                let members = panes.members.iter().filter(|member| member.table == table);
                members.map(|member| member.late_rows).sum()
            }
            Self::Sessions(sessions) if sessions.table() == table => sessions.late_rows(),
            Self::Sessions(_) => 0,
        }
    }

    fn evicted_keys(&self, table: WindowIndex) -> u64 {
        match self {
            _ if !self.holds(table) => 0,
            Self::Panes(panes) => panes.evicted_keys,
            Self::Sessions(sessions) => sessions.evicted_keys(),
        }
    }

    fn holds(&self, table: WindowIndex) -> bool {
        match self {
            Self::Panes(panes) => panes.members.iter().any(|member| member.table == table),
            Self::Sessions(sessions) => sessions.table() == table,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Panes(panes) => panes.size(),
            Self::Sessions(sessions) => sessions.size(),
        }
    }
}

impl TableGroup {
    /// Its tables, by their places among all.
    pub(crate) fn tables(&self) -> impl Iterator<Item = WindowIndex> {
        self.tables.iter().map(|(table, _)| *table)
    }

    /// The streams that it reads.
    pub(crate) fn streams(&self) -> impl Iterator<Item = &str> {
        self.watermarks.keys().map(String::as_str)
    }

    /// Says whether it takes in events from now on.
    pub(crate) fn feed(&mut self, is_fed: bool) {
        self.is_fed = is_fed;
    }

    /// The least watermark of the other streams that hold something back.
    fn others(&self, stream: &str) -> i64 {
        let others = self.watermarks.iter().filter(|(name, mark)| name.as_str() != stream && !mark.is_idle);
        others.map(|(_, mark)| mark.value).min().unwrap_or(i64::MAX)
    }
}
