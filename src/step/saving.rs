//! The parts that the state of a step is saved as, and back: a [view](super::StepView) writes them.
//!
//! ```text
//!   stream NAME    last message, watermarks of its partitions, ids that were seen
//!   table NAME     an as-of table whole, or the newest rows of a table of windows
//!   windows NAME   tables of windows that share panes, NAME the first: panes, tiles, totals; or the sessions of one
//!   counts         per table: late rows, emitted rows
//! ```
//!
//! Everything that comes out later follows from these parts and from what is read later. A part says under which settings it
//! was made. A table whose parts are of other settings is left [empty](Misfit), to be made again from the streams, and the
//! others keep their state; a stream's part of other settings, and damage anywhere, is an error, and all is made anew.
//!
//! In snapshots of earlier versions, which are still read, all tables of windows are one part `windows`, and instead of
//! `counts` there are `counters`.

mod counts;
mod fit;
mod stream;

use std::io::Read;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) use self::counts::save_counts;
pub use self::fit::Misfit;
pub(super) use self::stream::{StreamView, save_stream};

use self::counts::{restore_counters, restore_counts};
use self::stream::restore_stream;
use super::arrival::StreamState;
use super::step::Step;
use super::tables::Tables;
use crate::feature::{LivePlan, LiveTable};
use crate::pipeline::{Pipeline, StreamPlan, TableIndex, TablePlan};
use crate::snapshot::SaveError;
use crate::step::StepError;
use crate::window::{FeatureTable, NewestRows, References, TableGroup, WindowError, WindowTables};

const COUNTS: &str = "counts";

/// Parts of earlier versions.
const WINDOWS: &str = "windows";
const COUNTERS: &str = "counters";

/// A state that was restored, and the tables that are empty in it.
pub struct Resumed {
    /// The state.
    pub step: Step,
    /// Tables that what was saved does not fit: they are to be made again up to where the state is.
    pub misfits: Vec<Misfit>,
}

/// A part of the state, by its place.
pub(super) enum Part {
    Stream(usize),
    Table(usize),
    Group(usize),
    Counts,
}

impl Step {
    /// The parts, in the order in which they are saved, each as a [view](super::StepView) has it.
    pub(super) fn named_parts(&self) -> Vec<(String, Part)> {
        let streams = self.pipeline.streams.iter().enumerate();
        let streams = streams.map(|(index, plan)| (stream_part(plan), Part::Stream(index)));
        let tables = (0..self.pipeline.tables.len())
            .map(|index| (table_part(&self.pipeline, TableIndex(index)), Part::Table(index)));
        let groups = self.groups().into_iter().enumerate();
        let groups = groups.map(|(index, tables)| (panes_part(&self.pipeline, &tables), Part::Group(index)));
        streams.chain(tables).chain(groups).chain([(COUNTS.to_owned(), Part::Counts)]).collect()
    }

    /// The tables of windows that share panes, by their index in the pipeline.
    fn groups(&self) -> Vec<Vec<TableIndex>> {
        let Tables { windows, places, .. } = &self.tables;
        windows.groups().iter().map(|group| group.tables().map(|table| places[table.0]).collect()).collect()
    }

    /// The state whose parts `read` gives, nothing for one that is not there; several are read at once. Tables that they do
    /// not fit are empty.
    ///
    /// # Errors
    /// When the part of a stream is missing or of other settings, or any part is damaged.
    pub fn restore<R: Read>(
        pipeline: &Arc<Pipeline>,
        references: References,
        read: impl Fn(&str) -> Result<Option<R>, StepError> + Sync,
    ) -> Result<Resumed, StepError> {
        let mut step = Self::new(Arc::clone(pipeline))?;
        let misfits = step.misfits(&read)?;
        let is_earlier = is_earlier(&read)?;
        restore_all(pipeline, step.places(&misfits, is_earlier), &read)?;
        step.set_references(references);
        Ok(Resumed { step, misfits })
    }

    /// Where each part that fits belongs.
    fn places(&mut self, misfits: &[Misfit], is_earlier: bool) -> Vec<(String, Place<'_>)> {
        let fits = |table: &TableIndex| !misfits.iter().any(|misfit| misfit.tables.contains(table));
        let groups = self.groups();
        let Self { pipeline, streams, tables, .. } = self;
        let Tables { live, windows, late_rows, emitted_rows, .. } = tables;
        let mut places = Vec::new();
        for (state, plan) in streams.iter_mut().zip(&pipeline.streams) {
            places.push((stream_part(plan), Place::Stream(state, plan)));
        }
        for (index, (table, plan)) in live.iter_mut().zip(&pipeline.tables).enumerate() {
            if fits(&TableIndex(index)) {
                places.push((table_part(pipeline, TableIndex(index)), Place::Table(table, plan)));
            }
        }
        match is_earlier {
            true if groups.iter().flatten().any(fits) => places.push((WINDOWS.to_owned(), Place::Windows(windows))),
            true => {}
            false => {
                let fitting =
                    windows.groups_mut().iter_mut().zip(&groups).filter(|(_, tables)| tables.iter().all(fits));
                places.extend(fitting.map(|(group, tables)| (panes_part(pipeline, tables), Place::Group(group))));
            }
        }
        let counts = if is_earlier { COUNTERS } else { COUNTS };
        places.push((counts.to_owned(), Place::Counts { is_earlier, late: late_rows, emitted: emitted_rows }));
        places
    }
}

