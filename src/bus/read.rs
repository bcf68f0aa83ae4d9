//! Reading a stream in order, without gaps or duplicates, through whatever happens to connection and server.
//!
//! ```text
//!              ┌──────────── message ≥ next ────────────┐
//!              ▼                                        │
//!   open at `next` ──▶ Pull ──▶ arrival ──▶ batch ──▶ next = sequence + 1
//!        ▲                        │
//!        └── wait, back off ◀── loss: gap, silence, reconnect, consumer gone
//! ```
//!
//! The position is ours, so a consumer on the server is only a way of getting the next messages: when anything is odd
//! about it, another one is opened at the position. A jump in stream sequences that the consumer's own numbering confirms
//! is a real one: the server no longer has what was there. It is counted and passed.

use std::mem;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tracing::{debug, warn};

use super::bus::{Bus, SUBSCRIPTION_MESSAGES};
use super::connection::Connection;
use super::delivery::{Message, StreamSequence};
use super::error::BusError;
use super::pull::{Arrival, Loss, Pull};

/// Messages asked for at a time: enough to keep the server busy while a batch is worked on.
const LEAST_AHEAD: usize = 2048;

/// With two requests on the way, still less than a subscription holds.
const MOST_AHEAD: usize = SUBSCRIPTION_MESSAGES / 4;

/// The longest pause between two attempts to open a consumer.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How much one read takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// At most so many messages.
    pub rows: usize,
    /// How long to wait for more once there is one and no more has arrived yet; zero takes what is there.
    pub linger: Duration,
}

/// Reads one stream, message by message, from a position on.
pub struct Reader {
    bus: Bus,
    connection: Connection,
    stream: String,
    limits: ReadLimits,
    next: StreamSequence,
    missing: u64,
    pull: Option<Pull>,
    /// The attempt to open one; kept here so that reads which are cancelled often still get somewhere.
    opening: Option<BoxFuture<'static, Result<Opened, BusError>>>,
    /// The connection's epoch that `pull` belongs to.
    epoch: u64,
    /// Attempts to open since something last arrived.
    attempts: u32,
    /// What was received for the batch that is being filled; survives a cancelled read.
    received: Vec<Message>,
}

/// A consumer and the connection's epoch that it belongs to.
struct Opened {
    pull: Pull,
    epoch: u64,
}

impl Reader {
    pub(super) fn new(bus: Bus, stream: &str, from: StreamSequence, limits: ReadLimits) -> Self {
        Self {
            connection: bus.connection(),
            bus,
            stream: stream.to_owned(),
            limits: ReadLimits { rows: limits.rows.max(1), ..limits },
            next: from.max(StreamSequence::FIRST),
            missing: 0,
            pull: None,
            opening: None,
            epoch: 0,
            attempts: 0,
            received: Vec::new(),
        }
    }

    /// The next messages, at least one: waits for the first, then takes what has arrived, up to `rows`, and waits
    /// `linger` for more if that is not zero. May be cancelled without losing a message.
    ///
    /// # Errors
    /// [`BusError::StreamNotFound`], [`BusError::PastEnd`] when the server's stream is shorter than what was already
    /// read, [`BusError::Closed`].
    pub async fn next_batch(&mut self) -> Result<Vec<Message>, BusError> {
        let mut batch = Vec::new();
        self.read_into(&mut batch).await?;
        Ok(batch)
    }

    /// Like [`next_batch`](Self::next_batch), into a vector whose memory is used again; what it held is dropped.
    ///
    /// # Errors
    /// As [`next_batch`](Self::next_batch).
    pub async fn read_into(&mut self, batch: &mut Vec<Message>) -> Result<(), BusError> {
        while self.received.is_empty() {
            self.receive().await?;
        }
        self.take_ready().await?;
        if self.received.len() < self.limits.rows && !self.limits.linger.is_zero() {
            // The time being up is what ends a batch that doesn't fill.
            if let Ok(filled) = tokio::time::timeout(self.limits.linger, self.fill()).await {
                filled?;
            }
        }
        batch.clear();
        mem::swap(batch, &mut self.received);
        Ok(())
    }

    /// The position that the next message is expected at.
    #[must_use]
    pub fn position(&self) -> StreamSequence {
        self.next
    }

