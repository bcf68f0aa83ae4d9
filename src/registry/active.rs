//! Moving the pointer to the active model: read, decide, compare and set.

use bytes::Bytes;
use tracing::info;

use super::RegistryError;
use super::models::Registry;
use super::pointer::{Control, Pointer};
use super::watch::PointerWatch;
use crate::bus::{BusError, KeyEntry, Revision};
use crate::model::ModelVersion;

/// The key that holds the pointer.
const POINTER: &str = "pointer";

/// How often a move is tried again because somebody else was faster.
pub(super) const TRIES: u32 = 16;

impl Registry {
    /// Where the pointer is; `None` until the registry is initialised.
    ///
    /// # Errors
    /// [`RegistryError::UnreadablePointer`]; [`RegistryError::Bus`] when the server doesn't answer.
    pub async fn pointer(&self) -> Result<Option<Pointer>, RegistryError> {
        self.pointers.get(POINTER).await?.map(|entry| read(&entry)).transpose()
    }

    /// Makes a stored model the first and active one of the pipeline. A registry that began with the same model is left as
    /// it is, wherever its pointer is now.
    ///
    /// # Errors
    /// [`RegistryError::AlreadyInitialised`] when the pipeline began with another model, [`RegistryError::Incomplete`] when
    /// the model is not whole in the store; [`RegistryError::Bus`] when the server refuses or doesn't answer.
    pub async fn initialise(&self, version: &ModelVersion, at_micros: i64) -> Result<Pointer, RegistryError> {
        for _ in 0..TRIES {
            if let Some(pointer) = self.pointer().await? {
                if pointer.first == *version {
                    return Ok(pointer);
                }
                let (pipeline, first) = (self.pipeline.clone(), pointer.first);
                return Err(RegistryError::AlreadyInitialised { pipeline, first, given: version.clone() });
            }
            self.check_complete(version).await?;
            let pointer = Pointer::begin(version.clone(), at_micros);
            match self.pointers.create(POINTER, written(&pointer)?).await {
                Ok(revision) => {
                    info!(pipeline = self.pipeline, %version, "the pipeline begins with this model");
                    return Ok(Pointer { revision, ..pointer });
                }
                Err(BusError::KeyChanged { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(self.contended())
    }

    /// Makes a stored model the active one, if the pointer is still at `expected`: the revision on which the caller
    /// decided. `reason` and `at_micros` (microseconds since 1970 in UTC) go into the history. Promoting what is active
    /// moves nothing; either way a roll-back is not held any more.
    ///
    /// # Errors
    /// [`RegistryError::Moved`] when somebody else moved the pointer; [`RegistryError::Incomplete`] or
    /// [`RegistryError::BeingDeleted`] when the model is not whole in the store; [`RegistryError::NotInitialised`];
    /// [`RegistryError::Bus`] when the server refuses or doesn't answer.
    pub async fn promote(
        &self,
        version: &ModelVersion,
        expected: Revision,
        reason: &str,
        at_micros: i64,
    ) -> Result<Pointer, RegistryError> {
        let promote = |pointer: Pointer| pointer.promoted(version.clone(), reason, at_micros);
        self.activate(version, expected, promote).await
    }

    /// As [`promote`](Self::promote), of the new file in the pipeline's folder, which a start then has seen.
    ///
    /// # Errors
    /// As [`promote`](Self::promote).
    pub async fn begin_anew(
        &self,
        file: &ModelVersion,
        expected: Revision,
        reason: &str,
        at_micros: i64,
    ) -> Result<Pointer, RegistryError> {
        let begin = |pointer: Pointer| pointer.begun_anew(file.clone(), reason, at_micros);
        self.activate(file, expected, begin).await
    }

    /// As [`promote`](Self::promote), of the same weights for the vector of now; `file` is what the folder has for it. A
    /// roll-back is held on.
    ///
    /// # Errors
    /// As [`promote`](Self::promote).
    pub async fn adopt(
        &self,
        version: &ModelVersion,
        file: &ModelVersion,
        expected: Revision,
        reason: &str,
        at_micros: i64,
    ) -> Result<Pointer, RegistryError> {
        let adopt = |pointer: Pointer| pointer.adopted(version.clone(), file.clone(), reason, at_micros);
        self.activate(version, expected, adopt).await
    }

    async fn activate(
        &self,
        version: &ModelVersion,
        expected: Revision,
        change: impl FnOnce(Pointer) -> Pointer,
    ) -> Result<Pointer, RegistryError> {
        let pointer = self.required().await?;
        if pointer.revision != expected {
            return Err(moved(expected, pointer));
        }
        let changed = change(pointer.clone());
        if changed == pointer {
            return Ok(pointer);
        }
        if pointer.active != *version {
            self.check_usable(&pointer, version).await?;
        }
        let Some(pointer) = self.replace(changed).await? else {
            return Err(moved(expected, self.required().await?));
        };
        if let Some(last) = pointer.history.last() {
            info!(pipeline = self.pipeline, %version, reason = last.reason, "promoted a model");
        }
        Ok(pointer)
    }

    /// Makes the newest previous model active again that is whole in the store and was made for the vector with this
    /// fingerprint. Rolling back once more goes further back. It is held: training promotes nothing until somebody
    /// [promotes](Self::promote) or [resumes](Self::resume).
    ///
    /// # Errors
    /// [`RegistryError::NothingBefore`], [`RegistryError::NotInitialised`], [`RegistryError::Contended`];
    /// [`RegistryError::Bus`] when the server refuses or doesn't answer.
    pub async fn rollback(&self, fingerprint: &str, reason: &str, at_micros: i64) -> Result<Pointer, RegistryError> {
        for _ in 0..TRIES {
            let pointer = self.required().await?;
            let Some(version) = self.newest_usable(&pointer, fingerprint).await? else {
                return Err(RegistryError::NothingBefore {
                    active: pointer.active,
                    fingerprint: fingerprint.to_owned(),
                });
            };
            if let Some(pointer) = self.replace(pointer.rolled_back(version, reason, at_micros)).await? {
                info!(pipeline = self.pipeline, version = %pointer.active, reason, "rolled back to an earlier model");
                return Ok(pointer);
            }
        }
        Err(self.contended())
    }

    /// Lets a stored model answer for a share of the users (0 to 1), or none.
    ///
    /// # Errors
    /// [`RegistryError::InvalidShare`]; [`RegistryError::Incomplete`] or [`RegistryError::BeingDeleted`] when the model is
    /// not whole in the store; otherwise as [`rollback`](Self::rollback).
    pub async fn set_control(&self, control: Option<Control>) -> Result<Pointer, RegistryError> {
        if let Some(Control { share, .. }) = control
            && !(0.0..=1.0).contains(&share)
        {
            return Err(RegistryError::InvalidShare { share });
        }
        let version = control.as_ref().map(|control| control.version.clone());
        self.change(version.as_ref(), |pointer| Pointer { control: control.clone(), ..pointer }).await
    }

    /// Lets the gate decide on a stored model, or on none but the weights in training.
    ///
    /// # Errors
    /// As [`set_control`](Self::set_control).
    pub async fn set_candidate(&self, candidate: Option<ModelVersion>) -> Result<Pointer, RegistryError> {
        self.change(candidate.as_ref(), |pointer| Pointer { candidate: candidate.clone(), ..pointer }).await
    }

    /// Lets training promote again after a roll-back.
    ///
    /// # Errors
    /// As [`rollback`](Self::rollback).
    pub async fn resume(&self) -> Result<Pointer, RegistryError> {
        self.change(None, |pointer| Pointer { held: false, ..pointer }).await
    }

    /// Remembers which file the pipeline's folder has.
    ///
    /// # Errors
    /// As [`rollback`](Self::rollback).
    pub async fn note_folder(&self, file: &ModelVersion) -> Result<Pointer, RegistryError> {
        self.change(None, |pointer| Pointer { folder: Some(file.clone()), ..pointer }).await
    }

    /// Changes what does not depend on where the pointer is, if the stored version that it then names can be used.
    async fn change(
        &self,
        named: Option<&ModelVersion>,
        change: impl Fn(Pointer) -> Pointer,
    ) -> Result<Pointer, RegistryError> {
        for _ in 0..TRIES {
            let pointer = self.required().await?;
            if let Some(version) = named {
                self.check_usable(&pointer, version).await?;
            }
            let changed = change(pointer.clone());
            if changed == pointer {
                return Ok(pointer);
            }
            if let Some(pointer) = self.replace(changed).await? {
                return Ok(pointer);
            }
        }
        Err(self.contended())
    }

    /// Follows the pointer: where it is now (once the registry is initialised), then each move.
    ///
    /// # Errors
    /// [`RegistryError::Bus`] when the server doesn't answer.
    pub async fn watch(&self) -> Result<PointerWatch, RegistryError> {
        Ok(PointerWatch::new(self.pointers.watch(POINTER).await?))
    }

    pub(super) async fn required(&self) -> Result<Pointer, RegistryError> {
        let pointer = self.pointer().await?;
        pointer.ok_or_else(|| RegistryError::NotInitialised { pipeline: self.pipeline.clone() })
    }

    /// Writes a changed pointer over the revision that it was made from; `None`: somebody else was faster.
    pub(super) async fn replace(&self, pointer: Pointer) -> Result<Option<Pointer>, RegistryError> {
        match self.pointers.update(POINTER, written(&pointer)?, pointer.revision).await {
            Ok(revision) => Ok(Some(Pointer { revision, ..pointer })),
            Err(BusError::KeyChanged { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn contended(&self) -> RegistryError {
        RegistryError::Contended { pipeline: self.pipeline.clone(), tries: TRIES }
    }

    async fn newest_usable(&self, pointer: &Pointer, fingerprint: &str) -> Result<Option<ModelVersion>, RegistryError> {
        for version in pointer.previous.iter().filter(|version| !pointer.deleting.contains(version)) {
            match self.read(version).await {
                Ok((_, record)) if record.fingerprint == fingerprint => return Ok(Some(version.clone())),
                Ok(_) => {}
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn check_usable(&self, pointer: &Pointer, version: &ModelVersion) -> Result<(), RegistryError> {
        if pointer.deleting.contains(version) {
            return Err(RegistryError::BeingDeleted { version: version.clone() });
        }
        self.check_complete(version).await
    }

    /// Reads a model back from the store: workers elsewhere have no other copy.
    async fn check_complete(&self, version: &ModelVersion) -> Result<(), RegistryError> {
        match self.read(version).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_damage() => {
                Err(RegistryError::Incomplete { version: version.clone(), cause: Box::new(error) })
            }
            Err(error) => Err(error),
        }
    }
}

fn written(pointer: &Pointer) -> Result<Bytes, RegistryError> {
    match serde_json::to_vec(pointer) {
        Ok(json) => Ok(json.into()),
        Err(error) => Err(RegistryError::UnreadablePointer { revision: pointer.revision, reason: error.to_string() }),
    }
}

/// The pointer that a value of its key is.
pub(super) fn read(entry: &KeyEntry) -> Result<Pointer, RegistryError> {
    match serde_json::from_slice::<Pointer>(&entry.value) {
        Ok(pointer) => Ok(Pointer { revision: entry.revision, ..pointer }),
        Err(error) => Err(RegistryError::UnreadablePointer { revision: entry.revision, reason: error.to_string() }),
    }
}

fn moved(expected: Revision, pointer: Pointer) -> RegistryError {
    RegistryError::Moved { expected, found: pointer.revision, active: pointer.active }
}

#[cfg(test)]
mod tests;
