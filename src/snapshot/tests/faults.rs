//! A store that fails at any one of its requests, or from one on: the older generation stays, and the newest is whole or
//! not there.

use std::io;
use std::sync::Arc;

use object_store::memory::InMemory;

use crate::snapshot::testing::{Fault, Faulty, Parts, listing, noise, parts, read, save, sound, write};
use crate::snapshot::{SnapshotError, SnapshotStore};

fn state(round: u64) -> Parts {
    // Nine million bytes are two packs; the first four change from round to round.
    let mut bytes = noise(1, 9_000_000);
    bytes[..4_000_000].copy_from_slice(&noise(10 + round, 4_000_000));
    parts([("large", bytes), ("small", noise(20 + round, 1_000))])
}

/// Reads what is there, writes one snapshot, publishes and prunes it.
async fn life(objects: Arc<Faulty>, next: &Parts) -> Result<(), String> {
    let store = SnapshotStore::open_on(objects, "").await.map_err(|error| error.to_string())?;
    let found = store.generations().await.map_err(|error| error.to_string())?;
    for generation in found {
        let generation = generation.map_err(|error| error.to_string())?;
        read(&generation).await.map_err(|error| error.to_string())?;
    }
    let written = write(&store, next, "").await.map_err(|error| error.to_string())?;
    store.publish(&written).await.map_err(|error| error.to_string())?;
    store.prune().await.map(drop).map_err(|error| error.to_string())
}

async fn fails_at_each_request(fault: Fault, lasting: bool) {
    let (one, two, three) = (state(1), state(2), state(3));
    for at in 1.. {
        let objects = Arc::new(InMemory::new());
        let store = SnapshotStore::open_on(objects.clone(), "").await.unwrap();
        save(&store, &one).await;
        save(&store, &two).await;
        drop(store);
        let faulty = Arc::new(Faulty::new(objects.clone(), fault, at, lasting));
        let lived = life(faulty.clone(), &three).await;
        if !faulty.has_failed() {
            lived.unwrap();
            assert!(at > 10, "{at} requests");
            break;
        }

        let store = SnapshotStore::open_on(objects.clone(), "").await.unwrap();
        let found = sound(&store).await;
        let newest = found[0].number();
        assert!(lived.is_err() || newest == 3);
        for generation in found.iter().take(2) {
            let expected = [&one, &two, &three][generation.number() as usize - 1];
            assert!(read(generation).await.unwrap() == *expected, "{fault:?} at {at}");
        }
        // And it goes on.
        save(&store, &three).await;
        store.prune().await.unwrap();
        assert_eq!(listing(&*objects, "manifests").await.len(), 2);
        assert!(listing(&*objects, "packs").await.len() <= 6, "{fault:?} at {at}");
        assert!(read(&sound(&store).await[0]).await.unwrap() == three);
    }
}

#[tokio::test]
async fn one_request_is_refused() {
    fails_at_each_request(Fault::Refused, false).await;
}

#[tokio::test]
async fn the_store_goes_away() {
    fails_at_each_request(Fault::Refused, true).await;
}

#[tokio::test]
async fn one_answer_is_lost() {
    fails_at_each_request(Fault::AnswerLost, false).await;
}

#[tokio::test]
async fn one_read_is_short() {
    fails_at_each_request(Fault::ShortRead, false).await;
}

#[tokio::test]
async fn the_disk_fills_up() {
    fails_at_each_request(Fault::Full, true).await;
}

#[tokio::test]
async fn a_full_disk_is_told_as_such_to_the_writer_and_at_the_end() {
    let objects = Arc::new(Faulty::new(Arc::new(InMemory::new()), Fault::Full, 2, true));
    let store = SnapshotStore::open_on(objects, "").await.unwrap();
    let mut draft = store.begin().unwrap();
    let filled = tokio::task::spawn_blocking(move || {
        let mut writer = draft.part("a").unwrap();
        let failed = (0..100).find_map(|round| io::Write::write_all(&mut writer, &noise(round, 1_000_000)).err());
        drop(writer);
        (draft, failed)
    });
    let (draft, failed) = filled.await.unwrap();
    assert_eq!(failed.unwrap().kind(), io::ErrorKind::StorageFull);
    let error = draft.write("").await.unwrap_err();
    assert!(
        matches!(&error, SnapshotError::Store { source, .. } if source.kind() == io::ErrorKind::StorageFull),
        "{error}"
    );
    // The next one is not in its way.
    store.begin().unwrap();
}

#[tokio::test]
async fn a_published_snapshot_whose_answer_was_lost_is_settled_by_trying_again() {
    let objects = Arc::new(InMemory::new());
    // The fourth request, after two listings and a pack, is the manifest.
    let faulty = Arc::new(Faulty::new(objects.clone(), Fault::AnswerLost, 4, false));
    let store = SnapshotStore::open_on(faulty, "").await.unwrap();
    let state = parts([("a", noise(1, 1_000))]);
    let written = write(&store, &state, "").await.unwrap();
    assert!(store.publish(&written).await.is_err());
    let generation = store.publish(&written).await.unwrap();
    assert_eq!(read(&generation).await.unwrap(), state);
}
