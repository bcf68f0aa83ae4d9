//! The select of a table of windows → selects that plain DataFusion runs.
//!
//! `GROUP BY user_id, hop(ts, ...)` becomes `GROUP BY user_id, window_start, window_end` over the rows joined with a
//! relation `windows (seq, window_start, window_end)`: one row for each event and window that it counts in.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Query, Select, SelectItem, SetExpr, Statement,
    TableFactor, Value, visit_relations,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::functions::{Comparison, rewrite};

/// A window, as it is defined. Lengths in microseconds.
#[derive(Debug, Clone, Copy)]
pub enum Window {
    Hop { slide: i64, size: i64 },
    Cumulate { step: i64, size: i64 },
    Session { gap: i64 },
}

/// See the module.
pub struct BatchSelect {
    pub window: Window,
    /// Gives `seq`, the time and the keys of the rows that pass the WHERE.
    pub rows: String,
    /// Gives the select's own columns, then the keys and the bounds of the window.
    pub totals: String,
    pub keys: usize,
    /// How the select's columns compare.
    pub comparisons: Vec<Comparison>,
}

/// Parses a select.
pub fn parse(sql: &str) -> (Box<Query>, Box<Select>) {
    let statements = Parser::parse_sql(&GenericDialect {}, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let Some(Statement::Query(query)) = statements.into_iter().next() else { panic!("`{sql}` is no select") };
    let SetExpr::Select(select) = query.body.as_ref() else { panic!("`{sql}` is no plain select") };
    let select = select.clone();
    (query, select)
}

/// The streams that a select reads, each once.
pub fn streams(sql: &str) -> Vec<String> {
    let mut names = Vec::new();
    let walk = visit_relations(&parse(sql).0, |name| {
        let name = name.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
        ControlFlow::<()>::Continue(())
    });
    assert!(walk.is_continue());
    names
}

impl BatchSelect {
    pub fn of(sql: &str) -> Self {
        let (_, mut select) = parse(sql);
        let GroupByExpr::Expressions(groups, _) = &select.group_by else { panic!("`{sql}` has no GROUP BY") };
        let window = groups.iter().find_map(window).unwrap_or_else(|| panic!("`{sql}` has no window"));
        let keys: Vec<Expr> = groups.iter().filter(|group| self::window(group).is_none()).cloned().collect();
        let keys: Vec<Expr> = keys.into_iter().map(|key| resolved(key, &select.projection)).collect();
        let shown: Vec<Expr> = keys.iter().map(as_shown).collect();
        let (from, name) = source(&select);
        let filter = select.selection.as_ref().map_or(String::new(), |filter| format!(" WHERE {filter}"));
        let key_list: String = shown.iter().map(|key| format!(", {key}")).collect();
        let rows = format!("SELECT {name}.seq, {name}.ts{key_list} FROM {from} AS {name}{filter} ORDER BY {name}.seq");
        let (mut items, mut comparisons) = (Vec::new(), Vec::new());
        for item in &mut select.projection {
            let (SelectItem::UnnamedExpr(expression) | SelectItem::ExprWithAlias { expr: expression, .. }) = item
            else {
                panic!("`{item}` in `{sql}`");
            };
            if let Some(key) = keys.iter().position(|key| key == expression) {
                *expression = shown[key].clone();
            }
            comparisons.push(rewrite(expression, "window_end"));
            items.push(format!("{expression} AS column_{}", items.len()));
        }
        items.extend(shown.iter().enumerate().map(|(place, key)| format!("{key} AS key_{place}")));
        let group_list: String = shown.iter().map(|key| format!("{key}, ")).collect();
        let having = select.having.as_mut().map_or(String::new(), |having| {
            rewrite(having, "window_end");
            format!(" HAVING {having}")
        });
        let totals = format!(
            "SELECT {}, window_start AS bound_0, window_end AS bound_1 FROM (SELECT source.*, windows.window_start, \
             windows.window_end FROM {from} AS source JOIN windows ON windows.seq = source.seq) AS {name}{filter} \
             GROUP BY {group_list}window_start, window_end{having}",
            items.join(", ")
        );
        Self { window, rows, totals, keys: keys.len(), comparisons }
    }
}

/// The FROM with `seq` in each of its parts, and the name that it goes by.
fn source(select: &Select) -> (String, String) {
    let [table] = select.from.as_slice() else { panic!("`{select}` has one relation in its FROM") };
    match &table.relation {
        TableFactor::Table { name, alias, .. } => {
            (name.to_string(), alias.as_ref().map_or(name.to_string(), |alias| alias.name.to_string()))
        }
        TableFactor::Derived { subquery, alias, .. } => {
            let mut subquery = subquery.clone();
            number(&mut subquery.body);
            (format!("({subquery})"), alias.as_ref().map_or("rows".to_owned(), |alias| alias.name.to_string()))
        }
        other => panic!("`{other}` in a FROM"),
    }
}

fn number(body: &mut SetExpr) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            number(left);
            number(right);
        }
        SetExpr::Select(select) => {
            if !select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_))) {
                select.projection.push(SelectItem::UnnamedExpr(expression("seq")));
            }
        }
        SetExpr::Query(query) => number(&mut query.body),
        other => panic!("`{other}` in a FROM"),
    }
}

