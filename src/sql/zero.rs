//! Expressions never give -0.0, nor NaN in more than one form: what they compute is brought to one zero and one NaN where it is
//! computed, so that `nullif(-x, 0.0)`, `x IN (-0.0)`, keys, DISTINCT and extremes see one value.
//!
//! ```text
//!   -x * y + 1     ─▶  one_zero(-x * y + 1)             arithmetic, once where it ends
//!   1 / round(x)   ─▶  one_zero(1 / one_zero(round(x))) what divides, functions and casts that can give another zero or NaN
//!   x IN (-0.0)    ─▶  x IN (0.0)                       constants
//! ```
//!
//! What columns hold is such already (see [`one_zero`]): messages, tables of facts and rows are.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion, TreeNodeRewriter};
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    BinaryExpr, Cast, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, TryCast, Volatility,
};

use crate::event::{has_floats, one_zero};

/// Functions whose results are zeros and NaNs of their arguments, or of neither sign: nothing to bring back.
const HARMLESS: [&str; 17] = [
    NAME,
    "abs",
    "array_element",
    "arrow_typeof",
    "coalesce",
    "exp",
    "get_field",
    "greatest",
    "ifnull",
    "least",
    "make_array",
    "named_struct",
    "nullif",
    "nvl",
    "nvl2",
    "pi",
    "random",
];

const NAME: &str = "one_zero";
/// How a call of it begins.
pub(super) const CALL: &str = "one_zero(";

/// The expression with one zero and one NaN everywhere; its types must be equal where they meet.
pub(super) fn with_one_zero(expression: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(expression.rewrite(&mut Rewriter { schema, function: Arc::new(ScalarUDF::from(OneZero::new())) })?.data)
}

struct Rewriter<'a> {
    schema: &'a DFSchema,
    function: Arc<ScalarUDF>,
}

impl TreeNodeRewriter for Rewriter<'_> {
    type Node = Expr;

    fn f_down(&mut self, node: Expr) -> Result<Transformed<Expr>> {
        // What was brought to it before is left alone.
        let is_done = matches!(&node, Expr::ScalarFunction(call) if call.func.name() == NAME);
        Ok(Transformed::new(node, false, if is_done { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Continue }))
    }

    fn f_up(&mut self, node: Expr) -> Result<Transformed<Expr>> {
        wrapped(node, self.schema, &self.function)
    }
}

/// The same for the statements of a session, as a rule of its planner.
pub(crate) struct OneZeroRule(Arc<ScalarUDF>);

impl OneZeroRule {
    pub(crate) fn new() -> Self {
        Self(Arc::new(ScalarUDF::from(OneZero::new())))
    }
}

impl fmt::Debug for OneZeroRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OneZeroRule")
    }
}

impl FunctionRewrite for OneZeroRule {
    fn name(&self) -> &str {
        NAME
    }

    fn rewrite(&self, expression: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        wrapped(expression, schema, &self.0)
    }
}

/// A node whose arguments are done.
fn wrapped(node: Expr, schema: &DFSchema, function: &Arc<ScalarUDF>) -> Result<Transformed<Expr>> {
    if let Expr::Literal(value, metadata) = node {
        let plain = plain(value.clone())?;
        let is_changed = plain.to_string() != value.to_string();
        return Ok(Transformed::new(Expr::Literal(plain, metadata), is_changed, TreeNodeRecursion::Continue));
    }
    // What has no type yet is given one with the rest of its statement.
    if !(can_give_other_zero(&node, schema) && is_float(&node, schema)) {
        return Ok(Transformed::no(node));
    }
    let node = without_inner(node);
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), vec![node]))))
}

/// Whether a node gives floating-point numbers, in a step where its operands tell: asking each node of a long chain for its
/// type would take a walk down the chain each time.
fn is_float(node: &Expr, schema: &DFSchema) -> bool {
    match node {
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => {
            [left, right].into_iter().any(|side| is_float_operand(side, schema))
        }
        Expr::Negative(operand) => is_float_operand(operand, schema),
        other => other.get_type(schema).is_ok_and(|data_type| has_floats(&data_type)),
    }
}

