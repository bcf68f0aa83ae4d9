//! A pipeline between the broker's streams and back.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures::TryFutureExt;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::feed::{Source, hand_on};
use super::input::{Input, Snapshots};
use super::keeping::open_history;
use super::patience::Patience;
use super::references::{OpenReference, follow_reference};
use super::replay::replay;
use super::restore::{Past, Restored, open_sources, restore};
use super::saving::{request, save_regularly, store_all};
use super::serve::{ScoringThread, follow, load_arms, open_registry};
use super::stats::Stats;
use super::step_thread::{Replay, StepThread};
use super::upkeep::keep_up;
use crate::bus::{
    Bus, EndpointSpec, ReadLimits, ServiceError, ServiceHandle, ServiceSpec, StreamRole, StreamSequence, Subject,
};
use crate::clock;
use crate::commit::{
    Beginning, Claimed, Committer, Epoch, OnLoss, Position, Run as StepRun, Stretch, Worker, claim,
    impressions_publisher, read_heads, steps_between,
};
use crate::fault::{Judged, Remedy};
use crate::pipeline::{Names, Pipeline, StreamIndex, input_spec, output_spec};
use crate::snapshot::{Location, SnapshotStore};
use crate::window::References;

/// Messages of one step.
const STEP_ROWS: usize = 4_096;
/// Steps that wait between two threads.
const QUEUED_STEPS: usize = 4;
/// Models that wait to be swapped in.
const QUEUED_SWAPS: usize = 4;
/// Impressions that wait for the broker's acknowledgement.
const OUTSTANDING: usize = 4_096;
/// Snapshots that are committed and not stored yet.
const QUEUED_SAVES: usize = 2;
/// Requests taken into one step.
const STEP_REQUESTS: usize = 64;

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
    threads: Vec<(&'static str, JoinHandle<Result<(), EngineError>>)>,
}

impl Run {
    /// Claims the pipeline, brings its state to where it was committed, and starts to serve: a pipeline that answers requests
    /// is ready for them when this returns.
    pub async fn start(pipeline: Arc<Pipeline>, bus: &Bus, settings: &RunSettings) -> Result<Self, EngineError> {
        // What is at hand between two waits is large.
        let begin = || Box::pin(Self::begin(Arc::clone(&pipeline), bus, settings));
        Patience::to_start().insist("start", begin).await
    }

