//! `tidewheel demo`: the main job on a synthetic shop, with real latencies, whose people change their tastes halfway.
//!
//! At that moment the model, trained so far, is copied and frozen. From then on half of the people are served by the copy and
//! half by the model that goes on learning, on the same kind of requests.

mod hints;
mod site;
mod summary;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::site::Site;
use self::summary::{percentiles, print, summarise};
use super::broker::Broker;
use super::output::{say, tell};
use super::progress::Shown as Bar;
use super::run::{interrupted, runtime};
use super::{BrokerArguments, Format, observe};
use crate::bus::{Bus, Outgoing, Subject};
use crate::clock;
use crate::engine::{EngineError, Figures, Run, Stats, Training, TrainingOptions, TrainingReport, serve_status};
use crate::pipeline::Pipeline;
use crate::query::serve_sql;
use crate::simulate::{Kind, Shop, ShopSettings};
use crate::time::EventTime;

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
    /// Leaves the pipeline's folder, and all that the demo has made, in this new folder: to go on with `run`, `sql`, `model`.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
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
    let site = Site::new(&arguments.folder, arguments.keep.as_deref())?;
    let street = Arc::new(Street::new(&site.pipeline, arguments.seed)?);
    runtime()?.block_on(async {
        let broker = Broker::open(&BrokerArguments::default(), &site.state).await?;
        let pipeline = Arc::clone(&site.pipeline);
        let settings = site.settings();
        let mut running = Run::start(Arc::clone(&pipeline), &broker.bus, &settings).await?;
        let training = match pipeline.train.is_some() {
            true => {
                let options = TrainingOptions { copies: settings.copies.clone(), ..TrainingOptions::default() };
                Some(Training::start(Arc::clone(&pipeline), &broker.bus, options).await?)
            }
            false => None,
        };
        let sql = serve_sql(&broker.bus, &pipeline.names, running.views()).await?;
        let status = serve_status(&broker.bus, &pipeline, &running, training.as_ref(), Duration::ZERO).await?;
        if arguments.format == Format::Text {
            tell!("{}", hints::meanwhile(&site, &broker.url()));
        }
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
        let line = Line::new(arguments.format);
        for (half, until) in [(1, length / 2), (2, length)] {
            if half == 2 {
                if let Some(training) = &training {
                    training.freeze(FROZEN_SHARE).await?;
                }
                street.shop.lock().unwrap_or_else(PoisonError::into_inner).drift();
            }
            let ended = tokio::select! {
                () = show(&street, &stats, start, until, &line) => continue,
                error = running.failed() => Err(anyhow::Error::from(error)),
                error = training_stopped(training.as_ref()) => Err(anyhow::Error::from(error)),
                failed = first_failure(&mut people) => Err(failed),
                () = interrupted() => Ok(()),
            };
            outcome = ended;
            break;
        }
        drop(line);
        stop.cancel();
        while let Some(ended) = people.join_next().await {
            ended??;
        }
        let seconds = start.elapsed().as_secs_f64();
        drop((sql, status));
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
            Format::Text => {
                print(&summary);
                say!("\nNext:\n{}", hints::afterwards(&site));
            }
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

async fn show(street: &Street, stats: &Stats, start: Instant, length: Duration, line: &Line) {
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
        line.write(live_line(&before, &now, recent, start));
        before = now;
    }
}

fn live_line(before: &Figures, now: &Figures, recent: Vec<u32>, start: Instant) -> String {
    let latency = percentiles(recent);
    format!(
        "{:>4} s  {:>6} events/s  {:>5} rankings/s  p50 {:>6.2} ms  p99 {:>6.2} ms  watermark lag {}",
        start.elapsed().as_secs(),
        now.counts.counted - before.counts.counted,
        now.rankings - before.rankings,
        latency.p50,
        latency.p99,
        lag(clock::unix_micros(), now.newest),
    )
}

/// How far event time is behind the clock; the newest event may be a moment ahead of it.
fn lag(now_micros: i64, newest: Option<EventTime>) -> String {
    newest.map_or_else(
        || "-".to_owned(),
        |newest| {
            let lag = now_micros.saturating_sub(newest.micros()).max(0);
            format!("{:.1} s", lag as f64 / 1e6)
        },
    )
}

/// One line that is written over on a terminal; one line a second in a file; none where results are for programs.
struct Line {
    bar: Option<Bar>,
    is_wanted: bool,
}

impl Line {
    fn new(format: Format) -> Self {
        let is_wanted = format == Format::Text;
        let bar = (is_wanted && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            Bar::of(bar)
        });
        Self { bar, is_wanted }
    }

    fn write(&self, line: String) {
        match &self.bar {
            Some(bar) => {
                bar.bar().set_message(line);
                bar.bar().tick();
            }
            None if self.is_wanted => tell!("{line}"),
            None => {}
        }
    }
}

impl Shown {
    /// Clicks per ranking; nothing before the first ranking.
    fn rate(&self) -> Option<f64> {
        let rankings = self.rankings.load(Ordering::Relaxed);
        (rankings > 0).then(|| self.clicks.load(Ordering::Relaxed) as f64 / rankings as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It said `-0.0 s`.
    #[test]
    fn a_newest_event_that_is_ahead_of_the_clock_is_no_lag() {
        let texts = [1_000_000, 1_010_000, 960_000].map(|newest| lag(1_000_000, Some(EventTime(newest))));
        assert_eq!(texts, ["0.0 s", "0.0 s", "0.0 s"]);
        assert_eq!(lag(3_250_000, Some(EventTime(1_000_000))), "2.2 s");
        assert_eq!(lag(3_250_000, None), "-");
    }
}
