//! Manifests of snapshots, as they are and with a checksum that is right again: read back right or refused, and neither the
//! older snapshot nor the next one suffers.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use tidewheel::snapshot::{Generation, SnapshotStore};
use tokio::runtime::Runtime;
use xxhash_rust::xxh3::xxh3_128;

use crate::fuzz::engine::{Outcome, Target};
use crate::taobao::root;

const OLDER: &str = "manifests/00000000000000000001";
const NEWER: &str = "manifests/00000000000000000002";
const CHECKSUM_BYTES: usize = size_of::<u128>();

pub const TARGET: Target = Target {
    name: "snapshots",
    seconds: 2,
    dictionary: &["tidesnap", "first", "second", "empty", "labels", "newer", "tables/user_activity", "packs/"],
    inputs: || {
        let golden = golden();
        vec![golden[NEWER].to_vec(), golden[OLDER].to_vec()]
    },
    reader: || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let place = Place { golden: golden(), runtime };
        let right = read(&place.generations(&place.open(&place.golden[NEWER]))[0].clone().unwrap()).unwrap();
        assert_eq!(right.len(), 4);
        Box::new(move |input| {
            place.meet(&sealed(input), &right);
            let outcome = place.meet(input, &right);
            assert!(outcome != Outcome::Accepted || input == place.golden[NEWER], "another manifest was accepted");
            outcome
        })
    },
};

type Parts = BTreeMap<String, Vec<u8>>;

/// The golden snapshots, the newer one's manifest of which is exchanged.
struct Place {
    golden: BTreeMap<String, Bytes>,
    runtime: Runtime,
}

impl Place {
    fn open(&self, manifest: &[u8]) -> SnapshotStore {
        self.runtime.block_on(async {
            let objects = Arc::new(InMemory::new());
            for (name, bytes) in &self.golden {
                objects.put(&Path::from(name.as_str()), bytes.clone().into()).await.unwrap();
            }
            objects.put(&Path::from(NEWER), manifest.to_vec().into()).await.unwrap();
            SnapshotStore::open_on(objects, "").await.unwrap()
        })
    }

    fn generations(&self, store: &SnapshotStore) -> Vec<Result<Generation, String>> {
        let found = self.runtime.block_on(store.generations()).unwrap();
        found.into_iter().map(|generation| generation.map_err(|damaged| damaged.to_string())).collect()
    }

    /// Opens the snapshots with this newer manifest, reads what can be read, and saves the right parts on top of it.
    fn meet(&self, manifest: &[u8], right: &Parts) -> Outcome {
        let store = self.open(manifest);
        let found = self.generations(&store);
        assert_eq!(found.len(), 2);
        let newer = found[0].clone().and_then(|newer| read(&newer));
        let older = read(found[1].as_ref().unwrap()).unwrap();
        assert_eq!(older.keys().collect::<Vec<_>>(), ["empty", "labels", "tables/user_activity"]);

        let mut draft = store.begin().unwrap();
        for (name, bytes) in right {
            let mut part = draft.part(name).unwrap();
            part.write_all(bytes).unwrap();
            part.finish().unwrap();
        }
        let next = self.runtime.block_on(async {
            let written = draft.write("next").await.unwrap();
            let next = store.publish(&written).await.unwrap();
            drop(written);
            store.prune().await.unwrap();
            next
        });
        assert_eq!(read(&next).as_ref(), Ok(right), "the next snapshot is not what was written");
        if newer.is_err() {
            assert_eq!(read(found[1].as_ref().unwrap()), Ok(older), "the older snapshot is one of two");
        }
        Outcome::of(&newer)
    }
}

/// What a generation holds, as much as its manifest says.
fn read(generation: &Generation) -> Result<Parts, String> {
    let mut parts = Parts::new();
    for (name, length) in generation.parts() {
        let mut bytes = Vec::new();
        generation.part(name).unwrap().read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        // Of parts of one name the first is read.
        parts.entry(name.to_owned()).or_insert_with(|| {
            assert_eq!(bytes.len() as u64, length, "{name}");
            bytes
        });
    }
    Ok(parts)
}

/// The files of the golden snapshots by their names.
fn golden() -> BTreeMap<String, Bytes> {
    let folder = root().join("tests/golden/snapshot/v1");
    let mut files = BTreeMap::new();
    for kind in ["manifests", "packs"] {
        for file in fs::read_dir(folder.join(kind)).unwrap() {
            let file = file.unwrap();
            files.insert(
                format!("{kind}/{}", file.file_name().to_str().unwrap()),
                fs::read(file.path()).unwrap().into(),
            );
        }
    }
    files
}

/// The same content with the checksum that it should have.
fn sealed(input: &[u8]) -> Vec<u8> {
    let content = &input[..input.len().saturating_sub(CHECKSUM_BYTES)];
    [content, &xxh3_128(content).to_le_bytes()].concat()
}
