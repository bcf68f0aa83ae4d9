//! Events on their way into a step: as messages of the broker, or as columns. From here on both are the same.

use bytes::Bytes;

use super::batch::EventBatch;
use super::error::StepError;
use crate::bus::{Encoding, Message, StreamSequence};
use crate::event::{Content, Decoded, Decoder, Payload, stream_of};
use crate::pipeline::{StreamIndex, StreamPlan};

/// Events of one stream, in its order.
#[derive(Clone, Copy)]
pub enum Events<'a> {
    /// As the broker has them.
    Messages(&'a [Message]),
    /// As columns.
    Batch(&'a EventBatch),
}

/// Events with what is known of their stream.
#[derive(Clone, Copy)]
pub(super) struct Incoming<'a> {
    /// Index of the stream.
    pub(super) stream: StreamIndex,
    /// Its plan.
    pub(super) plan: &'a StreamPlan,
    pub(super) events: Events<'a>,
}

impl Events<'_> {
    /// How many messages or rows there are.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Messages(messages) => messages.len(),
            Self::Batch(batch) => batch.num_rows(),
        }
    }

    /// How many messages or rows there are up to the first message after this time of the broker, and with it; all where
    /// there is none.
    pub(super) fn until(self, micros: i64) -> usize {
        match self {
            Self::Messages(messages) => {
                let first = messages.iter().position(|message| message.published_micros > micros);
                first.map_or(messages.len(), |first| first + 1)
            }
            Self::Batch(batch) => {
                let first = batch.published_micros().iter().position(|published| *published > micros);
                first.map_or(batch.num_rows(), |first| batch.message(first).end)
            }
        }
    }
}

impl<'a> Incoming<'a> {
    /// The columns of events that keep the contract, and the others.
    pub(super) fn decode(self, decoder: &mut Decoder) -> Result<Decoded, StepError> {
        match self.events {
            Events::Messages(messages) => Ok(decoder.decode(messages)?),
            Events::Batch(batch) => decoder
                .decode_rows(batch.rows(), &batch.origin(), batch.published_micros())
                .map_err(|source| StepError::Rows { stream: self.plan.name.clone(), source }),
        }
    }

    /// The last message.
    pub(super) fn last(self) -> Option<StreamSequence> {
        match self.events {
            Events::Messages(messages) => messages.last().map(|message| message.sequence),
            Events::Batch(batch) => batch.num_rows().checked_sub(1).map(|row| batch.sequence(row)),
        }
    }

    /// Where the message is that an event came with, by the event's origin.
    pub(super) fn sequence(self, origin: u32) -> StreamSequence {
        match self.events {
            Events::Messages(messages) => messages[origin as usize].sequence,
            Events::Batch(batch) => batch.sequence(origin as usize),
        }
    }

    /// The broker's time of that message.
    pub(super) fn published_micros(self, origin: u32) -> i64 {
        match self.events {
            Events::Messages(messages) => messages[origin as usize].published_micros,
            Events::Batch(batch) => batch.published_micros()[origin as usize],
        }
    }

    /// The partition of that message; nothing where the stream is one.
    pub(super) fn partition(self, origin: u32) -> &'a str {
        match self.events {
            _ if !self.plan.partition_by_subject => "",
            Events::Messages(messages) => messages[origin as usize].subject.as_str(),
            Events::Batch(batch) => batch.subject(origin as usize),
        }
    }

    /// The whole message, for a dead letter. Where it came as columns it is an Arrow stream of its rows.
    pub(super) fn message(self, origin: u32) -> Bytes {
        match self.events {
            Events::Messages(messages) => messages[origin as usize].contents().clone(),
            Events::Batch(batch) => {
                // What could be decoded can be written.
                let written = batch.written(origin as usize, |rows| stream_of(&self.plan.contract, rows));
                written.unwrap_or_else(|error| {
                    let (stream, sequence) = (&self.plan.name, self.sequence(origin).0);
                    tracing::error!(stream, sequence, %error, "a dead letter has no message, as its rows can't be written");
                    Bytes::new()
                })
            }
        }
    }
}

impl<'a> From<&'a Message> for Payload<'a> {
    fn from(message: &'a Message) -> Self {
        let content = match &message.encoding {
            Encoding::Packed(packed) => match packed.contents(&message.payload) {
                Ok(contents) => content(&packed.encoding, contents),
                Err(flaw) => Content::Packed(&message.payload, flaw),
            },
            encoding => content(encoding, &message.payload),
        };
        Self { content, published_micros: message.published_micros }
    }
}

fn content<'a>(encoding: &Encoding, bytes: &'a Bytes) -> Content<'a> {
    match encoding {
        Encoding::ArrowStream => Content::ArrowStream(bytes),
        Encoding::OfStream => Content::OfStream(bytes),
        // What is compressed twice is no event.
        Encoding::Json | Encoding::Packed(_) => Content::Json(bytes),
    }
}

impl<'a> From<&'a [Message]> for Events<'a> {
    fn from(messages: &'a [Message]) -> Self {
        Self::Messages(messages)
    }
}

impl<'a, const COUNT: usize> From<&'a [Message; COUNT]> for Events<'a> {
    fn from(messages: &'a [Message; COUNT]) -> Self {
        Self::Messages(messages)
    }
}

impl<'a> From<&'a Vec<Message>> for Events<'a> {
    fn from(messages: &'a Vec<Message>) -> Self {
        Self::Messages(messages)
    }
}

impl<'a> From<&'a EventBatch> for Events<'a> {
    fn from(batch: &'a EventBatch) -> Self {
        Self::Batch(batch)
    }
}

#[cfg(test)]
mod tests;
