//! Windows that close: `tumble`, `hop`, `cumulate` and `session` in GROUP BY.
//!
//! ```text
//!  SQL ─▶ rewrite: the window taken out ─▶ plan: keys, aggregates, HAVING, projection
//!
//!  events ─▶ input ─▶ group of tables ─┬─ panes ─▶ running window ─▶ emission at the close, on change, early, late
//!                                      └─ sessions of each key ────▶ emission
//! ```
//!
//! - An event updates one pane, whatever the number of windows and tables over it. Tables over one source with the same
//!   keys and WHERE share panes.
//! - A row is late for a table only when the last window that holds it has closed and the lateness has passed. It is
//!   counted; whoever calls decides what becomes of an event that every table refuses.
//! - The rows that are emitted depend on the events and watermarks alone, not on how they were cut into steps, nor on
//!   whether the state was saved and restored in between.
//!
//! It does not know about streams, brokers or threads, and it has no clock: watermarks come from outside.

mod aggregate;
mod emit;
mod evict;
mod gather;
mod group;
mod input;
mod member;
mod pair_table;
mod pane;
mod partial;
mod plan;
mod rewrite;
mod running;
mod save;
mod seen;
mod session;
mod spec;
mod tables;
mod tiles;
mod totals;

pub use emit::{Emission, EmissionKind, WindowIndex};
pub use plan::{Emit, WindowPlan, WindowSettings};
pub(super) use rewrite::{WindowBound, take_window};
pub(crate) use spec::WindowSpec;
pub use tables::WindowTables;
pub(crate) use tables::{GroupView, TableGroup};
pub(super) use tables::{earlier_fingerprint, fingerprint};
