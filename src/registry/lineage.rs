//! Whether the pipeline's folder has a model that is to begin a new lineage: a decision from facts alone.
//!
//! ```text
//!  no pointer? ────────────────────yes─▶ Begin
//!         │ no
//!  another file than a start has seen last?
//!         │ no                    yes ─▶ the adopted form of that one?
//!         │                                 │ yes ─▶ active model of the vector of now? ─yes─▶ Keep
//!         │                                 │        of that file's vector? ────────────yes─▶ Adopt  the weights that serve go on
//!         │                                 └────────────────────────────────────────────no──▶ BeginAnew
//!  active model of the vector of now? ─yes─▶ Keep                 a model that was promoted or rolled back to stays
//!         │ no
//!  active model the file itself? ──yes─▶ Renew                    a file tied to no vector: it was tried with that of now
//!         │ no
//!      Refuse
//! ```

use super::pointer::Pointer;
use crate::model::ModelVersion;

/// The file of the pipeline's folder. It fits the vector: it was bound to it and tried.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FolderFile<'a> {
    /// Which file it is.
    pub(crate) version: &'a ModelVersion,
    /// The files with the same weights that it says it was, for earlier vectors.
    pub(crate) adopted: &'a [ModelVersion],
    /// The vector of now.
    pub(crate) fingerprint: &'a str,
}

/// What the registry knows.
#[derive(Debug, Clone)]
pub(crate) struct Registered<'a> {
    pub(crate) pointer: &'a Pointer,
    /// The vector of the active model.
    pub(crate) active_fingerprint: &'a str,
    /// The file that the active model's lineage began with.
    pub(crate) active_root: &'a ModelVersion,
    /// The vector of the file that a start has seen last, as far as that is known.
    pub(crate) seen_fingerprint: Option<&'a str>,
}

/// What a start does about the folder's model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lineage {
    /// It is the pipeline's first.
    Begin,
    /// Nothing: what is active serves on.
    Keep,
    /// It is active and serves on; from now on it counts as one of the vector of now.
    Renew,
    /// It becomes the active model.
    BeginAnew,
    /// The active weights serve on, under a version that is tied to the vector of now.
    Adopt,
    /// A person must decide: the active model was made for another vector.
    Refuse,
}

impl Pointer {
    /// The file of the folder that a start has seen last. A pointer of an older program does not say; then it is the one that
    /// the active lineage began with.
    pub(crate) fn folder_seen<'a>(&'a self, active_root: &'a ModelVersion) -> &'a ModelVersion {
        self.folder.as_ref().unwrap_or(active_root)
    }

    fn has_seen(&self, file: &ModelVersion, active_root: &ModelVersion) -> bool {
        // Older programs wrote down what they promoted, not what they saw.
        let was_active = || self.first == *file || self.history.iter().any(|moved| moved.to == *file);
        self.folder_seen(active_root) == file || self.folder.is_none() && was_active()
    }
}

