//! Publishing to streams: pipelined, with a bounded number of messages that the server has not acknowledged.
//!
//! ```text
//!   publish ──▶ [ oldest ... newest ]  the window: at most `outstanding` messages, in the order of their first sends
//!                 │  acknowledged: leaves when it is the oldest
//!                 │  refused:      leaves, and the next call reports it
//!                 └─ no answer:    sent again under the same message id, at most `tries` times
//! ```
//!
//! There is no task behind it: answers are looked at inside [`publish`](Publisher::publish) (when the window is full) and
//! [`settle`](Publisher::settle). While the connection is down, both wait, and no try is used up.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use async_nats::Subscriber;
use async_nats::client::PublishErrorKind;
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;
use tracing::debug;

use super::answer::{Answer, Slots};
use super::bus::Bus;
use super::connection::Connection;
use super::error::BusError;
use super::outgoing::Outgoing;
use super::room::Room;
use crate::clock;

/// All of these may be answered while nobody looks, and must fit a subscription.
const MOST_OUTSTANDING: usize = 16 * 1024;

const ACK_WAIT: Duration = Duration::from_secs(5);
const TRIES: u32 = 5;

/// Publishes to streams and keeps account of what has been acknowledged.
pub struct Publisher {
    bus: Bus,
    connection: Connection,
    answers: Subscriber,
    slots: Slots,
    window: VecDeque<Waiting>,
    /// The slot of the window's oldest message.
    oldest_slot: usize,
    ack_wait: Duration,
    tries: u32,
    duplicates: u64,
    failure: Option<Failure>,
}

struct Waiting {
    message: Outgoing,
    tries: u32,
    deadline: Instant,
    done: bool,
    reason: String,
}

/// The first failure since the last report, and how many followed it.
struct Failure {
    message: Outgoing,
    tries: u32,
    reason: String,
    others: usize,
}

impl Bus {
    /// A publisher with at most `outstanding` messages (1 to 16,384) that the server has not acknowledged yet.
    ///
    /// # Errors
    /// [`BusError::Closed`] when the connection is closed.
    pub async fn publisher(&self, outstanding: usize) -> Result<Publisher, BusError> {
        Publisher::new(self, outstanding).await
    }
}

impl Publisher {
    async fn new(bus: &Bus, outstanding: usize) -> Result<Self, BusError> {
        let inbox = bus.client().new_inbox();
        let answers = bus.client().subscribe(format!("{inbox}.>")).await.map_err(|_| BusError::Closed)?;
        Ok(Self {
            bus: bus.clone(),
            connection: bus.connection(),
            answers,
            slots: Slots::new(inbox, outstanding.clamp(1, MOST_OUTSTANDING)),
            window: VecDeque::new(),
            oldest_slot: 0,
            ack_wait: ACK_WAIT,
            tries: TRIES,
            duplicates: 0,
            failure: None,
        })
    }

    /// How long to wait for an answer before sending again; 5 s unless told.
    #[must_use]
    pub fn ack_wait(mut self, wait: Duration) -> Self {
        self.ack_wait = wait;
        self
    }

