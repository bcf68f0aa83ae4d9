//! The machine's clocks, for what acts: waits for an answer, measures, or stamps what it sends.
//!
//! What decides is given the time by its caller, so that a test can give it any. Clippy refuses the calls in here everywhere
//! else, and the layout test says which rooms may ask this one.

#![expect(clippy::disallowed_methods, reason = "this is their one place")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Now, to measure how long something takes.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// How long this thread has computed since it began, whatever else the machine did meanwhile.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Now, for the deadlines of tasks; a test that pauses Tokio's clock moves it by hand.
pub(crate) fn task_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Time since 1970; none where the machine's clock stands before that.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Microseconds since 1970, as events and records carry them.
pub(crate) fn unix_micros() -> i64 {
    since_1970().as_micros() as i64
}
