//! Writing and reading whole snapshots, and an object store that fails when it is told to.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::{RngExt as _, SeedableRng as _};

use super::draft::Written;
use super::{Generation, SnapshotError, SnapshotStore};

/// The parts of a state.
pub(super) type Parts = BTreeMap<String, Vec<u8>>;

pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rand_chacha::ChaCha8Rng::seed_from_u64(seed).fill(bytes.as_mut_slice());
    bytes
}

pub(super) fn parts<const N: usize>(parts: [(&str, Vec<u8>); N]) -> Parts {
    parts.map(|(name, bytes)| (name.to_owned(), bytes)).into()
}

/// Writes a snapshot's packs.
pub(super) async fn write(
    store: &SnapshotStore,
    parts: &Parts,
    head: &'static str,
) -> std::result::Result<Written, SnapshotError> {
    let mut draft = store.begin()?;
    let parts = parts.clone();
    let filled = tokio::task::spawn_blocking(move || {
        let filled = parts.iter().try_for_each(|(name, bytes)| {
            let mut writer = draft.part(name).unwrap();
            bytes.chunks(300_000).try_for_each(|piece| writer.write_all(piece))?;
            writer.finish()
        });
        (draft, filled)
    });
    let (draft, filled) = filled.await.unwrap();
    let written = draft.write(head).await;
    assert!(filled.is_ok() || written.is_err());
    written
}

/// Writes and publishes a snapshot.
pub(super) async fn save(store: &SnapshotStore, parts: &Parts) -> Written {
    let written = write(store, parts, "head").await.unwrap();
    store.publish(&written).await.unwrap();
    written
}

/// Reads every part to its end.
pub(super) async fn read(generation: &Generation) -> io::Result<Parts> {
    let generation = generation.clone();
    let read = tokio::task::spawn_blocking(move || {
        let names: Vec<_> = generation.parts().map(|(name, _)| name.to_owned()).collect();
        let read = names.into_iter().map(|name| {
            let mut bytes = Vec::new();
            generation.part(&name).unwrap().read_to_end(&mut bytes)?;
            Ok((name, bytes))
        });
        read.collect()
    });
    read.await.unwrap()
}

/// The generations, all of which can be used.
pub(super) async fn sound(store: &SnapshotStore) -> Vec<Generation> {
    store.generations().await.unwrap().into_iter().map(std::result::Result::unwrap).collect()
}

/// Names and lengths of what is in a folder of the store.
pub(super) async fn listing(store: &dyn ObjectStore, folder: &str) -> Vec<(String, u64)> {
    let found: Vec<ObjectMeta> = store.list(Some(&Path::from(folder))).try_collect().await.unwrap();
    let mut found: Vec<_> = found.into_iter().map(|object| (object.location.to_string(), object.size)).collect();
    found.sort();
    found
}

/// Replaces bytes of an object.
pub(super) async fn change(store: &dyn ObjectStore, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = Path::from(name);
    let mut bytes = store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    change(&mut bytes);
    store.put(&path, bytes.into()).await.unwrap();
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing is done, and the answer is an error.
    Refused,
    /// It is done, and the answer is an error.
    AnswerLost,
    /// The answer to a read has fewer bytes than there are.
    ShortRead,
    /// Nothing more can be written.
    Full,
}

/// An object store in memory that counts what it is asked, and fails at one request or from one on.
#[derive(Debug)]
pub(super) struct Faulty {
    inner: Arc<InMemory>,
    fault: Fault,
    at: usize,
    lasting: bool,
    asked: AtomicUsize,
}

impl Faulty {
    pub(super) fn new(inner: Arc<InMemory>, fault: Fault, at: usize, lasting: bool) -> Self {
        Self { inner, fault, at, lasting, asked: AtomicUsize::new(0) }
    }

    /// Whether the faulty request has come.
    pub(super) fn has_failed(&self) -> bool {
        self.asked.load(Ordering::SeqCst) >= self.at
    }

    fn next(&self) -> Option<Fault> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        (asked == self.at || self.lasting && asked > self.at).then_some(self.fault)
    }

    fn error() -> Error {
        Error::Generic { store: "faulty", source: "connection reset".into() }
    }

    async fn between<T>(&self, writes: bool, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.next() {
            Some(Fault::Refused) => Err(Self::error()),
            Some(Fault::AnswerLost) => {
                work.await?;
                Err(Self::error())
            }
            Some(Fault::Full) if writes => {
                Err(Error::Generic { store: "faulty", source: io::Error::from(io::ErrorKind::StorageFull).into() })
            }
            _ => work.await,
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("faulty")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, bytes: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.between(true, self.inner.put_opts(path, bytes, options)).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let is_short = self.fault == Fault::ShortRead && {
            let asked = self.asked.load(Ordering::SeqCst) + 1;
            asked == self.at || self.lasting && asked > self.at
        };
        let mut got = self.between(false, self.inner.get_opts(path, options)).await?;
        if is_short {
            let (meta, range, attributes) = (got.meta.clone(), got.range.clone(), got.attributes.clone());
            let bytes: Bytes = got.bytes().await?;
            let bytes = bytes.slice(..bytes.len() / 2);
            let payload = GetResultPayload::Stream(futures::stream::iter([Ok(bytes)]).boxed());
            got = GetResult { payload, meta, range, attributes };
        }
        Ok(got)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.next() {
            Some(Fault::Refused) => futures::stream::iter([Err(Self::error())]).boxed(),
            Some(Fault::AnswerLost) => {
                let done = self.inner.delete_stream(paths);
                done.map(|result| result.and_then(|_| Err(Self::error()))).boxed()
            }
            _ => self.inner.delete_stream(paths),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.next() {
            Some(Fault::Refused | Fault::AnswerLost) => futures::stream::iter([Err(Self::error())]).boxed(),
            _ => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
