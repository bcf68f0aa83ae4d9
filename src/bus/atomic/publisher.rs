//! The window of batches and how they are sent.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::Subscriber;
use async_nats::client::PublishErrorKind;
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::judge::Place;
use super::wire::{Part, takes};
use crate::bus::bus::Bus;
use crate::bus::connection::Connection;
use crate::bus::error::BusError;
use crate::bus::outgoing::Outgoing;
use crate::bus::room::Room;
use crate::bus::sequence::StreamSequence;
use crate::clock;

/// The most messages that the server takes in one batch.
const MOST_MESSAGES: usize = 1000;

/// The server keeps at most 50 unfinished batches of a stream; copies under earlier ids count as well.
const MOST_IN_FLIGHT: usize = 16;

/// How long to wait for an answer before looking. The server gives an unfinished batch up after 10 s.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// The server says what is wrong with a message only if it is asked about that message: from this copy of a batch on, it
/// is asked about each.
const ASK_EACH: u32 = 2;

/// The most that the headers of a batch add to a message.
const HEADER_BYTES: usize = 256;

/// Publishes to one stream in atomic batches, of which each follows the one before without anything between them.
///
/// There is no task behind it: answers are looked at inside [`send`](Self::send), [`committed`](Self::committed) and
/// [`settle`](Self::settle).
pub struct AtomicPublisher {
    pub(super) bus: Bus,
    pub(super) connection: Connection,
    /// How often the connection had come up when we last looked; another number means that answers may be lost.
    pub(super) epoch: u64,
    pub(super) stream: String,
    /// What the stream takes.
    pub(super) subjects: Vec<String>,
    pub(super) answers: Subscriber,
    pub(super) inbox: String,
    pub(super) id: String,
    pub(super) in_flight: usize,
    pub(super) answer_wait: Duration,
    pub(super) window: VecDeque<Batch>,
    /// Where the stream ends once everything in the window is stored.
    pub(super) end: StreamSequence,
    /// The number of the next batch.
    pub(super) next: u64,
    pub(super) doubt: Option<Doubt>,
    /// How often there was doubt, or looking failed, since a batch was last found to be stored.
    pub(super) troubles: u32,
    /// Before this there is no further look.
    pub(super) not_before: Instant,
}

/// A batch that `committed` has not given out yet.
pub(super) struct Batch {
    /// The publisher's id and the batch's number.
    pub(super) name: String,
    pub(super) number: u64,
    pub(super) place: Place,
    /// Empty once it is stored.
    pub(super) messages: Vec<Outgoing>,
    /// Which copy of it is being sent.
    pub(super) attempt: u32,
    /// So many of its messages the server has from an earlier copy.
    pub(super) skipped: usize,
    /// So many have been handed to the client.
    pub(super) sent: usize,
    pub(super) deadline: Instant,
    pub(super) stored: bool,
}

/// The time in which it is not known what became of the window's batches.
pub(super) struct Doubt {
    pub(super) reason: String,
    /// A reason why no copy of the batch with this number will ever be taken.
    pub(super) never: Option<(u64, String)>,
}

impl Bus {
    /// A publisher of atomic batches to one stream, which must end at `last` when the first batch arrives. At most
    /// `in_flight` (1 to 16) batches are sent without being known to be stored.
    ///
    /// # Errors
    /// [`BusError::BatchRefused`] when the stream does not allow atomic batches; [`BusError::StreamNotFound`];
    /// [`BusError::JetStream`] when the server doesn't answer; [`BusError::Closed`].
    pub async fn atomic_publisher(
        &self,
        stream: &str,
        last: StreamSequence,
        in_flight: usize,
    ) -> Result<AtomicPublisher, BusError> {
        AtomicPublisher::new(self, stream, last, in_flight).await
    }
}

