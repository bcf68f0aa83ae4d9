//! A pipeline that can run: every name resolved, every select planned, every contract parsed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion::physical_expr::PhysicalExpr;

use crate::bus::Subject;
use crate::event::{Contract, DecodeSettings, PartitionedWatermark, TimeUnit};
use crate::feature::{LivePlan, VectorPlan};
use crate::learn::{JoinSettings, LearnerSettings};
use crate::model::train::TrainSettings;
use crate::reference::{ReferenceSpec, ReferenceTable};
use crate::window::Budget;

/// Everything a [`Step`](crate::step::Step) and a [`Run`](crate::engine::Run) need to know.
pub struct Pipeline {
    /// Its name: dead letters go to `<name>.dead`.
    pub name: String,
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

impl StreamPlan {
    /// The stream's watermark before its first event.
    pub(crate) fn watermark(&self) -> PartitionedWatermark {
        PartitionedWatermark::new(self.disorder, self.idle)
    }
}

impl TablePlan {
    /// How far the events of an as-of table may be out of order.
    pub(crate) fn disorder(&self, pipeline: &Pipeline) -> Duration {
        self.streams.first().map_or(Duration::ZERO, |stream| pipeline.streams[*stream].disorder)
    }
}

/// How the broker keeps what comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputPlan {
    /// For how long.
    pub retain: Duration,
    /// How many bytes.
    pub max_bytes: u64,
    /// Whether a full stream drops its oldest messages; otherwise the pipeline waits.
    pub drops_oldest: bool,
}

/// How often outputs are committed and the state is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatePlan {
    /// How long outputs wait for others before they are committed together.
    pub epoch: Duration,
    /// The time between two snapshots.
    pub checkpoint: Duration,
    /// Where snapshots are kept: a folder, or an address such as `s3://bucket/prefix`; a folder beside the pipeline's other
    /// files when absent.
    pub snapshots: Option<String>,
}

/// One stream of events.
pub struct StreamPlan {
    /// The relation's name in SQL.
    pub name: String,
    /// Subjects of the events, wildcards allowed.
    pub subjects: Vec<String>,
    /// The events' contract.
    pub contract: Arc<Contract>,
    /// How events are decoded.
    pub decode: DecodeSettings,
    /// The column of the event id, if repeated events are to be dropped, and how many ids are remembered.
    pub ids: Option<(String, usize)>,
    /// How far events may be out of order.
    pub disorder: Duration,
    /// Whether each concrete subject is a partition with a watermark of its own; else the stream is one.
    pub partition_by_subject: bool,
    /// How long a partition, or the stream beside others, may be silent before it holds no watermark back.
    pub idle: Duration,
    /// Whether late events go to the dead-letter subject.
    pub dead_letter_late: bool,
    /// How long the broker keeps events.
    pub retain: Duration,
    /// How many bytes of events it keeps.
    pub max_bytes: u64,
}

/// One feature table.
pub struct TablePlan {
    /// Its plan.
    pub plan: LivePlan,
    /// Indices of its streams: one, or those that a table of windows reads under UNION ALL.
    pub streams: Vec<usize>,
    /// How long rows of a table of windows can be looked up after the end of their windows.
    pub retention: Duration,
    /// Where emitted rows are published.
    pub publish: Option<Subject>,
    /// Whether emitted rows are kept in a Delta table.
    pub history: bool,
    /// DataFusion's logical plan of its select, as text.
    pub logical: String,
    /// How much memory it may take.
    pub budget: Budget,
}

/// A table of facts that events are joined with.
pub struct ReferencePlan {
    /// Its name, what a row is found by, and how the rows are to be read.
    pub spec: ReferenceSpec,
    /// Where they are.
    pub source: ReferenceSource,
    /// How often a file is looked at for changes.
    pub refresh: Duration,
    /// The rows when the pipeline was checked; none of a bucket.
    pub table: Arc<ReferenceTable>,
}

/// Where the rows of a reference table are.
pub enum ReferenceSource {
    /// A file.
    File(PathBuf),
    /// A key-value bucket of the broker.
    Bucket(String),
}

/// The model file.
pub struct ModelPlan {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// Name of the output that is the score.
    pub output: Option<String>,
}

/// When rankings are made, and where they go.
pub struct ScorePlan {
    /// The subject that requests come to, and their contract.
    pub service: Option<(Subject, Arc<Contract>)>,
    /// The events that are scored by themselves.
    pub trigger: Option<Trigger>,
    /// Where every ranking is published.
    pub publish: Option<Subject>,
    /// The column of candidates.
    pub item: String,
    /// The column that says who is asked for.
    pub user: Option<String>,
    /// Name and unit of the event time in requests.
    pub time: (String, TimeUnit),
    /// Rows of a micro-batch.
    pub batch_rows: usize,
    /// How long the first row of a micro-batch waits for others.
    pub linger: Duration,
    /// Requests that may wait.
    pub queue: usize,
    /// Candidates of one request.
    pub max_items: usize,
}

/// The events of a stream for which a condition holds.
pub struct Trigger {
    /// Index of the stream.
    pub stream: usize,
    /// The condition over its columns.
    pub condition: Arc<dyn PhysicalExpr>,
}

/// How what people do becomes labels of what they were shown.
pub struct LabelPlan {
    /// Index of the stream whose events are feedback.
    pub stream: usize,
    /// Columns that feedback and the rows that were scored share.
    pub join: Vec<String>,
    /// The condition over the stream's columns that makes an event positive feedback.
    pub positive: Arc<dyn PhysicalExpr>,
    /// How long, how many and which candidates are remembered.
    pub settings: JoinSettings,
    /// How long the broker keeps examples.
    pub retain: Duration,
}

/// How the model learns.
#[derive(Clone)]
pub struct TrainPlan {
    /// Loss, optimiser and what is left as it is.
    pub settings: TrainSettings,
    /// What a learner does beside single steps.
    pub learner: LearnerSettings,
    /// How long the first new example waits for others.
    pub linger: Duration,
    /// How often weights and position are saved.
    pub checkpoint: Duration,
    /// Versions that the registry keeps.
    pub keep: usize,
}

impl Pipeline {
    /// The tables of a stream, each with its index.
    pub fn tables_of(&self, stream: usize) -> impl Iterator<Item = (usize, &TablePlan)> {
        self.tables.iter().enumerate().filter(move |(_, table)| table.streams.contains(&stream))
    }
}
