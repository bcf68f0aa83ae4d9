//! What is known about a version of a model: where it comes from and what it has learnt from.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{RegistryError, Verdict};
use crate::bus::ContentDigest;
use crate::model::ModelVersion;

/// What is stored beside a model's bytes, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// The name of the file by its content.
    pub version: ModelVersion,
    /// The digest of the whole file.
    pub sha256: ContentDigest,
    /// The file's size.
    pub bytes: u64,
    /// How it came about.
    pub kind: ModelKind,
    /// The version whose weights it was trained from.
    pub parent: Option<ModelVersion>,
    /// The version of the file that the lineage began with; its own for an initial model.
    pub root: ModelVersion,
    /// The vector that it was made for.
    pub fingerprint: String,
    /// When it was made: microseconds since 1970 in UTC, by the caller's clock.
    pub created_micros: i64,
    /// The sequence in the example stream up to which it has learnt; 0: it has learnt nothing here.
    pub example_position: u64,
    /// Training steps since the lineage began.
    pub steps: u64,
    /// What was measured when it was made: an object, empty when nothing was.
    pub metrics: Value,
    /// For people.
    pub note: String,
    /// What the newest comparison with its owner's predictions found, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verdict>,
}

/// How a model came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// Given as a file.
    Initial,
    /// Trained here.
    Trained,
}

/// How far training had come when a model was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// The sequence in the example stream up to which it has learnt.
    pub example_position: u64,
    /// Training steps since the lineage began.
    pub steps: u64,
    /// What was measured.
    pub metrics: Value,
}

impl ModelRecord {
    /// The record of a model that was given as a file.
    #[must_use]
    pub fn initial(file: &[u8], fingerprint: impl Into<String>, created_micros: i64) -> Self {
        let version = ModelVersion::of(file);
        Self {
            sha256: ContentDigest::of(file),
            bytes: file.len() as u64,
            kind: ModelKind::Initial,
            parent: None,
            root: version.clone(),
            version,
            fingerprint: fingerprint.into(),
            created_micros,
            example_position: 0,
            steps: 0,
            metrics: Value::Object(serde_json::Map::new()),
            note: String::new(),
            verified: None,
        }
    }

    /// The record of a model that was trained from `parent`, for the vector with this fingerprint.
    #[must_use]
    pub fn trained(
        file: &[u8],
        parent: &Self,
        fingerprint: impl Into<String>,
        training: Training,
        created_micros: i64,
    ) -> Self {
        Self {
            kind: ModelKind::Trained,
            parent: Some(parent.version.clone()),
            root: parent.root.clone(),
            example_position: training.example_position,
            steps: training.steps,
            metrics: training.metrics,
            ..Self::initial(file, fingerprint, created_micros)
        }
    }

    /// The record of a file with the weights of `self`, tied to another vector that has the same values.
    #[must_use]
    pub fn adopted(&self, file: &[u8], root: ModelVersion, fingerprint: &str, created_micros: i64) -> Self {
        Self {
            kind: self.kind,
            parent: Some(self.version.clone()),
            root,
            example_position: self.example_position,
            steps: self.steps,
            metrics: self.metrics.clone(),
            note: format!("the weights of {}, which was made for vector {}", self.version, self.fingerprint),
            ..Self::initial(file, fingerprint, created_micros)
        }
    }

    /// Refuses a record that is about another file.
    pub(super) fn check(&self, digest: ContentDigest, bytes: u64) -> Result<(), RegistryError> {
        // A version is the beginning of the digest.
        let version = digest.to_string().chars().take(self.version.as_str().len()).collect();
        let facts = [
            ("version", self.version.to_string(), version),
            ("bytes", self.bytes.to_string(), bytes.to_string()),
            ("sha256", self.sha256.to_string(), digest.to_string()),
        ];
        for (field, given, found) in facts {
            if given != found {
                return Err(RegistryError::RecordDiffers { version: self.version.clone(), field, given, found });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lineage_keeps_its_root_and_names_each_parent() {
        let first = ModelRecord::initial(b"one", "f00d", 1);
        let training = |steps| Training { example_position: 10 * steps, steps, metrics: Value::Null };
        let second = ModelRecord::trained(b"two", &first, "f00d", training(5), 2);
        let third = ModelRecord::trained(b"three", &second, "beef", training(9), 3);
        assert_eq!((first.root.clone(), first.parent.clone()), (first.version.clone(), None));
        assert_eq!((third.root.clone(), third.parent.clone()), (first.version, Some(second.version)));
        assert_eq!((third.kind, third.steps, third.example_position), (ModelKind::Trained, 9, 90));
        assert_eq!((second.fingerprint.as_str(), third.fingerprint.as_str()), ("f00d", "beef"));
    }

    #[test]
    fn an_adopted_model_keeps_what_it_has_learnt() {
        let first = ModelRecord::initial(b"one", "f00d", 1);
        let training = Training { example_position: 50, steps: 5, metrics: serde_json::json!({ "auc": 0.7 }) };
        let trained = ModelRecord::trained(b"two", &first, "f00d", training, 2);
        let root = ModelVersion::of(b"one for beef");
        let adopted = trained.adopted(b"two for beef", root.clone(), "beef", 3);
        assert_eq!((adopted.kind, adopted.steps, adopted.example_position), (ModelKind::Trained, 5, 50));
        assert_eq!((adopted.metrics.clone(), adopted.root.clone()), (trained.metrics.clone(), root));
        assert_eq!((adopted.parent.clone(), adopted.fingerprint.as_str()), (Some(trained.version), "beef"));
        assert!(adopted.note.contains("f00d"), "{}", adopted.note);
    }

    #[test]
    fn a_record_is_readable_json() {
        let record = ModelRecord::initial(b"abc", "f00d", 7);
        let json = serde_json::to_string(&record).unwrap();
        insta::assert_snapshot!(json, @r#"{"version":"ba7816bf8f01","sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","bytes":3,"kind":"initial","parent":null,"root":"ba7816bf8f01","fingerprint":"f00d","created_micros":7,"example_position":0,"steps":0,"metrics":{},"note":""}"#);
        assert_eq!(serde_json::from_str::<ModelRecord>(&json).unwrap(), record);
    }

    #[test]
    fn a_verdict_is_kept_with_the_record_and_one_without_is_read() {
        let verdict =
            Verdict { at_micros: 9, rows: 1_000, largest: Some(3e-7), tolerance: 1e-5, beyond: 0, incomplete: 0 };
        let record = ModelRecord { verified: Some(verdict), ..ModelRecord::initial(b"abc", "f00d", 7) };
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!(json["verified"]["largest"], 3e-7);
        assert_eq!(serde_json::from_value::<ModelRecord>(json).unwrap(), record);
        assert!(record.verified.is_some_and(|verdict| verdict.agrees()));
    }
}
