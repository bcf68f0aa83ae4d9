//! Tables that are made again from the streams, while all others keep their state.
//!
//! ```text
//!   messages from the first one on ─▶ a step of these tables alone ─┐ at the message where the restored state is
//!   snapshot ─────────────────────▶ the restored state, without them ┴─▶ the state, as if it had read all of them
//! ```
//!
//! What becomes of an event is decided as it was then: repeats, watermarks and silence follow from the messages, and whether
//! an event is late for every table is asked of all that read its stream.

use std::mem;
use std::sync::Arc;

use super::step::Step;
use super::tables::Tables;
use crate::feature::LivePlan;
use crate::pipeline::{Pipeline, StreamIndex, TableIndex};
use crate::step::StepError;
use crate::window::References;

impl Step {
    /// An empty state that only these tables are to be taken from, once it has read every message of every stream: it makes no
    /// vectors, and other tables may stay empty.
    pub fn of_tables(
        pipeline: &Arc<Pipeline>,
        references: References,
        tables: &[TableIndex],
    ) -> Result<Self, StepError> {
        let mut step = Self::new(Arc::clone(pipeline))?;
        step.set_references(references);
        step.tables.feed_only(tables);
        step.leave_vectors_out();
        Ok(step)
    }

    /// From now on these as-of tables, which are empty, stay so: their keys were never seen. Which events are late for them is
    /// counted, and those that their expressions fail on are dead letters.
    pub fn leave_empty(&mut self, tables: &[TableIndex]) {
        for stream in &mut self.tables.of_stream {
            let (empty, fed) = stream.fed.iter().copied().partition(|table| tables.contains(table));
            (stream.empty, stream.fed) = (empty, fed);
        }
    }

    /// Takes these tables from a state that has read the same messages, and leaves it its own.
    pub fn take_over(&mut self, from: &mut Self, tables: &[TableIndex]) {
        self.tables.take_over(&mut from.tables, tables);
    }
}

impl Tables {
    /// From now on nothing but these tables takes in events, and what tells which events are late for all.
    fn feed_only(&mut self, tables: &[TableIndex]) {
        for stream in &mut self.of_stream {
            stream.fed.retain(|table| tables.contains(table));
        }
        let (pipeline, places) = (&self.pipeline, &self.places);
        let as_of = tables.iter().map(|table| pipeline.table(*table));
        let as_of = as_of.filter(|table| matches!(table.plan, LivePlan::AsOf(_)));
        let streams: Vec<&str> =
            as_of.flat_map(|table| &table.streams).map(|stream| pipeline.stream(*stream).name.as_str()).collect();
        for group in self.windows.groups_mut() {
            let is_wanted = group.tables().any(|table| tables.contains(&places[table.0]));
            // An event that is late for its as-of tables counts in them where a window takes it.
            let judges = group.streams().any(|stream| streams.contains(&stream));
            group.feed(is_wanted || judges);
        }
    }

    fn take_over(&mut self, from: &mut Self, tables: &[TableIndex]) {
        for table in tables.iter().map(|table| table.0) {
            mem::swap(&mut self.live[table], &mut from.live[table]);
            self.late_rows[table] = from.late_rows[table];
            self.emitted_rows[table] = from.emitted_rows[table];
        }
        for (index, stream) in self.of_stream.iter_mut().enumerate() {
            let of_stream = self.pipeline.tables_of(StreamIndex(index));
            stream.fed = of_stream.filter_map(|(table, plan)| plan.plan.as_of().map(|_| table)).collect();
            stream.empty.clear();
        }
        let places = &self.places;
        for (own, made) in self.windows.groups_mut().iter_mut().zip(from.windows.groups_mut()) {
            if own.tables().any(|table| tables.contains(&places[table.0])) {
                mem::swap(own, made);
            }
        }
    }
}
