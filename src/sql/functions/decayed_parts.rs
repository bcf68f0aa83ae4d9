//! `decayed_sum` as a feature has it: the accumulator gives the sum as of the newest event it holds, so the time of that
//! event is kept beside it, and whoever reads moves the sum to the moment of the read.

use std::sync::Arc;

use datafusion::functions_aggregate::min_max::max_udaf;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};

use super::arguments;
use super::decay::HalfLife;
use crate::sql::planner::PlanError;

const CALL: &str = "decayed_sum(x, half_life)";

/// A decayed sum in parts.
pub(crate) struct DecayedParts {
    /// The sum as of the newest event.
    pub(crate) sum: Expr,
    /// The time of that event.
    pub(crate) newest: Expr,
    /// Microseconds.
    pub(crate) half_life: i64,
}

/// The parts of the call `decayed_sum(x, half_life)`; `time` is the event-time column.
pub(crate) fn decayed_parts(call: &Expr, time: &Expr) -> Result<DecayedParts, PlanError> {
    let Expr::AggregateFunction(AggregateFunction { func, params }) = call else {
        return Err(PlanError::new(format!("`{call}` is not an aggregate")));
    };
    let [value, half_life, ..] = params.args.as_slice() else {
        return Err(PlanError::new(format!("{CALL} has two arguments, found {}", params.args.len())));
    };
    let text = if let Expr::Literal(text, _) = half_life { Some(text) } else { None };
    let micros = arguments::parse_duration_micros(text, CALL)?;
    let with = |func, args| {
        let params = AggregateFunctionParams { args, ..params.clone() };
        Expr::AggregateFunction(AggregateFunction { func, params })
    };
    // Only events with a value decide how new the sum is.
    let has_value = value.clone().is_not_null();
    let filter = params.filter.as_deref().map_or(has_value.clone(), |filter| filter.clone().and(has_value));
    let newest = AggregateFunctionParams { args: vec![time.clone()], filter: Some(Box::new(filter)), ..params.clone() };
    let newest = Expr::AggregateFunction(AggregateFunction { func: max_udaf(), params: newest });
    let sum = with(Arc::clone(func), vec![value.clone(), half_life.clone(), time.clone()]);
    Ok(DecayedParts { sum, newest, half_life: micros })
}

/// A sum as it is `elapsed` microseconds later, as `decay` has it.
pub(crate) fn decayed(sum: f64, elapsed: i128, half_life: i64) -> f64 {
    HalfLife { micros: half_life }.decayed(sum, elapsed)
}
