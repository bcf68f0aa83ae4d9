//! The registry of one pipeline: storing, finding and fetching versions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use tracing::{info, warn};

use super::local::LocalCopies;
use super::{ModelRecord, RegistryError, Verdict};
use crate::bus::{
    Bus, BusError, ContentDigest, KeyValue, KeyValueSpec, Object, ObjectInfo, ObjectStore, ObjectStoreSpec,
};
use crate::model::ModelVersion;

/// A larger file is not a model that we made.
const LARGEST_MODEL: u64 = 4 << 30;

/// Models are objects with this before their version.
const OBJECT_PREFIX: &str = "model.";

/// The object's metadata that holds the record.
const RECORD: &str = "tidewheel.record";

/// How many versions an error shows.
const SHOWN: usize = 10;

/// What the registry of a pipeline is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryNames {
    /// The pipeline, for people.
    pub pipeline: String,
    /// The object store with the models.
    pub models: String,
    /// The key-value bucket that says which of them is active.
    pub pointers: String,
}

/// The models of one pipeline; clones share the connection.
#[derive(Clone)]
pub struct Registry {
    pub(super) pipeline: String,
    pub(super) models: ObjectStore,
    pub(super) pointers: KeyValue,
    pub(super) local: Option<LocalCopies>,
}

impl Registry {
    /// The registry of a pipeline, whose buckets (names of letters, digits, `_` and `-`) are created if there are none.
    /// With a folder, a copy of each model that is stored or fetched is kept there.
    ///
    /// # Errors
    /// [`RegistryError::Folder`]; [`RegistryError::Bus`] when the server refuses or the buckets have another shape.
    pub async fn open(bus: &Bus, names: RegistryNames, local: Option<PathBuf>) -> Result<Self, RegistryError> {
        Self::open_replicated(bus, names, local, 1).await
    }

