//! The few operations that snapshots need of a place, on a folder or on an object store.

use std::fmt;
use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::error::SnapshotError;
use super::folder::Folder;
use super::objects::Objects;
use super::pack::{MANIFESTS, PACKS};

/// Where manifests and packs lie.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    place: Place,
    /// What errors call it.
    location: String,
}

#[derive(Debug, Clone)]
enum Place {
    Folder(Folder),
    Objects(Objects),
}

impl Shelf {
    pub(super) async fn folder(folder: Folder) -> Result<Self, SnapshotError> {
        let location = folder.root().display().to_string();
        let shelf = Self { place: Place::Folder(folder.clone()), location };
        let made = blocking(move || folder.make(MANIFESTS).and_then(|()| folder.make(PACKS))).await;
        made.map_err(|error| shelf.error("made", "the folder", error))?;
        Ok(shelf)
    }

    pub(super) fn objects(objects: Objects, location: String) -> Self {
        Self { place: Place::Objects(objects), location }
    }

    /// Puts bytes under a name, in place of any that are there; they are durable when it returns.
    pub(super) async fn put(&self, name: String, bytes: Bytes) -> Result<(), SnapshotError> {
        let put = match &self.place {
            Place::Folder(folder) => {
                let (folder, name) = (folder.clone(), name.clone());
                blocking(move || folder.put(&name, &bytes)).await
            }
            Place::Objects(objects) => objects.put(&name, bytes).await,
        };
        put.map_err(|error| self.error("written", &name, error))
    }

    /// Puts bytes under a name that nothing has; whether it was so. They are durable when it returns.
    pub(super) async fn create(&self, name: &str, bytes: Bytes) -> Result<bool, SnapshotError> {
        let created = match &self.place {
            Place::Folder(folder) => {
                let (folder, name) = (folder.clone(), name.to_owned());
                blocking(move || folder.create(&name, &bytes)).await
            }
            Place::Objects(objects) => objects.create(name, bytes).await,
        };
        match created {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(self.error("written", name, error)),
        }
    }

    /// All bytes under a name; none if nothing has the name.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Bytes>, SnapshotError> {
        let got = match &self.place {
            Place::Folder(folder) => {
                let (folder, name) = (folder.clone(), name.to_owned());
                blocking(move || folder.get(&name)).await
            }
            Place::Objects(objects) => objects.get(name).await,
        };
        match got {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.error("read", name, error)),
        }
    }

    /// Exactly these bytes. A missing name is [`io::ErrorKind::NotFound`], an early end [`io::ErrorKind::UnexpectedEof`].
    pub(super) async fn read(&self, name: &str, range: Range<u64>) -> io::Result<Bytes> {
        match &self.place {
            Place::Folder(folder) => {
                let (folder, name) = (folder.clone(), name.to_owned());
                blocking(move || folder.read(&name, range)).await
            }
            Place::Objects(objects) => objects.read(name, range).await,
        }
    }

    /// The file names in a folder, sorted.
    pub(super) async fn list(&self, folder: &'static str) -> Result<Vec<String>, SnapshotError> {
        let listed = match &self.place {
            Place::Folder(place) => {
                let place = place.clone();
                blocking(move || place.list(folder)).await
            }
            Place::Objects(objects) => objects.list(folder).await,
        };
        let mut names = listed.map_err(|error| self.error("listed", folder, error))?;
        names.sort_unstable();
        Ok(names)
    }

    /// Removes a name, if it is there.
    pub(super) async fn delete(&self, name: &str) -> Result<(), SnapshotError> {
        let deleted = match &self.place {
            Place::Folder(folder) => {
                let (folder, name) = (folder.clone(), name.to_owned());
                blocking(move || folder.delete(&name)).await
            }
            Place::Objects(objects) => objects.delete(name).await,
        };
        deleted.map_err(|error| self.error("deleted", name, error))
    }

    pub(super) fn error(&self, what: &'static str, name: &str, source: io::Error) -> SnapshotError {
        SnapshotError::Store { what, name: name.to_owned(), location: self.location.clone(), source }
    }
}

impl fmt::Display for Shelf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.location)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
