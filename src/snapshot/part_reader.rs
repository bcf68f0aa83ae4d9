//! Reading one part: neighbouring chunks are fetched together and ahead, and each is verified before it is given out.

use std::collections::VecDeque;
use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use futures::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::error::SnapshotError;
use super::generation::Generation;
use super::manifest::{Chunk, Part};
use super::memory::Memory;
use super::pack::{PackId, Place};
use super::shelf::Shelf;

/// How many bytes are fetched at once, at most.
const RUN_BYTES: u64 = 4 << 20;
/// So many bytes that are not needed are fetched along, rather than asking twice.
const GAP_BYTES: u64 = 32 * 1024;
/// How many fetches are under way.
const AHEAD: usize = 4;

/// Chunks that lie near each other in one pack.
struct Run {
    pack: PackId,
    start: u64,
    end: u64,
    chunks: Vec<Chunk>,
}

/// The bytes of one part, each chunk verified. See [`Generation::part`].
pub struct PartReader {
    number: u64,
    part: String,
    seed: u64,
    memory: Memory,
    runs: mpsc::Receiver<(Run, io::Result<Bytes>)>,
    shelf: Shelf,
    left: u64,
    ready: VecDeque<Bytes>,
    /// What ended it early, told again on every further read.
    failed: Option<(io::ErrorKind, String)>,
    _task: AbortOnDropHandle<()>,
}

impl PartReader {
    pub(super) fn new(generation: &Generation, part: &Part) -> Self {
        let (send, runs) = mpsc::channel(1);
        let shelf = generation.shelf.clone();
        let wanted = stream::iter(runs_of(&generation.manifest.packs, &part.chunks));
        let task = generation.runtime.spawn(async move {
            let fetched = wanted.map(|run| {
                let shelf = &shelf;
                async move {
                    let bytes = shelf.read(&run.pack.to_string(), run.start..run.end).await;
                    (run, bytes)
                }
            });
            let mut fetched = std::pin::pin!(fetched.buffered(AHEAD));
            while let Some(run) = fetched.next().await {
                if send.send(run).await.is_err() {
                    break;
                }
            }
        });
        Self {
            number: generation.number(),
            part: part.name.clone(),
            seed: generation.manifest.seed,
            memory: generation.memory.clone(),
            runs,
            shelf: generation.shelf.clone(),
            left: part.length,
            ready: VecDeque::new(),
            failed: None,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Waits for the next run, and verifies it.
    fn next(&mut self) -> Result<(), SnapshotError> {
        let Some((run, bytes)) = self.runs.blocking_recv() else {
            return Err(SnapshotError::Stopped(format!("part {:?} of snapshot {}", self.part, self.number)));
        };
        let bytes = bytes.map_err(|error| self.unread(&run, error))?;
        for chunk in &run.chunks {
            let start = u64::from(chunk.offset) - run.start;
            let end = start + u64::from(chunk.length);
            let found = (end <= bytes.len() as u64).then(|| bytes.slice(start as usize..end as usize));
            let right = found.filter(|found| xxh3_128_with_seed(found, self.seed) == chunk.hash);
            self.ready.push_back(right.ok_or_else(|| SnapshotError::Chunk {
                number: self.number,
                part: self.part.clone(),
                pack: run.pack.to_string(),
                offset: chunk.offset.into(),
                length: chunk.length.into(),
            })?);
        }
        let good = run
            .chunks
            .iter()
            .map(|chunk| (chunk.hash, Place { pack: run.pack, offset: chunk.offset, length: chunk.length }));
        self.memory.lock().verified(self.seed, good);
        Ok(())
    }

    fn unread(&self, run: &Run, error: io::Error) -> SnapshotError {
        let (number, part, pack) = (self.number, self.part.clone(), run.pack.to_string());
        match error.kind() {
            io::ErrorKind::NotFound => SnapshotError::MissingPack { number, part, pack },
            io::ErrorKind::UnexpectedEof => SnapshotError::ShortPack { number, part, pack, needed: run.end },
            _ => self.shelf.error(
                "read",
                &format!("{pack} from byte {}, part {part:?} of snapshot {number},", run.start),
                error,
            ),
        }
    }
}

impl Read for PartReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some((kind, message)) = &self.failed {
            return Err(io::Error::new(*kind, message.clone()));
        }
        while self.ready.is_empty() && self.left > 0 && !buffer.is_empty() {
            if let Err(error) = self.next() {
                // Chunks of the run before the wrong one are right, but nobody needs them.
                self.ready.clear();
                if error.is_damage() {
                    self.memory.lock().distrust(self.number);
                }
                let message = error.to_string();
                let error = error.into_io();
                self.failed = Some((error.kind(), message));
                return Err(error);
            }
        }
        let Some(front) = self.ready.front_mut() else { return Ok(0) };
        let count = front.len().min(buffer.len());
        front.copy_to_slice(buffer.split_at_mut(count).0);
        if front.is_empty() {
            self.ready.pop_front();
        }
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

/// The chunks in their order, those together that follow each other closely in one pack.
fn runs_of(packs: &[(PackId, u32)], chunks: &[Chunk]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for chunk in chunks {
        // A manifest that was read has every pack that its chunks name.
        let Some(&(pack, _)) = packs.get(chunk.pack as usize) else { continue };
        let (start, end) = (u64::from(chunk.offset), u64::from(chunk.offset) + u64::from(chunk.length));
        match runs.last_mut() {
            Some(run)
                if run.pack == pack
                    && start >= run.end
                    && start - run.end <= GAP_BYTES
                    && end - run.start <= RUN_BYTES =>
            {
                run.end = end;
                run.chunks.push(*chunk);
            }
            _ => runs.push(Run { pack, start, end, chunks: vec![*chunk] }),
        }
    }
    runs
}
