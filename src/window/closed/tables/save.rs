//! The state of tables of windows: a part for each group of tables that share panes, and the one part of earlier versions.
//!
//! ```text
//!  watermarks   of the streams that the group reads
//!  ...          its panes or sessions
//! ```

use std::io::{Read, Write};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::{Mark, State, TableGroup, WindowTables};
use crate::snapshot::{Header, SaveError, SectionReader, SectionWriter};
use crate::window::budget::Budget;
use crate::window::closed::plan::{WindowPlan, WindowSettings};

/// What the state of a group calls itself.
const KIND: &str = "panes of windows";

/// What the state of all tables in one part calls itself.
const ALL: &str = "tables of windows";

/// Tells plans apart: a state fits those it was saved under.
pub(in crate::window) fn fingerprint<'a>(plans: impl Iterator<Item = &'a Arc<WindowPlan>>) -> u64 {
    let mut hasher = Xxh3::new();
    for plan in plans {
        hasher.update(&(plan.meaning().len() as u64).to_le_bytes());
        hasher.update(plan.meaning().as_bytes());
    }
    hasher.digest()
}

/// The same of states that were saved when plans were told apart by DataFusion's words.
pub(in crate::window) fn earlier_fingerprint(plans: &[Arc<WindowPlan>]) -> u64 {
    let mut hasher = Xxh3::new();
    for plan in plans {
        let settings = WindowSettings { budget: Budget::UNLIMITED, ..plan.settings() };
        hasher.update(plan.name().as_bytes());
        hasher.update(plan.logical().as_bytes());
        hasher.update(format!("{:?} {settings:?}", plan.spec()).as_bytes());
        if plan.has_integer_sums() {
            // A state that keeps them in one word each is not this one's.
            hasher.update(b"sums of integers in halves");
        }
    }
    hasher.digest()
}

impl WindowTables {
    /// Writes everything that later output depends on, all groups in one: the part of earlier versions.
    pub fn save(&self, output: &mut dyn Write) -> Result<(), SaveError> {
        let mut writer = SectionWriter::new(output, ALL, earlier_fingerprint(&self.plans))?;
        for group in &self.groups {
            group.write(&mut writer)?;
        }
        writer.finish()
    }

    /// The tables of the same plans as they were when [all were saved](Self::save) in one.
    pub fn restore(plans: Vec<Arc<WindowPlan>>, input: &mut dyn Read) -> Result<Self, SaveError> {
        let mut tables = Self::new(plans).map_err(|error| error.in_section("tables"))?;
        let mut reader = SectionReader::new(input, ALL, earlier_fingerprint(&tables.plans))?;
        for group in &mut tables.groups {
            group.read(&mut reader)?;
        }
        reader.finish()?;
        Ok(tables)
    }

    /// Whether a state is one of these tables, all in one.
    ///
    /// # Errors
    /// With what differs.
    pub(crate) fn check_all(&self, header: &Header) -> Result<(), SaveError> {
        header.check(ALL, &[earlier_fingerprint(&self.plans)])
    }
}

impl TableGroup {
    /// Writes everything that later output depends on.
    pub(super) fn save(&self, output: &mut dyn Write) -> Result<(), SaveError> {
        let mut writer = SectionWriter::new(output, KIND, self.fingerprint())?;
        self.write(&mut writer)?;
        writer.finish()
    }

    /// Takes over what [`Self::save`] wrote; the group is empty.
    pub(crate) fn restore(&mut self, input: &mut dyn Read) -> Result<(), SaveError> {
        let mut reader = SectionReader::new(input, KIND, self.fingerprint())?;
        self.read(&mut reader)?;
        reader.finish()
    }

    /// Whether a state is one of this group.
    ///
    /// # Errors
    /// With what differs.
    pub(crate) fn check(&self, header: &Header) -> Result<(), SaveError> {
        header.check(KIND, &[self.fingerprint()])
    }

    fn fingerprint(&self) -> u64 {
        fingerprint(self.tables.iter().map(|(_, plan)| plan))
    }

    fn write(&self, writer: &mut SectionWriter<'_>) -> Result<(), SaveError> {
        let marks = self.watermarks.values().flat_map(|mark| [i64::from(mark.is_idle), mark.value]);
        writer.numbers("watermarks", &marks.collect::<Vec<_>>())?;
        match &self.state {
            State::Panes(panes) => panes.save(writer),
            State::Sessions(sessions) => sessions.save(writer),
        }
    }

    fn read(&mut self, reader: &mut SectionReader<'_>) -> Result<(), SaveError> {
        let watermarks = reader.numbers("watermarks", 2 * self.watermarks.len())?;
        for (mark, saved) in self.watermarks.values_mut().zip(watermarks.chunks_exact(2)) {
            *mark = Mark { is_idle: saved[0] == 1, value: saved[1] };
        }
        match &mut self.state {
            State::Panes(panes) => panes.restore(reader),
            State::Sessions(sessions) => sessions.restore(reader),
        }
    }
}
