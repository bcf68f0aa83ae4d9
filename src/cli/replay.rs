//! `tidewheel replay`: a file of events with their own times, through the broker and the pipeline.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::broker::Broker;
use super::exit::misuse;
use super::learnt::{Learnt, learn};
use super::output::say;
use super::progress::Shown;
use super::run::{interrupted, runtime, settings};
use super::source::EventFile;
use super::{BrokerArguments, Format, assemble, observe};
use crate::bus::{Bus, Outgoing, StreamSequence};
use crate::clock;
use crate::engine::{DeadCount, Run};
use crate::event::Clock;
use crate::pipeline::{Pipeline, StreamIndex, concrete, input_spec};

/// Messages that wait for the broker's acknowledgement.
const OUTSTANDING: usize = 2_000;
/// Reasons of dead letters that people are shown.
const MOST_REASONS: usize = 5;

/// What stands for the wildcards of a stream's subject.
const WORD: &str = "replay";

/// Arguments of `replay`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The pipeline's folder.
    folder: PathBuf,
    /// Events: .csv, .jsonl, .ndjson or .json, each also with .gz.
    file: PathBuf,
    /// How fast: `max`, or a multiple of the events' own time such as `60x`.
    #[arg(long, default_value = "max", value_parser = parse_speed)]
    speed: Speed,
    /// Which stream, where the pipeline has several.
    #[arg(long)]
    stream: Option<String>,
    #[command(flatten)]
    broker: BrokerArguments,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Speed {
    Max,
    Times(f64),
}

fn parse_speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    let times = text.strip_suffix('x').and_then(|number| number.parse::<f64>().ok());
    let times = times.filter(|times| times.is_finite() && *times > 0.0);
    times.map(Speed::Times).ok_or_else(|| format!("`{text}` is not `max` or a multiple such as `60x`"))
}

/// What came out.
#[derive(Debug, Serialize)]
struct Report {
    published: u64,
    counted: u64,
    late: u64,
    rejected: u64,
    duplicate: u64,
    /// What became a dead letter, the commonest reasons first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dead_letters: Vec<DeadLetters>,
    scored: u64,
    seconds: f64,
    /// Rows that each table of windows has emitted. Windows wait for event time: those that are open at the end of the file
    /// stay open.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    emitted: BTreeMap<String, u64>,
    /// What learning from the file's feedback gave, where the pipeline learns.
    #[serde(flatten)]
    learnt: Option<Learnt>,
}

/// Events, or rows made of them, that could not be used for one reason.
#[derive(Debug, Serialize)]
struct DeadLetters {
    reason: &'static str,
    count: u64,
    /// The first of them.
    first: String,
}

/// A file on its way into one stream of a pipeline.
struct Replay {
    pipeline: Arc<Pipeline>,
    /// Index of the stream.
    stream: StreamIndex,
    file: EventFile,
    speed: Speed,
    bar: ProgressBar,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let (_, mut pipeline) = assemble(&arguments.folder)?;
    if arguments.broker.nats.is_none() {
        // In a store of its own there is nobody else: it makes what it reads.
        pipeline.streams.iter_mut().for_each(|stream| stream.source = None);
    }
    let stream = pick_stream(&pipeline, arguments.stream.as_deref())?;
    let wants_time = arguments.speed != Speed::Max;
    let plan = pipeline.stream(stream);
    if plan.decode.clock != Clock::Event && plan.decode.received_column.is_none() {
        tracing::warn!(
            stream = plan.name,
            "by its `clock` an event happens when it is received, and in a replay that is now: name the column that says when \
             it was with `received`"
        );
    }
    let file = EventFile::open(&arguments.file, &plan.contract, &plan.decode, wants_time)?;
    let shown = Shown::of(progress(file.total_bytes()));
    let bar = shown.bar().clone();
    let mut replay = Replay { pipeline: Arc::new(pipeline), stream, file, speed: arguments.speed, bar };
    runtime()?.block_on(async {
        // A store of its own: what comes out is about this file alone.
        let state = tempfile_folder()?;
        let broker = Broker::open(&arguments.broker, &state.0).await?;
        if arguments.broker.nats.is_some() {
            replay.publish_only(&broker.bus, arguments.format).await?;
            broker.close().await?;
            return Ok(true);
        }
        let report = replay.through_pipeline(&broker.bus).await?;
        broker.close().await?;
        let report = report.context("interrupted")?;
        drop(shown);
        print(&report, arguments.format)?;
        let (published, accounted) = (report.published, report.accounted());
        ensure!(accounted == published, "{published} events published, {accounted} accounted for");
        Ok(true)
    })
}

