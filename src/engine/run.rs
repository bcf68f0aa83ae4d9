//! A pipeline between the broker's streams and back: its parts, and how they end.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::input::{Input, Views};
use super::saving::request;
use super::stats::Stats;
use super::thread::{start_thread, thread_ended};
use crate::commit::{OnLoss, Position};
use crate::snapshot::{Location, SnapshotStore};

/// How a pipeline runs.
#[derive(Debug, Clone, Default)]
pub struct RunSettings {
    /// Tells the version in `nats micro ls`.
    pub version: String,
    /// Where copies of models are kept, if anywhere.
    pub copies: Option<PathBuf>,
    /// Where the Delta tables of emitted rows are kept, if anywhere.
    pub history: Option<PathBuf>,
    /// Where snapshots are kept, if anywhere: without them a restart reads its streams from their beginning.
    pub snapshots: Option<Location>,
    /// What to do about messages that are gone.
    pub on_loss: OnLoss,
    /// Forget what was committed and begin anew with what the streams hold.
    pub from_scratch: bool,
    /// Messages of one step at most; 4,096 unless given.
    pub step_rows: Option<usize>,
}

/// A running pipeline.
pub struct Run {
    stats: Arc<Stats>,
    settled: watch::Receiver<Position>,
    inputs: mpsc::Sender<Input>,
    /// For the last snapshot.
    snapshots: Option<Arc<SnapshotStore>>,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), EngineError>>,
    /// Each waits for the end of a thread.
    threads: JoinSet<Result<(), EngineError>>,
}

impl Run {
    /// One without parts yet.
    pub(super) fn new(
        inputs: mpsc::Sender<Input>,
        settled: watch::Receiver<Position>,
        snapshots: Option<Arc<SnapshotStore>>,
    ) -> Self {
        Self {
            stats: Arc::new(Stats::default()),
            settled,
            inputs,
            snapshots,
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
            threads: JoinSet::new(),
        }
    }

    /// What became of the events so far.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Follows the position up to which every output is in the broker.
    pub fn settled(&self) -> watch::Receiver<Position> {
        self.settled.clone()
    }

    /// Views of feature tables, for whoever reads them.
    pub fn views(&self) -> Views {
        Views(self.inputs.downgrade())
    }

    /// What the step's thread takes.
    pub(super) fn inputs(&self) -> mpsc::Sender<Input> {
        self.inputs.clone()
    }

    /// Cancelled when the pipeline is to stop.
    pub(super) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Adds a task. It ends when the pipeline is told to stop, or when nobody takes what it gives.
    pub(super) fn spawn_task(&mut self, task: impl Future<Output = Result<(), EngineError>> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Adds a thread. It ends when nothing comes to it any more.
    pub(super) fn spawn_thread(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<(), EngineError> + Send + 'static,
    ) -> Result<(), EngineError> {
        let end = start_thread(name, work)?;
        self.threads.spawn(thread_ended(name, end));
        Ok(())
    }

    /// Waits until a part ends by itself, which is an error.
    pub async fn failed(&mut self) -> EngineError {
        let mut ended = tokio::select! {
            ended = self.tasks.join_next(), if !self.tasks.is_empty() => ended,
            ended = self.threads.join_next(), if !self.threads.is_empty() => ended,
            else => None,
        };
        while let Some(part) = ended {
            if let Ok(Err(error)) = part {
                return error;
            }
            // It ended because another one did, which says why: all of them end then.
            self.close();
            self.tasks.abort_all();
            ended = match self.tasks.join_next().await {
                Some(part) => Some(part),
                None => self.threads.join_next().await,
            };
        }
        EngineError::Thread("engine")
    }

    /// Stops reading, answers and commits what was taken, saves the state, and ends.
    pub async fn stop(mut self) -> Result<(), EngineError> {
        self.stop.cancel();
        if let Some(store) = self.snapshots.take() {
            // A restart then has nothing to read again. That the last one failed is said where it did.
            request(&store, &self.inputs).await;
        }
        self.close();
        let (mut tasks, mut threads) = (Ok(()), Ok(()));
        while let Some(part) = self.tasks.join_next().await {
            tasks = tasks.and(outcome(part, "task"));
        }
        while let Some(part) = self.threads.join_next().await {
            threads = threads.and(outcome(part, "thread"));
        }
        threads.and(tasks)
    }

    /// Lets the parts end, one after the other.
    fn close(&mut self) {
        self.stop.cancel();
        let (closed, _) = mpsc::channel(1);
        self.inputs = closed;
    }
}

/// How a part has ended; one that was aborted or has panicked did not say.
fn outcome(part: Result<Result<(), EngineError>, JoinError>, name: &'static str) -> Result<(), EngineError> {
    part.unwrap_or(Err(EngineError::Thread(name)))
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn run() -> Run {
        let (inputs, _) = mpsc::channel(1);
        let (_, settled) = watch::channel(Position::default());
        Run::new(inputs, settled, None)
    }

    /// On a runtime of one thread, which joining one would hold.
    #[tokio::test]
    async fn a_run_fails_with_the_error_of_the_part_that_failed_and_not_of_those_that_followed() {
        let mut run = run();
        let (held, closed) = oneshot::channel::<()>();
        run.spawn_task(async { Ok(()) });
        let stop = run.stopping();
        run.spawn_task(async move {
            stop.cancelled().await;
            drop(held);
            Ok(())
        });
        run.spawn_thread("test", || {
            closed.blocking_recv().unwrap_err();
            Err(EngineError::NoModel)
        })
        .unwrap();
        assert!(matches!(run.failed().await, EngineError::NoModel));
    }

    #[tokio::test]
    async fn a_thread_that_panics_is_named() {
        let mut run = run();
        run.spawn_thread("test", || panic!("on purpose")).unwrap();
        assert!(matches!(run.failed().await, EngineError::Thread("test")));
    }

    #[tokio::test]
    async fn stopping_waits_for_tasks_and_threads_and_gives_the_threads_error() {
        let mut run = run();
        let (held, closed) = oneshot::channel::<()>();
        let stop = run.stopping();
        run.spawn_task(async move {
            stop.cancelled().await;
            drop(held);
            Err(EngineError::NoTraining)
        });
        run.spawn_thread("test", || {
            closed.blocking_recv().unwrap_err();
            Err(EngineError::NoModel)
        })
        .unwrap();
        assert!(matches!(run.stop().await, Err(EngineError::NoModel)));
    }
}
