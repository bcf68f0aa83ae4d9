//! The tasks that bring something from the broker to a thread: messages of a stream, and moves of the registry's pointer.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::EngineError;
use crate::bus::{Message, Reader, Revision};
use crate::registry::{Pointer, PointerWatch, Registry};

/// Hands the batches of a stream on until told to stop, or until nobody takes them any more.
pub(super) async fn read_all<T>(
    mut reader: Reader,
    inputs: mpsc::Sender<T>,
    wrap: impl Fn(Vec<Message>) -> T,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    loop {
        let messages = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            messages = reader.next_batch() => messages?,
        };
        if inputs.send(wrap(messages)).await.is_err() {
            return Ok(());
        }
    }
}

/// The moves of a registry's pointer after a known one, until told to stop.
pub(super) struct Moves {
    watch: PointerWatch,
    revision: Revision,
    stop: CancellationToken,
}

impl Moves {
    /// Watches for pointers newer than `known`.
    pub(super) async fn after(
        registry: &Registry,
        known: &Pointer,
        stop: CancellationToken,
    ) -> Result<Self, EngineError> {
        Ok(Self { watch: registry.watch().await?, revision: known.revision, stop })
    }

    /// The next one; nothing when told to stop.
    pub(super) async fn next(&mut self) -> Result<Option<Pointer>, EngineError> {
        loop {
            let pointer = tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                pointer = self.watch.next() => pointer?,
            };
            if pointer.revision > self.revision {
                self.revision = pointer.revision;
                return Ok(Some(pointer));
            }
        }
    }
}
