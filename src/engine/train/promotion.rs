//! From weights to a version that serves: the gate's decision, what a person asks for, and what others promote.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::learning::Learning;
use super::refusals::Refusals;
use super::resume::new_trainer;
use crate::clock;
use crate::engine::EngineError;
use crate::engine::serve::{fetch, load};
use crate::engine::telemetry::{GateOutcome, record_evaluation, record_gate};
use crate::fault::{Judged, Judgement, Remedy};
use crate::learn::{GateDecision, Refusal};
use crate::model::{ModelVersion, Scorer};
use crate::pipeline::Pipeline;
use crate::registry::{Control, ModelRecord, Pointer, Registry, Training as TrainedTo};

/// Why the gate has promoted something.
const PASSED: &str = "not worse than the active model on the newest examples";

/// What the gate decides on: the weights in training...
const WEIGHTS: &str = "weights";
/// ...and a version that a person has named.
const CANDIDATE: &str = "candidate";

/// Who moves the pointer: a roll-back is held against the gate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Move {
    OfTheGate,
    OfAPerson,
}

/// Whether what was decided on the pointer that is known still stands.
fn may_move(current: &Pointer, known: &Pointer, by: Move) -> bool {
    current.active == known.active && (by == Move::OfAPerson || !current.held)
}

/// The version that the gate is to decide on. One that can't be used is none, and an error in the log.
pub(super) async fn load_candidate(
    pipeline: &Arc<Pipeline>,
    registry: &Registry,
    pointer: &Pointer,
) -> Result<Option<Scorer>, EngineError> {
    let Some(version) = &pointer.candidate else { return Ok(None) };
    match fetch(pipeline, registry, version).await {
        Err(error) if error.remedy() != Remedy::Wait => {
            tracing::error!(%version, %error, "the gate decides on no candidate: it can't be used");
            Ok(None)
        }
        outcome => outcome.map(Some),
    }
}

impl Learning {
    /// Does what the gate has decided on the present weights.
    pub(super) fn act(&mut self, decision: GateDecision) -> Result<(), EngineError> {
        self.note(WEIGHTS, &decision);
        match decision {
            GateDecision::Promote if self.pointer.held => {
                tracing::debug!("not promoted: the pipeline was rolled back, and nobody has promoted or resumed since");
            }
            GateDecision::Promote => match self.promote(PASSED, Move::OfTheGate) {
                Err(error) if error.is_lost_race() => self.give_way(&error)?,
                outcome => drop(outcome?),
            },
            GateDecision::Refuse { because, reason } => self.refuse(WEIGHTS, because, &reason),
            GateDecision::Wait { reason } => tracing::debug!(reason, "no candidate yet"),
            GateDecision::Stop { reason } => self.halt(reason, Judgement::DATA),
        }
        Ok(())
    }

    /// Does what the gate has decided on a version that a person has named; what it has decided on the present weights, where
    /// that one does not take over.
    pub(super) fn act_on_candidate(
        &mut self,
        candidate: GateDecision,
        decision: GateDecision,
    ) -> Result<(), EngineError> {
        self.note(CANDIDATE, &candidate);
        match (candidate, self.pointer.candidate.clone()) {
            (GateDecision::Promote, Some(version)) if !self.pointer.held => return self.promote_candidate(&version),
            (GateDecision::Refuse { because, reason }, _) => self.refuse(CANDIDATE, because, &reason),
            (GateDecision::Wait { reason }, _) => tracing::debug!(reason, "nothing is decided on the candidate yet"),
            _ => {}
        }
        self.act(decision)
    }

    /// Counts a decision, and keeps it for whoever asks. A promotion is counted where the pointer has moved.
    fn note(&mut self, of: &'static str, decision: &GateDecision) {
        let held = "passed, and is not promoted: a roll-back is held until `tidewheel model promote` or `tidewheel model resume`";
        let (outcome, text) = match decision {
            GateDecision::Promote if self.pointer.held => (Some(GateOutcome::Held), held.to_owned()),
            GateDecision::Promote => (None, format!("passed: {PASSED}")),
            GateDecision::Refuse { reason, .. } => (Some(GateOutcome::Refused), format!("refused: {reason}")),
            GateDecision::Wait { reason } => (Some(GateOutcome::Waiting), format!("waiting: {reason}")),
            GateDecision::Stop { reason } => (Some(GateOutcome::Stopped), format!("stopped: {reason}")),
        };
        if *decision == GateDecision::Promote {
            self.refusals(of).end();
        }
        if let Some(outcome) = outcome {
            record_gate(&self.pipeline.name, of, outcome);
        }
        self.gate = Some(format!("{of} {text}"));
    }

