//! From bytes to Arrow: events that keep their contract become columns, the others are refused with a reason.
//!
//! ```text
//!                 ┌ frame ┐   ┌ check ┬ columns ┐   ┌ time_column ┐
//!   Payload ─────▶│ JSON  │──▶│ rules │ values  │──▶│ µs, bounds  │──▶ batch, origin, received
//!    (bytes)      └───────┘   └───────┴─────────┘   └─────────────┘
//!         │          │ broken     │ flawed: taken back     │ not believed
//!         │          └────────────┴──────────────┬─────────┘
//!         │       ┌ ipc ┐   ┌ unfold, exact ┐   ┌ check_column ┐     ▼
//!         └──────▶│Arrow│──▶│ same values   │──▶│ same rules   │──▶ rejects: message, reason, detail, the event's own bytes
//!                 └─────┘   └───────▲───────┘   └──────────────┘
//!   columns already ────────────────┘
//! ```
//!
//! A JSON event is read once: while its values are checked they are appended to the columns, in Arrow's own layout, and an
//! event that is refused after all is taken back. A message in a binary format becomes the JSON that it would be ([`binary`]), and
//! one that is compressed is unpacked when its events are asked for ([`Packed`]).
//!
//! **Promises.** Accepted and refused events together are all events. A bad event never takes its neighbours along, unless
//! broken syntax hides where the next one begins: in an array that is the rest of it, among lines up to the next object. What a
//! batch holds fits the contract: types, nulls, constraints, finite numbers, believable times; nothing later checks it
//! again. The same messages give the same outcome on every machine and at any time: no clock, no random seed. Rows that come
//! as columns, from an archive or a file, are held to the same rules and have the same outcome as in a message.
//!
//! Whose clock tells when an event happened is a setting of the stream ([`Clock`]). The broker's time of a message, or an
//! earlier one that a column has, is when its events were received: nothing that is waited for runs ahead of that.
//!
//! **It does not** decide what is late or repeated (it offers [`is_late`] and [`SeenIds`] to those who do), publish dead
//! letters, or count metrics.
//!
//! **How it fails.** A fault of an event is a [`Reject`](reject::Reject) and never an error. An error of [`Decoder::decode`] means that the
//! batch itself could not be built, one of [`Decoder::decode_rows`] also that the columns are not the contract's.

mod binary;
mod check;
mod check_column;
mod check_value;
mod column;
mod columns;
mod contract;
mod decode;
mod digits;
#[cfg(test)]
mod encodings;
mod exact;
mod faults;
mod frame;
mod instant;
mod ipc;
mod key;
#[cfg(test)]
mod kinds;
mod kinds_check;
mod member_text;
#[cfg(test)]
mod naive;
#[cfg(test)]
mod nested;
mod nested_check;
mod number;
mod object_rows;
mod packing;
mod partitions;
mod payload;
mod plain_run;
#[cfg(test)]
mod random_events;
mod reject;
mod rule;
mod scan;
#[cfg(test)]
mod schema_model;
mod seen;
mod settings;
#[cfg(test)]
mod speed;
mod structs;
mod surrogates;
#[cfg(test)]
mod testing;
mod time;
mod time_column;
mod token;
#[cfg(test)]
mod two_pass;
mod unfold;
mod unpacked;
mod watermark;
mod written;

pub use binary::{AvroFraming, AvroSchema};
pub use check::Limits;
pub use contract::{Contract, ContractField};
pub use decode::{Decoded, Decoder};
pub use instant::TimeZone;
pub(crate) use ipc::stream_of;
pub(crate) use member_text::{MemberText, order, quoted};
pub(crate) use number::{finite, finite_rows, has_floats, one_zero};
pub(crate) use object_rows::ObjectRows;
pub(crate) use packing::Packed;
pub(crate) use partitions::{PartitionedWatermark, SavedPartition, SavedWatermark, TooManyPartitions};
pub use payload::{Content, Payload};
pub use reject::Flaw;
pub(crate) use reject::RejectReason;
pub(crate) use rule::FieldType;
pub(crate) use seen::{Hashes, SeenIds, SeenIdsError};
pub use settings::{Clock, DecodeSettings};
pub(crate) use settings::{DecoderError, TimeRole};
pub(crate) use surrogates::without_surrogate_pairs;
pub use time::TimeUnit;
pub(crate) use watermark::is_late;
