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
use super::refusal::{Refusal, is_told_by_marker};
use crate::bus::{AtomicPublisher, Bus, BusError, StreamSequence};
use crate::commit::CommitError;
use crate::pipeline::{Pipeline, WORKER, output_spec};

/// Batches of outputs without an answer.
const IN_FLIGHT: usize = 4;
/// Claims before giving up: each failure means that somebody else has written in between.
const CLAIMS: usize = 5;

/// Room for markers and for dead letters without what they are about.
const LEAST_ROOM: usize = 3 << 10;

/// Who writes a pipeline's outputs.
#[derive(Clone)]
pub(crate) struct Worker {
    bus: Bus,
    pipeline: Arc<Pipeline>,
    pub(crate) presence: Presence,
}

/// A claim that is stored.
pub(super) struct Claim {
    pub(super) publisher: AtomicPublisher,
    /// This worker's own marker.
    pub(super) marker: Marker,
    /// Where it is in the output stream.
    pub(super) last: StreamSequence,
}

impl Worker {
    /// A worker of its own name.
    pub(crate) fn new(pipeline: &Arc<Pipeline>, bus: &Bus) -> Self {
        let presence = Presence::new(bus, WORKER, &pipeline.name);
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
    pub(super) async fn claim(&self, marker: &Marker, last: StreamSequence) -> Result<Option<Claim>, CommitError> {
        let marker = marker.claimed_by(&self.presence.identity);
        let mut publisher = self.bus.atomic_publisher(&output_spec(&self.pipeline).name, last, IN_FLIGHT).await?;
        let room = publisher.room().most_bytes();
        if room < LEAST_ROOM {
            return Err(CommitError::LittleRoom { room, least: LEAST_ROOM });
        }
        publisher.send(vec![marker.message(self.pipeline.names.commits())?]).await?;
        pass(Place::ClaimSent);
        match publisher.committed().await {
            Ok(Some(last)) => Ok(Some(Claim { publisher, marker, last })),
            Ok(None) | Err(BusError::Fenced { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// How often to claim.
    pub(super) const fn claims() -> usize {
        CLAIMS
    }

    /// Whether no other worker has taken over: the newest marker is ours.
    pub(crate) async fn is_current(&self) -> Result<bool, CommitError> {
        let subject = self.pipeline.names.commits();
        let newest = self.bus.last_message(&output_spec(&self.pipeline).name, &subject).await?;
        Ok(newest.is_some_and(|message| Marker::of(&message).is_ok_and(|marker| marker.writer == self.id())))
    }

    /// Says what became of the output stream where we were refused: it lost what was stored, or somebody else wrote to it.
    pub(super) async fn explain(&self, error: BusError) -> CommitError {
        let stream = output_spec(&self.pipeline).name;
        let newest = match is_told_by_marker(&error) {
            true => self.newest_marker(&stream).await,
            false => None,
        };
        Refusal { pipeline: self.pipeline(), stream, worker: self.id(), error, newest }.explain()
    }

    /// The newest marker, where it can be read.
    async fn newest_marker(&self, stream: &str) -> Option<Marker> {
        let subject = self.pipeline.names.commits();
        let newest = self.bus.last_message(stream, &subject).await.ok()??;
        Marker::of(&newest).ok()
    }
}
