//! A pipeline between the broker's streams and back.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::feed::read_all;
use super::keeping::open_history;
use super::label::Labeller;
use super::pipeline::Pipeline;
use super::position::Position;
use super::publish::{POSITION, publish_all};
use super::recorded::recorded_impressions;
use super::references::{OpenReference, follow_reference};
use super::scoring::ScoringThread;
use super::serving::{follow, load_arms, open_registry};
use super::stats::Stats;
use super::step::Step;
use super::step_thread::{Input, Replay, Snapshots, StepThread};
use super::streams::{examples_spec, impressions_spec, input_spec, output_spec};
use crate::bus::{Bus, EndpointSpec, ReadLimits, ServiceError, ServiceHandle, ServiceSpec, StreamSequence, Subject};

/// Messages of one step.
const STEP_ROWS: usize = 4_096;
/// Steps that wait between two threads.
const QUEUED_STEPS: usize = 4;
/// Models that wait to be swapped in.
const QUEUED_SWAPS: usize = 4;
/// Messages that wait for the broker's acknowledgement.
const OUTSTANDING: usize = 4_096;
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
}

/// A running pipeline.
pub struct Run {
    stats: Arc<Stats>,
    settled: watch::Receiver<Position>,
    inputs: mpsc::Sender<Input>,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), EngineError>>,
    threads: Vec<(&'static str, JoinHandle<Result<(), EngineError>>)>,
}

impl Run {
    /// Creates what is missing in the broker, rebuilds the features and starts to serve: a pipeline that answers requests is
    /// ready for them when this returns.
    #[expect(clippy::too_many_lines, reason = "one thing after another, each a line or two")]
    pub async fn start(pipeline: Arc<Pipeline>, bus: &Bus, settings: &RunSettings) -> Result<Self, EngineError> {
        let start = Position::start(pipeline.streams.iter().map(|stream| stream.name.as_str()));
        let mut present = start.clone();
        for (index, stream) in pipeline.streams.iter().enumerate() {
            let spec = input_spec(&pipeline, stream);
            bus.ensure_stream(&spec).await?;
            let last = bus.last_message(&spec.name, &Subject::new(">")?).await?;
            present.advance(index, last.map_or(StreamSequence(0), |message| message.sequence));
        }
        let output = output_spec(&pipeline);
        bus.ensure_stream(&output).await?;
        let mut outputs = vec![output.name];
        for spec in examples_spec(&pipeline).into_iter().chain(impressions_spec(&pipeline)) {
            bus.ensure_stream(&spec).await?;
            outputs.push(spec.name);
        }
        // Outputs are sent in their order, whichever stream they go to: the furthest position is the one.
        let mut resumed = start.clone();
        for name in &outputs {
            let last = bus.last_message(name, &Subject::new(">")?).await?;
            let position = last.as_ref().and_then(|message| message.header(POSITION));
            if let Some(position) = position.and_then(|text| start.clone().resumed_from(text)) {
                resumed.advance_to(&position);
            }
        }
        if resumed != start {
            tracing::info!(position = %resumed, "rebuilding features from the streams; outputs up to here are not repeated");
        }
        let stats = Arc::new(Stats::default());
        let stop = CancellationToken::new();
        let (inputs, input_queue) = mpsc::channel(QUEUED_STEPS);
        let (step_queue, scoring) = mpsc::channel(QUEUED_STEPS);
        let (publication_queue, publications) = mpsc::channel(QUEUED_STEPS);
        let (settled_sender, settled) = watch::channel(start.clone());
        let mut run = Self {
            stats: Arc::clone(&stats),
            settled,
            inputs,
            stop: stop.clone(),
            tasks: JoinSet::new(),
            threads: Vec::new(),
        };
        let (swap_queue, swaps) = mpsc::channel(QUEUED_SWAPS);
        let mut arms = None;
        if let Some((registry, pointer)) = open_registry(&pipeline, bus, settings.copies.clone()).await? {
            arms = Some(load_arms(&pipeline, &registry, &pointer).await?);
            run.tasks.spawn(follow(Arc::clone(&pipeline), registry, pointer, swap_queue, stop.clone()));
        }
        let labeller = Labeller::new(&pipeline, recorded_impressions(&pipeline, bus).await?)?;
        let mut step = Step::new(Arc::clone(&pipeline))?;
        for plan in &pipeline.references {
            let reference = OpenReference::open(plan, bus).await?;
            step.set_reference(reference.table());
            let inputs = run.inputs.clone();
            run.tasks.spawn(follow_reference(reference, plan.refresh, inputs, Input::Reference, stop.clone()));
        }
        let mut history = None;
        if let Some(folder) = &settings.history
            && let Some((queue, task)) = open_history(&pipeline, folder).await?
        {
            history = Some(queue);
            run.tasks.spawn(task);
        }
        let (rebuilt_sender, rebuilt) = oneshot::channel();
        let thread = StepThread {
            pipeline: Arc::clone(&pipeline),
            step,
            stats: Arc::clone(&stats),
            scoring: step_queue,
            history,
            replay: Replay { resumed, present, rebuilt: Some(rebuilt_sender) },
            position: start,
        };
        run.spawn_thread("step", move || thread.run(input_queue))?;
        let thread = ScoringThread { pipeline: Arc::clone(&pipeline), arms, swaps, labeller, stats };
        run.spawn_thread("score", move || thread.run(scoring, &publication_queue))?;
        let publisher = bus.publisher(OUTSTANDING).await?;
        run.tasks.spawn(publish_all(Arc::clone(&pipeline), publisher, publications, settled_sender));
        for (index, stream) in pipeline.streams.iter().enumerate() {
            // Zero linger: a batch is what has arrived, so that a quiet stream is answered at once and a busy one in
            // large steps.
            let limits = ReadLimits { rows: STEP_ROWS, linger: Duration::ZERO };
            let reader = bus.reader(&input_spec(&pipeline, stream).name, StreamSequence::FIRST, limits);
            let wrap = move |messages| Input::Events { stream: index, messages };
            run.tasks.spawn(read_all(reader, run.inputs.clone(), wrap, stop.clone()));
        }
        if let Some((subject, _)) = pipeline.score.as_ref().and_then(|score| score.service.as_ref()) {
            let spec = ServiceSpec {
                name: format!("tidewheel-{}", pipeline.name),
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
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error,
            _ => self.thread_error().unwrap_or(EngineError::Thread("engine")),
        }
    }

    /// Stops reading, answers and publishes what was taken, and ends.
    pub async fn stop(mut self) -> Result<(), EngineError> {
        self.stop.cancel();
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
        let deadline = tokio::time::Instant::now() + linger;
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
