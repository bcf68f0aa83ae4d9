//! The training thread's work: messages of examples to steps, the gate's decisions to versions in the registry.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::command::{Command, TrainingOptions, TrainingReport};
use crate::bus::Message;
use crate::clock;
use crate::engine::EngineError;
use crate::engine::serve::{fetch, load};
use crate::engine::telemetry::{record_evaluation, record_training};
use crate::learn::{
    CHECKPOINT_FORMAT, CheckpointHead, Examples, GateDecision, LearnError, Learner, Learnt, MOST_SKIPPED, decode,
    read_head,
};
use crate::model::onnx::Document;
use crate::model::train::Trainer;
use crate::model::{Binding, ModelVersion};
use crate::pipeline::{Pipeline, TrainPlan};
use crate::registry::{Control, ModelRecord, Pointer, Registry, Training as TrainedTo};

/// The state of training.
pub(crate) struct Learning {
    pipeline: Arc<Pipeline>,
    plan: TrainPlan,
    registry: Registry,
    runtime: Handle,
    learner: Learner,
    pointer: Pointer,
    head: CheckpointHead,
    freeze_after: Option<u64>,
    report: Arc<ArcSwap<TrainingReport>>,
    promoted: u64,
    stopped: Option<String>,
    saved: Instant,
    saved_position: u64,
    batch: Examples,
}

impl Learning {
    /// Loads what serves and where training stood.
    pub(crate) async fn open(
        pipeline: Arc<Pipeline>,
        registry: Registry,
        pointer: &Pointer,
        options: &TrainingOptions,
        runtime: Handle,
        report: Arc<ArcSwap<TrainingReport>>,
    ) -> Result<Self, EngineError> {
        let plan = pipeline.train.clone().ok_or(EngineError::NoTraining)?;
        let vector = pipeline.vector.as_ref().ok_or(EngineError::NoModel)?;
        let fingerprint = vector.fingerprint().as_str().to_owned();
        let active_record = registry.record(&pointer.active).await?;
        let active_bytes = registry.fetch(&pointer.active).await?;
        let compared = pointer.control.as_ref().map_or(&pointer.first, |control| &control.version);
        // The first model may have been of another vector; then lift is against what serves.
        let reference = match fetch(&pipeline, &registry, compared).await {
            Ok(reference) => reference,
            Err(error) => {
                tracing::warn!(version = %compared, %error, "lift is measured against the active model: the first one can't be used");
                load(&pipeline, &active_bytes)?
            }
        };
        let mut settings = plan.learner.clone();
        settings.remembered = options.remembered.unwrap_or(settings.remembered);
        let trainer = new_trainer(&pipeline, &plan, &active_bytes)?;
        let mut learner = Learner::new(trainer, load(&pipeline, &active_bytes)?, reference, settings);
        let fresh = CheckpointHead {
            format: CHECKPOINT_FORMAT,
            fingerprint: fingerprint.clone(),
            root: active_record.root.to_string(),
            parent: pointer.active.to_string(),
            position: active_record.example_position,
            examples: 0,
            trainer_bytes: 0,
        };
        let head = match registry.load_checkpoint().await? {
            // Somebody made another version active while nobody trained: go on from its weights, at the same position.
            Some(bytes) if belongs(&bytes, &fresh) && !leads_to(&bytes, &fresh)? => {
                let (head, _) = read_head(&bytes)?;
                tracing::warn!(
                    model = fresh.parent,
                    "another model was made active: training goes on from its weights"
                );
                CheckpointHead { position: head.position, examples: head.examples, ..fresh }
            }
            Some(bytes) if belongs(&bytes, &fresh) => {
                let head = learner.restore(&bytes, &fingerprint)?;
                tracing::info!(
                    position = head.position,
                    examples = head.examples,
                    "training goes on from its checkpoint"
                );
                head
            }
            _ => fresh,
        };
        let batch = Examples::new(vector.columns().len());
        let saved_position = head.position;
        Ok(Self {
            pipeline,
            plan,
            registry,
            runtime,
            learner,
            pointer: pointer.clone(),
            head,
            freeze_after: options.freeze_after,
            report,
            promoted: 0,
            stopped: None,
            saved: clock::now(),
            saved_position,
            batch,
        })
    }

    /// The last message of examples that the weights have learnt from.
    pub(crate) fn position(&self) -> u64 {
        self.head.position
    }

    /// Learns until the commands end, then saves.
    pub(crate) fn run(mut self, mut commands: mpsc::Receiver<Command>) -> Result<(), EngineError> {
        while let Some(command) = commands.blocking_recv() {
            match command {
                Command::Examples(messages) => self.take(&messages)?,
                Command::Moved(pointer) => self.follow(*pointer)?,
                Command::Freeze { share, reply } => {
                    let frozen = self.freeze(Some(share));
                    // Whoever asked may have gone away; that is no fault of training.
                    let _gone = reply.send(frozen).is_err();
                }
                Command::Report(reply) => {
                    let mut report = self.describe();
                    report.evaluation = Some(self.learner.evaluation());
                    let _gone = reply.send(report).is_err();
                }
            }
            self.report.store(Arc::new(self.describe()));
            if self.saved.elapsed() >= self.plan.checkpoint {
                self.save()?;
            }
        }
        self.save()
    }

