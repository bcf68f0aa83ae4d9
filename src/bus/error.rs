//! What can go wrong between this process and a NATS server.

use std::path::PathBuf;
use std::time::Duration;

use super::delivery::StreamSequence;
use super::key_value::Revision;
use super::stream::Difference;

/// An error of the bus.
///
/// A lost connection is not among them: calls wait for it to return. What is here needs another setting, another server or
/// a person.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// No server answered at the address, or it refused us.
    #[error("cannot connect to NATS at {url}: {reason}")]
    Connect {
        /// The address, without user name and password.
        url: String,
        /// What the client said.
        reason: String,
    },
    /// The credentials file cannot be used.
    #[error("credentials file {}: {source}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why it can't be used.
        source: std::io::Error,
    },
    /// A TLS file cannot be used; the connection is refused rather than made without it.
    #[error("TLS {role} file {}: {reason}", path.display())]
    Tls {
        /// What the file is for: `ca`, `certificate` or `key`.
        role: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it can't be used.
        reason: String,
    },
    /// Only one of client certificate and key was given.
    #[error("TLS client {given} given without its {missing}; give both or neither")]
    TlsHalf {
        /// Which one was given.
        given: &'static str,
        /// Which one is missing.
        missing: &'static str,
    },
    /// Not a subject.
    #[error("subject {subject:?} is not valid: {reason}")]
    InvalidSubject {
        /// What was given.
        subject: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A header value that would break the protocol's framing.
    #[error("value {value:?} of header {header} has a line break")]
    InvalidHeader {
        /// The header's name.
        header: &'static str,
        /// What was given.
        value: String,
    },
    /// No such stream.
    #[error("stream {stream:?} not found")]
    StreamNotFound {
        /// The stream's name.
        stream: String,
    },
    /// The stream exists with another shape.
    #[error("stream {stream:?} exists with another shape: {}; change it, or use another name", list(differences))]
    StreamDiffers {
        /// The stream's name.
        stream: String,
        /// Every difference.
        differences: Vec<Difference>,
    },
    /// Another stream already takes these subjects.
    #[error("stream {stream:?} cannot take subjects {subjects:?}: stream {other:?} has overlapping ones")]
    SubjectsOverlap {
        /// The stream that was to be created.
        stream: String,
        /// Its subjects.
        subjects: Vec<String>,
        /// The stream that has them, where it could be found out.
        other: String,
    },
    /// JetStream refused, or did not answer.
    #[error("cannot {action} stream {stream:?}: {reason}")]
    JetStream {
        /// What was asked for, a verb.
        action: &'static str,
        /// The stream's name.
        stream: String,
        /// What the server said.
        reason: String,
    },
    /// The stream ends before the position that reading should go on from: the server lost its tail or is another one.
    #[error(
        "stream {stream:?} ends at {last} but reading goes on from {position}: the server lost messages, or is another one"
    )]
    PastEnd {
        /// The stream's name.
        stream: String,
        /// The sequence to be read next.
        position: StreamSequence,
        /// The stream's last sequence.
        last: StreamSequence,
    },
    /// The message is larger than the server takes.
    #[error("message of {bytes} bytes to {subject} is larger than the server's limit of {limit}")]
    TooLarge {
        /// Where it was going.
        subject: String,
        /// Payload and headers.
        bytes: usize,
        /// The server's `max_payload`.
        limit: usize,
    },
    /// A published message was refused, or not acknowledged after several tries.
    #[error("message to {subject} not stored (sent {tries} times): {reason}{}", and_more(*others))]
    Unacknowledged {
        /// Where it was going.
        subject: String,
        /// Its message id.
        message_id: Option<String>,
        /// How often it was sent.
        tries: u32,
        /// The last answer, or that there was none.
        reason: String,
        /// How many more messages failed since the last report.
        others: usize,
    },
    /// Not a name that a bucket or a key can have.
    #[error("{what} {name:?} is not valid: {reason}")]
    InvalidName {
        /// What was to be named: `bucket`, `key` or `object`.
        what: &'static str,
        /// What was given.
        name: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A compare-and-set was lost: somebody else wrote the key first.
    #[error("key {key:?} of bucket {bucket:?} is {}, not {}: read it and decide again", at(*found), at(*expected))]
    KeyChanged {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// The revision on which the new value was to be written; `None`: the key was not to exist.
        expected: Option<Revision>,
        /// The revision that it has.
        found: Option<Revision>,
    },
    /// The bucket holds more than the caller takes.
    #[error("bucket {bucket:?} holds more than {limit} bytes of values")]
    BucketTooLarge {
        /// The bucket.
        bucket: String,
        /// The most that is taken.
        limit: u64,
    },
    /// No such object.
    #[error("object {name:?} not found in bucket {bucket:?}")]
    ObjectNotFound {
        /// The bucket.
        bucket: String,
        /// The object's name.
        name: String,
    },
    /// The object is larger than the caller takes.
    #[error("object {name:?} of bucket {bucket:?} has {bytes} bytes, more than the limit of {limit}")]
    ObjectTooLarge {
        /// The bucket.
        bucket: String,
        /// The object's name.
        name: String,
        /// Its size.
        bytes: u64,
        /// The largest size that is taken.
        limit: u64,
    },
    /// The object's description or a part of it can't be used.
    #[error("object {name:?} of bucket {bucket:?} is damaged: {reason}; store it again")]
    ObjectDamaged {
        /// The bucket.
        bucket: String,
        /// The object's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The object's bytes are not those that were stored.
    #[error("object {name:?} of bucket {bucket:?} is damaged: its digest is {found}, not {expected}; store it again")]
    ObjectDigest {
        /// The bucket.
        bucket: String,
        /// The object's name.
        name: String,
        /// The digest that was noted when it was stored.
        expected: String,
        /// The digest of the bytes that came.
        found: String,
    },
    /// A service could not be started.
    #[error("cannot serve {name:?}: {reason}")]
    Service {
        /// The service's name.
        name: String,
        /// What the client said.
        reason: String,
    },
    /// Nobody serves the subject.
    #[error("nobody answers on {subject}")]
    NoResponders {
        /// The subject asked.
        subject: String,
    },
    /// The service answered with an error.
    #[error("{subject} answered {code}: {message}")]
    Refused {
        /// The subject asked.
        subject: String,
        /// The service's error code; 503 is "busy".
        code: u16,
        /// The service's error message.
        message: String,
    },
    /// No answer in time.
    #[error("{action} took longer than {after:?}")]
    TimedOut {
        /// What was waited for.
        action: String,
        /// How long.
        after: Duration,
    },
    /// The connection was closed by us.
    #[error("the connection to NATS is closed")]
    Closed,
}

fn list(differences: &[Difference]) -> String {
    let parts: Vec<String> = differences.iter().map(ToString::to_string).collect();
    parts.join(", ")
}

fn at(revision: Option<Revision>) -> String {
    revision.map_or_else(|| "without a value".to_owned(), |revision| format!("at revision {revision}"))
}

fn and_more(others: usize) -> String {
    match others {
        0 => String::new(),
        n => format!(", and {n} more"),
    }
}
