//! Training beside serving: a thread of its own reads the examples, learns, saves where it stands, and promotes.
//!
//! ```text
//!   committed examples ─▶ Reader ─▶ bounded channel ─▶ one thread: Learner ─▶ checkpoint, versions, pointer (registry)
//!   pointer moved by somebody else ─▶ commands ────────┘
//! ```
//!
//! It runs inside `tidewheel run`, or as a process of its own. The position in the examples is saved together with the
//! weights, so that after a crash it goes on from there: no example trains the same weights twice, and none is left out.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::command::{Command, TrainingOptions, TrainingReport};
use super::learning::Learning;
use crate::bus::{Bus, ReadLimits, StreamSequence};
use crate::clock;
use crate::commit::Presence;
use crate::engine::EngineError;
use crate::engine::feed::{Moves, hand_on};
use crate::engine::serve::open_registry;
use crate::model::ModelVersion;
use crate::pipeline::{Names, Pipeline, TRAINER, output_spec};
use crate::registry::{Pointer, Registry};
use futures::TryFutureExt;

/// Messages of examples that are read at once.
const READ_ROWS: usize = 1_024;
/// Batches that wait for the thread.
const QUEUED: usize = 4;
/// No model takes so long to store.
const ABANDONED_AFTER: Duration = Duration::from_secs(3_600);

/// Training under way.
pub struct Training {
    commands: mpsc::Sender<Command>,
    report: Arc<ArcSwap<TrainingReport>>,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), EngineError>>,
    thread: Option<JoinHandle<Result<(), EngineError>>>,
}

impl Training {
    /// Starts to learn where the last checkpoint ends.
    ///
    /// # Errors
    /// When the pipeline has no `[train]`, its model cannot be trained, or the broker refuses.
    pub async fn start(pipeline: Arc<Pipeline>, bus: &Bus, options: TrainingOptions) -> Result<Self, EngineError> {
        let Some(plan) = pipeline.train.clone() else { return Err(EngineError::NoTraining) };
        let spec = output_spec(&pipeline);
        bus.ensure_stream(&spec).await?;
        let presence = Presence::new(bus, TRAINER, &pipeline.name);
        presence.ask_others().await?;
        let opened = open_registry(&pipeline, bus, options.copies.clone()).await?;
        let (registry, pointer) = opened.ok_or(EngineError::NoModel)?;
        // A process that died while it stored a model has left chunks that nobody names.
        let abandoned = registry.remove_abandoned(clock::unix_micros() - ABANDONED_AFTER.as_micros() as i64).await?;
        if abandoned > 0 {
            tracing::info!(abandoned, "cleared away models whose storing was interrupted");
        }
        let report = Arc::new(ArcSwap::default());
        let handle = tokio::runtime::Handle::current();
        let learning =
            Learning::open(Arc::clone(&pipeline), registry.clone(), &pointer, &options, handle, Arc::clone(&report))
                .await?;
        let next = StreamSequence(learning.position() + 1);
        let (commands, queue) = mpsc::channel(QUEUED);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(presence.answer_others(stop.clone()).await?.err_into());
        let state = bus.stream_state(&spec.name).await?;
        if next > state.last.next() {
            return Err(EngineError::ExamplesLost { position: next, last: state.last });
        }
        let examples = Names::of(&pipeline.name).examples();
        let reader = bus.reader_of(&spec.name, &examples, next, ReadLimits { rows: READ_ROWS, linger: plan.linger });
        tasks.spawn(hand_on(reader, commands.clone(), Command::Examples, stop.clone()));
        tasks.spawn(follow(registry, pointer, commands.clone(), stop.clone()));
        let thread = std::thread::Builder::new()
            .name("tidewheel-train".to_owned())
            .spawn(move || learning.run(queue))
            .map_err(|_| EngineError::Thread("train"))?;
        Ok(Self { commands, report, stop, tasks, thread: Some(thread) })
    }

    /// Where training stood after the last step, without an evaluation.
    pub fn progress(&self) -> Arc<TrainingReport> {
        self.report.load_full()
    }

    /// Where training stands, with an evaluation made now.
    pub async fn report(&self) -> Result<TrainingReport, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Report(reply)).await.map_err(|_| EngineError::Thread("train"))?;
        answer.await.map_err(|_| EngineError::Thread("train"))
    }

    /// Promotes the present weights and keeps a copy of them, frozen, in service for a share of the people: lift is
    /// measured against it from now on.
    pub async fn freeze(&self, share: f64) -> Result<ModelVersion, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Freeze { share, reply }).await.map_err(|_| EngineError::Thread("train"))?;
        answer.await.map_err(|_| EngineError::Thread("train"))?
    }

    /// Waits until a part ends by itself, which is an error.
    pub async fn failed(&mut self) -> EngineError {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error,
            _ => self.join().err().unwrap_or(EngineError::Thread("train")),
        }
    }

    /// Stops reading, saves where training stands, and ends.
    pub async fn stop(mut self) -> Result<(), EngineError> {
        self.stop.cancel();
        let (closed, _) = mpsc::channel(1);
        self.commands = closed;
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            outcome = outcome.and(ended.unwrap_or(Err(EngineError::Thread("task"))));
        }
        // The thread saves through this runtime, so waiting for it must not hold one of its threads.
        let thread = self.thread.take();
        let joined = tokio::task::spawn_blocking(move || join(thread)).await;
        joined.unwrap_or(Err(EngineError::Thread("train"))).and(outcome)
    }

    fn join(&mut self) -> Result<(), EngineError> {
        self.stop.cancel();
        let (closed, _) = mpsc::channel(1);
        self.commands = closed;
        self.tasks.abort_all();
        join(self.thread.take())
    }
}

fn join(thread: Option<JoinHandle<Result<(), EngineError>>>) -> Result<(), EngineError> {
    thread.map_or(Ok(()), |thread| thread.join().unwrap_or(Err(EngineError::Thread("train"))))
}

async fn follow(
    registry: Registry,
    known: Pointer,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    let mut moves = Moves::after(&registry, &known, stop).await?;
    while let Some(pointer) = moves.next().await? {
        if commands.send(Command::Moved(Box::new(pointer))).await.is_err() {
            break;
        }
    }
    Ok(())
}
