//! Models: an ONNX file becomes a thing that turns vectors into scores.
//!
//! ```text
//!                            onnx::Document          fit                scorer
//!   file ──▶ size, content ──▶ signature ──┐   columns, output   ┌──▶ Scorer ──▶ one score per row
//!                 │            metadata    ├──▶ do they fit? ────┤       ▲
//!                 └──▶ ONNX Runtime ───────┘                     └──▶ a refusal with both shapes
//!                      (runtime, session)                                 │ vectors, row after row
//! ```
//!
//! A file is trusted only so far: it is read and checked here ([`onnx`]) before ONNX Runtime sees it, it is run once
//! on zeros before it is handed out, and every score is checked to be finite. Inputs named like columns take these, each in
//! its type (`route`), and one other takes what is left: all columns, where it is the only one. The columns of a matrix have
//! no names in the file but those of its metadata: where it names other ones than the vector, or in another order, it is
//! refused. [`adopt()`] ties a file to a vector that has the same values. A model that ends in a Sigmoid is run for the logit ([`Link`]); one whose
//! scores depend on who shares a batch is found ([`Mixing`]).
//!
//! Before a pipeline starts, a model is tried on 1, 2 and 3 rows, and what is to be trained must be a probability where the
//! loss needs one; an [`Activation`] makes one of a logit.
//!
//! [`import`] makes such a file of a LightGBM, XGBoost or CatBoost model.
//!
//! The same document also trains: [`gradient`] writes the graph that computes a loss and its gradients, [`train`] runs it
//! on labelled vectors, and [`optimiser`] moves the weights.
//!
//! What this is not: it does not choose, store or swap models, it does not batch requests, and it does not isolate a
//! hostile model, which can still loop for ever or take all memory inside ONNX Runtime.
//!
//! Everything fails with a [`ModelError`]. Errors of loading and binding are the operator's to mend and stop a
//! pipeline before it starts; errors of [`Scorer::score`] concern one batch and leave the scorer usable.

mod activation;
mod adopt;
mod batches;
mod changes;
mod classes;
mod deepfm;
mod error;
mod feeding;
mod fit;
pub mod gradient;
pub(crate) mod import;
mod layer;
mod layout;
mod link;
mod logit;
mod lstm;
mod mixing;
mod mlp;
mod objective;
pub mod onnx;
pub mod optimiser;
mod output;
mod precision;
mod route;
mod runtime;
mod scorer;
mod session;
mod signature;
pub mod train;
mod trial;
mod version;

pub use activation::Activation;
pub(crate) use adopt::{Adopted, Tie, adopt, adopted_from};
pub(crate) use batches::{FixedBatch, free_batch};
pub(crate) use changes::changes_since;
pub use deepfm::{DeepFmSpec, build_deepfm};
pub(crate) use error::{ModelError, RuntimeError};
pub use fit::Binding;
pub(crate) use layout::lay_out;
pub use link::Link;
pub(crate) use link::logistic;
pub use lstm::{LstmSpec, build_lstm};
pub use mixing::Mixing;
pub use mlp::{MlpSpec, build_mlp};
pub(crate) use objective::{ObjectiveError, expect_probability};
pub use output::{Class, ScoreOutput};
pub(crate) use runtime::{RuntimeOrigin, find_runtime, runtime_version};
pub use scorer::Scorer;
pub use session::Session;
pub(crate) use session::{Feed, Values};
pub(crate) use signature::{ElementType, Signature, TensorSpec};
pub(crate) use trial::{id_limits, try_rows};
pub use version::ModelVersion;

/// Keys of a model's metadata that this program writes and reads.
pub mod metadata {
    /// The fingerprint of the vector that the model was made for.
    pub const FINGERPRINT: &str = "tidewheel.fingerprint";
    /// The columns of that vector in order, separated by commas.
    pub const COLUMNS: &str = "tidewheel.columns";
    /// What the vector was made of: a line of a digest and a name for each piece.
    pub const MEANING: &str = "tidewheel.meaning";
    /// The versions that the file had while it was tied to earlier vectors with the same values, separated by commas.
    pub const ADOPTED: &str = "tidewheel.adopted";
    /// How the key begins of the classes that the columns of an output stand for; its name follows. A list in JSON.
    pub const CLASSES: &str = "tidewheel.classes.";
    /// What `tidewheel model new` built: `mlp`, `deepfm` or `lstm`.
    pub const KIND: &str = "tidewheel.kind";
}
