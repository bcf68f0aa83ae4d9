//! Serving: models become sessions, jobs become rankings and replies.
//!
//! ```text
//!   registry's pointer ─▶ models: fetch, verify, load, try ─▶ Arms ─┐ between two batches
//!   steps ─────────────────────────────────────────────────────────▶ scoring thread ─▶ publications
//! ```

mod models;
mod scored;
mod scoring;

pub use models::load_model;
pub(crate) use models::open_registry;
pub(crate) use models::{fetch, follow, load, load_arms};
pub(crate) use scored::{Scored, Scoring};
pub(crate) use scoring::ScoringThread;
