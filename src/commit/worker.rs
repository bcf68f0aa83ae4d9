//! One worker per pipeline: a second one asks first, and the fence of the output stream decides where asking does not.
//!
//! ```text
//!   start ─▶ "is anybody there?" ──answer──▶ refused: that worker runs the pipeline
//!               └─ nobody, or no answer ─▶ claim: a marker on top of the newest one ─▶ go on
//!   a worker that was thought dead wakes up ─▶ its next batch is refused by the fence ─▶ it stops, and says who took over
//! ```

use std::sync::Arc;

use super::crash::{Place, pass};
use super::marker::Marker;
use super::presence::Presence;
use crate::bus::{AtomicPublisher, Bus, BusError, StreamSequence};
use crate::commit::CommitError;
use crate::pipeline::{Pipeline, output_spec};

/// Batches of outputs without an answer.
const IN_FLIGHT: usize = 4;
/// Claims before giving up: each failure means that somebody else has written in between.
const CLAIMS: usize = 5;

/// Who writes a pipeline's outputs.
#[derive(Clone)]
pub(crate) struct Worker {
    bus: Bus,
    pipeline: Arc<Pipeline>,
    pub(crate) presence: Presence,
}

impl Worker {
    /// A worker of its own name.
    pub(crate) fn new(pipeline: &Arc<Pipeline>, bus: &Bus) -> Self {
        let presence = Presence::new(bus, "worker", &pipeline.name);
        Self { bus: bus.clone(), pipeline: Arc::clone(pipeline), presence }
    }

    pub(crate) fn id(&self) -> &str {
        &self.presence.identity.worker
    }

    pub(crate) fn pipeline(&self) -> &str {
        &self.pipeline.name
    }

    /// Puts a marker of this worker on top of `marker`, which ends the output stream at `last`. From then on no other
    /// worker can write. `None` when somebody else wrote in between.
    pub(crate) async fn claim(
        &self,
        marker: &Marker,
        last: StreamSequence,
    ) -> Result<Option<(AtomicPublisher, Marker, StreamSequence)>, CommitError> {
        let marker = Marker {
            epoch: marker.epoch + 1,
            writer: self.presence.identity.worker.clone(),
            host: self.presence.identity.host.clone(),
            steps: Vec::new(),
            ..marker.clone()
        };
        let mut publisher = self.bus.atomic_publisher(&output_spec(&self.pipeline).name, last, IN_FLIGHT).await?;
        publisher.send(vec![marker.message(Marker::subject(&self.pipeline.name)?)?]).await?;
        pass(Place::ClaimSent);
        match publisher.committed().await {
            Ok(Some(end)) => Ok(Some((publisher, marker, end))),
            Ok(None) | Err(BusError::Fenced { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// How often to claim.
    pub(crate) const fn claims() -> usize {
        CLAIMS
    }

    /// Whether no other worker has taken over: the newest marker is ours.
    pub(crate) async fn is_current(&self) -> Result<bool, CommitError> {
        let subject = Marker::subject(&self.pipeline.name)?;
        let newest = self.bus.last_message(&output_spec(&self.pipeline).name, &subject).await?;
        Ok(newest.is_some_and(|message| Marker::of(&message).is_ok_and(|marker| marker.writer == self.id())))
    }

    /// Says what became of the output stream where we were refused: it lost what was stored, or somebody else wrote to it.
    pub(crate) async fn explain(&self, error: BusError) -> CommitError {
        let stream = output_spec(&self.pipeline).name;
        match error {
            // Whoever wrote the newest marker that is left did so before us.
            BusError::Fenced { expected, found, .. } if found < expected => {
                return CommitError::OutputLost { stream, last: found, known: expected };
            }
            BusError::Fenced { .. } => {}
            BusError::StreamNotFound { .. } => return CommitError::OutputGone { stream },
            error => return error.into(),
        }
        let Ok(subject) = Marker::subject(&self.pipeline.name) else { return error.into() };
        let newest = self.bus.last_message(&stream, &subject).await;
        let newest = newest.ok().flatten().and_then(|message| Marker::of(&message).ok());
        match newest {
            Some(marker) if marker.writer != self.id() => {
                CommitError::Superseded { pipeline: self.pipeline.name.clone(), host: marker.host }
            }
            _ => error.into(),
        }
    }
}
