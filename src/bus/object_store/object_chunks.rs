//! The bytes of objects: one message for each chunk, on a subject of its own for each put.

use std::collections::HashSet;
use std::time::Duration;

use async_nats::jetstream::stream::DirectGetErrorKind;
use bytes::Bytes;
use tracing::{debug, warn};

use super::digest::ContentDigest;
use super::object_info::ObjectInfo;
use super::object_store::{Object, ObjectStore};
use crate::bus::error::{BusError, refused_by_server};
use crate::bus::outgoing::Outgoing;
use crate::bus::sequence::StreamSequence;
use crate::bus::subject::Subject;

/// The size of a chunk that the libraries of NATS use.
const CHUNK_BYTES: usize = 128 * 1024;

/// Room for subject and headers below the server's limit for a message.
const HEADER_BYTES: usize = 1024;

/// How often a chunk is asked for while the server doesn't answer.
const TRIES: u32 = 4;

/// The pause before a chunk is asked for again.
const PAUSE: Duration = Duration::from_millis(250);

/// Why the chunks of an object did not come.
pub(crate) enum ReadFault {
    /// They are not what the description says, and why.
    Damaged(String),
    /// Something else.
    Other(BusError),
}

impl ObjectStore {
    /// Removes what interrupted puts have left behind: chunks that no description names and whose last one was stored
    /// before `before_micros` (microseconds since 1970 in UTC). Choose it so that no put can still be under way. Gives the
    /// number of puts that were cleared away.
    ///
    /// # Errors
    /// [`BusError::JetStream`] when the server doesn't answer.
    pub async fn remove_abandoned(&self, before_micros: i64) -> Result<usize, BusError> {
        let prefix = format!("$O.{}.C.", self.bucket);
        // Chunks first: a description that comes in between names chunks that are listed.
        let chunks = self.bus.subjects_in_use(&self.stream, &format!("{prefix}>")).await?;
        let named: HashSet<String> = self.list().await?.into_iter().map(|info| info.id).collect();
        let mut removed = 0;
        for subject in chunks {
            if subject.as_str().strip_prefix(&prefix).is_none_or(|id| named.contains(id)) {
                continue;
            }
            let last = self.bus.last_message(&self.stream, &subject).await?;
            if last.is_some_and(|last| last.published_micros < before_micros) {
                self.bus.remove_messages(&self.stream, &subject, None).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// How many bytes a chunk has, except the last one.
    pub(crate) fn chunk_bytes(&self) -> usize {
        CHUNK_BYTES.min(self.bus.client().max_payload().saturating_sub(HEADER_BYTES)).max(1)
    }

    /// Publishes the bytes in chunks, one after the other: their order in the stream is their order in the object, also
    /// when some have to be sent again.
    pub(crate) async fn send_chunks(&self, id: &str, bytes: &Bytes, chunk_bytes: usize) -> Result<(), BusError> {
        let subject = self.chunk_subject(id)?;
        let mut publisher = self.bus.publisher(1).await?;
        for (number, start) in (0..bytes.len()).step_by(chunk_bytes).enumerate() {
            let chunk = bytes.slice(start..bytes.len().min(start + chunk_bytes));
            publisher.publish(Outgoing::new(subject.clone(), chunk).message_id(format!("{id}-{number}"))).await?;
        }
        publisher.settle().await?;
        // A chunk that is sent again after the server has forgotten its id is stored twice.
        let (sent, stored) = (bytes.len().div_ceil(chunk_bytes), self.count_chunks(&subject).await?);
        if sent == stored {
            return Ok(());
        }
        let reason = format!("{stored} chunks instead of {sent} are stored, the connection was down for too long");
        Err(refused_by_server("write to", &self.stream, &reason))
    }

    async fn count_chunks(&self, subject: &Subject) -> Result<usize, BusError> {
        let counted = self.bus.messages_by_subject(&self.stream, subject.as_str()).await?;
        Ok(counted.into_iter().map(|(_, count)| count).sum())
    }

    pub(crate) async fn read_chunks(&self, info: &ObjectInfo) -> Result<Bytes, ReadFault> {
        let subject = self.chunk_subject(&info.id).map_err(ReadFault::Other)?;
        let mut bytes = Vec::with_capacity(usize::try_from(info.bytes).unwrap_or_default());
        let mut from = StreamSequence::FIRST;
        for number in 1..=info.chunks {
            let next = self.next_chunk(&subject, from).await.map_err(ReadFault::Other)?;
            let Some((sequence, chunk)) = next else {
                return Err(ReadFault::Damaged(format!("chunk {number} of {} is missing", info.chunks)));
            };
            bytes.extend_from_slice(&chunk);
            from = sequence.next();
            if bytes.len() as u64 > info.bytes {
                break;
            }
        }
        if bytes.len() as u64 == info.bytes {
            return Ok(bytes.into());
        }
        Err(ReadFault::Damaged(format!("its chunks are not the {} bytes that it should have", info.bytes)))
    }

    pub(crate) async fn check_digest(&self, info: ObjectInfo, bytes: Bytes) -> Result<Object, BusError> {
        let found = ContentDigest::of_many(&bytes).await;
        if found.to_object_store() == info.digest {
            return Ok(Object { info, bytes });
        }
        let (expected, found) = (info.digest, found.to_object_store());
        Err(BusError::ObjectDigest { bucket: self.bucket.clone(), name: info.name, expected, found })
    }

    /// Frees the space of chunks that nothing names. That it fails takes nothing from what was stored.
    pub(crate) async fn remove_chunks(&self, id: &str) {
        let removed = match self.chunk_subject(id) {
            Ok(subject) => self.bus.remove_messages(&self.stream, &subject, None).await,
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            warn!(bucket = self.bucket, id, %error, "chunks of no use stay in the object store");
        }
    }

    /// The first chunk at or after a position, and where it is.
    async fn next_chunk(
        &self,
        subject: &Subject,
        from: StreamSequence,
    ) -> Result<Option<(StreamSequence, Bytes)>, BusError> {
        let refuse = |error: &dyn std::fmt::Display| refused_by_server("read", &self.stream, error);
        let stream = self.bus.jetstream().get_stream_no_info(&self.stream).await.map_err(|error| refuse(&error))?;
        let mut tries = 0;
        loop {
            self.bus.connection().up().await?;
            let error = match stream.direct_get_next_for_subject(subject.as_str(), Some(from.0)).await {
                Ok(message) => return Ok(Some((StreamSequence(message.sequence), message.payload))),
                Err(error) => error,
            };
            tries += 1;
            match error.kind() {
                DirectGetErrorKind::NotFound => return Ok(None),
                DirectGetErrorKind::TimedOut | DirectGetErrorKind::Request if tries < TRIES => {
                    debug!(%subject, %error, tries, "no answer: asking again");
                    tokio::time::sleep(PAUSE).await;
                }
                _ => return Err(refuse(&error)),
            }
        }
    }

    fn chunk_subject(&self, id: &str) -> Result<Subject, BusError> {
        Subject::new(format!("$O.{}.C.{id}", self.bucket))
    }
}
