//! One thread per statement: a large stack, and a caller that does not wait for ever.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tracing::debug;

use super::QueryError;

/// Planning and dropping a tree take a few kilobytes per level; [`Limits`](super::Limits) allow a few thousand levels.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// How long the thread may take to notice the deadline itself, between two batches, before it is left alone.
const GRACE: Duration = Duration::from_millis(500);

/// Does the work on a thread of its own. A panic there is an error here.
///
/// A thread can't be stopped from outside: work that never looks at the clock goes on after the error.
pub(super) fn within<T, F>(timeout: Duration, work: F) -> Result<T, QueryError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, QueryError> + Send + 'static,
{
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("query".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            if sender.send(work()).is_err() {
                debug!("a query ended after its caller had left");
            }
        })
        .map_err(QueryError::Start)?;
    match receiver.recv_timeout(timeout.saturating_add(GRACE)) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => Err(QueryError::Timeout { after: timeout, is_recursive: false }),
        Err(RecvTimeoutError::Disconnected) => Err(QueryError::Crashed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        let result: Result<(), _> = within(Duration::from_secs(60), || panic!("a bug in the engine"));
        assert!(matches!(result, Err(QueryError::Crashed)));
    }

    #[test]
    fn the_caller_leaves_work_that_ignores_the_clock() {
        let (release, blocked) = mpsc::sync_channel::<()>(0);
        let result: Result<(), _> =
            within(Duration::from_millis(1), move || blocked.recv().map_err(|_| QueryError::Crashed));
        assert!(matches!(result, Err(QueryError::Timeout { .. })));
        drop(release);
    }
}
