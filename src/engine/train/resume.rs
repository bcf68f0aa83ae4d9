//! Where training goes on: at its checkpoint, if that is of the lineage that serves.

use std::sync::Arc;

use bytes::Bytes;

use super::command::TrainingOptions;
use super::learning::{Learning, Signals};
use super::origins::Origins;
use super::other_vectors::OtherVectors;
use super::patient_registry::PatientRegistry;
use super::promotion::load_candidate;
use super::refusals::Refusals;
use crate::clock;
use crate::engine::EngineError;
use crate::engine::serve::{fetch, load};
use crate::learn::{CHECKPOINT_FORMAT, CheckpointHead, Examples, LearnError, Learner, read_head};
use crate::model::ModelError;
use crate::model::onnx::Document;
use crate::model::train::Trainer;
use crate::pipeline::{Pipeline, TrainPlan};
use crate::registry::Pointer;

impl Learning {
    /// Loads what serves and where training stood.
    pub(super) async fn open(
        pipeline: Arc<Pipeline>,
        registry: PatientRegistry,
        pointer: &Pointer,
        options: &TrainingOptions,
        signals: Signals,
    ) -> Result<Self, EngineError> {
        let stored = &registry.registry;
        let plan = pipeline.train.clone().ok_or(EngineError::NoTraining)?;
        let vector = pipeline.vector.as_ref().ok_or(EngineError::NoModel)?;
        let fingerprint = vector.fingerprint().as_str().to_owned();
        let active_record = stored.record(&pointer.active).await?;
        let active_bytes = stored.fetch(&pointer.active).await?;
        let compared = pointer.control.as_ref().map_or(&pointer.first, |control| &control.version);
        // The first model may have been of another vector; then lift is against what serves.
        let reference = match fetch(&pipeline, stored, compared).await {
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
        learner.set_candidate(load_candidate(&pipeline, stored, pointer).await?);
        let fresh = CheckpointHead {
            format: CHECKPOINT_FORMAT,
            fingerprint,
            root: active_record.root.to_string(),
            parent: pointer.active.to_string(),
            position: active_record.example_position,
            examples: 0,
            trainer_bytes: 0,
        };
        // A file that was put into the folder learns from all examples that there are; what a person has promoted or rolled
        // back to goes on where training is.
        let is_begun_anew = active_record.root == *pointer.folder_seen(&active_record.root);
        let head = resumed(&mut learner, stored.load_checkpoint().await?, fresh, is_begun_anew)?;
        let batch = Examples::new(vector.inputs());
        let saved_position = head.position;
        Ok(Self {
            pipeline,
            plan,
            registry,
            learner,
            pointer: pointer.clone(),
            head,
            freeze_after: options.freeze_after,
            signals,
            promoted: 0,
            gate: None,
            refusals: Refusals::default(),
            candidate_refusals: Refusals::default(),
            stopped: None,
            is_torn: false,
            saved: clock::now(),
            saved_position,
            batch,
            origins: Origins::default(),
            left_out: 0,
            others: OtherVectors::default(),
        })
    }
}

/// Where training goes on: at its checkpoint, if it has one of what serves.
fn resumed(
    learner: &mut Learner,
    checkpoint: Option<Bytes>,
    fresh: CheckpointHead,
    is_begun_anew: bool,
) -> Result<CheckpointHead, EngineError> {
    Ok(match checkpoint {
        // Somebody made another version active while nobody trained: go on from its weights, at the same position.
        Some(bytes) if belongs(&bytes, &fresh, is_begun_anew) && !leads_to(&bytes, &fresh)? => {
            let (head, _) = read_head(&bytes)?;
            tracing::warn!(model = fresh.parent, "another model was made active: training goes on from its weights");
            CheckpointHead { position: head.position, examples: head.examples, ..fresh }
        }
        Some(bytes) if belongs(&bytes, &fresh, is_begun_anew) => match learner.restore(&bytes, &fresh.fingerprint) {
            Ok(head) => {
                tracing::info!(
                    position = head.position,
                    examples = head.examples,
                    "training goes on from its checkpoint"
                );
                head
            }
            // Other numbers are trained now, or by another optimiser: what was learnt up to here is in what serves.
            Err(LearnError::Model(ModelError::Restore { reason })) => {
                let (head, _) = read_head(&bytes)?;
                tracing::warn!(
                    reason,
                    position = head.position,
                    model = fresh.parent,
                    "the checkpoint is of another training: training goes on from the active model's weights"
                );
                CheckpointHead { position: head.position, examples: head.examples, ..fresh }
            }
            Err(error) => return Err(error.into()),
        },
        _ => fresh,
    })
}

/// Whether training goes on at a checkpoint. One of another vector is left alone, and so is one of another root where the
/// lineage that serves begins anew: its model is gone.
fn belongs(bytes: &[u8], fresh: &CheckpointHead, is_begun_anew: bool) -> bool {
    match read_head(bytes) {
        Ok((head, _)) if head.fingerprint == fresh.fingerprint && (head.root == fresh.root || !is_begun_anew) => true,
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
    Ok(head.root == fresh.root && (head.parent == fresh.parent || head.position == fresh.position))
}

pub(super) fn new_trainer(pipeline: &Pipeline, plan: &TrainPlan, bytes: &[u8]) -> Result<Trainer, EngineError> {
    let (Some(model), Some(vector)) = (&pipeline.model, &pipeline.vector) else { return Err(EngineError::NoModel) };
    Ok(Trainer::new(Document::read(bytes)?, &model.binding(vector), &plan.settings)?)
}
