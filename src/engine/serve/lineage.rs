//! The model of the pipeline's folder at a start: whether it is to serve, or what the registry's pointer names.
//!
//! ```text
//!   folder's file, pointer, records ─▶ registry::decide ─▶ store, move the pointer, or go on with what is active
//! ```

use std::path::PathBuf;

use crate::bus::{Bus, BusError};
use crate::clock;
use crate::engine::EngineError;
use crate::feature::VectorPlan;
use crate::model::{ModelVersion, Tie, adopt, adopted_from, changes_since};
use crate::pipeline::{ModelPlan, Pipeline};
use crate::registry::{FolderFile, Lineage, ModelRecord, Pointer, Registered, Registry, RegistryError, decide};

/// Opens the registry of a pipeline that has a model, and sees to it that the right one is active: the folder's on the first
/// start and when the operator has put another file there, else what the pointer names.
pub(crate) async fn open_registry(
    pipeline: &Pipeline,
    bus: &Bus,
    copies: Option<PathBuf>,
) -> Result<Option<(Registry, Pointer)>, EngineError> {
    let (Some(model), Some(vector)) = (&pipeline.model, &pipeline.vector) else { return Ok(None) };
    let registry = Registry::open_replicated(bus, pipeline.names.registry(), copies, pipeline.replicas).await?;
    let (version, adopted) = (ModelVersion::of(&model.bytes), adopted_from(&model.bytes)?);
    let file = FolderFile { version: &version, adopted: &adopted, fingerprint: vector.fingerprint().as_str() };
    let start = Start { registry: &registry, model, vector, file };
    let pointer = match registry.pointer().await? {
        None => start.begin().await?,
        Some(pointer) => start.go_on(pointer).await?,
    };
    if pointer.held {
        let moved = pointer.history.last();
        tracing::info!(
            model = %pointer.active,
            reason = moved.map(|moved| moved.reason.as_str()),
            "rolled back: training promotes nothing until `tidewheel model promote` or `tidewheel model resume`"
        );
    }
    Ok(Some((registry, pointer)))
}

/// What a start would do about the folder's model, and which version is active before it; nothing is changed. `None` where the
/// pipeline has no model, or the server no registry of it.
///
/// # Errors
/// [`RegistryError::ActiveOfOtherVector`] where a start would be refused; when the registry can't be read.
pub(crate) async fn foresee(pipeline: &Pipeline, bus: &Bus) -> Result<Option<(Lineage, ModelVersion)>, EngineError> {
    let (Some(model), Some(vector)) = (&pipeline.model, &pipeline.vector) else { return Ok(None) };
    let names = &pipeline.names;
    for stream in names.registry_streams() {
        match bus.stream_state(&stream).await {
            Ok(_) => {}
            Err(BusError::StreamNotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    let registry = Registry::open(bus, names.registry(), None).await?;
    let Some(pointer) = registry.pointer().await? else { return Ok(None) };
    let (version, adopted) = (ModelVersion::of(&model.bytes), adopted_from(&model.bytes)?);
    let file = FolderFile { version: &version, adopted: &adopted, fingerprint: vector.fingerprint().as_str() };
    let start = Start { registry: &registry, model, vector, file };
    match start.decide(&pointer).await? {
        (Lineage::Refuse, active) => Err(start.refusal(pointer, active).await?.into()),
        (lineage, _) => Ok(Some((lineage, pointer.active))),
    }
}

/// A start that has found its registry.
struct Start<'a> {
    registry: &'a Registry,
    model: &'a ModelPlan,
    vector: &'a VectorPlan,
    file: FolderFile<'a>,
}

impl Start<'_> {
    async fn begin(&self) -> Result<Pointer, EngineError> {
        self.store_file().await?;
        Ok(self.registry.initialise(self.file.version, clock::unix_micros()).await?)
    }

    /// What is to be done about the folder's model, and the record of the one that is active.
    async fn decide(&self, pointer: &Pointer) -> Result<(Lineage, ModelRecord), EngineError> {
        let registry = self.registry;
        let active = registry.record(&pointer.active).await?;
        let seen = match registry.record(pointer.folder_seen(&active.root)).await {
            Ok(record) => Some(record),
            Err(RegistryError::UnknownVersion { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let is_adopted = self.file.adopted.contains(pointer.folder_seen(&active.root));
        let registered = Registered {
            pointer,
            // An earlier version of this program made another one of the same texts; weights that say so are adopted.
            active_fingerprint: match self.vector.is_named(&active.fingerprint) && !is_adopted {
                true => self.file.fingerprint,
                false => &active.fingerprint,
            },
            active_root: &active.root,
            seen_fingerprint: seen.as_ref().map(|seen| seen.fingerprint.as_str()),
        };
        Ok((decide(&self.file, Some(&registered)), active))
    }

    async fn go_on(&self, pointer: Pointer) -> Result<Pointer, EngineError> {
        let (registry, file) = (self.registry, &self.file);
        let (lineage, active) = self.decide(&pointer).await?;
        match lineage {
            Lineage::Begin => return self.begin().await,
            Lineage::Keep => {}
            Lineage::Renew => self.store_file().await?,
            Lineage::BeginAnew => {
                tracing::warn!(active = %pointer.active, folder = %file.version, "the folder has another model: starting from it");
                self.store_file().await?;
                let reason = "another model in the pipeline's folder";
                return Ok(registry.begin_anew(file.version, pointer.revision, reason, clock::unix_micros()).await?);
            }
            Lineage::Adopt => return self.adopt(&pointer, &active).await,
            Lineage::Refuse => return Err(self.refusal(pointer, active).await?.into()),
        }
        Ok(registry.note_folder(file.version).await?)
    }

    async fn refusal(&self, pointer: Pointer, active: ModelRecord) -> Result<RegistryError, RegistryError> {
        let bytes = self.registry.fetch(&pointer.active).await?;
        Ok(RegistryError::ActiveOfOtherVector {
            changed: changes_since(&bytes, self.vector.meaning()),
            active: pointer.active,
            made_for: active.fingerprint,
            vector: self.file.fingerprint.to_owned(),
            file: self.file.version.clone(),
        })
    }

    /// Goes on with the active weights, tied to the vector of now as a person has tied the folder's file.
    async fn adopt(&self, pointer: &Pointer, active: &ModelRecord) -> Result<Pointer, EngineError> {
        let (registry, file, now) = (self.registry, &self.file, clock::unix_micros());
        self.store_file().await?;
        let version = if file.adopted.contains(&pointer.active) {
            file.version.clone()
        } else {
            let bytes = registry.fetch(&pointer.active).await?;
            let adopted = adopt(&bytes, Tie::to(self.vector, &self.vector.meaning().digests()))?;
            let record = active.adopted(&adopted.bytes, file.version.clone(), file.fingerprint, now);
            registry.store(adopted.bytes.into(), &record).await?;
            record.version
        };
        let reason = format!("adopted: vector {} has the values of {}", file.fingerprint, active.fingerprint);
        tracing::warn!(model = %version, before = %pointer.active, reason, "the same weights go on");
        Ok(registry.adopt(&version, file.version, pointer.revision, &reason, now).await?)
    }

    async fn store_file(&self) -> Result<(), EngineError> {
        let bytes = self.model.bytes.clone();
        let record = ModelRecord::initial(&bytes, self.file.fingerprint, clock::unix_micros());
        Ok(self.registry.store(bytes.into(), &record).await?)
    }
}
