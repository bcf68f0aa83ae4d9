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

use super::anchor::Anchor;
use super::bus::Bus;
use super::connection::{Connection, SUBSCRIPTION_MESSAGES};
use super::delivery::Message;
use super::error::BusError;
use super::pull::{Arrival, Loss, Pull, Wanted};
use super::sequence::StreamSequence;
use super::sources::{SourceChange, SourceStream, Sources};
use super::subject::Subject;

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
    gap: Option<Missing>,
    /// Only messages on these subjects, if there are any.
    filters: Vec<Subject>,
    /// Which streams the messages are from, where the stream takes them from others and somebody wants to know.
    sources: Option<Sources>,
    /// When the stream that is read was created.
    created_micros: i64,
    /// The last message that was given out, or what the caller recorded before.
    anchor: Option<Anchor>,
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
    created_micros: i64,
}

/// Positions that the stream no longer had a message for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The first of them.
    pub first: StreamSequence,
    /// The last of them; there may be messages between.
    pub last: StreamSequence,
    /// How many.
    pub messages: u64,
}

impl Bus {
    /// A reader of the stream that starts with the message at `from`, or the first one after it that still exists.
    ///
    /// Nothing is sent yet: errors come from the first read.
    #[must_use]
    pub fn reader(&self, stream: &str, from: StreamSequence, limits: ReadLimits) -> Reader {
        Reader::new(self.clone(), stream, from, limits)
    }

    /// As [`reader`](Self::reader), of the messages on one subject only (wildcards allowed).
    #[must_use]
    pub fn reader_of(&self, stream: &str, subject: &Subject, from: StreamSequence, limits: ReadLimits) -> Reader {
        self.reader_through(stream, std::slice::from_ref(subject), from, limits)
    }

    /// As [`reader`](Self::reader), of the messages on these subjects only (wildcards allowed, none overlaps another). Others
    /// are passed, and so is what the stream no longer has: nobody can tell whose that was.
    #[must_use]
    pub(crate) fn reader_through(
        &self,
        stream: &str,
        subjects: &[Subject],
        from: StreamSequence,
        limits: ReadLimits,
    ) -> Reader {
        Reader { filters: subjects.to_vec(), ..Reader::new(self.clone(), stream, from, limits) }
    }
}

impl Reader {
    fn new(bus: Bus, stream: &str, from: StreamSequence, limits: ReadLimits) -> Self {
        Self {
            connection: bus.connection(),
            bus,
            stream: stream.to_owned(),
            limits: ReadLimits { rows: limits.rows.max(1), ..limits },
            next: from.max(StreamSequence::FIRST),
            gap: None,
            filters: Vec::new(),
            sources: None,
            created_micros: 0,
            anchor: None,
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
    /// read, [`BusError::Recreated`] and [`BusError::Rewritten`] when it is not the stream that was read,
    /// [`BusError::Closed`].
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
        self.anchor = self.anchor();
        batch.clear();
        mem::swap(batch, &mut self.received);
        Ok(())
    }

    /// Before it reads, makes sure that the stream is the one that the caller has read before. Afterwards that is done at
    /// each reconnect anyway, with the last message that was given out.
    #[must_use]
    pub fn expecting(mut self, anchor: Anchor) -> Self {
        self.anchor = Some(anchor);
        self
    }

    /// The last message that was given out (before there is one: what was [expected](Self::expecting)), for a reader that
    /// goes on after it.
    #[must_use]
    pub fn anchor(&self) -> Option<Anchor> {
        let last = self.received.last();
        last.map(|message| Anchor::of(message, self.created_micros)).or(self.anchor)
    }

    /// Takes note from which streams its own has the messages after this one, where those are the ones that are known.
    pub(crate) fn watch_sources(&mut self, known: Vec<SourceStream>, after: StreamSequence) {
        self.sources = Some(Sources::known(known, after));
    }

    /// The streams that its own has messages from, as far as they are known.
    pub(crate) fn sources(&self) -> &[SourceStream] {
        self.sources.as_ref().map_or(&[], Sources::all)
    }

    /// The first of those that was found to be another one since this was last asked.
    pub(crate) fn take_source_change(&mut self) -> Option<SourceChange> {
        self.sources.as_mut().and_then(Sources::take_change)
    }

    /// What was found to be missing since this was last asked.
    pub fn take_missing(&mut self) -> Option<Missing> {
        self.gap.take()
    }

    /// The position that the next message is expected at.
    #[must_use]
    pub fn position(&self) -> StreamSequence {
        self.next
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
        let Arrival::Message(message, source) = arrival else { return };
        if message.sequence < self.next {
            return;
        }
        if let (Some(sources), Some(source)) = (&mut self.sources, source) {
            sources.take(source.as_str(), message.sequence);
        }
        let gap = message.sequence.0 - self.next.0;
        if gap > 0 && self.filters.is_empty() {
            let first = self.gap.map_or(self.next, |earlier| earlier.first);
            let messages = gap + self.gap.map_or(0, |earlier| earlier.messages);
            self.gap = Some(Missing { first, last: StreamSequence(message.sequence.0 - 1), messages });
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
                self.filters.clone(),
                self.sources.is_some(),
                self.next,
                self.anchor(),
                self.limits.rows.saturating_mul(2).clamp(LEAST_AHEAD, MOST_AHEAD),
            );
            let pause = pause(self.attempts);
            let later = async move {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                attempt.await
            };
            self.opening = Some(later.boxed());
            self.attempts = self.attempts.saturating_add(1);
        }
        let Some(opening) = &mut self.opening else { return Ok(()) };
        let opened = opening.await;
        self.opening = None;
        match opened {
            Ok(Opened { pull, epoch, created_micros }) => {
                self.created_micros = created_micros;
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

/// One attempt to open a consumer, once the connection is up.
async fn open(
    bus: Bus,
    stream: String,
    filters: Vec<Subject>,
    tells_sources: bool,
    from: StreamSequence,
    anchor: Option<Anchor>,
    ahead: usize,
) -> Result<Opened, BusError> {
    let mut connection = bus.connection();
    connection.up().await?;
    let epoch = connection.epoch();
    // A consumer that starts past the end gets nothing and no error, so the end is looked at first.
    let state = bus.stream_state_past(&stream, StreamSequence(from.0.saturating_sub(1))).await?;
    if let Some(anchor) = anchor {
        bus.check_anchor(&stream, &state, anchor).await?;
    }
    let last = state.last;
    if from > last.next() {
        return Err(BusError::PastEnd { stream, position: from, last });
    }
    let wanted = Wanted { from, subjects: &filters, kept_for: state.consumers_kept_for, tells_sources };
    let pull = Pull::open(&bus, &stream, wanted, ahead).await?;
    Ok(Opened { pull, epoch, created_micros: state.created_micros })
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
mod tests;
