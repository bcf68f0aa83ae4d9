//! Objects of any size in a bucket: files in chunks, with a digest.
//!
//! ```text
//!   put ──▶ chunks on $O.<bucket>.C.<new id> ──▶ all acknowledged ──▶ description on $O.<bucket>.M.<name> ──▶ old chunks go
//!                                                                      │ replaces the old one at once
//!   get ◀── digest checked ◀── chunks of the id ◀─────────── description
//! ```
//!
//! A bucket is a stream `OBJ_<bucket>` as the client libraries of NATS and `nats object` have it (NATS architecture
//! decision record 20). Readers see the old object or the new one: what was interrupted has chunks and no description.
//! Everything is asked for and answered; nothing here waits for messages that might never come.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use bytes::Bytes;
use tracing::{debug, warn};

use super::digest::{ContentDigest, base64url};
use super::object_chunks::ReadFault;
use super::object_info::{Described, Description, ObjectInfo, Options};
use crate::bus::bus::Bus;
use crate::bus::error::{BusError, refused_by_server};
use crate::bus::key_value::{Condition, check_bucket_name};
use crate::bus::outgoing::Outgoing;
use crate::bus::sequence::StreamSequence;
use crate::bus::subject::Subject;

/// For how long a repeated chunk is known as one.
const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);

/// How often something is tried again because another writer was faster.
const TRIES: u32 = 16;

/// A bucket of objects; clones share the connection.
#[derive(Clone)]
pub struct ObjectStore {
    pub(crate) bus: Bus,
    pub(crate) bucket: String,
    pub(crate) stream: String,
}

/// The shape of a bucket of objects: kept in files, nothing expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectStoreSpec {
    /// The bucket's name: letters, digits, `_` and `-`.
    pub bucket: String,
    /// All objects together; `None`: no limit but the disk's. A full bucket refuses objects.
    pub max_bytes: Option<u64>,
    /// On how many servers of a cluster it is kept when we create it (1, 3 or 5). That of an existing one is left to whoever
    /// runs the cluster.
    pub replicas: usize,
}

/// An object that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What is known about it.
    pub info: ObjectInfo,
    /// The bytes as they were stored.
    pub bytes: Bytes,
}

impl Bus {
    /// The bucket, created if there is none of its name; otherwise its shape is checked.
    ///
    /// # Errors
    /// [`BusError::InvalidName`]; [`BusError::StreamDiffers`] when it exists with another shape; [`BusError::JetStream`]
    /// when the server refuses or doesn't answer.
    pub async fn object_store(&self, spec: &ObjectStoreSpec) -> Result<ObjectStore, BusError> {
        check_bucket_name(&spec.bucket)?;
        self.ensure_config(spec.to_config()).await?;
        let stream = spec.stream();
        Ok(ObjectStore { bus: self.clone(), bucket: spec.bucket.clone(), stream })
    }
}

impl ObjectStore {
    /// Stores an object under a name, instead of one that has the name already. Waits while the connection is down.
    ///
    /// # Errors
    /// [`BusError::InvalidName`] for an empty name; [`BusError::Unacknowledged`] or [`BusError::JetStream`] when the server
    /// refuses (a full bucket) or doesn't answer, and then the old object is what it was. [`BusError::Closed`].
    pub async fn put(&self, name: &str, bytes: Bytes, metadata: BTreeMap<String, String>) -> Result<(), BusError> {
        let subject = self.description_subject(name)?;
        let id = self.bus.unique_id();
        let chunk_bytes = self.chunk_bytes();
        let stored = async {
            let description = Description {
                name: name.to_owned(),
                metadata,
                options: Some(Options { max_chunk_size: Some(chunk_bytes as u64), link: None }),
                bucket: self.bucket.clone(),
                digest: ContentDigest::of_many(&bytes).await.to_object_store(),
                size: bytes.len() as u64,
                chunks: bytes.len().div_ceil(chunk_bytes) as u64,
                nuid: id.clone(),
                deleted: false,
            };
            self.send_chunks(&id, &bytes, chunk_bytes).await?;
            self.describe(&subject, &description).await
        };
        match stored.await {
            Ok((replaced, _)) => {
                if let Some(old) = replaced {
                    self.remove_chunks(&old.id).await;
                }
                Ok(())
            }
            Err(error) => {
                self.remove_chunks(&id).await;
                Err(error)
            }
        }
    }

    /// The object's bytes, whose digest is that of the bytes which were stored. One larger than `limit` bytes is not read.
    ///
    /// # Errors
    /// [`BusError::ObjectNotFound`], [`BusError::ObjectTooLarge`]; [`BusError::ObjectDamaged`] and
    /// [`BusError::ObjectDigest`] when chunks are missing or altered; [`BusError::JetStream`] when the server doesn't
    /// answer, or others replace the object all the time.
    pub async fn get(&self, name: &str, limit: u64) -> Result<Object, BusError> {
        let mut tries = 0;
        loop {
            let info = self.info(name).await?.ok_or_else(|| self.not_found(name))?;
            if info.bytes > limit {
                let (bucket, name) = (self.bucket.clone(), info.name);
                return Err(BusError::ObjectTooLarge { bucket, name, bytes: info.bytes, limit });
            }
            let reason = match self.read_chunks(&info).await {
                Ok(bytes) => return self.check_digest(info, bytes).await,
                Err(ReadFault::Damaged(reason)) => reason,
                Err(ReadFault::Other(error)) => return Err(error),
            };
            tries += 1;
            // Replaced while it was read: its chunks went.
            if self.info(name).await?.is_some_and(|now| now.id == info.id) {
                return Err(self.damaged(name, reason));
            }
            if tries >= TRIES {
                let reason = format!("object {name:?} was replaced at each of {tries} tries to read it");
                return Err(refused_by_server("read", &self.stream, &reason));
            }
            debug!(bucket = self.bucket, name, "the object was replaced while it was read: reading the new one");
        }
    }

