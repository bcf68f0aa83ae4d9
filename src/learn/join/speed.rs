//! How fast labels are joined: `cargo test --release --lib join::speed -- --ignored --nocapture`.

use rustix::time::{ClockId, clock_gettime};

use super::{Impression, JoinSettings, LabelJoin};
use crate::learn::{Examples, Provenance};
use crate::time::EventTime;

const COLUMNS: usize = 30;
const RATE: i64 = 20_000;

/// Seconds of CPU that this thread has used: other work on the machine does not count.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Shows 20,000 impressions per second of event time with a window of 10 s; one of 20 gets feedback after 3 s.
fn measure(what: &str, disorder_micros: i64) {
    let settings = JoinSettings {
        window_micros: 10_000_000,
        skew_micros: 0,
        columns: COLUMNS,
        max_rows: 1_000_000,
        max_bytes: 1 << 30,
        position: Some(0),
        negative_rate: 1.0,
    };
    let mut join = LabelJoin::new(settings).expect("a join");
    let mut out = Examples::new(COLUMNS);
    let vector = [0.5; COLUMNS];
    let key = |number: i64| (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let mut run = |numbers: std::ops::Range<i64>| {
        for number in numbers {
            let now = number * (1_000_000 / RATE);
            let late = number.wrapping_mul(7_919).rem_euclid(1_000) * disorder_micros / 1_000;
            let (at, arrived) = (EventTime(now - late), EventTime(now));
            let shown = Impression {
                key: key(number),
                at,
                arrived,
                place: 3,
                vector: &vector,
                provenance: Provenance::unknown(),
            };
            join.show(shown).expect("width");
            if number % 20 == 0 {
                join.feedback(Some(key(number - 3 * RATE)), EventTime(now), &mut out).expect("width");
            }
            if number % 1_000 == 0 {
                join.advance(EventTime(now - disorder_micros), &mut out).expect("width");
                out.clear();
            }
        }
    };
    run(0..1_000_000);
    let start = cpu_seconds();
    run(1_000_000..3_000_000);
    let seconds = cpu_seconds() - start;
    println!("{what:32} {:.2} M impressions per CPU second", 2.0 / seconds);
    println!("{:32} {} held in {} bytes; {:?}", "", join.len(), join.size_bytes(), join.counts());
}

#[test]
#[ignore = "a measurement"]
fn join_speed() {
    measure("in the order of time", 0);
    measure("up to 2 s out of order", 2_000_000);
}
