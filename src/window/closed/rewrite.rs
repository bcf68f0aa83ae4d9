//! The window of a GROUP BY: found in the parsed statement, taken out, and left to DataFusion as two columns.
//!
//! `GROUP BY user_id, hop(ts, '10 seconds', '1 minute')` becomes `GROUP BY user_id, window_start(ts), window_end(ts)`,
//! and the names `window_start` and `window_end` become the same calls wherever they stand. So DataFusion checks the
//! whole select, and finds out by itself that both are columns of the group.

use std::ops::ControlFlow;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, GroupByExpr, Ident,
    ObjectName, SelectItem, SetExpr, Spanned, Statement, Value, visit_expressions, visit_expressions_mut,
};

use super::spec::WindowSpec;
use crate::sql::{PlanError, parse_duration};

/// Names of the two columns, and of the placeholders behind them.
pub(in crate::window) const WINDOW_START: &str = "window_start";
pub(in crate::window) const WINDOW_END: &str = "window_end";

/// The window functions, each with its arguments after the time column.
const FUNCTIONS: [(&str, &str); 4] = [
    ("tumble", "tumble(ts, '1 minute')"),
    ("hop", "hop(ts, '10 seconds', '1 minute'): the slide, then the size"),
    ("session", "session(ts, '30 minutes'): the silence that ends it"),
    ("cumulate", "cumulate(ts, '1 hour', '1 day'): the step, then the size"),
];

/// The most windows that one event may be in: a day every second is 86,400. Each is a row per key when it closes.
const MOST_WINDOWS: i64 = 100_000;

/// How many divisors are tried for advice.
const MOST_TRIED: i64 = 1_000_000;

/// The window of a select and the column it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::window) struct GroupWindow {
    pub(in crate::window) spec: WindowSpec,
    pub(in crate::window) time: String,
}

/// Takes the window out of a statement; `None` when its GROUP BY has none.
///
/// # Errors
/// When there are two, when one stands outside GROUP BY, or when its arguments are not what it takes.
pub(in crate::window) fn take_window(statement: &mut Statement) -> Result<Option<GroupWindow>, PlanError> {
    let Statement::Query(query) = statement else { return Ok(None) };
    let SetExpr::Select(select) = query.body.as_mut() else { return outside(query.as_ref()).map(|()| None) };
    let GroupByExpr::Expressions(groups, _) = &mut select.group_by else { return Ok(None) };
    let mut found: Option<(GroupWindow, Expr)> = None;
    let mut kept = Vec::with_capacity(groups.len() + 1);
    for group in groups.drain(..) {
        let Some((name, call)) = window_call(&group) else {
            kept.push(group);
            continue;
        };
        let window = parse_window(name, call).map_err(|error| at(error, &group))?;
        if let Some((_, first)) = &found {
            let error = PlanError::new(format!("two windows in one SELECT: `{first}` and `{group}`"));
            return Err(at(error.suggest("write one table per window: they share what they can"), &group));
        }
        kept.push(placeholder(WINDOW_START, &window.time));
        kept.push(placeholder(WINDOW_END, &window.time));
        found = Some((window, group));
    }
    *groups = kept;
    // What is left of window functions stands where none can.
    outside(query.as_ref())?;
    let Some((window, _)) = found else { return Ok(None) };
    if let SetExpr::Select(select) = query.body.as_mut() {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(Expr::Identifier(name)) = item
                && is_bound(name)
            {
                let alias = name.clone();
                let expr = placeholder(&name.value, &window.time);
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
    }
    let replaced = visit_expressions_mut(query, |expression| {
        if let Expr::Identifier(name) = expression
            && is_bound(name)
        {
            *expression = placeholder(&name.value, &window.time);
        }
        ControlFlow::<()>::Continue(())
    });
    debug_assert!(replaced.is_continue());
    Ok(Some(window))
}

fn is_bound(name: &Ident) -> bool {
    [WINDOW_START, WINDOW_END].iter().any(|bound| name.value.eq_ignore_ascii_case(bound))
}

/// An error for the first window function that is left.
fn outside(query: &datafusion::sql::sqlparser::ast::Query) -> Result<(), PlanError> {
    let mut fault = None;
    let walk = visit_expressions(query, |expression| match window_call(expression) {
        Some((name, _)) => {
            let error = PlanError::new(format!("the window `{expression}` stands outside GROUP BY"));
            let advice = format!("GROUP BY {name}(...), and select window_start and window_end");
            fault = Some(at(error.suggest(advice), expression));
            ControlFlow::Break(())
        }
        None => ControlFlow::Continue(()),
    });
    debug_assert_eq!(walk.is_break(), fault.is_some());
    fault.map_or(Ok(()), Err)
}

fn at(error: PlanError, expression: &Expr) -> PlanError {
    let start = expression.span().start;
    let place = (start.line > 0).then_some((start.line as usize, start.column as usize));
    PlanError { place: error.place.or(place), ..error }
}

fn window_call(expression: &Expr) -> Option<(&'static str, &Function)> {
    let Expr::Function(call) = expression else { return None };
    let [name] = call.name.0.as_slice() else { return None };
    let name = &name.as_ident()?.value;
    let (known, _) = FUNCTIONS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known))?;
    Some((known, call))
}

