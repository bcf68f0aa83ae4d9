//! Small values under names in a bucket of the broker: written by compare and set, watched as they change.
//!
//! A bucket is a stream with one message a key, laid out as NATS' own clients lay it out, so that they read it too.

mod bucket;
mod bucket_entries;
mod bucket_watch;
mod conditional;
mod expiry;
mod key_value;
mod key_watch;
mod revision;

pub(crate) use bucket::check_bucket_name;
pub(crate) use bucket_watch::BucketWatch;
pub(crate) use conditional::Condition;
pub(crate) use key_value::stream as bucket_stream;
pub(crate) use key_value::{KeyEntry, KeyValue, KeyValueSpec};
pub(crate) use key_watch::KeyWatch;
pub use revision::Revision;
