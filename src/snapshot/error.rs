//! What can go wrong with snapshots, and whether another generation would help.

use std::io;

use crate::fault::{Judged, Judgement};

/// Why a snapshot could not be written, found or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    // The operator's to mend.
    /// Not a place for snapshots.
    #[error(
        "location of snapshots {given:?}: {reason}; give a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
    )]
    Location {
        /// What was given.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The place fails: a full disk, missing rights, no network.
    #[error("{name} can't be {what} in {location}: {source}")]
    Store {
        /// What was tried, as a participle.
        what: &'static str,
        /// The file or object.
        name: String,
        /// The folder or bucket.
        location: String,
        /// What the store said.
        source: io::Error,
    },
    /// Somebody else writes snapshots at the same place.
    #[error(
        "snapshot {found} is there already, and this process was about to write {ours}: another one writes snapshots to {location}; stop one of them"
    )]
    Overtaken {
        /// The number that was to be written or kept.
        ours: u64,
        /// The newest number there is.
        found: u64,
        /// The folder or bucket.
        location: String,
    },

    // Damage: an older generation may do.
    /// A manifest of another version of this program, probably a newer one.
    #[error(
        "{name} has format version {found}, this program reads version {known}: use the program that wrote it, or an older snapshot"
    )]
    Version {
        /// The manifest.
        name: String,
        /// Its version.
        found: u32,
        /// The version that can be read.
        known: u32,
    },
    /// A manifest is not what was written.
    #[error("{name} is damaged: {reason}; use an older snapshot")]
    Manifest {
        /// The manifest.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A pack has gone.
    #[error("snapshot {number}, part {part:?}: {pack} is missing; use an older snapshot")]
    MissingPack {
        /// The snapshot.
        number: u64,
        /// The part that was read.
        part: String,
        /// The pack.
        pack: String,
    },
    /// A pack ends too early.
    #[error("snapshot {number}, part {part:?}: {pack} ends before byte {needed}; use an older snapshot")]
    ShortPack {
        /// The snapshot.
        number: u64,
        /// The part that was read.
        part: String,
        /// The pack.
        pack: String,
        /// Where the bytes that were read should end.
        needed: u64,
    },
    /// Bytes of a pack are not those that were written.
    #[error(
        "snapshot {number}, part {part:?}: {pack} is damaged in its {length} bytes from {offset}; use an older snapshot"
    )]
    Chunk {
        /// The snapshot.
        number: u64,
        /// The part that was read.
        part: String,
        /// The pack.
        pack: String,
        /// Where the chunk begins in the pack, bytes.
        offset: u64,
        /// How long the chunk is, bytes.
        length: u64,
    },

    // The caller's.
    /// There is no such part.
    #[error("snapshot {number} has no part {part:?}; it has {}", parts.join(", "))]
    UnknownPart {
        /// The snapshot.
        number: u64,
        /// What was asked for.
        part: String,
        /// What there is.
        parts: Vec<String>,
    },
    /// Not a name for another part.
    #[error("part {part:?}: {reason}")]
    PartName {
        /// The name.
        part: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A part that was begun was not finished, so that the snapshot is not whole.
    #[error("part {part:?} was not written to its end: snapshot {number} is given up")]
    Unfinished {
        /// The snapshot.
        number: u64,
        /// The part.
        part: String,
    },
    /// One snapshot at a time.
    #[error("snapshot {number} is still being written: finish or drop it before the next one")]
    DraftOpen {
        /// The snapshot that is being written.
        number: u64,
    },
    /// A task was stopped from outside, as when the program ends.
    #[error("writing or reading snapshots was stopped: {0}")]
    Stopped(String),
}

impl SnapshotError {
    /// Whether the bytes are missing, wrong or foreign, which an older generation may not be.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Version { .. }
                | Self::Manifest { .. }
                | Self::MissingPack { .. }
                | Self::ShortPack { .. }
                | Self::Chunk { .. }
        )
    }

    /// The error as one of [`std::io`], of a kind that says the same.
    pub(super) fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::Store { source, .. } => source.kind(),
            damage if damage.is_damage() => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }
}

impl Judged for SnapshotError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Location { .. } | Self::Overtaken { .. } | Self::Version { .. } => Judgement::OPERATOR,
            Self::Store { source, .. } => Judgement::of_io(source),
            Self::Manifest { .. } | Self::MissingPack { .. } | Self::ShortPack { .. } | Self::Chunk { .. } => {
                Judgement::DATA
            }
            Self::UnknownPart { .. } | Self::PartName { .. } | Self::Unfinished { .. } | Self::DraftOpen { .. } => {
                Judgement::DEFECT
            }
            Self::Stopped(_) => Judgement::CRASH,
        }
    }
}

/// What an error means that came through a reader or writer of a part: one of snapshots may be inside.
pub(super) fn judgement_of_io(error: &io::Error) -> Judgement {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<SnapshotError>());
    inner.map_or_else(|| Judgement::of_io(error), Judged::judgement)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(kind: io::ErrorKind) -> SnapshotError {
        let [name, location] = ["0000000000000001".to_owned(), "snapshots".to_owned()];
        SnapshotError::Store { what: "written", name, location, source: kind.into() }
    }

    #[test]
    fn each_error_says_whose_it_is() {
        let part = || "windows".to_owned();
        for (error, judgement) in [
            (store(io::ErrorKind::StorageFull), Judgement::OUTSIDE),
            (store(io::ErrorKind::PermissionDenied), Judgement::OPERATOR),
            (SnapshotError::Overtaken { ours: 1, found: 2, location: String::new() }, Judgement::OPERATOR),
            (SnapshotError::Version { name: part(), found: 9, known: 1 }, Judgement::OPERATOR),
            (SnapshotError::MissingPack { number: 1, part: part(), pack: part() }, Judgement::DATA),
            (SnapshotError::Unfinished { number: 1, part: part() }, Judgement::DEFECT),
            (SnapshotError::Stopped(String::new()), Judgement::CRASH),
        ] {
            assert_eq!(error.judgement(), judgement, "{error}");
        }
    }

    #[test]
    fn an_error_that_came_through_a_reader_says_the_same() {
        let stopped = SnapshotError::Stopped(String::new()).into_io();
        assert_eq!(judgement_of_io(&stopped), Judgement::CRASH);
        assert_eq!(judgement_of_io(&io::ErrorKind::UnexpectedEof.into()), Judgement::DATA);
    }
}
