//! Which expressions can't fail, whatever the data.

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, Operator};

/// Whether no row can make an expression fail, as far as its form tells: columns, constants, comparisons, logic, CASE and
/// floating-point arithmetic. Of an aggregate call, whether its arguments and its filter can't.
pub(crate) fn is_total(expression: &Expr, schema: &DFSchema) -> bool {
    let mut is_total = true;
    let walk = expression.apply(|node| {
        is_total &= never_fails(node, schema);
        Ok(if is_total { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    is_total && walk.is_ok()
}

fn never_fails(node: &Expr, schema: &DFSchema) -> bool {
    let is_float = |part: &Expr| matches!(part.get_type(schema), Ok(DataType::Float64));
    match node {
        Expr::Column(_)
        | Expr::Literal(..)
        | Expr::Alias(_)
        | Expr::Not(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::Between(_)
        | Expr::InList(_)
        | Expr::Case(_)
        | Expr::AggregateFunction(_) => true,
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And
            | Operator::Or
            | Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom => true,
            Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide => {
                is_float(left) && is_float(right)
            }
            _ => false,
        },
        Expr::Cast(Cast { expr, field }) => {
            *field.data_type() == DataType::Float64
                && matches!(expr.get_type(schema), Ok(DataType::Int64 | DataType::Float64))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, Schema};
    use datafusion::logical_expr::LogicalPlan;

    use super::*;
    use crate::sql::Planner;

    #[test]
    fn what_can_fail_on_a_row_is_told_from_what_cannot() {
        let fields = [("price", DataType::Float64), ("quantity", DataType::Int64), ("kind", DataType::Utf8)];
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec();
        let planner = Planner::new([]);
        planner.add_relation("clicks", Schema::new(fields).into()).unwrap();
        let total = |text: &str| {
            let plan = planner.plan(&format!("SELECT {text} FROM clicks")).unwrap();
            let LogicalPlan::Projection(projection) = plan else { panic!("{text}") };
            is_total(&projection.expr[0], projection.input.schema())
        };
        for text in ["price", "price / 0.5", "kind = 'buy' AND price > 3.0", "CASE WHEN quantity > 1 THEN price END"] {
            assert!(total(text), "{text}");
        }
        for text in ["10 / quantity", "CAST(kind AS BIGINT)", "price + quantity / 2", "sqrt(price)", "kind || 'x'"] {
            assert!(!total(text), "{text}");
        }
    }
}
