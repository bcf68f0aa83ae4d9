//! Snapshots of each released version of the format are read as they were written.

use std::path::PathBuf;

use crate::snapshot::testing::{Parts, parts, read, sound, write};
use crate::snapshot::{Location, SnapshotStore};

fn folder(version: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/snapshot/v{version}"))
}

/// What the golden snapshots hold.
fn state() -> Parts {
    let large: Vec<u8> = (0..2_200_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    parts([("empty", Vec::new()), ("labels", b"waiting".to_vec()), ("tables/user_activity", large)])
}

#[tokio::test]
async fn version_1_reads() {
    let store = SnapshotStore::open(&Location::folder(folder(1))).await.unwrap();
    let found = sound(&store).await;
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].number(), found[0].head().as_ref()), (2, b"second".as_slice()));
    assert_eq!((found[1].number(), found[1].head().as_ref()), (1, b"first".as_slice()));
    let mut expected = state();
    assert_eq!(read(&found[1]).await.unwrap(), expected);
    expected.insert("newer".to_owned(), b"added".to_vec());
    assert_eq!(read(&found[0]).await.unwrap(), expected);
}

/// Makes the golden snapshots of a new version; those of earlier ones are never made again.
#[tokio::test]
#[ignore = "writes tests/golden/snapshot"]
async fn write_golden() {
    let store = SnapshotStore::open(&Location::folder(folder(1))).await.unwrap();
    assert!(sound(&store).await.is_empty(), "a golden snapshot is made once");
    let mut state = state();
    let first = write(&store, &state, "first").await.unwrap();
    store.publish(&first).await.unwrap();
    drop(first);
    state.insert("newer".to_owned(), b"added".to_vec());
    let second = write(&store, &state, "second").await.unwrap();
    store.publish(&second).await.unwrap();
}
