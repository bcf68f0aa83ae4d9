//! The trainer's checkpoint: what training goes on with after a crash. Two generations, of which the newest whole one counts.
//!
//! ```text
//!   8 bytes    32 bytes                8 bytes            the rest
//!   TWTRAIN1 │ SHA-256 of what follows │ generation (LE) │ content
//! ```
//!
//! Generations take turns in two objects, so that a save never touches the newest one.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tracing::warn;

use super::RegistryError;
use super::models::Registry;
use crate::bus::{BusError, ContentDigest};

/// The two objects.
const OBJECTS: [&str; 2] = ["checkpoint.a", "checkpoint.b"];

/// The object that says why training has stopped.
const STOPPED: &str = "stopped";

/// The most of it that is read.
const LARGEST_REASON: u64 = 1 << 20;

/// The object's metadata that holds the generation, so that a save needs not read the content.
const GENERATION: &str = "tidewheel.generation";

const MAGIC: &[u8; 8] = b"TWTRAIN1";
const DIGEST_BYTES: usize = 32;

/// The largest checkpoint that is read: weights and the state of the optimiser.
const LARGEST: u64 = 16 << 30;

impl Registry {
    /// Saves the trainer's state instead of the last but one. A save that is interrupted leaves what was there. One trainer
    /// saves at a time.
    ///
    /// # Errors
    /// [`RegistryError::Bus`] when the server refuses or doesn't answer; the newest checkpoint is then the one before.
    pub async fn save_checkpoint(&self, content: &[u8]) -> Result<(), RegistryError> {
        let [one, other] = OBJECTS;
        let (a, b) = (self.generation(one).await?, self.generation(other).await?);
        let object = if a <= b { one } else { other };
        let generation = a.max(b).unwrap_or(0).saturating_add(1);
        let metadata = BTreeMap::from([(GENERATION.to_owned(), generation.to_string())]);
        Ok(self.models.put(object, framed(generation, content).await, metadata).await?)
    }

    /// Keeps a batch of examples that could not be learnt from, for a person to look at: `skipped.<position>`.
    ///
    /// # Errors
    /// [`RegistryError::Bus`] when the server refuses or doesn't answer.
    pub async fn keep_skipped(&self, position: u64, examples: Bytes) -> Result<(), RegistryError> {
        Ok(self.models.put(&format!("skipped.{position}"), examples, BTreeMap::new()).await?)
    }

    /// Notes why training has stopped, so that its next start can say so.
    ///
    /// # Errors
    /// [`RegistryError::Bus`] when the server refuses or doesn't answer.
    pub(crate) async fn note_stopped(&self, reason: &str) -> Result<(), RegistryError> {
        Ok(self.models.put(STOPPED, reason.to_owned().into(), BTreeMap::new()).await?)
    }

