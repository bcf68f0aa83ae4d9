//! A message on its way out.

use async_nats::HeaderName;
use async_nats::header::{HeaderMap, NATS_MESSAGE_ID};
use bytes::Bytes;

use super::delivery::JSON;
use super::error::BusError;
use super::subject::Subject;

/// A message to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub subject: Subject,
    /// The bytes.
    pub payload: Bytes,
    /// A stream with a duplicate window stores one message for each id.
    pub message_id: Option<String>,
    /// Names and values; values without line breaks.
    pub headers: Vec<(&'static str, String)>,
}

impl Outgoing {
    /// A message without id or headers.
    #[must_use]
    pub fn new(subject: Subject, payload: Bytes) -> Self {
        Self { subject, payload, message_id: None, headers: Vec::new() }
    }

    /// With an id by which the stream tells duplicates.
    #[must_use]
    pub fn message_id(mut self, id: impl Into<String>) -> Self {
        self.message_id = Some(id.into());
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// As JSON, whatever the format is that its stream is set to.
    #[must_use]
    pub fn json(self) -> Self {
        self.header("Content-Type", JSON)
    }

    /// The client panics on a line break in a header, so it is looked for here.
    pub(super) fn check(&self) -> Result<(), BusError> {
        let id = self.message_id.iter().map(|id| ("Nats-Msg-Id", id));
        let others = self.headers.iter().map(|(name, value)| (*name, value));
        for (header, value) in id.chain(others) {
            if value.contains(['\r', '\n']) {
                return Err(BusError::InvalidHeader { header, value: value.clone() });
            }
        }
        Ok(())
    }

    pub(super) fn header_map(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(id) = &self.message_id {
            headers.insert(NATS_MESSAGE_ID, id.as_str());
        }
        for (name, value) in &self.headers {
            headers.append(HeaderName::from_static(name), value.as_str());
        }
        headers
    }

    /// What the server counts against its limit: payload and headers.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.len() + self.header_bytes()
    }

    /// The headers as they are sent: a first and a last line, and `name: value` in between.
    pub(crate) fn header_bytes(&self) -> usize {
        let others = self.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let id = self.message_id.iter().map(|id| ("Nats-Msg-Id", id.as_str()));
        let lines: usize = id.chain(others).map(|(name, value)| name.len() + value.len() + 4).sum();
        if lines == 0 { 0 } else { "NATS/1.0\r\n\r\n".len() + lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_an_id_or_a_header_is_refused() {
        let message = Outgoing::new(Subject::new("out.a").unwrap(), Bytes::new());
        assert!(message.clone().message_id("one").header("Reason", "one line").check().is_ok());
        for broken in [message.clone().message_id("a\r\nb"), message.header("Reason", "a\nb")] {
            assert!(matches!(broken.check(), Err(BusError::InvalidHeader { .. })), "{broken:?}");
        }
    }

    #[test]
    fn repeated_headers_keep_all_their_values() {
        let message = Outgoing::new(Subject::new("out.a").unwrap(), Bytes::new())
            .message_id("7")
            .header("Reason", "first")
            .header("Reason", "second");
        let map = message.header_map();
        let values: Vec<_> = map.get_all("Reason").map(|value| value.as_str().to_owned()).collect();
        assert_eq!(values, ["first", "second"]);
        assert_eq!(map.get("Nats-Msg-Id").map(async_nats::HeaderValue::as_str), Some("7"));
    }
}
