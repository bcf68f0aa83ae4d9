use super::*;
use crate::bus::testing;
use crate::bus::testing::TestServer;

const LIMIT: u64 = 1 << 30;

async fn store() -> (TestServer, Bus, ObjectStore) {
    let (server, bus) = testing::server().await;
    let store =
        bus.object_store(&ObjectStoreSpec { bucket: "MODELS".to_owned(), max_bytes: None, replicas: 1 }).await.unwrap();
    (server, bus, store)
}

/// Bytes that differ from chunk to chunk.
fn bytes(count: usize, seed: u8) -> Bytes {
    (0..count).map(|index| (index / 1000) as u8 ^ seed).collect::<Vec<_>>().into()
}

async fn put(store: &ObjectStore, name: &str, bytes: &Bytes) {
    store.put(name, bytes.clone(), BTreeMap::new()).await.unwrap();
}

async fn chunks_in(bus: &Bus) -> usize {
    bus.subjects_in_use("OBJ_MODELS", "$O.MODELS.C.>").await.unwrap().len()
}

/// The stream's sequences of an object's chunks.
async fn sequences(bus: &Bus, info: &ObjectInfo) -> Vec<u64> {
    let stream = bus.jetstream().get_stream("OBJ_MODELS").await.unwrap();
    let mut sequences = Vec::new();
    let mut from = 1;
    while let Ok(message) = stream.direct_get_next_for_subject(format!("$O.MODELS.C.{}", info.id), Some(from)).await {
        sequences.push(message.sequence);
        from = message.sequence + 1;
    }
    sequences
}

