//! The versions of a pipeline's model, and which of them is active.
//!
//! ```text
//!   trainer ──▶ store ──▶ <PIPELINE>_MODELS     object store: model.<version>, bytes and record in one
//!      │                        ▲      │                      checkpoint.a, checkpoint.b
//!      │                        │      └── fetch, digest checked ──▶ local folder, digest checked on each read
//!      │                        │ names                                     │
//!      └── promote ──▶ <PIPELINE>_REGISTRY      key-value: pointer          ▼
//!          roll back        active, previous, control, first ── watch ──▶ worker: load, warm up, swap
//!                           folder's file seen last, held, candidate
//! ```
//!
//! What it promises:
//! - A version is the digest of its file: what is fetched is what was stored, or an error with both digests.
//! - A pointer moves by compare and set, from the revision that the mover decided on, and only to a version whose bytes
//!   have just been read back whole. Two who move it at the same time see that they did.
//! - What is active stays so over any number of starts, rolled back or not, until somebody moves the pointer or the
//!   pipeline's folder has a file that no start has seen. A roll-back is held until a person promotes or resumes.
//! - Nothing that the pointer may still lead to is deleted: what is to go is first written into the pointer itself.
//! - Of a trainer's checkpoints the newest that is whole is read; an interrupted or damaged one leaves the one before.
//!
//! What it does not do: decide whether a model is good enough (that is the gate's), load it, or run it. It has no clock:
//! times are given by the caller.
//!
//! Everything fails with a [`RegistryError`]; damaged local copies are not errors, they are fetched again.

mod active;
mod checkpoint;
mod error;
mod lineage;
mod local;
mod models;
mod pointer;
mod prune;
mod record;
#[cfg(test)]
mod testing;
mod verdict;
mod watch;

pub use error::RegistryError;
pub(crate) use lineage::{FolderFile, Lineage, Registered, decide};
pub use models::Registry;
pub(crate) use models::RegistryNames;
pub use pointer::Control;
pub(crate) use pointer::Pointer;
pub use record::{ModelKind, ModelRecord, Training};
pub use verdict::Verdict;
pub(crate) use watch::PointerWatch;
