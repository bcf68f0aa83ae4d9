//! The whole job beside a bare pull of the same stream, in one run; then latency at a fixed rate.
//!
//! `cargo bench --bench end_to_end [-- EVENTS]`, from the project's root. The bare pull is what any consumer of the stream
//! could reach at most; the whole job decodes, keeps the features of `pipelines/intent`, scores and publishes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time, and ends with its tasks")]

mod intent;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};
use tidewheel::bus::{Bus, Outgoing, ReadLimits, StreamSequence, Subject};
use tidewheel::engine::{Run, RunSettings};
use tidewheel::pipeline::{StreamIndex, input_spec};

const EVENT_BYTES: usize = 256;
const ROUNDS: usize = 3;
const RATE: u64 = 5_000;
const RATE_SECONDS: u64 = 10;
/// Events per second of event time in the throughput part.
const EVENT_TIME_RATE: i64 = 2_000;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let events = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(500_000_usize);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!("{events} events of {EVENT_BYTES} bytes, {ROUNDS} rounds each, medians");
    for (name, scored) in [("every page view scored (89 % of events)", 0.89), ("one event in ten scored", 0.1)] {
        runtime.block_on(throughput(name, events, scored));
    }
    runtime.block_on(latency());
    println!("peak memory of this process: {} MiB", status_kib("VmHWM") / 1024);
}

/// Makes events of 100,000 people and 10,000 items, both Zipf.
struct Generator {
    random: ChaCha8Rng,
    people: Zipf<f64>,
    items: Zipf<f64>,
    scored: f64,
}

impl Generator {
    fn new(scored: f64) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(5),
            people: Zipf::new(100_000.0, 1.1).unwrap(),
            items: Zipf::new(10_000.0, 1.1).unwrap(),
            scored,
        }
    }

    fn event(&mut self, ts: i64) -> Vec<u8> {
        let user = self.people.sample(&mut self.random) as u64;
        let item = self.items.sample(&mut self.random) as u64;
        let behavior = if self.random.random_bool(self.scored) { "pv" } else { "cart" };
        let event = format!(
            r#"{{"user_id":{user},"item_id":{item},"category_id":{},"behavior":"{behavior}","ts":{ts},"agent":""#,
            item % 100
        );
        let mut event = event.into_bytes();
        event.resize(EVENT_BYTES - 2, b'x');
        event.extend_from_slice(b"\"}");
        event
    }
}

async fn throughput(name: &str, events: usize, scored: f64) {
    let (mut bare, mut whole, mut ratios, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // A broker of its own: rankings of an earlier round would tell the job where it was.
        let folder = tempfile::tempdir().unwrap();
        let (server, bus) = intent::broker(folder.path()).await;
        let pipeline = Arc::new(intent::pipeline());
        let stream = input_spec(&pipeline, &pipeline.streams[0]);
        bus.ensure_stream(&stream).await.unwrap();
        fill(&bus, events, scored).await;
        let pulled = pull(&bus, &stream.name, events).await;
        let (start, used) = (Instant::now(), cpu_seconds());
        let run = Run::start(
            Arc::clone(&pipeline),
            &bus,
            &RunSettings { version: "0.0.1".to_owned(), ..RunSettings::default() },
        )
        .await
        .unwrap();
        let last = StreamSequence(events as u64);
        run.settled().wait_for(|position| position.of(StreamIndex(0)) >= last).await.unwrap();
        let done = events as f64 / start.elapsed().as_secs_f64();
        cpu.push(cpu_seconds() - used);
        assert_eq!(run.stats().snapshot().counts.counted, events as u64);
        run.stop().await.unwrap();
        server.stop().await.unwrap();
        ratios.push(done / pulled);
        bare.push(pulled);
        whole.push(done);
    }
    println!(
        "{name}: bare pull {:.0} events/s, whole job {:.0} events/s, ratio {:.2}, {:.2} CPU s",
        median(bare),
        median(whole),
        median(ratios),
        median(cpu)
    );
}

async fn fill(bus: &Bus, events: usize, scored: f64) {
    let mut generator = Generator::new(scored);
    let mut publisher = bus.publisher(2_000).await.unwrap();
    let subject = Subject::new("shop.behavior").unwrap();
    for index in 0..events {
        let event = generator.event(1_700_000_000 + index as i64 / EVENT_TIME_RATE);
        publisher.publish(Outgoing::new(subject.clone(), event.into())).await.unwrap();
    }
    publisher.settle().await.unwrap();
}

/// Events per second of reading the stream and nothing else.
async fn pull(bus: &Bus, stream: &str, events: usize) -> f64 {
    let start = Instant::now();
    let limits = ReadLimits { rows: 4_096, linger: Duration::ZERO };
    let mut reader = bus.reader(stream, StreamSequence::FIRST, limits);
    let (mut messages, mut pulled) = (Vec::new(), 0);
    while pulled < events {
        reader.read_into(&mut messages).await.unwrap();
        pulled += messages.len();
    }
    events as f64 / start.elapsed().as_secs_f64()
}

/// From the publication of an event to the arrival of its published score.
async fn latency() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = intent::broker(folder.path()).await;
    let pipeline = Arc::new(intent::pipeline());
    let run =
        Run::start(Arc::clone(&pipeline), &bus, &RunSettings { version: "0.0.1".to_owned(), ..RunSettings::default() })
            .await
            .unwrap();
    let mut scores = bus.subscribe(&Subject::new("intent.scored").unwrap()).await.unwrap();
    bus.flush().await.unwrap();
    let total = (RATE * RATE_SECONDS) as usize;
    let publishing = {
        let bus = bus.clone();
        tokio::spawn(async move {
            let mut generator = Generator::new(1.0);
            let mut publisher = bus.publisher(2_000).await.unwrap();
            let subject = Subject::new("shop.behavior").unwrap();
            let mut sent = Vec::with_capacity(total);
            let start = Instant::now();
            while sent.len() < total {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let due = (start.elapsed().as_secs_f64() * RATE as f64) as usize;
                while sent.len() < due.min(total) {
                    let event = generator.event(now_seconds());
                    sent.push(Instant::now());
                    publisher.publish(Outgoing::new(subject.clone(), event.into())).await.unwrap();
                }
            }
            publisher.settle().await.unwrap();
            sent
        })
    };
    let mut arrived = Vec::with_capacity(total);
    while arrived.len() < total {
        let score = tokio::time::timeout(Duration::from_secs(30), scores.next()).await.unwrap().unwrap();
        let at = Instant::now();
        // {"request_id":"behavior-SEQUENCE-0",...
        let text = std::str::from_utf8(&score.payload).unwrap();
        let sequence: usize = text.split('-').nth(1).unwrap().parse().unwrap();
        arrived.push((sequence, at));
    }
    let sent = publishing.await.unwrap();
    let mut latencies: Vec<Duration> = arrived.iter().map(|(sequence, at)| *at - sent[sequence - 1]).collect();
    latencies.sort_unstable();
    let at = |share: f64| {
        latencies[((latencies.len() as f64 * share) as usize).min(latencies.len() - 1)].as_secs_f64() * 1e3
    };
    println!("at {RATE} events/s, all scored: event to published score p50 {:.2} ms, p99 {:.2} ms", at(0.5), at(0.99));
    run.stop().await.unwrap();
    server.stop().await.unwrap();
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn now_seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// User and system time of this process, without the broker's.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

fn status_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