fn is_float_operand(operand: &Expr, schema: &DFSchema) -> bool {
    match operand {
        Expr::ScalarFunction(call) if call.func.name() == NAME => true,
        // It would have been brought back.
        Expr::Negative(_) => false,
        Expr::BinaryExpr(BinaryExpr { op, .. }) if is_arithmetic(*op) => false,
        other => other.get_type(schema).is_ok_and(|data_type| has_floats(&data_type)),
    }
}

fn is_arithmetic(operator: Operator) -> bool {
    use Operator::{Divide, Minus, Modulo, Multiply, Plus};
    matches!(operator, Plus | Minus | Multiply | Divide | Modulo)
}

/// Arithmetic whose operands were not brought back where their zeros and NaNs change no more than those of the result. What
/// divides does: 1 / -0.0 is another infinity.
fn without_inner(mut node: Expr) -> Expr {
    match &mut node {
        Expr::Negative(operand) => make_bare(operand),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            make_bare(left);
            if *op != Operator::Divide {
                make_bare(right);
            }
        }
        _ => {}
    }
    node
}

fn make_bare(operand: &mut Expr) {
    if let Expr::ScalarFunction(ScalarFunction { func, args }) = operand
        && func.name() == NAME
        && let Some(inner) = args.pop()
    {
        *operand = inner;
    }
}

fn can_give_other_zero(node: &Expr, schema: &DFSchema) -> bool {
    match node {
        Expr::Negative(_) => true,
        Expr::BinaryExpr(BinaryExpr { op, .. }) => is_arithmetic(*op),
        Expr::ScalarFunction(call) => !HARMLESS.contains(&call.func.name()),
        Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
            bare(expr).get_type(schema).is_ok_and(|from| !is_exact(&from, field.data_type()))
        }
        _ => false,
    }
}

/// Whether a cast keeps zeros and NaNs: integers have one zero, and types are made equal by casts from them.
fn is_exact(from: &DataType, to: &DataType) -> bool {
    use DataType::{Boolean, Float16, Float32, Float64};
    from == to
        || from.is_integer()
        || matches!((from, to), (Boolean, _) | (Float16 | Float32, Float64) | (Float16, Float32))
}

/// What has been brought to one zero, which has the same type: that of a call is asked of its argument all the way down.
fn bare(expression: &Expr) -> &Expr {
    match expression {
        Expr::ScalarFunction(call) if call.func.name() == NAME => call.args.first().map_or(expression, bare),
        other => other,
    }
}

fn plain(value: ScalarValue) -> Result<ScalarValue> {
    Ok(match value {
        other if has_floats(&other.data_type()) => ScalarValue::try_from_array(&one_zero(other.to_array()?)?, 0)?,
        other => other,
    })
}

/// `one_zero(x)`: x, with one zero and one NaN. Only the rewriter writes it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OneZero {
    signature: Signature,
}

