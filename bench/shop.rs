//! Events of a shop for benchmarks of feature tables, and what they are measured with.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};

const ITEMS: f64 = 50_000.0;
pub(crate) const SECOND: i64 = 1_000_000;
/// How late events are at most, and a second more.
pub(crate) const DISORDER: i64 = 5 * SECOND;
pub(crate) const START: i64 = 1_700_000_000 * SECOND;

/// CPU time of this thread.
pub(crate) fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// Events of a shop: users and items by Zipf's law, mostly views; one event in four is up to 4 s late, the others 0.1 s.
pub(crate) struct Shop {
    random: ChaCha8Rng,
    users: Zipf<f64>,
    items: Zipf<f64>,
    rate: usize,
    pub(crate) sent: usize,
    pub(crate) newest: i64,
    /// Newest time in the first half of the last batch and all before it.
    pub(crate) newest_half: i64,
}

impl Shop {
    pub(crate) fn new(users: usize, rate: usize) -> Self {
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

    /// Ids of users, chosen by the law.
    pub(crate) fn users(&mut self, count: usize) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..count).map(|_| user(self.users.sample(&mut self.random)))))
    }

    /// The next events.
    pub(crate) fn batch(&mut self, rows: usize) -> RecordBatch {
        let users = self.users(rows);
        self.batch_of(users)
    }

    /// The next events, of these users.
    pub(crate) fn batch_of(&mut self, users: ArrayRef) -> RecordBatch {
        let rows = users.len();
        let items = Int64Array::from_iter_values((0..rows).map(|_| self.items.sample(&mut self.random) as i64));
        let (mut kinds, mut prices, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..rows {
            kinds.push(match self.random.random_range(0..100) {
                0..3 => "buy",
                3..12 => "cart",
                _ => "view",
            });
            prices.push(f64::from(self.random.random_range(100..50_000)) / 100.0);
            let most = if self.random.next_u32().is_multiple_of(4) { 4 * SECOND } else { SECOND / 10 };
            let now = START + (self.sent as i64 * SECOND) / self.rate as i64;
            let ts = now - self.random.random_range(0..most);
            if row == rows / 2 {
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
pub(crate) fn user(rank: f64) -> i64 {
    (rank as i64).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed()) >> 8
}

/// A number from the environment.
pub(crate) fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.replace(['_', ','], "").parse().ok()).unwrap_or(default)
}

/// Resident memory of this process, bytes.
pub(crate) fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4_096
}

/// What the figures were made on, and what else it was doing.
pub(crate) fn machine() {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("machine: {} cores={cores} load={}", model.unwrap_or("unknown"), load.split(' ').next().unwrap_or("?"));
}
