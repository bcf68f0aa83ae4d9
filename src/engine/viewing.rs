//! Views on the step's thread: what taking one costs it, what those that are out hold, and those that hold too much.

use super::telemetry::{ViewCause, record_given_up, record_held, record_view};
use super::thread::start_thread;
use crate::clock;
use crate::step::{HeldViews, SettledViews, Step};

/// Takes a view, and records how long that has kept this thread.
pub(super) fn taking<T>(pipeline: &str, cause: ViewCause, take: impl FnOnce() -> T) -> T {
    let start = clock::thread_time();
    let taken = take();
    record_view(pipeline, cause, clock::thread_time().saturating_sub(start));
    taken
}

/// The views of a step that are out.
#[derive(Default)]
pub(super) struct Viewing {
    /// What was recorded last.
    held: HeldViews,
}

impl Viewing {
    /// Counts what the views hold after a step, and gives up the oldest where that is too much.
    pub(super) fn settle(&mut self, pipeline: &str, step: &mut Step) {
        let SettledViews { held, given_up, ended } = step.settle_views();
        if held != self.held {
            self.held = held;
            record_held(pipeline, held);
        }
        if given_up == 0 {
            return;
        }
        record_given_up(pipeline, given_up);
        tracing::warn!(
            given_up,
            still_held = held.bytes,
            "views are given up: events have changed too much of what they hold"
        );
        if !ended.is_empty() {
            free(ended);
        }
    }
}

/// Frees what takes milliseconds, on a thread that nobody waits for. Without a thread it is freed here.
pub(super) fn free(held: impl Send + 'static) {
    let _freed = start_thread("free", move || {
        drop(held);
        Ok(())
    });
}
