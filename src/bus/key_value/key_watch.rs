//! Following one key of a bucket.
//!
//! ```text
//!   anything new in the bucket ─┐
//!   the connection came back ───┼──▶ look: the key's value now ──▶ another revision than the last one given? ──▶ give it
//!   the first call ─────────────┘
//! ```
//!
//! What is given is always what the key holds, not what it went through: values that follow one another quickly come as
//! the last of them, and a change that happened while the connection was down is seen when it is back.

use std::time::Duration;

use tracing::debug;

use super::key_value::{KeyEntry, entry};
use super::revision::Revision;
use crate::bus::bus::Bus;
use crate::bus::connection::Connection;
use crate::bus::error::BusError;
use crate::bus::read::{ReadLimits, Reader};
use crate::bus::subject::Subject;

/// The pause between two looks while the server doesn't answer.
const PAUSE: Duration = Duration::from_millis(250);

/// Looking now and then even if nothing is heard makes up for a bucket that was replaced behind our back.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Only that there is something new counts, not what.
const ANYTHING: ReadLimits = ReadLimits { rows: 64, linger: Duration::ZERO };

/// A key that is followed.
pub struct KeyWatch {
    bus: Bus,
    connection: Connection,
    stream: String,
    subject: Subject,
    changes: Reader,
    /// Something may have changed since the key was last looked at.
    look: bool,
    given: Given,
}

/// What was given last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    /// Nothing yet.
    Nothing,
    /// That the key has no value.
    NoValue,
    /// The value at this revision.
    Value(Revision),
}

impl KeyWatch {
    pub(crate) async fn new(bus: Bus, stream: String, subject: Subject) -> Result<Self, BusError> {
        let changes = at_end(&bus, &stream).await?;
        Ok(Self { connection: bus.connection(), bus, stream, subject, changes, look: true, given: Given::Nothing })
    }

    /// The key's value: the first call gives the present one, each further call waits for another. `None`: the key has no
    /// value (yet, or any more). May be cancelled without missing anything.
    ///
    /// # Errors
    /// [`BusError::StreamNotFound`] when the bucket is gone, [`BusError::Closed`]. A lost connection is waited for.
    pub async fn next(&mut self) -> Result<Option<KeyEntry>, BusError> {
        loop {
            if self.look {
                let found = self.current().await?;
                self.look = false;
                let now = found.as_ref().map_or(Given::NoValue, |entry| Given::Value(entry.revision));
                if self.given != now {
                    self.given = now;
                    return Ok(found);
                }
            }
            self.wait().await?;
            self.look = true;
        }
    }

