//! All values of a bucket at once, and following them.
//!
//! ```text
//!   anything new behind the last look ─────────────┐
//!   a value's time has come ───────────────────────┤
//!   the server holds fewer messages than it did ───┼──▶ look: the newest value of every key ──▶ give them
//!   the connection came back ──────────────────────┤
//!   the first call ────────────────────────────────┘
//! ```
//!
//! The server sends the newest message of each key in the order of their revisions; what is written meanwhile comes behind
//! them or with the next look. What is given is always what the bucket holds, not what it went through, less the values whose
//! time has come by this machine's clock.
//!
//! A value that is deleted leaves a message. One that expires leaves none unless the bucket keeps marks of that, and a purge
//! or the removal of a message by its position never does: so the next expiry is waited for, and the server is asked twice a
//! second how much the bucket holds. Where the server keeps earlier values of a key, the newest that it still has counts.

use std::time::Duration;

use tracing::debug;

use super::bucket_entries::{BucketEntries, Holding};
use super::key_value::KeyValue;
use super::revision::Revision;
use crate::bus::connection::Connection;
use crate::bus::error::BusError;
use crate::bus::read::{ReadLimits, Reader};
use crate::bus::sequence::StreamSequence;
use crate::clock;

/// The pause between two looks while the server doesn't answer.
const PAUSE: Duration = Duration::from_millis(250);

/// How often the server is asked how much the bucket holds.
const ASK: Duration = Duration::from_millis(500);

/// Values that expire one after another within this time go together.
const TOGETHER: Duration = Duration::from_millis(100);

/// Only that there is something new counts, not what.
const ANYTHING: ReadLimits = ReadLimits { rows: 64, linger: Duration::ZERO };

/// A bucket that is followed.
pub struct BucketWatch {
    bucket: KeyValue,
    connection: Connection,
    most_bytes: usize,
    /// What is written behind the last look.
    changes: Option<Reader>,
    upto: Revision,
    /// When the next of the values that were given expires.
    expires_micros: Option<i64>,
    /// What the server said of the bucket before the last look.
    holding: Option<Holding>,
    /// Something may have changed since the bucket was last looked at.
    look: bool,
}

impl KeyValue {
    /// Follows the whole bucket, of at most `most_bytes`.
    #[must_use]
    pub fn watch_all(&self, most_bytes: usize) -> BucketWatch {
        BucketWatch {
            connection: self.bus.connection(),
            bucket: self.clone(),
            most_bytes,
            changes: None,
            upto: Revision(0),
            expires_micros: None,
            holding: None,
            look: true,
        }
    }
}