fn parse_window(name: &'static str, call: &Function) -> Result<GroupWindow, PlanError> {
    let usage = FUNCTIONS.iter().find(|(known, _)| *known == name).map_or("", |(_, usage)| usage);
    let wrong = |message: String| PlanError::new(message).suggest(format!("write {usage}"));
    let FunctionArguments::List(list) = &call.args else {
        return Err(wrong(format!("`{call}` has no arguments")));
    };
    let arguments: Vec<&Expr> = list
        .args
        .iter()
        .filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
            _ => None,
        })
        .collect();
    let expected = if matches!(name, "hop" | "cumulate") { 3 } else { 2 };
    if arguments.len() != list.args.len() || arguments.len() != expected {
        return Err(wrong(format!("`{call}` has {} arguments, expected {expected}", list.args.len())));
    }
    let time = match arguments[0] {
        Expr::Identifier(column) => column.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()).unwrap_or_default(),
        other => return Err(wrong(format!("the time of `{call}` is `{other}`, expected the event-time column"))),
    };
    let mut lengths = Vec::with_capacity(2);
    for argument in &arguments[1..] {
        lengths.push(length(argument).map_err(|reason| wrong(format!("`{argument}` in `{call}`: {reason}")))?);
    }
    let spec = match (name, lengths.as_slice()) {
        ("tumble", [size]) => WindowSpec::Tumble { size: *size },
        ("session", [gap]) => WindowSpec::Session { gap: *gap },
        ("hop", [slide, size]) => {
            divides("slide", *slide, *size, call)?;
            WindowSpec::Hop { slide: *slide, size: *size }
        }
        (_, [step, size]) => {
            divides("step", *step, *size, call)?;
            WindowSpec::Cumulate { step: *step, size: *size }
        }
        _ => return Err(wrong(format!("`{call}` is not complete"))),
    };
    Ok(GroupWindow { spec, time })
}

/// Microseconds of an argument such as `'10 seconds'` or `INTERVAL '10 seconds'`.
fn length(argument: &Expr) -> Result<i64, String> {
    let text = match argument {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            other => return Err(format!("{other} is no duration: write it as text, such as '10 seconds'")),
        },
        Expr::Interval(interval) => match (interval.value.as_ref(), &interval.leading_field) {
            (Expr::Value(value), None) => value.value.clone().into_string().unwrap_or_default(),
            (Expr::Value(value), Some(unit)) => {
                format!("{} {}", value.value.clone().into_string().unwrap_or_default(), unit.to_string().to_lowercase())
            }
            (other, _) => return Err(format!("`{other}` is no duration")),
        },
        _ => return Err("it is no duration: write it as text, such as '10 seconds'".to_owned()),
    };
    let duration = parse_duration(&text)?;
    match i64::try_from(duration.as_micros()) {
        Ok(0) => Err("event time counts microseconds: it is shorter than one".to_owned()),
        Ok(micros) => Ok(micros),
        Err(_) => Err("it is longer than any stream".to_owned()),
    }
}

/// Refuses windows that overlap too often, and a slide that does not divide the size.
fn divides(what: &str, slide: i64, size: i64, call: &Function) -> Result<(), PlanError> {
    let windows = size / slide;
    if windows > MOST_WINDOWS {
        let shortest = format!("of {} it may be '{}' or more", show(size), show(size / MOST_WINDOWS + 1));
        let message = format!("an event is in {windows} windows of `{call}`, the limit is {MOST_WINDOWS}");
        return Err(PlanError::new(message).suggest(format!("widen the {what}: {shortest}")));
    }
    if size % slide == 0 {
        return Ok(());
    }
    let fits = |parts: &i64| size % parts == 0;
    // Of the lengths that divide the size, the nearest on both sides.
    let parts = size / slide;
    let shorter = (parts + 1..parts + MOST_TRIED).find(fits).map(|parts| size / parts);
    let longer = (1..=parts).rev().take(MOST_TRIED as usize).find(fits).map(|parts| size / parts);
    let shown: Vec<String> = shorter.into_iter().chain(longer).map(|micros| format!("'{}'", show(micros))).collect();
    Err(PlanError::new(format!("the {what} of `{call}` does not divide its size")).suggest(format!(
        "of {} would: {}",
        show(size),
        shown.join(" or ")
    )))
}

/// A length as people write it.
pub(in crate::window) fn show(micros: i64) -> String {
    humantime::format_duration(std::time::Duration::from_micros(micros.unsigned_abs())).to_string()
}

fn placeholder(name: &str, time: &str) -> Expr {
    let argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(Ident::new(time))));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name.to_ascii_lowercase())]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Stands for a bound of the window while DataFusion plans. It is never evaluated.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::window) struct WindowBound {
    name: &'static str,
    signature: Signature,
}

impl WindowBound {
    pub(in crate::window) fn start() -> Self {
        Self { name: WINDOW_START, signature: Signature::any(1, Volatility::Stable) }
    }

    pub(in crate::window) fn end() -> Self {
        Self { name: WINDOW_END, signature: Signature::any(1, Volatility::Stable) }
    }
}

impl ScalarUDFImpl for WindowBound {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments.first().cloned().unwrap_or(DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{} has a meaning only beside a window in GROUP BY", self.name)
    }
}
