//! One snapshot that can be read.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::error::SnapshotError;
use super::manifest::Manifest;
use super::memory::Memory;
use super::part_reader::PartReader;
use super::shelf::Shelf;

/// One snapshot: its manifest was read and is right; its parts are verified as they are read.
#[derive(Clone)]
pub struct Generation {
    pub(super) manifest: Arc<Manifest>,
    pub(super) shelf: Shelf,
    pub(super) memory: Memory,
    pub(super) runtime: Handle,
}

impl Generation {
    /// Its number; newer ones have higher numbers.
    pub fn number(&self) -> u64 {
        self.manifest.number
    }

    /// What the caller gave to [`Draft::write`](super::Draft::write).
    pub fn head(&self) -> &Bytes {
        &self.manifest.head
    }

    /// The names and lengths (bytes) of its parts, in the order they were written.
    pub fn parts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.manifest.parts.iter().map(|part| (part.name.as_str(), part.length))
    }

    /// Length of all its parts, bytes.
    pub fn state_bytes(&self) -> u64 {
        self.manifest.bytes()
    }

    /// Begins to read a part, some 24 MiB ahead of the reader.
    ///
    /// The reader is for a thread that may wait, never for one of the async runtime. Bytes that it gives out are those that
    /// were written. Its errors carry a [`SnapshotError`] inside; after damage the generation is no longer counted on: it is
    /// not one of the two that are kept, and none of its unread chunks gets into a new snapshot.
    ///
    /// # Errors
    /// There is no such part.
    pub fn part(&self, name: &str) -> Result<PartReader, SnapshotError> {
        self.find(name).ok_or_else(|| {
            let parts = self.parts().map(|(part, _)| part.to_owned()).collect();
            SnapshotError::UnknownPart { number: self.number(), part: name.to_owned(), parts }
        })
    }

    /// As [`Self::part`]; nothing where there is no part of this name.
    pub(crate) fn find(&self, name: &str) -> Option<PartReader> {
        let part = self.manifest.parts.iter().find(|part| part.name == name);
        part.map(|part| PartReader::new(self, part))
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Generation");
        shown.field("number", &self.number()).field("state_bytes", &self.state_bytes()).finish_non_exhaustive()
    }
}
