//! `tidewheel demo`: the main job on a synthetic shop, with real latencies, whose people change their tastes halfway.
//!
//! At that moment the model, trained so far, is copied and frozen. From then on half of the people are served by the copy and
//! half by the model that goes on learning, on the same kind of requests.

mod summary;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::summary::{percentiles, print, summarise};
use super::broker::Broker;
use super::replay::tempfile_folder;
use super::run::{interrupted, runtime, settings};
use super::{BrokerArguments, Format, assemble, observe};
use crate::bus::{Bus, Outgoing, Subject};
use crate::clock;
use crate::engine::{EngineError, Figures, Run, Stats, Training, TrainingOptions, TrainingReport};
use crate::pipeline::Pipeline;
use crate::simulate::{Kind, Shop, ShopSettings};

/// People who wait for a ranking at the same time.
const VISITORS: usize = 4;
/// How often the shop publishes what people do.
const TICK: Duration = Duration::from_millis(5);
/// The share of the people that the frozen copy serves.
const FROZEN_SHARE: f64 = 0.5;

/// Arguments of `demo`.
#[derive(Args)]
pub(super) struct Arguments {
    /// How long.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Events published per second by people who browse.
    #[arg(long, default_value_t = 2_000)]
    rate: u64,
    /// Decides everything that people do.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The pipeline's folder.
    #[arg(long, default_value = "pipelines/recommend")]
    folder: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Rankings shown and clicks on them, since there are two arms.
#[derive(Default)]
struct Shown {
    rankings: AtomicU64,
    clicks: AtomicU64,
}

/// What the people of the shop share.
struct Street {
    shop: Mutex<Shop>,
    clicks: Subject,
    score: Subject,
    /// Request to reply, microseconds.
    latencies: Mutex<Vec<u32>>,
    learning: Shown,
    frozen: Shown,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let (_, pipeline) = assemble(&arguments.folder)?;
    let street = Arc::new(Street::new(&pipeline, arguments.seed)?);
    let pipeline = Arc::new(pipeline);
    runtime()?.block_on(async {
        let state = tempfile_folder()?;
        let broker = Broker::open(&BrokerArguments::default(), &state.0).await?;
        let mut running = Run::start(Arc::clone(&pipeline), &broker.bus, &settings()).await?;
        let training = match pipeline.train.is_some() {
            true => Some(Training::start(Arc::clone(&pipeline), &broker.bus, TrainingOptions::default()).await?),
            false => None,
        };
        let stop = CancellationToken::new();
        let mut people: JoinSet<anyhow::Result<()>> = JoinSet::new();
        people.spawn(browse(Arc::clone(&street), broker.bus.clone(), arguments.rate, stop.clone()));
        for _ in 0..VISITORS {
            people.spawn(visit(Arc::clone(&street), broker.bus.clone(), stop.clone()));
        }
        let start = clock::now();
        let length = Duration::from_secs(arguments.seconds);
        let stats = Arc::clone(running.stats());
        let mut outcome = Ok(());
        for (half, until) in [(1, length / 2), (2, length)] {
            if half == 2 {
                if let Some(training) = &training {
                    training.freeze(FROZEN_SHARE).await?;
                }
                street.shop.lock().unwrap_or_else(PoisonError::into_inner).drift();
            }
            let ended = tokio::select! {
                () = show(&street, &stats, start, until, arguments.format) => continue,
                error = running.failed() => Err(anyhow::Error::from(error)),
                error = training_stopped(training.as_ref()) => Err(anyhow::Error::from(error)),
                failed = first_failure(&mut people) => Err(failed),
                () = interrupted() => Ok(()),
            };
            outcome = ended;
            break;
        }
        stop.cancel();
        while let Some(ended) = people.join_next().await {
            ended??;
        }
        let seconds = start.elapsed().as_secs_f64();
        running.stop().await?;
        let learnt = match training {
            Some(training) => {
                let report = training.report().await?;
                training.stop().await?;
                report
            }
            None => TrainingReport::default(),
        };
        broker.close().await?;
        outcome?;
        let summary = summarise(&stats.snapshot().counts, &street, &learnt, seconds);
        match arguments.format {
            Format::Json => observe::print_json(&summary)?,
            Format::Text => print(&summary),
        }
        ensure!(summary.rankings > 0, "no ranking was answered");
        Ok(true)
    })
}

impl Street {
    fn new(pipeline: &Pipeline, seed: u64) -> anyhow::Result<Self> {
        let service = pipeline.score.as_ref().and_then(|score| score.service.as_ref());
        let score =
            service.map(|(subject, _)| subject.clone()).context("the demo needs a pipeline with a scoring service")?;
        Ok(Self {
            shop: Mutex::new(Shop::new(&ShopSettings { seed, ..ShopSettings::default() })),
            clicks: Subject::new("shop.clicks.web")?,
            score,
            latencies: Mutex::new(Vec::new()),
            learning: Shown::default(),
            frozen: Shown::default(),
        })
    }
}

/// People who look around by themselves.
async fn browse(street: Arc<Street>, bus: Bus, rate: u64, stop: CancellationToken) -> anyhow::Result<()> {
    let mut publisher = bus.publisher(4_096).await?;
    let start = clock::now();
    let mut published = 0_u64;
    let mut ticks = tokio::time::interval(TICK);
    let mut events = Vec::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
        {
            let mut shop = street.shop.lock().unwrap_or_else(PoisonError::into_inner);
            for _ in published..due {
                let mut event = Vec::with_capacity(160);
                shop.browse(clock::unix_micros()).write_json(&mut event);
                events.push(event);
            }
        }
        published = published.max(due);
        for event in events.drain(..) {
            publisher.publish(Outgoing::new(street.clicks.clone(), event.into())).await?;
        }
    }
    publisher.settle().await?;
    Ok(())
}

