//! The language of features: SQL text becomes analysed plans and expressions, and expressions become values.
//!
//! ```text
//!   text ─▶ Shape: how deep? ─▶ Planner ─▶ logical plan ─▶ expressions ─▶ evaluate(batch) ─▶ columns
//!                                  ▲
//!              functions of ours ──┘  last_n, top_k, decayed_sum, quantile, ...
//! ```
//!
//! The SQL of features, vectors and conditions goes through here to DataFusion's parser and planner; `window` and `feature`
//! work on the plans that come out. The statements of `query` do not: it parses and plans them itself, in a session that knows
//! nothing else. This room knows relations by name and schema, reference tables ([`Planner::add_reference`]) among them, and
//! nothing of windows, feature tables or streams: `window` hands the functions that stand for windows to
//! [`Planner::new`]. A text that is too long or too deep is refused before it is parsed.
//!
//! Planning fails with [`PlanError`], which names what is wrong and what to write instead; evaluating a row that an expression
//! fails on is noted in [`Failures`], and costs that row alone.

mod checked;
mod choices;
mod condition;
mod duration;
mod each;
mod evaluate;
mod functions;
mod glance;
mod leaves;
mod normal;
mod place;
mod planner;
mod select_form;
mod shape;
mod sums;
mod total;
mod zero;

pub(crate) use condition::Condition;
pub(crate) use duration::{duration_flaw, parse_duration};
pub use each::Failures;
pub(crate) use each::{Failed, both};
pub(crate) use evaluate::{declared_accumulator, evaluate, new_accumulator};
pub(crate) use functions::{DecayedParts, MOST_VALUES, decayed, decayed_parts, leave_unbounded_out, needs_time};
pub(crate) use normal::{FORM, columns_form, normal_form};
pub(crate) use place::{only_place_of, place_of};
pub use planner::Planner;
pub(crate) use planner::group_columns;
pub(crate) use planner::{PlanError, Unknown};
pub(crate) use select_form::SelectForm;
pub(crate) use shape::{MAX_NESTED_WITH, Shape};
pub(crate) use total::is_total;
pub(crate) use zero::OneZeroRule;
