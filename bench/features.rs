//! One feature table as a shop would have it: how fast events go in, how long a read takes, how much memory it holds.
//!
//! `cargo bench --bench features`, with from the environment:
//!
//! | name    | default   | meaning                                                                          |
//! |---------|-----------|----------------------------------------------------------------------------------|
//! | `ROWS`  | 8,000,000 | events before the reads are measured                                             |
//! | `USERS` | 1,000,000 | users, chosen by Zipf's law with exponent 1.1                                    |
//! | `RATE`  | 5,000     | events per second of event time                                                  |
//! | `READS` | 2,000     | reads of 500 users each, one between every two halves of a batch of 4,096 events |
//! | `LIMIT` | none      | memory limit in MB, kept by evicting the coldest keys                            |
//!
//! One thread. Times are its CPU time, as the machine may be shared; wall times stand beside them. Events are made as Arrow batches beforehand, 64 batches at a time, and only the table's own calls are
//! timed. A read is the look-up of 500 keys (chosen by the same law), their values as of a time, and the evaluation of
//! the rows.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};
use tidewheel::sql::Failures;
use tidewheel::time::EventTime;
use tidewheel::window::{Budget, FeaturePlan, FeatureTable, Horizon, Reads};

mod twenty_features;

use twenty_features::SQL;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 4_096;
const CHUNK: usize = 64;
const KEYS: usize = 500;
const ITEMS: f64 = 50_000.0;
const SECOND: i64 = 1_000_000;
const DISORDER: i64 = 5 * SECOND;
const START: i64 = 1_700_000_000 * SECOND;

fn main() {
    // A test run of all targets only wants to know that this builds.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let rows = number("ROWS", 8_000_000);
    let users = number("USERS", 1_000_000);
    let rate = number("RATE", 5_000);
    let reads = number("READS", 2_000);
    let limit = number("LIMIT", 0);
    let mut shop = Shop::new(users, rate);
    let planner = tidewheel::window::planner();
    planner.add_relation("clicks", shop.batch().schema()).expect("the stream is new");
    let plan =
        FeaturePlan::new(&planner, "user_activity", SQL, "ts", Horizon::new(7 * 86_400 * SECOND)).expect("valid");
    let budget = if limit == 0 { Budget::UNLIMITED } else { Budget::evict(limit << 20) };
    let mut table = FeatureTable::new(Arc::new(plan), DISORDER, budget).expect("key types are supported");
    machine();
    println!("features=20 horizons=5 users={users} zipf=1.1 rate={rate}/s batch={BATCH} disorder<=4s");
    let before = resident();

    let (mut spent, mut wall) = (Duration::ZERO, Duration::ZERO);
    let mut slowest = Duration::ZERO;
    let mut applied = 0;
    let (mut part_rows, mut part) = (0, Duration::ZERO);
    println!("{:>12} {:>10} {:>12} {:>10} {:>9} {:>9}", "events", "event h", "events/s", "keys", "size MB", "RSS MB");
    while applied < rows {
        let batches: Vec<_> = (0..CHUNK).map(|_| shop.batch()).collect();
        let start_of_chunk = Instant::now();
        for batch in &batches {
            let start = cpu();
            table.begin(batch, &mut Failures::default()).expect("events fit the plan");
            for row in 0..BATCH {
                table.apply(row);
            }
            table.settle().expect("states merge");
            let step = cpu().checked_sub(start).unwrap();
            (spent, part, slowest) = (spent + step, part + step, slowest.max(step));
        }
        wall += start_of_chunk.elapsed();
        applied += CHUNK * BATCH;
        part_rows += CHUNK * BATCH;
        if part_rows >= (rows / 10).max(1) || applied >= rows {
            let speed = part_rows as f64 / part.as_secs_f64();
            let hours = shop.sent as f64 / rate as f64 / 3_600.0;
            let held = (resident() - before) >> 20;
            println!(
                "{applied:>12} {hours:>10.2} {speed:>12.0} {:>10} {:>9} {held:>9}",
                table.key_count(),
                table.size() >> 20
            );
            (part_rows, part) = (0, Duration::ZERO);
        }
    }
    let speed = applied as f64 / spent.as_secs_f64();
    let wall = applied as f64 / wall.as_secs_f64();
    println!(
        "EVENTS events_per_cpu_second={speed:.0} events_per_second={wall:.0} slowest_step_ms={:.1}",
        slowest.as_secs_f64() * 1e3
    );

    for (name, behind) in [("newest", 0), ("1s_before_newest", SECOND)] {
        let (mut times, mut walls, mut spent) = (Vec::new(), Vec::new(), Duration::ZERO);
        while times.len() < reads {
            let (batch, ids) = (shop.batch(), shop.users(KEYS));
            let start = cpu();
            table.begin(&batch, &mut Failures::default()).expect("events fit the plan");
            for row in 0..BATCH / 2 {
                table.apply(row);
            }
            let time = read(&mut table, &ids, shop.newest_half - behind);
            for row in BATCH / 2..BATCH {
                table.apply(row);
            }
            table.settle().expect("states merge");
            spent += cpu().checked_sub(start).unwrap();
            times.push(time.0);
            walls.push(time.1);
        }
        times.sort_unstable();
        walls.sort_unstable();
        let at =
            |share: f64| times.get((times.len() as f64 * share) as usize).map_or(0.0, |time| time.as_secs_f64() * 1e3);
        let both = (times.len() * BATCH) as f64 / spent.as_secs_f64();
        println!(
            "READS as_of={name} keys={KEYS} p50_ms={:.3} p90_ms={:.3} p99_ms={:.3} max_ms={:.3} wall_p50_ms={:.3} \
             events_per_cpu_second_beside={both:.0}",
            at(0.5),
            at(0.9),
            at(0.99),
            times.last().map_or(0.0, |time| time.as_secs_f64() * 1e3),
            walls.get(walls.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e3),
        );
    }
    let (held, counted) = (resident() - before, table.size());
    println!(
        "MEMORY keys={} counted_mb={} rss_mb={} counted_of_rss={:.2} evicted={}",
        table.key_count(),
        counted >> 20,
        held >> 20,
        counted as f64 / held as f64,
        table.evicted_keys(),
    );
}

