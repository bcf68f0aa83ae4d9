//! What can go wrong with stored models and the pointer to the active one.

use std::io;
use std::path::PathBuf;

use crate::bus::{BusError, ContentDigest, Revision};
use crate::fault::{Judged, Judgement};
use crate::model::ModelVersion;

/// Why a model could not be stored, found, fetched or made active.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store itself: the server refuses, does not answer, or has damaged bytes.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The folder for local copies can't be made.
    #[error("folder for copies of models {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    // Versions. The operator's to mend, or the caller's.
    /// No such version.
    #[error("model {version} of pipeline {pipeline:?} not found: list the models for those there are")]
    UnknownVersion {
        /// The pipeline.
        pipeline: String,
        /// What was asked for.
        version: ModelVersion,
    },
    /// An abbreviation that no version begins with.
    #[error("no model version begins with {prefix:?}; there are {}", list(known))]
    NoMatch {
        /// What was given.
        prefix: String,
        /// The newest versions.
        known: Vec<ModelVersion>,
    },
    /// An abbreviation of more than one version.
    #[error("{prefix:?} can be any of {}: give more digits", list(candidates))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// The versions that begin with it.
        candidates: Vec<ModelVersion>,
    },
    /// The record that was given is not that of the bytes (a bug).
    #[error("the record of model {version} does not fit its bytes: {field} is {given}, the bytes have {found}")]
    RecordDiffers {
        /// The version in the record.
        version: ModelVersion,
        /// What differs.
        field: &'static str,
        /// What the record says.
        given: String,
        /// What the bytes have.
        found: String,
    },
    /// Another file already has this version: the digests begin alike.
    #[error("model {version} is already another file: stored is {stored}, given {given}; train one step more")]
    VersionTaken {
        /// The version.
        version: ModelVersion,
        /// The stored file's digest.
        stored: ContentDigest,
        /// The digest of the file that was to be stored.
        given: ContentDigest,
    },
    /// The record beside a model's bytes can't be read.
    #[error("the record of model {version} can't be read: {reason}")]
    UnreadableRecord {
        /// The version.
        version: ModelVersion,
        /// What is wrong.
        reason: String,
    },
    /// The bytes are not those that the record is about.
    #[error("model {version} is damaged: its SHA-256 is {found}, its record says {expected}; store it again")]
    Digest {
        /// The version.
        version: ModelVersion,
        /// What the record says.
        expected: ContentDigest,
        /// What the bytes have.
        found: ContentDigest,
    },

    // The pointer.
    /// There is no pointer yet.
    #[error("pipeline {pipeline:?} has no active model yet: store its first model and initialise the registry with it")]
    NotInitialised {
        /// The pipeline.
        pipeline: String,
    },
    /// There is one that began with another model.
    #[error("pipeline {pipeline:?} already began with model {first}, not {given}: promote {given} instead")]
    AlreadyInitialised {
        /// The pipeline.
        pipeline: String,
        /// The model it began with.
        first: ModelVersion,
        /// The model that was given.
        given: ModelVersion,
    },
    /// The pointer can't be read.
    #[error(
        "the registry's pointer at revision {revision} can't be read, a newer version may have written it: {reason}"
    )]
    UnreadablePointer {
        /// Its revision.
        revision: Revision,
        /// What is wrong.
        reason: String,
    },
    /// Somebody else moved the pointer.
    #[error("the pointer moved to {active} at revision {found} since revision {expected}: decide again")]
    Moved {
        /// What the caller decided on.
        expected: Revision,
        /// Where the pointer is.
        found: Revision,
        /// What is active now.
        active: ModelVersion,
    },
    /// Others moved the pointer at every try.
    #[error("the pointer moved at each of {tries} tries: several processes write the registry of {pipeline:?}")]
    Contended {
        /// The pipeline.
        pipeline: String,
        /// How often it was tried.
        tries: u32,
    },
    /// The version can't be made active: its bytes are not there, not all of them, or not the right ones.
    #[error("model {version} can't be used: {cause}")]
    Incomplete {
        /// The version.
        version: ModelVersion,
        /// What is wrong.
        cause: Box<RegistryError>,
    },
    /// The version is about to go.
    #[error("model {version} is being deleted: store it again when that is done")]
    BeingDeleted {
        /// The version.
        version: ModelVersion,
    },
    /// There is nothing to roll back to.
    #[error(
        "no earlier model than {active} for vector {fingerprint} is in the store: promote another one by its version; one of \
         an earlier vector that has the same values can be made usable with `tidewheel model adopt FOLDER VERSION`"
    )]
    NothingBefore {
        /// What is active.
        active: ModelVersion,
        /// The vector of now.
        fingerprint: String,
    },
    /// The active model was made for another vector than that of now, and the folder has no new file.
    #[error(
        "the active model {active} was made for vector {made_for}, the pipeline's is now {vector}: {changed}. Where every value stays what it was, `tidewheel model adopt FOLDER` goes on with \
         its weights; otherwise `tidewheel model promote FOLDER {file}` begins anew with the model of the pipeline's folder"
    )]
    ActiveOfOtherVector {
        /// What is active.
        active: ModelVersion,
        /// Its vector.
        made_for: String,
        /// The vector of now.
        vector: String,
        /// What has changed, in words.
        changed: String,
        /// The folder's file.
        file: ModelVersion,
    },
    /// A model that was made for another vector than that of now can't be made active.
    #[error(
        "model {version} was made for vector {made_for}, the pipeline's is now {vector}: where every value stays what it was, \
         `tidewheel model adopt FOLDER {version}` makes a version of it that can be promoted"
    )]
    OtherVector {
        /// The version.
        version: ModelVersion,
        /// Its vector.
        made_for: String,
        /// The vector of now.
        vector: String,
    },
    /// Not a share.
    #[error("the control's share is {share}: give a number from 0 to 1")]
    InvalidShare {
        /// What was given.
        share: f64,
    },

    // The trainer's checkpoint.
    /// There are checkpoints, but none can be used.
    #[error("no checkpoint of the trainer can be used: {}; delete them to begin anew", reasons.join(", "))]
    CheckpointsDamaged {
        /// What is wrong with each, the newest first.
        reasons: Vec<String>,
    },
}

