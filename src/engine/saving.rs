//! Snapshots: the state at the end of a step, found once everything up to there is committed.
//!
//! ```text
//!   timer ─▶ step thread ────────▶ scoring thread ─▶ committing task ─▶ saving task
//!            view of its state      label join        ends the epoch     its parts ─▶ Delta tables ─▶ head: can be found
//! ```
//!
//! A request to save travels through the same channels as the steps do, so each part is of the same moment. The step's parts
//! are written when that moment is committed, on a thread that may wait for the store, while steps go on. There is one
//! snapshot at a time: the next is asked for an interval after this one can be found.
//!
//! A snapshot that cannot be stored is reported and left, and so is one whose view holds too much of what events have changed
//! meanwhile: the pipeline goes on, the next interval tries again, and a restart until then replays more.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::input::Input;
use super::stats::{Stats, StoredSnapshot};
use super::telemetry::{Queue, Waiting, record_snapshot};
use crate::clock;
use crate::commit::{CommitError, Committed, FORMAT, Head, Place, Progress, Save, Worker, pass};
use crate::snapshot::{Draft, Figures, SnapshotStore};
use crate::step::{LabelsView, Shown, StepError, StepView};

/// Taking the views of a snapshot stops the step and the scoring thread; it may take this share of the time at most, whatever
/// the interval says.
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
        state: None,
        labels: None,
        progress: Progress::default(),
        messages_per_second: None,
        impressions: Shown::default(),
        history: None,
        stored: None,
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
    stats: Arc<Stats>,
    mut saves: mpsc::Receiver<Committed>,
) -> Result<(), EngineError> {
    let waiting = Waiting::of(worker.pipeline(), Queue::Snapshots);
    while let Some(Committed { save, epoch, output }) = saves.recv().await {
        waiting.record(saves.len());
        let messages_per_second = save.messages_per_second;
        let Save { draft, state, labels, progress, impressions, history, stored, done, began, paused, .. } = save;
        let draft = write_state(draft, labels, state).await;
        if let Some(history) = history
            && history.await.is_err()
        {
            return Ok(());
        }
        let lineage = lineage.clone();
        let head =
            Head { format: FORMAT, lineage, epoch, output: output.0, progress, impressions, messages_per_second };
        let kept = match draft {
            Ok(draft) => store_one(&store, &worker, draft, &head).await,
            Err(error) => Err(error),
        };
        match kept {
            Ok(figures) => {
                // The step's thread may have ended.
                let _gone = stored.is_some_and(|stored| stored.send(()).is_err());
                record_snapshot(worker.pipeline(), &figures, began.elapsed(), paused);
                let Figures { state_bytes, written_bytes, .. } = figures;
                stats.set_snapshot(StoredSnapshot { at_micros: clock::unix_micros(), state_bytes });
                tracing::debug!(epoch, bytes = state_bytes, written = written_bytes, ?paused, "snapshot");
            }
            Err(error) => tracing::error!(%error, "no snapshot: a restart has more to replay"),
        }
        // Nobody may wait any more.
        let _gone = done.send(paused).is_err();
    }
    Ok(())
}

/// Writes the parts of both threads as they were, on a thread that may wait for the store.
async fn write_state(
    mut draft: Draft,
    labels: Option<LabelsView>,
    state: Option<StepView>,
) -> Result<Draft, EngineError> {
    let written = tokio::task::spawn_blocking(move || {
        if let Some(labels) = labels {
            save_parts(&mut draft, &labels.parts(), |part, output| labels.save_part(part, output))?;
        }
        if let Some(state) = state {
            save_parts(&mut draft, state.parts(), |part, output| {
                state.save_part(part, output)?;
                state.release_part(part);
                Ok(())
            })?;
        }
        Ok(draft)
    });
    written.await.unwrap_or(Err(EngineError::Thread("save")))
}

/// Writes parts of the state, one after the other; on a thread that may wait for the store.
fn save_parts(
    draft: &mut Draft,
    parts: &[String],
    save: impl Fn(&str, &mut dyn Write) -> Result<(), StepError>,
) -> Result<(), EngineError> {
    for name in parts {
        let mut part = draft.part(name)?;
        save(name, &mut part)?;
        part.finish().map_err(|source| EngineError::Part { part: name.clone(), source })?;
    }
    Ok(())
}

/// Makes a snapshot found whose parts are written.
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Folder;
    use crate::snapshot::Location;
    use crate::step::{Step, StepError};

    fn view() -> StepView {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/trends");
        let pipeline = Folder::read(&folder).unwrap().assemble_without_model().unwrap();
        Step::new(Arc::new(pipeline)).unwrap().view_of_parts().unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_snapshot_whose_view_is_given_up_leaves_room_for_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let store = SnapshotStore::open(&Location::folder(folder.path())).await.unwrap();
        let given_up = view();
        given_up.end();
        let failed = write_state(store.begin().unwrap(), None, Some(given_up)).await;
        assert!(matches!(failed, Err(EngineError::Step(StepError::ViewEnded { .. }))));

        let view = view();
        let parts = view.parts().to_vec();
        let draft =
            write_state(store.begin().unwrap(), None, Some(view)).await.unwrap_or_else(|error| panic!("{error}"));
        let generation = store.publish(&draft.write(Vec::new()).await.unwrap()).await.unwrap();
        assert!(parts.iter().all(|part| generation.find(part).is_some()));
    }
}
