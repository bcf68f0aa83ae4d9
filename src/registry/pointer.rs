//! Which version is active, and how that came about. Pure: how a pointer changes is decided here, written elsewhere.

use serde::{Deserialize, Serialize};

use crate::bus::Revision;
use crate::model::ModelVersion;

/// How many earlier versions a pointer remembers.
const MOST_PREVIOUS: usize = 16;

/// How many moves a pointer remembers.
const MOST_HISTORY: usize = 100;

/// How many characters of a reason are kept: a pointer is one small message.
const LONGEST_REASON: usize = 500;

/// The pointer to a pipeline's active model, at one revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    /// What answers.
    pub active: ModelVersion,
    /// What was active before and can be rolled back to, newest first; at most 16.
    pub previous: Vec<ModelVersion>,
    /// What answers for a part of the users, for comparison.
    pub control: Option<Control>,
    /// What the pipeline began with.
    pub first: ModelVersion,
    /// How it moved, oldest first; the last 100 moves.
    pub history: Vec<Promotion>,
    /// The file of the pipeline's folder that a start has seen last; `None`: an older program wrote this pointer. Only
    /// another file than this one begins a new lineage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) folder: Option<ModelVersion>,
    /// Whether the pipeline was rolled back and nobody has promoted or resumed since: training then promotes nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// What the gate decides on beside the weights in training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<ModelVersion>,
    /// Versions that are being removed from the store and can't be made active any more.
    #[serde(default)]
    pub(super) deleting: Vec<ModelVersion>,
    /// Which pointer this is; a later one has a larger revision.
    #[serde(skip, default = "not_stored")]
    pub revision: Revision,
}

/// A version that answers for a part of the users.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// The version.
    pub version: ModelVersion,
    /// The part, 0 to 1.
    pub share: f64,
}

/// One move of the pointer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promotion {
    /// What was active before; `None`: the pipeline began.
    pub from: Option<ModelVersion>,
    /// What is active since.
    pub to: ModelVersion,
    /// Why, for people.
    pub reason: String,
    /// When: microseconds since 1970 in UTC, by the mover's clock.
    pub at_micros: i64,
}

impl Pointer {
    /// The pointer that a pipeline begins with: the file of its folder.
    pub(super) fn begin(version: ModelVersion, at_micros: i64) -> Self {
        let begun = Promotion { from: None, to: version.clone(), reason: "the first model".to_owned(), at_micros };
        Self {
            active: version.clone(),
            previous: Vec::new(),
            control: None,
            first: version.clone(),
            history: vec![begun],
            folder: Some(version),
            held: false,
            candidate: None,
            deleting: Vec::new(),
            revision: not_stored(),
        }
    }

    /// With a version active that was decided on: whatever was held is not any more.
    pub(super) fn promoted(mut self, version: ModelVersion, reason: &str, at_micros: i64) -> Self {
        self.held = false;
        self.activated(version, reason, at_micros)
    }

    /// With the model of the folder's new file active.
    pub(super) fn begun_anew(mut self, file: ModelVersion, reason: &str, at_micros: i64) -> Self {
        self.folder = Some(file.clone());
        self.promoted(file, reason, at_micros)
    }

    /// With the same weights active under another version, that of the vector of now; `file` is the folder's.
    pub(super) fn adopted(mut self, version: ModelVersion, file: ModelVersion, reason: &str, at_micros: i64) -> Self {
        self.folder = Some(file);
        self.activated(version, reason, at_micros)
    }

    /// With another version active; the one that was is the newest previous one.
    fn activated(mut self, version: ModelVersion, reason: &str, at_micros: i64) -> Self {
        if self.candidate.as_ref() == Some(&version) {
            self.candidate = None;
        }
        if self.active == version {
            return self;
        }
        self.previous.retain(|previous| *previous != version);
        self.previous.insert(0, self.active.clone());
        self.previous.truncate(MOST_PREVIOUS);
        self.moved(version, reason, at_micros)
    }

    /// With a previous version active again, and everything after it forgotten as something to go back to. It is held.
    pub(super) fn rolled_back(mut self, version: ModelVersion, reason: &str, at_micros: i64) -> Self {
        if let Some(place) = self.previous.iter().position(|previous| *previous == version) {
            self.previous.drain(..=place);
        }
        self.held = true;
        self.moved(version, reason, at_micros)
    }

    /// Without these versions as something to go back to, and with a note that they are going.
    pub(super) fn deleting(mut self, versions: Vec<ModelVersion>) -> Self {
        self.previous.retain(|previous| !versions.contains(previous));
        self.deleting = versions;
        self
    }

