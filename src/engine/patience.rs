//! Trying again: what the broker can't do now it may do in a moment.
//!
//! ```text
//!   act ─▶ done
//!    ▲ └─▶ error ─▶ facts ─▶ decide ─▶ give up: the error goes to the caller
//!    └────── wait, twice as long each time ◀┘
//! ```

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::EngineError;
use crate::clock;
use crate::fault::{Judged, Remedy};

/// How long a start is tried again while the broker does not answer: a cluster that has lost the server which led a stream
/// takes some ten seconds to agree on another.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries of a start.
const START_AGAIN: Duration = Duration::from_millis(500);

/// How long an action is tried again for, and for which errors.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    /// Which errors pass by themselves.
    pub(super) passes: fn(&EngineError) -> bool,
    /// Before the second try.
    pub(super) first_wait: Duration,
    /// Waits grow up to this.
    pub(super) longest_wait: Duration,
    /// No try begins later than this after the first one; without it there is no end.
    pub(super) most: Option<Duration>,
    /// Ends a wait: then there is one more try.
    pub(super) stopping: CancellationToken,
}

/// A try that has failed.
#[derive(Debug, Clone, Copy)]
struct Failure {
    /// Whether its error passes by itself.
    passes: bool,
    /// Tries before this one.
    tries: u32,
    /// Since the first try began.
    elapsed: Duration,
    is_stopping: bool,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    TryAgain { after: Duration },
    GiveUp,
}

impl Patience {
    /// That of whoever starts, and has nothing to serve with meanwhile.
    pub(super) fn to_start() -> Self {
        Self {
            passes: is_waited_for,
            first_wait: START_AGAIN,
            longest_wait: START_AGAIN,
            most: Some(START_PATIENCE),
            stopping: CancellationToken::new(),
        }
    }

    /// Does something, again while it fails with what passes. The first failure is logged, and that it has passed.
    ///
    /// # Errors
    /// That of the last try.
    pub(super) async fn insist<T, F>(&self, action: &'static str, mut act: impl FnMut() -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, EngineError>>,
    {
        let began = clock::now();
        let mut tries = 0;
        loop {
            let error = match act().await {
                Ok(done) => {
                    if tries > 0 {
                        tracing::info!(action, tries, "the broker answers again");
                    }
                    return Ok(done);
                }
                Err(error) => error,
            };
            let failure = Failure {
                passes: (self.passes)(&error),
                tries,
                elapsed: began.elapsed(),
                is_stopping: self.stopping.is_cancelled(),
            };
            let Decision::TryAgain { after } = self.decide(failure) else { return Err(error) };
            if tries == 0 {
                tracing::warn!(action, %error, "the broker does not answer: trying again until it does");
            }
            tries += 1;
            tokio::select! {
                () = tokio::time::sleep(after) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }

    fn decide(&self, failure: Failure) -> Decision {
        let Failure { passes, tries, elapsed, is_stopping } = failure;
        let is_over = self.most.is_some_and(|most| elapsed >= most);
        if !passes || is_stopping || is_over {
            return Decision::GiveUp;
        }
        let after = self.first_wait.saturating_mul(2_u32.saturating_pow(tries)).min(self.longest_wait);
        Decision::TryAgain { after }
    }
}

/// Whether an error passes by itself, as it says.
fn is_waited_for(error: &EngineError) -> bool {
    error.remedy() == Remedy::Wait
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::Signal;

    use super::*;
    use crate::bus::{BusError, testing};
    use crate::registry::Registry;

    fn patience() -> Patience {
        Patience {
            passes: is_waited_for,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(8),
            most: None,
            stopping: CancellationToken::new(),
        }
    }

    fn unanswered() -> EngineError {
        BusError::TimedOut { action: "an answer".to_owned(), after: Duration::from_secs(1) }.into()
    }

    #[test]
    fn waits_grow_up_to_the_longest_for_what_passes_and_nothing_else_is_tried_again() {
        let minute = Duration::from_mins(1);
        let once = Failure { passes: true, tries: 0, elapsed: Duration::ZERO, is_stopping: false };
        let (endless, bounded) = (patience(), Patience { most: Some(minute), ..patience() });
        let after = |millis| Decision::TryAgain { after: Duration::from_millis(millis) };
        let give_up = Decision::GiveUp;
        let table = [
            (&endless, once, after(1)),
            (&endless, Failure { tries: 1, ..once }, after(2)),
            (&endless, Failure { tries: 3, ..once }, after(8)),
            (&endless, Failure { tries: 4, ..once }, after(8)),
            (&endless, Failure { tries: u32::MAX, elapsed: Duration::MAX, ..once }, after(8)),
            (&endless, Failure { is_stopping: true, ..once }, give_up),
            (&endless, Failure { passes: false, ..once }, give_up),
            (&bounded, Failure { elapsed: minute / 2, ..once }, after(1)),
            (&bounded, Failure { elapsed: minute, ..once }, give_up),
        ];
        for (patience, failure, expected) in table {
            assert_eq!(patience.decide(failure), expected, "{failure:?}");
        }
    }

    #[tokio::test]
    async fn an_error_that_does_not_pass_is_given_back_at_once() {
        let patience = Patience { first_wait: Duration::MAX, longest_wait: Duration::MAX, ..patience() };
        let failed = patience.insist("test", || async { Err::<(), _>(EngineError::NoModel) }).await;
        assert!(matches!(failed, Err(EngineError::NoModel)), "it would never pass");
    }

    #[tokio::test]
    async fn a_stop_ends_the_wait_and_leaves_one_more_try() {
        let patience = Patience { first_wait: Duration::MAX, longest_wait: Duration::MAX, ..patience() };
        let tries = AtomicU32::new(0);
        let act = || async {
            tries.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(unanswered())
        };
        let stop = async {
            while tries.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
            patience.stopping.cancel();
        };
        let (given_up, ()) = tokio::join!(patience.insist("test", act), stop);
        assert!(given_up.is_err_and(|error| is_waited_for(&error)));
        assert_eq!(tries.load(Ordering::Relaxed), 2);
    }

    /// Saving ended the thread, and with it the process.
    #[tokio::test]
    async fn a_checkpoint_that_a_sleeping_broker_does_not_take_is_saved_when_it_wakes_up() {
        let (server, bus) = testing::server().await;
        let registry = Registry::open(&bus, crate::pipeline::Names::of("shop").registry(), None).await.unwrap();
        server.signal(Signal::STOP);
        let tries = AtomicU32::new(0);
        let save = || async {
            if tries.fetch_add(1, Ordering::Relaxed) == 1 {
                server.signal(Signal::CONT);
            }
            Ok(registry.save_checkpoint(b"weights").await?)
        };
        patience().insist("save", save).await.unwrap();
        assert!(tries.load(Ordering::Relaxed) > 1, "nobody answered the first one");
        assert_eq!(registry.load_checkpoint().await.unwrap().unwrap(), b"weights"[..]);
        server.stop().await.unwrap();
    }
}
