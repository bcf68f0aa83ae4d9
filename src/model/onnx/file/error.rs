//! What can go wrong while a model file is brought into one piece.

use std::io;

use crate::fault::{Judged, Judgement};

/// Why a file, or what it refers to, can't be made one self-contained model. The operator's or the model author's to mend.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file itself.
    #[error(transparent)]
    Unreadable(io::Error),
    /// Weights in another file that can't be taken from there.
    #[error(
        "tensor {tensor:?} has its values in {location:?}: {reason}; or save the model in one file, with external_data=False \
         in torch.onnx.export or save_as_external_data=False in onnx.save_model"
    )]
    ExternalData {
        /// The tensor's name.
        tensor: String,
        /// The file, as the model names it.
        location: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Weights in another file, of a model that came without files.
    #[error(
        "tensor {tensor:?} has its values in another file: save the model with all weights inside, with external_data=False in \
         torch.onnx.export or save_as_external_data=False in onnx.save_model"
    )]
    LeftOutside {
        /// The tensor's name.
        tensor: String,
    },
    /// Functions, of a model that came as bytes.
    #[error(
        "the model has functions of its own, which are inlined where its file is read from a folder: give the file"
    )]
    NotInlined,
    /// A call that doesn't fit what it calls, or a function that can't stand where it is called.
    #[error("function {function:?} of the model can't be inlined: {reason}")]
    Function {
        /// Its name, with its domain.
        function: String,
        /// What is wrong.
        reason: String,
    },
    /// More than a model may be.
    #[error(
        "the model's functions, inlined, make it larger than the limit of {limit} bytes: export it without functions that call \
         each other so often"
    )]
    Grown {
        /// Bytes.
        limit: u64,
    },
}

impl Judged for FileError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Unreadable(_)
            | Self::ExternalData { .. }
            | Self::LeftOutside { .. }
            | Self::NotInlined
            | Self::Function { .. }
            | Self::Grown { .. } => Judgement::OPERATOR,
        }
    }
}
