//! All values of a bucket at once, and following them.
//!
//! ```text
//!   anything new behind the last look ─┐
//!   the connection came back ──────────┼──▶ look: the newest value of every key ──▶ give them
//!   another last position after 30 s ──┤
//!   the first call ────────────────────┘
//! ```
//!
//! The server sends the newest message of each key in the order of their revisions; what is written meanwhile comes behind
//! them or with the next look. What is given is always what the bucket holds, not what it went through.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::stream::ConsumerErrorKind;
use futures::StreamExt;
use tracing::debug;

use super::bucket::check_bucket_name;
use super::key_value::{KeyEntry, KeyValue, entry};
use super::revision::Revision;
use crate::bus::bus::Bus;
use crate::bus::connection::Connection;
use crate::bus::error::{BusError, refused_by_server};
use crate::bus::read::{ReadLimits, Reader};
use crate::bus::sequence::StreamSequence;
use crate::bus::stored::StoredMessage;
use crate::bus::subject::Subject;

/// The pause between two looks while the server doesn't answer.
const PAUSE: Duration = Duration::from_millis(250);

/// Asking for the position now and then even if nothing is heard makes up for a bucket that was replaced behind our back.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Nothing for so long while there is more to come: the server has forgotten us.
const SILENCE: Duration = Duration::from_secs(5);

/// Only that there is something new counts, not what.
const ANYTHING: ReadLimits = ReadLimits { rows: 64, linger: Duration::ZERO };

/// What a bucket holds at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketEntries {
    /// The keys that have a value, in order.
    pub entries: BTreeMap<String, KeyEntry>,
    /// Every write up to this one is in them.
    pub upto: Revision,
}

/// A bucket that is followed.
pub struct BucketWatch {
    bucket: KeyValue,
    connection: Connection,
    most_bytes: usize,
    /// What is written behind the last look.
    changes: Option<Reader>,
    upto: Revision,
    /// Something may have changed since the bucket was last looked at.
    look: bool,
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
    pub async fn entries(&self, most_bytes: usize) -> Result<BucketEntries, BusError> {
        let before = self.bus.stream_state(&self.stream).await?.last;
        let mut found = BucketEntries { upto: Revision(before.0), ..BucketEntries::default() };
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
        while pending > 0 {
            let next = tokio::time::timeout(SILENCE, messages.next()).await;
            let message = match next.map_err(|_| refuse(&"no answer"))? {
                Some(message) => message.map_err(|error| refuse(&error))?,
                None => return Err(refuse(&"the server stopped sending")),
            };
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
                published_micros: published.unix_timestamp_nanos().div_euclid(1000) as i64,
                subject: Subject::received(message.subject.clone()),
                payload: message.payload.clone(),
            };
            match entry(Some(stored)) {
                Some(value) => found.entries.insert(key, value),
                None => found.entries.remove(&key),
            };
        }
        Ok(found)
    }

    /// Follows the whole bucket, of at most `most_bytes`.
    #[must_use]
    pub fn watch_all(&self, most_bytes: usize) -> BucketWatch {
        BucketWatch {
            connection: self.bus.connection(),
            bucket: self.clone(),
            most_bytes,
            changes: None,
            upto: Revision(0),
            look: true,
        }
    }
}

impl BucketWatch {
    /// What the bucket holds: the first call gives that at once, each further call waits for a write and then gives all of
    /// it again; writes that follow one another quickly come together. What is given may be what was given before, as when
    /// the connection came back. May be cancelled without missing anything.
    ///
    /// # Errors
    /// [`BusError::BucketTooLarge`], after which it can be called again and waits for another write;
    /// [`BusError::StreamNotFound`] when the bucket is gone; [`BusError::Closed`]. A lost connection is waited for.
    pub async fn next(&mut self) -> Result<BucketEntries, BusError> {
        loop {
            if self.look {
                let found = self.current().await;
                self.look = false;
                if let Ok(found) = &found {
                    self.upto = found.upto;
                }
                self.changes = None;
                return found;
            }
            self.look = self.wait().await?;
        }
    }

