//! `decayed_sum` as a feature has it: the accumulator gives the sum as of the newest event it holds, so the time of that
//! event is kept beside it, and whoever reads moves the sum to the moment of the read.

use std::sync::Arc;

use datafusion::functions_aggregate::min_max::max_udaf;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};

use crate::window::duration::parse_duration;
use crate::window::planner::PlanError;

/// A decayed sum in parts.
pub(in crate::window) struct DecayedParts {
    /// The sum as of the newest event.
    pub(in crate::window) sum: Expr,
    /// The time of that event.
    pub(in crate::window) newest: Expr,
    /// Microseconds.
    pub(in crate::window) half_life: i64,
}

/// The parts of the call `decayed_sum(x, half_life)`; `time` is the event-time column.
pub(in crate::window) fn decayed_parts(call: &Expr, time: &Expr) -> Result<DecayedParts, PlanError> {
    let Expr::AggregateFunction(AggregateFunction { func, params }) = call else {
        return Err(PlanError::new(format!("`{call}` is not an aggregate")));
    };
    let usage = "write decayed_sum(x, '1 hour')";
    let [value, half_life, ..] = params.args.as_slice() else {
        return Err(PlanError::new(format!("`{call}` has {} arguments", params.args.len())).suggest(usage));
    };
    let text = match half_life {
        Expr::Literal(text, _) => text.try_as_str().flatten().unwrap_or_default(),
        _ => "",
    };
    let duration = parse_duration(text).map_err(|reason| {
        PlanError::new(format!("the half-life of `{call}` is {half_life}: {reason}")).suggest(usage)
    })?;
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
    let half_life = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    Ok(DecayedParts { sum, newest, half_life })
}