/// Somebody who asks for rankings, one after the other, and reacts to what they are shown.
async fn visit(street: Arc<Street>, bus: Bus, stop: CancellationToken) -> anyhow::Result<()> {
    let mut publisher = bus.publisher(64).await?;
    while !stop.is_cancelled() {
        let visit = street.shop.lock().unwrap_or_else(PoisonError::into_inner).visit(clock::unix_micros());
        let mut request = Vec::new();
        visit.write_json(&mut request);
        let start = clock::now();
        let reply = bus.request(&street.score, request.into(), Duration::from_secs(5)).await?;
        let took = start.elapsed().as_micros() as u32;
        street.latencies.lock().unwrap_or_else(PoisonError::into_inner).push(took);
        let ranking: Ranking = serde_json::from_slice(&reply).context("the reply is no ranking")?;
        let ranked: Vec<u64> = ranking.items.iter().map(|item| item.item_id).collect();
        ensure!(
            ranked.len() == visit.candidates.len(),
            "{} of {} candidates ranked",
            ranked.len(),
            visit.candidates.len()
        );
        let clicks =
            street.shop.lock().unwrap_or_else(PoisonError::into_inner).react(&visit, &ranked, clock::unix_micros());
        let arm = match ranking.arm.as_deref() {
            Some("control") => Some(&street.frozen),
            Some(_) => Some(&street.learning),
            None => None,
        };
        if let Some(arm) = arm {
            // A cart or a buy follows a click on the same item; only the click counts.
            let clicked = clicks.iter().filter(|click| click.kind == Kind::View).count();
            arm.rankings.fetch_add(1, Ordering::Relaxed);
            arm.clicks.fetch_add(clicked as u64, Ordering::Relaxed);
        }
        for click in clicks {
            let mut event = Vec::new();
            click.write_json(&mut event);
            publisher.publish(Outgoing::new(street.clicks.clone(), event.into())).await?;
        }
        tokio::time::sleep(TICK).await;
    }
    publisher.settle().await?;
    Ok(())
}

#[derive(serde::Deserialize)]
struct Ranking {
    items: Vec<Item>,
    arm: Option<String>,
}

#[derive(serde::Deserialize)]
struct Item {
    item_id: u64,
}

/// Waits until training stops by itself, without which there is nothing to show; for ever where there is none.
async fn training_stopped(training: Option<&Training>) -> EngineError {
    match training {
        Some(training) => training.stopped().await,
        None => std::future::pending().await,
    }
}

async fn first_failure(people: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Error {
    while let Some(ended) = people.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error,
            Err(error) => return error.into(),
        }
    }
    std::future::pending().await
}

async fn show(street: &Street, stats: &Stats, start: Instant, length: Duration, format: Format) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.tick().await;
    let (mut before, mut seen) = (stats.snapshot(), 0);
    while start.elapsed() < length {
        let rest = length.saturating_sub(start.elapsed());
        if tokio::time::timeout(rest, ticks.tick()).await.is_err() {
            break;
        }
        let now = stats.snapshot();
        let recent: Vec<u32> = {
            let latencies = street.latencies.lock().unwrap_or_else(PoisonError::into_inner);
            let recent = latencies[seen..].to_vec();
            seen = latencies.len();
            recent
        };
        if format == Format::Text {
            live_line(&before, &now, recent, start);
        }
        before = now;
    }
    if format == Format::Text && std::io::stderr().is_terminal() {
        eprintln!();
    }
}

fn live_line(before: &Figures, now: &Figures, recent: Vec<u32>, start: Instant) {
    let latency = percentiles(recent);
    let lag = (clock::unix_micros() - now.newest.unwrap_or_default().micros()) as f64 / 1e6;
    let line = format!(
        "{:>4} s  {:>6} events/s  {:>5} rankings/s  p50 {:>6.2} ms  p99 {:>6.2} ms  watermark lag {lag:.1} s",
        start.elapsed().as_secs(),
        now.counts.counted - before.counts.counted,
        now.rankings - before.rankings,
        latency.p50,
        latency.p99,
    );
    // One line that is written over on a terminal; one line a second in a file.
    if std::io::stderr().is_terminal() { eprint!("\r{line}") } else { eprintln!("{line}") }
}

impl Shown {
    /// Clicks per ranking; nothing before the first ranking.
    fn rate(&self) -> Option<f64> {
        let rankings = self.rankings.load(Ordering::Relaxed);
        (rankings > 0).then(|| self.clicks.load(Ordering::Relaxed) as f64 / rankings as f64)
    }
}
