//! How long a message takes: `cargo test --release --lib codec::speed -- --ignored --nocapture`.

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};

use super::tests::examples;
use super::{Examples, decode, encode};

const ROUNDS: u32 = 20_000;

/// Microseconds of CPU of one round.
fn measure(mut round: impl FnMut()) -> f64 {
    let micros = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
    };
    (0..1_000).for_each(|_| round());
    let start = micros();
    (0..ROUNDS).for_each(|_| round());
    (micros() - start) / f64::from(ROUNDS)
}

#[test]
#[ignore = "a measurement"]
fn codec_speed() {
    for rows in [1, 20, 200] {
        let examples = examples(rows, 30);
        let message = encode(&examples, "8a21").expect("a message");
        let writing = measure(|| drop(black_box(encode(&examples, "8a21"))));
        let mut out = Examples::new(30);
        let reading = measure(|| {
            out.clear();
            decode(&message, 30, "8a21", &mut out).expect("examples");
        });
        println!("{rows:4} rows: {:6} bytes, encode {writing:6.2} us, decode {reading:6.2} us", message.len());
    }
}
