//! Whatever happens to the bytes is an error that names what and where, and never a wrong byte.

use std::io;
use std::sync::Arc;

use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;

use crate::snapshot::testing::{Parts, change, listing, noise, parts, read, save, sound};
use crate::snapshot::{SnapshotError, SnapshotStore};

/// Two generations that share nothing, so that the older one must survive what happens to the newer.
async fn two_generations() -> (Arc<InMemory>, Parts, Parts) {
    let objects = Arc::new(InMemory::new());
    let store = SnapshotStore::open_on(objects.clone(), "").await.unwrap();
    let older = parts([("a", noise(1, 90_000)), ("b", noise(2, 400_000))]);
    let newer = parts([("a", noise(3, 90_000)), ("b", noise(4, 400_000))]);
    save(&store, &older).await;
    save(&store, &newer).await;
    (objects, older, newer)
}

const NEWER: &str = "manifests/00000000000000000002";

/// The newer generation's only pack and its length.
async fn newer_pack(objects: &InMemory) -> (String, usize) {
    let packs = listing(objects, "packs").await;
    let (name, length) = packs.into_iter().find(|(name, _)| name.starts_with("packs/00000000000000000002")).unwrap();
    (name, length as usize)
}

fn inside(error: &io::Error) -> &SnapshotError {
    error.get_ref().and_then(|error| error.downcast_ref()).expect("a snapshot's error")
}

/// Opens what is there, and finds the newer generation's manifest unusable and the older one whole.
async fn newer_manifest_fails(objects: &Arc<InMemory>, older: &Parts) -> SnapshotError {
    let store = SnapshotStore::open_on(objects.clone(), "").await.unwrap();
    let mut found = store.generations().await.unwrap().into_iter();
    let damaged = found.next().unwrap().unwrap_err();
    assert_eq!(damaged.number, 2);
    assert!(damaged.error.is_damage());
    assert!(damaged.to_string().contains(NEWER), "{damaged}");
    assert_eq!(read(&found.next().unwrap().unwrap()).await.unwrap(), *older);
    damaged.error
}

/// Opens what is there, and finds the newer generation's bytes unusable and the older one whole.
async fn newer_part_fails(objects: &Arc<InMemory>, older: &Parts) -> io::Error {
    let store = SnapshotStore::open_on(objects.clone(), "").await.unwrap();
    let found = sound(&store).await;
    let error = read(&found[0]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(inside(&error).is_damage());
    assert_eq!(read(&found[1]).await.unwrap(), *older);
    error
}

#[tokio::test]
async fn a_damaged_manifest_leaves_the_older_generation() {
    let (objects, older, _) = two_generations().await;
    let length = objects.head(&Path::from(NEWER)).await.unwrap().size as usize;
    let whole = objects.get(&Path::from(NEWER)).await.unwrap().bytes().await.unwrap();
    for at in (0..length).step_by(7).chain([length - 1]) {
        change(&*objects, NEWER, |bytes| bytes[at] ^= 0x10).await;
        newer_manifest_fails(&objects, &older).await;
        objects.put(&Path::from(NEWER), whole.clone().into()).await.unwrap();
    }
    for kept in [0, 1, 7, 8, 11, 12, 20, 60, length / 2, length - 17, length - 16, length - 1] {
        change(&*objects, NEWER, |bytes| bytes.truncate(kept)).await;
        newer_manifest_fails(&objects, &older).await;
        objects.put(&Path::from(NEWER), whole.clone().into()).await.unwrap();
    }
    change(&*objects, NEWER, |bytes| bytes[8] = 9).await;
    let error = newer_manifest_fails(&objects, &older).await;
    assert!(matches!(error, SnapshotError::Version { found: 9, .. }), "{error}");
}

#[tokio::test]
async fn another_generations_manifest_is_not_believed() {
    let (objects, older, _) = two_generations().await;
    objects.copy(&Path::from("manifests/00000000000000000001"), &Path::from(NEWER)).await.unwrap();
    let error = newer_manifest_fails(&objects, &older).await;
    assert!(error.to_string().contains("snapshot 1"), "{error}");
}

#[tokio::test]
async fn flipped_bits_of_a_pack_are_noticed_wherever_they_are() {
    let (objects, older, _) = two_generations().await;
    let (pack, length) = newer_pack(&objects).await;
    assert_eq!(length, 490_000);
    let places = (0..length).step_by(9_973).chain([1, 89_999, 90_000, length - 1]);
    for at in places {
        change(&*objects, &pack, |bytes| bytes[at] ^= 1).await;
        let error = newer_part_fails(&objects, &older).await;
        let SnapshotError::Chunk { number: 2, part, pack: named, offset, length } = inside(&error) else {
            panic!("{error}");
        };
        assert_eq!(*named, pack);
        assert_eq!(part, if at < 90_000 { "a" } else { "b" });
        assert!((*offset..offset + length).contains(&(at as u64)));
        change(&*objects, &pack, |bytes| bytes[at] ^= 1).await;
    }
    let store = SnapshotStore::open_on(objects, "").await.unwrap();
    read(&sound(&store).await[0]).await.unwrap();
}

#[tokio::test]
async fn truncated_missing_and_exchanged_packs_are_noticed() {
    let (objects, older, newer) = two_generations().await;
    let (pack, length) = newer_pack(&objects).await;
    let path = Path::from(pack.as_str());
    let whole = objects.get(&path).await.unwrap().bytes().await.unwrap();
    for kept in [0, 1, 89_999, 90_000, 90_001, length / 2, length - 1] {
        objects.put(&path, whole.slice(..kept).into()).await.unwrap();
        let error = newer_part_fails(&objects, &older).await;
        assert!(matches!(inside(&error), SnapshotError::ShortPack { .. }), "{kept}: {error}");
    }
    objects.put(&path, noise(9, length).into()).await.unwrap();
    newer_part_fails(&objects, &older).await;
    objects.delete(&path).await.unwrap();
    let error = newer_part_fails(&objects, &older).await;
    assert!(matches!(inside(&error), SnapshotError::MissingPack { .. }), "{error}");
    objects.put(&path, whole.into()).await.unwrap();
    let store = SnapshotStore::open_on(objects, "").await.unwrap();
    assert_eq!(read(&sound(&store).await[0]).await.unwrap(), newer);
}

#[tokio::test]
async fn damage_does_not_get_into_the_next_snapshot() {
    let (objects, older, newer) = two_generations().await;
    let (pack, _) = newer_pack(&objects).await;
    change(&*objects, &pack, |bytes| bytes[200_000] ^= 1).await;
    let store = SnapshotStore::open_on(objects.clone(), "").await.unwrap();
    let found = sound(&store).await;
    read(&found[0]).await.unwrap_err();
    assert_eq!(read(&found[1]).await.unwrap(), older);
    // The state comes to where it was, and is saved again.
    save(&store, &newer).await;
    store.prune().await.unwrap();
    let store = SnapshotStore::open_on(objects, "").await.unwrap();
    let found = sound(&store).await;
    assert_eq!(found.iter().map(crate::snapshot::Generation::number).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(read(&found[0]).await.unwrap(), newer);
    assert_eq!(read(&found[1]).await.unwrap(), older);
}
