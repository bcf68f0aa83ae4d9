//! What has changed of a vector since a model was made for it, in words.

use super::{ModelError, metadata, onnx::Document};
use crate::feature::Meaning;

/// Where a model says nothing of what its vector was made of.
pub(super) const UNKNOWN_CHANGE: &str = "vector.sql, or the SQL of a table that it joins, has changed";

/// What has changed since the model in these bytes was made: the columns and tables by name where the model says what it was
/// made for, and otherwise the files that it may be.
pub(crate) fn changes_since(model: &[u8], now: &Meaning) -> String {
    let digests = Document::read(model).ok().and_then(|model| model.metadata().remove(metadata::MEANING));
    let changes = now.changes(digests.as_deref().unwrap_or_default());
    match changes.as_slice() {
        [] => format!("one of {} has changed", now.files().join(", ")),
        [one] => format!("{one} has changed"),
        [many @ .., last] => format!("{} and {last} have changed", many.join(", ")),
    }
}

impl ModelError {
    /// The same error; where it is that the model was made for another vector, it says what of that has changed.
    #[must_use]
    pub(crate) fn naming_changes(self, bytes: &[u8], now: &Meaning) -> Self {
        match self {
            Self::FingerprintDiffers { model, vector, .. } => {
                Self::FingerprintDiffers { model, vector, changed: changes_since(bytes, now) }
            }
            other => other,
        }
    }
}
