//! A snapshot that is being written: parts are cut, compared with what is known, and what is new goes into packs.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::cut::Cutter;
use super::error::SnapshotError;
use super::manifest::{Chunk, Manifest, Part};
use super::memory::Start;
use super::pack::{PackId, Place};
use super::upload::Packs;

/// What a snapshot cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Length of all parts, bytes.
    pub state_bytes: u64,
    /// What was written of it, bytes; the manifest comes on top.
    pub written_bytes: u64,
    /// Chunks that were written.
    pub new_chunks: u64,
    /// Chunks that were there already.
    pub old_chunks: u64,
    /// Length of the manifest, bytes.
    pub manifest_bytes: u64,
}

/// A snapshot that is being written. Dropping it gives it up.
pub struct Draft {
    number: u64,
    seed: u64,
    known: HashMap<u128, Place>,
    known_packs: HashMap<PackId, u32>,
    packs: Packs,
    parts: Vec<(Part, Vec<(u128, Place)>)>,
    /// A part that was begun and has not ended.
    open: Option<String>,
    figures: Figures,
    turn: Arc<()>,
}

impl Draft {
    pub(super) fn new(start: Start, packs: Packs) -> Self {
        Self {
            number: start.number,
            seed: start.seed,
            known: start.chunks,
            known_packs: start.packs,
            packs,
            parts: Vec::new(),
            open: None,
            figures: Figures::default(),
            turn: start.turn,
        }
    }

    /// The number of the snapshot that this will be.
    #[cfg(test)]
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Begins a part; it is whole when [`PartWriter::finish`] has returned.
    ///
    /// The writer is for a thread that may wait, never for one of the async runtime: when the store is behind, `write`
    /// waits. It fails when the store does; [`Draft::write`] then tells why in full.
    ///
    /// # Errors
    /// The name is empty, longer than 65,535 bytes or that of an earlier part, or an earlier part was not finished.
    pub fn part(&mut self, name: &str) -> Result<PartWriter<'_>, SnapshotError> {
        let wrong = |reason| Err(SnapshotError::PartName { part: name.to_owned(), reason });
        if name.is_empty() || name.len() > usize::from(u16::MAX) {
            return wrong("a name has 1 to 65,535 bytes");
        }
        if self.parts.iter().any(|(part, _)| part.name == name) {
            return wrong("the snapshot has a part of this name already");
        }
        self.check_whole()?;
        self.open = Some(name.to_owned());
        Ok(PartWriter { draft: self, cutter: Cutter::default(), length: 0, chunks: Vec::new() })
    }

    /// Ends when all packs are durable. `head` is the caller's own; it can be read before any part.
    pub async fn write(self, head: impl Into<Bytes>) -> Result<Written, SnapshotError> {
        let whole = self.check_whole();
        let mut lengths = self.known_packs;
        // A store that fails is why a part ended early, and is told first.
        lengths.extend(self.packs.finish().await?);
        whole?;
        let used: HashSet<_> = self.parts.iter().flat_map(|(_, places)| places).map(|(_, place)| place.pack).collect();
        let mut packs: Vec<(PackId, u32)> =
            used.into_iter().filter_map(|pack| Some((pack, *lengths.get(&pack)?))).collect();
        packs.sort_unstable();
        let indices: HashMap<PackId, u32> = packs.iter().zip(0..).map(|((pack, _), index)| (*pack, index)).collect();
        let parts = self.parts.into_iter().map(|(mut part, places)| {
            let chunks = places.into_iter().filter_map(|(hash, place)| {
                let pack = *indices.get(&place.pack)?;
                Some(Chunk { hash, pack, offset: place.offset, length: place.length })
            });
            part.chunks = chunks.collect();
            part
        });
        let manifest =
            Manifest { number: self.number, seed: self.seed, head: head.into(), packs, parts: parts.collect() };
        let bytes = manifest.encode();
        // What the next start would refuse must not appear.
        Manifest::decode(self.number, &bytes)?;
        let figures = Figures { manifest_bytes: bytes.len() as u64, ..self.figures };
        Ok(Written { manifest: Arc::new(manifest), bytes, figures, _turn: self.turn })
    }

    fn check_whole(&self) -> Result<(), SnapshotError> {
        match &self.open {
            Some(part) => Err(SnapshotError::Unfinished { number: self.number, part: part.clone() }),
            None => Ok(()),
        }
    }

    fn chunk(&mut self, bytes: &[u8]) -> io::Result<(u128, Place)> {
        let hash = xxh3_128_with_seed(bytes, self.seed);
        let length = bytes.len() as u64;
        self.figures.state_bytes += length;
        if let Some(place) = self.known.get(&hash).filter(|place| u64::from(place.length) == length) {
            self.figures.old_chunks += 1;
            return Ok((hash, *place));
        }
        let place = self.packs.add(bytes)?;
        self.known.insert(hash, place);
        self.figures.new_chunks += 1;
        self.figures.written_bytes += length;
        Ok((hash, place))
    }
}

/// Takes the bytes of one part.
pub struct PartWriter<'a> {
    draft: &'a mut Draft,
    cutter: Cutter,
    length: u64,
    chunks: Vec<(u128, Place)>,
}

impl PartWriter<'_> {
    /// The part is whole.
    pub fn finish(mut self) -> io::Result<()> {
        let Self { draft, cutter, chunks, .. } = &mut self;
        cutter.finish(|chunk| draft.chunk(chunk).map(|placed| chunks.push(placed)))?;
        if let Some(name) = self.draft.open.take() {
            let part = Part { name, length: self.length, chunks: Vec::new() };
            self.draft.parts.push((part, self.chunks));
        }
        Ok(())
    }
}

impl Write for PartWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self { draft, cutter, chunks, length } = self;
        cutter.push(bytes, |chunk| draft.chunk(chunk).map(|placed| chunks.push(placed)))?;
        *length += bytes.len() as u64;
        Ok(bytes.len())
    }

    /// Does nothing: only [`PartWriter::finish`] ends a part.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A snapshot whose packs are all in the store, and whose manifest is not.
#[derive(Debug)]
pub struct Written {
    pub(super) manifest: Arc<Manifest>,
    pub(super) bytes: Bytes,
    figures: Figures,
    /// Until this is published or given up there is no other draft.
    _turn: Arc<()>,
}

impl Written {
    /// The snapshot's number.
    pub fn number(&self) -> u64 {
        self.manifest.number
    }

    /// What it cost.
    pub fn figures(&self) -> Figures {
        self.figures
    }
}
