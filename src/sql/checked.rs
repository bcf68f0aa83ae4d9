//! Arithmetic that fails where it leaves its type, and constants that fail whatever the data.
//!
//! DataFusion (55.2.0) adds, subtracts, multiplies and negates integers and decimals around: one more than the largest is the
//! smallest. Here such a row fails, as it does on a division by zero.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{BinaryExpr as Binary, Expr, ExprSchemable, Operator, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Literal, NegativeExpr};

use super::PlanError;
use super::each::Failed;
use super::evaluate::evaluate;

/// The expression with every `+`, `-` and `*` of integers and decimals checked.
pub(super) fn checked(expression: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let checked = expression.transform_up(|node| {
        if let Some(binary) = node.downcast_ref::<BinaryExpr>() {
            if !matches!(binary.op(), Operator::Plus | Operator::Minus | Operator::Multiply) {
                return Ok(Transformed::no(node));
            }
            let checked = BinaryExpr::new(Arc::clone(binary.left()), *binary.op(), Arc::clone(binary.right()));
            return Ok(Transformed::yes(Arc::new(checked.with_fail_on_overflow(true)) as _));
        }
        let Some(negative) = node.downcast_ref::<NegativeExpr>() else { return Ok(Transformed::no(node)) };
        let data_type = negative.data_type(schema)?;
        if !(data_type.is_integer() || data_type.is_decimal()) {
            return Ok(Transformed::no(node));
        }
        let zero = Arc::new(Literal::new(ScalarValue::new_zero(&data_type)?));
        let checked = BinaryExpr::new(zero, Operator::Minus, Arc::clone(negative.arg())).with_fail_on_overflow(true);
        Ok(Transformed::yes(Arc::new(checked) as _))
    });
    Ok(checked?.data)
}

