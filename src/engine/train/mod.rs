//! Training: examples of the output stream become better weights, and those become versions in the registry.
//!
//! ```text
//!   examples ─▶ tasks ─▶ commands ─▶ training thread: learn, evaluate, checkpoint ─▶ gate ─▶ registry
//! ```
//!
//! It runs beside serving, in the same process or in one of its own.

mod command;
mod learning;
mod training;

pub use command::{TrainingOptions, TrainingReport};
pub use training::Training;