    fn refusals(&mut self, of: &'static str) -> &mut Refusals {
        if of == CANDIDATE { &mut self.candidate_refusals } else { &mut self.refusals }
    }

    /// Tells of a refusal, unless the same was told not long ago.
    fn refuse(&mut self, of: &'static str, because: Refusal, reason: &str) {
        let candidate = self.pointer.candidate.as_ref().filter(|_| of == CANDIDATE).map(ToString::to_string);
        match self.refusals(of).note(because, clock::now()) {
            Some(times) => tracing::warn!(version = candidate, reason, times, "the gate promotes nothing"),
            None => tracing::debug!(version = candidate, reason, "the gate promotes nothing"),
        }
    }

    fn promote_candidate(&mut self, version: &ModelVersion) -> Result<(), EngineError> {
        let (patient, known) = (&self.registry, &self.pointer);
        let registry = &patient.registry;
        let moved = patient.ask("promote the candidate", || async {
            let current = registry.pointer().await?.ok_or(EngineError::NoModel)?;
            if current.active == *version {
                return Ok(current);
            }
            let is_same = may_move(&current, known, Move::OfTheGate) && current.candidate.as_ref() == Some(version);
            let revision = if is_same { current.revision } else { known.revision };
            Ok::<_, EngineError>(registry.promote(version, revision, PASSED, clock::unix_micros()).await?)
        });
        match moved {
            Err(error) if error.is_lost_race() => self.give_way(&error),
            moved => {
                let moved = moved?;
                self.promoted += 1;
                record_gate(&self.pipeline.name, CANDIDATE, GateOutcome::Promoted);
                self.follow(moved)
            }
        }
    }

    /// Somebody else was faster, and a person before the gate.
    fn give_way(&mut self, error: &EngineError) -> Result<(), EngineError> {
        tracing::warn!(%error, "not promoted: somebody else moved the pointer");
        let registry = &self.registry;
        let pointer = registry.ask("read the pointer", || registry.registry.pointer())?;
        self.follow(pointer.ok_or(EngineError::NoModel)?)
    }

    /// Stores the present weights as a version and moves the pointer to it.
    fn promote(&mut self, reason: &str, by: Move) -> Result<ModelVersion, EngineError> {
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
        let (patient, known, keep) = (&self.registry, &self.pointer, self.plan.keep);
        let (registry, fingerprint) = (&patient.registry, &self.head.fingerprint);
        let moved = patient.ask("promote", || async {
            let current = registry.pointer().await?.ok_or(EngineError::NoModel)?;
            let moved = match current.active == version {
                // An earlier try has moved it, and did not hear so.
                true => current,
                false => {
                    // Removing old versions and control groups change the pointer too: no race is lost then.
                    let revision = if may_move(&current, known, by) { current.revision } else { known.revision };
                    let parent = registry.record(&known.active).await?;
                    let now = clock::unix_micros();
                    let record = ModelRecord::trained(&bytes, &parent, fingerprint, trained.clone(), now);
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
        if by == Move::OfTheGate {
            record_gate(&self.pipeline.name, WEIGHTS, GateOutcome::Promoted);
        }
        Ok(version)
    }

    /// Keeps the present weights as what lift is measured against, and in service for a share of the people.
    pub(super) fn freeze(&mut self, share: Option<f64>) -> Result<ModelVersion, EngineError> {
        let version = self.promote("frozen, to compare with", Move::OfAPerson)?;
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
        if pointer.held && !self.pointer.held {
            tracing::warn!(
                model = %pointer.active,
                "rolled back: training goes on, and promotes nothing until `tidewheel model promote` or `tidewheel model resume`"
            );
        }
        if pointer.active != self.pointer.active {
            tracing::warn!(model = %pointer.active, "another model was made active: training goes on from its weights");
            let registry = &self.registry;
            let bytes = registry.ask("fetch the active model", || registry.registry.fetch(&pointer.active))?;
            let (trainer, scorer) = (new_trainer(&self.pipeline, &self.plan, &bytes)?, load(&self.pipeline, &bytes)?);
            self.learner.set_trainer(trainer);
            self.learner.set_active(scorer);
            let record =
                registry.ask("read the active model's record", || registry.registry.record(&pointer.active))?;
            self.head.root = record.root.to_string();
            self.head.parent = pointer.active.to_string();
        }
        if pointer.candidate != self.pointer.candidate {
            let (registry, pipeline) = (&self.registry, &self.pipeline);
            let load = || load_candidate(pipeline, &registry.registry, &pointer);
            self.learner.set_candidate(registry.ask("fetch the candidate", load)?);
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
