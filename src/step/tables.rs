//! All tables of a pipeline: those that are read as of a moment, and those of windows with what they have emitted.
//!
//! ```text
//!  events ──┬─▶ as-of tables, event by event ◀────────────── look-ups of vectors
//!           └─▶ windows, batch by batch ─▶ emissions ─▶ newest rows, up to the watermark of the event that looks
//! ```
//!
//! An event is late when every table of its stream refuses it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::arrival::Arrival;
use super::output::Emitted;
use crate::event::is_late;
use crate::feature::{LivePlan, LiveTable};
use crate::pipeline::{Pipeline, StreamIndex, TableIndex};
use crate::sql::Failures;
use crate::step::StepError;
use crate::time::EventTime;
use crate::window::{
    Emission, FailedEvent, FeatureTable, NewestRows, References, WindowError, WindowIndex, WindowPlan, WindowTables,
};

/// See the module.
pub(super) struct Tables {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) live: Vec<LiveTable>,
    pub(super) windows: WindowTables,
    references: References,
    /// For each table of windows, its index in the pipeline.
    pub(super) places: Vec<TableIndex>,
    /// Per stream.
    pub(super) of_stream: Vec<OfStream>,
    /// Per table: events that were late for it.
    pub(super) late_rows: Vec<u64>,
    /// Per table: rows emitted.
    pub(super) emitted_rows: Vec<u64>,
    /// Per table, of this step's emissions, those that vectors do not see yet.
    unseen: Vec<VecDeque<usize>>,
    /// What the windows have emitted, on its way out.
    emitted: Vec<Emission>,
    /// How many of this step's emissions are in there or have been.
    queued: usize,
    /// Per table, events of the batch at hand that it leaves out.
    failed: BTreeMap<TableIndex, Failures>,
}

/// The tables of one stream.
pub(super) struct OfStream {
    name: String,
    /// Indices of its as-of tables, with how old an event may be.
    as_of: Vec<(TableIndex, Duration)>,
    /// Those of them that take in its events.
    pub(super) fed: Vec<TableIndex>,
    /// Those that only say which of its events they would leave out.
    pub(super) empty: Vec<TableIndex>,
    has_windows: bool,
}

impl Tables {
    pub(super) fn new(pipeline: &Arc<Pipeline>) -> Result<Self, StepError> {
        let (mut live, mut places, mut plans) = (Vec::new(), Vec::new(), Vec::<Arc<WindowPlan>>::new());
        for (index, table) in pipeline.tables.iter().enumerate() {
            let state = match &table.plan {
                LivePlan::AsOf(plan) => {
                    let disorder = table.disorder(pipeline);
                    FeatureTable::new(Arc::clone(plan), disorder.as_micros() as i64, table.budget).map(LiveTable::AsOf)
                }
                LivePlan::Windows(plan) => {
                    places.push(TableIndex(index));
                    plans.push(Arc::clone(plan));
                    let retention = i64::try_from(table.retention.as_micros()).unwrap_or(i64::MAX);
                    NewestRows::new(Arc::clone(plan), retention).map(LiveTable::Windows)
                }
            };
            live.push(state.map_err(|source| in_table(table.plan.name(), source))?);
        }
        let of_stream = pipeline.streams.iter().enumerate().map(|(stream, plan)| OfStream {
            name: plan.name.clone(),
            as_of: pipeline
                .tables_of(StreamIndex(stream))
                .filter_map(|(index, table)| Some((index, reach(table.plan.as_of()?.reach_micros()))))
                .collect(),
            fed: pipeline
                .tables_of(StreamIndex(stream))
                .filter_map(|(index, table)| table.plan.as_of().map(|_| index))
                .collect(),
            empty: Vec::new(),
            has_windows: pipeline.tables_of(StreamIndex(stream)).any(|(_, table)| table.plan.windows().is_some()),
        });
        Ok(Self {
            of_stream: of_stream.collect(),
            late_rows: vec![0; live.len()],
            emitted_rows: vec![0; live.len()],
            unseen: vec![VecDeque::new(); live.len()],
            emitted: Vec::new(),
            queued: 0,
            failed: BTreeMap::new(),
            windows: WindowTables::new(plans).map_err(StepError::Windows)?,
            references: References::default(),
            pipeline: Arc::clone(pipeline),
            places,
            live,
        })
    }