    /// Waits until the key may have changed.
    async fn wait(&mut self) -> Result<(), BusError> {
        let arrived = tokio::select! {
            arrived = self.changes.next_batch() => arrived,
            changed = self.connection.changed() => return changed,
            () = tokio::time::sleep(LOOK_AGAIN) => return Ok(()),
        };
        match arrived {
            Ok(_) => Ok(()),
            // The server lost the bucket's newest writes, or has another bucket of this name.
            Err(BusError::PastEnd { .. } | BusError::Recreated { .. } | BusError::Rewritten { .. }) => {
                self.changes = at_end(&self.bus, &self.stream).await?;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The value now, asked for until the server answers.
    async fn current(&mut self) -> Result<Option<KeyEntry>, BusError> {
        loop {
            self.connection.up().await?;
            match self.bus.last_message(&self.stream, &self.subject).await {
                Ok(last) => return Ok(entry(last)),
                Err(error @ BusError::JetStream { .. }) => debug!(%error, subject = %self.subject, "cannot look yet"),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// A reader of what is written to the bucket from now on.
async fn at_end(bus: &Bus, stream: &str) -> Result<Reader, BusError> {
    let last = bus.stream_state(stream).await?.last;
    Ok(bus.reader(stream, last.next(), ANYTHING))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt;
    use rustix::process::Signal;

    use super::*;
    use crate::bus::testing;

    async fn next(watch: &mut KeyWatch) -> Option<Bytes> {
        watch.next().await.unwrap().map(|entry| entry.value)
    }

    #[tokio::test]
    async fn the_present_value_comes_first_and_other_keys_are_not_heard() {
        let (server, bus) = testing::server().await;
        let bucket = bus.key_value(&testing::key_value_spec("SHOP")).await.unwrap();
        let first = bucket.create("a", Bytes::from_static(b"1")).await.unwrap();
        let mut watch = bucket.watch("a").await.unwrap();
        assert_eq!(next(&mut watch).await, Some(Bytes::from_static(b"1")));
        bucket.create("b", Bytes::from_static(b"x")).await.unwrap();
        assert!(watch.next().now_or_never().is_none());
        bucket.update("a", Bytes::from_static(b"2"), first).await.unwrap();
        assert_eq!(next(&mut watch).await, Some(Bytes::from_static(b"2")));
        bucket.delete("a").await.unwrap();
        assert_eq!(next(&mut watch).await, None);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_key_without_a_value_is_said_to_have_none_and_then_its_first_one_comes() {
        let (server, bus) = testing::server().await;
        let bucket = bus.key_value(&testing::key_value_spec("SHOP")).await.unwrap();
        let mut watch = bucket.watch("a").await.unwrap();
        assert_eq!(next(&mut watch).await, None);
        let (value, _) = tokio::join!(next(&mut watch), bucket.create("a", Bytes::from_static(b"1")));
        assert_eq!(value, Some(Bytes::from_static(b"1")));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn changes_are_seen_through_a_stopped_and_a_killed_server() {
        let (mut server, bus) = testing::server().await;
        let bucket = bus.key_value(&testing::key_value_spec("SHOP")).await.unwrap();
        let mut revision = bucket.create("a", Bytes::from_static(b"0")).await.unwrap();
        let mut watch = bucket.watch("a").await.unwrap();
        assert_eq!(next(&mut watch).await, Some(Bytes::from_static(b"0")));
        for round in 1..=3 {
            let value = Bytes::from(round.to_string());
            let change = async {
                if round == 2 {
                    server.signal(Signal::KILL);
                }
                server.server.restart().await.unwrap();
                bucket.update("a", value.clone(), revision).await.unwrap()
            };
            let (seen, changed) = tokio::join!(next(&mut watch), change);
            assert_eq!(seen, Some(value));
            revision = changed;
        }
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_bucket_that_was_made_anew_is_followed_on() {
        let (server, bus) = testing::server().await;
        let spec = testing::key_value_spec("SHOP");
        let bucket = bus.key_value(&spec).await.unwrap();
        let first = bucket.create("a", Bytes::from_static(b"1")).await.unwrap();
        bucket.update("a", Bytes::from_static(b"2"), first).await.unwrap();
        let mut watch = bucket.watch("a").await.unwrap();
        assert_eq!(next(&mut watch).await, Some(Bytes::from_static(b"2")));
        bus.jetstream().delete_stream("KV_SHOP").await.unwrap();
        bus.key_value(&spec).await.unwrap().create("a", Bytes::from_static(b"3")).await.unwrap();
        assert_eq!(next(&mut watch).await, Some(Bytes::from_static(b"3")));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_bucket_that_is_gone_ends_the_watch_with_an_error() {
        let (server, bus) = testing::server().await;
        let bucket = bus.key_value(&testing::key_value_spec("SHOP")).await.unwrap();
        let mut watch = bucket.watch("a").await.unwrap();
        assert_eq!(next(&mut watch).await, None);
        bus.jetstream().delete_stream("KV_SHOP").await.unwrap();
        let error = watch.next().await.unwrap_err();
        assert!(matches!(error, BusError::StreamNotFound { .. }), "{error}");
        server.stop().await.unwrap();
    }
}