    /// How often a message is sent before it is given up; 5 unless told.
    #[must_use]
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = tries.max(1);
        self
    }

    /// Sends a message, first waiting for room in the window. When cancelled while waiting, the message was not sent.
    ///
    /// # Errors
    /// About this message, which was not sent: [`BusError::InvalidHeader`], [`BusError::TooLarge`], [`BusError::Closed`].
    /// About earlier ones: [`BusError::Unacknowledged`]; this one was sent all the same.
    pub async fn publish(&mut self, message: Outgoing) -> Result<(), BusError> {
        message.check()?;
        while self.window.len() >= self.slots.count() {
            self.progress().await?;
        }
        let slot = (self.oldest_slot + self.window.len()) % self.slots.count();
        self.send(&message, slot).await?;
        self.window.push_back(Waiting {
            message,
            tries: 1,
            deadline: clock::task_now() + self.ack_wait,
            done: false,
            reason: String::new(),
        });
        self.report()
    }

    /// Waits until every message sent so far is acknowledged or given up. May be cancelled and called again.
    ///
    /// # Errors
    /// [`BusError::Unacknowledged`] for the first message since the last report that was not stored, with the number of
    /// others; [`BusError::Closed`].
    pub async fn settle(&mut self) -> Result<(), BusError> {
        while !self.window.is_empty() {
            self.progress().await?;
        }
        self.report()
    }

    /// How large a message may be at this moment.
    pub(crate) fn room(&self) -> Room {
        Room::of(self.bus.client().max_payload(), 0)
    }

    /// How many messages the stream already had, by their ids.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    fn report(&mut self) -> Result<(), BusError> {
        self.failure.take().map_or(Ok(()), |failure| Err(failure.into_error()))
    }

    /// Waits for an answer, or for the oldest message to be overdue.
    async fn progress(&mut self) -> Result<(), BusError> {
        let Some(deadline) = self.window.front().map(|oldest| oldest.deadline) else { return Ok(()) };
        tokio::select! {
            biased;
            answer = self.answers.next() => self.take(&answer.ok_or(BusError::Closed)?),
            () = tokio::time::sleep_until(deadline) => self.send_overdue().await?,
        }
        while let Some(Some(answer)) = tokio::task::unconstrained(self.answers.next()).now_or_never() {
            self.take(&answer);
        }
        while self.window.front().is_some_and(|oldest| oldest.done) {
            self.window.pop_front();
            self.oldest_slot = (self.oldest_slot + 1) % self.slots.count();
        }
        Ok(())
    }

    async fn send(&self, message: &Outgoing, slot: usize) -> Result<(), BusError> {
        let Some(reply) = self.slots.reply(slot) else { return Ok(()) };
        let (client, subject) = (self.bus.client(), message.subject.to_client());
        let payload = message.payload.clone();
        let sent = if message.message_id.is_none() && message.headers.is_empty() {
            client.publish_with_reply(subject, reply, payload).await
        } else {
            client.publish_with_reply_and_headers(subject, reply, message.header_map(), payload).await
        };
        sent.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => BusError::TooLarge {
                subject: message.subject.to_string(),
                bytes: message.bytes(),
                limit: client.max_payload(),
            },
            _ => BusError::Closed,
        })
    }

    /// Sends what is overdue again, in order, once the connection is up.
    async fn send_overdue(&mut self) -> Result<(), BusError> {
        self.connection.up().await?;
        let now = clock::task_now();
        for index in 0..self.window.len() {
            let slot = (self.oldest_slot + index) % self.slots.count();
            let Some(waiting) = self.window.get_mut(index) else { break };
            if waiting.done || waiting.deadline > now {
                continue;
            }
            if waiting.tries >= self.tries {
                self.give_up(index, None);
                continue;
            }
            waiting.tries += 1;
            waiting.deadline = now + self.ack_wait;
            let message = waiting.message.clone();
            debug!(subject = %message.subject, tries = waiting.tries, "no answer: sending again");
            self.slots.renew(slot);
            self.send(&message, slot).await?;
        }
        Ok(())
    }

    /// Takes an answer to the message that its subject names.
    fn take(&mut self, answer: &async_nats::Message) {
        let Some(slot) = self.slots.addressee(&answer.subject) else { return };
        let index = (slot + self.slots.count() - self.oldest_slot) % self.slots.count();
        let Some(waiting) = self.window.get_mut(index).filter(|waiting| !waiting.done) else { return };
        match Answer::read(answer) {
            Answer::Stored { duplicate } => {
                waiting.done = true;
                self.duplicates += u64::from(duplicate);
            }
            Answer::Refused(reason) => self.give_up(index, Some(reason)),
            Answer::NotYet(reason) => waiting.reason = reason,
        }
    }

    /// Marks the message as done and keeps the failure for the next report. `refused` is a final answer's reason.
    fn give_up(&mut self, index: usize, refused: Option<String>) {
        let slot = (self.oldest_slot + index) % self.slots.count();
        self.slots.renew(slot);
        let Some(waiting) = self.window.get_mut(index) else { return };
        waiting.done = true;
        if let Some(failure) = &mut self.failure {
            failure.others += 1;
            return;
        }
        let reason = match refused {
            Some(reason) => reason,
            None if waiting.reason.is_empty() => "no answer".to_owned(),
            None => mem::take(&mut waiting.reason),
        };
        let (message, tries) = (waiting.message.clone(), waiting.tries);
        self.failure = Some(Failure { message, tries, reason, others: 0 });
    }
}

