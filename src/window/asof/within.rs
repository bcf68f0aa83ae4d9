//! `within(ts, 'W')` in a FILTER: the horizon of an aggregate.
//!
//! The function exists so that DataFusion's planner checks names and types; the feature planner takes it out of the
//! filter and turns it into a [`Horizon`]. It is never evaluated.

use std::ops::ControlFlow;
use std::time::Duration;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, FunctionArg, FunctionArgExpr, FunctionArguments, SetExpr, Spanned, Statement,
    visit_expressions,
};
use datafusion::sql::sqlparser::tokenizer::Span;

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

/// Refuses what `within` can't mean at its place in the text, before the statement is planned: a plan knows no places.
///
/// # Errors
/// When it has other arguments than the time column and a duration, or stands anywhere but in a top-level AND of a FILTER,
/// once.
pub(in crate::window) fn check_horizons(statement: &Statement, time: &str) -> Result<(), PlanError> {
    if let Statement::Query(query) = statement
        && let SetExpr::Select(select) = query.body.as_ref()
        && let Some(condition) = &select.selection
        && let Some(call) = first_call(condition)
    {
        let error = PlanError::new(format!("within(...) in WHERE: `{condition}`"));
        return Err(at(error.suggest("write it in the FILTER of each aggregate"), call));
    }
    let mut checked = Ok(());
    let walk = visit_expressions(statement, |expression| {
        checked = match expression {
            ast::Expr::Function(call) if is_within(call) => {
                check_arguments(call, time).map_err(|error| at(error, call.name.span()))
            }
            ast::Expr::Function(ast::Function { filter: Some(filter), .. }) => check_filter(filter),
            _ => Ok(()),
        };
        if checked.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    debug_assert_eq!(walk.is_break(), checked.is_err());
    checked
}

fn check_arguments(call: &ast::Function, time: &str) -> Result<(), PlanError> {
    let usage = || format!("write within({time}, '5 minutes')");
    let FunctionArguments::List(list) = &call.args else {
        return Err(PlanError::new(format!("`{call}` has no arguments")).suggest(usage()));
    };
    let expressions = list.args.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
        _ => None,
    });
    let [column, width] = expressions.collect::<Vec<_>>()[..] else {
        let message = format!("`{call}` has {} argument(s), expected the time column and a duration", list.args.len());
        return Err(PlanError::new(message).suggest(usage()));
    };
    let name = match column {
        ast::Expr::Identifier(name) => Some(name),
        ast::Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    if !name.is_some_and(|name| name.value.eq_ignore_ascii_case(time)) {
        return Err(PlanError::new(format!("within(...) is over `{column}`"))
            .suggest(format!("the event time of this stream is `{time}`: within({time}, ...)")));
    }
    match width {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) => duration(text).map(|_| ()),
            other => Err(no_text(&other.to_string())),
        },
        other => Err(no_text(&other.to_string())),
    }
}

fn check_filter(filter: &ast::Expr) -> Result<(), PlanError> {
    let mut found = false;
    let mut open = vec![filter];
    while let Some(term) = open.pop() {
        match term {
            ast::Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                open.extend([right.as_ref(), left.as_ref()])
            }
            ast::Expr::Nested(inner) => open.push(inner.as_ref()),
            ast::Expr::Function(call) if is_within(call) => {
                if found {
                    let error = PlanError::new("an aggregate has two within(...)");
                    return Err(at(error.suggest("keep the narrower one: both must hold"), call.name.span()));
                }
                found = true;
            }
            other => {
                if let Some(call) = first_call(other) {
                    let error = PlanError::new(format!("within(...) stands inside `{other}`"));
                    return Err(at(error.suggest("write FILTER (WHERE condition AND within(ts, '1 hour'))"), call));
                }
            }
        }
    }
    Ok(())
}

fn is_within(call: &ast::Function) -> bool {
    matches!(call.name.0.as_slice(), [name] if name.as_ident().is_some_and(|name| name.value.eq_ignore_ascii_case(WITHIN)))
}

/// Where `within` is called first in an expression.
fn first_call(expression: &ast::Expr) -> Option<Span> {
    let mut found = None;
    let walk = visit_expressions(expression, |part| match part {
        ast::Expr::Function(call) if is_within(call) => {
            found = Some(call.name.span());
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    debug_assert_eq!(walk.is_break(), found.is_some());
    found
}

/// The error at the place of a call.
fn at(error: PlanError, call: Span) -> PlanError {
    let start = call.start;
    let place = (start.line > 0).then_some((start.line as usize, start.column as usize));
    PlanError { place, ..error }
}

fn no_text(width: &str) -> PlanError {
    PlanError::new(format!("the duration of within(...) is `{width}`")).suggest("write it as text, such as '5 minutes'")
}

fn duration(text: &str) -> Result<Duration, PlanError> {
    parse_duration(text).map_err(|reason| {
        PlanError::new(format!("within(...) has the duration '{text}': {reason}"))
            .suggest("write it as '30 seconds', '5 minutes', '1 day'")
    })
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
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = width else { return Err(no_text(&width.to_string())) };
    Ok(Horizon::new(duration(text)?.as_micros().try_into().unwrap_or(i64::MAX)))
}
