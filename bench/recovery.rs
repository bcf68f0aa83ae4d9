//! What it costs to lose nothing, and how long a killed worker takes to go on.
//!
//! `cargo bench --bench recovery [-- STATE_EVENTS [KILLS [COST_EVENTS]]]`, from the project's root.
//!
//! - Recovery: the program runs `pipelines/intent` over a state of `STATE_EVENTS` events while events come at a fixed rate; it
//!   is killed `KILLS` times at random instants. Measured: from the start of the process until an output that was not there
//!   before is stored. The log's own times tell where that time goes.
//! - Cost: the same job over the same stream with snapshots and short epochs, and without snapshots and with epochs that end
//!   only when a batch is full; by turns, from scratch each time.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time, and ends with its tasks")]

mod intent;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};
use tidewheel::bus::{Bus, Outgoing, Publisher, ReadLimits, StreamSequence, Subject};
use tidewheel::engine::{Run, RunSettings};
use tidewheel::pipeline::StreamIndex;
use tidewheel::pipeline::{Pipeline, input_spec, output_spec};
use tidewheel::snapshot::Location;
use tokio::sync::watch;

/// Events a second while workers are killed.
const RATE: u64 = 1_000;
/// How long a worker lives after its first output, milliseconds: past one snapshot now and then.
const LIFE_MS: std::ops::Range<u64> = 1_000..12_000;
const ROUNDS: usize = 5;
/// In the part that measures cost snapshots are taken twice as often as by default.
const CHECKPOINT: Duration = Duration::from_secs(5);
/// Events per second of event time.
const EVENT_TIME_RATE: u64 = 2_000;
/// Events of the last steps, which are not waited for where cost is measured.
const LAST_STEPS: u64 = 3 * 4_096;
/// What the log says when a stage is over.
const STAGES: [(&str, &str); 5] = [
    ("connected", "connected to NATS"),
    ("claimed", "claimed the pipeline"),
    ("restored", "state restored from its snapshot"),
    ("running", "running; Ctrl-C stops"),
    ("replayed", "the state is what was committed"),
];

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let state_events = numbers.next().unwrap_or(500_000);
    let kills = numbers.next().unwrap_or(20);
    let cost_events = numbers.next().unwrap_or(1_500_000).max(2 * LAST_STEPS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(recovery(state_events, kills));
    runtime.block_on(cost(cost_events));
}

/// Events of 100,000 people and 10,000 items, both Zipf.
struct Generator {
    random: ChaCha8Rng,
    people: Zipf<f64>,
    items: Zipf<f64>,
    start: u64,
    count: u64,
}

impl Generator {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        Self {
            random: ChaCha8Rng::seed_from_u64(5),
            people: Zipf::new(100_000.0, 1.1).unwrap(),
            items: Zipf::new(10_000.0, 1.1).unwrap(),
            start: now - 3_600,
            count: 0,
        }
    }

    fn next(&mut self) -> Outgoing {
        let user = self.people.sample(&mut self.random) as u64;
        let item = self.items.sample(&mut self.random) as u64;
        let behavior = if self.random.random_bool(0.5) { "pv" } else { "cart" };
        let (category, ts) = (item % 100, self.start + self.count / EVENT_TIME_RATE);
        self.count += 1;
        let event = format!(
            r#"{{"user_id":{user},"item_id":{item},"category_id":{category},"behavior":"{behavior}","ts":{ts}}}"#
        );
        Outgoing::new(Subject::new("shop.behavior").unwrap(), event.into_bytes().into())
    }
}

async fn fill(publisher: &mut Publisher, generator: &mut Generator, events: u64) {
    for _ in 0..events {
        publisher.publish(generator.next()).await.unwrap();
    }
    publisher.settle().await.unwrap();
}