/// A key that is a number or an alias of the select list, as what it stands for.
fn resolved(key: Expr, items: &[SelectItem]) -> Expr {
    if let Expr::Value(value) = &key
        && let Value::Number(number, _) = &value.value
    {
        let place: usize = number.parse().unwrap();
        if let SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. } = &items[place - 1] {
            return item.clone();
        }
    }
    let aliased = items.iter().find_map(|item| match item {
        SelectItem::ExprWithAlias { expr, alias } if alias.to_string() == key.to_string() => Some(expr.clone()),
        _ => None,
    });
    aliased.unwrap_or(key)
}

/// A key as rows show it: a price that is no finite number is NULL.
fn as_shown(key: &Expr) -> Expr {
    match key.to_string() == "price" {
        true => expression("CASE WHEN abs(price) <= 1.7976931348623157e308 THEN price END"),
        false => key.clone(),
    }
}

/// Parses an expression.
pub fn expression(text: &str) -> Expr {
    let parser = Parser::new(&GenericDialect {}).try_with_sql(text);
    parser.and_then(|mut parser| parser.parse_expr()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Name and arguments of a call.
pub fn call(expression: &Expr) -> Option<(String, Vec<Expr>)> {
    let Expr::Function(function) = expression else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    let argument = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression.clone()),
        _ => None,
    };
    Some((function.name.to_string().to_lowercase(), list.args.iter().filter_map(argument).collect()))
}

/// Microseconds of `'10 seconds'` or `INTERVAL '10 seconds'`.
pub fn length(argument: &Expr) -> i64 {
    let text = match argument {
        Expr::Value(value) => value.to_string(),
        Expr::Interval(interval) => {
            let unit = interval.leading_field.as_ref().map_or(String::new(), |unit| format!(" {unit}").to_lowercase());
            format!("{}{unit}", interval.value)
        }
        other => panic!("`{other}` is no length"),
    };
    let text = text.replace('\'', "");
    humantime::parse_duration(&text).unwrap_or_else(|error| panic!("`{text}`: {error}")).as_micros() as i64
}

fn window(group: &Expr) -> Option<Window> {
    let (name, arguments) = call(group)?;
    let lengths: Vec<i64> = match name.as_str() {
        "tumble" | "hop" | "cumulate" | "session" => arguments[1..].iter().map(length).collect(),
        _ => return None,
    };
    Some(match (name.as_str(), lengths.as_slice()) {
        ("tumble", [size]) => Window::Hop { slide: *size, size: *size },
        ("hop", [slide, size]) => Window::Hop { slide: *slide, size: *size },
        ("cumulate", [step, size]) => Window::Cumulate { step: *step, size: *size },
        ("session", [gap]) => Window::Session { gap: *gap },
        _ => panic!("`{group}` is no window"),
    })
}
