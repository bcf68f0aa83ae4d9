//! A process that ends between any two steps leaves the generations as they were, and files that the next prune removes.

use std::sync::Arc;

use object_store::memory::InMemory;

use crate::snapshot::testing::{Fault, Faulty, listing, noise, parts, read, save, sound, write};
use crate::snapshot::{Generation, SnapshotError, SnapshotStore};

async fn open(objects: &Arc<InMemory>) -> SnapshotStore {
    SnapshotStore::open_on(objects.clone(), "").await.unwrap()
}

/// How many manifests and packs there are.
async fn files(objects: &InMemory) -> (usize, usize) {
    (listing(objects, "manifests").await.len(), listing(objects, "packs").await.len())
}

#[tokio::test]
async fn what_was_written_and_not_published_is_not_there_and_goes() {
    let objects = Arc::new(InMemory::new());
    let (one, two) = (parts([("a", noise(1, 300_000))]), parts([("a", noise(2, 300_000))]));
    save(&open(&objects).await, &one).await;
    let store = open(&objects).await;
    drop(write(&store, &two, "").await.unwrap());
    assert_eq!(files(&objects).await, (1, 2));

    let store = open(&objects).await;
    assert_eq!(read(&sound(&store).await[0]).await.unwrap(), one);
    // Before a newer generation is there, the draft's packs might still belong to somebody.
    store.prune().await.unwrap();
    assert_eq!(files(&objects).await, (1, 2));
    save(&store, &two).await;
    store.prune().await.unwrap();
    assert_eq!(files(&objects).await, (2, 2));
    assert_eq!(read(&sound(&open(&objects).await).await[0]).await.unwrap(), two);
}

#[tokio::test]
async fn a_published_snapshot_is_there_whether_or_not_it_was_pruned() {
    let objects = Arc::new(InMemory::new());
    for round in 1..=5_u64 {
        save(&open(&objects).await, &parts([("a", noise(round, 100_000))])).await;
    }
    assert_eq!(files(&objects).await, (5, 5));
    let store = open(&objects).await;
    assert_eq!(sound(&store).await.iter().map(Generation::number).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
    let pruned = store.prune().await.unwrap();
    assert_eq!((pruned.manifests, pruned.packs), (3, 3));
    let found = sound(&store).await;
    assert_eq!(read(&found[0]).await.unwrap(), parts([("a", noise(5, 100_000))]));
    assert_eq!(read(&found[1]).await.unwrap(), parts([("a", noise(4, 100_000))]));
}

#[tokio::test]
async fn an_interrupted_prune_is_finished_by_the_next() {
    for at in 1.. {
        let objects = Arc::new(InMemory::new());
        for round in 1..=4_u64 {
            save(&open(&objects).await, &parts([("a", noise(round, 50_000))])).await;
        }
        let faulty = Arc::new(Faulty::new(objects.clone(), Fault::Refused, at + 6, true));
        let store = SnapshotStore::open_on(faulty.clone(), "").await;
        if let Ok(store) = store {
            let pruned = store.prune().await;
            assert_eq!(pruned.is_err(), faulty.has_failed());
        }
        let store = open(&objects).await;
        let found = sound(&store).await;
        assert!(found.len() >= 2);
        assert_eq!(read(&found[0]).await.unwrap(), parts([("a", noise(4, 50_000))]));
        assert_eq!(read(&found[1]).await.unwrap(), parts([("a", noise(3, 50_000))]));
        store.prune().await.unwrap();
        assert_eq!(files(&objects).await, (2, 2));
        if !faulty.has_failed() {
            assert!(at > 4);
            break;
        }
    }
}

#[tokio::test]
async fn a_second_process_is_told_that_it_was_overtaken() {
    let objects = Arc::new(InMemory::new());
    let (ours, theirs) = (open(&objects).await, open(&objects).await);
    let state = parts([("a", noise(1, 50_000))]);
    let written = write(&ours, &state, "ours").await.unwrap();
    save(&theirs, &state).await;
    let error = ours.publish(&written).await.unwrap_err();
    assert!(matches!(error, SnapshotError::Overtaken { ours: 1, found: 1, .. }), "{error}");
    save(&theirs, &state).await;
    assert!(matches!(ours.publish(&written).await, Err(SnapshotError::Overtaken { .. })));
    assert!(matches!(ours.prune().await, Err(SnapshotError::Overtaken { .. })));
    assert_eq!(read(&sound(&theirs).await[0]).await.unwrap(), state);
}

#[tokio::test]
async fn publishing_twice_is_publishing_once() {
    let objects = Arc::new(InMemory::new());
    let store = open(&objects).await;
    let written = write(&store, &parts([("a", noise(1, 50_000))]), "").await.unwrap();
    store.publish(&written).await.unwrap();
    store.publish(&written).await.unwrap();
    assert!(matches!(store.begin().err(), Some(SnapshotError::DraftOpen { number: 1 })));
    drop(written);
    assert_eq!(store.begin().unwrap().number(), 2);
}
