//! Answers to published messages: where they come, which message they belong to, and what they say.
//!
//! A publisher has one inbox, and a message in its window has a slot. The answer to it comes to
//! `<inbox>.<slot>.<generation>`. The generation grows whenever the slot's message is sent again or given up, so that a late
//! answer to an earlier send is never taken for the answer to a later one.

use async_nats::StatusCode;
use serde::Deserialize;

/// The server's code for a message id that is on its way to being stored.
const IN_PROCESS: u16 = 10158;

/// The reply subjects of a publisher, one for each slot, made once and shared by the messages that pass through.
pub(super) struct Slots {
    inbox: String,
    slots: Vec<Slot>,
}

/// What the server says about a published message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is stored; `duplicate`: it was before.
    Stored { duplicate: bool },
    /// It will never be.
    Refused(String),
    /// Not now: sending it again may help.
    NotYet(String),
}

struct Slot {
    generation: u32,
    reply: async_nats::Subject,
}

#[derive(Deserialize)]
struct Wire {
    error: Option<WireError>,
    #[serde(default)]
    duplicate: bool,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    err_code: u16,
    #[serde(default)]
    description: String,
}

impl Slots {
    /// At least one slot, below the inbox.
    pub(super) fn new(inbox: String, count: usize) -> Self {
        let slots = (0..count.max(1)).map(|slot| Slot::new(&inbox, slot, 0)).collect();
        Self { inbox, slots }
    }

    pub(super) fn count(&self) -> usize {
        self.slots.len()
    }

    /// Where the answer to the message that is in the slot now comes.
    pub(super) fn reply(&self, slot: usize) -> Option<async_nats::Subject> {
        self.slots.get(slot).map(|slot| slot.reply.clone())
    }

    /// Gives the slot a new reply subject; answers to the old one belong to nobody.
    pub(super) fn renew(&mut self, slot: usize) {
        if let Some(current) = self.slots.get_mut(slot) {
            *current = Slot::new(&self.inbox, slot, current.generation.wrapping_add(1));
        }
    }

    /// The slot that an answer is for, unless it comes too late.
    pub(super) fn addressee(&self, subject: &str) -> Option<usize> {
        let address = subject.strip_prefix(self.inbox.as_str())?.strip_prefix('.')?;
        let (slot, generation) = address.split_once('.')?;
        let (slot, generation) = (slot.parse::<usize>().ok()?, generation.parse::<u32>().ok()?);
        (self.slots.get(slot)?.generation == generation).then_some(slot)
    }
}

impl Slot {
    fn new(inbox: &str, slot: usize, generation: u32) -> Self {
        Self { generation, reply: format!("{inbox}.{slot}.{generation}").into() }
    }
}

impl Answer {
    pub(super) fn read(message: &async_nats::Message) -> Self {
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return Self::NotYet("no stream takes the subject".to_owned());
        }
        match serde_json::from_slice::<Wire>(&message.payload) {
            Ok(Wire { error: None, duplicate }) => Self::Stored { duplicate },
            // Unavailable: the stream is moving or recovering, which passes. In process: the servers of a cluster have not
            // agreed yet on an earlier copy of the message.
            Ok(
                Wire { error: Some(WireError { code: 503, description, .. }), .. }
                | Wire { error: Some(WireError { err_code: IN_PROCESS, description, .. }), .. },
            ) => Self::NotYet(description),
            Ok(Wire { error: Some(error), .. }) => Self::Refused(error.description),
            Err(error) => Self::NotYet(format!("the answer cannot be read: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_an_earlier_send_belongs_to_nobody() {
        let mut slots = Slots::new("_INBOX.x".to_owned(), 2);
        let early = slots.reply(1).unwrap();
        assert_eq!(slots.addressee(&early), Some(1));
        slots.renew(1);
        assert_eq!(slots.addressee(&early), None);
        assert_eq!(slots.addressee(&slots.reply(1).unwrap()), Some(1));
    }

    #[test]
    fn what_passes_is_told_from_what_is_final() {
        let read = |payload: &'static str| {
            Answer::read(&async_nats::Message {
                subject: "a".into(),
                reply: None,
                payload: payload.into(),
                headers: None,
                status: None,
                description: None,
                length: 0,
            })
        };
        assert_eq!(read(r#"{"stream":"A","seq":3,"duplicate":true}"#), Answer::Stored { duplicate: true });
        let passes = |text: &str| Answer::NotYet(text.to_owned());
        assert_eq!(read(r#"{"error":{"code":503,"err_code":10008,"description":"moving"}}"#), passes("moving"));
        let in_process = r#"{"error":{"code":409,"err_code":10158,"description":"in process"}}"#;
        assert_eq!(read(in_process), passes("in process"), "an earlier copy may be stored yet");
        let full = r#"{"error":{"code":400,"err_code":10077,"description":"maximum bytes exceeded"}}"#;
        assert_eq!(read(full), Answer::Refused("maximum bytes exceeded".to_owned()));
    }

    #[test]
    fn strange_addresses_belong_to_nobody() {
        let slots = Slots::new("_INBOX.x".to_owned(), 2);
        for address in ["", "_INBOX.x", "_INBOX.x.2.0", "_INBOX.x.a.0", "_INBOX.xy.0.0", "_INBOX.x.0.0.0", "_INBOX.x.0"]
        {
            assert_eq!(slots.addressee(address), None, "{address}");
        }
    }
}