    /// How many positions the stream no longer had a message for.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing
    }

    async fn fill(&mut self) -> Result<(), BusError> {
        while self.received.len() < self.limits.rows {
            self.receive().await?;
            self.take_ready().await?;
        }
        Ok(())
    }

    /// Waits for one arrival, opening a consumer first if there is none that can be used.
    async fn receive(&mut self) -> Result<(), BusError> {
        if self.connection.epoch() != self.epoch {
            self.pull = None;
        }
        let Some(pull) = &mut self.pull else { return self.open().await };
        let arrival = match pull.refill().await {
            Ok(()) => tokio::select! {
                arrival = pull.receive() => arrival,
                changed = self.connection.changed() => return changed,
            },
            Err(loss) => Err(loss),
        };
        match arrival {
            Ok(arrival) => self.accept(arrival),
            Err(loss) => self.lose(&loss),
        }
        Ok(())
    }

    /// Takes what has arrived, up to `rows`.
    async fn take_ready(&mut self) -> Result<(), BusError> {
        while self.received.len() < self.limits.rows {
            let Some(pull) = &mut self.pull else { return Ok(()) };
            let arrival = match pull.refill().await {
                Ok(()) => pull.receive_ready(),
                Err(loss) => Err(loss),
            };
            match arrival {
                Ok(Some(arrival)) => self.accept(arrival),
                Ok(None) => return Ok(()),
                Err(loss) => self.lose(&loss),
            }
        }
        Ok(())
    }

    fn accept(&mut self, arrival: Arrival) {
        self.attempts = 0;
        let Arrival::Message(message) = arrival else { return };
        if message.sequence < self.next {
            return;
        }
        let gap = message.sequence.0 - self.next.0;
        if gap > 0 {
            self.missing += gap;
            debug!(stream = self.stream, from = self.next.0, gap, "the stream no longer has these messages");
        }
        self.next = message.sequence.next();
        self.received.push(message);
    }

    fn lose(&mut self, loss: &Loss) {
        warn!(stream = self.stream, position = self.next.0, ?loss, "reading is interrupted: starting again");
        self.pull = None;
    }

    /// Goes on with an attempt to open a consumer at the position, or begins one. A failure that may pass leaves no
    /// consumer and no error.
    async fn open(&mut self) -> Result<(), BusError> {
        if self.opening.is_none() {
            let attempt = open(
                self.bus.clone(),
                self.stream.clone(),
                self.next,
                self.limits.rows.saturating_mul(2).clamp(LEAST_AHEAD, MOST_AHEAD),
                pause(self.attempts),
            );
            self.opening = Some(attempt.boxed());
            self.attempts = self.attempts.saturating_add(1);
        }
        let Some(opening) = &mut self.opening else { return Ok(()) };
        let opened = opening.await;
        self.opening = None;
        match opened {
            Ok(Opened { pull, epoch }) => {
                self.pull = Some(pull);
                self.epoch = epoch;
                Ok(())
            }
            Err(error @ BusError::JetStream { .. }) => {
                debug!(%error, attempts = self.attempts, "cannot read yet");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// One attempt to open a consumer, after a pause, once the connection is up.
async fn open(
    bus: Bus,
    stream: String,
    from: StreamSequence,
    ahead: usize,
    pause: Duration,
) -> Result<Opened, BusError> {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    let mut connection = bus.connection();
    connection.up().await?;
    let epoch = connection.epoch();
    // A consumer that starts past the end gets nothing and no error, so the end is looked at first.
    let last = bus.stream_state(&stream).await?.last;
    if from > last.next() {
        return Err(BusError::PastEnd { stream, position: from, last });
    }
    let pull = Pull::open(&bus, &stream, from, ahead).await?;
    Ok(Opened { pull, epoch })
}

/// None before the first attempt, 0.1 s before the second, twice as long before each further one, up to
/// [`LONGEST_PAUSE`].
fn pause(attempts: u32) -> Duration {
    if attempts == 0 {
        return Duration::ZERO;
    }
    (Duration::from_millis(100) * 2_u32.pow((attempts - 1).min(10))).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use rustix::process::Signal;

    use super::*;
    use crate::bus::testing;

    const TAKE_ALL: ReadLimits = ReadLimits { rows: 1024, linger: Duration::ZERO };

    #[tokio::test]
    async fn every_message_comes_once_and_in_order_through_a_stopped_and_a_killed_server() {
        let (mut server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
        testing::publish_numbers(&bus, "clicks.a", 0..6000).await;
        let mut reader = bus.reader("CLICKS", StreamSequence::FIRST, TAKE_ALL);
        let mut numbers = testing::read_numbers(&mut reader, 1500).await;

        server.server.restart().await.unwrap();
        testing::publish_numbers(&bus, "clicks.a", 6000..7000).await;
        numbers.extend(testing::read_numbers(&mut reader, 2000).await);

        server.signal(Signal::KILL);
        server.server.restart().await.unwrap();
        testing::publish_numbers(&bus, "clicks.a", 7000..8000).await;
        let rest = 8000 - numbers.len();
        numbers.extend(testing::read_numbers(&mut reader, rest).await);

        assert_eq!(numbers, (0..8000).collect::<Vec<_>>());
        assert_eq!((reader.missing(), reader.position()), (0, StreamSequence(8001)));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_reader_that_waits_at_the_end_survives_a_restart() {
        let (mut server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
        testing::publish_numbers(&bus, "clicks.a", 0..1).await;
        let mut reader = bus.reader("CLICKS", StreamSequence::FIRST, TAKE_ALL);
        assert_eq!(testing::read_numbers(&mut reader, 1).await, [0]);
        let later = async {
            server.server.restart().await.unwrap();
            testing::publish_numbers(&bus, "clicks.a", 1..3).await;
        };
        let (numbers, ()) = tokio::join!(testing::read_numbers(&mut reader, 2), later);
        assert_eq!(numbers, [1, 2]);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn reading_goes_on_when_its_consumer_is_deleted() {
        let (server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
        testing::publish_numbers(&bus, "clicks.a", 0..10).await;
        let mut reader = bus.reader("CLICKS", StreamSequence::FIRST, TAKE_ALL);
        assert_eq!(testing::read_numbers(&mut reader, 10).await.len(), 10);
        let stream = bus.jetstream().get_stream("CLICKS").await.unwrap();
        let consumers: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
        for consumer in &consumers {
            stream.delete_consumer(consumer).await.unwrap();
        }
        assert_eq!(consumers.len(), 1);
        testing::publish_numbers(&bus, "clicks.a", 10..20).await;
        assert_eq!(testing::read_numbers(&mut reader, 10).await, (10..20).collect::<Vec<_>>());
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn messages_that_the_stream_no_longer_has_are_counted_and_passed() {
        let (server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
        testing::publish_numbers(&bus, "clicks.a", 0..20).await;
        let stream = bus.jetstream().get_stream("CLICKS").await.unwrap();
        for sequence in [1, 2, 3, 11, 12, 15] {
            stream.delete_message(sequence).await.unwrap();
        }
        let mut reader = bus.reader("CLICKS", StreamSequence::FIRST, TAKE_ALL);
        let numbers = testing::read_numbers(&mut reader, 14).await;
        assert_eq!(numbers, [3, 4, 5, 6, 7, 8, 9, 12, 13, 15, 16, 17, 18, 19]);
        assert_eq!((reader.missing(), reader.position()), (6, StreamSequence(21)));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_position_past_the_end_and_a_missing_stream_are_errors() {
        let (server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
        testing::publish_numbers(&bus, "clicks.a", 0..2).await;
        let error = bus.reader("CLICKS", StreamSequence(9), TAKE_ALL).next_batch().await.unwrap_err();
        insta::assert_snapshot!(
            error,
            @r#"stream "CLICKS" ends at 2 but reading goes on from 9: the server lost messages, or is another one"#
        );
        let error = bus.reader("NOWHERE", StreamSequence::FIRST, TAKE_ALL).next_batch().await.unwrap_err();
        assert!(matches!(error, BusError::StreamNotFound { .. }), "{error}");
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_batch_ends_at_its_rows_or_when_nothing_more_comes_within_linger() {
        let (server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
        testing::publish_numbers(&bus, "clicks.a", 0..10).await;
        let limits = ReadLimits { rows: 7, linger: Duration::from_millis(300) };
        let mut reader = bus.reader("CLICKS", StreamSequence::FIRST, limits);
        assert_eq!(reader.next_batch().await.unwrap().len(), 7);
        assert_eq!(reader.next_batch().await.unwrap().len(), 3);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_cancelled_read_loses_nothing() {
        let (server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("CLICKS", "clicks.>")).await.unwrap();
        testing::publish_numbers(&bus, "clicks.a", 0..100).await;
        // A batch that never fills: each read is cancelled while it lingers with messages in hand.
        let limits = ReadLimits { rows: 1000, linger: Duration::from_secs(3600) };
        let mut reader = bus.reader("CLICKS", StreamSequence::FIRST, limits);
        while reader.position() != StreamSequence(101) {
            assert!(reader.next_batch().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        reader.limits.linger = Duration::ZERO;
        assert_eq!(testing::read_numbers(&mut reader, 100).await, (0..100).collect::<Vec<_>>());
        server.stop().await.unwrap();
    }
}