fn restore_all<R: Read>(
    pipeline: &Pipeline,
    places: Vec<(String, Place<'_>)>,
    read: &(impl Fn(&str) -> Result<Option<R>, StepError> + Sync),
) -> Result<(), StepError> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(places.len());
    let waiting = Mutex::new(places.into_iter().enumerate());
    let restore_some = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, (name, place))) = next else { return Ok(()) };
            let input = read(&name).and_then(|input| input.ok_or_else(|| in_part(&name)(SaveError::Absent)));
            let restored = input.and_then(|mut input| place.restore(pipeline, &mut input).map_err(in_part(&name)));
            restored.map_err(|error| (index, error))?;
        }
    };
    let failed: Vec<(usize, StepError)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(restore_some)).collect();
        let ended = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended.filter_map(|ended| ended.unwrap_or(Err((0, StepError::Thread))).err()).collect()
    });
    // The first part that can't be restored, whichever thread was faster.
    failed.into_iter().min_by_key(|(index, _)| *index).map_or(Ok(()), |(_, error)| Err(error))
}

/// Where a part of the state belongs.
enum Place<'a> {
    Stream(&'a mut StreamState, &'a StreamPlan),
    Table(&'a mut LiveTable, &'a TablePlan),
    Group(&'a mut TableGroup),
    Counts {
        is_earlier: bool,
        late: &'a mut Vec<u64>,
        emitted: &'a mut Vec<u64>,
    },
    /// All groups, of an earlier version.
    Windows(&'a mut WindowTables),
}

impl Place<'_> {
    fn restore(self, pipeline: &Pipeline, input: &mut dyn Read) -> Result<(), SaveError> {
        match self {
            Self::Stream(state, plan) => restore_stream(state, plan, input)?,
            Self::Table(table, plan) => *table = restore_table(pipeline, plan, input)?,
            Self::Group(group) => group.restore(input)?,
            Self::Counts { is_earlier, late, emitted } => {
                let restore = if is_earlier { restore_counters } else { restore_counts };
                let counted = restore(pipeline, input)?;
                (*late, *emitted) = (counted.late, counted.emitted);
            }
            Self::Windows(windows) => *windows = WindowTables::restore(windows.plans().to_vec(), input)?,
        }
        Ok(())
    }
}

/// Whether the parts are those of an earlier version.
fn is_earlier<R: Read>(read: &impl Fn(&str) -> Result<Option<R>, StepError>) -> Result<bool, StepError> {
    Ok(read(COUNTS)?.is_none())
}

fn stream_part(plan: &StreamPlan) -> String {
    format!("stream {}", plan.name)
}

/// Tables that a state with these parts has, and the pipeline has no more.
pub(crate) fn tables_gone<'a>(pipeline: &Pipeline, parts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names = parts.filter_map(|part| part.strip_prefix("table "));
    names.filter(|name| pipeline.table_named(name).is_none()).map(str::to_owned).collect()
}

pub(super) fn table_part(pipeline: &Pipeline, table: TableIndex) -> String {
    format!("table {}", pipeline.table(table).plan.name())
}

/// The part of tables that share panes.
fn panes_part(pipeline: &Pipeline, tables: &[TableIndex]) -> String {
    let first = tables.first().map_or("", |table| pipeline.table(*table).plan.name());
    format!("{WINDOWS} {first}")
}

pub(super) fn in_part(name: &str) -> impl Fn(SaveError) -> StepError {
    let part = name.to_owned();
    move |source| StepError::State { part: part.clone(), source }
}

/// A table that can't be saved or restored fails as its state does.
fn saving(error: WindowError) -> SaveError {
    error.in_section("table")
}

fn restore_table(pipeline: &Pipeline, plan: &TablePlan, input: &mut dyn Read) -> Result<LiveTable, SaveError> {
    match &plan.plan {
        LivePlan::AsOf(features) => {
            let disorder = plan.disorder(pipeline).as_micros() as i64;
            let table = FeatureTable::restore(Arc::clone(features), disorder, plan.budget, input);
            table.map(LiveTable::AsOf).map_err(saving)
        }
        LivePlan::Windows(windows) => {
            let retention = i64::try_from(plan.retention.as_micros()).unwrap_or(i64::MAX);
            NewestRows::restore(Arc::clone(windows), retention, input).map(LiveTable::Windows)
        }
    }
}

#[cfg(test)]
mod tests;