impl AtomicPublisher {
    async fn new(bus: &Bus, stream: &str, last: StreamSequence, in_flight: usize) -> Result<Self, BusError> {
        let subjects = bus.atomic_subjects(stream).await?;
        let inbox = bus.client().new_inbox();
        let answers = bus.client().subscribe(format!("{inbox}.>")).await.map_err(|_| BusError::Closed)?;
        let connection = bus.connection();
        Ok(Self {
            epoch: connection.epoch(),
            connection,
            stream: stream.to_owned(),
            subjects,
            answers,
            inbox,
            id: bus.unique_id(),
            bus: bus.clone(),
            in_flight: in_flight.clamp(1, MOST_IN_FLIGHT),
            answer_wait: ANSWER_WAIT,
            window: VecDeque::new(),
            end: last,
            next: 1,
            doubt: None,
            troubles: 0,
            not_before: clock::task_now(),
        })
    }

    /// How long to wait for an answer before looking what became of a batch; 5 s unless told.
    #[cfg(test)]
    pub(super) fn answer_wait(mut self, wait: Duration) -> Self {
        self.answer_wait = wait;
        self
    }

    /// What is in the header `Tidewheel-Batch` before the number of the batch.
    #[cfg(test)]
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Where the stream ends once everything that was sent is stored.
    #[must_use]
    pub fn end(&self) -> StreamSequence {
        self.end
    }