    /// Puts events into the windows, and tells which are late for every table. What is emitted is appended to `out`.
    pub(super) fn push(
        &mut self,
        stream: StreamIndex,
        arrival: &Arrival,
        out: &mut Vec<Emitted>,
    ) -> Result<Vec<bool>, StepError> {
        let count = arrival.watermarks.len();
        let mut late = vec![true; count];
        if self.of_stream[stream.0].has_windows && count > 0 {
            let of_stream = &self.of_stream[stream.0];
            let emitted = &mut self.emitted;
            let pushed = self.windows.push(&of_stream.name, &arrival.batch, &arrival.watermarks, &mut late, emitted);
            pushed.map_err(StepError::Windows)?;
            self.name_tables(out);
            for FailedEvent { table, row, failed } in self.windows.take_failed() {
                self.failed.entry(self.places[table.0]).or_default().note(row, failed);
            }
        }
        let of_stream = &self.of_stream[stream.0];
        let nobody_reads = [(TableIndex(usize::MAX), Duration::ZERO)];
        let as_of: &[_] = match of_stream.has_windows || !of_stream.as_of.is_empty() {
            true => &of_stream.as_of,
            // Nothing but the label join follows the stream.
            false => &nobody_reads,
        };
        for ((time, watermark), late) in arrival.times().iter().zip(arrival.watermarks_before()).zip(&mut late) {
            for (table, reach) in as_of {
                if is_late(EventTime(*time), watermark, *reach) {
                    self.late_rows.get_mut(table.0).into_iter().for_each(|rows| *rows += 1);
                } else {
                    *late = false;
                }
            }
        }
        Ok(late)
    }

    /// The events of the batch at hand that tables have left out since this was last asked.
    pub(super) fn take_failed(&mut self) -> BTreeMap<TableIndex, Failures> {
        std::mem::take(&mut self.failed)
    }

    /// The reference tables that events are joined with from now on.
    pub(super) fn set_references(&mut self, references: References) {
        self.windows.set_references(references.clone());
        self.references = references;
    }

    /// Moves a stream's watermark without an event; none says that it is silent.
    pub(super) fn advance(
        &mut self,
        stream: StreamIndex,
        watermark: Option<EventTime>,
        out: &mut Vec<Emitted>,
    ) -> Result<(), StepError> {
        let advanced = self.windows.advance(&self.of_stream[stream.0].name, watermark, &mut self.emitted);
        advanced.map_err(StepError::Windows)?;
        self.name_tables(out);
        Ok(())
    }

    /// Hands on what the windows have emitted, under the pipeline's tables.
    fn name_tables(&mut self, out: &mut Vec<Emitted>) {
        for emission in self.emitted.drain(..) {
            let emission = emission.named(|window| self.places[window.0]);
            self.emitted_rows[emission.table.0] += emission.rows.num_rows() as u64;
            out.push(emission);
        }
    }

    /// Hands the events that count to the as-of tables, whole; [`Self::apply`] follows for each.
    pub(super) fn begin(
        &mut self,
        stream: StreamIndex,
        arrival: &Arrival,
        emissions: &[Emitted],
    ) -> Result<(), StepError> {
        let of_stream = &self.of_stream[stream.0];
        let mut noted = Vec::new();
        for table in &of_stream.fed {
            if let LiveTable::AsOf(state) = &mut self.live[table.0] {
                noted.push((*table, begin_one(state, (&of_stream.name, arrival), &self.references)));
            }
        }
        for table in &of_stream.empty {
            if let LiveTable::AsOf(state) = &self.live[table.0] {
                let evaluated = FeatureTable::new(Arc::clone(state.plan()), 0, self.pipeline.table(*table).budget);
                let begun =
                    evaluated.and_then(|mut state| begin_one(&mut state, (&of_stream.name, arrival), &self.references));
                noted.push((*table, begun));
            }
        }
        for (table, failures) in noted {
            let failures = failures.map_err(|source| in_table(self.pipeline.table(table).plan.name(), source))?;
            if !failures.is_empty() {
                self.failed.insert(table, failures);
            }
        }
        self.queue(emissions);
        Ok(())
    }

    fn queue(&mut self, emissions: &[Emitted]) {
        for (index, emission) in emissions.iter().enumerate().skip(self.queued) {
            self.unseen[emission.table.0].push_back(index);
        }
        self.queued = emissions.len();
    }

    /// Gives the keys of what was emitted their slots, before look-ups find theirs.
    pub(super) fn reserve(&mut self, emissions: &[Emitted]) -> Result<(), StepError> {
        for emission in emissions {
            if let LiveTable::Windows(rows) = &mut self.live[emission.table.0] {
                let reserved = rows.reserve(emission);
                reserved.map_err(|source| in_table(self.pipeline.table(emission.table).plan.name(), source))?;
            }
        }
        Ok(())
    }

