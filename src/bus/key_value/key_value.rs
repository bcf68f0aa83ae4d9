//! Key-value buckets: small values that change, each change a compare-and-set.
//!
//! A bucket is a stream `KV_<bucket>` with a subject `$KV.<bucket>.<key>` for each key, as the client libraries of NATS
//! and `nats kv` have it (NATS architecture decision record 8), so that an operator can look at it and mend it.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use bytes::Bytes;

use super::bucket::{check_bucket_name, check_key};
use super::conditional::Condition;
use super::key_watch::KeyWatch;
use super::revision::Revision;
use crate::bus::bus::Bus;
use crate::bus::error::BusError;
use crate::bus::outgoing::Outgoing;
use crate::bus::sequence::StreamSequence;
use crate::bus::stored::StoredMessage;
use crate::bus::subject::Subject;

/// For how long a repeated write is known as one.
const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);

/// How often a key that others keep writing is tried to be deleted.
#[cfg(test)]
const DELETE_TRIES: u32 = 16;

/// What is done to a key, in a header; absent: a value is written.
const OPERATION: &str = "KV-Operation";
const DELETE: &str = "DEL";
const PURGE: &str = "PURGE";

/// The header of a mark that the server itself leaves where it removed a value.
const REMOVED_BY_SERVER: &str = "Nats-Marker-Reason";

/// The shape of a bucket: kept in files, nothing expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValueSpec {
    /// The bucket's name: letters, digits, `_` and `-`.
    pub bucket: String,
    /// How many values of a key the server keeps, 1 to 64; only the newest is read here.
    pub history: u8,
    /// All values together; `None`: no limit but the disk's. A full bucket refuses writes.
    pub max_bytes: Option<u64>,
    /// On how many servers of a cluster it is kept when we create it (1, 3 or 5). That of an existing one is left to whoever
    /// runs the cluster.
    pub replicas: usize,
}

/// A key's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// Which value this is: what [`KeyValue::update`] wants to be told.
    pub revision: Revision,
    /// The bytes as written.
    pub value: Bytes,
}

/// A key-value bucket; clones share the connection.
#[derive(Clone)]
pub struct KeyValue {
    pub(crate) bus: Bus,
    pub(crate) bucket: String,
    pub(crate) stream: String,
}

impl Bus {
    /// The bucket, created if there is none of its name; otherwise its shape is checked.
    ///
    /// # Errors
    /// [`BusError::InvalidName`]; [`BusError::StreamDiffers`] when it exists with another shape; [`BusError::JetStream`]
    /// when the server refuses or doesn't answer.
    pub async fn key_value(&self, spec: &KeyValueSpec) -> Result<KeyValue, BusError> {
        check_bucket_name(&spec.bucket)?;
        self.ensure_config(spec.to_config()).await?;
        Ok(KeyValue::named(self, &spec.bucket))
    }
}

impl KeyValue {
    /// The bucket of a name that is known to be valid.
    pub(crate) fn named(bus: &Bus, bucket: &str) -> Self {
        Self { bus: bus.clone(), bucket: bucket.to_owned(), stream: stream(bucket) }
    }

    /// The key's value, if it has one: what the server that leads the bucket holds at this moment.
    ///
    /// # Errors
    /// [`BusError::InvalidName`]; [`BusError::JetStream`] when the server doesn't answer.
    pub async fn get(&self, key: &str) -> Result<Option<KeyEntry>, BusError> {
        Ok(entry(self.last(&self.subject(key)?).await?))
    }

    /// Writes the first value of a key, or the first since it was deleted.
    ///
    /// # Errors
    /// [`BusError::KeyChanged`] when the key has a value; otherwise as [`update`](Self::update).
    pub async fn create(&self, key: &str, value: Bytes) -> Result<Revision, BusError> {
        let subject = self.subject(key)?;
        let last = self.last(&subject).await?;
        // A mark of deletion is on the subject too and must be the last one.
        let below = last.as_ref().map_or(StreamSequence(0), |last| last.sequence);
        if let Some(found) = entry(last) {
            return Err(self.changed(key, None, Some(found.revision)));
        }
        match self.bus.store_if_last(&self.stream, Outgoing::new(subject, value), below).await? {
            Condition::At(sequence) => Ok(Revision(sequence.0)),
            Condition::Changed(last) => Err(self.changed(key, None, Some(Revision(last.0)))),
        }
    }