impl Replay {
    /// Into somebody else's server: what its pipeline makes of the events is its own.
    async fn publish_only(&mut self, bus: &Bus, format: Format) -> anyhow::Result<()> {
        let start = clock::now();
        let plan = self.pipeline.stream(self.stream);
        match plan.source {
            Some(_) => plan.bus(bus).bind(&plan.held_in, &plan.subjects).await?,
            None => bus.ensure_stream(&input_spec(&self.pipeline, plan)).await?,
        };
        let published = self.publish(bus).await?;
        self.bar.finish_and_clear();
        let seconds = start.elapsed().as_secs_f64();
        match format {
            Format::Json => observe::print_json(&serde_json::json!({ "published": published, "seconds": seconds })),
            Format::Text => {
                say!("{published} events published in {seconds:.1} s");
                Ok(())
            }
        }
    }

    /// Through a pipeline that runs beside, until it has taken everything; nothing when interrupted while publishing.
    async fn through_pipeline(&mut self, bus: &Bus) -> anyhow::Result<Option<Report>> {
        let start = clock::now();
        let (pipeline, stream) = (Arc::clone(&self.pipeline), self.stream);
        let mut running = Run::start(Arc::clone(&pipeline), bus, &settings()).await?;
        let published = tokio::select! {
            published = self.publish(bus) => Some(published?),
            error = running.failed() => return Err(error.into()),
            () = interrupted() => None,
        };
        let Some(published) = published else {
            running.stop().await?;
            return Ok(None);
        };
        let last = bus.stream_state(&pipeline.stream(stream).held_in).await?.last;
        self.bar.set_message("waiting until everything is through");
        let mut settled = running.settled();
        tokio::select! {
            reached = settled.wait_for(|position| position.of(stream) >= last || last == StreamSequence(0)) => {
                reached.context("the pipeline ended before everything was through")?;
            }
            error = running.failed() => return Err(error.into()),
            () = interrupted() => bail!("interrupted"),
        }
        let seconds = start.elapsed().as_secs_f64();
        let figures = running.stats().snapshot();
        let counts = figures.counts;
        let labels = running.stats().labels();
        let emitted = emitted(&pipeline, &running.stats().emitted_rows());
        let dead_letters = dead_letters(running.stats().dead.counts());
        running.stop().await?;
        let learnt = match pipeline.train.is_some() && labels.examples() > 0 {
            true => {
                self.bar.set_message("learning");
                Some(learn(&pipeline, bus, labels).await?)
            }
            false => None,
        };
        Ok(Some(Report {
            published,
            counted: counts.counted,
            late: counts.late,
            rejected: counts.rejected,
            duplicate: counts.duplicate,
            dead_letters,
            scored: figures.scored,
            seconds,
            emitted,
            learnt,
        }))
    }

