//! What this process knows about the place: which generations are kept, and which chunks are known to be good.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::manifest::Manifest;
use super::pack::{PackId, Place};
use super::upload::PACK_BYTES;

/// How many generations are kept.
pub(super) const GENERATIONS: usize = 2;
/// So many small packs are made into few.
const SMALL_PACKS: usize = 16;

/// Shared by a store, its generations and its draft.
#[derive(Clone)]
pub(super) struct Memory(Arc<Mutex<Known>>);

pub(super) struct Known {
    /// The highest number that was seen or given out.
    pub(super) highest: u64,
    /// Seed of the chunks' hashes: nobody who only sends events can make two chunks with one hash.
    pub(super) seed: u64,
    /// Newest first; at most [`GENERATIONS`].
    pub(super) kept: Vec<Arc<Manifest>>,
    /// Generations that must not be counted on.
    pub(super) distrusted: BTreeSet<u64>,
    /// Chunks that this process has written or read back.
    good: HashMap<u128, Place>,
    /// The snapshot that is being written.
    draft: (u64, Weak<()>),
}

/// What a new snapshot may build on.
pub(super) struct Start {
    pub(super) number: u64,
    pub(super) seed: u64,
    /// Chunks that need not be written.
    pub(super) chunks: HashMap<u128, Place>,
    /// The length of each pack they are in.
    pub(super) packs: HashMap<PackId, u32>,
    /// As long as it lives, there is no other draft.
    pub(super) turn: Arc<()>,
}

impl Memory {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Known {
            highest: 0,
            seed,
            kept: Vec::new(),
            distrusted: BTreeSet::new(),
            good: HashMap::new(),
            draft: (0, Weak::new()),
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing in here is left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Notes the generations that there are.
    pub(super) fn found(&mut self, highest: u64, mut readable: Vec<Arc<Manifest>>) {
        self.highest = self.highest.max(highest);
        readable.sort_by_key(|manifest| std::cmp::Reverse(manifest.number));
        if let Some(newest) = readable.first() {
            if self.seed != newest.seed {
                self.good.clear();
            }
            self.seed = newest.seed;
        }
        self.keep(readable);
    }

    /// Notes a generation that has just appeared; all its chunks are good.
    pub(super) fn published(&mut self, manifest: Arc<Manifest>) {
        for part in &manifest.parts {
            for chunk in &part.chunks {
                if let Some(&(pack, _)) = manifest.packs.get(chunk.pack as usize) {
                    self.good.insert(chunk.hash, Place { pack, offset: chunk.offset, length: chunk.length });
                }
            }
        }
        self.highest = self.highest.max(manifest.number);
        let mut kept = vec![manifest];
        kept.append(&mut self.kept);
        self.keep(kept);
    }

    /// Notes chunks that were read and are right.
    pub(super) fn verified(&mut self, seed: u64, chunks: impl Iterator<Item = (u128, Place)>) {
        if seed == self.seed {
            // A chunk may be in two packs; the place that a newer snapshot has stays.
            for (hash, place) in chunks {
                self.good.entry(hash).or_insert(place);
            }
        }
    }

    fn keep(&mut self, newest_first: Vec<Arc<Manifest>>) {
        self.kept = newest_first;
        self.kept.retain(|manifest| !self.distrusted.contains(&manifest.number));
        self.kept.truncate(GENERATIONS);
        let packs: HashSet<PackId> = self.kept.iter().flat_map(|kept| &kept.packs).map(|&(pack, _)| pack).collect();
        self.good.retain(|_, place| packs.contains(&place.pack));
    }

    /// No longer counts on a generation: neither keeps it nor keeps others in its favour.
    pub(super) fn distrust(&mut self, number: u64) {
        self.distrusted.insert(number);
        let kept = std::mem::take(&mut self.kept);
        self.keep(kept);
    }

