//! From weights to a version that serves: the gate's decision, what a person asks for, and what others promote.

use bytes::Bytes;
use serde_json::{Value, json};

use super::learning::Learning;
use super::resume::new_trainer;
use crate::clock;
use crate::engine::EngineError;
use crate::engine::serve::{fetch, load};
use crate::engine::telemetry::record_evaluation;
use crate::fault::Judgement;
use crate::learn::GateDecision;
use crate::model::ModelVersion;
use crate::registry::{Control, ModelRecord, Pointer, Training as TrainedTo};

impl Learning {
    /// Does what the gate has decided.
    pub(super) fn act(&mut self, decision: GateDecision) -> Result<(), EngineError> {
        match decision {
            GateDecision::Promote => match self.promote("not worse than the active model on the newest examples") {
                Err(error) if error.is_lost_race() => {
                    tracing::warn!(%error, "not promoted: somebody else moved the pointer");
                    let registry = &self.registry;
                    let pointer = registry.ask("read the pointer", || registry.registry.pointer())?;
                    let pointer = pointer.ok_or(EngineError::NoModel)?;
                    self.follow(pointer)?;
                }
                outcome => drop(outcome?),
            },
            GateDecision::Refuse { reason } => tracing::warn!(reason, "the candidate is not promoted"),
            GateDecision::Wait { reason } => tracing::debug!(reason, "no candidate yet"),
            GateDecision::Stop { reason } => self.halt(reason, Judgement::DATA),
        }
        Ok(())
    }

    /// Stores the present weights as a version and moves the pointer to it.
    fn promote(&mut self, reason: &str) -> Result<ModelVersion, EngineError> {
        let bytes = Bytes::from(self.learner.trainer().document().write());
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
        let (patient, active, keep) = (&self.registry, &self.pointer.active, self.plan.keep);
        let (registry, known) = (&patient.registry, self.pointer.revision);
        let moved = patient.ask("promote", || async {
            let current = registry.pointer().await?.ok_or(EngineError::NoModel)?;
            let moved = match current.active == version {
                // An earlier try has moved it, and did not hear so.
                true => current,
                false => {
                    // Removing old versions and control groups change the pointer too; only another active model is a race
                    // lost.
                    let revision = if current.active == *active { current.revision } else { known };
                    let parent = registry.record(active).await?;
                    let record = ModelRecord::trained(&bytes, &parent, trained.clone(), clock::unix_micros());
                    registry.store(bytes.clone(), &record).await?;
                    registry.promote(&version, revision, reason, clock::unix_micros()).await?
                }
            };
            registry.delete_old(keep).await?;
            Ok::<_, EngineError>(moved)
        })?;
        self.pointer = moved;
        tracing::info!(model = %version, position = self.head.position, "promoted");
        self.learner.set_active(scorer);
        self.head.parent = version.to_string();
        self.promoted += 1;
        Ok(version)
    }

    /// Keeps the present weights as what lift is measured against, and in service for a share of the people.
    pub(super) fn freeze(&mut self, share: Option<f64>) -> Result<ModelVersion, EngineError> {
        let version = self.promote("frozen, to compare with")?;
        if let Some(share) = share {
            let control = Control { version: version.clone(), share };
            let registry = &self.registry;
            let set = || registry.registry.set_control(Some(control.clone()));
            self.pointer = registry.ask("set the control group", set)?;
        }
        let frozen = self.learner.trainer().document().write();
        self.learner.set_reference(load(&self.pipeline, &frozen)?);
        Ok(version)
    }

    /// Somebody else moved the pointer: training goes on from what they chose.
    pub(super) fn follow(&mut self, pointer: Pointer) -> Result<(), EngineError> {
        if pointer.revision <= self.pointer.revision {
            return Ok(());
        }
        if pointer.active != self.pointer.active {
            tracing::warn!(model = %pointer.active, "another model was made active: training goes on from its weights");
            let registry = &self.registry;
            let bytes = registry.ask("fetch the active model", || registry.registry.fetch(&pointer.active))?;
            let (trainer, scorer) = (new_trainer(&self.pipeline, &self.plan, &bytes)?, load(&self.pipeline, &bytes)?);
            self.learner.set_trainer(trainer);
            self.learner.set_active(scorer);
            self.head.parent = pointer.active.to_string();
        }
        if let Some(control) = &pointer.control
            && Some(control) != self.pointer.control.as_ref()
        {
            let (registry, pipeline) = (&self.registry, &self.pipeline);
            let control = || fetch(pipeline, &registry.registry, &control.version);
            let reference = registry.ask("fetch the control group's model", control)?;
            self.learner.set_reference(reference);
        }
        self.pointer = pointer;
        Ok(())
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
