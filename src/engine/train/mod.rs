//! Training: examples of the output stream become better weights, and those become versions in the registry.
//!
//! ```text
//!   examples ─▶ tasks ─▶ commands ─▶ training thread: learn, evaluate, checkpoint ─▶ gate ─▶ registry
//! ```
//!
//! It runs beside serving, in the same process or in one of its own. What the broker can't do now is tried again, with
//! growing waits, and reading examples waits meanwhile. Any other failure stops training, and nothing else: its reason is in
//! the report, in the log and in a gauge, and a restart goes on at the last checkpoint.

mod command;
mod learning;
mod origins;
mod other_vectors;
mod patient_registry;
mod promotion;
mod refusals;
mod resume;
mod training;

pub use command::{TrainingOptions, TrainingReport};
pub use training::Training;