/// Starts the program; its state and its log are in the folder.
fn start(folder: &Path, url: &str, number: u64) -> (Child, PathBuf) {
    let log = folder.join(format!("worker-{number}.log"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewheel"));
    command.arg("run").arg(intent::folder()).args(["--nats", url, "--no-train"]);
    command.env("TIDEWHEEL_LOG", "info,tidewheel::engine=debug,async_nats=warn,ort=warn").current_dir(folder);
    // The program looks for it above its working folder, which is elsewhere here.
    let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime/libonnxruntime.so");
    if std::env::var_os("ORT_DYLIB_PATH").is_none() {
        command.env("ORT_DYLIB_PATH", runtime);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
    (command.spawn().unwrap(), log)
}

/// Where the newest output is that is no marker, and when it came.
fn watch_outputs(bus: &Bus, pipeline: &Pipeline) -> watch::Receiver<(u64, SystemTime)> {
    let limits = ReadLimits { rows: 4_096, linger: Duration::ZERO };
    let mut reader = bus.reader(&output_spec(pipeline).name, StreamSequence::FIRST, limits);
    let markers = format!("{}.commits", pipeline.name);
    let (sender, receiver) = watch::channel((0, UNIX_EPOCH));
    tokio::spawn(async move {
        while let Ok(messages) = reader.next_batch().await {
            if let Some(last) = messages.iter().rev().find(|message| message.subject.as_str() != markers) {
                sender.send_replace((last.sequence.0, SystemTime::now()));
            }
        }
    });
    receiver
}

async fn recovery(events: u64, kills: u64) {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = intent::broker(&folder.path().join("broker")).await;
    let pipeline = intent::pipeline();
    let stream = input_spec(&pipeline, &pipeline.streams[0]);
    bus.ensure_stream(&stream).await.unwrap();
    bus.ensure_stream(&output_spec(&pipeline)).await.unwrap();
    let (mut generator, mut publisher) = (Generator::new(), bus.publisher(2_000).await.unwrap());
    fill(&mut publisher, &mut generator, events).await;
    // The first worker works it all off and saves its state when it is told to stop.
    let (mut child, log) = start(folder.path(), &server.url(), 0);
    let position = Subject::new(format!("{}.commits", pipeline.name)).unwrap();
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(child.try_wait().unwrap().is_none(), "{}", std::fs::read_to_string(&log).unwrap());
        let newest = bus.last_message(&output_spec(&pipeline).name, &position).await.unwrap();
        let done = newest.and_then(|marker| serde_json::from_slice::<serde_json::Value>(&marker.payload).ok());
        if done.is_some_and(|marker| marker["inputs"][0]["sequence"].as_u64() == Some(events)) {
            break;
        }
    }
    let id = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success(), "{}", std::fs::read_to_string(&log).unwrap());
    println!("recovery: {events} events, state {} MB in its newest snapshot", snapshot_bytes(&log) / 1_000_000);

    let stop = Arc::new(AtomicBool::new(false));
    let producing = tokio::spawn(produce(publisher, generator, Arc::clone(&stop)));
    let outputs = watch_outputs(&bus, &pipeline);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut took: Vec<Vec<Duration>> = vec![Vec::new(); STAGES.len() + 1];
    for kill in 1..=kills {
        // Where the outputs end while nobody writes.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let known = bus.stream_state(&output_spec(&pipeline).name).await.unwrap().last.0;
        let spawned = SystemTime::now();
        let (mut child, log) = start(folder.path(), &server.url(), kill);
        let mut newest = outputs.clone();
        let first = tokio::time::timeout(Duration::from_secs(60), newest.wait_for(|(sequence, _)| *sequence > known));
        let (_, at) = *first.await.expect("an output").unwrap();
        let whole = at.duration_since(spawned).unwrap();
        tokio::time::sleep(Duration::from_millis(random.random_range(LIFE_MS))).await;
        assert!(child.try_wait().unwrap().is_none(), "{}", std::fs::read_to_string(&log).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        let words = std::fs::read_to_string(&log).unwrap();
        let stages: Vec<_> = STAGES.iter().map(|(_, text)| said(&words, text, spawned)).collect();
        stages.iter().zip(&mut took).for_each(|(stage, took)| took.extend(*stage));
        took[STAGES.len()].push(whole);
        println!("  kill {kill}: {} ms; {:?}", whole.as_millis(), stages);
    }
    stop.store(true, Ordering::Relaxed);
    producing.await.unwrap();
    for ((name, _), took) in STAGES.iter().zip(&mut took) {
        println!("  until {name}: {}", percentiles(took));
    }
    println!("until the first new output: {}", percentiles(&mut took[STAGES.len()]));
    server.stop().await.unwrap();
}

async fn produce(mut publisher: Publisher, mut generator: Generator, stop: Arc<AtomicBool>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        for _ in 0..RATE / 200 {
            publisher.publish(generator.next()).await.unwrap();
        }
    }
    publisher.settle().await.unwrap();
}

/// When a line of a log was written, from `since` on.
fn said(log: &str, text: &str, since: SystemTime) -> Option<Duration> {
    let line = log.lines().find(|line| line.contains(text))?;
    let time = humantime::parse_rfc3339(line.split_whitespace().next()?).ok()?;
    time.duration_since(since).ok()
}

/// The size of the newest snapshot that a log tells of.
fn snapshot_bytes(log: &Path) -> u64 {
    let log = std::fs::read_to_string(log).unwrap();
    let line = log.lines().rev().find(|line| line.contains(" snapshot ") && line.contains("bytes=")).unwrap();
    let (_, rest) = line.split_once("bytes=").unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

fn percentiles(took: &mut [Duration]) -> String {
    took.sort_unstable();
    let at = |share: f64| match took.len() {
        0 => 0,
        count => took[((count as f64 * share).ceil() as usize).clamp(1, count) - 1].as_millis(),
    };
    format!("p50 {} ms, p99 {} ms, max {} ms", at(0.5), at(0.99), at(1.0))
}

async fn cost(events: u64) {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = intent::broker(&folder.path().join("broker")).await;
    let pipeline = intent::pipeline();
    let input = input_spec(&pipeline, &pipeline.streams[0]);
    bus.ensure_stream(&input).await.unwrap();
    fill(&mut bus.publisher(2_000).await.unwrap(), &mut Generator::new(), events).await;
    assert_eq!(bus.stream_state(&input.name).await.unwrap().last.0, events);
    let (mut safe, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let store = folder.path().join(format!("snapshots-{round}"));
        // By turns, so that neither has the warmer machine.
        let first_is_safe = round % 2 == 0;
        let one = work(&bus, events, first_is_safe.then_some(&store)).await;
        let other = work(&bus, events, (!first_is_safe).then_some(&store)).await;
        let (with, without) = if first_is_safe { (one, other) } else { (other, one) };
        safe.push(with);
        bare.push(without);
        ratios.push(with / without);
    }
    println!(
        "cost: with snapshots every {CHECKPOINT:?} and epochs of 50 ms {:.0} events/s, without {:.0} events/s, ratio {:.3}",
        median(safe),
        median(bare),
        median(ratios)
    );
    server.stop().await.unwrap();
}

/// Events per second of the whole job over all events, from scratch.
async fn work(bus: &Bus, events: u64, snapshots: Option<&PathBuf>) -> f64 {
    let mut pipeline = intent::pipeline();
    pipeline.state.checkpoint = CHECKPOINT;
    // Nobody reads the outputs of the jobs before, and for all of them there is no room.
    pipeline.output.drops_oldest = true;
    if snapshots.is_none() {
        pipeline.state.epoch = Duration::from_secs(3_600);
    }
    let settings = RunSettings {
        version: "0.0.1".to_owned(),
        from_scratch: true,
        snapshots: snapshots.map(|store| Location::folder(store.clone())),
        ..RunSettings::default()
    };
    let start = Instant::now();
    let run = Run::start(Arc::new(pipeline), bus, &settings).await.unwrap();
    // The last outputs of an epoch that is not full wait for others, so what is measured ends a little earlier.
    let measured = events - LAST_STEPS;
    run.settled().wait_for(|position| position.of(StreamIndex(0)) >= StreamSequence(measured)).await.unwrap();
    let rate = measured as f64 / start.elapsed().as_secs_f64();
    run.stop().await.unwrap();
    rate
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