impl RegistryError {
    /// Whether somebody else moved the pointer first.
    pub fn is_lost_race(&self) -> bool {
        matches!(self, Self::Moved { .. } | Self::Contended { .. })
    }

    /// Whether the bytes are missing or not the right ones, which another copy would mend.
    pub(super) fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::UnknownVersion { .. }
                | Self::UnreadableRecord { .. }
                | Self::Digest { .. }
                | Self::Bus(
                    BusError::ObjectNotFound { .. } | BusError::ObjectDamaged { .. } | BusError::ObjectDigest { .. }
                )
        )
    }
}

fn list(versions: &[ModelVersion]) -> String {
    if versions.is_empty() {
        return "none".to_owned();
    }
    versions.iter().map(ModelVersion::as_str).collect::<Vec<_>>().join(", ")
}

impl Judged for RegistryError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Bus(error) => error.judgement(),
            Self::Incomplete { cause, .. } => cause.judgement(),
            Self::Folder { source, .. } => Judgement::of_io(source),
            Self::UnknownVersion { .. }
            | Self::NoMatch { .. }
            | Self::Ambiguous { .. }
            | Self::VersionTaken { .. }
            | Self::NotInitialised { .. }
            | Self::AlreadyInitialised { .. }
            | Self::NothingBefore { .. }
            | Self::ActiveOfOtherVector { .. }
            | Self::OtherVector { .. }
            | Self::InvalidShare { .. } => Judgement::OPERATOR,
            Self::UnreadableRecord { .. }
            | Self::Digest { .. }
            | Self::UnreadablePointer { .. }
            | Self::CheckpointsDamaged { .. } => Judgement::DATA,
            // Others are at work: what is there then is another thing to decide on, not the same to try again.
            Self::Moved { .. } | Self::Contended { .. } | Self::BeingDeleted { .. } => Judgement::OUTSIDE,
            Self::RecordDiffers { .. } => Judgement::DEFECT,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_error_says_whose_it_is() {
        let version = || ModelVersion::of(b"a model");
        let unanswered = || RegistryError::Bus(BusError::TimedOut { action: String::new(), after: Duration::ZERO });
        let incomplete = |cause| RegistryError::Incomplete { version: version(), cause: Box::new(cause) };
        for (error, judgement) in [
            (RegistryError::InvalidShare { share: 2.0 }, Judgement::OPERATOR),
            (RegistryError::NothingBefore { active: version(), fingerprint: String::new() }, Judgement::OPERATOR),
            (RegistryError::CheckpointsDamaged { reasons: Vec::new() }, Judgement::DATA),
            (RegistryError::Contended { pipeline: String::new(), tries: 3 }, Judgement::OUTSIDE),
            (unanswered(), Judgement::PASSES),
            (incomplete(unanswered()), Judgement::PASSES),
            (incomplete(RegistryError::BeingDeleted { version: version() }), Judgement::OUTSIDE),
        ] {
            assert_eq!(error.judgement(), judgement, "{error}");
        }
    }
}
