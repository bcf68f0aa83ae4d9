//! Snapshots of a pipeline's state: named parts of one consistent cut, in a local folder or an object store.
//!
//! ```text
//!  part ─▶ chunks of about 64 KiB, cut where the content says ─▶ known already? ── yes ─▶ referenced
//!                                                                     │ no
//!                                                                     ▼
//!  packs/<number>-<draft>-<index>    new chunks, at most 8 MiB each, durable before the manifest
//!  manifests/<number>                the caller's head, the parts, where each chunk is; its appearance is the snapshot
//! ```
//!
//! A snapshot takes four steps, each durable before the next: [`Draft::part`] cuts and compares, [`Draft::write`] ends when
//! every pack is in the store, [`SnapshotStore::publish`] makes the manifest appear, [`SnapshotStore::prune`] removes what
//! neither of the two newest generations needs. A process that dies between two of them leaves the older generations as
//! they were and files that the next prune removes.
//!
//! What it promises:
//! - What is read is what was written, or an error that names the generation, the part, the pack and the place: a manifest
//!   is checksummed as a whole, and a chunk is compared with its hash before any of its bytes are given out.
//! - What did not change is not written again: a closed pane costs its bytes once.
//! - Space is bounded: a pack of which less than half is still needed is written anew, and so are small packs once there
//!   are sixteen. The packs take at most the last state, the one before it and twice the one before that; with the changes
//!   of the tests they take two to three times the state.
//! - Only chunks that this process has written or has read back whole are referenced again: what was found damaged does not
//!   get into a new snapshot.
//! - Memory is bounded: some 32 MiB of packs on their way, whatever the state's size. A slow store slows the writer.
//!
//! What it does not promise: generations share the chunks that did not change, so that damage in a shared pack is in both
//! (it is noticed; the state is then rebuilt from the log). Two processes must not write one location; the second to publish is
//! told so ([`SnapshotError::Overtaken`]), but who may write is decided elsewhere.
//!
//! **Versions.** A manifest names the version of its format. This program writes version 1 and reads version 1;
//! `tests/golden/snapshot/v<N>` keeps a snapshot of each version that was ever released, and a program reads all of them or says
//! which version it has met ([`SnapshotError::Version`]) and changes nothing. Packs have no format: they are chunks end to end.

mod cut;
mod draft;
mod error;
mod folder;
mod generation;
mod location;
mod manifest;
mod memory;
mod objects;
mod pack;
mod part_reader;
mod prune;
mod section;
mod shelf;
mod store;
#[cfg(test)]
mod testing;
mod upload;

pub(crate) use draft::{Draft, Figures};
pub(crate) use error::SnapshotError;
pub use generation::Generation;
pub use location::Location;
pub(crate) use section::{Header, SaveError, SectionReader, SectionWriter};
pub use store::SnapshotStore;

#[cfg(test)]
mod tests {
    mod bucket;
    mod crash;
    mod damage;
    mod faults;
    mod golden;
    mod round_trip;
    mod space;
    mod speed;
}
