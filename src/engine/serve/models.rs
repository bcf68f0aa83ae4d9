//! Which models serve: the registry's pointer becomes loaded, tried sessions, now and whenever it moves.
//!
//! ```text
//!   pointer ─▶ fetch, digest ─▶ load, run once ─▶ Arms ─▶ the scoring thread takes over between two batches
//! ```
//!
//! A version that cannot be loaded never reaches the scoring thread: what serves goes on serving.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::EngineError;
use crate::engine::source::Moves;
use crate::model::{ModelVersion, Scorer, Session};
use crate::pipeline::Pipeline;
use crate::registry::{Pointer, Registry};
use crate::score::Arms;

/// The model in a pipeline's folder, bound to its vector.
pub fn load_model(pipeline: &Pipeline) -> Result<Option<Scorer>, EngineError> {
    pipeline.model.as_ref().map(|model| load(pipeline, &model.bytes)).transpose()
}

/// A model of a pipeline, bound to its vector and run once.
pub(crate) fn load(pipeline: &Pipeline, bytes: &[u8]) -> Result<Scorer, EngineError> {
    let (Some(model), Some(vector)) = (&pipeline.model, &pipeline.vector) else { return Err(EngineError::NoModel) };
    let mixing = pipeline.score.as_ref().map(|score| score.mixing).unwrap_or_default();
    Ok(Session::from_bytes(bytes, 1)?
        .bind(&model.binding(vector))?
        .with_activation(model.activation)
        .with_mixing(mixing)?)
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
