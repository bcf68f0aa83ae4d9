//! Serving: models become sessions, jobs become rankings and replies.
//!
//! ```text
//!   folder's file ─▶ lineage: is it new? ─▶ registry's pointer
//!   registry's pointer ─▶ models: fetch, verify, load, try ─▶ Arms ─┐ between two batches
//!   steps ─────────────────────────────────────────────────────────▶ scoring thread ─▶ publications
//! ```

mod lineage;
mod models;
mod scored;
mod scoring;

pub(crate) use lineage::{foresee, open_registry};
pub use models::load_model;
pub(crate) use models::{fetch, follow, load, load_arms};
pub(crate) use scored::{Scored, Scoring};
pub(crate) use scoring::ScoringThread;
