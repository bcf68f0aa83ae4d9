//! A message as a stream delivers it.

use std::sync::Arc;

use async_nats::{HeaderMap, HeaderName};
use bytes::Bytes;

use super::sequence::StreamSequence;
use super::subject::Subject;
use crate::event::{Flaw, Packed};

/// The payload is an Arrow IPC stream when the header `Content-Type` says so.
const CONTENT_TYPE: HeaderName = HeaderName::from_static("Content-Type");
const CONTENT_TYPE_LOWER: HeaderName = HeaderName::from_static("content-type");
const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";
pub(super) const JSON: &str = "application/json";

/// The payload is compressed when the header `Content-Encoding` says so.
const CONTENT_ENCODING: HeaderName = HeaderName::from_static("Content-Encoding");
const CONTENT_ENCODING_LOWER: HeaderName = HeaderName::from_static("content-encoding");

/// A message read from a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The bytes as published. A view of the connection's read buffer: keeping one message alive keeps its neighbours'
    /// bytes alive too.
    pub payload: Bytes,
    /// Where it is in its stream.
    pub sequence: StreamSequence,
    /// When the server stored it: microseconds since 1970 in UTC, by the server's clock. The same on every replay.
    pub published_micros: i64,
    /// What the payload holds.
    pub encoding: Encoding,
    /// What it was published to.
    pub subject: Subject,
}

impl Message {
    /// What was sent: unpacked where it came compressed, and as it came where it can't be.
    #[must_use]
    pub fn contents(&self) -> &Bytes {
        match &self.encoding {
            Encoding::Packed(packed) => packed.contents(&self.payload).unwrap_or(&self.payload),
            _ => &self.payload,
        }
    }
}

/// How a payload is written, by its headers `Content-Type` and `Content-Encoding`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// In the format that its stream is set to, which is JSON unless set: anything without a content type, or with one that is
    /// not known.
    #[default]
    OfStream,
    /// `application/json`: one object, an array of objects, or one object a line.
    Json,
    /// `application/vnd.apache.arrow.stream`: an Arrow IPC stream.
    ArrowStream,
    /// One of these, compressed.
    Packed(Arc<PackedEncoding>),
}

/// How a compressed payload is written.
#[derive(Debug, PartialEq, Eq)]
pub struct PackedEncoding {
    packed: Packed,
    /// What it holds.
    pub(crate) encoding: Encoding,
}

impl PackedEncoding {
    /// What a payload holds that is compressed so.
    ///
    /// # Errors
    /// Why that can't be told.
    pub(crate) fn contents(&self, payload: &Bytes) -> Result<&Bytes, &Flaw> {
        self.packed.unpacked(payload)
    }
}

impl Encoding {
    pub(super) fn of(headers: Option<&HeaderMap>) -> Self {
        let Some(headers) = headers else { return Self::OfStream };
        let content_type = headers.get(CONTENT_TYPE).or_else(|| headers.get(CONTENT_TYPE_LOWER));
        let encoding = match content_type {
            Some(value) if value.as_str().trim().eq_ignore_ascii_case(ARROW_STREAM) => Self::ArrowStream,
            Some(value) if value.as_str().trim().eq_ignore_ascii_case(JSON) => Self::Json,
            _ => Self::OfStream,
        };
        match packed(Some(headers)) {
            Some(packed) => Self::Packed(Arc::new(PackedEncoding { packed, encoding })),
            None => encoding,
        }
    }
}

/// How a payload is compressed; `None` where it is not.
pub(super) fn packed(headers: Option<&HeaderMap>) -> Option<Packed> {
    let headers = headers?;
    let value = headers.get(CONTENT_ENCODING).or_else(|| headers.get(CONTENT_ENCODING_LOWER))?;
    Packed::named(value.as_str())
}

/// What the reply subject of a delivered message says about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    /// Position in the stream.
    pub(super) stream: StreamSequence,
    /// Position in what this consumer has been sent, from 1 without gaps: a jump means that one was lost on the way.
    pub(super) consumer: u64,
    /// When the server stored it.
    pub(super) published_micros: i64,
}

impl Delivery {
    /// Reads `$JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer sequence>.<nanoseconds>.<pending>`, or the
    /// longer form with domain and account after `ACK`, and perhaps a token at the end.
    pub(super) fn parse(reply: &str) -> Option<Self> {
        let numbers = reply.strip_prefix("$JS.ACK.")?;
        let named = match numbers.split('.').count() {
            7 => 3,
            9.. => 5,
            _ => return None,
        };
        let mut numbers = numbers.split('.').skip(named);
        let stream = numbers.next()?.parse().ok()?;
        let consumer = numbers.next()?.parse().ok()?;
        let nanos: i64 = numbers.next()?.parse().ok()?;
        Some(Self { stream: StreamSequence(stream), consumer, published_micros: nanos.div_euclid(1000) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_reply_subject_say_the_same() {
        let expected =
            Some(Delivery { stream: StreamSequence(21), consumer: 7, published_micros: 1_700_000_000_123_456 });
        assert_eq!(Delivery::parse("$JS.ACK.CLICKS.c1.1.21.7.1700000000123456789.3"), expected);
        assert_eq!(Delivery::parse("$JS.ACK._.abc.CLICKS.c1.1.21.7.1700000000123456789.3.x"), expected);
    }

    #[test]
    fn other_reply_subjects_say_nothing() {
        for reply in ["", "_INBOX.a.b", "$JS.ACK.CLICKS.c1.1.21.7", "$JS.ACK.CLICKS.c1.1.x.7.1.3"] {
            assert_eq!(Delivery::parse(reply), None, "{reply}");
        }
    }

    #[test]
    fn content_type_decides_the_encoding_in_either_case() {
        assert_eq!(Encoding::of(None), Encoding::OfStream);
        for (name, value, expected) in [
            ("Content-Type", "application/vnd.apache.arrow.stream", Encoding::ArrowStream),
            ("content-type", "Application/vnd.apache.arrow.stream", Encoding::ArrowStream),
            ("Content-Type", "application/json", Encoding::Json),
            ("Content-Type", "application/JSON", Encoding::Json),
            ("Content-Type", "avro/binary", Encoding::OfStream),
            ("X-Other", "application/vnd.apache.arrow.stream", Encoding::OfStream),
        ] {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert(name, value);
            assert_eq!(Encoding::of(Some(&headers)), expected, "{name}: {value}");
        }
    }

    #[test]
    fn content_encoding_says_what_is_compressed_in_either_case() {
        let event = br#"{"user": 1}"#;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut encoder, event).unwrap();
        let payload = Bytes::from(encoder.finish().unwrap());
        let message = |name: &str, payload: &Bytes| {
            let mut headers = HeaderMap::new();
            headers.insert("Content-Type", ARROW_STREAM);
            headers.insert(name, "gzip");
            Message {
                payload: payload.clone(),
                sequence: StreamSequence(1),
                published_micros: 0,
                encoding: Encoding::of(Some(&headers)),
                subject: Subject::new("a").unwrap(),
            }
        };
        for name in ["Content-Encoding", "content-encoding"] {
            let message = message(name, &payload);
            assert_eq!(message.contents().as_ref(), event);
            let Encoding::Packed(packed) = &message.encoding else { panic!("{:?}", message.encoding) };
            assert_eq!(packed.encoding, Encoding::ArrowStream);
        }
        assert_eq!(message("X-Other", &payload).encoding, Encoding::ArrowStream);
        let broken = message("Content-Encoding", &payload.slice(1..));
        assert_eq!(broken.contents(), &broken.payload);
    }
}