impl Failure {
    fn into_error(self) -> BusError {
        BusError::Unacknowledged {
            subject: self.message.subject.to_string(),
            message_id: self.message.message_id,
            tries: self.tries,
            reason: self.reason,
            others: self.others,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rustix::process::Signal;

    use super::*;
    use crate::bus::{ReadLimits, StreamSequence, StreamSpec, Subject, testing};

    fn numbered(number: u64) -> Outgoing {
        Outgoing::new(Subject::new("out.a").unwrap(), number.to_string().into()).message_id(number.to_string())
    }

    #[tokio::test]
    async fn first_sends_keep_their_order_and_repeated_ids_are_stored_once() {
        let (server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("OUT", "out.>")).await.unwrap();
        let mut publisher = bus.publisher(7).await.unwrap();
        for number in (0..500).chain(200..300) {
            publisher.publish(numbered(number)).await.unwrap();
            assert!(publisher.window.len() <= 7);
        }
        publisher.settle().await.unwrap();
        assert_eq!((publisher.window.len(), publisher.duplicates()), (0, 100));
        let limits = ReadLimits { rows: 1000, linger: Duration::ZERO };
        let mut reader = bus.reader("OUT", StreamSequence::FIRST, limits);
        assert_eq!(testing::read_numbers(&mut reader, 500).await, (0..500).collect::<Vec<_>>());
        assert_eq!(bus.stream_state("OUT").await.unwrap().messages, 500);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn messages_without_an_answer_are_sent_again_and_stored_once() {
        let (server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("OUT", "out.>")).await.unwrap();
        let mut publisher = bus.publisher(64).await.unwrap().ack_wait(Duration::from_millis(100)).tries(1000);
        server.signal(Signal::STOP);
        for number in 0..20 {
            publisher.publish(numbered(number)).await.unwrap();
        }
        // Long enough for every message to be sent again at least once.
        assert!(tokio::time::timeout(Duration::from_millis(350), publisher.settle()).await.is_err());
        server.signal(Signal::CONT);
        publisher.settle().await.unwrap();
        assert_eq!(publisher.duplicates(), 20, "the answers to the last sends are the ones that count");
        assert_eq!(bus.stream_state("OUT").await.unwrap().messages, 20);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn publishing_waits_for_a_server_that_was_killed_and_loses_nothing() {
        let (mut server, bus) = testing::server().await;
        bus.ensure_stream(&testing::spec("OUT", "out.>")).await.unwrap();
        let mut publisher = bus.publisher(16).await.unwrap().ack_wait(Duration::from_millis(200)).tries(100);
        let publish = async {
            for number in 0..2000 {
                publisher.publish(numbered(number)).await.unwrap();
            }
            publisher.settle().await.unwrap();
        };
        let kill = async {
            while bus.stream_state("OUT").await.unwrap().messages < 100 {}
            server.signal(Signal::KILL);
            server.server.restart().await.unwrap();
        };
        tokio::join!(publish, kill);
        assert_eq!(bus.stream_state("OUT").await.unwrap().messages, 2000);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_refused_message_is_reported_by_the_next_call_and_its_neighbours_are_stored() {
        let (server, bus) = testing::server().await;
        let spec = StreamSpec { max_message_bytes: Some(100), ..testing::spec("OUT", "out.>") };
        bus.ensure_stream(&spec).await.unwrap();
        let mut publisher = bus.publisher(8).await.unwrap();
        let large = Outgoing::new(Subject::new("out.a").unwrap(), vec![0; 200].into()).message_id("large");
        for message in [numbered(1), large.clone(), large, numbered(2)] {
            publisher.publish(message).await.unwrap();
        }
        let error = publisher.settle().await.unwrap_err();
        insta::assert_snapshot!(
            error,
            @"message to out.a not stored (sent 1 times): message size exceeds maximum allowed, and 1 more"
        );
        assert!(publisher.settle().await.is_ok(), "reported once");
        assert_eq!(bus.stream_state("OUT").await.unwrap().messages, 2);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_subject_that_no_stream_takes_is_given_up_after_the_last_try() {
        let (server, bus) = testing::server().await;
        let mut publisher = bus.publisher(8).await.unwrap().ack_wait(Duration::from_millis(20)).tries(3);
        publisher.publish(numbered(1)).await.unwrap();
        let error = publisher.settle().await.unwrap_err();
        insta::assert_snapshot!(
            error,
            @"message to out.a not stored (sent 3 times): no stream takes the subject"
        );
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_late_answer_is_not_taken_for_that_to_a_later_message() {
        let (server, bus) = testing::server().await;
        let mut publisher = bus.publisher(1).await.unwrap().ack_wait(Duration::from_millis(20)).tries(1);
        let early = publisher.slots.reply(0).unwrap();
        publisher.publish(numbered(1)).await.unwrap();
        publisher.settle().await.unwrap_err();
        publisher.publish(numbered(2)).await.unwrap();
        let answer = Bytes::from_static(br#"{"stream":"OUT","seq":1}"#);
        bus.client().publish(early, answer).await.unwrap();
        let error = publisher.settle().await.unwrap_err();
        assert!(matches!(error, BusError::Unacknowledged { .. }), "{error}");
        server.stop().await.unwrap();
    }
}
