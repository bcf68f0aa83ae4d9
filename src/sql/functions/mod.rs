//! The functions that Tidewheel adds to DataFusion's own, and the one place where they are registered.
//!
//! ```text
//!   last_n(column, n)           newest n values, oldest first           ┐
//!   first_n(column, n)          oldest n values, oldest first           ├ ordered by event time: the feature planner
//!   decayed_sum(x, half_life)   sum x · 2^-(age / half_life)            ┘ appends the time column
//!   top_k(column, k)            the k most frequent values, with counts
//!   quantile(x, q)              sketch, within 1 % of the true value
//!   hll_distinct(column)        sketch, standard error 0.8 %
//!   min(column), max(column)    as DataFusion's, and of floats in any order
//!   decay(sum, from, to, half_life)   moves a decayed sum to another time (a scalar function)
//!   hash_bucket(x, n)           a bucket for a text or a whole number (a scalar function)
//!
//!   rows ──update──▶ accumulator ──state──▶ columns ──merge──▶ accumulator ──evaluate──▶ value per group
//!                                              └── tiles, checkpoints, partial aggregates of a batch
//! ```
//!
//! All of them promise that a value doesn't depend on how the rows were divided into states, as long as rows and states
//! come in the order of arrival; each file says what of that order matters, and what its state costs. They work the
//! same in feature tables, in `GROUP BY` over a batch and without a `GROUP BY`; outside feature tables the time column
//! is written as the last argument. Wrong arguments are errors of planning. `DISTINCT` and `ORDER BY` inside the
//! parentheses are refused, because they would have no effect.
//!
//! An aggregate that DataFusion accepts works in every table as soon as it stands in [`register`].

mod arguments;
mod decay;
mod decayed_parts;
mod decayed_sum;
mod floats;
mod hash_bucket;
mod lists;
mod nearest_n;
mod one_group;
mod quantile;
mod rows;
mod sketch;
mod top_k;

#[cfg(test)]
mod harness;
#[cfg(test)]
mod tests;

use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

use decay::Decay;
pub(crate) use decayed_parts::{DecayedParts, decayed, decayed_parts};
use decayed_sum::DecayedSum;
use hash_bucket::HashBucket;
pub(crate) use nearest_n::MOST_VALUES;
use nearest_n::{End, NearestN};
use quantile::Quantile;
use top_k::TopK;

/// Functions whose result can be of any size whatever their arguments are; what they allocate is in no pool, and one number of
/// an event would end the process.
const UNBOUNDED: [&str; 7] = ["array_repeat", "array_resize", "generate_series", "lpad", "range", "repeat", "rpad"];

/// Takes the functions out of a session that make much out of little.
pub(crate) fn leave_unbounded_out(context: &SessionContext) {
    for name in UNBOUNDED {
        context.deregister_udf(name);
        context.deregister_udtf(name);
    }
}

/// Makes the functions known.
pub(super) fn register(context: &SessionContext) {
    context.register_udaf(AggregateUDF::from(NearestN::new(End::Newest)));
    context.register_udaf(AggregateUDF::from(NearestN::new(End::Oldest)));
    context.register_udaf(AggregateUDF::from(DecayedSum::new()));
    context.register_udaf(AggregateUDF::from(TopK::new()));
    context.register_udaf(AggregateUDF::from(Quantile::new()));
    for aggregate in floats::aggregates() {
        context.register_udaf(aggregate);
    }
    context.register_udf(ScalarUDF::from(Decay::new()));
    context.register_udf(ScalarUDF::from(HashBucket::new()));
}

/// Whether the function wants the stream's time column as its third argument when only two are written.
pub(crate) fn needs_time(name: &str) -> bool {
    matches!(name, nearest_n::LAST_N | nearest_n::FIRST_N | decayed_sum::DECAYED_SUM)
}