    /// Whether a version must stay in the store: it answers, did begin, is decided on, or is next to go back to.
    pub(super) fn needs(&self, version: &ModelVersion) -> bool {
        *version == self.active
            || *version == self.first
            || self.folder.as_ref() == Some(version)
            || self.candidate.as_ref() == Some(version)
            || self.previous.first() == Some(version)
            || self.control.as_ref().is_some_and(|control| control.version == *version)
    }

    fn moved(mut self, version: ModelVersion, reason: &str, at_micros: i64) -> Self {
        let from = std::mem::replace(&mut self.active, version.clone());
        let reason = reason.chars().take(LONGEST_REASON).collect();
        self.history.push(Promotion { from: Some(from), to: version, reason, at_micros });
        let forgotten = self.history.len().saturating_sub(MOST_HISTORY);
        self.history.drain(..forgotten);
        self
    }
}

fn not_stored() -> Revision {
    Revision(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u64) -> ModelVersion {
        ModelVersion::parse(&format!("{number:012x}")).unwrap()
    }

    #[test]
    fn promoting_remembers_what_was_active_once_and_not_for_ever() {
        let mut pointer = Pointer::begin(version(0), 0);
        for number in 1..=150 {
            pointer = pointer.promoted(version(number), "better", number as i64);
        }
        assert_eq!(pointer.previous, (134..150).rev().map(version).collect::<Vec<_>>());
        assert_eq!((pointer.history.len(), pointer.history[0].at_micros), (100, 51));
        assert_eq!((pointer.first.clone(), pointer.active.clone()), (version(0), version(150)));
        let pointer = pointer.promoted(version(140), &"ä".repeat(2000), 151);
        assert_eq!(pointer.previous.iter().filter(|previous| **previous == version(140)).count(), 0);
        assert_eq!((pointer.previous[0].clone(), pointer.previous.len()), (version(150), 16));
        assert!(serde_json::to_vec(&pointer).unwrap().len() < 200_000);
    }

    #[test]
    fn rolling_back_goes_further_back_each_time() {
        let mut pointer = Pointer::begin(version(1), 0);
        for number in 2..=4 {
            pointer = pointer.promoted(version(number), "better", 0);
        }
        let pointer = pointer.rolled_back(version(3), "worse", 9);
        assert_eq!((pointer.active.clone(), pointer.previous.clone()), (version(3), vec![version(2), version(1)]));
        let pointer = pointer.rolled_back(version(1), "all bad", 10);
        assert_eq!((pointer.active.clone(), pointer.previous.clone()), (version(1), vec![]));
        let last = pointer.history.last().unwrap();
        assert_eq!((last.from.clone(), last.reason.as_str(), last.at_micros), (Some(version(3)), "all bad", 10));
    }

    #[test]
    fn rolling_back_holds_until_somebody_promotes() {
        let pointer = Pointer::begin(version(1), 0).promoted(version(2), "better", 1);
        assert!(!pointer.held);
        let pointer = pointer.rolled_back(version(1), "worse", 2);
        assert!(pointer.held);
        let adopted = pointer.clone().adopted(version(9), version(8), "the same by value", 3);
        assert_eq!((adopted.held, adopted.active, adopted.folder), (true, version(9), Some(version(8))));
        assert!(!pointer.clone().promoted(version(3), "by hand", 3).held);
        assert!(!pointer.clone().begun_anew(version(3), "another file", 3).held);
        let again = pointer.clone().promoted(version(1), "it is meant", 3);
        assert_eq!((again.held, again.history.len()), (false, pointer.history.len()), "what is active is not moved");
    }

    #[test]
    fn a_candidate_that_is_promoted_is_none_any_more() {
        let pointer = Pointer { candidate: Some(version(3)), ..Pointer::begin(version(1), 0) };
        assert_eq!(pointer.clone().promoted(version(2), "better", 1).candidate, Some(version(3)));
        assert_eq!(pointer.promoted(version(3), "better", 1).candidate, None);
    }

    /// Pointers were written without what a roll-back needs.
    #[test]
    fn a_pointer_of_an_older_program_is_read() {
        let written = r#"{"active":"000000000001","previous":[],"control":null,"first":"000000000001","history":[],"deleting":[]}"#;
        let pointer: Pointer = serde_json::from_str(written).unwrap();
        assert_eq!((pointer.folder.clone(), pointer.held, pointer.candidate.clone()), (None, false, None));
        assert_eq!(serde_json::to_string(&pointer).unwrap(), written);
    }

    #[test]
    fn what_answers_began_or_is_next_to_go_back_to_is_needed() {
        let mut pointer = Pointer::begin(version(1), 0);
        for number in 2..=5 {
            pointer = pointer.promoted(version(number), "better", 0);
        }
        pointer.control = Some(Control { version: version(2), share: 0.1 });
        let needed: Vec<_> = (1..=6).filter(|number| pointer.needs(&version(*number))).collect();
        assert_eq!(needed, [1, 2, 4, 5]);
    }
}
