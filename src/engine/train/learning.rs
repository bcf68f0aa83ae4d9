//! The training thread's work: messages of examples to steps, and where it stands to checkpoints.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::command::{Command, TrainingReport};
use super::origins::Origins;
use super::other_vectors::OtherVectors;
use super::patient_registry::PatientRegistry;
use super::refusals::Refusals;
use super::training::READ_ROWS;
use crate::bus::Message;
use crate::clock;
use crate::engine::EngineError;
use crate::engine::telemetry::{Queue, Waiting, record_stopped, record_training};
use crate::fault::{Judged, Judgement};
use crate::learn::{
    CheckpointHead, ExampleError, Examples, LearnError, Learner, Learnt, Lesson, MOST_SKIPPED, decode_complete, encode,
};
use crate::pipeline::{Pipeline, TrainPlan};
use crate::registry::Pointer;

/// The state of training.
pub(super) struct Learning {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) plan: TrainPlan,
    pub(super) registry: PatientRegistry,
    pub(super) learner: Learner,
    pub(super) pointer: Pointer,
    pub(super) head: CheckpointHead,
    pub(super) freeze_after: Option<u64>,
    pub(super) signals: Signals,
    pub(super) promoted: u64,
    /// What the gate said last.
    pub(super) gate: Option<String>,
    pub(super) refusals: Refusals,
    pub(super) candidate_refusals: Refusals,
    pub(super) stopped: Option<Stopped>,
    /// Whether the weights may have moved without their position: then they are not saved.
    pub(super) is_torn: bool,
    pub(super) saved: Instant,
    pub(super) saved_position: u64,
    pub(super) batch: Examples,
    /// The messages that the batch is from.
    pub(super) origins: Origins,
    /// Examples left out since the start of this process.
    pub(super) left_out: u64,
    /// Examples of other vectors, of which nothing has been said yet.
    pub(super) others: OtherVectors,
}

/// Why nothing is learnt any more.
#[derive(Clone)]
pub(super) struct Stopped {
    reason: String,
    judgement: Judgement,
}

/// What the thread tells others.
pub(super) struct Signals {
    /// Where training stands.
    pub(super) report: watch::Sender<Arc<TrainingReport>>,
    /// Cancelled when nothing is learnt any more.
    pub(super) reading: CancellationToken,
}

impl Learning {
    /// The last message of examples that the weights have learnt from.
    pub(super) fn position(&self) -> u64 {
        self.head.position
    }

