//! Files in the broker: cut into chunks, with a digest that is checked on reading.
//!
//! Laid out as NATS' own clients lay it out, so that they read it too. A reader sees a whole old object or a whole new one.

mod digest;
mod object_chunks;
mod object_info;
mod object_store;

pub use digest::ContentDigest;
pub(crate) use object_info::ObjectInfo;
pub use object_store::ObjectStoreSpec;
pub(crate) use object_store::stream as object_stream;
pub(crate) use object_store::{Object, ObjectStore};