    /// How many batches are not known to be stored.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.window.iter().filter(|batch| !batch.stored).count()
    }

    /// Whether [`send`](Self::send) takes a batch without waiting for an earlier one.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.outstanding() < self.in_flight
    }

    /// How large a message of a batch may be at this moment: the server's limit less what a batch adds. Another server may have
    /// another limit, and be the one that the connection comes back to.
    pub(crate) fn room(&self) -> Room {
        Room::of(self.bus.client().max_payload(), HEADER_BYTES)
    }

    /// Sends a batch of 1 to 1,000 messages to the stream, first waiting while `in_flight` batches are not stored. Doesn't
    /// wait for its answer.
    ///
    /// Cancelled while there is no [room](Self::has_room), it has taken nothing; cancelled later, the batch is taken and
    /// sending it goes on with the next call of any kind.
    ///
    /// # Errors
    /// About this batch, of which nothing was sent: [`BusError::BatchRefused`], [`BusError::TooLarge`],
    /// [`BusError::InvalidHeader`]. About this one or earlier ones, which this publisher can't get past:
    /// [`BusError::Fenced`], [`BusError::BatchRefused`], [`BusError::StreamNotFound`], [`BusError::Closed`].
    pub async fn send(&mut self, messages: Vec<Outgoing>) -> Result<(), BusError> {
        self.check(&messages)?;
        while !self.has_room() {
            self.progress().await?;
        }
        let number = self.next;
        let place = Place { start: self.end, end: self.end.after(messages.len()) };
        self.next += 1;
        self.end = place.end;
        self.window.push_back(Batch {
            name: format!("{}-{number}", self.id),
            number,
            place,
            messages,
            attempt: 0,
            skipped: 0,
            sent: 0,
            deadline: clock::task_now() + self.answer_wait,
            stored: false,
        });
        self.take_ready();
        if self.doubt.is_none() { self.pump().await } else { Ok(()) }
    }

    /// Waits until the oldest batch that was not given out yet is stored, and gives the sequence of its last message;
    /// `None` when there is none. May be cancelled and called again.
    ///
    /// # Errors
    /// [`BusError::Fenced`], [`BusError::BatchRefused`], [`BusError::StreamNotFound`], [`BusError::Closed`].
    pub async fn committed(&mut self) -> Result<Option<StreamSequence>, BusError> {
        loop {
            match self.window.front() {
                None => return Ok(None),
                Some(batch) if batch.stored => {
                    let end = batch.place.end;
                    self.window.pop_front();
                    return Ok(Some(end));
                }
                Some(_) => self.progress().await?,
            }
        }
    }

    /// Waits until every batch is stored, and gives the last sequence; [`committed`](Self::committed) has nothing to give
    /// then. May be cancelled and called again.
    ///
    /// # Errors
    /// As [`committed`](Self::committed).
    pub async fn settle(&mut self) -> Result<StreamSequence, BusError> {
        while self.committed().await?.is_some() {}
        Ok(self.end)
    }

    fn check(&self, messages: &[Outgoing]) -> Result<(), BusError> {
        if messages.is_empty() || messages.len() > MOST_MESSAGES {
            return Err(self.refuse(format!("it has {} messages, not 1 to {MOST_MESSAGES}", messages.len())));
        }
        for message in messages {
            message.check()?;
            self.bus.check_size(&message.subject, message.bytes() + HEADER_BYTES)?;
            if !self.subjects.iter().any(|subject| takes(subject, message.subject.as_str())) {
                return Err(self.refuse(format!("the stream does not take subject {}", message.subject)));
            }
        }
        Ok(())
    }

    pub(super) fn refuse(&self, reason: String) -> BusError {
        BusError::BatchRefused { stream: self.stream.clone(), reason }
    }

    /// Hands what has not been sent yet to the client. Only the oldest batch that is not stored is committed: the last
    /// message of a later one waits. Cancelled, it goes on where it was.
    pub(super) async fn pump(&mut self) -> Result<(), BusError> {
        let client = self.bus.client();
        for (index, batch) in self.window.iter_mut().filter(|batch| !batch.stored).enumerate() {
            while let Some(message) = batch.messages.get(batch.skipped + batch.sent) {
                let commits = batch.skipped + batch.sent + 1 == batch.messages.len();
                if commits && index > 0 {
                    break;
                }
                let part = Part {
                    batch: &batch.name,
                    attempt: batch.attempt,
                    position: batch.sent + 1,
                    expected: (batch.sent == 0).then_some(batch.place.start.after(batch.skipped)),
                    commits,
                };
                let (subject, headers) = (message.subject.to_client(), part.headers(message));
                let payload = message.payload.clone();
                let sent = if commits || batch.attempt >= ASK_EACH {
                    let reply = format!("{}.{}.{}", self.inbox, batch.number, batch.attempt);
                    client.publish_with_reply_and_headers(subject, reply, headers, payload).await
                } else {
                    client.publish_with_headers(subject, headers, payload).await
                };
                sent.map_err(|error| match error.kind() {
                    PublishErrorKind::MaxPayloadExceeded => BusError::TooLarge {
                        subject: message.subject.to_string(),
                        bytes: message.bytes() + HEADER_BYTES,
                        limit: client.max_payload(),
                    },
                    _ => BusError::Closed,
                })?;
                batch.sent += 1;
                batch.deadline = clock::task_now() + self.answer_wait;
            }
        }
        Ok(())
    }

    /// Gets something nearer to being known: takes an answer, or looks.
    async fn progress(&mut self) -> Result<(), BusError> {
        if self.doubt.is_some() {
            return self.resolve().await;
        }
        self.pump().await?;
        if self.connection.epoch() != self.epoch {
            self.epoch = self.connection.epoch();
            self.doubt("the connection was lost");
            return Ok(());
        }
        let Some(deadline) = self.window.iter().find(|batch| !batch.stored).map(|batch| batch.deadline) else {
            return Ok(());
        };
        tokio::select! {
            biased;
            answer = self.answers.next() => self.take(&answer.ok_or(BusError::Closed)?),
            changed = self.connection.changed() => changed?,
            () = tokio::time::sleep_until(deadline) => self.doubt("no answer"),
        }
        self.take_ready();
        Ok(())
    }

    pub(super) fn take_ready(&mut self) {
        while let Some(Some(answer)) = tokio::task::unconstrained(self.answers.next()).now_or_never() {
            self.take(&answer);
        }
    }
}

impl Batch {
    pub(super) fn store(&mut self) {
        self.stored = true;
        self.messages = Vec::new();
    }
}

#[cfg(test)]
impl AtomicPublisher {
    /// Hears no answer any more, as if all were lost on their way.
    pub(super) async fn deaf(&mut self) {
        self.answers = self.bus.client().subscribe(self.bus.client().new_inbox()).await.unwrap();
    }
}