/// Refuses parts of an expression that fail whatever the data: constants, and integers that are divided by zero. Its types must
/// be equal where they meet.
pub(super) fn check_constants(expression: &Expr, schema: &DFSchema, state: &SessionState) -> Result<(), PlanError> {
    let mut failing = None;
    expression.apply(|node| {
        if is_computed_of_constants(node)? {
            failing = failure(node, schema, state).map(|failed| {
                let Failed { expression, reason } = failed;
                format!("`{expression}` fails whatever the data: {reason}")
            });
            let next = if failing.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Jump };
            return Ok(next);
        }
        if is_divided_by_zero(node, schema) {
            failing = Some(format!("`{}` divides by zero whatever the data", node.human_display()));
        }
        Ok(if failing.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    match failing {
        Some(failing) => Err(PlanError::new(failing).suggest("write the value that is meant, or NULL")),
        None => Ok(()),
    }
}

/// Whether a node divides by a constant zero where that fails; floating-point numbers have an infinity.
fn is_divided_by_zero(node: &Expr, schema: &DFSchema) -> bool {
    let Expr::BinaryExpr(Binary { left, op: Operator::Divide | Operator::Modulo, right }) = node else { return false };
    let Expr::Literal(value, _) = right.as_ref() else { return false };
    let is_exact = left.get_type(schema).is_ok_and(|data_type| data_type.is_integer() || data_type.is_decimal());
    is_exact && ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero == *value)
}

/// Whether a node is made of constants alone, and is not one; what gives another value each time has none yet.
fn is_computed_of_constants(node: &Expr) -> Result<bool> {
    let mut is_constant = !matches!(node, Expr::Literal(..));
    node.apply(|part| {
        is_constant &= match part {
            Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Immutable,
            Expr::Literal(..)
            | Expr::BinaryExpr(_)
            | Expr::Negative(_)
            | Expr::Not(_)
            | Expr::Cast(_)
            | Expr::Case(_)
            | Expr::Between(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_) => true,
            _ => false,
        };
        Ok(if is_constant { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(is_constant)
}

/// What a constant fails with. One that can't be computed by itself, such as a call that stands for something else in a
/// select, is for others to refuse.
fn failure(constant: &Expr, schema: &DFSchema, state: &SessionState) -> Option<Failed> {
    let physical = state.create_physical_expr(constant.clone(), schema).ok()?;
    let physical = checked(physical, schema.as_arrow()).ok()?;
    let one = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &one).ok()?;
    let error = evaluate(&physical, &batch).err()?;
    Some(Failed::new(&physical, &error))
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;
    use crate::sql::{Failures, Planner};

    fn batch(values: &[i64]) -> RecordBatch {
        let integers: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        let floats: ArrayRef = Arc::new(Float64Array::from_iter_values(values.iter().map(|value| *value as f64)));
        let decimals = Decimal128Array::from_iter_values(values.iter().map(|value| i128::from(*value)));
        let decimals: ArrayRef = Arc::new(decimals.with_precision_and_scale(38, 0).unwrap());
        RecordBatch::try_from_iter([("q", integers), ("x", floats), ("d", decimals)]).unwrap()
    }

    /// The value of each row, `None` where it fails.
    fn values(text: &str, values: &[i64]) -> Vec<Option<i64>> {
        let batch = batch(values);
        let expression = Planner::new([]).expression(text, &batch.schema()).unwrap();
        let mut failures = Failures::default();
        let found = failures.evaluate(&expression, &batch, || None).unwrap();
        let found = found.as_primitive::<Int64Type>();
        for (row, failed) in failures.iter() {
            assert!(failed.reason.to_lowercase().contains("overflow"), "{text} on {}: {}", values[row], failed.reason);
        }
        (0..values.len()).map(|row| (!failures.has(row)).then(|| found.value(row))).collect()
    }

    /// Each began at the other end of 64 bits.
    #[test]
    fn integers_that_leave_64_bits_fail() {
        let (most, least) = (i64::MAX, i64::MIN);
        let edges = [most, least, 3, most / 4];
        assert_eq!(values("q * 4", &edges), [None, None, Some(12), Some(most / 4 * 4)]);
        assert_eq!(values("-q", &edges), [Some(-most), None, Some(-3), Some(-(most / 4))]);
        assert_eq!(values("q + 1", &edges), [None, Some(least + 1), Some(4), Some(most / 4 + 1)]);
        assert_eq!(values("q - 1", &edges), [Some(most - 1), None, Some(2), Some(most / 4 - 1)]);
        assert_eq!(
            values("CASE WHEN q < 100 AND q > 0 THEN q * 4 ELSE 0 END", &edges),
            [Some(0), Some(0), Some(12), Some(0)]
        );
    }

    #[test]
    fn floating_point_numbers_go_to_infinity_and_do_not_fail() {
        let batch = batch(&[1, i64::MAX]);
        let expression = Planner::new([]).expression("-x * 1e300 * 1e300", &batch.schema()).unwrap();
        let found = evaluate(&expression, &batch).unwrap();
        assert_eq!(found.as_ref(), &Float64Array::from(vec![f64::NEG_INFINITY; 2]) as &dyn arrow::array::Array);
    }

    #[test]
    fn what_fails_whatever_the_data_is_refused_and_named() {
        let schema = batch(&[]).schema();
        let refused = |text: &str| Planner::new([]).expression(text, &schema).map(|_| ()).unwrap_err().message;
        insta::assert_snapshot!(refused("q > 1 / 0"), @"`1 / 0` fails whatever the data: Divide by zero error");
        insta::assert_snapshot!(refused("q / 0 > 1"), @"`q / 0` divides by zero whatever the data");
        for (text, part) in [
            ("x > sqrt(-1.0)", "`sqrt(-1)` fails whatever the data: "),
            ("q = 9223372036854775807 + 1", "`9223372036854775807 + 1` fails whatever the data: "),
            ("q = CAST('many' AS BIGINT)", "`CAST(many AS Int64)` fails whatever the data: "),
            ("q % 0 = 1", "`q % 0` divides by zero"),
            ("CASE WHEN q > 1 THEN 10 / 0 ELSE 2 END > 1", "`10 / 0` fails whatever the data: "),
        ] {
            let found = refused(text);
            assert!(found.starts_with(part), "{text}: {found}");
        }
        for text in ["x / 0 > 1", "q / 2 > 1", "q > 2 * 3 - 1", "q = CAST('7' AS BIGINT)", "x > sqrt(2.0)"] {
            assert!(Planner::new([]).expression(text, &schema).is_ok(), "{text}");
        }
    }

    proptest! {
        /// The oracle computes in 128 bits.
        #[test]
        fn sums_and_products_are_exact_or_fail(pairs in prop::collection::vec((any::<i64>(), 0_u32..63), 1..20)) {
            let numbers: Vec<i64> = pairs.into_iter().map(|(value, shift)| value >> shift).collect();
            let exact = |of: fn(i128) -> i128| -> Vec<Option<i64>> {
                numbers.iter().map(|value| i64::try_from(of(i128::from(*value))).ok()).collect()
            };
            prop_assert_eq!(values("q * q", &numbers), exact(|q| q * q));
            prop_assert_eq!(values("q + q", &numbers), exact(|q| q + q));
            prop_assert_eq!(values("7 - q", &numbers), exact(|q| 7 - q));
        }
    }
}
