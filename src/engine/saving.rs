//! Snapshots: the state at the end of a step, found once everything up to there is committed.
//!
//! ```text
//!   timer ─▶ step thread ────────▶ scoring thread ─▶ committing task ─▶ saving task
//!            tables, streams        label join        ends the epoch     Delta tables ─▶ parts ─▶ head: can be found
//! ```
//!
//! A request to save travels through the same channels as the steps do, so each part is of the same moment. A snapshot that
//! cannot be stored is reported and left: the pipeline goes on, and a restart replays more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::input::Input;
use super::telemetry::{Queue, Waiting, record_snapshot};
use crate::clock;
use crate::commit::{CommitError, Committed, FORMAT, Head, Place, Progress, Save, Worker, pass};
use crate::snapshot::{Draft, Figures, SnapshotStore};
use crate::step::Shown;

/// Saving stops the step; it may take this share of the time at most, whatever the interval says.
const MOST_SHARE: u32 = 20;

/// Asks for a snapshot now and then, until told to stop.
pub(crate) async fn save_regularly(
    store: Arc<SnapshotStore>,
    interval: Duration,
    wanted: Arc<Notify>,
    inputs: mpsc::Sender<Input>,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    let mut wait = interval;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
            () = wanted.notified() => {}
        }
        let Some(done) = request(&store, &inputs).await else { return Ok(()) };
        wait = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            // The sender is dropped where a snapshot was given up, or was not due yet.
            paused = done => paused.map_or(interval, |paused| interval.max(paused * MOST_SHARE)),
        };
    }
}

/// Asks for one snapshot; nothing when nobody is there to make it.
pub(crate) async fn request(
    store: &SnapshotStore,
    inputs: &mpsc::Sender<Input>,
) -> Option<oneshot::Receiver<Duration>> {
    let (done, answer) = oneshot::channel();
    let draft = match store.begin() {
        Ok(draft) => draft,
        // The one before is still on its way.
        Err(error) => {
            tracing::debug!(%error, "no snapshot now");
            return Some(answer);
        }
    };
    let save = Save {
        draft,
        progress: Progress::default(),
        impressions: Shown::default(),
        history: None,
        done,
        began: clock::now(),
        paused: Duration::ZERO,
    };
    inputs.send(Input::Save(Box::new(save))).await.is_ok().then_some(answer)
}

/// Stores what is committed, until nothing comes any more.
pub(crate) async fn store_all(
    worker: Worker,
    lineage: String,
    store: Arc<SnapshotStore>,
    mut saves: mpsc::Receiver<Committed>,
) -> Result<(), EngineError> {
    let waiting = Waiting::of(worker.pipeline(), Queue::Snapshots);
    while let Some(Committed { save, epoch, output }) = saves.recv().await {
        waiting.record(saves.len());
        let Save { draft, progress, impressions, history, done, began, paused } = save;
        if let Some(history) = history
            && history.await.is_err()
        {
            return Ok(());
        }
        let head = Head { format: FORMAT, lineage: lineage.clone(), epoch, output: output.0, progress, impressions };
        match store_one(&store, &worker, draft, &head).await {
            Ok(figures) => {
                record_snapshot(worker.pipeline(), &figures, began.elapsed(), paused);
                let Figures { state_bytes, written_bytes, .. } = figures;
                tracing::debug!(epoch, bytes = state_bytes, written = written_bytes, ?paused, "snapshot");
            }
            Err(error) => tracing::error!(%error, "no snapshot: a restart has more to replay"),
        }
        // Nobody may wait any more.
        let _gone = done.send(paused).is_err();
    }
    Ok(())
}

/// What the snapshot is made of.
async fn store_one(store: &SnapshotStore, worker: &Worker, draft: Draft, head: &Head) -> Result<Figures, EngineError> {
    let head = serde_json::to_vec(head).map_err(|source| CommitError::Marker { sequence: 0, source })?;
    let written = draft.write(head).await?;
    let figures = written.figures();
    pass(Place::SnapshotWritten);
    store.publish(&written).await?;
    pass(Place::SnapshotPublished);
    // A worker that was asleep must not take away what its successor is writing.
    if worker.is_current().await? {
        store.prune().await?;
        pass(Place::SnapshotPruned);
    }
    Ok(figures)
}
