//! Looks at a stream that is somebody else's, now and then: how far it has come, when all that is to be read of it has been.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

use super::EngineError;
use crate::bus::{Bus, BusError, StreamSequence};
use crate::commit::{Position, Seen};
use crate::pipeline::{Pipeline, StreamIndex};

/// The time between two looks.
const EVERY: Duration = Duration::from_secs(10);
/// The last look, at the end, may take so long.
const LAST: Duration = Duration::from_secs(1);

/// Looks until told to stop, and a last time then.
pub(super) async fn look(
    pipeline: Arc<Pipeline>,
    stream: StreamIndex,
    bus: Bus,
    seen: Seen,
    settled: watch::Receiver<Position>,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let plan = pipeline.stream(stream);
    let once = async || {
        let read = settled.borrow().of(stream);
        // Where it ends is asked first: what comes between the two questions is found by the second.
        let end = plan.bus(&bus).stream_state(&plan.held_in).await?.last;
        if plan.last(&bus).await?.unwrap_or(StreamSequence(0)) <= read {
            seen.note(stream, read, end);
        }
        Ok::<_, BusError>(())
    };
    loop {
        let looked = tokio::select! {
            () = stop.cancelled() => {
                // What it would have said is only missed where the stream is emptied meanwhile.
                let _late = timeout(LAST, once()).await.is_err();
                return Ok(());
            }
            _ = looks.tick() => once().await,
        };
        if let Err(error) = looked {
            tracing::debug!(%error, stream = plan.held_in, "nobody says how far the stream has come");
        }
    }
}
