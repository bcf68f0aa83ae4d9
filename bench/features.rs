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

use arrow::array::ArrayRef;
use tidewheel::sql::Failures;
use tidewheel::time::EventTime;
use tidewheel::window::{Budget, FeaturePlan, FeatureTable, Horizon, Reads};

mod shop;
mod twenty_features;

use shop::{DISORDER, SECOND, Shop, cpu, machine, number, resident};
use twenty_features::SQL;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 4_096;
const CHUNK: usize = 64;
const KEYS: usize = 500;

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
    planner.add_relation("clicks", shop.batch(BATCH).schema()).expect("the stream is new");
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
        let batches: Vec<_> = (0..CHUNK).map(|_| shop.batch(BATCH)).collect();
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
            let (batch, ids) = (shop.batch(BATCH), shop.users(KEYS));
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
