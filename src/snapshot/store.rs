//! The store: which generations there are, and the steps that make a new one.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;
use tokio::runtime::Handle;

use super::draft::{Draft, Written};
use super::error::SnapshotError;
use super::generation::Generation;
use super::location::Location;
use super::manifest::Manifest;
use super::memory::Memory;
use super::objects::Objects;
use super::pack::{MANIFESTS, PACKS, PackId, manifest_name, manifest_number};
use super::prune::{Facts, Pruned, decide};
use super::shelf::Shelf;
use super::upload::Packs;

/// The snapshots at one location.
pub struct SnapshotStore {
    shelf: Shelf,
    memory: Memory,
    runtime: Handle,
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct DamagedGeneration {
    /// The snapshot's number.
    pub number: u64,
    /// What is wrong with its manifest.
    #[source]
    pub error: SnapshotError,
}

impl SnapshotStore {
    /// Opens a location, making the folder if there is none, and looks what is there.
    ///
    /// # Errors
    /// The location cannot be reached, written to or listed.
    ///
    /// # Panics
    /// Outside an async runtime.
    pub async fn open(location: &Location) -> Result<Self, SnapshotError> {
        Self::on(location.open().await?).await
    }

    /// Opens a prefix of an object store that is connected already.
    pub async fn open_on(store: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self, SnapshotError> {
        let location = format!("{store}/{prefix}");
        Self::on(Shelf::objects(Objects::new(store, prefix), location)).await
    }

    async fn on(shelf: Shelf) -> Result<Self, SnapshotError> {
        let store = Self { shelf, memory: Memory::new(random()), runtime: Handle::current() };
        store.generations().await?;
        Ok(store)
    }

    /// The snapshots that there are, newest first; those whose manifest is damaged, of another version or cannot be read say
    /// so in their place.
    ///
    /// # Errors
    /// The location cannot be listed.
    pub async fn generations(&self) -> Result<Vec<Result<Generation, DamagedGeneration>>, SnapshotError> {
        let mut numbers: Vec<u64> = self.numbers().await?;
        numbers.reverse();
        let mut generations = Vec::with_capacity(numbers.len());
        for &number in &numbers {
            match self.manifest(number).await {
                Ok(Some(manifest)) => generations.push(Ok(self.generation(manifest))),
                // Removed since it was listed.
                Ok(None) => {}
                Err(error) => generations.push(Err(DamagedGeneration { number, error })),
            }
        }
        let readable = generations.iter().flatten().map(|generation| generation.manifest.clone()).collect();
        self.memory.lock().found(numbers.first().copied().unwrap_or_default(), readable);
        Ok(generations)
    }

    /// Begins the next snapshot. Its number is above all that were ever seen here.
    ///
    /// # Errors
    /// The one before has neither been published nor dropped.
    pub fn begin(&self) -> Result<Draft, SnapshotError> {
        let start = self.memory.lock().begin().map_err(|number| SnapshotError::DraftOpen { number })?;
        let first = PackId { number: start.number, draft: random(), index: 0 };
        let packs = Packs::new(&self.runtime, self.shelf.clone(), first);
        Ok(Draft::new(start, packs))
    }

    /// Makes a snapshot visible: from then on it is the newest generation.
    ///
    /// After a failure of the store it may or may not have appeared, and never in part; it can be tried again.
    ///
    /// # Errors
    /// The store fails, or another process has published a snapshot since ([`SnapshotError::Overtaken`]).
    pub async fn publish(&self, written: &Written) -> Result<Generation, SnapshotError> {
        let ours = written.number();
        let newest = self.numbers().await?.last().copied().unwrap_or_default();
        if newest > ours {
            return Err(self.overtaken(ours, newest));
        }
        let name = manifest_name(ours);
        if !self.shelf.create(&name, written.bytes.clone()).await? {
            // It is ours if an earlier try did what its answer could not say.
            let there: Option<Bytes> = self.shelf.get(&name).await?;
            if there.as_ref() != Some(&written.bytes) {
                return Err(self.overtaken(ours, ours));
            }
        }
        self.memory.lock().published(written.manifest.clone());
        Ok(self.generation(written.manifest.clone()))
    }

    /// Removes all but the two newest generations that can be counted on, and every file that they do not need, also what
    /// interrupted drafts have left.
    ///
    /// # Errors
    /// The store fails, or another process has published a snapshot since. What is not removed now is removed next time.
    pub async fn prune(&self) -> Result<Pruned, SnapshotError> {
        let manifests = self.shelf.list(MANIFESTS).await?;
        let numbers: Vec<u64> = manifests.iter().filter_map(|file| manifest_number(file)).collect();
        let (highest, distrusted) = {
            let known = self.memory.lock();
            (known.highest, known.distrusted.clone())
        };
        if let Some(&newest) = numbers.last().filter(|newest| **newest > highest) {
            return Err(self.overtaken(highest, newest));
        }
        let mut good = Vec::new();
        for number in numbers.into_iter().filter(|number| !distrusted.contains(number)) {
            match self.manifest(number).await {
                Ok(manifest) => good.extend(manifest),
                Err(error) if error.is_damage() => {}
                // It may be good: nothing is removed until that is known.
                Err(error) => return Err(error),
            }
        }
        let packs = self.shelf.list(PACKS).await?;
        let mut pruned = Pruned::default();
        for name in decide(&Facts { manifests: &manifests, packs: &packs, good: &good }) {
            self.shelf.delete(&name).await?;
            match name.starts_with(MANIFESTS) {
                true => pruned.manifests += 1,
                false => pruned.packs += 1,
            }
        }
        Ok(pruned)
    }

    /// No longer counts on a generation, as after its parts turned out not to fit: the next prune keeps two others, and
    /// removes it once there is a newer one. Damage that a reader finds does this by itself.
    pub fn distrust(&self, number: u64) {
        self.memory.lock().distrust(number);
    }

    /// The numbers of the manifests there are, in ascending order.
    async fn numbers(&self) -> Result<Vec<u64>, SnapshotError> {
        let files = self.shelf.list(MANIFESTS).await?;
        Ok(files.iter().filter_map(|file| manifest_number(file)).collect())
    }

    async fn manifest(&self, number: u64) -> Result<Option<Arc<Manifest>>, SnapshotError> {
        let Some(bytes) = self.shelf.get(&manifest_name(number)).await? else { return Ok(None) };
        Ok(Some(Arc::new(Manifest::decode(number, &bytes)?)))
    }

    fn generation(&self, manifest: Arc<Manifest>) -> Generation {
        Generation { manifest, shelf: self.shelf.clone(), memory: self.memory.clone(), runtime: self.runtime.clone() }
    }

    fn overtaken(&self, ours: u64, found: u64) -> SnapshotError {
        SnapshotError::Overtaken { ours, found, location: self.shelf.to_string() }
    }
}

/// A number for names and seeds, on which nothing that is computed depends.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
