//! A pipeline between the broker's streams and back.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::feed::read_all;
use super::label::Labeller;
use super::pipeline::Pipeline;
use super::position::Position;
use super::publish::{POSITION, publish_all};
use super::recorded::recorded_impressions;
use super::scoring::{Scoring, ScoringThread};
use super::serving::{follow, load_arms, open_registry};
use super::stats::Stats;
use super::step::Step;
use super::streams::{examples_spec, impressions_spec, input_spec, output_spec};
use super::telemetry::{TableFigures, record_step, record_table};
use crate::bus::{
    Bus, EndpointSpec, Message, ReadLimits, ServiceError, ServiceHandle, ServiceRequest, ServiceSpec, StreamSequence,
    Subject,
};
use crate::feature::LiveTable;

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
/// How often the size of tables is recorded.
const TABLE_METRICS: Duration = Duration::from_secs(5);

/// How a pipeline runs.
#[derive(Debug, Clone, Default)]
pub struct RunSettings {
    /// Tells the version in `nats micro ls`.
    pub version: String,
    /// Where copies of models are kept, if anywhere.
    pub copies: Option<PathBuf>,
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

/// What the step's thread takes.
enum Input {
    Events {
        stream: usize,
        messages: Vec<Message>,
    },
    Requests(Vec<ServiceRequest>),
    /// Rows of these tables as of now.
    Snapshot {
        tables: Vec<String>,
        reply: oneshot::Sender<Result<Vec<(String, RecordBatch)>, EngineError>>,
    },
}

/// What of the streams was there before.
struct Replay {
    /// Up to here every output is in the broker.
    resumed: Position,
    /// Where the streams ended at the start.
    present: Position,
    /// Told when the features are as of then.
    rebuilt: Option<oneshot::Sender<()>>,
}

impl Run {
    /// Creates what is missing in the broker, rebuilds the features and starts to serve: a pipeline that answers requests is
    /// ready for them when this returns.
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
        let step = Step::new(Arc::clone(&pipeline))?;
        let (step_pipeline, step_stats) = (Arc::clone(&pipeline), Arc::clone(&stats));
        let (rebuilt_sender, rebuilt) = oneshot::channel();
        run.spawn_thread("step", move || {
            let replay = Replay { resumed, present, rebuilt: Some(rebuilt_sender) };
            step_all(&step_pipeline, step, &step_stats, input_queue, &step_queue, start, replay)
        })?;
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

/// Asks a running pipeline for rows. It does not keep the pipeline running.
#[derive(Clone)]
pub struct Snapshots(mpsc::WeakSender<Input>);

impl Snapshots {
    /// Rows of the named tables.
    pub async fn take(&self, tables: Vec<String>) -> Result<Vec<(String, RecordBatch)>, EngineError> {
        let (reply, answer) = oneshot::channel();
        let ended = |_| EngineError::Thread("step");
        let inputs = self.0.upgrade().ok_or(EngineError::Thread("step"))?;
        inputs.send(Input::Snapshot { tables, reply }).await.map_err(|_| EngineError::Thread("step"))?;
        drop(inputs);
        answer.await.map_err(ended)?
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

fn step_all(
    pipeline: &Pipeline,
    mut step: Step,
    stats: &Stats,
    mut inputs: mpsc::Receiver<Input>,
    scoring: &mpsc::Sender<Scoring>,
    mut position: Position,
    mut replay: Replay,
) -> Result<(), EngineError> {
    let mut recorded = Instant::now();
    loop {
        if position.has_reached(&replay.present)
            && let Some(rebuilt) = replay.rebuilt.take()
        {
            step.is_present();
            // Nobody waits where there are no requests.
            let _gone = rebuilt.send(()).is_err();
        }
        let Some(input) = inputs.blocking_recv() else { return Ok(()) };
        let start = Instant::now();
        let before: Arc<str> = position.to_string().into();
        let (output, requests) = match input {
            Input::Events { stream, messages } => {
                // A batch that reaches past the resumed position is emitted whole: ids drop what is there already.
                let last = messages.last().map_or(StreamSequence(0), |message| message.sequence);
                let emit = last > replay.resumed.of(stream);
                let output = step.events(stream, &messages, emit)?;
                position.advance(stream, last);
                (output, Vec::new())
            }
            Input::Requests(requests) => {
                let payloads: Vec<_> = requests.iter().map(|request| request.payload.clone()).collect();
                (step.requests(&payloads)?, requests.into_iter().map(Some).collect())
            }
            Input::Snapshot { tables, reply } => {
                // Whoever asked may have gone away; that is no fault of the pipeline.
                let _gone = reply.send(snapshot(pipeline, &mut step, &tables)).is_err();
                continue;
            }
        };
        stats.add_step(&output.counts);
        stats.set_emitted_rows(step.emitted_rows());
        record_step(&pipeline.name, &output.counts, start.elapsed());
        if recorded.elapsed() > TABLE_METRICS {
            recorded = Instant::now();
            record_tables(pipeline, &mut step);
        }
        if scoring.blocking_send(Scoring { output, requests, before, after: position.clone() }).is_err() {
            return Ok(());
        }
    }
}

fn record_tables(pipeline: &Pipeline, step: &mut Step) {
    for (index, table) in pipeline.tables.iter().enumerate() {
        let keys = step.tables_mut().get(index).map_or(0, LiveTable::key_count);
        let figures = TableFigures { keys, bytes: step.table_size(index), late_rows: step.late_rows(index) };
        record_table(&pipeline.name, table.plan.name(), &figures);
    }
}

fn snapshot(pipeline: &Pipeline, step: &mut Step, names: &[String]) -> Result<Vec<(String, RecordBatch)>, EngineError> {
    let mut rows = Vec::new();
    for (table, plan) in step.tables_mut().iter_mut().zip(&pipeline.tables) {
        let name = plan.plan.name();
        if names.iter().any(|wanted| wanted == name) {
            let scanned = table.scan();
            rows.push((
                name.to_owned(),
                scanned.map_err(|source| EngineError::Window { table: name.to_owned(), source })?,
            ));
        }
    }
    Ok(rows)
}