    /// What is known about an object, if there is one of this name.
    ///
    /// # Errors
    /// [`BusError::InvalidName`]; [`BusError::ObjectDamaged`] for a description that can't be read;
    /// [`BusError::JetStream`] when the server doesn't answer.
    pub async fn info(&self, name: &str) -> Result<Option<ObjectInfo>, BusError> {
        let Some(last) = self.bus.last_message(&self.stream, &self.description_subject(name)?).await? else {
            return Ok(None);
        };
        match Described::read(&last) {
            Described::Object(info) => Ok(Some(info)),
            Described::Deleted => Ok(None),
            Described::Unusable(reason) => Err(self.damaged(name, reason)),
        }
    }

    /// All objects in the order of their names. What can't be read is left out with a warning.
    ///
    /// # Errors
    /// [`BusError::JetStream`] when the server doesn't answer.
    pub async fn list(&self) -> Result<Vec<ObjectInfo>, BusError> {
        let mut found = Vec::new();
        for subject in self.bus.subjects_in_use(&self.stream, &format!("$O.{}.M.>", self.bucket)).await? {
            let Some(last) = self.bus.last_message(&self.stream, &subject).await? else { continue };
            match Described::read(&last) {
                Described::Object(info) => found.push(info),
                Described::Deleted => {}
                Described::Unusable(reason) => warn!(bucket = self.bucket, %subject, reason, "not an object of ours"),
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// Deletes an object; `false`: there was none of this name.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn delete(&self, name: &str) -> Result<bool, BusError> {
        let subject = self.description_subject(name)?;
        let Some(last) = self.bus.last_message(&self.stream, &subject).await? else { return Ok(false) };
        if matches!(Described::read(&last), Described::Deleted) {
            return Ok(false);
        }
        let mark = Description {
            name: name.to_owned(),
            metadata: BTreeMap::new(),
            options: None,
            bucket: self.bucket.clone(),
            nuid: String::new(),
            size: 0,
            chunks: 0,
            digest: String::new(),
            deleted: true,
        };
        let (deleted, marked) = self.describe(&subject, &mark).await?;
        if let Some(old) = deleted {
            self.remove_chunks(&old.id).await;
        }
        // The mark has been seen by whoever watches; kept, marks would add up and be read by every listing.
        self.bus.remove_messages(&self.stream, &subject, Some(marked)).await?;
        Ok(true)
    }

    /// Puts a description instead of the one that is there, which is given back with the new one's place.
    async fn describe(
        &self,
        subject: &Subject,
        new: &Description,
    ) -> Result<(Option<ObjectInfo>, StreamSequence), BusError> {
        let payload = serde_json::to_vec(new).map_err(|error| refused_by_server("describe", &self.stream, &error))?;
        let payload = Bytes::from(payload);
        let mut tries = 0;
        loop {
            let last = self.bus.last_message(&self.stream, subject).await?;
            let below = last.as_ref().map_or(StreamSequence(0), |last| last.sequence);
            let message = Outgoing::new(subject.clone(), payload.clone()).header("Nats-Rollup", "sub");
            tries += 1;
            match self.bus.store_if_last(&self.stream, message, below).await? {
                Condition::At(sequence) => {
                    let replaced = match last.as_ref().map(Described::read) {
                        Some(Described::Object(old)) => Some(old),
                        _ => None,
                    };
                    return Ok((replaced, sequence));
                }
                Condition::Changed(last) if tries >= TRIES => {
                    let reason = format!("others write {:?} all the time, last at {last}", new.name);
                    return Err(refused_by_server("write to", &self.stream, &reason));
                }
                Condition::Changed(_) => {}
            }
        }
    }

    fn description_subject(&self, name: &str) -> Result<Subject, BusError> {
        if name.is_empty() {
            return Err(BusError::InvalidName { what: "object", name: String::new(), reason: "it is empty" });
        }
        Subject::new(format!("$O.{}.M.{}", self.bucket, base64url(name.as_bytes())))
    }

    fn not_found(&self, name: &str) -> BusError {
        BusError::ObjectNotFound { bucket: self.bucket.clone(), name: name.to_owned() }
    }

    pub(crate) fn damaged(&self, name: &str, reason: String) -> BusError {
        BusError::ObjectDamaged { bucket: self.bucket.clone(), name: name.to_owned(), reason }
    }
}

impl ObjectStoreSpec {
    fn stream(&self) -> String {
        stream(&self.bucket)
    }

    fn to_config(&self) -> Config {
        Config {
            name: self.stream(),
            subjects: vec![format!("$O.{}.C.>", self.bucket), format!("$O.{}.M.>", self.bucket)],
            max_messages: -1,
            max_messages_per_subject: -1,
            max_message_size: -1,
            max_bytes: self.max_bytes.map_or(-1, |bytes| bytes as i64),
            duplicate_window: DUPLICATE_WINDOW,
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            allow_rollup: true,
            allow_direct: true,
            num_replicas: self.replicas.max(1),
            ..Config::default()
        }
    }
}

/// The stream that holds a bucket of objects.
pub(crate) fn stream(bucket: &str) -> String {
    format!("OBJ_{bucket}")
}

#[cfg(test)]
mod tests;
