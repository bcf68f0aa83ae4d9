//! Writing parts of the state into a draft of a snapshot.

use std::io::Write;

use crate::engine::EngineError;
use crate::snapshot::Draft;
use crate::step::StepError;

/// Writes parts of the state, one after the other; on a thread that may wait for the store.
pub(crate) fn save_parts(
    draft: &mut Draft,
    parts: &[String],
    save: impl Fn(&str, &mut dyn Write) -> Result<(), StepError>,
) -> Result<(), EngineError> {
    for name in parts {
        let mut part = draft.part(name)?;
        save(name, &mut part)?;
        part.finish().map_err(|source| EngineError::Part { part: name.clone(), source })?;
    }
    Ok(())
}