impl BucketWatch {
    /// What the bucket holds: the first call gives that at once, each further call waits for a write, an expiry or a removal
    /// and then gives all of it again; those that follow one another quickly come together. What is given may be what was
    /// given before, as when the connection came back. May be cancelled without missing anything.
    ///
    /// # Errors
    /// [`BusError::BucketTooLarge`], after which it can be called again and waits for another write;
    /// [`BusError::StreamNotFound`] when the bucket is gone; [`BusError::Closed`]. A lost connection is waited for.
    pub async fn next(&mut self) -> Result<BucketEntries, BusError> {
        loop {
            if self.look {
                let found = self.current().await;
                self.look = false;
                self.expires_micros = found.as_ref().ok().and_then(|found| found.expires_micros);
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
        let pause = self.expires_micros.map_or(ASK, |at| until(at).clamp(TOGETHER, ASK));
        let (bus, stream) = (&self.bucket.bus, self.bucket.stream.as_str());
        let behind = StreamSequence(self.upto.0).next();
        let changes = self.changes.get_or_insert_with(|| bus.reader(stream, behind, ANYTHING));
        let arrived = tokio::select! {
            arrived = changes.next_batch() => arrived,
            changed = self.connection.changed() => return changed.map(|()| true),
            () = tokio::time::sleep(pause) => return Ok(self.differs().await),
        };
        match arrived {
            // After a failed look this passes what made it fail.
            Ok(_) => {
                self.upto = Revision(changes.position().0.saturating_sub(1));
                Ok(true)
            }
            // The server lost the bucket's newest writes, or has another bucket of this name.
            Err(BusError::PastEnd { .. } | BusError::Recreated { .. } | BusError::Rewritten { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether a value that was given has expired, or the server holds something else than at the last look. When it doesn't
    /// say, it is asked again.
    async fn differs(&mut self) -> bool {
        if self.expires_micros.is_some_and(|at| until(at).is_zero()) {
            return true;
        }
        let info = self.bucket.bus.stream_info(&self.bucket.stream).await;
        info.is_ok_and(|info| self.holding != Some(Holding::of(&info)))
    }

    /// The values now, asked for until the server answers.
    async fn current(&mut self) -> Result<BucketEntries, BusError> {
        loop {
            self.connection.up().await?;
            match self.values().await {
                Err(error @ BusError::JetStream { .. }) => {
                    debug!(%error, bucket = self.bucket.bucket, "cannot look yet");
                }
                found => return found,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The values now, asked for once. How much the bucket holds is asked before: what leaves meanwhile is seen after.
    async fn values(&mut self) -> Result<BucketEntries, BusError> {
        let info = self.bucket.bus.stream_info(&self.bucket.stream).await?;
        self.holding = Some(Holding::of(&info));
        self.bucket.entries_of(&info, self.most_bytes).await
    }
}

/// The time until an instant, none when it has come.
fn until(micros: i64) -> Duration {
    Duration::from_micros(micros.saturating_sub(clock::unix_micros()).max(0).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::{Config, Source};
    use bytes::Bytes;
    use futures::FutureExt;

    use super::*;
    use crate::bus::bus::Bus;
    use crate::bus::key_value::bucket_entries::tests::texts;
    use crate::bus::outgoing::Outgoing;
    use crate::bus::subject::Subject;
    use crate::bus::testing;

    /// A bucket `SHOP` as an operator makes it.
    async fn bucket(bus: &Bus, history: i64, config: Config) -> KeyValue {
        let config = Config {
            name: "KV_SHOP".to_owned(),
            subjects: vec!["$KV.SHOP.>".to_owned()],
            max_messages_per_subject: history,
            allow_rollup: true,
            allow_direct: true,
            ..config
        };
        bus.jetstream().create_stream(config).await.unwrap();
        bus.existing_key_value("SHOP").await.unwrap()
    }

    /// Writes a value that lives as long as the text says, if it says anything.
    async fn put(bus: &Bus, key: &str, value: &'static str, lives: &str) -> u64 {
        let message =
            Outgoing::new(Subject::new(format!("$KV.SHOP.{key}")).unwrap(), Bytes::from_static(value.as_bytes()));
        let message = if lives.is_empty() { message } else { message.header("Nats-TTL", lives) };
        let sent = bus.jetstream().publish_with_headers(
            message.subject.to_client(),
            message.header_map(),
            message.payload.clone(),
        );
        sent.await.unwrap().await.unwrap().sequence
    }

    /// Follows until the bucket holds these, which a fresh look must find too.
    async fn until_it_holds(watch: &mut BucketWatch, expected: &[(&str, &str)]) {
        let held = async { while texts(&watch.next().await.unwrap()) != expected {} };
        tokio::time::timeout(Duration::from_secs(10), held).await.expect("the values in time");
        assert_eq!(texts(&watch.bucket.entries(100).await.unwrap()), expected);
    }

    #[tokio::test]
    async fn a_value_goes_when_its_time_has_come_and_nobody_has_to_say_so() {
        let second = Duration::from_secs(1);
        let aged = Config { max_age: second, duplicate_window: second, ..Config::default() };
        let lived = Config { allow_message_ttl: true, ..Config::default() };
        let marked = Config { subject_delete_marker_ttl: Some(second), ..lived.clone() };
        let other = vec![("b", "2")];
        for (config, lives, stays) in [(aged, "", vec![]), (lived, "1s", other.clone()), (marked, "1", other)] {
            let (server, bus) = testing::server().await;
            let mut watch = bucket(&bus, 1, config).await.watch_all(100);
            put(&bus, "a", "1", lives).await;
            put(&bus, "b", "2", "").await;
            until_it_holds(&mut watch, &[("a", "1"), ("b", "2")]).await;
            until_it_holds(&mut watch, &stays).await;
            server.stop().await.unwrap();
        }
    }

    /// A mirror that was made without leave for times to live keeps messages whose time has come.
    #[tokio::test]
    async fn an_expired_value_is_none_even_where_the_server_keeps_it() {
        let (server, bus) = testing::server().await;
        let origin = Config {
            name: "ORIGIN".to_owned(),
            subjects: vec!["$KV.SHOP.>".to_owned()],
            allow_message_ttl: true,
            ..Config::default()
        };
        bus.jetstream().create_stream(origin).await.unwrap();
        let mirror = Some(Source { name: "ORIGIN".to_owned(), ..Source::default() });
        bus.jetstream()
            .create_stream(Config { name: "KV_SHOP".to_owned(), mirror, ..Config::default() })
            .await
            .unwrap();
        let mut watch = bus.existing_key_value("SHOP").await.unwrap().watch_all(100);
        put(&bus, "a", "1", "1s").await;
        until_it_holds(&mut watch, &[("a", "1")]).await;
        until_it_holds(&mut watch, &[]).await;
        assert_eq!(bus.stream_state("KV_SHOP").await.unwrap().messages, 1);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn what_is_purged_or_removed_by_its_position_goes_without_a_word() {
        let (server, bus) = testing::server().await;
        let mut watch = bucket(&bus, 5, Config::default()).await.watch_all(100);
        put(&bus, "a", "1", "").await;
        let second = put(&bus, "a", "2", "").await;
        put(&bus, "b", "3", "").await;
        until_it_holds(&mut watch, &[("a", "2"), ("b", "3")]).await;
        let stream = bus.jetstream().get_stream("KV_SHOP").await.unwrap();
        stream.delete_message(second).await.unwrap();
        until_it_holds(&mut watch, &[("a", "1"), ("b", "3")]).await;
        stream.purge().filter("$KV.SHOP.b").await.unwrap();
        until_it_holds(&mut watch, &[("a", "1")]).await;
        stream.purge().await.unwrap();
        until_it_holds(&mut watch, &[]).await;
        server.stop().await.unwrap();
    }

    /// An earlier value that the server kept is the key's value again, as it is for every other reader.
    #[tokio::test]
    async fn the_value_before_an_expired_one_counts_again() {
        let (server, bus) = testing::server().await;
        let mut watch = bucket(&bus, 5, Config { allow_message_ttl: true, ..Config::default() }).await.watch_all(100);
        put(&bus, "a", "1", "").await;
        put(&bus, "a", "2", "1s").await;
        until_it_holds(&mut watch, &[("a", "2")]).await;
        until_it_holds(&mut watch, &[("a", "1")]).await;
        server.stop().await.unwrap();
    }

    /// It ended the worker.
    #[tokio::test]
    async fn a_bucket_that_was_made_anew_is_followed_on() {
        let (server, bus) = testing::server().await;
        let mut watch = bucket(&bus, 1, Config::default()).await.watch_all(100);
        put(&bus, "a", "1", "").await;
        until_it_holds(&mut watch, &[("a", "1")]).await;
        bus.jetstream().delete_stream("KV_SHOP").await.unwrap();
        bucket(&bus, 1, Config::default()).await;
        put(&bus, "b", "2", "").await;
        put(&bus, "c", "3", "").await;
        until_it_holds(&mut watch, &[("b", "2"), ("c", "3")]).await;
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