    /// Applies one event of the batch that was begun.
    pub(super) fn apply(&mut self, stream: StreamIndex, row: usize) {
        for table in &self.of_stream[stream.0].fed {
            if let LiveTable::AsOf(state) = &mut self.live[table.0] {
                state.apply(row);
            }
        }
    }

    /// Shows what was emitted up to a watermark to the look-ups that follow.
    pub(super) fn show(&mut self, watermark: EventTime, emissions: &[Emitted]) -> Result<(), StepError> {
        self.take(watermark, emissions)?;
        for table in &self.places {
            if let LiveTable::Windows(rows) = &mut self.live[table.0] {
                rows.advance(watermark);
            }
        }
        Ok(())
    }

    fn take(&mut self, watermark: EventTime, emissions: &[Emitted]) -> Result<(), StepError> {
        for table in &self.places {
            let LiveTable::Windows(rows) = &mut self.live[table.0] else { continue };
            let unseen = &mut self.unseen[table.0];
            while let Some(emission) = unseen.front().and_then(|index| emissions.get(*index)) {
                if emission.at > watermark {
                    break;
                }
                unseen.pop_front();
                let taken = rows.take(emission);
                taken.map_err(|source| in_table(self.pipeline.table(*table).plan.name(), source))?;
            }
        }
        Ok(())
    }

    /// Ends a step: everything that was emitted is seen, and what no read can want is dropped.
    pub(super) fn settle(
        &mut self,
        stream: StreamIndex,
        watermark: EventTime,
        emissions: &[Emitted],
    ) -> Result<(), StepError> {
        self.queue(emissions);
        self.take(EventTime::END, emissions)?;
        self.queued = 0;
        for (table, state) in self.live.iter_mut().enumerate() {
            let name = self.pipeline.tables[table].plan.name();
            let is_fed = self.pipeline.tables[table].streams.contains(&stream);
            let settled = match state {
                LiveTable::AsOf(state) if is_fed => state.settle(),
                LiveTable::Windows(rows) => {
                    rows.advance(watermark);
                    rows.settle()
                }
                LiveTable::AsOf(_) => Ok(()),
            };
            settled.map_err(|source| in_table(name, source))?;
        }
        Ok(())
    }

    /// Events that were late for a table.
    pub(super) fn late_rows(&self, table: TableIndex) -> u64 {
        match self.places.iter().position(|place| *place == table).map(WindowIndex) {
            Some(windows) => self.windows.late_rows(windows),
            None => self.late_rows.get(table.0).copied().unwrap_or(0),
        }
    }

    /// Keys that a table has given up at its limit of memory.
    pub(super) fn evicted_keys(&self, table: TableIndex) -> u64 {
        match (&self.live[table.0], self.places.iter().position(|place| *place == table).map(WindowIndex)) {
            (_, Some(windows)) => self.windows.evicted_keys(windows),
            (LiveTable::AsOf(state), None) => state.evicted_keys(),
            (LiveTable::Windows(_), None) => 0,
        }
    }

    /// Rows that each table has emitted.
    pub(super) fn emitted_rows(&self) -> &[u64] {
        &self.emitted_rows
    }

    /// Memory of a table, bytes. What tables of windows share counts for each of them.
    pub(super) fn size(&self, table: TableIndex) -> usize {
        let windows = self.places.iter().position(|place| *place == table).map(WindowIndex);
        let windows = windows.map_or(0, |windows| self.windows.size_of(windows));
        windows + self.live.get(table.0).map_or(0, LiveTable::size)
    }

    /// Event time after the newest by which every window has closed and every late row has been emitted.
    pub(super) fn longest_wait(&self) -> i64 {
        let waits = self.windows.plans().iter().map(|plan| plan.longest_wait());
        waits.max().unwrap_or(0)
    }
}

/// Hands a table the events of its stream, and gives those that it leaves out.
fn begin_one(
    state: &mut FeatureTable,
    (stream, arrival): (&str, &Arrival),
    references: &References,
) -> Result<Failures, WindowError> {
    let mut failures = Failures::default();
    let plan = Arc::clone(state.plan());
    if let Some(rows) = plan.source().rows(stream, &arrival.batch, references, &mut failures)? {
        state.begin_received(&rows, &arrival.received, &mut failures)?;
    }
    Ok(failures)
}

fn reach(micros: i64) -> Duration {
    Duration::from_micros(micros.max(0).cast_unsigned())
}

fn in_table(table: &str, source: WindowError) -> StepError {
    StepError::Window { table: table.to_owned(), source }
}
