//! What is read is what was written, and what did not change is not written again.

use std::sync::Arc;

use object_store::memory::InMemory;
use proptest::prelude::*;

use crate::snapshot::testing::{Parts, noise, parts, read, save, sound, write};
use crate::snapshot::{Location, SnapshotError, SnapshotStore};

/// One change of one part.
#[derive(Debug, Clone)]
enum Edit {
    Overwrite { at: usize, length: usize, seed: u64 },
    Insert { at: usize, length: usize, seed: u64 },
    Remove { at: usize, length: usize },
    Repeat { at: usize, length: usize },
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let within = |at: usize, length: usize, bytes: &[u8]| {
            let at = at.min(bytes.len());
            at..(at + length).min(bytes.len())
        };
        match *self {
            Self::Overwrite { at, length, seed } => {
                let range = within(at, length, bytes);
                let new = noise(seed, range.len());
                bytes[range].copy_from_slice(&new);
            }
            Self::Insert { at, length, seed } => {
                let at = at.min(bytes.len());
                bytes.splice(at..at, noise(seed, length));
            }
            Self::Remove { at, length } => drop(bytes.drain(within(at, length, bytes))),
            Self::Repeat { at, length } => {
                let again = bytes[within(at, length, bytes)].to_vec();
                bytes.extend(again);
            }
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let (at, length) = (0usize..900_000, 0usize..400_000);
    prop_oneof![
        (at.clone(), length.clone(), any::<u64>()).prop_map(|(at, length, seed)| Edit::Overwrite { at, length, seed }),
        (at.clone(), length.clone(), any::<u64>()).prop_map(|(at, length, seed)| Edit::Insert { at, length, seed }),
        (at.clone(), length.clone()).prop_map(|(at, length)| Edit::Remove { at, length }),
        (at, length).prop_map(|(at, length)| Edit::Repeat { at, length }),
    ]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_generation_reads_back_after_random_edits(
        lengths in prop::collection::vec(0usize..800_000, 1..4),
        rounds in prop::collection::vec((prop::collection::vec((0usize..4, edit()), 0..4), any::<bool>()), 1..6),
    ) {
        runtime().block_on(async {
            let place = tempfile::tempdir().unwrap();
            let location = Location::folder(place.path());
            let mut store = SnapshotStore::open(&location).await.unwrap();
            let named = lengths.iter().enumerate().map(|(index, length)| (format!("part {index}"), noise(index as u64, *length)));
            let mut state: Parts = named.collect();
            let mut before: Option<Parts> = None;
            for (edits, restarts) in rounds {
                save(&store, &state).await;
                store.prune().await.unwrap();
                if restarts {
                    store = SnapshotStore::open(&location).await.unwrap();
                }
                let generations = sound(&store).await;
                assert_eq!(generations.len(), 1 + usize::from(before.is_some()));
                assert!(read(&generations[0]).await.unwrap() == state);
                if let Some(before) = &before {
                    assert!(read(&generations[1]).await.unwrap() == *before);
                }
                before = Some(state.clone());
                for (part, edit) in edits {
                    let index = part % state.len();
                    edit.apply(state.values_mut().nth(index).unwrap());
                }
            }
        });
    }
}

#[tokio::test]
async fn only_what_changed_is_written() {
    let store = SnapshotStore::open_on(Arc::new(InMemory::new()), "p").await.unwrap();
    let mut state = parts([("closed", noise(1, 6_000_000)), ("open", noise(2, 1_000_000))]);
    let first = save(&store, &state).await.figures();
    assert_eq!((first.state_bytes, first.written_bytes, first.old_chunks), (7_000_000, 7_000_000, 0));

    let unchanged = save(&store, &state).await.figures();
    assert_eq!((unchanged.state_bytes, unchanged.written_bytes, unchanged.new_chunks), (7_000_000, 0, 0));

    state.get_mut("closed").unwrap()[3_000_000] ^= 1;
    state.get_mut("open").unwrap().extend(noise(3, 100_000));
    let changed = save(&store, &state).await.figures();
    assert!(changed.written_bytes < 100_000 + 3 * 256 * 1_024, "{changed:?}");
    assert_eq!(read(&sound(&store).await[0]).await.unwrap(), state);
}

#[tokio::test]
async fn chunks_are_trusted_only_after_they_were_read() {
    let place = tempfile::tempdir().unwrap();
    let location = Location::folder(place.path());
    let state = parts([("a", noise(1, 2_000_000)), ("b", noise(2, 2_000_000))]);
    save(&SnapshotStore::open(&location).await.unwrap(), &state).await;

    let store = SnapshotStore::open(&location).await.unwrap();
    assert_eq!(write(&store, &state, "").await.unwrap().figures().old_chunks, 0);
    read(&sound(&store).await[0]).await.unwrap();
    assert_eq!(write(&store, &state, "").await.unwrap().figures().new_chunks, 0);
}

#[tokio::test]
async fn heads_names_and_empty_parts_are_kept() {
    let store = SnapshotStore::open_on(Arc::new(InMemory::new()), "").await.unwrap();
    assert!(sound(&store).await.is_empty());
    let state = parts([("empty", Vec::new()), ("tables/käufe", vec![1, 2, 3])]);
    let written = write(&store, &state, "position 12").await.unwrap();
    let generation = store.publish(&written).await.unwrap();
    assert_eq!(generation.head(), "position 12");
    assert_eq!(generation.parts().collect::<Vec<_>>(), [("empty", 0), ("tables/käufe", 3)]);
    assert_eq!(read(&generation).await.unwrap(), state);
    let error = generation.part("other").err().unwrap();
    assert_eq!(error.to_string(), "snapshot 1 has no part \"other\"; it has empty, tables/käufe");
}

#[tokio::test]
async fn parts_have_names_of_their_own_and_are_finished() {
    let store = SnapshotStore::open_on(Arc::new(InMemory::new()), "p").await.unwrap();
    let mut draft = store.begin().unwrap();
    assert!(matches!(draft.part("").err(), Some(SnapshotError::PartName { .. })));
    draft.part("a").unwrap().finish().unwrap();
    assert!(matches!(draft.part("a").err(), Some(SnapshotError::PartName { .. })));
    drop(draft.part("b").unwrap());
    assert!(matches!(draft.part("c").err(), Some(SnapshotError::Unfinished { .. })));
    assert!(matches!(draft.write("").await.err(), Some(SnapshotError::Unfinished { .. })));
}
