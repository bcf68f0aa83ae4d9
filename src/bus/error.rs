//! What can go wrong between this process and a NATS server.

mod judgement;
mod words;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use self::words::{and_more, at, list, moment, reserved_by, way_out};
use super::difference::Difference;
use super::key_value::Revision;
use super::sequence::StreamSequence;

/// An error of the bus.
///
/// A lost connection is not among them for readers and publishers, which wait for it to return. A question that was not
/// answered in time is, with the remedy `wait`; the others need another setting, another server or a person.
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
    /// There is no stream of the name that is to be read.
    #[error(
        "there is no stream {stream:?} in {place} of the server: a stream that a pipeline names as its `source` is made by \
         whoever publishes to it; see `nats stream ls`, or leave `source` out to have one made"
    )]
    SourceNotFound {
        /// The stream's name.
        stream: String,
        /// Which JetStream was asked.
        place: String,
    },
    /// A stream over which what a pipeline promises would be false.
    #[error("stream {stream:?} can't be read: {reason}; {fix}")]
    NotReadable {
        /// The stream's name.
        stream: String,
        /// What it is, and what follows.
        reason: String,
        /// What to do about it.
        fix: String,
    },
    /// Nobody answers for streams there.
    #[error(
        "nobody answers for streams in {place}: look at `domain` and `api_prefix` of the stream, at the account's imports, and \
         whether JetStream is enabled there"
    )]
    NoJetStream {
        /// Which JetStream was asked.
        place: String,
    },
    /// The stream exists with another shape.
    #[error("stream {stream:?} exists with another shape: {}; {}", list(differences), way_out(differences))]
    StreamDiffers {
        /// The stream's name.
        stream: String,
        /// Every difference.
        differences: Vec<Difference>,
    },
    /// The server has not enough room set aside for streams.
    #[error(
        "the server can't set {bytes} bytes aside for stream {stream:?}: it reserves `max_bytes` of every stream, as a rule out \
         of three quarters of the disk{}; lower `max_bytes` of the pipeline's streams or outputs, or raise `max_file_store` in \
         the server's jetstream section",
        reserved_by(reserved)
    )]
    NoRoom {
        /// The stream's name.
        stream: String,
        /// What was asked for.
        bytes: u64,
        /// For which streams how much is set aside, the largest first.
        reserved: Vec<(String, u64)>,
    },
    /// Another stream already takes these subjects.
    #[error(
        "stream {stream:?} cannot take subjects {subjects:?}: stream {other:?} has overlapping ones; read that one, with \
         `source = {other:?}` in [streams.NAME], or share it with the pipeline that makes it, where each gives the same \
         `subjects` and `stream = {other:?}`"
    )]
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
    /// The stream was deleted and made anew since it was read.
    #[error(
        "stream {stream:?} was created at {}, not at {} as the one that was read: it was wiped, or is another one",
        moment(*found_micros), moment(*expected_micros)
    )]
    Recreated {
        /// The stream's name.
        stream: String,
        /// When the stream that was read was created: microseconds since 1970.
        expected_micros: i64,
        /// When the present one was.
        found_micros: i64,
    },
    /// The stream has another message where one was read: the server lost its tail, or was restored from a backup, and gave
    /// the sequences out again.
    #[error(
        "message {sequence} of stream {stream:?} is not the one that was read (stored at {}, that one at {}): the server \
         lost its last messages, or was restored from a backup, and numbers new ones as it did those",
        moment(*found_micros), moment(*expected_micros)
    )]
    Rewritten {
        /// The stream's name.
        stream: String,
        /// Where the messages differ.
        sequence: StreamSequence,
        /// When the message that was read was stored: microseconds since 1970.
        expected_micros: i64,
        /// When the present one was.
        found_micros: i64,
    },
    /// The message is larger than the server takes.
    #[error(
        "message of {bytes} bytes to {subject} is larger than the server's limit of {limit}: raise its `max_payload`"
    )]
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
    /// Somebody else wrote where our batch belongs, or the stream lost what was stored before it.
    #[error(
        "stream {stream:?} ends at {found}, and what is behind {expected} is not ours: {}",
        if found < expected { "the server lost messages" } else { "somebody else writes to the stream" }
    )]
    Fenced {
        /// The stream's name.
        stream: String,
        /// Where it was to end before the batch.
        expected: StreamSequence,
        /// Where it ends.
        found: StreamSequence,
    },
    /// An atomic batch that the stream never takes.
    #[error("stream {stream:?} cannot take the batch: {reason}")]
    BatchRefused {
        /// The stream's name.
        stream: String,
        /// What is wrong with the batch, or with the stream.
        reason: String,
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
        /// What came with it: of our own services a JSON object with code, message and the name of the request.
        body: Bytes,
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

/// JetStream would not do what it was asked, for whatever reason.
pub(super) fn refused_by_server(action: &'static str, stream: &str, error: &dyn fmt::Display) -> BusError {
    BusError::JetStream { action, stream: stream.to_owned(), reason: error.to_string() }
}
