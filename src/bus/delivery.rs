//! A message as a stream delivers it.

use async_nats::HeaderName;
use bytes::Bytes;

use super::sequence::StreamSequence;
use super::subject::Subject;

/// The payload is an Arrow IPC stream when the header `Content-Type` says so.
const CONTENT_TYPE: HeaderName = HeaderName::from_static("Content-Type");
const CONTENT_TYPE_LOWER: HeaderName = HeaderName::from_static("content-type");
const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";

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

/// How a payload is written, by its `Content-Type` header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// JSON: one object, an array of objects, or one object a line. Also anything without a content type, or with one
    /// that is not known.
    #[default]
    Json,
    /// `application/vnd.apache.arrow.stream`: an Arrow IPC stream.
    ArrowStream,
}

impl Encoding {
    pub(super) fn of(headers: Option<&async_nats::HeaderMap>) -> Self {
        let Some(headers) = headers else { return Self::Json };
        let content_type = headers.get(CONTENT_TYPE).or_else(|| headers.get(CONTENT_TYPE_LOWER));
        match content_type {
            Some(value) if value.as_str().trim().eq_ignore_ascii_case(ARROW_STREAM) => Self::ArrowStream,
            _ => Self::Json,
        }
    }
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
        assert_eq!(Encoding::of(None), Encoding::Json);
        for (name, value, expected) in [
            ("Content-Type", "application/vnd.apache.arrow.stream", Encoding::ArrowStream),
            ("content-type", "Application/vnd.apache.arrow.stream", Encoding::ArrowStream),
            ("Content-Type", "application/json", Encoding::Json),
            ("X-Other", "application/vnd.apache.arrow.stream", Encoding::Json),
        ] {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert(name, value);
            assert_eq!(Encoding::of(Some(&headers)), expected, "{name}: {value}");
        }
    }
}
