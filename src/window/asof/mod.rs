//! The as-of form: several horizons in one table, read at the moment of a request.
//!
//! ```text
//!              ┌─ cells: counts, sums, averages, min, max      per key and horizon, as of the newest event
//!  events ─────┼─ distinct values and when they were last seen
//!              ├─ last values per key
//!              └─▶ recent rows ──seal──▶ runs ──roll up──▶ 1 min ──▶ 5 min ──▶ 1 h ──▶ 1 day
//!                        │       (watermark)  │ 10 s tiles     │          │        │        │
//!                        ▼                    ▼                ▼          ▼        ▼        ▼
//!                  what leaves a horizon is subtracted from the cells; any other aggregate merges these
//! ```
//!
//! A read at the newest event copies what follows the events. A read of another time, at or after the watermark, undoes
//! the few rows in between. An event whose time is ahead of the broker's [waits](waiting) until that has come: the newest
//! event is never one of the future. Only aggregates of other functions and types (sketches, `stddev`, strings) are merged from
//! tiles at each read. Tiles hold an aggregate only for the horizons that read it at their width.
//!
//! A [view] is what the table was at a moment: it shares [pages](super::paged), runs and rows, and is scanned and saved on
//! another thread while events go on. What a tail passes of many keys [leaves them](cells) a few keys after each step, so
//! that neither the passing nor the copies of pages for views stop requests.
//!
//! Where the time goes (one table of 20 features over 5 horizons, a million users, `bench/features.rs`): a quarter is the
//! hash table of distinct values, an eighth memory that is touched for the first time, the rest is spread over evaluating
//! expressions, cells and keys.

mod builder;
mod cells;
mod column;
mod distinct;
mod distinct_ordered;
mod distinct_values;
mod extreme;
mod figures;
mod horizon_cells;
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
mod view;
mod waiting;
mod within;

pub use plan::FeaturePlan;
pub use read::Reads;
pub use table::FeatureTable;
pub use tile::Horizon;
pub(super) use tile::floor;
pub use view::FeatureView;
pub(super) use within::{Within, check_horizons, mentions_within};
