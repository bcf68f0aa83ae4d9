//! All tables of windows of a pipeline, and the watermarks of the streams that they read.

use std::sync::Arc;

use arrow::array::RecordBatch;
use hashbrown::HashMap;

use super::emit::Emission;
use super::group::PaneGroup;
use super::plan::WindowPlan;
use super::session::SessionTable;
use super::spec::WindowSpec;
use crate::window::WindowError;

/// The state of several [`WindowPlan`]s.
pub struct WindowTables {
    plans: Vec<Arc<WindowPlan>>,
    groups: Vec<Group>,
}

struct Group {
    state: State,
    /// The first of its tables: all read the same source.
    plan: Arc<WindowPlan>,
    /// Per stream of the source, its watermark; none for a stream that holds nothing back.
    watermarks: HashMap<String, Option<i64>>,
}

/// What the tables of a group keep.
enum State {
    Panes(PaneGroup),
    Sessions(SessionTable),
}

impl WindowTables {
    /// Empty tables.
    pub fn new(plans: Vec<Arc<WindowPlan>>) -> Result<Self, WindowError> {
        let mut shared: Vec<Vec<(usize, Arc<WindowPlan>)>> = Vec::new();
        for (table, plan) in plans.iter().enumerate() {
            let entry = (table, Arc::clone(plan));
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
            let watermarks = plan.source.streams().map(|stream| (stream.to_owned(), Some(i64::MIN))).collect();
            groups.push(Group { plan: Arc::clone(plan), state, watermarks });
        }
        Ok(Self { plans, groups })
    }

    /// The plans, in the order that [`Emission::table`] counts in.
    pub fn plans(&self) -> &[Arc<WindowPlan>] {
        &self.plans
    }

    /// Takes in events of a stream. `watermarks` are the stream's after each event, microseconds, and never go back.
    /// Clears the entries of `late`, one per event, for those that at least one table takes or has no use for.
    pub fn push(
        &mut self,
        stream: &str,
        events: &RecordBatch,
        watermarks: &[i64],
        late: &mut [bool],
        out: &mut Vec<Emission>,
    ) -> Result<(), WindowError> {
        for group in &mut self.groups {
            if !group.watermarks.contains_key(stream) {
                continue;
            }
            let others = group.others(stream);
            let series: Vec<i64> = match others {
                Some(others) => watermarks.iter().map(|watermark| (*watermark).min(others)).collect(),
                None => watermarks.to_vec(),
            };
            for rows in group.plan.source.rows(stream, events)? {
                group.state.push(&rows, &series, late, out)?;
            }
            if let Some(last) = watermarks.last() {
                group.watermarks.insert(stream.to_owned(), Some(*last));
            }
        }
        Ok(())
    }

    /// Moves the watermark of a stream without an event. `None` says that the stream is idle and holds nothing back.
    pub fn advance(
        &mut self,
        stream: &str,
        watermark: Option<i64>,
        out: &mut Vec<Emission>,
    ) -> Result<(), WindowError> {
        for group in &mut self.groups {
            if let Some(known) = group.watermarks.get_mut(stream) {
                *known = watermark;
                if let Some(least) = group.watermarks.values().flatten().min() {
                    group.state.advance(*least, out)?;
                }
            }
        }
        Ok(())
    }

    /// Events that were late for a table.
    pub fn late_rows(&self, table: usize) -> u64 {
        self.groups.iter().map(|group| group.state.late_rows(table)).sum()
    }

    /// Keys held, over all tables.
    pub fn key_count(&self) -> usize {
        self.groups.iter().map(|group| group.state.key_count()).sum()
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
        late: &mut [bool],
        out: &mut Vec<Emission>,
    ) -> Result<(), WindowError> {
        match self {
            Self::Panes(panes) => panes.push(rows, watermarks, late, out),
            Self::Sessions(sessions) => sessions.push(rows, watermarks, late, out),
        }
    }

    fn advance(&mut self, watermark: i64, out: &mut Vec<Emission>) -> Result<(), WindowError> {
        match self {
            Self::Panes(panes) => panes.advance(watermark, out),
            Self::Sessions(sessions) => sessions.advance(watermark, out),
        }
    }

    fn late_rows(&self, table: usize) -> u64 {
        match self {
            Self::Panes(panes) => {
                let members = panes.members.iter().filter(|member| member.table == table);
                members.map(|member| member.late_rows).sum()
            }
            Self::Sessions(sessions) if sessions.table() == table => sessions.late_rows(),
            Self::Sessions(_) => 0,
        }
    }

    fn key_count(&self) -> usize {
        match self {
            Self::Panes(panes) => panes.key_count(),
            Self::Sessions(sessions) => sessions.key_count(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Panes(panes) => panes.size(),
            Self::Sessions(sessions) => sessions.size(),
        }
    }
}

impl Group {
    /// The least watermark of the other streams that hold something back.
    fn others(&self, stream: &str) -> Option<i64> {
        let others = self.watermarks.iter().filter(|(name, _)| name.as_str() != stream);
        others.filter_map(|(_, watermark)| *watermark).min()
    }
}
