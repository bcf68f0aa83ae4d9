//! Which models serve: the registry's pointer becomes loaded, tried sessions, now and whenever it moves.
//!
//! ```text
//!   folder's model ─▶ registry (once, or when the file is another one)
//!   pointer ─▶ fetch, digest ─▶ load, run once ─▶ Arms ─▶ the scoring thread takes over between two batches
//! ```
//!
//! A version that cannot be loaded never reaches the scoring thread: what serves goes on serving.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::clock;
use crate::engine::EngineError;
use crate::engine::source::Moves;
use crate::model::{Binding, ModelVersion, Scorer, Session};
use crate::pipeline::{Names, Pipeline};
use crate::registry::{ModelRecord, Pointer, Registry};
use crate::score::Arms;

/// The model in a pipeline's folder, bound to its vector.
pub fn load_model(pipeline: &Pipeline) -> Result<Option<Scorer>, EngineError> {
    pipeline.model.as_ref().map(|model| load(pipeline, &model.bytes)).transpose()
}

/// A model of a pipeline, bound to its vector and run once.
pub(crate) fn load(pipeline: &Pipeline, bytes: &[u8]) -> Result<Scorer, EngineError> {
    let (Some(model), Some(vector)) = (&pipeline.model, &pipeline.vector) else { return Err(EngineError::NoModel) };
    let binding = Binding {
        columns: vector.columns(),
        fingerprint: Some(vector.fingerprint().as_str()),
        output: model.output.as_deref(),
    };
    let mixing = pipeline.score.as_ref().map(|score| score.mixing).unwrap_or_default();
    Ok(Session::from_bytes(bytes, 1)?.bind(&binding)?.with_activation(model.activation).with_mixing(mixing)?)
}

/// Opens the registry of a pipeline that has a model, and sees to it that something of the present folder is active: on the
/// first start, and when the operator has put another file or vector there, the folder's model begins a new lineage.
pub(crate) async fn open_registry(
    pipeline: &Pipeline,
    bus: &Bus,
    copies: Option<PathBuf>,
) -> Result<Option<(Registry, Pointer)>, EngineError> {
    let (Some(model), Some(vector)) = (&pipeline.model, &pipeline.vector) else { return Ok(None) };
    let registry =
        Registry::open_replicated(bus, Names::of(&pipeline.name).registry(), copies, pipeline.replicas).await?;
    let fingerprint = vector.fingerprint().as_str();
    let folder = ModelVersion::of(&model.bytes);
    if let Some(pointer) = registry.pointer().await? {
        let active = registry.record(&pointer.active).await?;
        if active.root == folder && active.fingerprint == fingerprint {
            return Ok(Some((registry, pointer)));
        }
        tracing::warn!(active = %pointer.active, folder = %folder, "the folder has another model or vector: starting from its model");
        store_folder(&registry, model.bytes.clone(), fingerprint).await?;
        let reason = "the pipeline's folder has another model or vector";
        let pointer = registry.promote(&folder, pointer.revision, reason, clock::unix_micros()).await?;
        return Ok(Some((registry, pointer)));
    }
    store_folder(&registry, model.bytes.clone(), fingerprint).await?;
    let pointer = registry.initialise(&folder, clock::unix_micros()).await?;
    Ok(Some((registry, pointer)))
}

async fn store_folder(registry: &Registry, bytes: Vec<u8>, fingerprint: &str) -> Result<(), EngineError> {
    let record = ModelRecord::initial(&bytes, fingerprint, clock::unix_micros());
    Ok(registry.store(bytes.into(), &record).await?)
}

/// The models that a pointer names. When the active one cannot be used, the newest earlier one that can, and an error in the
/// log: a person must look, and people are served meanwhile.
pub(crate) async fn load_arms(
    pipeline: &Arc<Pipeline>,
    registry: &Registry,
    pointer: &Pointer,
) -> Result<Arms, EngineError> {
    let mut failure = None;
    for version in std::iter::once(&pointer.active).chain(&pointer.previous) {
        match fetch(pipeline, registry, version).await {
            Ok(active) => {
                let arms = Arms::new(active);
                let Some(control) = &pointer.control else { return Ok(arms) };
                return Ok(match fetch(pipeline, registry, &control.version).await {
                    Ok(scorer) => arms.with_control(scorer, control.share),
                    Err(error) => {
                        tracing::error!(version = %control.version, %error, "nobody is in the control group: its model can't be used");
                        arms
                    }
                });
            }
            Err(error) => {
                tracing::error!(%version, %error, "a promoted model can't be used");
                failure.get_or_insert(error);
            }
        }
    }
    Err(failure.unwrap_or(EngineError::NoModel))
}

/// A version, loaded and tried away from the async threads.
pub(crate) async fn fetch(
    pipeline: &Arc<Pipeline>,
    registry: &Registry,
    version: &ModelVersion,
) -> Result<Scorer, EngineError> {
    let bytes = registry.fetch(version).await?;
    let pipeline = Arc::clone(pipeline);
    let loaded = tokio::task::spawn_blocking(move || load(&pipeline, &bytes)).await;
    loaded.map_err(|_| EngineError::Thread("loading"))?
}

/// Follows the pointer until told to stop, and hands new models to the scoring thread.
pub(crate) async fn follow(
    pipeline: Arc<Pipeline>,
    registry: Registry,
    mut serving: Pointer,
    swaps: mpsc::Sender<Arms>,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    let mut moves = Moves::after(&registry, &serving, stop).await?;
    while let Some(pointer) = moves.next().await? {
        if (&pointer.active, &pointer.control) == (&serving.active, &serving.control) {
            continue;
        }
        match load_arms(&pipeline, &registry, &pointer).await {
            Ok(arms) => {
                tracing::info!(model = %pointer.active, before = %serving.active, "swapping models");
                serving = pointer;
                if swaps.send(arms).await.is_err() {
                    break;
                }
            }
            Err(error) => tracing::error!(%error, model = %pointer.active, "not swapped: what serves goes on serving"),
        }
    }
    Ok(())
}
