//! What comes to the training thread, how training runs, and where it stands.
//!
//! Four commands wait at most (`QUEUED` in `training.rs`), each with at most 1,024 messages of examples. While the thread learns,
//! or waits for the broker, reading waits; the examples stay in their stream.

use std::path::PathBuf;

use serde::Serialize;
use tokio::sync::oneshot;

use crate::bus::Message;
use crate::engine::EngineError;
use crate::fault::Judgement;
use crate::learn::EvaluationReport;
use crate::model::ModelVersion;
use crate::registry::Pointer;

/// How training runs.
#[derive(Debug, Clone, Default)]
pub struct TrainingOptions {
    /// Where copies of models are kept, if anywhere.
    pub copies: Option<PathBuf>,
    /// After so many examples the model is frozen as what lift is measured against, instead of the first promoted one.
    pub freeze_after: Option<u64>,
    /// Examples that the evaluation remembers; the default of the settings when absent.
    pub remembered: Option<usize>,
}

/// Where training stands.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TrainingReport {
    /// Examples learnt from since the lineage began.
    pub examples: u64,
    /// The last message of examples that was learnt from.
    pub position: u64,
    /// Steps since the lineage began.
    pub steps: u64,
    /// Batches that could not be learnt from.
    pub skipped: u64,
    /// Examples that were left out of their batches since the start of this process, because the model can't learn from them.
    pub left_out: u64,
    /// Versions promoted since the start of this process.
    pub promoted: u64,
    /// What the gate said last.
    pub gate: Option<String>,
    /// Why training has stopped, if it has.
    pub stopped: Option<String>,
    /// Whose fault that is.
    #[serde(skip)]
    pub(super) judgement: Option<Judgement>,
    /// How well the model does on what it had not learnt yet.
    pub evaluation: Option<EvaluationReport>,
}

/// What the training thread is told.
pub(crate) enum Command {
    Examples(Vec<Message>),
    /// The pointer moved.
    Moved(Box<Pointer>),
    /// Make a version of the present weights, promote it, and keep it as the control of this share of the people.
    Freeze {
        share: f64,
        reply: oneshot::Sender<Result<ModelVersion, EngineError>>,
    },
    /// Evaluate now.
    Report(oneshot::Sender<TrainingReport>),
    /// What brings examples, or follows the pointer, has failed for good.
    Halt(EngineError),
}