    /// A new snapshot, or the number of the one that is still being written.
    pub(super) fn begin(&mut self) -> Result<Start, u64> {
        if self.draft.1.strong_count() > 0 {
            return Err(self.draft.0);
        }
        // Packs that only the older generation has are on their way out.
        let newest = self.kept.first();
        let packs: HashMap<_, _> = newest.map(|newest| newest.packs.iter().copied().collect()).unwrap_or_default();
        let retiring = newest.map(|newest| retiring(newest)).unwrap_or_default();
        let chunks = self.good.iter().filter(|(_, place)| packs.contains_key(&place.pack));
        let chunks = chunks.filter(|(_, place)| !retiring.contains(&place.pack));
        let chunks = chunks.map(|(hash, place)| (*hash, *place)).collect();
        // After the last number there is none: publishing then says that another was there first.
        self.highest = self.highest.saturating_add(1);
        let turn = Arc::new(());
        self.draft = (self.highest, Arc::downgrade(&turn));
        Ok(Start { number: self.highest, seed: self.seed, chunks, packs, turn })
    }
}

/// The packs whose chunks are written again if they are still needed: those of which the newest generation needs less than
/// half, and all small ones when there are many.
fn retiring(newest: &Manifest) -> HashSet<PackId> {
    let mut live: BTreeMap<u32, u64> = BTreeMap::new();
    let mut counted = HashSet::new();
    for chunk in newest.parts.iter().flat_map(|part| &part.chunks) {
        if counted.insert((chunk.pack, chunk.offset)) {
            *live.entry(chunk.pack).or_default() += u64::from(chunk.length);
        }
    }
    let small = |length: u32| (length as usize) < PACK_BYTES / 2;
    let many_small = newest.packs.iter().filter(|(_, length)| small(*length)).count() >= SMALL_PACKS;
    let mut retiring = HashSet::new();
    for (index, &(pack, length)) in newest.packs.iter().enumerate() {
        let needed = live.get(&(index as u32)).copied().unwrap_or_default();
        if needed * 2 < u64::from(length) || (many_small && small(length)) {
            retiring.insert(pack);
        }
    }
    retiring
}

#[cfg(test)]
mod tests {
    use super::super::manifest::{Chunk, Part};
    use super::*;

    const MIB: u32 = 1 << 20;

    fn manifest(packs: &[(u32, u32)]) -> Manifest {
        let id = |index| PackId { number: 1, draft: 1, index };
        let chunk =
            |(pack, live): (usize, u32)| Chunk { hash: pack as u128, pack: pack as u32, offset: 0, length: live };
        let chunks: Vec<_> = packs.iter().map(|(live, _)| *live).enumerate().map(chunk).collect();
        let length = packs.iter().map(|(live, _)| u64::from(*live)).sum();
        Manifest {
            number: 1,
            seed: 0,
            head: bytes::Bytes::new(),
            packs: packs.iter().enumerate().map(|(index, (_, length))| (id(index as u32), *length)).collect(),
            parts: vec![Part { name: "a".to_owned(), length, chunks }],
        }
    }

    fn retired(packs: &[(u32, u32)]) -> Vec<u32> {
        let mut retired: Vec<u32> = retiring(&manifest(packs)).iter().map(|pack| pack.index).collect();
        retired.sort_unstable();
        retired
    }

    #[test]
    fn packs_that_are_mostly_waste_are_written_anew() {
        assert_eq!(retired(&[(8 * MIB, 8 * MIB), (3 * MIB, 8 * MIB), (4 * MIB, 8 * MIB)]), [1]);
    }

    #[test]
    fn small_packs_are_put_together_when_there_are_many() {
        let few = vec![(MIB, MIB); 15];
        assert!(retired(&few).is_empty());
        let mut many = vec![(MIB, MIB); 16];
        many.push((8 * MIB, 8 * MIB));
        assert_eq!(retired(&many), (0..16).collect::<Vec<_>>());
    }

    #[test]
    fn there_is_one_draft_at_a_time() {
        let memory = Memory::new(1);
        let first = memory.lock().begin().ok().unwrap();
        assert_eq!(memory.lock().begin().err(), Some(first.number));
        drop(first);
        assert_eq!(memory.lock().begin().ok().unwrap().number, 2);
    }
}
