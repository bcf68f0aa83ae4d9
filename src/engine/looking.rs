//! Looks at a stream that is somebody else's, now and then: how far it has come, when all that is to be read of it has been, and
//! whether it still follows its origin, where it is a mirror.
//!
//! What is taken note of is committed with the next marker, and by the last one when the pipeline stops: until the last look is
//! over, this holds the way open by which markers come.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::input::Input;
use crate::bus::{Bus, BusError, FedBy, StreamSequence};
use crate::commit::{CommitError, OnLoss, Position, Seen};
use crate::pipeline::{Pipeline, StreamIndex};

/// The time between two looks.
const EVERY: Duration = Duration::from_secs(10);
/// Where nothing was committed for so long at the end, nothing waits to be.
const QUIET: Duration = Duration::from_millis(400);
/// The last looks, at the end, may take so long.
const LAST: Duration = Duration::from_millis(1_500);

/// Looks at one stream.
pub(super) struct Looker {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) stream: StreamIndex,
    pub(super) bus: Bus,
    pub(super) seen: Seen,
    /// How far it is read and committed.
    pub(super) settled: watch::Receiver<Position>,
    /// Held.
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) on_loss: OnLoss,
}

/// What a look has found.
struct Found {
    /// How far the stream was read and committed.
    read: StreamSequence,
    /// Where it ended, if nothing up to there was left to be read.
    end: Option<StreamSequence>,
    /// What is wrong with the origin of a mirror.
    strayed: Option<String>,
}

impl Looker {
    /// Looks until told to stop, and a last time then.
    pub(super) async fn look(mut self, stop: CancellationToken) -> Result<(), EngineError> {
        let mut looks = tokio::time::interval(EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut before, mut is_told) = (None, false);
        loop {
            let found = tokio::select! {
                () = stop.cancelled() => {
                    // What they would say is only missed where the stream is emptied before the next start.
                    let _late = timeout(LAST, self.look_at_the_end()).await.is_err();
                    drop(self.inputs);
                    return Ok(());
                }
                _ = looks.tick() => self.once().await,
            };
            match found {
                Ok(found) => {
                    // What has just been read may not be committed yet.
                    if before.replace(found.read) == Some(found.read) {
                        self.note(&found);
                    }
                    self.judge(found.strayed, &mut is_told)?;
                }
                Err(error) => {
                    tracing::debug!(%error, stream = self.held_in(), "nobody says how far the stream has come")
                }
            }
        }
    }

    fn held_in(&self) -> &str {
        &self.pipeline.stream(self.stream).held_in
    }

    async fn once(&self) -> Result<Found, BusError> {
        let plan = self.pipeline.stream(self.stream);
        let read = self.settled.borrow().of(self.stream);
        // Where it ends is asked first: what comes between the two questions is found by the second.
        let state = plan.bus(&self.bus).stream_state(&plan.held_in).await?;
        let is_read = plan.last(&self.bus).await?.unwrap_or(StreamSequence(0)) <= read;
        let strayed = match state.fed_by {
            FedBy::Origin => plan.bus(&self.bus).strayed(&plan.held_in).await?,
            FedBy::Publishers | FedBy::Sources => None,
        };
        Ok(Found { read, end: is_read.then_some(state.last), strayed })
    }

    fn note(&self, found: &Found) {
        if let Some(end) = found.end {
            self.seen.note(self.stream, found.read, end);
        }
    }

    /// Looks until all that was taken is committed.
    async fn look_at_the_end(&mut self) -> Result<(), BusError> {
        loop {
            self.settled.mark_unchanged();
            let found = self.once().await?;
            match timeout(QUIET, self.settled.changed()).await {
                Ok(Ok(())) => {}
                // It is quiet, or nobody commits any more.
                Err(_) | Ok(Err(_)) => {
                    self.note(&found);
                    return Ok(());
                }
            }
        }
    }

    /// A mirror that has lost its origin ends the pipeline, unless losses are accepted.
    fn judge(&self, strayed: Option<String>, is_told: &mut bool) -> Result<(), CommitError> {
        let Some(what) = strayed else { return Ok(()) };
        let strayed = CommitError::strayed(self.held_in(), &what);
        if self.on_loss == OnLoss::Stop {
            return Err(strayed);
        }
        if !mem::replace(is_told, true) {
            tracing::error!(error = %strayed, "going on with what the mirror holds, as was asked for");
        }
        Ok(())
    }
}
