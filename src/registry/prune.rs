//! Deleting old versions, without deleting what the pointer may still lead to.
//!
//! ```text
//!   read pointer ──▶ choose ──▶ write the choice into the pointer ──▶ delete ──▶ take it out of the pointer
//!        ▲                           │ moved meanwhile
//!        └───────────────────────────┘
//! ```
//!
//! A promotion that was decided on before the choice was written loses its compare and set; one that is decided on after it
//! sees that the version is going. A crash in between leaves the choice in the pointer, and the next call goes on with it.

use tracing::info;

use super::active::TRIES;
use super::models::{Registry, object_name};
use super::{ModelKind, ModelRecord, RegistryError};
use crate::model::ModelVersion;

impl Registry {
    /// Deletes all but the `keep` newest versions that were trained, as many that were given as files, and those that are
    /// active, the control, the candidate, the first, the folder's, or next to roll back to. Gives what was deleted. Nothing
    /// is deleted before the registry is initialised.
    ///
    /// # Errors
    /// [`RegistryError::Contended`]; [`RegistryError::Bus`] when the server refuses or doesn't answer: the next call goes
    /// on.
    pub async fn delete_old(&self, keep: usize) -> Result<Vec<ModelVersion>, RegistryError> {
        let deleting = self.mark(keep).await?;
        for version in &deleting {
            self.models.delete(&object_name(version)).await?;
            if let Some(local) = &self.local {
                local.remove(version).await;
            }
            info!(pipeline = self.pipeline, %version, "deleted an old model");
        }
        if !deleting.is_empty() {
            self.unmark(&deleting).await?;
        }
        Ok(deleting)
    }

    /// Frees the space of models and checkpoints whose storing was interrupted (by a crash) before `before_micros`
    /// (microseconds since 1970 in UTC, by the server's clock). Choose it so that none can still be under way. Gives how many
    /// there were.
    ///
    /// # Errors
    /// [`RegistryError::Bus`] when the server refuses or doesn't answer.
    pub async fn remove_abandoned(&self, before_micros: i64) -> Result<usize, RegistryError> {
        Ok(self.models.remove_abandoned(before_micros).await?)
    }

    /// Chooses what is to go and writes it into the pointer.
    async fn mark(&self, keep: usize) -> Result<Vec<ModelVersion>, RegistryError> {
        for _ in 0..TRIES {
            let Some(pointer) = self.pointer().await? else { return Ok(Vec::new()) };
            // What training makes every minute does not push out what a person has added.
            let (trained, given): (Vec<_>, Vec<_>) =
                self.list().await?.into_iter().partition(|record| record.kind == ModelKind::Trained);
            let beyond = |newest_first: Vec<ModelRecord>| newest_first.into_iter().skip(keep);
            let old = beyond(trained).chain(beyond(given)).map(|record| record.version);
            let mut chosen: Vec<ModelVersion> = old.filter(|version| !pointer.needs(version)).collect();
            let earlier: Vec<_> =
                pointer.deleting.iter().filter(|version| !chosen.contains(version)).cloned().collect();
            chosen.extend(earlier);
            if chosen.is_empty() || self.replace(pointer.deleting(chosen.clone())).await?.is_some() {
                return Ok(chosen);
            }
        }
        Err(self.contended())
    }

