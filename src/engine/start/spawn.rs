//! The third act: the threads, the tasks around them, and the queues between them.

use std::sync::Arc;

use futures::TryFutureExt;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::claim::Claim;
use super::feed::Reading;
use super::restore::State;
use super::startup::{QUEUED_STEPS, Startup};
use crate::bus::StreamSequence;
use crate::commit::{Beginning, Committed, Committer, Epoch, Marker, Position, Publication, impressions_publisher};
use crate::engine::EngineError;
use crate::engine::input::Input;
use crate::engine::run::Run;
use crate::engine::saving::{save_regularly, store_all};
use crate::engine::serve::ScoringThread;
use crate::engine::step_thread::{Replay, StepThread};
use crate::pipeline::StreamIndex;

/// Impressions that wait for the broker's acknowledgement.
const OUTSTANDING: usize = 4_096;
/// Snapshots that are committed and not stored yet.
const QUEUED_SAVES: usize = 2;

/// The other ends of what a run holds.
pub(super) struct Ends {
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) settled: watch::Sender<Position>,
}

/// What is left to do once the threads run.
pub(super) struct Spawned {
    pub(super) reading: Reading,
    /// Told when the features are as of the start.
    pub(super) rebuilt: oneshot::Receiver<()>,
}

impl Startup<'_> {
    /// Starts the step's thread, the scoring thread, and the tasks that commit, save and keep rows.
    ///
    /// # Errors
    /// When a Delta table can't be opened, or the broker refuses.
    pub(super) async fn spawn(
        &self,
        run: &mut Run,
        claim: Claim,
        state: State,
        ends: Ends,
    ) -> Result<Spawned, EngineError> {
        let State { step, labeller, progress, arms, swaps, reading, history, remaking } = state;
        let (rebuilt_sender, rebuilt) = oneshot::channel();
        let replay = Replay {
            marked: claim.marker.progress.clone(),
            on_loss: self.settings.on_loss,
            present: self.present(&claim.marker).await?,
            rebuilt: Some(rebuilt_sender),
        };
        let save_wanted = Arc::new(Notify::new());
        let (scoring, steps) = mpsc::channel(QUEUED_STEPS);
        let thread = StepThread {
            pipeline: Arc::clone(&self.pipeline),
            step,
            stats: Arc::clone(run.stats()),
            scoring,
            history,
            remaking,
            replay,
            progress,
            is_present: false,
            has_changed: true,
            save_wanted: Arc::clone(&save_wanted),
            storing: None,
        };
        run.spawn_thread("step", move || thread.run(ends.inputs))?;
        let (publish, publications) = mpsc::channel(QUEUED_STEPS);
        let (pipeline, stats) = (Arc::clone(&self.pipeline), Arc::clone(run.stats()));
        let thread = ScoringThread { pipeline, arms, swaps, labeller, stats };
        run.spawn_thread("score", move || thread.run(steps, &publish))?;
        let saves = self.save_snapshots(run, &claim, save_wanted);
        self.commit(run, claim, publications, ends.settled, saves).await?;
        Ok(Spawned { reading, rebuilt })
    }

    /// Where what is read of the streams ends now.
    async fn present(&self, marker: &Marker) -> Result<Position, EngineError> {
        let mut present = marker.progress.position();
        for (index, stream) in self.pipeline.streams.iter().enumerate() {
            let last = stream.last(self.bus).await?;
            present.advance(StreamIndex(index), last.unwrap_or(StreamSequence(0)));
        }
        Ok(present)
    }

    /// Stores the state now and then, where there is a store.
    fn save_snapshots(&self, run: &mut Run, claim: &Claim, wanted: Arc<Notify>) -> mpsc::Sender<Committed> {
        let (saves, queue) = mpsc::channel(QUEUED_SAVES);
        if let Some(store) = &claim.store {
            let interval = self.pipeline.state.checkpoint;
            let (inputs, stop) = (run.inputs(), run.stopping());
            run.spawn_task(save_regularly(Arc::clone(store), interval, wanted, inputs, stop));
            let (store, stats) = (Arc::clone(store), Arc::clone(run.stats()));
            run.spawn_task(store_all(claim.worker.clone(), claim.marker.lineage.clone(), store, stats, queue));
        }
        saves
    }

    /// Commits what is published.
    async fn commit(
        &self,
        run: &mut Run,
        claim: Claim,
        publications: mpsc::Receiver<Publication>,
        settled: watch::Sender<Position>,
        saves: mpsc::Sender<Committed>,
    ) -> Result<(), EngineError> {
        let Claim { worker, publisher, marker, last, stored, .. } = claim;
        let linger = self.pipeline.state.epoch;
        let beginning =
            Beginning { publisher, worker, epoch: Epoch::new(stored), marker, last, linger, seen: self.seen.clone() };
        let committer = Committer::new(&self.pipeline, beginning, settled, saves);
        let impressions = impressions_publisher(&self.pipeline, self.bus, OUTSTANDING).await?;
        run.spawn_task(committer.run(impressions, publications).err_into());
        Ok(())
    }
}