    /// Whole messages, in steps of about the configured number of examples.
    fn take(&mut self, messages: &[Message]) -> Result<(), EngineError> {
        let columns = self.batch.columns();
        for (index, message) in messages.iter().enumerate() {
            if self.stopped.is_some() {
                return Ok(());
            }
            if let Err(error) = decode(&message.payload, columns, &self.head.fingerprint, &mut self.batch) {
                tracing::warn!(sequence = message.sequence.0, %error, "a message of examples is left out");
            }
            let is_last = index + 1 == messages.len();
            if self.batch.len() >= self.plan.learner.batch || (is_last && !self.batch.is_empty()) {
                self.step(message.sequence.0)?;
            } else if is_last {
                self.head.position = message.sequence.0;
            }
        }
        Ok(())
    }

    fn step(&mut self, position: u64) -> Result<(), EngineError> {
        let new = self.batch.len() as u64;
        let start = clock::now();
        let mut batch = std::mem::replace(&mut self.batch, Examples::new(0));
        let learnt = match self.learner.learn(&mut batch) {
            // Of the model or its training, not of this program: serving goes on, and a restart finds the same position.
            Err(LearnError::Evaluation(error)) => {
                self.stop(format!("{error}: the score that [model] names must be a probability"));
                return Ok(());
            }
            learnt => learnt?,
        };
        record_training(&self.pipeline.name, new, start.elapsed(), &learnt);
        if let Learnt::Skipped { reason, in_a_row } = &learnt {
            tracing::error!(position, reason, "a batch can't be learnt from: the weights stay as they are");
            let kept = crate::learn::encode(&batch, &self.head.fingerprint)?;
            self.runtime.block_on(self.registry.keep_skipped(position, kept.into()))?;
            if *in_a_row >= MOST_SKIPPED {
                self.stop(format!("{in_a_row} batches in a row could not be learnt from: {reason}"));
            }
        }
        batch.clear();
        self.batch = batch;
        self.head.position = position;
        self.head.examples += new;
        if self.freeze_after.is_some_and(|examples| self.head.examples >= examples) {
            self.freeze_after = None;
            self.freeze(None)?;
        }
        if self.stopped.is_none()
            && let Some(decision) = self.learner.decide()?
        {
            self.act(decision)?;
        }
        Ok(())
    }

    fn act(&mut self, decision: GateDecision) -> Result<(), EngineError> {
        match decision {
            GateDecision::Promote => match self.promote("not worse than the active model on the newest examples") {
                Err(error) if error.is_lost_race() => {
                    tracing::warn!(%error, "not promoted: somebody else moved the pointer");
                    let pointer = self.runtime.block_on(self.registry.pointer())?.ok_or(EngineError::NoModel)?;
                    self.follow(pointer)?;
                }
                outcome => drop(outcome?),
            },
            GateDecision::Refuse { reason } => tracing::warn!(reason, "the candidate is not promoted"),
            GateDecision::Wait { reason } => tracing::debug!(reason, "no candidate yet"),
            GateDecision::Stop { reason } => self.stop(reason),
        }
        Ok(())
    }

    fn stop(&mut self, reason: String) {
        tracing::error!(reason, "training has stopped; serving goes on with the active model");
        self.stopped = Some(reason);
    }

    /// Stores the present weights as a version and moves the pointer to it.
    fn promote(&mut self, reason: &str) -> Result<ModelVersion, EngineError> {
        let bytes = self.learner.trainer().document().write();
        let version = ModelVersion::of(&bytes);
        if version == self.pointer.active {
            return Ok(version);
        }
        // First where training stands: a crash after this finds weights at least as new as those that serve.
        self.save()?;
        let scorer = load(&self.pipeline, &bytes)?;
        let trained = TrainedTo {
            example_position: self.head.position,
            steps: self.learner.trainer().steps(),
            metrics: self.metrics(),
        };
        let (registry, active) = (&self.registry, &self.pointer.active);
        let moved = self.runtime.block_on(async {
            // Removing old versions and control groups change the pointer too; only another active model is a race lost.
            let current = registry.pointer().await?.ok_or(EngineError::NoModel)?;
            let revision = if current.active == *active { current.revision } else { self.pointer.revision };
            let parent = registry.record(active).await?;
            let record = ModelRecord::trained(&bytes, &parent, trained, clock::unix_micros());
            registry.store(bytes.into(), &record).await?;
            let moved = registry.promote(&version, revision, reason, clock::unix_micros()).await?;
            registry.delete_old(self.plan.keep).await?;
            Ok::<_, EngineError>(moved)
        });
        self.pointer = moved?;
        tracing::info!(model = %version, position = self.head.position, "promoted");
        self.learner.set_active(scorer);
        self.head.parent = version.to_string();
        self.promoted += 1;
        Ok(version)
    }

