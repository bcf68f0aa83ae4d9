//! Packs on their way into the store: filled by the writer's thread, put by a task, with a bounded queue between them.

use std::io;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::error::SnapshotError;
use super::pack::{PackId, Place};
use super::shelf::Shelf;

/// The longest pack, bytes.
pub(super) const PACK_BYTES: usize = 8 << 20;
/// How many packs are put at the same time.
const AT_ONCE: usize = 2;

/// Why putting packs ended, for the writer's thread.
type Failure = Arc<OnceLock<(io::ErrorKind, String)>>;

/// The packs of one draft.
pub(super) struct Packs {
    next: PackId,
    filling: Vec<u8>,
    /// Every pack that was begun and its length, bytes; the last one may still grow.
    lengths: Vec<(PackId, u32)>,
    queue: mpsc::Sender<(PackId, Bytes)>,
    failure: Failure,
    task: AbortOnDropHandle<Result<(), SnapshotError>>,
}

impl Packs {
    pub(super) fn new(runtime: &Handle, shelf: Shelf, first: PackId) -> Self {
        let (queue, packs) = mpsc::channel(1);
        let failure = Failure::default();
        let task = AbortOnDropHandle::new(runtime.spawn(put_all(shelf, packs, failure.clone())));
        Self { next: first, filling: Vec::new(), lengths: Vec::new(), queue, failure, task }
    }

    /// Takes a chunk, and waits while the store is behind. Not to be called on a thread of the runtime.
    pub(super) fn add(&mut self, chunk: &[u8]) -> io::Result<Place> {
        if self.filling.len() + chunk.len() > PACK_BYTES {
            let pack = self.seal();
            if self.queue.blocking_send(pack).is_err() {
                return Err(self.failed());
            }
        }
        if self.filling.is_empty() {
            self.lengths.push((self.next, 0));
        }
        let place = Place { pack: self.next, offset: self.filling.len() as u32, length: chunk.len() as u32 };
        self.filling.extend_from_slice(chunk);
        if let Some((_, length)) = self.lengths.last_mut() {
            *length += chunk.len() as u32;
        }
        Ok(place)
    }

    /// Ends when every pack is durable: the packs and their lengths.
    pub(super) async fn finish(mut self) -> Result<Vec<(PackId, u32)>, SnapshotError> {
        if !self.filling.is_empty() {
            let pack = self.seal();
            // If nobody takes it, the task ended with an error, which follows.
            self.queue.send(pack).await.ok();
        }
        drop(self.queue);
        self.task.await.unwrap_or_else(|error| Err(SnapshotError::Stopped(error.to_string())))?;
        Ok(self.lengths)
    }

    fn seal(&mut self) -> (PackId, Bytes) {
        let pack = self.next;
        self.next.index += 1;
        (pack, std::mem::take(&mut self.filling).into())
    }

    fn failed(&self) -> io::Error {
        match self.failure.get() {
            Some((kind, message)) => io::Error::new(*kind, message.clone()),
            None => io::Error::other("writing snapshots was stopped"),
        }
    }
}

async fn put_all(shelf: Shelf, packs: mpsc::Receiver<(PackId, Bytes)>, failure: Failure) -> Result<(), SnapshotError> {
    let packs = stream::unfold(packs, |mut packs| async { packs.recv().await.map(|pack| (pack, packs)) });
    let put = packs.map(Ok).try_for_each_concurrent(AT_ONCE, |(pack, bytes)| {
        let (shelf, failure) = (&shelf, &failure);
        async move {
            let put = shelf.put(pack.to_string(), bytes).await;
            if let Err(error) = &put {
                let kind = match error {
                    SnapshotError::Store { source, .. } => source.kind(),
                    _ => io::ErrorKind::Other,
                };
                // The first failure is the one that is told; the queue closes after it.
                failure.get_or_init(|| (kind, error.to_string()));
            }
            put
        }
    });
    put.await
}