    /// Writes a value on top of the one at `expected`, and only there.
    ///
    /// # Errors
    /// [`BusError::KeyChanged`] when the key is at another revision: nothing was written (or it was, and overwritten before
    /// we could see that). [`BusError::TooLarge`]; [`BusError::JetStream`] when the server refuses or doesn't answer;
    /// [`BusError::Closed`].
    pub async fn update(&self, key: &str, value: Bytes, expected: Revision) -> Result<Revision, BusError> {
        let message = Outgoing::new(self.subject(key)?, value);
        match self.bus.store_if_last(&self.stream, message, StreamSequence(expected.0)).await? {
            Condition::At(sequence) => Ok(Revision(sequence.0)),
            Condition::Changed(StreamSequence(0)) => Err(self.changed(key, Some(expected), None)),
            Condition::Changed(last) => Err(self.changed(key, Some(expected), Some(Revision(last.0)))),
        }
    }

    /// Deletes a key's value, whichever it is; `false`: it had none.
    ///
    /// # Errors
    /// [`BusError::KeyChanged`] when others write the key all the time; otherwise as [`update`](Self::update).
    #[cfg(test)]
    pub(crate) async fn delete(&self, key: &str) -> Result<bool, BusError> {
        let subject = self.subject(key)?;
        let mut tries = 0;
        loop {
            let Some(found) = entry(self.last(&subject).await?) else { return Ok(false) };
            tries += 1;
            let mark = Outgoing::new(subject.clone(), Bytes::new()).header(OPERATION, DELETE);
            match self.bus.store_if_last(&self.stream, mark, StreamSequence(found.revision.0)).await? {
                Condition::At(_) => return Ok(true),
                Condition::Changed(last) if tries >= DELETE_TRIES => {
                    return Err(self.changed(key, Some(found.revision), Some(Revision(last.0))));
                }
                Condition::Changed(_) => {}
            }
        }
    }

    /// Follows a key: its value now, then each newer one, whatever happens to the connection.
    ///
    /// # Errors
    /// [`BusError::InvalidName`]; [`BusError::StreamNotFound`] when the bucket is gone; [`BusError::JetStream`] when the
    /// server doesn't answer.
    pub async fn watch(&self, key: &str) -> Result<KeyWatch, BusError> {
        let subject = self.subject(key)?;
        KeyWatch::new(self.bus.clone(), self.stream.clone(), subject).await
    }

    fn subject(&self, key: &str) -> Result<Subject, BusError> {
        check_key(key)?;
        Subject::new(format!("$KV.{}.{key}", self.bucket))
    }

    async fn last(&self, subject: &Subject) -> Result<Option<StoredMessage>, BusError> {
        self.bus.last_message(&self.stream, subject).await
    }

    fn changed(&self, key: &str, expected: Option<Revision>, found: Option<Revision>) -> BusError {
        BusError::KeyChanged { bucket: self.bucket.clone(), key: key.to_owned(), expected, found }
    }
}

impl KeyValueSpec {
    fn to_config(&self) -> Config {
        Config {
            name: stream(&self.bucket),
            subjects: vec![format!("$KV.{}.>", self.bucket)],
            max_messages_per_subject: i64::from(self.history.clamp(1, 64)),
            max_messages: -1,
            max_message_size: -1,
            max_bytes: self.max_bytes.map_or(-1, |bytes| bytes as i64),
            duplicate_window: DUPLICATE_WINDOW,
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            allow_rollup: true,
            allow_direct: true,
            deny_delete: true,
            num_replicas: self.replicas.max(1),
            ..Config::default()
        }
    }
}

/// The stream that holds a bucket.
pub(crate) fn stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}