fn read(table: &mut FeatureTable, ids: &ArrayRef, at: i64) -> (Duration, Duration) {
    let (start, start_wall) = (cpu(), Instant::now());
    let (mut slots, mut reads) = (Vec::new(), Reads::default());
    table.look_up(&[Arc::clone(ids)], KEYS, &mut slots).expect("keys are integers");
    for slot in slots {
        table.read(slot, EventTime(at), &mut reads);
    }
    let rows = table.evaluate(&reads).expect("rows evaluate");
    assert_eq!(rows.num_rows(), KEYS);
    (cpu().checked_sub(start).unwrap(), start_wall.elapsed())
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// Events of a shop: users and items by Zipf's law, mostly views; one event in four is up to 4 s late, the others 0.1 s.
struct Shop {
    random: ChaCha8Rng,
    users: Zipf<f64>,
    items: Zipf<f64>,
    rate: usize,
    sent: usize,
    newest: i64,
    /// Newest time in the first half of the last batch and all before it.
    newest_half: i64,
}

impl Shop {
    fn new(users: usize, rate: usize) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(7),
            users: Zipf::new(users as f64, 1.1).expect("there are users"),
            items: Zipf::new(ITEMS, 1.0).expect("there are items"),
            rate,
            sent: 0,
            newest: i64::MIN,
            newest_half: i64::MIN,
        }
    }

    fn users(&mut self, count: usize) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..count).map(|_| user(self.users.sample(&mut self.random)))))
    }

    fn batch(&mut self) -> RecordBatch {
        let users = self.users(BATCH);
        let items = Int64Array::from_iter_values((0..BATCH).map(|_| self.items.sample(&mut self.random) as i64));
        let (mut kinds, mut prices, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..BATCH {
            kinds.push(match self.random.random_range(0..100) {
                0..3 => "buy",
                3..12 => "cart",
                _ => "view",
            });
            prices.push(f64::from(self.random.random_range(100..50_000)) / 100.0);
            let most = if self.random.next_u32().is_multiple_of(4) { 4 * SECOND } else { SECOND / 10 };
            let now = START + (self.sent as i64 * SECOND) / self.rate as i64;
            let ts = now - self.random.random_range(0..most);
            if row == BATCH / 2 {
                self.newest_half = self.newest;
            }
            self.newest = self.newest.max(ts);
            times.push(ts);
            self.sent += 1;
        }
        let columns: [(&str, ArrayRef); 5] = [
            ("user_id", users),
            ("item_id", Arc::new(items)),
            ("kind", Arc::new(StringArray::from(kinds))),
            ("price", Arc::new(Float64Array::from(prices))),
            ("ts", Arc::new(TimestampMicrosecondArray::from(times).with_timezone("+00:00"))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
            .expect("columns fit")
    }
}

/// Popular users are not neighbours by id.
fn user(rank: f64) -> i64 {
    (rank as i64).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed()) >> 8
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.replace(['_', ','], "").parse().ok()).unwrap_or(default)
}

/// Resident memory of this process, bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4_096
}

/// What the figures were made on, and what else it was doing.
fn machine() {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("machine: {} cores={cores} load={}", model.unwrap_or("unknown"), load.split(' ').next().unwrap_or("?"));
}