#[tokio::test]
async fn objects_of_every_size_come_back_as_they_were_stored() {
    let (server, bus, store) = store().await;
    for count in [0, 1, 131_071, 131_072, 131_073, 3_000_000] {
        let (name, stored) = (format!("file {count}.ä/?*"), bytes(count, 1));
        let metadata = BTreeMap::from([("kind".to_owned(), "any".to_owned())]);
        store.put(&name, stored.clone(), metadata.clone()).await.unwrap();
        let object = store.get(&name, count as u64).await.unwrap();
        assert_eq!((object.info.bytes, object.info.metadata, object.bytes), (count as u64, metadata, stored));
    }
    assert_eq!(store.list().await.unwrap().len(), 6);
    assert!(
        bus.object_store(&ObjectStoreSpec { bucket: "MODELS".to_owned(), max_bytes: None, replicas: 1 }).await.is_ok()
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_new_object_takes_the_place_of_the_old_one_and_a_deleted_one_leaves_nothing() {
    let (server, bus, store) = store().await;
    put(&store, "a", &bytes(300_000, 1)).await;
    put(&store, "a", &bytes(200_000, 2)).await;
    put(&store, "b", &bytes(10, 3)).await;
    assert_eq!(store.get("a", LIMIT).await.unwrap().bytes, bytes(200_000, 2));
    assert_eq!(chunks_in(&bus).await, 2, "the old chunks are gone");
    let names: Vec<_> = store.list().await.unwrap().into_iter().map(|info| info.name).collect();
    assert_eq!(names, ["a", "b"]);

    assert!(store.delete("a").await.unwrap() && store.delete("b").await.unwrap());
    assert!(!store.delete("a").await.unwrap());
    assert_eq!((store.info("a").await.unwrap(), store.list().await.unwrap()), (None, Vec::new()));
    assert_eq!(bus.stream_state("OBJ_MODELS").await.unwrap().messages, 0);
    put(&store, "a", &bytes(5, 4)).await;
    assert_eq!(store.get("a", LIMIT).await.unwrap().bytes, bytes(5, 4));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_interrupted_put_leaves_the_old_object_and_its_chunks_can_be_cleared_away() {
    let (server, bus, store) = store().await;
    let old = bytes(300_000, 1);
    put(&store, "a", &old).await;
    // Some chunks of a put that never got further, and a put that is given up when chunks of it are stored.
    store.send_chunks("INTERRUPTED", &bytes(300_000, 2), 131_072).await.unwrap();
    let messages = || async { bus.stream_state("OBJ_MODELS").await.unwrap().messages };
    let before = messages().await;
    let given_up = async { while messages().await == before {} };
    let large = bytes(50_000_000, 3);
    tokio::select! {
        biased;
        () = given_up => {}
        result = store.put("a", large, BTreeMap::new()) => panic!("not interrupted: {result:?}"),
    }
    assert_eq!(store.get("a", LIMIT).await.unwrap().bytes, old);
    assert_eq!(chunks_in(&bus).await, 3);

    assert_eq!(store.remove_abandoned(1_700_000_000_000_000).await.unwrap(), 0, "nothing is that old");
    assert_eq!(store.remove_abandoned(i64::MAX).await.unwrap(), 2);
    assert_eq!(store.get("a", LIMIT).await.unwrap().bytes, old);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn of_puts_that_race_one_wins_whole_and_the_others_leave_nothing() {
    let (server, bus, store) = store().await;
    let puts = (0..6).map(|seed| {
        let store = store.clone();
        async move { put(&store, "a", &bytes(400_000, seed)).await }
    });
    futures::future::join_all(puts).await;
    let found = store.get("a", LIMIT).await.unwrap().bytes;
    assert!((0..6).any(|seed| found == bytes(400_000, seed)));
    assert_eq!(chunks_in(&bus).await, 1);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_object_that_is_replaced_while_it_is_read_is_read_anew() {
    let (server, _bus, store) = store().await;
    put(&store, "a", &bytes(1_000_000, 0)).await;
    let replace = async {
        // Fewer than a read is tried again.
        for seed in 1..12 {
            put(&store, "a", &bytes(1_000_000, seed)).await;
        }
    };
    let read = async {
        for _ in 0..20 {
            let found = store.get("a", LIMIT).await.unwrap().bytes;
            assert!((0..12).any(|seed| found == bytes(1_000_000, seed)));
        }
    };
    tokio::join!(replace, read);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_missing_or_an_altered_chunk_is_noticed() {
    let (server, bus, store) = store().await;
    put(&store, "a", &bytes(300_000, 1)).await;
    let info = store.info("a").await.unwrap().unwrap();
    let chunks = sequences(&bus, &info).await;
    assert_eq!(chunks.len(), 3);
    let stream = bus.jetstream().get_stream("OBJ_MODELS").await.unwrap();
    stream.delete_message(chunks[2]).await.unwrap();
    let error = store.get("a", LIMIT).await.unwrap_err();
    insta::assert_snapshot!(
        error,
        @r#"object "a" of bucket "MODELS" is damaged: chunk 3 of 3 is missing; store it again"#
    );

    // As many bytes as the missing ones, but others.
    let subject = Subject::new(format!("$O.MODELS.C.{}", info.id)).unwrap();
    let mut publisher = bus.publisher(1).await.unwrap();
    publisher.publish(Outgoing::new(subject, bytes(300_000 - 2 * 131_072, 9))).await.unwrap();
    publisher.settle().await.unwrap();
    let error = store.get("a", LIMIT).await.unwrap_err();
    assert!(matches!(&error, BusError::ObjectDigest { expected, found, .. } if expected != found), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_object_above_the_limit_and_one_that_is_not_there_are_refused() {
    let (server, _bus, store) = store().await;
    put(&store, "a", &bytes(11, 1)).await;
    let error = store.get("a", 10).await.unwrap_err();
    insta::assert_snapshot!(error, @r#"object "a" of bucket "MODELS" has 11 bytes, more than the limit of 10"#);
    let error = store.get("b", 10).await.unwrap_err();
    insta::assert_snapshot!(error, @r#"object "b" not found in bucket "MODELS""#);
    let error = store.put("", Bytes::new(), BTreeMap::new()).await.unwrap_err();
    insta::assert_snapshot!(error, @r#"object "" is not valid: it is empty"#);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_description_that_others_wrote_is_read_and_a_strange_one_is_refused() {
    let (server, bus, store) = store().await;
    // As the Go library writes it (`nats object put`), chunk and description.
    let description = r#"{"name":"a","options":{"max_chunk_size":131072},"bucket":"MODELS","nuid":"N1","size":3,
        "mtime":"0001-01-01T00:00:00Z","chunks":1,
        "digest":"SHA-256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0="}"#;
    let send = |subject: &'static str, payload: &'static str| {
        let bus = bus.clone();
        async move {
            let mut publisher = bus.publisher(1).await.unwrap();
            publisher.publish(Outgoing::new(Subject::new(subject).unwrap(), payload.into())).await.unwrap();
            publisher.settle().await.unwrap();
        }
    };
    send("$O.MODELS.C.N1", "abc").await;
    send("$O.MODELS.M.YQ==", description).await;
    assert_eq!(store.get("a", LIMIT).await.unwrap().bytes, Bytes::from_static(b"abc"));

    for (description, expected) in [
        ("{", "can't be read"),
        (r#"{"name":"a","bucket":"MODELS","nuid":">","size":3}"#, "not letters and digits"),
        (r#"{"name":"a","bucket":"MODELS","options":{"link":{"bucket":"B"}}}"#, "is a link"),
    ] {
        send("$O.MODELS.M.YQ==", description).await;
        let error = store.get("a", LIMIT).await.unwrap_err();
        assert!(matches!(&error, BusError::ObjectDamaged { reason, .. } if reason.contains(expected)), "{error}");
    }
    assert_eq!(store.list().await.unwrap(), Vec::new(), "left out");
    put(&store, "a", &bytes(5, 1)).await;
    assert_eq!(store.get("a", LIMIT).await.unwrap().bytes, bytes(5, 1), "can be replaced");
    server.stop().await.unwrap();
}

// Chunks that were sent again came after later ones, and the object had another digest.
#[tokio::test]
async fn a_put_goes_on_when_the_server_was_killed() {
    let (mut server, bus, store) = store().await;
    let large = bytes(20_000_000, 1);
    let kill = async {
        while bus.stream_state("OBJ_MODELS").await.unwrap().messages < 10 {}
        server.signal(rustix::process::Signal::KILL);
        server.server.restart().await.unwrap();
    };
    tokio::join!(put(&store, "a", &large), kill);
    assert_eq!(store.get("a", LIMIT).await.unwrap().bytes, large);
    let info = store.info("a").await.unwrap().unwrap();
    assert_eq!(info.chunks, sequences(&bus, &info).await.len() as u64);
    server.stop().await.unwrap();
}
