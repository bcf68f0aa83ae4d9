//! Kills at random instants: of the worker, and now and then of the broker.
//!
//! ```text
//!   worker  ──▶ start ──random──▶ kill -9 ──▶ start ──random──▶ kill -9 ──▶ ... ──▶ start, catch up, SIGTERM
//!   broker  ─────────────── kill -9, start again, while the worker runs ───────▶
//! ```
//!
//! The last line is JSON. `sent` are all events, `published` those without what was sent again, which is `repeated`:
//! `published = counted + late + rejected + duplicate`, where `duplicate` must be 0, as `lost` and `wrong` must.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tidewheel::bus::{Bus, ReadLimits, StreamSequence};
use tidewheel::pipeline::output_spec;
use tokio::sync::watch;

use super::compare::{Report, compare};
use super::outputs::newest_marker;
use super::producer::Producer;
use super::site::{PATIENCE, Site, patiently};
use super::worker::{Start, restored};
use super::{alone, number};

/// Messages a second, and now and then: a worker then finds more than one batch holds.
const RATE: u64 = 500;
const BURST: u64 = 4_000;
/// A worker lives so long, milliseconds.
const LIFE_MS: std::ops::Range<u64> = 50..1_500;
/// A broker is away so long, milliseconds.
const AWAY_MS: std::ops::Range<u64> = 10..400;

/// When the newest output came that is no marker, and where it is in its stream.
type Newest = (Instant, u64);

/// Follows the output stream, in a task of its own.
fn watch_outputs(bus: &Bus, site: &Site) -> watch::Receiver<Option<Newest>> {
    let limits = ReadLimits { rows: 4_096, linger: Duration::ZERO };
    let mut reader = bus.reader(&output_spec(&site.pipeline).name, StreamSequence::FIRST, limits);
    let markers = format!("{}.commits", site.pipeline.name);
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        while let Ok(messages) = reader.next_batch().await {
            let outputs = messages.iter().filter(|message| message.subject.as_str() != markers);
            if let Some(last) = outputs.last() {
                sender.send_replace(Some((Instant::now(), last.sequence.0)));
            }
        }
    });
    receiver
}

/// Milliseconds, by rank.
fn percentile(sorted: &[u64], share: f64) -> Option<u64> {
    sorted.get(((sorted.len() as f64 * share).ceil() as usize).max(1) - 1).copied()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kills_at_random_instants_everything_is_there_exactly_once() {
    let _alone = alone().await;
    let (kills, broker_kills, seed) = (number("KILLS", 25), number("BROKER_KILLS", 3), number("SEED", 1));
    let began = Instant::now();
    let mut site = Site::new().await;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let outputs = watch_outputs(&site.bus, &site);
    let producer = Producer::start(&site.bus, seed, RATE).await;
    let mut recoveries = Vec::new();
    for kill in 0..kills {
        producer.set_rate(if random.random_bool(0.1) { BURST } else { RATE });
        let mut worker = site.start(&Start::default());
        let known = outputs.borrow().map_or(0, |(_, sequence)| sequence);
        // Spread over the kills of the worker.
        let is_without_broker = (kill + 1) * broker_kills / kills > kill * broker_kills / kills;
        if is_without_broker {
            // One that finds no broker at all ends, and says so; whoever started it has to start it again.
            patiently("a connection", async || worker.is_connected().then_some(())).await;
            tokio::time::sleep(Duration::from_millis(random.random_range(LIFE_MS))).await;
            site.kill_broker();
            tokio::time::sleep(Duration::from_millis(random.random_range(AWAY_MS))).await;
            site.restart_broker().await;
        }
        let mut life = Duration::from_millis(random.random_range(LIFE_MS));
        // Now and then one gets as far as it gets, so that there is progress also where starting takes long.
        let is_patient = kill % 4 == 3;
        let deadline = Instant::now() + life;
        while Instant::now() < deadline || is_patient {
            worker.must_run();
            assert!(worker.spawned().elapsed() < PATIENCE, "no output of a worker within {PATIENCE:?}");
            let newest = *outputs.borrow();
            if let Some((at, sequence)) = newest
                && sequence > known
            {
                if !is_without_broker {
                    recoveries.push((at - worker.spawned()).as_millis() as u64);
                }
                life = deadline.saturating_duration_since(Instant::now()).max(life / 2);
                tokio::time::sleep(life).await;
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        worker.kill().await;
    }
    let sent = producer.finish().await;
    let mut worker = site.start(&Start::default());
    site.caught_up(&mut worker).await;
    worker.stop().await;
    let report = compare(&site, sent).await;
    recoveries.sort_unstable();
    let Report {
        published,
        counted,
        late,
        rejected,
        repeated,
        rows,
        rankings,
        dead,
        labels,
        lost,
        duplicate,
        wrong,
        ..
    } = &report;
    let summary = json!({
        "kills": kills, "broker_kills": broker_kills, "seed": seed, "sent": published, "repeated": repeated,
        "published": published - repeated, "counted": counted, "late": late,
        "rejected": rejected, "rows": rows, "rankings": rankings, "dead_letters": dead, "labels": labels,
        "epochs": newest_marker(&site.bus, &site.pipeline).await.map(|marker| marker.epoch),
        "restored": restored(&site.logs()), "recoveries": recoveries.len(),
        "recovery_ms_p50": percentile(&recoveries, 0.5), "recovery_ms_p99": percentile(&recoveries, 0.99),
        "seconds": began.elapsed().as_secs(), "lost": lost, "duplicate": duplicate, "wrong": wrong,
    });
    report.examples.iter().for_each(|example| println!("{example}"));
    println!("{summary}");
    if let Ok(file) = std::env::var("REPORT") {
        std::fs::write(file, format!("{summary}\n")).unwrap();
    }
    report.must_be_clean();
    assert!(restored(&site.logs()) > kills as usize / 4, "snapshots are of use: {summary}");
    site.close().await;
}
