//! What saving and restoring the state of a feature table costs.
//!
//! ```text
//! cargo bench --bench state
//! ```
//!
//! | variable | default | meaning                                                                 |
//! | -------- | ------- | ----------------------------------------------------------------------- |
//! | `USERS`  | 100,000 | keys, chosen by Zipf's law with exponent 0.8                             |
//! | `MB`     | 100     | events are taken in until so much is saved, or for `HOURS`               |
//! | `HOURS`  | 30      | of event time, at 100 events a second                                    |
//!
//! `save` is what stops a step: the state written to memory by the thread that keeps it. `restore` makes the table of it
//! again. `second` are the bytes that a snapshot in a local folder adds when the one before it was taken before one more
//! second of events, from one user in a hundred.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};
use tidewheel::snapshot::{Location, SnapshotStore};
use tidewheel::sql::Failures;
use tidewheel::window::{Budget, FeaturePlan, FeatureTable, Horizon};

mod twenty_features;

use twenty_features::SQL;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 2_048;
const SECOND: i64 = 1_000_000;
const DISORDER: i64 = 5 * SECOND;
const START: i64 = 1_700_000_000 * SECOND;
const RATE: i64 = 100;
const ROUNDS: usize = 7;

fn main() {
    // A test run of all targets only wants to know that this builds.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let (users, megabytes, hours) = (number("USERS", 100_000), number("MB", 100), number("HOURS", 30));
    let mut shop = Shop { random: ChaCha8Rng::seed_from_u64(7), sent: 0 };
    let planner = tidewheel::window::planner();
    planner.add_relation("clicks", shop.batch(1, users as f64).schema()).expect("the stream is new");
    let retention = Horizon::new(7 * 86_400 * SECOND);
    let plan = Arc::new(FeaturePlan::new(&planner, "user_activity", SQL, "ts", retention).expect("valid"));
    let mut table = FeatureTable::new(Arc::clone(&plan), DISORDER, Budget::UNLIMITED).expect("key types are supported");
    let mut saved = Vec::new();
    while saved.len() < megabytes * 1_000_000 && shop.sent < hours as i64 * 3_600 * RATE {
        for _ in 0..100 {
            apply(&mut table, &shop.batch(BATCH, users as f64));
        }
        saved = save(&table).0;
    }
    println!(
        "features=20 horizons=5 users={users} events={} keys={} counted_mb={} saved_mb={:.1}",
        shop.sent,
        table.key_count(),
        table.size() >> 20,
        saved.len() as f64 / 1e6
    );
    measure("save", saved.len(), || save(&table).1);
    measure("save_again", saved.len(), {
        // Into memory that is there.
        let mut bytes = saved.clone();
        let table = &table;
        move || {
            bytes.clear();
            let start = Instant::now();
            table.save(&mut bytes).expect("memory takes all");
            start.elapsed()
        }
    });
    measure("restore", saved.len(), || {
        let start = Instant::now();
        let restored = FeatureTable::restore(Arc::clone(&plan), DISORDER, Budget::UNLIMITED, &mut saved.as_slice());
        let elapsed = start.elapsed();
        assert_eq!(restored.expect("what was saved").key_count(), table.key_count());
        elapsed
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    runtime.block_on(snapshots(saved, &mut table, &mut shop, users));
}

/// Two snapshots, one second of events apart; and a third, that many more later that tiles have been rolled up.
async fn snapshots(saved: Vec<u8>, table: &mut FeatureTable, shop: &mut Shop, users: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SnapshotStore::open(&Location::folder(folder.path())).await.expect("a new folder");
    write(&store, "first", saved.clone()).await;
    write(&store, "unchanged", saved).await;
    for (name, batches) in [("second", 1), ("ten_seconds_on", 10), ("a_minute_on", 60)] {
        for _ in 0..batches {
            apply(table, &shop.batch(RATE as usize, users as f64 / 100.0));
        }
        write(&store, name, save(table).0).await;
    }
}

async fn write(store: &SnapshotStore, name: &str, bytes: Vec<u8>) {
    let mut draft = store.begin().expect("one at a time");
    let length = bytes.len();
    let filled = tokio::task::spawn_blocking(move || {
        let mut part = draft.part("table").expect("a part");
        std::io::Write::write_all(&mut part, &bytes).expect("memory takes all");
        part.finish().expect("memory takes all");
        draft
    });
    let start = Instant::now();
    let written = filled.await.expect("no panic").write("").await.expect("a folder takes all");
    let (figures, elapsed) = (written.figures(), start.elapsed());
    store.publish(&written).await.expect("a folder takes all");
    drop(written);
    let written_mb = figures.written_bytes as f64 / 1e6;
    println!(
        "SNAPSHOT {name} mb={:.1} written_mb={written_mb:.2} ms={:.0}",
        length as f64 / 1e6,
        elapsed.as_secs_f64() * 1e3
    );
}

fn apply(table: &mut FeatureTable, batch: &RecordBatch) {
    table.begin(batch, &mut Failures::default()).expect("events fit the plan");
    for row in 0..batch.num_rows() {
        table.apply(row);
    }
    table.settle().expect("states merge");
}

fn save(table: &FeatureTable) -> (Vec<u8>, Duration) {
    let mut bytes = Vec::new();
    let start = Instant::now();
    table.save(&mut bytes).expect("memory takes all");
    (bytes, start.elapsed())
}

fn measure(name: &str, bytes: usize, mut run: impl FnMut() -> Duration) {
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| run()).collect();
    times.sort_unstable();
    let (median, best) = (times[ROUNDS / 2].as_secs_f64(), times[0].as_secs_f64());
    let speed = bytes as f64 / 1e9 / median;
    println!("STATE {name} median_ms={:.1} best_ms={:.1} gb_per_second={speed:.2}", median * 1e3, best * 1e3);
}

struct Shop {
    random: ChaCha8Rng,
    sent: i64,
}

impl Shop {
    fn batch(&mut self, rows: usize, users: f64) -> RecordBatch {
        let users = Zipf::new(users, 0.8).expect("there are users");
        let (mut ids, mut items, mut kinds, mut prices, mut times) = (vec![], vec![], vec![], vec![], vec![]);
        for _ in 0..rows {
            ids.push(users.sample(&mut self.random) as i64);
            items.push(self.random.random_range(0..50_000));
            kinds.push(match self.random.random_range(0..100) {
                0..3 => "buy",
                3..12 => "cart",
                _ => "view",
            });
            prices.push(f64::from(self.random.random_range(100..50_000)) / 100.0);
            let most = if self.random.next_u32().is_multiple_of(4) { 4 * SECOND } else { SECOND / 10 };
            times.push(START + self.sent * SECOND / RATE - self.random.random_range(0..most));
            self.sent += 1;
        }
        let columns: [(&str, ArrayRef); 5] = [
            ("user_id", Arc::new(Int64Array::from(ids))),
            ("item_id", Arc::new(Int64Array::from(items))),
            ("kind", Arc::new(StringArray::from(kinds))),
            ("price", Arc::new(Float64Array::from(prices))),
            ("ts", Arc::new(TimestampMicrosecondArray::from(times).with_timezone("+00:00"))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
            .expect("columns fit")
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.replace(['_', ','], "").parse().ok()).unwrap_or(default)
}