    #[expect(clippy::too_many_lines, reason = "one thing after another, each a line or two")]
    async fn begin(pipeline: Arc<Pipeline>, bus: &Bus, settings: &RunSettings) -> Result<Self, EngineError> {
        let worker = Worker::new(&pipeline, bus);
        worker.presence.ask_others().await?;
        let store = match &settings.snapshots {
            Some(location) => Some(Arc::new(SnapshotStore::open(location).await?)),
            None => None,
        };
        let usable = match &store {
            Some(store) => read_heads(store).await?,
            None => Vec::new(),
        };
        let heads: Vec<_> = usable.iter().map(|usable| usable.head.clone()).collect();
        let claimed = claim(&pipeline, bus, &worker, &heads, settings.on_loss, settings.from_scratch).await?;
        let Claimed { publisher, marker, last, inputs: streams, stored } = claimed;
        tracing::info!(epoch = marker.epoch, position = %marker.progress.position(), "claimed the pipeline");

        let stats = Arc::new(Stats::default());
        let stop = CancellationToken::new();
        let (inputs, input_queue) = mpsc::channel(QUEUED_STEPS);
        let (step_queue, scoring) = mpsc::channel(QUEUED_STEPS);
        let (publication_queue, publications) = mpsc::channel(QUEUED_STEPS);
        let (settled_sender, settled) = watch::channel(marker.progress.position());
        let mut run = Self {
            stats: Arc::clone(&stats),
            settled,
            inputs,
            snapshots: store.clone(),
            stop: stop.clone(),
            tasks: JoinSet::new(),
            threads: Vec::new(),
        };
        run.tasks.spawn(worker.presence.answer_others(stop.clone()).await?.err_into());
        warn_of_durability(&pipeline, bus).await?;
        let (swap_queue, swaps) = mpsc::channel(QUEUED_SWAPS);
        let models = open_registry(&pipeline, bus, settings.copies.clone()).await?;
        let mut references = References::default();
        for plan in &pipeline.references {
            let reference = OpenReference::open(plan, bus).await?;
            references.set(reference.table());
            let inputs = run.inputs.clone();
            run.tasks.spawn(follow_reference(reference, plan.refresh, inputs, Input::Reference, stop.clone()));
        }
        let arms = async {
            let Some((registry, pointer)) = &models else { return Ok(None) };
            load_arms(&pipeline, registry, pointer).await.map(Some)
        };
        let (snapshots, writer) = (usable, worker.id());
        let past = Past { bus, store: store.as_deref(), snapshots, marker: &marker, inputs: &streams, writer };
        let restored = restore(&pipeline, &references, past);
        let (arms, restored) = tokio::try_join!(arms, restored)?;
        if let Some((registry, pointer)) = models {
            run.tasks.spawn(follow(Arc::clone(&pipeline), registry, pointer, swap_queue, stop.clone()));
        }
        let Restored { step, labeller, mut progress, covered } = restored;
        let limits = ReadLimits { rows: settings.step_rows.unwrap_or(STEP_ROWS), linger: Duration::ZERO };
        let sources = open_sources(bus, &streams, &mut progress, &marker, limits, settings.on_loss).await?;
        let stretch = Stretch { state: &progress, covered, marker: &marker, last };
        let again = steps_between(&pipeline, bus, &stretch).await?;
        let unfinished = marker.unfinished.map(|unfinished| unfinished.step);
        stats.restore(&progress.counts);

        let mut history = None;
        if let Some(folder) = &settings.history
            && let Some((queue, task)) =
                open_history(&pipeline, folder, marker.history_writer(&pipeline.name), run.settled()).await?
        {
            history = Some(queue);
            run.tasks.spawn(task);
            run.tasks.spawn(keep_up(&pipeline, folder, stop.clone()));
        }
        let (rebuilt_sender, rebuilt) = oneshot::channel();
        let mut present = marker.progress.position();
        for (index, stream) in streams.iter().enumerate() {
            let last = bus.last_message(&stream.name, &Subject::new(">")?).await?;
            present.advance(StreamIndex(index), last.map_or(StreamSequence(0), |message| message.sequence));
        }
        let is_wanted = Arc::new(Notify::new());
        let replayed = Replay {
            marked: marker.progress.clone(),
            on_loss: settings.on_loss,
            present,
            rebuilt: Some(rebuilt_sender),
        };
        let thread = StepThread {
            pipeline: Arc::clone(&pipeline),
            step,
            stats: Arc::clone(&stats),
            scoring: step_queue,
            history,
            replay: replayed,
            progress,
            is_present: false,
            has_changed: true,
            save_wanted: Arc::clone(&is_wanted),
        };
        run.spawn_thread("step", move || thread.run(input_queue))?;
        let thread = ScoringThread { pipeline: Arc::clone(&pipeline), arms, swaps, labeller, stats };
        run.spawn_thread("score", move || thread.run(scoring, &publication_queue))?;
        let (saves, save_queue) = mpsc::channel(QUEUED_SAVES);
        if let Some(store) = store {
            let interval = pipeline.state.checkpoint;
            let wake = Arc::clone(&is_wanted);
            let task = save_regularly(Arc::clone(&store), interval, wake, run.inputs.clone(), stop.clone());
            run.tasks.spawn(task);
            run.tasks.spawn(store_all(worker.clone(), marker.lineage.clone(), store, save_queue));
        }
        let linger = pipeline.state.epoch;
        let beginning = Beginning { publisher, worker, epoch: Epoch::new(stored), marker, last, linger };
        let committer = Committer::new(&pipeline, beginning, settled_sender, saves);
        let impressions = impressions_publisher(&pipeline, bus, OUTSTANDING).await?;
        run.tasks.spawn(committer.run(impressions, publications).err_into());
        run.tasks.spawn(feed(sources, again, unfinished, run.inputs.clone(), stop.clone()));

        if let Some((subject, _)) = pipeline.score.as_ref().and_then(|score| score.service.as_ref()) {
            let spec = ServiceSpec {
                name: Names::of(&pipeline.name).ranking_service(),
                version: settings.version.clone(),
                description: format!("Rankings of the pipeline {}", pipeline.name),
                endpoints: vec![EndpointSpec { name: "score".to_owned(), subject: subject.clone() }],
            };
            // An answer from half of the features would be wrong, and what it showed would be labelled by old events.
            tokio::select! {
                Ok(()) = rebuilt => {}
                error = run.failed() => return Err(error),
            }
            let queue = pipeline.score.as_ref().map_or(1, |score| score.queue);
            let service = bus.serve(spec, queue).await?;
            let linger = pipeline.score.as_ref().map_or(Duration::ZERO, |score| score.linger);
            run.tasks.spawn(serve_all(service, run.inputs.clone(), linger, stop.clone()));
        }
        Ok(run)
    }

