//! Training: the weights of a model follow labelled examples, step by step, in ONNX Runtime.
//!
//! ```text
//!   Document ──▶ gradient::differentiate ──▶ gradient graph ──▶ backward session ─┐ loss, gradients (views)
//!       │                                          weights, as inputs ──▲         ▼
//!       └──▶ the same graph with its weights as inputs ──▶ forward   GraphTrainer ◀── finite? norm, optimiser, in place
//!                                                          session      │
//!   Batch ──▶ Trainer: columns, labels, weights, offsets ──▶ feeds ─────┘──▶ Outcome
//! ```
//!
//! A [`GraphTrainer`] owns the weights as plain memory. Both sessions read them in place on every run, so a step copies no
//! weights and needs no new session, and [`Trainer::predict`] always answers with the newest ones. A [`Trainer`] is a
//! graph trainer bound to a vector, as a [`Scorer`](super::Scorer) is a session bound to one.
//!
//! What is trained is decided by how the graph uses a number, see `gradient/weights.rs`; an [`Inventory`] lists it.
//!
//! A step happens as a whole or not at all: when the loss or a gradient is not finite, the batch is [skipped] and
//! weights and optimiser stay bit for bit as they were. The same batches in the same order give the same bits on the
//! same machine with one thread (unless `dropout` is on); [`Trainer::save`] and [`Trainer::restore`] in between
//! change nothing.
//!
//! It does not choose examples, judge whether a model got better, or publish it. It fails with a
//! [`ModelError`](super::ModelError): those of building are the operator's to mend (an operator without a gradient, a
//! setting out of range), those of a step concern one batch and leave the trainer usable.
//!
//! [skipped]: Outcome::Skipped

mod graph_trainer;
mod inventory;
mod parameter;
mod pass;
mod saved;
mod settings;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod trainer;

pub use graph_trainer::{GraphTrainer, Outcome};
pub use inventory::{Inventory, Listed};
pub use settings::TrainSettings;
pub use trainer::{Batch, Trainer};
