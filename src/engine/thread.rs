//! Threads of the engine, whose end can be awaited: joining one would hold a thread of the runtime, which it may need.

use tokio::sync::oneshot;

use super::EngineError;

/// How a thread has ended.
pub(super) type ThreadEnd = oneshot::Receiver<Result<(), EngineError>>;

/// Starts a thread, which sends how its work has ended; where it panics, nothing is sent.
pub(super) fn start_thread(
    name: &'static str,
    work: impl FnOnce() -> Result<(), EngineError> + Send + 'static,
) -> Result<ThreadEnd, EngineError> {
    let (ended, end) = oneshot::channel();
    let work = move || {
        // Nobody waits for what was dropped.
        let _gone = ended.send(work()).is_err();
    };
    let builder = std::thread::Builder::new().name(format!("tidewheel-{name}"));
    builder.spawn(work).map_err(|_| EngineError::Thread(name))?;
    Ok(end)
}

/// Waits until a thread has ended.
pub(super) async fn thread_ended(name: &'static str, end: ThreadEnd) -> Result<(), EngineError> {
    end.await.unwrap_or(Err(EngineError::Thread(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_thread_is_its_outcome_and_a_panic_is_an_error() {
        let end = start_thread("test", || Ok(())).unwrap();
        thread_ended("test", end).await.unwrap();
        let end = start_thread("test", || Err(EngineError::NoModel)).unwrap();
        assert!(matches!(thread_ended("test", end).await, Err(EngineError::NoModel)));
        let end = start_thread("test", || panic!("on purpose")).unwrap();
        assert!(matches!(thread_ended("test", end).await, Err(EngineError::Thread("test"))));
    }
}
