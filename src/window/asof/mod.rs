//! The as-of form: several horizons in one table, read at the moment of a request.
//!
//! ```text
//!  events ─▶ recent rows ──seal──▶ runs ──roll up──▶ 1 min ──▶ 5 min ──▶ 1 h ──▶ 1 day
//!                 │       (watermark)  │ 10 s tiles     │          │        │        │
//!                 ▼                    ▼                ▼          ▼        ▼        ▼
//!  read(key, t): running cells, or the merge of the few tiles that cover (tail, t] plus the recent rows
//! ```

mod cells;
mod column;
mod distinct;
mod extreme;
mod figures;
mod last;
mod level;
mod memory;
mod plan;
mod read;
mod recent;
mod run;
mod select;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;
mod tile;
mod within;

pub use plan::FeaturePlan;
pub use read::Reads;
pub use table::FeatureTable;
pub use tile::Horizon;
pub(super) use tile::floor;
pub(super) use within::{Within, mentions_within};
