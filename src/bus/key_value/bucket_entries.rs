//! All values of a bucket at once: the newest of each key, less those whose time has come.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::stream::{ConsumerErrorKind, Info};
use futures::StreamExt;

use super::bucket::check_bucket_name;
use super::expiry::expires_micros;
use super::key_value::{KeyEntry, KeyValue, entry};
use super::revision::Revision;
use crate::bus::bus::Bus;
use crate::bus::error::{BusError, refused_by_server};
use crate::bus::sequence::StreamSequence;
use crate::bus::stored::StoredMessage;
use crate::bus::stream::micros;
use crate::bus::subject::Subject;
use crate::clock;

/// Nothing for so long while there is more to come: it may have left the bucket.
const QUIET: Duration = Duration::from_millis(200);

/// Nothing for so long: the server has forgotten us.
const SILENCE: Duration = Duration::from_secs(5);

/// What a bucket holds at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketEntries {
    /// The keys that have a value, in order.
    pub entries: BTreeMap<String, KeyEntry>,
    /// Every write up to this one is in them.
    pub upto: Revision,
    /// When the next of them expires, in microseconds since 1970.
    pub expires_micros: Option<i64>,
}

/// What differs whenever a bucket's values may: a write raises the last position, a removal lowers the number of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    created_micros: i64,
    last: u64,
    messages: u64,
    most_age: Duration,
}

impl Bus {
    /// A bucket that somebody else has made, whatever its shape.
    ///
    /// # Errors
    /// [`BusError::InvalidName`]; [`BusError::StreamNotFound`] when there is none of its name; [`BusError::JetStream`]
    /// when the server doesn't answer.
    pub async fn existing_key_value(&self, bucket: &str) -> Result<KeyValue, BusError> {
        check_bucket_name(bucket)?;
        let bucket = KeyValue::named(self, bucket);
        self.stream_state(&bucket.stream).await?;
        Ok(bucket)
    }
}

impl KeyValue {
    /// The newest value of every key, of at most `most_bytes` together.
    ///
    /// # Errors
    /// [`BusError::BucketTooLarge`]; [`BusError::StreamNotFound`] when the bucket is gone; [`BusError::JetStream`] when the
    /// server doesn't answer.
    #[cfg(test)]
    pub(crate) async fn entries(&self, most_bytes: usize) -> Result<BucketEntries, BusError> {
        self.entries_of(&self.bus.stream_info(&self.stream).await?, most_bytes).await
    }

    /// The newest value of every key of a bucket whose stream was as it is described.
    pub(super) async fn entries_of(&self, stream: &Info, most_bytes: usize) -> Result<BucketEntries, BusError> {
        let mut found = BucketEntries { upto: Revision(stream.state.last_sequence), ..BucketEntries::default() };
        let refuse = |error: &dyn std::fmt::Display| refused_by_server("read", &self.stream, error);
        let prefix = format!("$KV.{}.", self.bucket);
        let config = pull::OrderedConfig {
            deliver_policy: DeliverPolicy::LastPerSubject,
            filter_subject: format!("{prefix}>"),
            ..pull::OrderedConfig::default()
        };
        let created = self.bus.jetstream().create_consumer_on_stream(config, self.stream.as_str()).await;
        let consumer = created.map_err(|error| match error.kind() {
            ConsumerErrorKind::JetStream(refused) if refused.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                BusError::StreamNotFound { stream: self.stream.clone() }
            }
            _ => refuse(&error),
        })?;
        let mut pending = consumer.cached_info().num_pending;
        let mut messages = consumer.messages().await.map_err(|error| refuse(&error))?;
        let mut bytes = 0;
        let mut quiet = Duration::ZERO;
        while pending > 0 {
            let message = match tokio::time::timeout(QUIET, messages.next()).await {
                Ok(Some(message)) => message.map_err(|error| refuse(&error))?,
                Ok(None) => return Err(refuse(&"the server stopped sending")),
                Err(_) => {
                    quiet += QUIET;
                    // What was to come may have left the bucket meanwhile.
                    let now = self.bus.stream_info(&self.stream).await?;
                    if quiet < SILENCE && Holding::of(&now) == Holding::of(stream) {
                        continue;
                    }
                    return Err(refuse(&"no answer"));
                }
            };
            quiet = Duration::ZERO;
            let info = message.info().map_err(|error| refuse(&error))?;
            pending = info.pending;
            let (sequence, published) = (StreamSequence(info.stream_sequence), info.published);
            found.upto = found.upto.max(Revision(sequence.0));
            let Some(key) = message.subject.strip_prefix(&prefix).map(str::to_owned) else { continue };
            bytes += message.payload.len();
            if bytes > most_bytes {
                return Err(BusError::BucketTooLarge { bucket: self.bucket.clone(), limit: most_bytes as u64 });
            }
            let headers = message.headers.iter().flat_map(|headers| headers.iter());
            let headers =
                headers.flat_map(|(name, all)| all.iter().map(|value| (name.to_string(), value.as_str().to_owned())));
            let stored = StoredMessage {
                headers: headers.collect(),
                sequence,
                published_micros: micros(published),
                subject: Subject::received(message.subject.clone()),
                payload: message.payload.clone(),
            };
            let expires = expires_micros(&stored, stream.config.max_age);
            match entry(Some(stored)).filter(|_| expires.is_none_or(|at| at > clock::unix_micros())) {
                Some(value) => {
                    found.expires_micros = [found.expires_micros, expires].into_iter().flatten().min();
                    found.entries.insert(key, value)
                }
                None => found.entries.remove(&key),
            };
        }
        Ok(found)
    }
}

