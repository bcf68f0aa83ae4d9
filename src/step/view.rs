//! Views: the state as it was at the end of a step, read on another thread while steps go on.
//!
//! ```text
//!   Step ─ view of some tables ──▶ StepView ─▶ SQL, piece by piece; rows by their keys
//!     │ └─ view of all parts ────▶ StepView ─▶ a snapshot, part by part
//!     │                               ▲ ends when ...
//!     └─ settles the views: what was copied because of them, over the limit?
//! ```
//!
//! Taking one copies pointers, and so takes the step's thread next to no time however large the tables are; what a step then
//! changes is copied first, once for all views that hold it. The few counts that are a part of their own are written at once.
//!
//! A view is the same to its end, or gives [`StepError::ViewEnded`]: when what was copied for views is more than half of what
//! the tables hold, all of it for tables of windows, and more than 64 MiB, the oldest of them ends. No step waits for a view or fails with one.

mod lease;
mod viewed;

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};

use self::lease::{Lease, limit};
use self::viewed::{Held, Until};
use super::saving::{Part, StreamView, in_part, save_counts, table_part};
use super::step::Step;
use super::tables::Tables;
use crate::event::SeenIds;
use crate::feature::LiveTable;
use crate::pipeline::{Pipeline, StreamIndex, TableIndex};
use crate::reference::ReferenceTable;
use crate::snapshot::SaveError;
use crate::step::StepError;
use crate::window::TableGroup;

pub use self::lease::HeldViews;
pub(super) use self::lease::Ledger;
pub(super) use self::viewed::Viewed;

/// Slots of a table that are read at a time.
const PIECE: u32 = 1 << 16;

/// The state as it was at the end of a step: some tables, or all parts. It can be read on any thread.
pub struct StepView {
    pipeline: Arc<Pipeline>,
    tables: Vec<TableIndex>,
    /// Immutable: they are neither copied nor counted.
    references: Vec<Arc<ReferenceTable>>,
    parts: Vec<String>,
    lease: Lease<Viewed>,
}

/// What was found when the views of a step were settled.
pub struct SettledViews {
    /// What those that are out hold.
    pub held: HeldViews,
    /// How many were given up.
    pub given_up: usize,
    /// What of them can be freed now.
    pub ended: EndedViews,
}

/// Views that were given up. Dropping them frees much memory, which takes its time: it is for a thread that has it.
pub struct EndedViews(Vec<Viewed>);

impl Step {
    /// A view of these feature tables, as of the end of the last step, and of these reference tables as events are joined with
    /// them from then on. Unknown names are left out.
    ///
    /// # Errors
    /// When the keys of a table are not what its plan says.
    pub fn view(&mut self, names: &[String]) -> Result<StepView, StepError> {
        let is_wanted = |index: usize| names.iter().any(|name| name == self.pipeline.tables[index].plan.name());
        let parts = self.named_parts().into_iter();
        let parts = parts.filter(|(_, part)| matches!(part, Part::Table(index) if is_wanted(*index))).collect();
        let references = self.pipeline.references.iter().map(|reference| reference.spec.name.as_str());
        let references = references.filter(|reference| names.iter().any(|name| name == reference));
        let references = references.filter_map(|reference| self.references.get(reference).cloned()).collect();
        Ok(StepView { references, ..self.hold(parts)? })
    }

    /// A view of the whole state, as of the end of the last step: what a snapshot is made of.
    ///
    /// # Errors
    /// As [`view`](Self::view), and when the part that is written at once can't be.
    pub fn view_of_parts(&mut self) -> Result<StepView, StepError> {
        self.hold(self.named_parts())
    }

    /// Counts what was copied because of views since this was last done, and ends the oldest while that is too much.
    pub fn settle_views(&mut self) -> SettledViews {
        self.note_copies();
        let Self { views, tables, .. } = self;
        let (given_up, ended) =
            views.end_oldest(|| limit(tables.live.iter().map(LiveTable::size).sum(), tables.windows.size()));
        SettledViews { held: views.held(), given_up, ended: EndedViews(ended) }
    }

    fn note_copies(&mut self) {
        let tables: usize = self.tables.live.iter_mut().map(LiveTable::take_copied).sum();
        let groups: usize = self.tables.windows.groups_mut().iter_mut().map(TableGroup::take_copied).sum();
        let ids = self.streams.iter_mut().filter_map(|stream| stream.seen.as_mut());
        self.views.note(tables + groups + ids.map(SeenIds::held_bytes).sum::<usize>());
    }

    fn hold(&mut self, parts: Vec<(String, Part)>) -> Result<StepView, StepError> {
        // What was copied until now is of the views before this one.
        self.note_copies();
        let Tables { live, windows, late_rows, emitted_rows, .. } = &mut self.tables;
        let (mut tables, mut names, mut viewed) = (Vec::new(), Vec::new(), Vec::new());
        for (name, part) in parts {
            let held = match part {
                Part::Stream(index) => Held::Stream(StreamIndex(index), Box::new(StreamView::of(&self.streams[index]))),
                Part::Table(index) => {
                    tables.push(TableIndex(index));
                    let table = self.pipeline.tables[index].plan.name();
                    let view = live[index].view();
                    Held::Table(view.map_err(|source| StepError::Window { table: table.to_owned(), source })?)
                }
                Part::Group(index) => {
                    let view = windows.groups_mut()[index].view();
                    let view = view.map_err(|source| StepError::Window { table: name.clone(), source })?;
                    Held::Group(Box::new(view))
                }
                Part::Counts => write(&name, |output| save_counts(&self.pipeline, (late_rows, emitted_rows), output))?,
            };
            names.push(name.clone());
            viewed.push((name, held));
        }
        let viewed = Viewed(viewed);
        let written = viewed.written_bytes();
        let lease = self.views.lend(viewed, written);
        Ok(StepView { pipeline: Arc::clone(&self.pipeline), tables, references: Vec::new(), parts: names, lease })
    }
}