impl OneZero {
    fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for OneZero {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [argument] => Ok(argument.clone()),
            _ => internal_err!("{NAME} has one argument"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.into_iter().next() {
            Some(ColumnarValue::Array(column)) => Ok(ColumnarValue::Array(one_zero(column)?)),
            Some(ColumnarValue::Scalar(value)) => Ok(ColumnarValue::Scalar(plain(value)?)),
            None => internal_err!("{NAME} has one argument"),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
    use arrow::datatypes::Float64Type;

    use super::*;
    use crate::sql::{Planner, evaluate};

    /// What an expression gives for x = 0, 0.25 and -0.25, y = "-0", with zeros told apart.
    fn values(text: &str) -> String {
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![0.0, 0.25, -0.25]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["-0"; 3]));
        let batch = RecordBatch::try_from_iter_with_nullable([("x", numbers, true), ("y", texts, true)]).unwrap();
        let expression = Planner::new([]).expression(text, &batch.schema()).unwrap();
        let found = evaluate(&expression, &batch).unwrap();
        let shown = |row: usize| match found.as_primitive_opt::<Float64Type>() {
            Some(found) if found.is_valid(row) => format!("{:?}", found.value(row)),
            Some(_) => "NULL".to_owned(),
            None => found.as_boolean().value(row).to_string(),
        };
        (0..3).map(shown).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn no_expression_gives_a_zero_with_a_sign() {
        for (text, expected) in [
            ("-x", "0.0 -0.25 0.25"),
            ("x * -1", "0.0 -0.25 0.25"),
            ("x * (1 - 2)", "0.0 -0.25 0.25"),
            ("x / -2.0", "0.0 -0.125 0.125"),
            ("-1.0 / (1e308 * 10 * (x + 1))", "0.0 0.0 0.0"),
            ("x % -1", "0.0 0.25 -0.25"),
            ("round(x)", "0.0 0.0 0.0"),
            ("ceil(x)", "0.0 1.0 0.0"),
            ("trunc(x)", "0.0 0.0 0.0"),
            ("CAST(y AS DOUBLE)", "0.0 0.0 0.0"),
            ("arrow_cast(y, 'Float64')", "0.0 0.0 0.0"),
            ("-0.0 + 0 * x", "0.0 0.0 0.0"),
            ("1.0 / (-x)", "inf -4.0 4.0"),
            ("1.0 / (x * -1 - 0.0)", "inf -4.0 4.0"),
            ("coalesce(-x, 1)", "0.0 -0.25 0.25"),
            ("array_max([-x, -1.0])", "0.0 -0.25 0.25"),
            ("[x * -1][1]", "0.0 -0.25 0.25"),
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
    }

    /// 0.0 IN (-0.0) was false, and nullif(-x, 0.0) gave -0.0.
    #[test]
    fn comparisons_know_one_zero() {
        for (text, expected) in [
            ("nullif(-x, 0.0)", "NULL -0.25 0.25"),
            ("nullif(x, -0.0)", "NULL 0.25 -0.25"),
            ("x IN (-0.0)", "true false false"),
            ("x IN (-0.0, 1, 2, 3, 4, 5)", "true false false"),
            ("-x NOT IN (0.0, 7, 8, 9, 10)", "false true true"),
            ("x = -0.0", "true false false"),
            ("-x < 0.0", "false true false"),
            ("x * -1 BETWEEN 0.0 AND 1.0", "true false true"),
            ("-x IS NOT DISTINCT FROM 0.0", "true false false"),
            ("array_has([-0.0, 3.0], x)", "true false false"),
            ("CASE -x WHEN 0.0 THEN true ELSE false END", "true false false"),
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
    }

    #[test]
    fn not_a_number_has_one_form() {
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![0.0]));
        let batch = RecordBatch::try_from_iter_with_nullable([("x", numbers, true)]).unwrap();
        for text in ["x / 0.0", "-(x / 0.0)", "ln(x - 1)", "(x - 1) / 0.0 + 1.0 / x", "CAST('NaN' AS DOUBLE)"] {
            let expression = Planner::new([]).expression(text, &batch.schema()).unwrap();
            let found = evaluate(&expression, &batch).unwrap();
            assert_eq!(found.as_primitive::<Float64Type>().value(0).to_bits(), f64::NAN.to_bits(), "{text}");
        }
    }

    #[test]
    fn a_plain_column_costs_nothing() {
        let schema = arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new("x", DataType::Float64, true)]);
        let schema = DFSchema::try_from(schema).unwrap();
        let column = datafusion::logical_expr::col("x");
        assert_eq!(with_one_zero(column.clone(), &schema).unwrap(), column);
        let once = with_one_zero(-column, &schema).unwrap();
        assert_eq!(with_one_zero(once.clone(), &schema).unwrap(), once);
    }
}