    /// What became of the events so far.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Follows the position up to which every output is in the broker.
    pub fn settled(&self) -> watch::Receiver<Position> {
        self.settled.clone()
    }

    /// Rows of feature tables, as of the newest event. Unknown names are left out.
    pub fn snapshots(&self) -> Snapshots {
        Snapshots(self.inputs.downgrade())
    }

    /// Waits until a part ends by itself, which is an error.
    pub async fn failed(&mut self) -> EngineError {
        if let Some(Ok(Err(error))) = self.tasks.join_next().await {
            return error;
        }
        if let Some(error) = self.thread_error() {
            return error;
        }
        // Who ended first may have followed another, whose error comes right behind.
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok(Err(error)) = ended {
                return error;
            }
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
        let (closed, _) = mpsc::channel(1);
        self.inputs = closed;
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            let ended = ended.unwrap_or(Err(EngineError::Thread("task")));
            outcome = outcome.and(ended);
        }
        if let Some(error) = self.thread_error() {
            return Err(error);
        }
        outcome
    }

    /// The error of a thread that has ended, if any; threads that still run are waited for.
    fn thread_error(&mut self) -> Option<EngineError> {
        self.stop.cancel();
        let (closed, _) = mpsc::channel(1);
        self.inputs = closed;
        self.tasks.abort_all();
        let mut first = None;
        for (name, thread) in self.threads.drain(..) {
            let ended = thread.join().unwrap_or(Err(EngineError::Thread(name)));
            first = first.or(ended.err());
        }
        first
    }

    fn spawn_thread(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<(), EngineError> + Send + 'static,
    ) -> Result<(), EngineError> {
        let builder = std::thread::Builder::new().name(format!("tidewheel-{name}"));
        let thread = builder.spawn(work).map_err(|_| EngineError::Thread(name))?;
        self.threads.push((name, thread));
        Ok(())
    }
}

/// Says in what ways the broker keeps the pipeline's streams less safely than they need.
async fn warn_of_durability(pipeline: &Pipeline, bus: &Bus) -> Result<(), EngineError> {
    let inputs = pipeline.streams.iter().map(|stream| (input_spec(pipeline, stream).name, StreamRole::Input));
    for (stream, role) in inputs.chain([(output_spec(pipeline).name, StreamRole::Output)]) {
        for warning in bus.durability(&stream, role).await? {
            tracing::warn!(fix = warning.fix, "{}", warning.finding);
        }
    }
    Ok(())
}

/// Reads again what follows the state up to the marker, then everything after it, until told to stop.
async fn feed(
    mut sources: Vec<Source>,
    again: Vec<StepRun>,
    unfinished: Option<StepRun>,
    inputs: mpsc::Sender<Input>,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    let replayed = async {
        let goes_on = replay(&mut sources, &again, false, &inputs).await?
            && inputs.send(Input::Replayed).await.is_ok()
            && replay(&mut sources, unfinished.as_slice(), true, &inputs).await?;
        Ok::<_, EngineError>(goes_on)
    };
    let goes_on = tokio::select! {
        () = stop.cancelled() => false,
        goes_on = replayed => goes_on?,
    };
    if goes_on {
        let follow = |(stream, source): (usize, _)| {
            let stream = StreamIndex(stream);
            let wrap = move |messages| Input::Events { stream, messages, emits: true, is_present: None };
            hand_on(source, inputs.clone(), wrap, stop.clone())
        };
        futures::future::try_join_all(sources.into_iter().enumerate().map(follow)).await?;
    }
    Ok(())
}

async fn serve_all(
    mut service: ServiceHandle,
    inputs: mpsc::Sender<Input>,
    linger: Duration,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    loop {
        let first = tokio::select! {
            () = stop.cancelled() => break,
            first = service.next() => first,
        };
        let Some(first) = first else { return Ok(()) };
        let mut requests = vec![first];
        let deadline = clock::task_now() + linger;
        while requests.len() < STEP_REQUESTS {
            match service.next_ready() {
                Some(request) => requests.push(request),
                // While the step is busy, waiting costs nothing and fills the batch.
                None if inputs.capacity() == 0 => match tokio::time::timeout_at(deadline, service.next()).await {
                    Ok(Some(request)) => requests.push(request),
                    _ => break,
                },
                None => break,
            }
        }
        if inputs.send(Input::Requests(requests)).await.is_err() {
            return Ok(());
        }
    }
    service.stop().await;
    while let Some(request) = service.next_ready() {
        let stopping = ServiceError { code: 503, message: "stopping".to_owned() };
        request.respond(Err(stopping)).await?;
    }
    Ok(())
}
