//! All tables of windows of a pipeline, and the watermarks of the streams that they read.

use std::io::{Read, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use hashbrown::HashMap;
use xxhash_rust::xxh3::Xxh3;

use super::emit::Emission;
use super::group::PaneGroup;
use super::plan::WindowPlan;
use crate::window::WindowError;
use crate::window::save::{SaveError, SectionReader, SectionWriter};
use crate::window::source::References;

/// The state of several [`WindowPlan`]s.
pub struct WindowTables {
    plans: Vec<Arc<WindowPlan>>,
    groups: Vec<Group>,
    references: References,
}

struct Group {
    state: PaneGroup,
    /// The first of its tables: all read the same source.
    plan: Arc<WindowPlan>,
    /// Per stream of the source, its watermark; none for a stream that holds nothing back.
    watermarks: HashMap<String, Option<i64>>,
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
            let Some((_, plan)) = tables.first() else { continue };
            let watermarks = plan.source.streams().map(|stream| (stream.to_owned(), Some(i64::MIN))).collect();
            groups.push(Group { plan: Arc::clone(plan), state: PaneGroup::new(&tables)?, watermarks });
        }
        Ok(Self { plans, groups, references: References::default() })
    }

    /// The plans, in the order that [`Emission::table`] counts in.
    pub fn plans(&self) -> &[Arc<WindowPlan>] {
        &self.plans
    }

    /// The reference tables that events are joined with from now on.
    pub fn set_references(&mut self, references: References) {
        self.references = references;
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
            if let Some(rows) = group.plan.source.rows(stream, events, &self.references)? {
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

    /// Writes everything that later output depends on.
    pub fn save(&self, output: &mut dyn Write) -> Result<(), SaveError> {
        let mut writer = SectionWriter::new(output, KIND, fingerprint(&self.plans))?;
        for group in &self.groups {
            // By name: the order of a hash map must not show.
            let mut streams: Vec<_> = group.watermarks.iter().collect();
            streams.sort_unstable();
            let watermarks: Vec<i64> = streams
                .into_iter()
                .flat_map(|(_, watermark)| [i64::from(watermark.is_some()), watermark.unwrap_or_default()])
                .collect();
            writer.numbers("watermarks", &watermarks)?;
            group.state.save(&mut writer)?;
        }
        writer.finish()
    }

    /// The tables of the same plans as they were when they were saved.
    pub fn restore(plans: Vec<Arc<WindowPlan>>, input: &mut dyn Read) -> Result<Self, SaveError> {
        let mut tables = Self::new(plans).map_err(|error| SaveError::of("tables", error))?;
        let mut reader = SectionReader::new(input, KIND, fingerprint(&tables.plans))?;
        for group in &mut tables.groups {
            let watermarks = reader.numbers("watermarks", 2 * group.watermarks.len())?;
            let mut streams: Vec<_> = group.watermarks.iter_mut().collect();
            streams.sort_unstable();
            for ((_, known), saved) in streams.into_iter().zip(watermarks.chunks_exact(2)) {
                *known = (saved[0] == 1).then_some(saved[1]);
            }
            group.state.restore(&mut reader)?;
        }
        reader.finish()?;
        Ok(tables)
    }

    /// Events that were late for a table.
    pub fn late_rows(&self, table: usize) -> u64 {
        let members = self.groups.iter().flat_map(|group| &group.state.members);
        members.filter(|member| member.table == table).map(|member| member.late_rows).sum()
    }

    /// Keys that a table has given up at its limit of memory; those of tables that share panes count for each.
    pub fn evicted_keys(&self, table: usize) -> u64 {
        let has = |group: &&Group| group.state.members.iter().any(|member| member.table == table);
        self.groups.iter().filter(has).map(|group| group.state.evicted_keys).sum()
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

/// What the state of tables calls itself.
const KIND: &str = "tables of windows";

/// Tells plans apart: a state fits those it was saved under.
fn fingerprint(plans: &[Arc<WindowPlan>]) -> u64 {
    let mut hasher = Xxh3::new();
    for plan in plans {
        hasher.update(plan.name().as_bytes());
        hasher.update(plan.logical().as_bytes());
        hasher.update(format!("{:?} {:?}", plan.spec(), plan.settings()).as_bytes());
    }
    hasher.digest()
}

impl Group {
    /// The least watermark of the other streams that hold something back.
    fn others(&self, stream: &str) -> Option<i64> {
        let others = self.watermarks.iter().filter(|(name, _)| name.as_str() != stream);
        others.filter_map(|(_, watermark)| *watermark).min()
    }
}
