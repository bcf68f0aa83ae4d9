//! Events as they come in: the bytes of a message.

use bytes::Bytes;

use super::reject::Flaw;

/// What was received at once: the payload of a message. A decoder takes whatever can be seen as this.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// The events.
    pub content: Content<'a>,
    /// The broker's time of the message, microseconds since 1970.
    pub published_micros: i64,
}

/// Events as bytes.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// One JSON object, an array of objects, or one object a line.
    Json(&'a Bytes),
    /// An Arrow IPC stream.
    ArrowStream(&'a Bytes),
    /// An event in the format of its stream: Avro where that is set, and JSON as above where it isn't.
    OfStream(&'a Bytes),
    /// What can't be unpacked, and why.
    Packed(&'a Bytes, &'a Flaw),
}

impl<'a> Content<'a> {
    pub(super) fn bytes(self) -> &'a Bytes {
        match self {
            Self::Json(bytes) | Self::ArrowStream(bytes) | Self::OfStream(bytes) | Self::Packed(bytes, _) => bytes,
        }
    }
}