    /// Takes what is gone out of the pointer.
    async fn unmark(&self, gone: &[ModelVersion]) -> Result<(), RegistryError> {
        for _ in 0..TRIES {
            let pointer = self.required().await?;
            let left = pointer.deleting.iter().filter(|version| !gone.contains(version)).cloned().collect();
            if self.replace(pointer.deleting(left)).await?.is_some() {
                return Ok(());
            }
        }
        Err(self.contended())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Training;
    use crate::registry::pointer::Control;
    use crate::registry::testing::{begun, file, registry, stored, version};

    async fn left(registry: &Registry) -> Vec<ModelVersion> {
        registry.list().await.unwrap().into_iter().map(|record| record.version).collect()
    }

    #[tokio::test]
    async fn the_newest_and_what_the_pointer_needs_stay() {
        let (server, registry, mut pointer) = begun(9).await;
        for number in [2, 3, 4] {
            pointer = registry.promote(&version(number), pointer.revision, "better", 0).await.unwrap();
        }
        registry.set_control(Some(Control { version: version(5), share: 0.1 })).await.unwrap();
        let deleted = registry.delete_old(2).await.unwrap();
        assert_eq!(deleted, [7, 6, 2].map(version));
        assert_eq!(left(&registry).await, [9, 8, 5, 4, 3, 1].map(version));
        let pointer = registry.pointer().await.unwrap().unwrap();
        assert_eq!((pointer.previous.clone(), pointer.deleting.len()), ([3, 1].map(version).to_vec(), 0));
        assert_eq!(registry.delete_old(2).await.unwrap(), []);
        assert_eq!(registry.pointer().await.unwrap().unwrap().revision, pointer.revision, "nothing was written");
        server.stop().await.unwrap();
    }

    /// A model that was added at night was gone before anybody could promote it.
    #[tokio::test]
    async fn what_was_given_is_not_pushed_out_by_what_is_trained() {
        let (server, registry, _) = begun(3).await;
        let first = registry.record(&version(1)).await.unwrap();
        for number in 10..14 {
            let training = Training { example_position: 1, steps: 1, metrics: serde_json::Value::Null };
            let record = ModelRecord::trained(&file(number), &first, "f00d", training, i64::from(number));
            registry.store(file(number), &record).await.unwrap();
        }
        assert_eq!(registry.delete_old(2).await.unwrap(), [11, 10].map(version));
        registry.set_candidate(Some(version(10))).await.unwrap_err();
        registry.set_candidate(Some(version(12))).await.unwrap();
        assert_eq!(registry.delete_old(0).await.unwrap(), [13, 3, 2].map(version));
        assert_eq!(left(&registry).await, [12, 1].map(version));
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn nothing_goes_before_there_is_a_pointer() {
        let (server, registry) = registry().await;
        stored(&registry, 1).await;
        assert_eq!(registry.delete_old(0).await.unwrap(), []);
        assert_eq!(left(&registry).await, [version(1)]);
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_version_that_is_going_is_not_promoted_and_the_next_call_goes_on() {
        let (server, registry, _) = begun(3).await;
        // As if it had been killed between choosing and deleting.
        assert_eq!(registry.mark(0).await.unwrap(), [3, 2].map(version));
        let pointer = registry.pointer().await.unwrap().unwrap();
        let error = registry.promote(&version(2), pointer.revision, "", 0).await.unwrap_err();
        assert!(matches!(error, RegistryError::BeingDeleted { .. }), "{error}");
        assert_eq!(registry.delete_old(99).await.unwrap(), [3, 2].map(version));
        assert_eq!(left(&registry).await, [version(1)]);
        stored(&registry, 2).await;
        let pointer = registry.pointer().await.unwrap().unwrap();
        registry.promote(&version(2), pointer.revision, "", 0).await.unwrap();
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn whatever_is_promoted_while_old_versions_go_is_still_there() {
        let (server, registry, _) = begun(12).await;
        let promote = async {
            for number in (2..=12).rev() {
                // That it is gone or going is fine; what counts is what is active in the end.
                loop {
                    let pointer = registry.pointer().await.unwrap().unwrap();
                    match registry.promote(&version(number), pointer.revision, "", 0).await {
                        Err(RegistryError::Moved { .. }) => {}
                        _ => break,
                    }
                }
            }
        };
        let prune = async {
            // The newest always stays, so that one promotion at least succeeds.
            for keep in (1..6).rev() {
                registry.delete_old(keep).await.unwrap();
            }
        };
        tokio::join!(promote, prune);
        let pointer = registry.pointer().await.unwrap().unwrap();
        registry.fetch(&pointer.active).await.unwrap();
        registry.rollback("f00d", "check", 0).await.unwrap();
        server.stop().await.unwrap();
    }
}