    /// Publishes the file's events, at its speed.
    async fn publish(&mut self, bus: &Bus) -> anyhow::Result<u64> {
        let Self { pipeline, stream, file, speed, bar } = self;
        let plan = pipeline.stream(*stream);
        let subject = concrete(plan.subjects.first().context("the stream has no subject")?, WORD)?;
        let mut publisher = bus.publisher(OUTSTANDING).await?;
        let (mut published, mut event) = (0_u64, Vec::new());
        let start = clock::now();
        let mut first_time = None;
        while let Some(time) = file.next_event(&mut event)? {
            if let (Speed::Times(times), Some(time)) = (*speed, time) {
                let first = *first_time.get_or_insert(time);
                let micros = time.saturating_sub(first).max(0);
                let due = start + Duration::from_micros(micros.cast_unsigned()).div_f64(times);
                if due > clock::now() {
                    publisher.settle().await?;
                    tokio::time::sleep_until(due.into()).await;
                }
            }
            let message = Outgoing::new(subject.clone(), std::mem::take(&mut event).into());
            publisher.publish(if plan.decode.avro.is_some() { message.json() } else { message }).await?;
            published += 1;
            if published.is_multiple_of(1_024) {
                bar.set_position(file.read_bytes());
            }
        }
        publisher.settle().await?;
        bar.set_position(file.total_bytes());
        Ok(published)
    }
}

impl Report {
    /// Events of which it is known what became of them.
    fn accounted(&self) -> u64 {
        self.counted + self.late + self.rejected + self.duplicate
    }
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return observe::print_json(report);
    }
    say!("published  {:>10}", report.published);
    say!("counted    {:>10}", report.counted);
    say!("late       {:>10}", report.late);
    say!("rejected   {:>10}", report.rejected);
    say!("duplicate  {:>10}", report.duplicate);
    for DeadLetters { reason, count, first } in report.dead_letters.iter().take(MOST_REASONS) {
        say!("dead       {count:>10}   {reason}, the first: {first}");
    }
    if let Some(more) = report.dead_letters.len().checked_sub(MOST_REASONS).filter(|more| *more > 0) {
        say!("                        and {more} more reasons: --format json has all");
    }
    say!("scored     {:>10}", report.scored);
    say!("seconds    {:>10.1}   {:.0} events/s", report.seconds, report.published as f64 / report.seconds.max(1e-9));
    for (table, rows) in &report.emitted {
        say!("emitted    {rows:>10}   {table}");
    }
    if let Some(learnt) = &report.learnt {
        learnt.print();
    }
    Ok(())
}

fn dead_letters(counts: BTreeMap<&'static str, DeadCount>) -> Vec<DeadLetters> {
    let letters =
        counts.into_iter().map(|(reason, DeadCount { count, first, .. })| DeadLetters { reason, count, first });
    let mut letters: Vec<_> = letters.collect();
    letters.sort_by_key(|letters| Reverse(letters.count));
    letters
}

fn emitted(pipeline: &Pipeline, rows: &[u64]) -> BTreeMap<String, u64> {
    let tables = pipeline.tables.iter().zip(rows).filter(|(table, _)| table.plan.windows().is_some());
    tables.map(|(table, rows)| (table.plan.name().to_owned(), *rows)).collect()
}

fn pick_stream(pipeline: &Pipeline, name: Option<&str>) -> anyhow::Result<StreamIndex> {
    let names: Vec<_> = pipeline.streams.iter().map(|stream| stream.name.as_str()).collect();
    match name {
        Some(name) => names
            .iter()
            .position(|known| *known == name)
            .map(StreamIndex)
            .with_context(|| format!("no stream `{name}`: the pipeline has {}", names.join(", "))),
        None if names.len() == 1 => Ok(StreamIndex(0)),
        None => misuse!("the pipeline has several streams: say which with --stream ({})", names.join(", ")),
    }
}

fn progress(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3}% {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar
}

/// A folder that goes away when the verb ends.
pub(super) struct TemporaryFolder(pub(super) PathBuf);

/// A new folder below the system's temporary one.
pub(super) fn tempfile_folder() -> anyhow::Result<TemporaryFolder> {
    let name = format!("tidewheel-{}-{}", std::process::id(), clock::since_1970().as_nanos());
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
    Ok(TemporaryFolder(path))
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, folder = %self.0.display(), "temporary folder not removed");
        }
    }
}
