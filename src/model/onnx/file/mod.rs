//! A model file on disk, as the one file that it would be with everything inside.
//!
//! ```text
//!   path ──▶ bytes ──▶ anything to rewrite? ──no──▶ the same bytes
//!                             │ yes
//!                             ├─▶ external     values in files beside it come inside
//!                             ├─▶ functions    a call of a function that the file brings becomes the function's nodes
//!                             └─▶ zip_map      the tensor behind a list of maps takes its place       ──▶ new bytes
//! ```
//!
//! The promise: what comes out needs no other file, has no functions, and computes what the file computes. The same files
//! always give the same bytes, so that the version of a model, the digest of these bytes, covers all of them; a file that
//! needs no rewriting keeps its bytes. Workers get the new bytes from the registry and never look for another file.
//!
//! What it does not do: it does not say whether the model is one to run, or a model at all: bytes that are none stay as they
//! are, so that a damaged file has a version, too. [`Document::read`](super::Document::read) says what is wrong with what comes
//! out. It fails with a [`ModelError`] that names tensor, file or function, and reads no more than a
//! model may have in all.

mod call;
mod error;
mod external;
mod functions;
mod zip_map;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use prost::Message;

pub(crate) use error::FileError;

use super::document::{MAX_FILE_BYTES, decode};
use crate::model::ModelError;

/// The bytes of the self-contained model that a file, and those beside it that it names, stand for.
///
/// # Errors
/// [`FileError::Unreadable`] when the file itself can't be read, [`ModelError::TooLarge`] for a model that is too large with what
/// comes inside, and another [`FileError`] for what can't be brought inside.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, ModelError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(FileError::Unreadable)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(FileError::Unreadable)?;
    bounded(&bytes)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    self_contained(bytes, folder.unwrap_or(Path::new(".")))
}

/// The model with everything inside that it takes from files in `folder`.
fn self_contained(bytes: Vec<u8>, folder: &Path) -> Result<Vec<u8>, ModelError> {
    let Ok(mut model) = decode(&bytes, MAX_FILE_BYTES) else { return Ok(bytes) };
    let room = MAX_FILE_BYTES.saturating_sub(bytes.len() as u64);
    let is_embedded = external::embed(&mut model, folder, room)?;
    let is_inlined = functions::inline(&mut model)?;
    let is_seen_through = zip_map::see_through(&mut model);
    if !(is_embedded || is_inlined || is_seen_through) {
        return Ok(bytes);
    }
    let rewritten = model.encode_to_vec();
    bounded(&rewritten)?;
    Ok(rewritten)
}

fn bounded(bytes: &[u8]) -> Result<(), ModelError> {
    let is_small = bytes.len() as u64 <= MAX_FILE_BYTES;
    is_small.then_some(()).ok_or(ModelError::TooLarge { limit: MAX_FILE_BYTES })
}

#[cfg(test)]
mod tests;