    /// Why training has stopped by itself, if it has, and was not started again since.
    ///
    /// # Errors
    /// [`RegistryError::Bus`] when the server refuses or doesn't answer.
    pub(crate) async fn stopped(&self) -> Result<Option<String>, RegistryError> {
        match self.models.get(STOPPED, LARGEST_REASON).await {
            Ok(object) => Ok(Some(String::from_utf8_lossy(&object.bytes).into_owned())),
            Err(BusError::ObjectNotFound { .. }) => Ok(None),
            // It is for people to read, and stops nobody.
            Err(BusError::ObjectDamaged { .. } | BusError::ObjectDigest { .. }) => {
                Ok(Some("the note of why is damaged".to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// As [`stopped`](Self::stopped), and forgets it.
    ///
    /// # Errors
    /// [`RegistryError::Bus`] when the server refuses or doesn't answer.
    pub(crate) async fn take_stopped(&self) -> Result<Option<String>, RegistryError> {
        let stopped = self.stopped().await?;
        if stopped.is_some() {
            self.models.delete(STOPPED).await?;
        }
        Ok(stopped)
    }

    /// The newest trainer's state that is whole; `None`: none was ever saved.
    ///
    /// # Errors
    /// [`RegistryError::CheckpointsDamaged`] when there are some and none is whole; [`RegistryError::Bus`] when the server
    /// doesn't answer.
    pub async fn load_checkpoint(&self) -> Result<Option<Bytes>, RegistryError> {
        let [one, other] = OBJECTS;
        let (a, b) = (self.generation(one).await?, self.generation(other).await?);
        let newest_first = if a <= b { [other, one] } else { [one, other] };
        let mut reasons = Vec::new();
        for object in newest_first {
            let reason = match self.models.get(object, LARGEST).await {
                Ok(object) => match unframed(object.bytes).await {
                    Ok(content) => return Ok(Some(content)),
                    Err(reason) => format!("{}: {reason}", object.info.name),
                },
                Err(BusError::ObjectNotFound { .. }) => continue,
                Err(error @ (BusError::ObjectDamaged { .. } | BusError::ObjectDigest { .. })) => error.to_string(),
                Err(error) => return Err(error.into()),
            };
            warn!(pipeline = self.pipeline, reason, "a checkpoint of the trainer can't be used");
            reasons.push(reason);
        }
        if reasons.is_empty() { Ok(None) } else { Err(RegistryError::CheckpointsDamaged { reasons }) }
    }

    /// Which generation an object says that it is; `None`: it isn't there or can't be read.
    async fn generation(&self, object: &str) -> Result<Option<u64>, RegistryError> {
        match self.models.info(object).await {
            Ok(info) => Ok(info.and_then(|info| info.metadata.get(GENERATION)?.parse().ok())),
            Err(BusError::ObjectDamaged { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

async fn framed(generation: u64, content: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(8 + content.len());
    body.put_u64_le(generation);
    body.put_slice(content);
    let body = body.freeze();
    let digest = ContentDigest::of_many(&body).await;
    let mut framed = BytesMut::with_capacity(MAGIC.len() + DIGEST_BYTES + body.len());
    framed.put_slice(MAGIC);
    framed.put_slice(digest.as_bytes());
    framed.put_slice(&body);
    framed.freeze()
}

/// The content, or why it can't be used.
async fn unframed(mut framed: Bytes) -> Result<Bytes, String> {
    if framed.len() < MAGIC.len() + DIGEST_BYTES + 8 || framed.split_to(MAGIC.len()) != MAGIC[..] {
        return Err("not a checkpoint of this version".to_owned());
    }
    let expected = framed.split_to(DIGEST_BYTES);
    let found = ContentDigest::of_many(&framed).await;
    if expected != found.as_bytes()[..] {
        return Err("its digest is not that of its content".to_owned());
    }
    framed.advance(8);
    Ok(framed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::testing::alter_object;
    use crate::registry::testing::registry;

    fn content(number: u8) -> Bytes {
        vec![number; 300_000].into()
    }

    #[tokio::test]
    async fn the_newest_checkpoint_is_loaded() {
        let (server, registry) = registry().await;
        assert_eq!(registry.load_checkpoint().await.unwrap(), None);
        for number in 0..5 {
            registry.save_checkpoint(&content(number)).await.unwrap();
            assert_eq!(registry.load_checkpoint().await.unwrap(), Some(content(number)));
        }
        assert_eq!(registry.models.list().await.unwrap().len(), 2);
        assert_eq!(registry.list().await.unwrap(), [], "not models");
        registry.save_checkpoint(&[]).await.unwrap();
        assert_eq!(registry.load_checkpoint().await.unwrap(), Some(Bytes::new()));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn why_training_has_stopped_is_told_once() {
        let (server, registry) = registry().await;
        assert_eq!(registry.take_stopped().await.unwrap(), None);
        registry.note_stopped("the label rate fell").await.unwrap();
        registry.note_stopped("the label rate rose").await.unwrap();
        assert_eq!(registry.list().await.unwrap(), [], "no model");
        assert_eq!(registry.stopped().await.unwrap().as_deref(), Some("the label rate rose"));
        assert_eq!(registry.take_stopped().await.unwrap().as_deref(), Some("the label rate rose"));
        assert_eq!(registry.take_stopped().await.unwrap(), None);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_damaged_checkpoint_leaves_the_one_before_and_saving_goes_on() {
        let (server, registry) = registry().await;
        registry.save_checkpoint(&content(1)).await.unwrap();
        registry.save_checkpoint(&content(2)).await.unwrap();
        alter_object(&registry.models, OBJECTS[1]).await;
        assert_eq!(registry.load_checkpoint().await.unwrap(), Some(content(1)));
        alter_object(&registry.models, OBJECTS[0]).await;
        let error = registry.load_checkpoint().await.unwrap_err();
        assert!(matches!(&error, RegistryError::CheckpointsDamaged { reasons } if reasons.len() == 2), "{error}");
        registry.save_checkpoint(&content(3)).await.unwrap();
        assert_eq!(registry.load_checkpoint().await.unwrap(), Some(content(3)));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_save_that_is_interrupted_leaves_the_checkpoint_that_was_there() {
        let (server, registry) = registry().await;
        registry.save_checkpoint(&content(1)).await.unwrap();
        let large = vec![2; 50_000_000];
        let mut save = Box::pin(registry.save_checkpoint(&large));
        // Dropped in the middle, wherever that is.
        for _ in 0..20 {
            assert!(futures::poll!(&mut save).is_pending());
            tokio::task::yield_now().await;
        }
        drop(save);
        assert_eq!(registry.load_checkpoint().await.unwrap(), Some(content(1)));
        registry.remove_abandoned(i64::MAX).await.unwrap();
        assert_eq!(registry.load_checkpoint().await.unwrap(), Some(content(1)));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn bytes_that_are_not_a_whole_checkpoint_are_refused() {
        let whole = framed(7, b"content").await;
        assert_eq!(unframed(whole.clone()).await, Ok(Bytes::from_static(b"content")));
        for length in 0..whole.len() {
            assert!(unframed(whole.slice(..length)).await.is_err(), "{length} bytes");
        }
        for place in 0..whole.len() {
            let mut altered = whole.to_vec();
            altered[place] ^= 1;
            assert!(unframed(altered.into()).await.is_err(), "bit in byte {place}");
        }
    }
}
