//! The ONNX file as data: read it, look at it, change it, write it, without ONNX Runtime.
//!
//! ```text
//!   bytes ──▶ wire: would anything be lost? ──▶ prost ──▶ policy: is it ours to run? ──▶ Document
//!                                                                                          │ graph, metadata
//!   bytes ◀──────────────────────────────── prost ◀─────────────────────────────────── edits
//!     ▲
//!     └── file: values in other files, functions and lists of maps of a file on disk ([`read_file`])
//! ```
//!
//! The promise: a [`Document`] that was read writes back to a file with the same meaning. What this program does not
//! know how to keep (fields of a newer format, functions, weights in other files) is refused when reading, never
//! dropped when writing; [`read_file`] first brings inside what a file on disk has elsewhere. For training, [`upgrade()`] writes
//! a document in a newer operator set.
//!
//! It does not check that a graph is valid ONNX: names, types and operator versions are ONNX Runtime's to judge when
//! it loads the file. It fails with a [`ModelError`](super::ModelError) that names the message, node or tensor at
//! fault, and its cost is bounded before anything is allocated (file size, nesting, number of parts).

mod appearance;
mod build;
mod compare;
mod division;
mod document;
mod file;
#[cfg(test)]
mod golden;
mod labels;
mod names;
mod operator_sets;
mod policy;
pub mod proto;
mod upgrade;
mod wire;

pub(crate) use build::{
    Attribute, byte_tensor, declaration, double_tensor, float_tensor, float_values, int_tensor, node, text_tensor,
    whole_values,
};
pub use build::{Dimension, GraphBuilder};
pub use compare::weight_changes;
pub use document::Document;
pub(crate) use document::MAX_FILE_BYTES;
pub(crate) use file::{FileError, read_file};
pub(crate) use labels::attribute_labels;
pub use labels::class_labels;
pub(crate) use names::all_names;
pub(crate) use upgrade::{UpgradeError, upgrade};
