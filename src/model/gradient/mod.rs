//! Reverse-mode differentiation: from a model's graph to a second graph that also computes how to make it better.
//!
//! ```text
//!                    prune        measure         path              loss, rules            assemble
//!   Document ──▶ nodes the ──▶ type, shape ──▶ what is between ──▶ one step back for ──▶ GradientGraph
//!                prediction    of every        a trainable         each node on it,       │ inputs:  x…, label, weight,
//!                needs         value           initializer and     last first             │          offset, parameters
//!                                              the prediction                             └ outputs: loss, prediction,
//!                                                                                                    gradients
//! ```
//!
//! The written graph is plain ONNX in the operator set of the model and runs in an ordinary ONNX Runtime session: the same
//! kernels train and serve. Parameters are inputs, so that weights are passed as views and never stored in it. Tables
//! that are only looked up in get the gradients of the touched rows; see [`GradientForm`].
//!
//! What it does not do: it knows no second derivatives, doesn't differentiate control flow, doesn't train float16 or
//! quantised weights and doesn't update anything. It fails with a [`ModelError`](super::ModelError) that names the
//! node, the operator and what to freeze instead.

#[cfg(test)]
mod built;
mod context;
mod differentiate;
#[cfg(test)]
mod golden;
mod kind;
mod loss;
mod measure;
mod path;
pub(super) mod prune;
mod rules;
mod score;
mod spec;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod weights;

pub(crate) use differentiate::differentiate;
pub(super) use score::is_unbounded;
pub use spec::Loss;
pub(crate) use spec::{GradientForm, GradientGraph, GradientSpec, Parameter, ScoredColumn, names};