    /// As [`open`](Self::open), kept on so many servers of a cluster where it does not exist yet: a pipeline can't start
    /// without it, so it must be as safe as the pipeline's streams.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_replicated(
        bus: &Bus,
        names: RegistryNames,
        local: Option<PathBuf>,
        replicas: usize,
    ) -> Result<Self, RegistryError> {
        let RegistryNames { pipeline, models, pointers } = names;
        let models = ObjectStoreSpec { bucket: models, max_bytes: None, replicas };
        let pointers = KeyValueSpec { bucket: pointers, history: 1, max_bytes: None, replicas };
        let local = match local {
            Some(folder) => Some(LocalCopies::open(folder).await?),
            None => None,
        };
        Ok(Self {
            models: bus.object_store(&models).await?,
            pointers: bus.key_value(&pointers).await?,
            pipeline,
            local,
        })
    }

    /// Stores a model and its record. One that is already there, whole, stays as it is with the record it has, but for the
    /// vector, which is that of now; one that is damaged is replaced.
    ///
    /// # Errors
    /// [`RegistryError::RecordDiffers`] when the record is not that of the bytes, [`RegistryError::VersionTaken`];
    /// [`RegistryError::Bus`] when the server refuses or doesn't answer, and then nothing was stored.
    pub async fn store(&self, bytes: Bytes, record: &ModelRecord) -> Result<(), RegistryError> {
        let digest = ContentDigest::of_many(&bytes).await;
        record.check(digest, bytes.len() as u64)?;
        match self.read(&record.version).await {
            Ok((_, stored)) if stored.sha256 == digest && stored.fingerprint == record.fingerprint => {}
            Ok((_, stored)) if stored.sha256 == digest => {
                let (version, before, now) = (&record.version, &stored.fingerprint, &record.fingerprint);
                info!(pipeline = self.pipeline, %version, before, now, "a model is of another vector now");
                self.put(bytes.clone(), &ModelRecord { fingerprint: now.clone(), ..stored }).await?;
            }
            Ok((_, stored)) => {
                let (version, stored) = (stored.version, stored.sha256);
                return Err(RegistryError::VersionTaken { version, stored, given: digest });
            }
            Err(error) if error.is_damage() => {
                if !matches!(error, RegistryError::UnknownVersion { .. }) {
                    warn!(pipeline = self.pipeline, version = %record.version, %error, "storing a damaged model again");
                }
                self.put(bytes.clone(), record).await?;
                info!(pipeline = self.pipeline, version = %record.version, bytes = record.bytes, "stored a model");
            }
            Err(error) => return Err(error),
        }
        if let Some(local) = &self.local {
            local.keep(&record.version, bytes).await;
        }
        Ok(())
    }

    /// Notes what a comparison of a version with its owner's predictions found.
    ///
    /// # Errors
    /// Those of [`fetch`](Self::fetch), and [`RegistryError::Bus`] when the server refuses or doesn't answer.
    pub async fn note_verdict(&self, version: &ModelVersion, verdict: Verdict) -> Result<ModelRecord, RegistryError> {
        let (bytes, record) = self.read(version).await?;
        let record = ModelRecord { verified: Some(verdict), ..record };
        self.put(bytes, &record).await?;
        Ok(record)
    }

    async fn put(&self, bytes: Bytes, record: &ModelRecord) -> Result<(), RegistryError> {
        let json = serde_json::to_string(record).map_err(|error| unreadable(&record.version, &error))?;
        let metadata = BTreeMap::from([(RECORD.to_owned(), json)]);
        Ok(self.models.put(&object_name(&record.version), bytes, metadata).await?)
    }

    /// What is known about a version.
    ///
    /// # Errors
    /// [`RegistryError::UnknownVersion`], [`RegistryError::UnreadableRecord`]; [`RegistryError::Bus`] when the server
    /// doesn't answer.
    pub async fn record(&self, version: &ModelVersion) -> Result<ModelRecord, RegistryError> {
        let info = self.models.info(&object_name(version)).await?.ok_or_else(|| self.unknown(version))?;
        record_of(version, &info)
    }

    /// The bytes of a version, from the local folder or the store: those that were stored, by their digest.
    ///
    /// # Errors
    /// [`RegistryError::UnknownVersion`], [`RegistryError::UnreadableRecord`]; [`RegistryError::Digest`] or
    /// [`RegistryError::Bus`] with both digests when the stored bytes are others; [`RegistryError::Bus`] when the server
    /// doesn't answer.
    pub async fn fetch(&self, version: &ModelVersion) -> Result<Bytes, RegistryError> {
        let Some(local) = &self.local else {
            return Ok(self.read(version).await?.0);
        };
        let record = self.record(version).await?;
        if let Some(bytes) = local.read(version, record.sha256).await {
            return Ok(bytes);
        }
        let bytes = self.read(version).await?.0;
        local.keep(version, bytes.clone()).await;
        Ok(bytes)
    }

    /// All versions, the newest first by the time they were made. What can't be read is left out with a warning.
    ///
    /// # Errors
    /// [`RegistryError::Bus`] when the server doesn't answer.
    pub async fn list(&self) -> Result<Vec<ModelRecord>, RegistryError> {
        let mut records = Vec::new();
        for object in self.models.list().await? {
            let Some(version) = object.name.strip_prefix(OBJECT_PREFIX).and_then(ModelVersion::parse) else { continue };
            match record_of(&version, &object) {
                Ok(record) => records.push(record),
                Err(error) => warn!(pipeline = self.pipeline, %error, "a model is left out"),
            }
        }
        records.sort_by(|one, other| {
            (other.created_micros, other.steps, &other.version).cmp(&(one.created_micros, one.steps, &one.version))
        });
        Ok(records)
    }

    /// The one version that begins with these digits.
    ///
    /// # Errors
    /// [`RegistryError::NoMatch`] or [`RegistryError::Ambiguous`] with the candidates; [`RegistryError::Bus`] when the
    /// server doesn't answer.
    pub async fn resolve(&self, prefix: &str) -> Result<ModelVersion, RegistryError> {
        let mut known: Vec<ModelVersion> = self.list().await?.into_iter().map(|record| record.version).collect();
        let begins = |version: &&ModelVersion| !prefix.is_empty() && version.as_str().starts_with(prefix);
        let mut candidates: Vec<ModelVersion> = known.iter().filter(begins).cloned().collect();
        match (candidates.pop(), candidates.is_empty()) {
            (Some(version), true) => Ok(version),
            (Some(version), false) => {
                candidates.push(version);
                candidates.truncate(SHOWN);
                Err(RegistryError::Ambiguous { prefix: prefix.to_owned(), candidates })
            }
            (None, _) => {
                known.truncate(SHOWN);
                Err(RegistryError::NoMatch { prefix: prefix.to_owned(), known })
            }
        }
    }

    /// The bytes in the store, which are those that the record is about, and the record.
    pub(super) async fn read(&self, version: &ModelVersion) -> Result<(Bytes, ModelRecord), RegistryError> {
        let Object { info, bytes } = match self.models.get(&object_name(version), LARGEST_MODEL).await {
            Ok(object) => object,
            Err(BusError::ObjectNotFound { .. }) => return Err(self.unknown(version)),
            Err(error) => return Err(error.into()),
        };
        let record = record_of(version, &info)?;
        let found = ContentDigest::of_many(&bytes).await;
        if found != record.sha256 {
            return Err(RegistryError::Digest { version: version.clone(), expected: record.sha256, found });
        }
        Ok((bytes, record))
    }

    fn unknown(&self, version: &ModelVersion) -> RegistryError {
        RegistryError::UnknownVersion { pipeline: self.pipeline.clone(), version: version.clone() }
    }
}