impl StepView {
    /// The pipeline whose state it is.
    pub(crate) fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The reference tables, in the order of the pipeline.
    pub(crate) fn references(&self) -> &[Arc<ReferenceTable>] {
        &self.references
    }

    /// The names of the feature tables, in the order of the pipeline.
    pub fn tables(&self) -> Vec<String> {
        self.tables.iter().map(|table| self.pipeline.table(*table).plan.name().to_owned()).collect()
    }

    /// The names of the parts, each to be saved by [`save_part`](Self::save_part).
    pub fn parts(&self) -> &[String] {
        &self.parts
    }

    /// The rows of all feature tables, of 65,536 keys at a time, with NULL for what is no finite number. Each table has its name, and at
    /// least one batch, which may have no rows. What has been read is given back, so that events copy it no more.
    ///
    /// # Errors
    /// When the view was given up, at once or at any batch.
    pub fn into_batches(self) -> Result<impl Iterator<Item = Result<(String, RecordBatch), StepError>>, StepError> {
        let mut pieces = Vec::new();
        for table in self.tables.iter().copied() {
            pieces.extend(self.pieces(table)?.into_iter().map(|slots| (table, slots)));
        }
        Ok(pieces.into_iter().filter_map(move |(table, slots)| self.take(table, slots).transpose()))
    }

    /// The rows of these keys of a table, one each, as of its newest event: NULL in all columns for a key without one, and
    /// where there is no finite number. `None` for a table that the view is not of. It can be asked as often as one likes.
    ///
    /// # Errors
    /// When the keys are of other types than the table's, or the view was given up.
    pub fn read(&self, table: &str, keys: &[ArrayRef]) -> Result<Option<RecordBatch>, StepError> {
        let index = self.tables.iter().find(|index| self.pipeline.table(**index).plan.name() == table);
        let Some(part) = index.map(|index| table_part(&self.pipeline, *index)) else { return Ok(None) };
        let rows = keys.first().map_or(0, |key| key.len());
        let read = self.lease.with(|viewed| viewed.table(&part).map(|view| view.read(keys, rows)).transpose());
        let read = read.map_err(|limit| self.given_up(limit))?;
        read.map_err(|source| StepError::Window { table: table.to_owned(), source })
    }

    /// Writes a part; nothing for a name that is none.
    ///
    /// # Errors
    /// When the view was given up, at the beginning or in between, or the output can't be written.
    pub fn save_part(&self, name: &str, output: &mut dyn Write) -> Result<(), StepError> {
        let saved = self.lease.with(|viewed| {
            let mut output = Until { output, is_over: || self.lease.ended().is_some() };
            viewed.part(name).map_or(Ok(()), |held| held.save(&self.pipeline, &mut output))
        });
        match (saved, self.lease.ended()) {
            (Err(limit), _) | (Ok(Err(_)), Some(limit)) => Err(self.given_up(limit)),
            (Ok(saved), _) => saved.map_err(in_part(name)),
        }
    }

    /// Gives back what is held of a part that has been saved; it can't be read any more.
    pub fn release_part(&self, name: &str) {
        // Freed after the view is given back to whoever ends it.
        drop(self.lease.with(|viewed| viewed.take(name)));
    }

    /// The slots of a table, in pieces.
    fn pieces(&self, table: TableIndex) -> Result<Vec<Range<u32>>, StepError> {
        let part = table_part(&self.pipeline, table);
        let end = self.lease.with(|viewed| viewed.table(&part).map_or(0, |table| table.slots()));
        let end = end.map_err(|limit| self.given_up(limit))?;
        // A table without keys has its columns.
        let starts = (0..end.max(1)).step_by(PIECE as usize);
        Ok(starts.map(|start| start..start.saturating_add(PIECE).min(end)).collect())
    }

    /// Reads a piece of a table, before which nothing is looked at any more.
    fn take(&self, table: TableIndex, slots: Range<u32>) -> Result<Option<(String, RecordBatch)>, StepError> {
        let (part, name) = (table_part(&self.pipeline, table), self.pipeline.table(table).plan.name());
        let rows = self.lease.with(|viewed| {
            let Some(view) = viewed.table(&part) else { return Ok(None) };
            view.release_below(slots.start);
            view.scan(slots).map(Some)
        });
        let rows = rows.map_err(|limit| self.given_up(limit))?;
        let rows = rows.map_err(|source| StepError::Window { table: name.to_owned(), source })?;
        Ok(rows.map(|rows| (name.to_owned(), rows)))
    }

    fn given_up(&self, limit: usize) -> StepError {
        let names = self.tables().iter().map(|table| format!("`{table}`")).collect::<Vec<_>>().join(", ");
        let of = if self.parts.len() > self.tables.len() { "the state".to_owned() } else { names };
        StepError::ViewEnded { of, limit }
    }

    /// Gives the view up, as if it held too much.
    #[cfg(test)]
    pub(crate) fn end(&self) {
        self.lease.end(0);
    }
}

impl EndedViews {
    /// Whether there is nothing to free.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What has no view of its own, written as it is now.
fn write(name: &str, save: impl FnOnce(&mut dyn Write) -> Result<(), SaveError>) -> Result<Held, StepError> {
    let mut bytes = Vec::new();
    save(&mut bytes).map_err(in_part(name))?;
    Ok(Held::Written(bytes))
}

#[cfg(test)]
mod tests;
