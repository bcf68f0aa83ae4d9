//! The language of features: SQL text becomes analysed plans and expressions, and expressions become values.
//!
//! ```text
//!   text ─▶ Shape: how deep? ─▶ Planner ─▶ logical plan ─▶ expressions ─▶ evaluate(batch) ─▶ columns
//!                                  ▲
//!              functions of ours ──┘  last_n, top_k, decayed_sum, quantile, ...
//! ```
//!
//! It is the door to DataFusion's parser and planner. It knows relations by name and schema, and nothing of windows, tables or
//! streams: `window` adds the functions that stand for windows with [`Planner::add_function`]. A text that is too long or too
//! deep is refused before it is parsed.
//!
//! It fails with [`PlanError`], which names what is wrong and what to write instead.

mod condition;
mod duration;
mod evaluate;
mod functions;
mod planner;
mod shape;

pub use condition::Condition;
pub(crate) use duration::parse_duration;
pub(crate) use evaluate::{evaluate, evaluate_filter, new_accumulator};
pub(crate) use functions::{DecayedParts, MOST_VALUES, decayed, decayed_parts, needs_time};
pub(crate) use planner::group_columns;
pub use planner::{PlanError, Planner};
pub(crate) use shape::{MAX_NESTED_WITH, Shape};
