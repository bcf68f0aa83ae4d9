//! Copies of models in a folder: a restart does not fetch again what it had.
//!
//! A copy is written beside its place, made durable and renamed, so that it is there whole or not at all; it is trusted only
//! by its digest. None of this can fail a caller: without a usable copy the store is asked.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tracing::warn;

use super::RegistryError;
use crate::bus::ContentDigest;
use crate::model::ModelVersion;

/// A folder with a file `<version>.onnx` for each copy.
#[derive(Clone, Debug)]
pub(super) struct LocalCopies {
    folder: PathBuf,
}

impl LocalCopies {
    /// Makes the folder if it is missing.
    pub(super) async fn open(folder: PathBuf) -> Result<Self, RegistryError> {
        match tokio::fs::create_dir_all(&folder).await {
            Ok(()) => Ok(Self { folder }),
            Err(source) => Err(RegistryError::Folder { path: folder, source }),
        }
    }

    /// The copy of a version, if there is one with this digest.
    pub(super) async fn read(&self, version: &ModelVersion, digest: ContentDigest) -> Option<Bytes> {
        let path = self.path(version);
        let bytes = match tokio::fs::read(&path).await {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(path = %path.display(), %error, "a local copy can't be read: fetching the model");
                return None;
            }
        };
        let found = ContentDigest::of_many(&bytes).await;
        if found == digest {
            return Some(bytes);
        }
        warn!(path = %path.display(), %found, expected = %digest, "a local copy is damaged: fetching the model");
        None
    }

    /// Keeps a copy; that it can't be written is a warning.
    pub(super) async fn keep(&self, version: &ModelVersion, bytes: Bytes) {
        let (path, temporary) = (self.path(version), self.folder.join(format!(".{version}.tmp")));
        let write = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || write_whole(&path, &temporary, &bytes))
        };
        let reason = match write.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        warn!(path = %path.display(), reason, "no local copy of the model is kept");
    }

    /// Removes a copy, if there is one.
    pub(super) async fn remove(&self, version: &ModelVersion) {
        let path = self.path(version);
        match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(path = %path.display(), %error, "a local copy of no use stays");
            }
            _ => {}
        }
    }

    fn path(&self, version: &ModelVersion) -> PathBuf {
        self.folder.join(format!("{version}.onnx"))
    }
}

/// Writes a file that is there whole or not at all, also after a power cut.
fn write_whole(path: &Path, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_copy_is_given_only_with_the_right_digest() {
        let folder = tempfile::tempdir().unwrap();
        let copies = LocalCopies::open(folder.path().join("a/b")).await.unwrap();
        let (bytes, version) = (Bytes::from_static(b"model"), ModelVersion::of(b"model"));
        let digest = ContentDigest::of(&bytes);
        assert_eq!(copies.read(&version, digest).await, None);
        copies.keep(&version, bytes.clone()).await;
        assert_eq!(copies.read(&version, digest).await, Some(bytes));
        assert_eq!(copies.read(&version, ContentDigest::of(b"other")).await, None);
        copies.remove(&version).await;
        copies.remove(&version).await;
        assert_eq!(copies.read(&version, digest).await, None);
    }

    #[tokio::test]
    async fn a_copy_that_cannot_be_written_fails_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let copies = LocalCopies::open(folder.path().join("models")).await.unwrap();
        fs::remove_dir(folder.path().join("models")).unwrap();
        let version = ModelVersion::of(b"model");
        copies.keep(&version, Bytes::from_static(b"model")).await;
        assert_eq!(copies.read(&version, ContentDigest::of(b"model")).await, None);

        fs::write(folder.path().join("file"), "").unwrap();
        let error = LocalCopies::open(folder.path().join("file/models")).await.unwrap_err();
        assert!(matches!(error, RegistryError::Folder { .. }), "{error}");
    }
}
