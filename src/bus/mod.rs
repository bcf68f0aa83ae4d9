//! The only door to NATS: everything else in this crate speaks of messages, streams and services, never of a client.
//!
//! ```text
//!   ServerBinary ──▶ EmbeddedServer ─┐ url
//!                                    ▼
//!                 ConnectSettings ─▶ Bus ─┬─ ensure_stream ─▶ StreamState      shape checked, or created
//!                                         ├─ bind ──────────▶ StreamState      somebody else's: looked at, left as it is
//!                                         ├─ reader ────────▶ Reader           stream  → batches, in order
//!                                         ├─ publisher ─────▶ Publisher        stream ← messages, acknowledged
//!                                         ├─ atomic_publisher ▶ AtomicPublisher stream ← batches, whole or not at all
//!                                         ├─ key_value ─────▶ KeyValue         small values, compare and set, watched
//!                                         ├─ object_store ──▶ ObjectStore      files with digests
//!                                         ├─ serve ─────────▶ ServiceHandle    requests in, replies out
//!                                         ├─ subscribe ─────▶ Subscription     core subjects, best effort
//!                                         └─ request, publish_plain, last_message, message_at
//! ```
//!
//! What it promises:
//! - A [`Reader`] delivers every message that the stream still holds, in the order of the stream, once, whatever happens to
//!   the connection or the server in between. What the stream no longer holds is counted, not skipped in silence. A stream
//!   that is not the one that was read (wiped, rolled back, its sequences given out again) is an error, at each reconnect.
//! - A [`Publisher`] keeps the order of first sends, has a bounded number of messages without an answer, and repeats
//!   unanswered ones under the same message id, so that a stream with a duplicate window stores each once.
//! - An [`AtomicPublisher`] stores every batch once, whole and behind the one before, or says that somebody wrote in between.
//! - A [`KeyValue`] write takes effect only on the revision that it was decided on, also when its answer is lost. A
//!   [`KeyWatch`] always arrives at the key's present value, a [`BucketWatch`] at those of all keys.
//! - An [`ObjectStore`] shows a whole old object or a whole new one, and checks digests on reading.
//! - Every buffer is bounded. A full service queue answers "busy"; a full subscription drops and counts.
//! - A stream that exists with another shape than asked for is refused, with every difference in the error; nothing is
//!   altered on a server that somebody else may be using. One that is read as somebody else's is neither made nor altered.
//!
//! How safely somebody else's server keeps a stream is judged by [`Bus::durability`].
//!
//! What it does not do: decode payloads, remember positions, or acknowledge what was read (the caller's own record of the
//! stream sequence is the truth).
//!
//! How it fails: a lost connection is not an error for readers and publishers, they wait until it is back. Questions, such as
//! requests and what is asked of streams, buckets and objects, are given a time, and then fail with the remedy "wait": whoever
//! asks decides for how long to ask again. Every other error is for what waiting does not cure (see [`BusError`]). TLS and credentials fail closed: a file that can't be used stops the connection.

mod anchor;
mod answer;
mod api;
mod atomic;
mod bound;
mod bus;
mod connection;
mod delivery;
mod difference;
mod durability;
mod error;
mod key_value;
mod object_store;
mod origin;
mod outgoing;
mod publish;
mod pull;
mod read;
mod refusal;
mod replies;
mod room;
mod sequence;
mod server;
mod service;
mod settings;
mod sources;
#[cfg(test)]
mod speed;
mod stored;
mod stream;
mod subject;
mod subscription;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use anchor::Anchor;
pub(crate) use api::JetStreamApi;
pub(crate) use atomic::AtomicPublisher;
pub use bus::Bus;
pub use delivery::{Encoding, Message};
pub(crate) use durability::{DurabilityWarning, SYNC_ADVICE, StreamRole};
pub use error::BusError;
pub use key_value::Revision;
pub(crate) use key_value::bucket_stream;
pub(crate) use key_value::{BucketWatch, KeyWatch};
pub(crate) use key_value::{KeyEntry, KeyValue, KeyValueSpec};
pub use object_store::ContentDigest;
pub(crate) use object_store::ObjectInfo;
pub use object_store::ObjectStoreSpec;
pub(crate) use object_store::object_stream;
pub(crate) use object_store::{Object, ObjectStore};
pub use outgoing::Outgoing;
pub use publish::Publisher;
pub use read::{ReadLimits, Reader};
pub(crate) use refusal::ServiceError;
pub(crate) use replies::{ANSWERED, Replies, ReplyCounts};
pub(crate) use room::{Excess, Room};
pub use sequence::StreamSequence;
pub(crate) use server::{BinaryOrigin, ServerError};
pub use server::{EmbeddedServer, ServerBinary};
pub(crate) use service::{EndpointSpec, ServiceHandle, ServiceRequest, ServiceSpec};
pub use settings::ConnectSettings;
pub(crate) use settings::TlsSettings;
pub(crate) use sources::{SourceChange, SourceStream};
pub use stored::StoredMessage;
pub use stream::StreamSpec;
pub(crate) use stream::{FedBy, StreamFit, StreamState};
pub use subject::Subject;
pub(crate) use subject::overlap;
