//! `within(ts, 'W')` in a FILTER: the horizon of an aggregate.
//!
//! The function exists so that DataFusion's planner checks names and types; the feature planner takes it out of the
//! filter and turns it into a [`Horizon`]. It is never evaluated.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::tile::Horizon;
use crate::sql::{PlanError, parse_duration};

/// Name of the function in SQL.
pub(crate) const WITHIN: &str = "within";

/// The placeholder that stands for a horizon until the plan is rewritten.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Within {
    signature: Signature,
}

impl Within {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Stable) }
    }
}

impl ScalarUDFImpl for Within {
    fn name(&self) -> &'static str {
        WITHIN
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("within(ts, 'W') has a meaning only in the FILTER of a feature")
    }
}

/// Splits the filter of an aggregate into its horizon and the rest; no horizon when it names none.
///
/// # Errors
/// When `within` stands anywhere but in a top-level AND, more than once, over another column than the stream's time, or
/// with a duration that is not one.
pub(crate) fn split_horizon(filter: Expr, time: &str) -> Result<(Option<Horizon>, Option<Expr>), PlanError> {
    let mut horizon = None;
    let mut rest = Vec::new();
    for term in split_conjunction_owned(filter) {
        match within_arguments(&term) {
            Some(arguments) => {
                let found = parse_horizon(arguments, time)?;
                if horizon.replace(found).is_some() {
                    return Err(PlanError::new("an aggregate has two within(...)")
                        .suggest("keep the narrower one: both must hold"));
                }
            }
            None if mentions_within(&term) => {
                return Err(PlanError::new(format!("within(...) stands inside `{term}`"))
                    .suggest("write FILTER (WHERE condition AND within(ts, '1 hour'))"));
            }
            None => rest.push(term),
        }
    }
    Ok((horizon, conjunction(rest)))
}

/// Whether `within` occurs anywhere in the expression.
pub(crate) fn mentions_within(expression: &Expr) -> bool {
    let mut found = false;
    // The closure never fails, so neither does the walk.
    let walk = expression.apply(|node| {
        found |= within_arguments(node).is_some();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || walk.is_err()
}

fn within_arguments(expression: &Expr) -> Option<&[Expr]> {
    match expression {
        Expr::ScalarFunction(call) if call.func.name() == WITHIN => Some(&call.args),
        _ => None,
    }
}

fn parse_horizon(arguments: &[Expr], time: &str) -> Result<Horizon, PlanError> {
    let [column, width] = arguments else {
        return Err(PlanError::new("within takes the time column and a duration"));
    };
    if !matches!(column, Expr::Column(column) if column.name == time) {
        return Err(PlanError::new(format!("within(...) is over `{column}`"))
            .suggest(format!("the event time of this stream is `{time}`: within({time}, ...)")));
    }
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = width else {
        return Err(PlanError::new(format!("the duration of within(...) is `{width}`"))
            .suggest("write it as text, such as '5 minutes'"));
    };
    let width = parse_duration(text).map_err(|reason| {
        PlanError::new(format!("within(...) has the duration '{text}': {reason}"))
            .suggest("write it as '30 seconds', '5 minutes', '1 day'")
    })?;
    Ok(Horizon::new(width.as_micros().try_into().unwrap_or(i64::MAX)))
}