impl Holding {
    pub(super) fn of(info: &Info) -> Self {
        Self {
            created_micros: micros(info.created),
            last: info.state.last_sequence,
            messages: info.state.messages,
            most_age: info.config.max_age,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::bus::key_value::key_value::KeyValueSpec;
    use crate::bus::testing;

    pub(in crate::bus::key_value) fn texts(found: &BucketEntries) -> Vec<(&str, &str)> {
        let entries = found.entries.iter();
        entries.map(|(key, entry)| (key.as_str(), std::str::from_utf8(&entry.value).unwrap())).collect()
    }

    #[tokio::test]
    async fn all_newest_values_come_in_the_order_of_their_keys() {
        let (server, bus) = testing::server().await;
        let spec = KeyValueSpec { history: 5, ..testing::key_value_spec("SHOP") };
        let bucket = bus.key_value(&spec).await.unwrap();
        assert_eq!(bucket.entries(1).await.unwrap(), BucketEntries::default());
        let first = bucket.create("b", Bytes::from_static(b"1")).await.unwrap();
        bucket.create("a.x", Bytes::from_static(b"22")).await.unwrap();
        bucket.create("gone", Bytes::from_static(b"3")).await.unwrap();
        bucket.delete("gone").await.unwrap();
        let last = bucket.update("b", Bytes::from_static(b"4"), first).await.unwrap();
        let other = bus.existing_key_value("SHOP").await.unwrap();
        let found = other.entries(3).await.unwrap();
        assert_eq!((texts(&found), found.upto), (vec![("a.x", "22"), ("b", "4")], last));
        assert_eq!(found.entries["b"].revision, last);
        let error = other.entries(2).await.unwrap_err();
        insta::assert_snapshot!(error, @r#"bucket "SHOP" holds more than 2 bytes of values"#);
        let error = bus.existing_key_value("NONE").await.err().unwrap();
        assert!(matches!(error, BusError::StreamNotFound { .. }), "{error}");
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn many_values_come_completely() {
        let (server, bus) = testing::server().await;
        let bucket = bus.key_value(&testing::key_value_spec("SHOP")).await.unwrap();
        let mut publisher = bus.publisher(1000).await.unwrap();
        for number in 0..5000 {
            let subject = Subject::new(format!("$KV.SHOP.k{number:04}")).unwrap();
            publisher.publish(crate::bus::outgoing::Outgoing::new(subject, number.to_string().into())).await.unwrap();
        }
        publisher.settle().await.unwrap();
        let found = bucket.entries(usize::MAX).await.unwrap();
        assert_eq!((found.entries.len(), found.upto), (5000, Revision(5000)));
        assert!(found.entries.values().enumerate().all(|(at, entry)| entry.value == at.to_string()));
        server.stop().await.unwrap();
    }
}