    /// Learns until the commands end, then saves. What can't be mended by waiting stops training, and the thread goes on to
    /// answer.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) -> Result<(), EngineError> {
        let waiting = Waiting::of(&self.pipeline.name, Queue::Training);
        while let Some(command) = commands.blocking_recv() {
            waiting.record(commands.len());
            let obeyed = self.obey(command).and_then(|()| self.save_now_and_then());
            if let Err(error) = obeyed {
                self.halt(error.to_string(), error.judgement());
            }
            self.report();
        }
        self.others.tell();
        self.save()
    }

    /// Tells where training stands.
    pub(super) fn report(&self) {
        self.signals.report.send_replace(Arc::new(self.describe()));
    }

    fn obey(&mut self, command: Command) -> Result<(), EngineError> {
        match command {
            Command::Examples(messages) => self.take(&messages)?,
            // A restart finds the pointer where it is then.
            Command::Moved(pointer) if self.stopped.is_none() => self.follow(*pointer)?,
            Command::Moved(_) => {}
            Command::Freeze { share, reply } => {
                let frozen = match &self.stopped {
                    None => self.freeze(Some(share)),
                    Some(Stopped { reason, judgement }) => {
                        Err(EngineError::TrainingStopped { reason: reason.clone(), judgement: *judgement })
                    }
                };
                // Whoever asked may have gone away; that is no fault of training.
                let _gone = reply.send(frozen).is_err();
            }
            Command::Report(reply) => {
                let mut report = self.describe();
                report.evaluation = Some(self.learner.evaluation());
                let _gone = reply.send(report).is_err();
            }
            Command::Halt(error) => return Err(error),
        }
        Ok(())
    }

    /// Whole messages, in steps of about the configured number of examples.
    fn take(&mut self, messages: &[Message]) -> Result<(), EngineError> {
        let inputs = self.batch.inputs().clone();
        let is_all = messages.len() < READ_ROWS;
        for (index, message) in messages.iter().enumerate() {
            if self.stopped.is_some() {
                return Ok(());
            }
            match decode_complete(&message.payload, &inputs, &self.head.fingerprint, &mut self.batch) {
                Ok(()) => self.origins.note(self.batch.len(), message.sequence.0),
                Err(ExampleError::Fingerprint { found, examples, .. }) => {
                    self.others.note(found, examples, message.sequence.0);
                }
                Err(error) => {
                    tracing::warn!(sequence = message.sequence.0, %error, "a message of examples is left out");
                }
            }
            let is_last = index + 1 == messages.len();
            if self.batch.len() >= self.plan.learner.batch || (is_last && !self.batch.is_empty()) {
                self.step(message.sequence.0)?;
            } else if is_last {
                self.origins = Origins::default();
                self.head.position = message.sequence.0;
            }
        }
        if is_all {
            self.others.tell();
        }
        Ok(())
    }

    fn step(&mut self, position: u64) -> Result<(), EngineError> {
        let new = self.batch.len() as u64;
        let start = clock::now();
        let mut batch = std::mem::replace(&mut self.batch, Examples::new(0));
        let origins = std::mem::take(&mut self.origins);
        let Lesson { learnt, left_out } = match self.learner.learn(&mut batch) {
            // Found before the weights move: a restart finds the same position.
            Err(LearnError::Evaluation(error)) => {
                let reason = format!(
                    "{error}: the score that [model] names must be a probability; if it is a logit, add activation = \"sigmoid\""
                );
                self.halt(reason, Judgement::OPERATOR);
                return Ok(());
            }
            Err(error) => {
                self.is_torn = true;
                return Err(error.into());
            }
            Ok(lesson) => lesson,
        };
        origins.tell(&left_out);
        self.left_out += left_out.rows.len() as u64;
        record_training(&self.pipeline.name, new, left_out.rows.len() as u64, start.elapsed(), &learnt);
        if let Learnt::Skipped { reason, in_a_row } = &learnt {
            tracing::error!(position, reason, "a batch can't be learnt from: the weights stay as they are");
            let kept = Bytes::from(encode(&batch, self.head.fingerprint.as_str())?);
            let registry = &self.registry;
            registry.ask("keep a skipped batch", || registry.registry.keep_skipped(position, kept.clone()))?;
            if *in_a_row >= MOST_SKIPPED {
                self.halt(format!("{in_a_row} batches in a row could not be learnt from: {reason}"), Judgement::DATA);
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
            match self.learner.decide_on_candidate()? {
                Some(candidate) => self.act_on_candidate(candidate, decision)?,
                None => self.act(decision)?,
            }
        }
        Ok(())
    }

    /// Stops training, and nothing else.
    pub(super) fn halt(&mut self, reason: String, judgement: Judgement) {
        if self.stopped.is_some() {
            return;
        }
        tracing::error!(
            reason,
            position = self.head.position,
            "training has stopped; serving goes on with the active model. Once the cause is mended, start this process again: \
             training goes on where it was saved last"
        );
        record_stopped(&self.pipeline.name, Some(judgement.fault()));
        if !self.registry.try_once(self.registry.registry.note_stopped(&reason)) {
            tracing::debug!("the next start will not say that training had stopped");
        }
        self.signals.reading.cancel();
        self.stopped = Some(Stopped { reason, judgement });
    }

    fn save_now_and_then(&mut self) -> Result<(), EngineError> {
        if self.stopped.is_some() || self.saved.elapsed() < self.plan.checkpoint {
            return Ok(());
        }
        self.save()
    }

    /// Saves where training stands, if that has changed.
    pub(super) fn save(&mut self) -> Result<(), EngineError> {
        if self.head.position != self.saved_position && !self.is_torn {
            let bytes = self.learner.save(self.head.clone())?;
            let registry = &self.registry;
            registry.ask("save a checkpoint", || registry.registry.save_checkpoint(&bytes))?;
            self.saved_position = self.head.position;
        }
        self.saved = clock::now();
        Ok(())
    }

    fn describe(&self) -> TrainingReport {
        TrainingReport {
            examples: self.head.examples,
            position: self.head.position,
            steps: self.learner.trainer().steps(),
            skipped: self.learner.skipped(),
            left_out: self.left_out,
            promoted: self.promoted,
            gate: self.gate.clone(),
            stopped: self.stopped.as_ref().map(|stopped| stopped.reason.clone()),
            judgement: self.stopped.as_ref().map(|stopped| stopped.judgement),
            evaluation: None,
        }
    }
}
