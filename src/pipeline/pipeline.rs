//! A pipeline that can run: every name resolved, every select planned, every contract parsed.

use std::sync::Arc;

use super::index::{StreamIndex, TableIndex};
use super::label::LabelPlan;
use super::names::Names;
use super::reference::ReferencePlan;
use super::score::{ModelPlan, ScorePlan};
use super::state::{OutputPlan, StatePlan};
use super::stream::StreamPlan;
use super::table::TablePlan;
use super::train::TrainPlan;
use crate::feature::{LivePlan, VectorPlan};

/// Everything a [`Step`](crate::step::Step) and a [`Run`](crate::engine::Run) need to know.
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// What it is called in the broker.
    pub names: Names,
    /// The streams it reads, by name.
    pub streams: Vec<StreamPlan>,
    /// The feature tables it keeps, by name.
    pub tables: Vec<TablePlan>,
    /// The tables of facts that events are joined with.
    pub references: Vec<ReferencePlan>,
    /// The vector, when there is anything to score.
    pub vector: Option<Arc<VectorPlan>>,
    /// The model, when there is anything to score.
    pub model: Option<ModelPlan>,
    /// When and where rankings are made.
    pub score: Option<ScorePlan>,
    /// How feedback becomes labels.
    pub labels: Option<LabelPlan>,
    /// How the model learns from them.
    pub train: Option<TrainPlan>,
    /// How the broker keeps what comes out.
    pub output: OutputPlan,
    /// Copies that the broker keeps of each stream that is created.
    pub replicas: usize,
    /// How often outputs are committed and the state is saved.
    pub state: StatePlan,
}

impl Pipeline {
    /// The tables of a stream, each with its index.
    pub fn tables_of(&self, stream: StreamIndex) -> impl Iterator<Item = (TableIndex, &TablePlan)> {
        let tables = self.tables.iter().enumerate().filter(move |(_, table)| table.streams.contains(&stream));
        tables.map(|(index, table)| (TableIndex(index), table))
    }

    /// A stream.
    ///
    /// # Panics
    /// For an index of another pipeline.
    pub fn stream(&self, index: StreamIndex) -> &StreamPlan {
        &self.streams[index.0]
    }

    /// A table.
    ///
    /// # Panics
    /// For an index of another pipeline.
    pub fn table(&self, index: TableIndex) -> &TablePlan {
        &self.tables[index.0]
    }

    /// Whether feedback is joined with what events of its own stream were scored: such impressions are not recorded, they are
    /// made again when the stream is read again.
    pub(crate) fn labels_what_it_scores(&self) -> bool {
        let trigger = self.score.as_ref().and_then(|score| score.trigger.as_ref());
        self.labels.as_ref().zip(trigger).is_some_and(|(labels, trigger)| labels.stream == trigger.stream)
    }

    /// Whether events and requests can go on while these tables are made again: what is late for windows, and what they
    /// emit, can't be told without them.
    pub(crate) fn goes_on_without(&self, tables: &[TableIndex]) -> bool {
        tables.iter().all(|table| matches!(self.table(*table).plan, LivePlan::AsOf(_)))
    }

    /// Whether some of what it reads is somebody else's.
    pub(crate) fn reads_sources(&self) -> bool {
        self.streams.iter().any(|stream| stream.source.is_some())
    }

    /// Whether vectors read a table.
    pub(crate) fn shows(&self, table: TableIndex) -> bool {
        self.vector.as_ref().is_some_and(|vector| vector.tables().any(|shown| shown == table.0))
    }

    /// The stream of this name.
    pub fn stream_named(&self, name: &str) -> Option<StreamIndex> {
        self.streams.iter().position(|stream| stream.name == name).map(StreamIndex)
    }

    /// The table of this name.
    pub fn table_named(&self, name: &str) -> Option<TableIndex> {
        self.tables.iter().position(|table| table.plan.name() == name).map(TableIndex)
    }
}
