//! What became of the batches that were sent: answers, and looking where there is none.

use std::time::Duration;

use tracing::{debug, warn};

use super::answer::BatchAnswer;
use super::judge::{Look, Verdict};
use super::publisher::{AtomicPublisher, Doubt};
use super::wire::belongs;
use crate::bus::error::BusError;
use crate::clock;

/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Trouble that passes by itself is not worth a warning before so many tries.
const FIRST_WARNING: u32 = 4;

impl AtomicPublisher {
    /// Takes an answer. That an earlier copy was stored is as good as the last one; its failure says nothing.
    pub(super) fn take(&mut self, message: &async_nats::Message) {
        let Some((number, attempt)) = self.addressee(&message.subject) else { return };
        let batch = self.window.iter_mut().find(|batch| batch.number == number && !batch.stored);
        let Some(batch) = batch else { return };
        match BatchAnswer::read(message) {
            BatchAnswer::Taken => {}
            BatchAnswer::Stored { sequence } if sequence == batch.place.end.0 => {
                batch.store();
                self.troubles = 0;
            }
            _ if batch.attempt != attempt => {}
            BatchAnswer::Stored { sequence } => self.doubt(&format!("stored at {sequence}")),
            BatchAnswer::Look(reason) => self.doubt(&reason),
            BatchAnswer::Never(reason) => {
                self.doubt(&reason);
                if let Some(doubt) = &mut self.doubt {
                    doubt.never.get_or_insert((number, reason));
                }
            }
        }
    }

    fn addressee(&self, subject: &str) -> Option<(u64, u32)> {
        let address = subject.strip_prefix(self.inbox.as_str())?.strip_prefix('.')?;
        let (number, attempt) = address.split_once('.')?;
        Some((number.parse().ok()?, attempt.parse().ok()?))
    }

    pub(super) fn doubt(&mut self, reason: &str) {
        if self.doubt.is_none() {
            debug!(stream = self.stream, reason, "not known to be stored: looking");
            self.doubt = Some(Doubt { reason: reason.to_owned(), never: None });
            self.trouble(reason);
        }
    }

    /// Puts the next look off, for longer each time.
    fn trouble(&mut self, reason: &str) {
        self.troubles = self.troubles.saturating_add(1);
        self.not_before = clock::task_now() + pause(self.troubles);
        if self.troubles >= FIRST_WARNING && self.troubles.is_power_of_two() {
            warn!(stream = self.stream, reason, tries = self.troubles, "a batch is not stored yet: trying again");
        }
    }

    /// Finds out what became of the window's batches, and sends again what is not stored. Cancelled, it begins again.
    pub(super) async fn resolve(&mut self) -> Result<(), BusError> {
        self.connection.up().await?;
        tokio::time::sleep_until(self.not_before).await;
        self.epoch = self.connection.epoch();
        self.take_ready();
        match self.look().await {
            Ok(()) => {}
            // The server can't say now.
            Err(BusError::JetStream { reason, .. }) => {
                self.trouble(&reason);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        if self.outstanding() == 0 {
            self.doubt = None;
            return Ok(());
        }
        if let Some(Doubt { never: Some((number, reason)), .. }) = &self.doubt
            && self.window.iter().any(|batch| batch.number == *number && !batch.stored)
        {
            return Err(self.refuse(reason.clone()));
        }
        self.send_again().await
    }

    /// Marks what is stored, wholly or in part.
    async fn look(&mut self) -> Result<(), BusError> {
        let known = self.window.iter().find(|batch| !batch.stored).map_or(self.end, |batch| batch.place.start);
        let last = self.bus.stream_state_past(&self.stream, known).await?.last;
        for batch in self.window.iter_mut().filter(|batch| !batch.stored) {
            let fenced = |found| BusError::Fenced { stream: self.stream.clone(), expected: batch.place.start, found };
            let asked = match batch.place.look(last) {
                Look::Absent => return Ok(()),
                Look::Lost => return Err(fenced(last)),
                Look::AskAt(sequence) => sequence,
            };
            let found = self.bus.message_at(&self.stream, asked).await?;
            let ours = found.is_some_and(|found| belongs(&found, &batch.name));
            match batch.place.verdict(asked, ours) {
                Verdict::Stored => {
                    batch.store();
                    self.troubles = 0;
                }
                Verdict::Part { messages } => {
                    warn!(
                        stream = self.stream,
                        batch = batch.name,
                        messages,
                        "a batch is stored in part: sending the rest"
                    );
                    batch.skipped = messages;
                    return Ok(());
                }
                Verdict::Foreign => return Err(fenced(last)),
            }
        }
        Ok(())
    }

    /// New copies of everything that is not stored.
    async fn send_again(&mut self) -> Result<(), BusError> {
        for batch in self.window.iter_mut().filter(|batch| !batch.stored) {
            batch.attempt += 1;
            batch.sent = 0;
            batch.deadline = clock::task_now() + self.answer_wait;
        }
        let reason = self.doubt.take().map(|doubt| doubt.reason).unwrap_or_default();
        debug!(stream = self.stream, reason, batches = self.outstanding(), "sending again");
        self.pump().await
    }
}

/// None before the first look, 50 ms before the second, twice as long before each further one, up to [`LONGEST_PAUSE`].
fn pause(troubles: u32) -> Duration {
    match troubles.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => (Duration::from_millis(50) * 2_u32.pow(doublings.min(10))).min(LONGEST_PAUSE),
    }
}
