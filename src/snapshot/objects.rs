//! A bucket of an object store, below a prefix.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode};

/// Objects whose names begin with the prefix.
#[derive(Debug, Clone)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: String,
}

impl Objects {
    pub(super) fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self { store, prefix: prefix.trim_matches('/').to_owned() }
    }

    /// An object is there as a whole when the store has said so, and never in part.
    pub(super) async fn put(&self, name: &str, bytes: Bytes) -> io::Result<()> {
        self.store.put(&self.path(name), bytes.into()).await.map(drop).map_err(into_io)
    }

    /// Puts an object that is not there yet.
    pub(super) async fn create(&self, name: &str, bytes: Bytes) -> io::Result<()> {
        let put = self.store.put_opts(&self.path(name), bytes.into(), PutMode::Create.into()).await;
        put.map(drop).map_err(into_io)
    }

    pub(super) async fn get(&self, name: &str) -> io::Result<Bytes> {
        self.store.get(&self.path(name)).await.map_err(into_io)?.bytes().await.map_err(into_io)
    }

    /// Exactly these bytes of an object.
    pub(super) async fn read(&self, name: &str, range: Range<u64>) -> io::Result<Bytes> {
        let path = self.path(name);
        match self.store.get_range(&path, range.clone()).await {
            Ok(bytes) if bytes.len() as u64 == range.end - range.start => Ok(bytes),
            Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => {
                // Stores answer a range past the end in ways of their own.
                let is_short = self.store.head(&path).await.is_ok_and(|found| found.size < range.end);
                Err(if is_short { io::ErrorKind::UnexpectedEof.into() } else { into_io(error) })
            }
        }
    }

    /// The names of the objects in a folder of the prefix.
    pub(super) async fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let objects = self.store.list(Some(&self.path(folder)));
        let names = objects.map_ok(|object| object.location.filename().unwrap_or_default().to_owned());
        names.try_collect().await.map_err(into_io)
    }

    /// Removes an object; one that is not there has been removed already.
    pub(super) async fn delete(&self, name: &str) -> io::Result<()> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(into_io(error)),
        }
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.prefix))
    }
}

/// The error with the kind that matters to us; a full disk may be deep inside.
fn into_io(error: Error) -> io::Error {
    let kind = match &error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => io::ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        other => {
            let causes = std::iter::successors(std::error::Error::source(other), |cause| cause.source());
            let mut kinds = causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
            // These two have a meaning of their own here.
            kinds
                .find(|kind| !matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound))
                .unwrap_or(io::ErrorKind::Other)
        }
    };
    io::Error::new(kind, error)
}
