//! What can go wrong with the library that runs models.

use std::path::PathBuf;

use crate::fault::{Judged, Judgement};

/// Why ONNX Runtime can't be used. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No library was found anywhere.
    #[error(
        "no ONNX Runtime found: {file} is in no .runtime folder at or above the program or the working folder: run scripts/fetch-runtime.sh, or set ORT_DYLIB_PATH to the library"
    )]
    Missing {
        /// The name that was looked for.
        file: String,
    },
    /// `ORT_DYLIB_PATH` names no file.
    #[error(
        "ORT_DYLIB_PATH is {path:?}, which is not a file: correct it, or unset it and run scripts/fetch-runtime.sh"
    )]
    Variable {
        /// The variable's value.
        path: PathBuf,
    },
    /// The library is older than the interface that is used.
    #[error(
        "ONNX Runtime {found} at {path:?} is too old, 1.{needed} or newer is needed: run scripts/fetch-runtime.sh and unset ORT_DYLIB_PATH"
    )]
    TooOld {
        /// Where it is.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The oldest minor version that serves.
        needed: u32,
    },
    /// The file is not a library for this machine, or it does not start.
    #[error("ONNX Runtime at {path:?} can't be used: {reason}: run scripts/fetch-runtime.sh")]
    Unusable {
        /// Where it is.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
}

impl Judged for RuntimeError {
    fn judgement(&self) -> Judgement {
        Judgement::OPERATOR
    }
}
