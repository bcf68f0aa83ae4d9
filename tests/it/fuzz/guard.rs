//! A run of a reader that survives panics, notices hangs, and leaves a trace of aborts.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

use super::engine::{Failure, Outcome, Reader, Target};

/// How long one input may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

const THREAD: &str = "fuzz";

/// What is being done, for who watches.
#[derive(Default)]
struct Pulse {
    runs: AtomicU64,
    input: Mutex<Vec<u8>>,
}

/// The thread's own side, before it has a reader.
pub struct Watched {
    pulse: Arc<Pulse>,
    trace: File,
}

/// Runs inputs one after the other.
pub struct Worker {
    watched: Watched,
    make: fn() -> Reader,
    reader: Reader,
}

impl Watched {
    pub fn with(self, make: fn() -> Reader) -> Worker {
        Worker { watched: self, reader: make(), make }
    }
}

impl Worker {
    /// What became of an input, or what the reader panicked with.
    pub fn run(&mut self, input: &[u8]) -> Result<Outcome, String> {
        // If the process aborts, this is what it aborted on.
        let traced = [&(input.len() as u32).to_le_bytes(), input].concat();
        self.watched.trace.write_all_at(&traced, 0).unwrap();
        self.watched.pulse.input.lock().unwrap().splice(.., input.iter().copied());
        self.watched.pulse.runs.fetch_add(1, Ordering::SeqCst);
        let result = catch_unwind(AssertUnwindSafe(|| (self.reader)(input)));
        result.map_err(|payload| {
            // What a panic went through is not used again.
            self.reader = (self.make)();
            let text = payload.downcast_ref::<String>().cloned();
            let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let place = PLACE.with_borrow_mut(std::mem::take);
            format!("panic at {place}: {}", text.unwrap_or_default())
        })
    }
}

thread_local! {
    /// Where this thread panicked last.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Does the work on a thread with the usual stack, and gives up on it when one input takes longer than `patience`.
///
/// What is read goes to `trace` as well, length first.
pub fn watched<T: Send + 'static>(
    trace: File,
    patience: Duration,
    work: impl FnOnce(Watched) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    keep_panics_quiet();
    let pulse = Arc::new(Pulse::default());
    let watched = Watched { pulse: Arc::clone(&pulse), trace };
    let thread = thread::Builder::new().name(THREAD.to_owned()).spawn(move || work(watched)).unwrap();
    let (mut runs, mut since) = (0, Instant::now());
    while !thread.is_finished() {
        thread::sleep(Duration::from_millis(2));
        let now = pulse.runs.load(Ordering::SeqCst);
        if now != runs {
            (runs, since) = (now, Instant::now());
        } else if since.elapsed() > patience && runs > 0 {
            return Err(Failure {
                what: format!("no end after {patience:?}"),
                input: pulse.input.lock().unwrap().clone(),
            });
        }
    }
    thread.join().unwrap_or_else(|_| panic!("the fuzzer panicked between two inputs"))
}

/// One input through a target.
pub fn once(target: &Target, input: Vec<u8>) -> Result<Outcome, Failure> {
    once_within(target, input, PATIENCE)
}

/// One input through a target that may take this long.
pub fn once_within(target: &Target, input: Vec<u8>, patience: Duration) -> Result<Outcome, Failure> {
    let reader = target.reader;
    watched(tempfile::tempfile().unwrap(), patience, move |worker| {
        let mut worker = worker.with(reader);
        worker.run(&input).map_err(|what| Failure { what, input })
    })
}

/// Panics of these threads are results; thousands of them, caught in the code itself, would hide the one that counts.
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if thread::current().name() == Some(THREAD) {
                PLACE.set(panic.location().map(ToString::to_string).unwrap_or_default());
            } else {
                before(panic);
            }
        }));
    });
}