    /// Waits until the bucket may have changed.
    async fn wait(&mut self) -> Result<bool, BusError> {
        let (bus, stream) = (&self.bucket.bus, self.bucket.stream.as_str());
        let behind = StreamSequence(self.upto.0).next();
        let changes = self.changes.get_or_insert_with(|| bus.reader(stream, behind, ANYTHING));
        let arrived = tokio::select! {
            arrived = changes.next_batch() => arrived,
            changed = self.connection.changed() => return changed.map(|()| true),
            () = tokio::time::sleep(LOOK_AGAIN) => {
                return Ok(bus.stream_state(stream).await.is_ok_and(|state| state.last.0 != self.upto.0));
            }
        };
        match arrived {
            // After a failed look this passes what made it fail.
            Ok(_) => {
                self.upto = Revision(changes.position().0.saturating_sub(1));
                Ok(true)
            }
            // The server lost the bucket's newest writes, or has another bucket of this name.
            Err(BusError::PastEnd { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The values now, asked for until the server answers.
    async fn current(&mut self) -> Result<BucketEntries, BusError> {
        loop {
            self.connection.up().await?;
            match self.bucket.entries(self.most_bytes).await {
                Err(error @ BusError::JetStream { .. }) => {
                    debug!(%error, bucket = self.bucket.bucket, "cannot look yet");
                }
                found => return found,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt;

    use super::*;
    use crate::bus::key_value::key_value::KeyValueSpec;
    use crate::bus::testing;

    fn texts(found: &BucketEntries) -> Vec<(&str, &str)> {
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

    #[tokio::test]
    async fn a_bucket_is_followed_through_a_restart_and_changes_come_together() {
        let (mut server, bus) = testing::server().await;
        let bucket = bus.key_value(&testing::key_value_spec("SHOP")).await.unwrap();
        bucket.create("a", Bytes::from_static(b"1")).await.unwrap();
        let mut watch = bucket.watch_all(100);
        assert_eq!(texts(&watch.next().await.unwrap()), [("a", "1")]);
        assert!(watch.next().now_or_never().is_none());
        bucket.create("b", Bytes::from_static(b"2")).await.unwrap();
        bucket.create("c", Bytes::from_static(b"3")).await.unwrap();
        assert_eq!(texts(&watch.next().await.unwrap()), [("a", "1"), ("b", "2"), ("c", "3")]);
        let change = async {
            server.server.restart().await.unwrap();
            bucket.delete("b").await.unwrap()
        };
        let seen = async {
            loop {
                let found = watch.next().await.unwrap();
                if found.entries.len() == 2 {
                    return found;
                }
            }
        };
        let (seen, _) = tokio::join!(seen, change);
        assert_eq!(texts(&seen), [("a", "1"), ("c", "3")]);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_bucket_that_became_too_large_is_said_once_and_followed_on() {
        let (server, bus) = testing::server().await;
        let bucket = bus.key_value(&testing::key_value_spec("SHOP")).await.unwrap();
        let mut watch = bucket.watch_all(3);
        assert!(watch.next().await.unwrap().entries.is_empty());
        let revision = bucket.create("a", Bytes::from_static(b"1234")).await.unwrap();
        let error = watch.next().await.unwrap_err();
        assert!(matches!(error, BusError::BucketTooLarge { .. }), "{error}");
        bucket.update("a", Bytes::from_static(b"1"), revision).await.unwrap();
        assert_eq!(texts(&watch.next().await.unwrap()), [("a", "1")]);
        bus.jetstream().delete_stream("KV_SHOP").await.unwrap();
        let error = watch.next().await.unwrap_err();
        assert!(matches!(error, BusError::StreamNotFound { .. }), "{error}");
        server.stop().await.unwrap();
    }
}