/// The name of a model's object.
pub(super) fn object_name(version: &ModelVersion) -> String {
    format!("{OBJECT_PREFIX}{version}")
}

fn record_of(version: &ModelVersion, object: &ObjectInfo) -> Result<ModelRecord, RegistryError> {
    let json = object.metadata.get(RECORD).ok_or_else(|| unreadable(version, &"there is none"))?;
    let record: ModelRecord = serde_json::from_str(json).map_err(|error| unreadable(version, &error))?;
    if record.version == *version {
        return Ok(record);
    }
    Err(unreadable(version, &format!("it is that of {}", record.version)))
}

fn unreadable(version: &ModelVersion, reason: &dyn std::fmt::Display) -> RegistryError {
    RegistryError::UnreadableRecord { version: version.clone(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::testing::{alter_object, server};
    use crate::registry::testing::{file, names, registry, stored};

    #[tokio::test]
    async fn a_stored_model_comes_back_with_its_record_and_the_newest_is_listed_first() {
        let (server, registry) = registry().await;
        let (one, two) = (stored(&registry, 1).await, stored(&registry, 2).await);
        assert_eq!(registry.fetch(&one.version).await.unwrap(), file(1));
        assert_eq!(registry.record(&two.version).await.unwrap(), two);
        let verdict = Verdict { at_micros: 3, rows: 9, largest: None, tolerance: 1e-5, beyond: 0, incomplete: 9 };
        let noted = registry.note_verdict(&one.version, verdict.clone()).await.unwrap();
        assert_eq!(
            (noted.verified.clone(), registry.record(&one.version).await.unwrap()),
            (Some(verdict), noted.clone())
        );
        assert_eq!(registry.fetch(&one.version).await.unwrap(), file(1));
        let one = noted;
        let changed = ModelRecord { note: "other".to_owned(), ..one.clone() };
        registry.store(file(1), &changed).await.unwrap();
        assert_eq!(registry.list().await.unwrap(), [two, one.clone()], "the first record stays");
        let other_vector = ModelRecord { fingerprint: "beef".to_owned(), ..changed };
        registry.store(file(1), &other_vector).await.unwrap();
        let renewed = ModelRecord { fingerprint: "beef".to_owned(), ..one };
        assert_eq!(registry.record(&renewed.version).await.unwrap(), renewed, "but for the vector");
        assert_eq!(registry.fetch(&renewed.version).await.unwrap(), file(1));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_record_of_other_bytes_and_a_version_that_is_not_there_are_refused() {
        let (server, registry) = registry().await;
        let record = ModelRecord::initial(&file(1), "f", 1);
        let error = registry.store(file(2), &record).await.unwrap_err();
        assert!(matches!(error, RegistryError::RecordDiffers { field: "version", .. }), "{error}");
        let error = registry.fetch(&record.version).await.unwrap_err();
        assert!(matches!(error, RegistryError::UnknownVersion { .. }), "{error}");
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_damaged_model_is_noticed_and_storing_it_again_mends_it() {
        let (server, registry) = registry().await;
        let record = stored(&registry, 1).await;
        alter_object(&registry.models, &object_name(&record.version)).await;
        let error = registry.fetch(&record.version).await.unwrap_err();
        assert!(
            matches!(&error, RegistryError::Bus(BusError::ObjectDigest { expected, found, .. }) if expected != found),
            "{error}"
        );
        registry.store(file(1), &record).await.unwrap();
        assert_eq!(registry.fetch(&record.version).await.unwrap(), file(1));

        // Whole as an object, but not what the record is about.
        let json = serde_json::to_string(&record).unwrap();
        let metadata = BTreeMap::from([(RECORD.to_owned(), json)]);
        registry.models.put(&object_name(&record.version), file(2), metadata).await.unwrap();
        let error = registry.fetch(&record.version).await.unwrap_err();
        assert!(matches!(error, RegistryError::Digest { .. }), "{error}");
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_local_copy_is_used_and_a_damaged_one_is_fetched_again() {
        let (server, bus) = server().await;
        let folder = tempfile::tempdir().unwrap();
        let local = folder.path().join("models");
        let registry = Registry::open(&bus, names(), Some(local.clone())).await.unwrap();
        let record = stored(&registry, 1).await;
        let copy = local.join(format!("{}.onnx", record.version));
        assert_eq!(std::fs::read(&copy).unwrap(), file(1));

        std::fs::write(&copy, b"damaged").unwrap();
        assert_eq!(registry.fetch(&record.version).await.unwrap(), file(1));
        assert_eq!(std::fs::read(&copy).unwrap(), file(1), "mended");

        alter_object(&registry.models, &object_name(&record.version)).await;
        assert_eq!(registry.fetch(&record.version).await.unwrap(), file(1), "the copy serves");
        let names: Vec<_> = std::fs::read_dir(&local).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 1, "{names:?}");
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn digits_stand_for_the_one_version_that_begins_with_them() {
        let (server, registry) = registry().await;
        let error = registry.resolve("3f").await.unwrap_err();
        insta::assert_snapshot!(error, @r#"no model version begins with "3f"; there are none"#);
        // More versions than there are first digits.
        let mut versions = Vec::new();
        for number in 0..17 {
            versions.push(stored(&registry, number).await.version);
        }
        for version in &versions {
            assert_eq!(registry.resolve(version.as_str()).await.unwrap(), *version);
        }
        let first_digits = |version: &ModelVersion| version.as_str()[..1].to_owned();
        let shared = versions
            .iter()
            .map(first_digits)
            .find(|digit| versions.iter().filter(|version| first_digits(version) == *digit).count() > 1)
            .unwrap();
        let error = registry.resolve(&shared).await.unwrap_err();
        assert!(matches!(&error, RegistryError::Ambiguous { candidates, .. } if candidates.len() > 1), "{error}");
        assert!(matches!(registry.resolve("").await, Err(RegistryError::NoMatch { .. })));
        server.stop().await.unwrap();
    }
}
