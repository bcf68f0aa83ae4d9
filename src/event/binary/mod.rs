//! Events in binary formats, by a schema that the pipeline's folder has.
//!
//! ```text
//!   message ──▶ avro ──▶ JSON text, in a buffer that is reused ──▶ check, columns: as any event
//! ```
//!
//! **Promises.** A message is one event, and one that is broken takes no other along. A value is what it would be in JSON, so
//! that one contract, one set of rules and one meaning of its names counts for all formats. Nothing is allocated for an event
//! unless it fails. Its dead letter has the message's own bytes.
//!
//! **Limits.** Types nest 64 deep; how large and how deep an event may be is counted in the JSON that it becomes. A list may
//! have 65,536 items that take no byte.

mod avro;
mod json_text;
mod wanted;

pub use avro::{AvroFraming, AvroSchema};

use avro::AvroReader;

use super::contract::Contract;
use super::reject::Flaw;
use super::settings::{DecodeSettings, DecoderError};

/// Writes messages of a stream's binary format as JSON.
#[derive(Debug)]
pub(super) struct BinaryReader {
    reader: AvroReader,
    text: Vec<u8>,
}

impl BinaryReader {
    /// The reader of a stream's format; `None` where that is JSON.
    ///
    /// # Errors
    /// What the format's schema and the contract disagree on.
    pub(super) fn new(settings: &DecodeSettings, contract: &Contract) -> Result<Option<Self>, DecoderError> {
        let Some(framing) = &settings.avro else { return Ok(None) };
        let reader = AvroReader::new(framing, contract, settings.time_zone.is_some());
        let reader = reader.map_err(|detail| DecoderError::Schema { detail })?;
        Ok(Some(Self { reader, text: Vec::new() }))
    }

    /// The event of a message as JSON.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn json(&mut self, message: &[u8]) -> Result<&[u8], Flaw> {
        self.text.clear();
        self.reader.write(message, &mut self.text)?;
        Ok(&self.text)
    }
}
