//! A reply that says why there is none: NATS clients see it by its headers, and everybody else by its body.
//!
//! ```text
//!   Nats-Service-Error-Code: 422
//!   Nats-Service-Error: nothing could be scored: ...
//!
//!   {"error":{"code":422,"message":"nothing could be scored: ...","request_id":"r1"}}
//! ```
//!
//! A request that is a JSON object with a text `request_id` gets it back. What fits no message is cut.

use async_nats::HeaderMap;
use async_nats::service::error::Error as Counted;
use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The longest text of an error, in header and body; longer ones are cut.
const LONGEST_MESSAGE: usize = 4_096;

/// A text is cut no shorter than this.
const SHORTEST_MESSAGE: usize = 64;

/// A longer name of a request is not given back.
const LONGEST_ID: usize = 256;

/// A reply that says why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceError {
    /// As in HTTP: 400 for a malformed request, 413 for a reply that is too large, 500 for a failure of ours, 503 for busy.
    pub code: u16,
    /// What is wrong, for the caller.
    pub message: String,
}

/// The message that an error is sent as.
pub(super) struct Refusal {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What statistics show as the last error.
    pub(super) counted: Counted,
}

#[derive(Serialize)]
struct Body<'a> {
    error: Described<'a>,
}

#[derive(Serialize)]
struct Described<'a> {
    code: u16,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl ServiceError {
    /// 503: there is no room in the queue.
    #[must_use]
    pub fn busy() -> Self {
        Self { code: 503, message: "busy".to_owned() }
    }

    /// 413: a reply has more bytes than the server takes in a message.
    #[must_use]
    pub(crate) fn too_large(bytes: usize, limit: usize) -> Self {
        let message = format!(
            "the reply has {bytes} bytes, and the server takes {limit} in a message: ask for less at once, or raise \
             `max_payload` of the server"
        );
        Self { code: 413, message }
    }

    /// The answer to a request, of at most `most_bytes`.
    pub(super) fn refuse(&self, request: &[u8], most_bytes: usize) -> Refusal {
        let request_id = request_id(request);
        let mut longest = LONGEST_MESSAGE;
        loop {
            let refusal = self.cut_to(longest, request_id.as_deref());
            if refusal.bytes() <= most_bytes || longest <= SHORTEST_MESSAGE {
                return refusal;
            }
            longest /= 2;
        }
    }

    fn cut_to(&self, longest: usize, request_id: Option<&str>) -> Refusal {
        let mut message = self.message.clone();
        if message.len() > longest {
            message.truncate(message.floor_char_boundary(longest));
            message.push_str("...");
        }
        // In a header a line break would end it.
        let status = message.replace(['\r', '\n'], " ");
        let mut headers = HeaderMap::new();
        headers.insert(NATS_SERVICE_ERROR, status.as_str());
        headers.insert(NATS_SERVICE_ERROR_CODE, self.code.to_string().as_str());
        let body = Body { error: Described { code: self.code, message: &message, request_id } };
        // Texts and a number always become JSON; without a body the headers say the same.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        Refusal { headers, body: body.into(), counted: Counted { code: self.code.into(), status } }
    }
}

impl Refusal {
    /// What the server counts against its limit: headers as they are sent, and body.
    fn bytes(&self) -> usize {
        let lines = self.headers.iter().flat_map(|(name, values)| {
            let name = AsRef::<str>::as_ref(name).len();
            values.iter().map(move |value| name + value.as_str().len() + 4)
        });
        "NATS/1.0\r\n\r\n".len() + lines.sum::<usize>() + self.body.len()
    }
}

/// What a request calls itself, if it does.
fn request_id(request: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        request_id: String,
    }
    let named: Named = serde_json::from_slice(request).ok()?;
    (named.request_id.len() <= LONGEST_ID).then_some(named.request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str) -> ServiceError {
        ServiceError { code: 422, message: message.to_owned() }
    }

    fn body(refusal: &Refusal) -> &str {
        std::str::from_utf8(&refusal.body).unwrap()
    }

    #[test]
    fn headers_and_body_say_the_same_and_a_request_is_named_if_it_names_itself() {
        let long = format!(r#"{{"request_id": "{}"}}"#, "r".repeat(LONGEST_ID + 1));
        for (request, name) in [
            (r#"{"items": [1], "request_id": "r\"1"}"#, r#","request_id":"r\"1""#),
            (r#"{"request_id": 7}"#, ""),
            (r#"["request_id", "r1"]"#, ""),
            (r#"{"request_id": "r1""#, ""),
            ("SELECT 1", ""),
            (long.as_str(), ""),
        ] {
            let refusal = error("no row\nof \"users\"").refuse(request.as_bytes(), 1 << 20);
            let header = |name| refusal.headers.get(name).map(async_nats::HeaderValue::as_str);
            assert_eq!(header(NATS_SERVICE_ERROR), Some("no row of \"users\""));
            assert_eq!(header(NATS_SERVICE_ERROR_CODE), Some("422"));
            let expected = format!(r#"{{"error":{{"code":422,"message":"no row\nof \"users\""{name}}}}}"#);
            assert_eq!(body(&refusal), expected, "{request}");
        }
    }

    #[test]
    fn a_long_text_is_cut_until_the_message_fits() {
        let request = format!(r#"{{"request_id": "{}"}}"#, "\\u0001".repeat(LONGEST_ID));
        // A sign of the text has six in the body.
        let long = error(&"\u{1}".repeat(20_000));
        for most_bytes in [3_328, 10_000, 1 << 20] {
            let refusal = long.refuse(request.as_bytes(), most_bytes);
            assert!(refusal.bytes() <= most_bytes, "{} of {most_bytes}", refusal.bytes());
            let read: serde_json::Value = serde_json::from_slice(&refusal.body).unwrap();
            assert_eq!(read["error"]["request_id"].as_str().map(str::len), Some(LONGEST_ID));
            assert!(read["error"]["message"].as_str().unwrap().ends_with("\u{1}..."));
        }
        assert_eq!(long.refuse(b"", 1 << 20).counted.status.len(), LONGEST_MESSAGE + 3);
    }
}