    /// Keeps the present weights as what lift is measured against, and in service for a share of the people.
    fn freeze(&mut self, share: Option<f64>) -> Result<ModelVersion, EngineError> {
        let version = self.promote("frozen, to compare with")?;
        if let Some(share) = share {
            let control = Control { version: version.clone(), share };
            self.pointer = self.runtime.block_on(self.registry.set_control(Some(control)))?;
        }
        let frozen = self.learner.trainer().document().write();
        self.learner.set_reference(load(&self.pipeline, &frozen)?);
        Ok(version)
    }

    /// Somebody else moved the pointer: training goes on from what they chose. Training that has stopped waits for a restart,
    /// which goes on at the position where it stopped.
    fn follow(&mut self, pointer: Pointer) -> Result<(), EngineError> {
        if pointer.revision <= self.pointer.revision {
            return Ok(());
        }
        if pointer.active != self.pointer.active {
            tracing::warn!(model = %pointer.active, "another model was made active: training goes on from its weights");
            let bytes = self.runtime.block_on(self.registry.fetch(&pointer.active))?;
            self.learner.set_trainer(new_trainer(&self.pipeline, &self.plan, &bytes)?);
            self.learner.set_active(load(&self.pipeline, &bytes)?);
            self.head.parent = pointer.active.to_string();
        }
        if let Some(control) = &pointer.control
            && Some(control) != self.pointer.control.as_ref()
        {
            let reference = self.runtime.block_on(fetch(&self.pipeline, &self.registry, &control.version))?;
            self.learner.set_reference(reference);
        }
        self.pointer = pointer;
        Ok(())
    }

    fn save(&mut self) -> Result<(), EngineError> {
        self.saved = clock::now();
        if self.head.position == self.saved_position {
            return Ok(());
        }
        let bytes = self.learner.save(self.head.clone())?;
        self.runtime.block_on(self.registry.save_checkpoint(&bytes))?;
        self.saved_position = self.head.position;
        Ok(())
    }

    fn describe(&self) -> TrainingReport {
        TrainingReport {
            examples: self.head.examples,
            position: self.head.position,
            steps: self.learner.trainer().steps(),
            skipped: self.learner.skipped(),
            promoted: self.promoted,
            stopped: self.stopped.clone(),
            evaluation: None,
        }
    }

    fn metrics(&self) -> Value {
        let report = self.learner.evaluation();
        let Some(horizon) = report.horizons.last() else { return json!({}) };
        record_evaluation(&self.pipeline.name, horizon);
        json!({
            "examples": horizon.rows,
            "positives": horizon.positives,
            "auc": horizon.learning.metrics.auc,
            "log_loss": horizon.learning.metrics.log_loss,
            "calibration": horizon.learning.calibration,
            "reference_auc": horizon.reference.metrics.auc,
            "lift": horizon.lift,
            "horizons": report.horizons,
        })
    }
}

/// Whether a checkpoint is of the lineage that serves. One of another vector or root is left alone: its model is gone.
fn belongs(bytes: &[u8], fresh: &CheckpointHead) -> bool {
    match read_head(bytes) {
        Ok((head, _)) if head.fingerprint == fresh.fingerprint && head.root == fresh.root => true,
        Ok((head, _)) => {
            tracing::warn!(root = head.root, "the checkpoint is of another model or vector: training starts anew");
            false
        }
        Err(error) => {
            tracing::error!(%error, "the checkpoint can't be read: training starts from the active model");
            false
        }
    }
}

/// Whether what serves was made from a checkpoint, or the checkpoint learnt on from what serves. A checkpoint is saved just
/// before the version of its weights is promoted: then both stand at one position.
fn leads_to(bytes: &[u8], fresh: &CheckpointHead) -> Result<bool, LearnError> {
    let (head, _) = read_head(bytes)?;
    Ok(head.parent == fresh.parent || head.position == fresh.position)
}

fn new_trainer(pipeline: &Pipeline, plan: &TrainPlan, bytes: &[u8]) -> Result<Trainer, EngineError> {
    let (Some(model), Some(vector)) = (&pipeline.model, &pipeline.vector) else { return Err(EngineError::NoModel) };
    let binding = Binding {
        columns: vector.columns(),
        fingerprint: Some(vector.fingerprint().as_str()),
        output: model.output.as_deref(),
    };
    Ok(Trainer::new(Document::read(bytes)?, &binding, &plan.settings)?)
}
