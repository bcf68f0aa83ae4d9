//! What is scored, with what, and where rankings go.

use std::sync::Arc;
use std::time::Duration;

use super::index::StreamIndex;
use crate::bus::Subject;
use crate::event::Contract;
use crate::feature::VectorPlan;
use crate::model::{Activation, Binding, Class, Mixing, ScoreOutput};
use crate::score::RequestTime;
use crate::sql::Condition;

/// The model file.
pub struct ModelPlan {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// Name of the output that is the score.
    pub output: Option<String>,
    /// What makes the score of that output.
    pub activation: Option<Activation>,
    /// Column of the output that is the score.
    pub class: Option<Class>,
}

impl ModelPlan {
    /// What models of a pipeline with this vector are bound to.
    pub fn binding<'a>(&'a self, vector: &'a VectorPlan) -> Binding<'a> {
        Binding {
            columns: vector.columns(),
            inputs: Some(vector.inputs()),
            fingerprint: Some(vector.fingerprint().as_str()),
            output: Some(ScoreOutput { name: self.output.as_deref(), class: self.class.as_ref() }),
        }
    }
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
    /// The event time in requests.
    pub time: RequestTime,
    /// Rows of a micro-batch.
    pub batch_rows: usize,
    /// What happens with a model whose rows depend on one another.
    pub mixing: Mixing,
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
    pub stream: StreamIndex,
    /// The condition over its columns.
    pub condition: Condition,
}
