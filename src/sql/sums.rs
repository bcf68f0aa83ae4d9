//! Sums that DataFusion would give wrong numbers for, or fail on where no row is to blame: they are refused when they are
//! planned. A sum of 64-bit integers is exact in tables, and fails where it leaves its range.

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{Expr, ExprSchemable};

use super::PlanError;

/// Digits of a decimal that a sum of ten billion of them leaves within the 38 of a decimal.
const WIDEST_DECIMAL: u8 = 28;

/// Refuses a call whose result could leave its type unseen.
pub(super) fn check_sums(call: &Expr, schema: &DFSchema) -> Result<(), PlanError> {
    let Expr::AggregateFunction(AggregateFunction { func, params: AggregateFunctionParams { args, distinct, .. } }) =
        call
    else {
        return Ok(());
    };
    let (name, [argument]) = (func.name(), args.as_slice()) else { return Ok(()) };
    match argument.get_type(schema)? {
        DataType::Decimal128(digits, _) | DataType::Decimal256(digits, _)
            if matches!(name, "sum" | "avg") && digits > WIDEST_DECIMAL =>
        {
            Err(PlanError::new(format!("`{call}` adds decimals of {digits} digits, and a sum has room for 38"))
                .suggest(format!("cast to DECIMAL of at most {WIDEST_DECIMAL} digits, or to DOUBLE")))
        }
        DataType::UInt64 if name == "sum" => {
            Err(PlanError::new(format!("`{call}` adds unsigned integers, and would begin at 0 again beyond 64 bits"))
                .suggest("cast to BIGINT, whose sum fails there, or to DOUBLE"))
        }
        DataType::Int64 if name == "sum" && *distinct => {
            Err(PlanError::new(format!("`{call}` would begin at the other end of 64 bits where it leaves them"))
                .suggest("cast to DECIMAL(20, 0), or to DOUBLE"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, Schema};
    use datafusion::logical_expr::LogicalPlan;

    use super::*;
    use crate::sql::Planner;

    fn checked(call: &str) -> Result<(), PlanError> {
        let planner = Planner::new([]);
        let schema = Schema::new(vec![Field::new("q", DataType::Int64, true)]);
        planner.add_relation("clicks", schema.into()).unwrap();
        let plan = planner.plan(&format!("SELECT {call} AS v FROM clicks")).unwrap();
        let LogicalPlan::Projection(projection) = plan else { panic!("{plan:?}") };
        let LogicalPlan::Aggregate(aggregate) = projection.input.as_ref() else { panic!("{projection:?}") };
        check_sums(&aggregate.aggr_expr[0], aggregate.input.schema())
    }

    /// The first gave -1.0e37 of three large ones, and the second ended the worker.
    #[test]
    fn decimals_without_room_for_a_sum_are_refused_and_others_are_not() {
        for call in
            ["sum(CAST(q AS DECIMAL(38, 0)))", "avg(CAST(q AS DECIMAL(38, 18)))", "sum(CAST(q AS DECIMAL(29, 2)))"]
        {
            let error = checked(call).unwrap_err();
            assert!(error.message.contains("digits") && error.suggestion.unwrap().contains("28"), "{}", error.message);
        }
        for call in
            ["sum(CAST(q AS DECIMAL(28, 2)))", "max(CAST(q AS DECIMAL(38, 18)))", "sum(q)", "avg(q)", "count(*)"]
        {
            checked(call).unwrap();
        }
    }

    #[test]
    fn sums_of_different_integers_are_refused() {
        let error = checked("sum(DISTINCT q)").unwrap_err();
        assert!(error.suggestion.unwrap().contains("DECIMAL"), "{}", error.message);
        for call in ["sum(DISTINCT CAST(q AS DECIMAL(20, 0)))", "sum(DISTINCT CAST(q AS DOUBLE))", "count(DISTINCT q)"]
        {
            checked(call).unwrap();
        }
    }

    #[test]
    fn sums_of_unsigned_integers_are_refused() {
        let error = checked("sum(CAST(q AS BIGINT UNSIGNED))").unwrap_err();
        assert!(error.suggestion.unwrap().contains("BIGINT"), "{}", error.message);
        checked("max(CAST(q AS BIGINT UNSIGNED))").unwrap();
    }
}