/// A key's last message as its value, unless the message says that there is none.
pub(crate) fn entry(last: Option<StoredMessage>) -> Option<KeyEntry> {
    let last = last?;
    let deleted = matches!(last.header(OPERATION), Some(DELETE | PURGE)) || last.header(REMOVED_BY_SERVER).is_some();
    (!deleted).then_some(KeyEntry { revision: Revision(last.sequence.0), value: last.payload })
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;
    use crate::bus::testing;

    #[tokio::test]
    async fn a_key_is_created_changed_deleted_and_created_again() {
        let (server, bus) = testing::server().await;
        let bucket = bus.key_value(&testing::key_value_spec("SHOP")).await.unwrap();
        assert_eq!(bucket.get("a").await.unwrap(), None);
        let first = bucket.create("a", Bytes::from_static(b"1")).await.unwrap();
        let second = bucket.update("a", Bytes::from_static(b"2"), first).await.unwrap();
        let found = bucket.get("a").await.unwrap();
        assert_eq!(found, Some(KeyEntry { revision: second, value: Bytes::from_static(b"2") }));
        bucket.create("shop.b", Bytes::new()).await.unwrap();

        assert!(bucket.delete("a").await.unwrap());
        assert!(!bucket.delete("a").await.unwrap());
        assert_eq!(bucket.get("a").await.unwrap(), None);
        assert!(bucket.get("shop.b").await.unwrap().is_some());
        let third = bucket.create("a", Bytes::from_static(b"3")).await.unwrap();
        assert_eq!(bucket.get("a").await.unwrap().map(|entry| entry.revision), Some(third));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_lost_race_says_what_the_key_is_at() {
        let (server, bus) = testing::server().await;
        let bucket = bus.key_value(&testing::key_value_spec("SHOP")).await.unwrap();
        let first = bucket.create("a", Bytes::from_static(b"1")).await.unwrap();
        bucket.update("a", Bytes::from_static(b"2"), first).await.unwrap();
        let error = bucket.update("a", Bytes::from_static(b"3"), first).await.unwrap_err();
        insta::assert_snapshot!(
            error,
            @r#"key "a" of bucket "SHOP" is at revision 2, not at revision 1: read it and decide again"#
        );
        let error = bucket.create("a", Bytes::from_static(b"3")).await.unwrap_err();
        insta::assert_snapshot!(
            error,
            @r#"key "a" of bucket "SHOP" is at revision 2, not without a value: read it and decide again"#
        );
        assert_eq!(bucket.get("a").await.unwrap().map(|entry| entry.value), Some(Bytes::from_static(b"2")));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn of_writers_that_race_each_round_has_one_winner() {
        let (server, bus) = testing::server().await;
        let bucket = bus.key_value(&testing::key_value_spec("SHOP")).await.unwrap();
        let mut revision = bucket.create("count", Bytes::from_static(b"0")).await.unwrap();
        for round in 0..20 {
            let writes = (0..8).map(|writer| bucket.update("count", format!("{round} {writer}").into(), revision));
            let outcomes = join_all(writes).await;
            let winners: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
            let lost = outcomes.iter().filter(|outcome| matches!(outcome, Err(BusError::KeyChanged { .. }))).count();
            assert_eq!((winners.len(), lost), (1, 7));
            let found = bucket.get("count").await.unwrap().unwrap();
            assert_eq!(found.revision, *winners[0]);
            revision = found.revision;
        }
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_bucket_of_another_shape_and_wrong_names_are_refused() {
        let (server, bus) = testing::server().await;
        let spec = testing::key_value_spec("SHOP");
        let bucket = bus.key_value(&spec).await.unwrap();
        assert!(bus.key_value(&spec).await.is_ok(), "as it is");
        let error = bus.key_value(&KeyValueSpec { history: 5, ..spec }).await.err().unwrap();
        insta::assert_snapshot!(
            error,
            @r#"stream "KV_SHOP" exists with another shape: max_messages_per_subject is 1 (expected 5); change it, or use another name"#
        );
        let error = bus.key_value(&testing::key_value_spec("a.b")).await.err().unwrap();
        insta::assert_snapshot!(
            error,
            @r#"bucket "a.b" is not valid: only letters, digits, `_` and `-` are allowed"#
        );
        let error = bucket.get("a.>").await.unwrap_err();
        assert!(matches!(error, BusError::InvalidName { what: "key", .. }), "{error}");
        server.stop().await.unwrap();
    }
}
