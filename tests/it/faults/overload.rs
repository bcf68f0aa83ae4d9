//! Far more than the pipeline can do: events without end, and more people who ask than it can answer.
//!
//! ```text
//!   publishers ── as fast as the broker takes ──▶ input streams ──▶ worker: memory within its bound
//!   people ── ask, and ask again at once ───────▶ service ──▶ a ranking, or "busy" at once; never silence
//!                                 after the load: the lag drains, and everything is there once
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tidewheel::bus::{Bus, BusError, ConnectSettings, Subject};
use tidewheel::pipeline::output_spec;
use tokio::task::JoinSet;

use super::compare::compare;
use super::outputs::newest_marker;
use super::pipeline;
use super::producer::Producer;
use super::site::{PATIENCE, Site, patiently};
use super::worker::{Start, Worker};
use super::{alone, number};
use crate::taobao::root;

/// Messages a second, unless told: what one worker in one piece does on a small machine, and more than it does besides
/// answering.
const RATE: u64 = 30_000;
/// People who ask at the same time: several times what may wait.
const PEOPLE: usize = 400;
/// How many requests may wait.
const QUEUE: usize = 32;
/// How long a person waits for an answer of any kind.
const ANSWER: Duration = Duration::from_secs(20);
/// What the worker may keep in memory. In peace it needs about a quarter.
const MOST_MEMORY: u64 = 512 << 20;

/// What people were told.
#[derive(Debug, Default)]
struct Told {
    answered: Vec<Duration>,
    busy: Vec<Duration>,
    silence: usize,
    other: Vec<String>,
}

/// A site whose pipeline answers requests. It labels nothing: what people are shown here follows from the load.
async fn site() -> Site {
    let mut site = Site::new().await;
    let file = site.pipeline_folder.join("pipeline.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = settings.split_once("[labels]").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    let published = "publish = \"faults.ranked\"";
    assert!(before.contains(published));
    let service =
        format!("{published}\nservice = \"faults.score\"\nrequest = \"schemas/ranking_request.json\"\nqueue = {QUEUE}");
    std::fs::write(&file, format!("{}{after}", before.replace(published, &service))).unwrap();
    let contract = "schemas/ranking_request.json";
    std::fs::copy(root().join(contract), site.pipeline_folder.join(contract)).unwrap();
    // Its shape has changed: it is created again.
    let context = async_nats::jetstream::new(async_nats::connect(&site.url).await.unwrap());
    context.delete_stream(output_spec(&site.pipeline).name).await.unwrap();
    site.pipeline = pipeline::read(&site.pipeline_folder);
    site.open_streams().await;
    site
}

/// Asks, and asks again as soon as there is an answer.
async fn person(bus: Bus, name: usize, stop: Arc<AtomicBool>) -> Told {
    let service = Subject::new("faults.score").unwrap();
    let mut told = Told::default();
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let items: Vec<usize> = (0..20).map(|nth| (name + nth) % 20).collect();
        let request = json!({"request_id": format!("ask-{name}-{count}"), "user_id": name, "items": items});
        let asked = Instant::now();
        match bus.request(&service, serde_json::to_vec(&request).unwrap().into(), ANSWER).await {
            Ok(_) => told.answered.push(asked.elapsed()),
            Err(BusError::Refused { code: 503, .. }) => {
                told.busy.push(asked.elapsed());
                // As people do who are told to come back later.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(BusError::TimedOut { .. }) => told.silence += 1,
            Err(error) => told.other.push(error.to_string()),
        }
    }
    told
}

/// The most memory that the worker has ever had resident, bytes.
fn peak(worker: &Worker) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get((times.len() * 99 / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overload_is_answered_busy_stays_in_bounds_and_drains_without_a_loss() {
    let _alone = alone().await;
    let seconds = number("OVERLOAD_SECONDS", 10);
    let site = site().await;
    let mut worker = site.start(&Start::default());
    patiently("the first answer", async || {
        let request = json!({"request_id": "first", "user_id": 1, "items": [1]});
        let payload = serde_json::to_vec(&request).unwrap().into();
        site.bus.request(&Subject::new("faults.score").unwrap(), payload, ANSWER).await.ok()
    })
    .await;
    let producer = Producer::start(&site.bus, number("SEED", 1), number("OVERLOAD_RATE", RATE)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut people = JoinSet::new();
    // A connection of their own: what they are told must not wait behind events.
    let bus = Bus::connect(&ConnectSettings::to_url(site.url.clone())).await.unwrap();
    (0..PEOPLE).for_each(|name| drop(people.spawn(person(bus.clone(), name, Arc::clone(&stop)))));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let mut told = Told::default();
    while let Some(one) = people.join_next().await {
        let Told { answered, busy, silence, other } = one.unwrap();
        told.answered.extend(answered);
        told.busy.extend(busy);
        told.silence += silence;
        told.other.extend(other);
    }
    let sent = producer.finish().await;
    let ends = site.input_ends().await;
    let done: u64 = newest_marker(&site.bus, &site.pipeline).await.unwrap().inputs.iter().map(|i| i.sequence).sum();
    let lag = ends.iter().sum::<u64>().saturating_sub(done);
    let drains = Instant::now();
    // Nobody gives up while there is progress.
    let mut last = done;
    while last < ends.iter().sum() {
        worker.must_run();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = newest_marker(&site.bus, &site.pipeline).await.unwrap();
        let now: u64 = now.inputs.iter().map(|input| input.sequence).sum();
        assert!(now > last || drains.elapsed() < PATIENCE, "the lag stays at {last} of {ends:?}");
        last = now;
    }
    let (drained, memory) = (drains.elapsed(), peak(&worker));
    site.caught_up(&mut worker).await;
    worker.stop().await;
    println!(
        "{seconds} s: {sent} messages, lag {lag} drained in {drained:?}, memory {} MB; answered {} (p99 {:?}), busy {} (p99 \
         {:?}), silence {}",
        memory / 1_000_000,
        told.answered.len(),
        p99(&mut told.answered),
        told.busy.len(),
        p99(&mut told.busy),
        told.silence,
    );
    let report = compare(&site, sent).await;
    println!("{report:?}");
    assert_eq!((report.lost, report.duplicate, report.wrong), (0, 0, 0), "{report:#?}");
    assert_eq!((told.silence, &told.other[..]), (0, &[][..]));
    assert!(told.busy.len() > PEOPLE && !told.answered.is_empty(), "it was no overload");
    assert!(memory < MOST_MEMORY, "{memory} bytes");
    site.close().await;
}
