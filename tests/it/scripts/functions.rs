//! Tidewheel's own aggregates, said with DataFusion's; so are extremes.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, visit_expressions_mut};

use super::sql::{call, expression, length};

/// How a column of a table compares with that of the batch.
#[derive(Debug, Clone, Copy)]
pub enum Comparison {
    /// They are the same; floats up to rounding.
    Same,
    /// The batch has all values, sorted: the table has the most frequent ones with their counts.
    Top(usize),
    /// The batch has all values, sorted: the table has one within a hundredth of that rank.
    Quantile(f64),
    /// The batch has the exact number of values: the table has one within three in a hundred.
    Count,
}

/// Replaces the calls in an expression. Decay goes on until `end`, a timestamp.
pub fn rewrite(whole: &mut Expr, end: &str) -> Comparison {
    let mut comparison = Comparison::Same;
    let walk = visit_expressions_mut(whole, |part| {
        let Some((name, arguments)) = call(part) else { return ControlFlow::Continue(()) };
        let filter = match part {
            Expr::Function(function) => function.filter.take().map(|filter| format!(" AND ({filter})")),
            _ => None,
        };
        let restored = filter.as_ref().map_or(String::new(), |filter| filter.replacen(" AND (", "(", 1));
        let first = arguments.first().map(ToString::to_string).unwrap_or_default();
        let filter = format!("FILTER (WHERE {first} IS NOT NULL{})", filter.unwrap_or_default());
        let number = || arguments[1].to_string().parse::<f64>().unwrap_or_else(|_| panic!("`{}`", arguments[1]));
        let text = match name.as_str() {
            "last_n" => {
                let values = format!("array_agg({first} ORDER BY ts DESC, seq DESC) {filter}");
                format!("array_reverse(array_slice({values}, 1, {}))", number())
            }
            "first_n" => format!("array_slice(array_agg({first} ORDER BY ts, seq) {filter}, 1, {})", number()),
            // DataFusion's own depend on the order of the rows where NaN is among them.
            "min" => format!("array_element(array_agg({first} ORDER BY {first}) {filter}, 1)"),
            "max" => format!("array_element(array_agg({first} ORDER BY {first} DESC) {filter}, 1)"),
            "top_k" => {
                comparison = Comparison::Top(number() as usize);
                format!("array_agg({first} ORDER BY {first}) {filter}")
            }
            "quantile" => {
                comparison = Comparison::Quantile(number());
                format!("array_agg(CAST({first} AS DOUBLE) ORDER BY {first}) {filter}")
            }
            "hll_distinct" => {
                comparison = Comparison::Count;
                format!("count(DISTINCT {first}) {filter}")
            }
            "decayed_sum" => {
                let age = format!("CAST(CAST({end} AS BIGINT) - CAST(ts AS BIGINT) AS DOUBLE)");
                let half_life = length(&arguments[1]);
                format!(
                    "sum(CAST({first} AS DOUBLE) * power(CAST(2 AS DOUBLE), -{age} / CAST({half_life} AS DOUBLE))) {filter}"
                )
            }
            _ => {
                if !restored.is_empty()
                    && let Expr::Function(function) = part
                {
                    function.filter = Some(Box::new(expression(&restored)));
                }
                return ControlFlow::Continue(());
            }
        };
        *part = expression(&text);
        ControlFlow::<()>::Continue(())
    });
    assert!(walk.is_continue());
    comparison
}
