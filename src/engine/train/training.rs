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
use std::time::Duration;

use futures::TryFutureExt;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::command::{Command, TrainingOptions, TrainingReport};
use super::learning::{Learning, Signals};
use super::patient_registry::{PatientRegistry, endless};
use crate::bus::{Bus, ReadLimits, StreamSequence};
use crate::clock;
use crate::commit::Presence;
use crate::engine::EngineError;
use crate::engine::patience::Patience;
use crate::engine::serve::open_registry;
use crate::engine::source::{Moves, hand_on};
use crate::engine::telemetry::{begin_training, record_stopped};
use crate::engine::thread::{ThreadEnd, start_thread};
use crate::fault::{Fault, Judgement};
use crate::model::ModelVersion;
use crate::pipeline::{Pipeline, TRAINER, output_spec};
use crate::registry::{Pointer, Registry};

/// Messages of examples that are read at once.
pub(super) const READ_ROWS: usize = 1_024;
/// Batches that wait for the thread.
const QUEUED: usize = 4;
/// No model takes so long to store.
const ABANDONED_AFTER: Duration = Duration::from_secs(3_600);

/// Training under way. Dropped without [`stop`](Self::stop), it ends without waiting for the last checkpoint.
pub struct Training {
    commands: mpsc::Sender<Command>,
    report: watch::Receiver<Arc<TrainingReport>>,
    stop: DropGuard,
    /// One of them tells how the thread has ended.
    tasks: JoinSet<Result<(), EngineError>>,
}

impl Training {
    /// Starts to learn where the last checkpoint ends.
    ///
    /// # Errors
    /// When the pipeline has no `[train]`, its model cannot be trained, somebody else trains it, or the broker refuses. That
    /// examples are lost is not among them: training then has stopped from its beginning, see [`stopped`](Self::stopped).
    pub async fn start(pipeline: Arc<Pipeline>, bus: &Bus, options: TrainingOptions) -> Result<Self, EngineError> {
        let begin = || Box::pin(Self::begin(Arc::clone(&pipeline), bus, &options));
        Patience::to_start().insist("start training", begin).await
    }

    async fn begin(pipeline: Arc<Pipeline>, bus: &Bus, options: &TrainingOptions) -> Result<Self, EngineError> {
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
        if let Some(reason) = registry.take_stopped().await? {
            tracing::warn!(reason, "training had stopped by itself: this start resumes it where it was saved last");
        }
        let stop = CancellationToken::new();
        let reading = stop.child_token();
        let (report, reported) = watch::channel(Arc::default());
        let signals = Signals { report, reading: reading.clone() };
        let patient = PatientRegistry::new(registry.clone(), Handle::current(), stop.clone());
        let learning = Learning::open(Arc::clone(&pipeline), patient, &pointer, options, signals).await?;
        learning.report();
        let next = StreamSequence(learning.position() + 1);
        let last = bus.stream_state(&spec.name).await?.last;
        let examples = pipeline.names.examples();

        begin_training(&pipeline.name);
        let (commands, queue) = mpsc::channel(QUEUED);
        let mut tasks = JoinSet::new();
        let answering = presence.answer_others(stop.clone()).await?.err_into();
        tasks.spawn(halting(answering, commands.clone()));
        if next <= last.next() {
            let limits = ReadLimits { rows: READ_ROWS, linger: plan.linger };
            let reader = bus.reader_of(&spec.name, &examples, next, limits);
            tasks.spawn(halting(hand_on(reader, commands.clone(), Command::Examples, reading), commands.clone()));
        } else {
            let lost = EngineError::ExamplesLost { position: next, last };
            tasks.spawn(halting(std::future::ready(Err(lost)), commands.clone()));
        }
        let following = follow_patiently(registry, pointer, commands.clone(), stop.clone());
        tasks.spawn(halting(following, commands.clone()));
        let end = start_thread("train", move || learning.run(queue))?;
        tasks.spawn(thread_end(pipeline.name.clone(), end));
        Ok(Self { commands, report: reported, stop: stop.drop_guard(), tasks })
    }

    /// Where training stood after the last step, without an evaluation.
    pub fn progress(&self) -> Arc<TrainingReport> {
        Arc::clone(&self.report.borrow())
    }

    /// Follows where training stands.
    pub(crate) fn reports(&self) -> watch::Receiver<Arc<TrainingReport>> {
        self.report.clone()
    }

    /// Where training stands, with an evaluation made now.
    pub async fn report(&self) -> Result<TrainingReport, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Report(reply)).await.map_err(|_| EngineError::Thread("train"))?;
        answer.await.map_err(|_| EngineError::Thread("train"))
    }

    /// Promotes the present weights and keeps a copy of them, frozen, in service for a share of the people: lift is
    /// measured against it from now on.
    ///
    /// # Errors
    /// [`EngineError::TrainingStopped`], or what went wrong with the promotion.
    pub async fn freeze(&self, share: f64) -> Result<ModelVersion, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Freeze { share, reply }).await.map_err(|_| EngineError::Thread("train"))?;
        answer.await.map_err(|_| EngineError::Thread("train"))?
    }

    /// Waits until training has stopped by itself, and says why. It is logged then, and what serves goes on serving: this is
    /// for whoever has nothing else to do.
    pub async fn stopped(&self) -> EngineError {
        let mut report = self.report.clone();
        match report.wait_for(|report| report.stopped.is_some()).await {
            Ok(report) => EngineError::TrainingStopped {
                reason: report.stopped.clone().unwrap_or_default(),
                judgement: report.judgement.unwrap_or(Judgement::CRASH),
            },
            Err(_) => EngineError::Thread("train"),
        }
    }

    /// Stops reading, saves where training stands, and ends. What the broker does not answer now is tried once more.
    pub async fn stop(self) -> Result<(), EngineError> {
        let Self { commands, report: _, stop, mut tasks } = self;
        drop(stop);
        drop(commands);
        let mut outcome = Ok(());
        while let Some(ended) = tasks.join_next().await {
            outcome = outcome.and(ended.unwrap_or(Err(EngineError::Thread("task"))));
        }
        outcome
    }
}

/// Does a task's work; its error stops training, and nothing else.
async fn halting(
    work: impl Future<Output = Result<(), EngineError>>,
    commands: mpsc::Sender<Command>,
) -> Result<(), EngineError> {
    if let Err(error) = work.await {
        // Without the thread there is nothing to stop.
        let _gone = commands.send(Command::Halt(error)).await.is_err();
    }
    Ok(())
}

/// How the thread has ended. It only ends by itself where it panics.
async fn thread_end(pipeline: String, end: ThreadEnd) -> Result<(), EngineError> {
    if let Ok(outcome) = end.await {
        return outcome;
    }
    record_stopped(&pipeline, Some(Fault::Bug));
    tracing::error!("the training thread has panicked, a bug; serving goes on with the active model");
    Err(EngineError::Thread("train"))
}

/// Hands moves of the pointer on, through whatever happens to the broker.
async fn follow_patiently(
    registry: Registry,
    known: Pointer,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    // A move that is handed on twice is one for the thread.
    let follow = || follow(registry.clone(), known.clone(), commands.clone(), stop.clone());
    endless(stop.clone()).insist("follow the pointer", follow).await
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
