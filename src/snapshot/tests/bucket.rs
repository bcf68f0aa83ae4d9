//! The same against a real bucket, or a server that speaks the protocol of one.

use crate::snapshot::testing::{noise, parts, read, save, sound};
use crate::snapshot::{Generation, Location, SnapshotStore};

/// Set `TIDEWHEEL_TEST_LOCATION=s3://bucket/prefix` and what the bucket needs (`AWS_ENDPOINT`, ...).
#[tokio::test]
#[ignore = "needs a bucket"]
async fn a_bucket_keeps_snapshots() {
    let bucket = std::env::var("TIDEWHEEL_TEST_LOCATION").unwrap();
    let location = Location::parse(&format!("{bucket}/run-{}", std::process::id())).unwrap();
    let store = SnapshotStore::open(&location).await.unwrap();
    assert!(sound(&store).await.is_empty());
    let mut state = parts([("a", noise(1, 20_000_000)), ("b", noise(2, 1_000))]);
    for round in 1..=4_u64 {
        state.insert("b".to_owned(), noise(10 + round, 50_000));
        let figures = save(&store, &state).await.figures();
        assert!(round == 1 || figures.written_bytes == 50_000, "{figures:?}");
        store.prune().await.unwrap();
    }
    let store = SnapshotStore::open(&location).await.unwrap();
    let found = sound(&store).await;
    assert_eq!(found.iter().map(Generation::number).collect::<Vec<_>>(), [4, 3]);
    assert!(read(&found[0]).await.unwrap() == state);
}