/// Decides what a start does about the folder's model.
#[must_use]
pub(crate) fn decide(file: &FolderFile<'_>, registered: Option<&Registered<'_>>) -> Lineage {
    let Some(Registered { pointer, active_fingerprint, active_root, seen_fingerprint }) = registered else {
        return Lineage::Begin;
    };
    let is_of_now = *active_fingerprint == file.fingerprint;
    if !pointer.has_seen(file.version, active_root) {
        let is_adopted = file.adopted.contains(pointer.folder_seen(active_root));
        return match is_adopted {
            true if is_of_now => Lineage::Keep,
            true if *seen_fingerprint == Some(*active_fingerprint) => Lineage::Adopt,
            _ => Lineage::BeginAnew,
        };
    }
    match (is_of_now, pointer.active == *file.version) {
        (true, _) => Lineage::Keep,
        (false, true) => Lineage::Renew,
        (false, false) => Lineage::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of the folder.
    const A: u64 = 0xa;
    const B: u64 = 0xb;
    const C: u64 = 0xc;
    /// A version that was trained from A.
    const TRAINED: u64 = 0x1a;
    /// The vectors before and after a change of SQL.
    const V: &str = "vector v";
    const W: &str = "vector w";

    fn version(number: u64) -> ModelVersion {
        ModelVersion::parse(&format!("{number:012x}")).unwrap()
    }

    /// A pipeline that began with A, and then had these active.
    fn pointer(moves: &[u64]) -> Pointer {
        moves.iter().fold(Pointer::begin(version(A), 0), |pointer, to| pointer.promoted(version(*to), "better", 1))
    }

    fn seen(file: u64, pointer: Pointer) -> Pointer {
        Pointer { folder: Some(version(file)), ..pointer }
    }

    fn of_an_older_program(pointer: Pointer) -> Pointer {
        Pointer { folder: None, ..pointer }
    }

    /// The folder's file, those that it was, and the vector of now; the active model's vector and root; the seen file's vector.
    type Case<'a> = (u64, &'a [u64], &'a str, &'a str, u64, Option<&'a str>);

    fn decided(
        pointer: &Pointer,
        (file, adopted, now, active_fingerprint, root, seen_fingerprint): Case<'_>,
    ) -> Lineage {
        let (file, root) = (version(file), version(root));
        let adopted: Vec<ModelVersion> = adopted.iter().map(|number| version(*number)).collect();
        let file = FolderFile { version: &file, adopted: &adopted, fingerprint: now };
        decide(&file, Some(&Registered { pointer, active_fingerprint, active_root: &root, seen_fingerprint }))
    }

    #[test]
    fn a_pipeline_begins_with_the_model_of_its_folder() {
        let file = FolderFile { version: &version(A), adopted: &[], fingerprint: V };
        assert_eq!(decide(&file, None), Lineage::Begin);
    }

    /// A start promoted the folder's model again after a roll-back, because what was active did not come from it.
    #[test]
    fn only_a_file_that_no_start_has_seen_begins_a_new_lineage() {
        let rolled_back = seen(B, pointer(&[B])).rolled_back(version(A), "worse", 2);
        for (what, pointer, file, root, expected) in [
            ("nothing has changed", pointer(&[]), A, A, Lineage::Keep),
            ("a trained version serves", pointer(&[TRAINED]), A, A, Lineage::Keep),
            ("another file", pointer(&[TRAINED]), B, A, Lineage::BeginAnew),
            ("rolled back to the file before", rolled_back.clone(), B, A, Lineage::Keep),
            ("rolled back, and a third file", rolled_back.clone(), C, A, Lineage::BeginAnew),
            ("rolled back, and the file before put back", rolled_back, A, A, Lineage::BeginAnew),
            ("an added model was promoted", pointer(&[C]), A, C, Lineage::Keep),
            ("the file before put back", seen(B, pointer(&[B])), A, B, Lineage::BeginAnew),
        ] {
            assert_eq!(decided(&pointer, (file, &[], V, V, root, Some(V))), expected, "{what}");
        }
    }

    #[test]
    fn of_a_pointer_of_an_older_program_every_model_that_was_active_counts_as_seen() {
        let rolled_back = of_an_older_program(pointer(&[B]).rolled_back(version(A), "worse", 2));
        for (what, pointer, file, root, expected) in [
            ("nothing has changed", of_an_older_program(pointer(&[TRAINED])), A, A, Lineage::Keep),
            ("another file", of_an_older_program(pointer(&[TRAINED])), B, A, Lineage::BeginAnew),
            ("rolled back to the file before", rolled_back.clone(), B, A, Lineage::Keep),
            ("rolled back, and a third file", rolled_back, C, A, Lineage::BeginAnew),
        ] {
            assert_eq!(decided(&pointer, (file, &[], V, V, root, Some(V))), expected, "{what}");
        }
    }

    #[test]
    fn after_a_change_of_sql_weights_go_on_only_where_a_person_has_said_that_they_may() {
        let trained = pointer(&[TRAINED]);
        for (what, pointer, case, expected) in [
            // A file that is tied to no vector fits that of now as well.
            ("the file serves", &pointer(&[]), (A, &[][..], W, V, A, Some(V)), Lineage::Renew),
            ("weights trained from it", &trained, (A, &[], W, V, A, Some(V)), Lineage::Refuse),
            ("the file was adopted", &trained, (B, &[A], W, V, A, Some(V)), Lineage::Adopt),
            ("twice", &trained, (B, &[C, A], W, V, A, Some(V)), Lineage::Adopt),
            ("adopted, and what serves is of now already", &trained, (B, &[A], W, W, A, Some(V)), Lineage::Keep),
            ("adopted from another file", &trained, (B, &[C], W, V, A, Some(V)), Lineage::BeginAnew),
            ("what serves is of a third vector", &trained, (B, &[A], W, "u", A, Some(V)), Lineage::BeginAnew),
            ("the file's record is gone", &trained, (B, &[A], W, V, A, None), Lineage::BeginAnew),
            ("a model for the vector of now", &trained, (B, &[], W, V, A, Some(V)), Lineage::BeginAnew),
        ] {
            assert_eq!(decided(pointer, case), expected, "{what}");
        }
        let rolled_back = seen(B, pointer(&[B, TRAINED])).rolled_back(version(B), "worse", 2);
        assert_eq!(decided(&rolled_back, (C, &[B], W, V, B, Some(V))), Lineage::Adopt, "a roll-back is adopted");
    }
}
