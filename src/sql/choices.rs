//! Comparisons that no row can meet: of a column with a value that its contract's enumeration leaves out.
//!
//! ```text
//!   visits.kind: read, like      ─▶   kind = 'lik'          kind IN ('read', 'lik')       CASE kind WHEN 'lik' THEN ...
//!                                      └─ each is refused: `kind` is never 'lik'
//! ```
//!
//! A column is followed through aliases, inner selects, joins and UNION ALL to the relations that it is of. Where one of them
//! has no enumeration for it, or the value is computed, nothing is said.

use std::collections::HashMap;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

use super::planner::PlanError;

/// The values that columns may have, where their contracts list them.
#[derive(Debug, Default)]
pub(super) struct Choices(HashMap<(String, String), Vec<String>>);

/// A column of a relation.
type Origin = (String, String);

impl Choices {
    pub(super) fn add(&mut self, relation: &str, column: &str, values: Vec<String>) {
        if !values.is_empty() {
            self.0.insert((relation.to_owned(), column.to_owned()), values);
        }
    }

    /// Refuses the first comparison of a plan that no row can meet.
    pub(super) fn check_plan(&self, plan: &LogicalPlan) -> Result<(), PlanError> {
        let mut flaw = None;
        if self.0.is_empty() {
            return Ok(());
        }
        plan.apply(|node| {
            let of = |column: &Column| node.inputs().into_iter().find_map(|input| origins(input, column));
            node.apply_expressions(|expression| {
                flaw = flaw.take().or(self.flaw(expression, &of)?);
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        flaw.map_or(Ok(()), Err)
    }

    /// Refuses the first comparison of an expression over one relation that no row can meet.
    pub(super) fn check_expression(&self, relation: &str, expression: &Expr) -> Result<(), PlanError> {
        let of = |column: &Column| Some(vec![(relation.to_owned(), column.name.clone())]);
        self.flaw(expression, &of)?.map_or(Ok(()), Err)
    }

    fn flaw(
        &self,
        expression: &Expr,
        of: &dyn Fn(&Column) -> Option<Vec<Origin>>,
    ) -> datafusion::common::Result<Option<PlanError>> {
        let mut flaw = None;
        expression.apply(|part| {
            for (one, other) in compared(part) {
                let pair = match (column(one), column(other)) {
                    (Some(column), None) => Some((column, other)),
                    (None, Some(column)) => Some((column, one)),
                    _ => None,
                };
                if let Some((column, value)) = pair {
                    flaw = flaw.take().or_else(|| self.refuse(column, value, &of(column)?));
                }
            }
            Ok(if flaw.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        Ok(flaw)
    }

    fn refuse(&self, column: &Column, value: &Expr, origins: &[Origin]) -> Option<PlanError> {
        let Expr::Literal(value, _) = bare(value) else { return None };
        let (written, is_text) = word(value)?;
        let mut known: Vec<&str> = Vec::new();
        for origin in origins {
            known.extend(self.0.get(origin)?.iter().map(String::as_str));
        }
        if known.contains(&written.as_str()) {
            return None;
        }
        let shown = |word: &str| if is_text { format!("'{}'", word.replace('\'', "''")) } else { word.to_owned() };
        let relations: Vec<String> = origins.iter().map(|(relation, _)| format!("`{relation}`")).collect();
        let listed: Vec<String> = known.iter().map(|word| shown(word)).collect();
        let message = format!(
            "`{}` is never {}: the contract of {} has {}",
            column.name,
            shown(&written),
            relations.join(" and "),
            listed.join(", ")
        );
        let known = known.into_iter().map(str::to_owned).collect();
        Some(PlanError::new(message).near(shown(&written)).unknown(written, known))
    }
}

/// The pairs of expressions that an expression compares for equality.
fn compared(expression: &Expr) -> Vec<(&Expr, &Expr)> {
    match expression {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq | Operator::NotEq | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom,
            right,
        }) => vec![(left, right)],
        Expr::InList(InList { expr, list, .. }) => list.iter().map(|value| (expr.as_ref(), value)).collect(),
        Expr::Case(case) => case
            .expr
            .iter()
            .flat_map(|of| case.when_then_expr.iter().map(|(when, _)| (of.as_ref(), when.as_ref())))
            .collect(),
        _ => Vec::new(),
    }
}

/// An expression without what the planner wraps around it to make types equal.
fn bare(expression: &Expr) -> &Expr {
    match expression {
        Expr::Cast(cast) => bare(&cast.expr),
        Expr::Alias(alias) => bare(&alias.expr),
        other => other,
    }
}

fn column(expression: &Expr) -> Option<&Column> {
    if let Expr::Column(column) = bare(expression) { Some(column) } else { None }
}

/// A text or an integer as enumerations have it, and whether it is a text.
fn word(value: &ScalarValue) -> Option<(String, bool)> {
    if let Some(text) = value.try_as_str() {
        return text.map(|text| (text.to_owned(), true));
    }
    match value {
        ScalarValue::Int64(Some(number)) => Some((number.to_string(), false)),
        ScalarValue::UInt64(Some(number)) => Some((number.to_string(), false)),
        _ => None,
    }
}

/// The columns of relations that a column of a plan is; nothing where it is computed.
fn origins(plan: &LogicalPlan, column: &Column) -> Option<Vec<Origin>> {
    origins_at(plan, plan.schema().maybe_index_of_column(column)?)
}

fn origins_at(plan: &LogicalPlan, index: usize) -> Option<Vec<Origin>> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let name = scan.projected_schema.fields().get(index)?.name();
            Some(vec![(scan.table_name.table().to_owned(), name.clone())])
        }
        LogicalPlan::SubqueryAlias(alias) => origins_at(&alias.input, index),
        LogicalPlan::Filter(filter) => origins_at(&filter.input, index),
        LogicalPlan::Projection(projection) => origins(&projection.input, column(projection.expr.get(index)?)?),
        LogicalPlan::Aggregate(aggregate) => origins(&aggregate.input, column(aggregate.group_expr.get(index)?)?),
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match index.checked_sub(left) {
                None => origins_at(&join.left, index),
                Some(index) => origins_at(&join.right, index),
            }
        }
        LogicalPlan::Union(union) => {
            let mut all = Vec::new();
            for input in &union.inputs {
                all.extend(origins_at(input, index)?);
            }
            Some(all)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};

    use crate::sql::Planner;

    fn planner() -> Planner {
        let mut planner = Planner::new([]);
        let schema = Arc::new(Schema::new(vec![
            Field::new("user_id", DataType::Int64, false),
            Field::new("kind", DataType::Utf8, true),
            Field::new("rank", DataType::Int64, true),
        ]));
        for (relation, kinds) in [("visits", vec!["read", "like"]), ("orders", vec!["buy"]), ("others", Vec::new())] {
            planner.add_relation(relation, Arc::clone(&schema)).unwrap();
            planner.add_choices(relation, "kind", kinds.into_iter().map(str::to_owned).collect());
        }
        planner.add_choices("visits", "rank", vec!["1".to_owned(), "2".to_owned()]);
        planner
    }

    fn flaw(sql: &str) -> Option<String> {
        planner().plan(sql).err().map(|error| error.message)
    }

    #[test]
    fn what_an_enumeration_leaves_out_is_refused_wherever_it_is_compared() {
        for sql in [
            "SELECT user_id FROM visits WHERE kind = 'lik'",
            "SELECT user_id FROM visits WHERE user_id > 3 AND ('lik' <> kind OR kind IS NULL)",
            "SELECT user_id FROM visits v WHERE v.kind IN ('read', 'lik')",
            "SELECT user_id, count(*) FILTER (WHERE kind = 'lik') AS likes FROM visits GROUP BY user_id",
            "SELECT CASE kind WHEN 'read' THEN 1 WHEN 'lik' THEN 2 ELSE 0 END AS n FROM visits",
            "SELECT kind, count(*) AS n FROM visits GROUP BY kind HAVING kind = 'lik'",
            "SELECT user_id FROM (SELECT user_id, kind AS what FROM visits) WHERE what = 'lik'",
            "SELECT v.user_id FROM visits v LEFT JOIN others o ON v.user_id = o.user_id WHERE v.kind = 'lik'",
        ] {
            let found = flaw(sql).unwrap_or_else(|| panic!("{sql}"));
            assert!(found.contains("is never 'lik': the contract of `visits` has 'read', 'like'"), "{sql}: {found}");
        }
        let both = "SELECT user_id FROM (SELECT * FROM visits UNION ALL SELECT * FROM orders) WHERE kind = 'lik'";
        insta::assert_snapshot!(flaw(both).unwrap(), @"`kind` is never 'lik': the contract of `visits` and `orders` has 'read', 'like', 'buy'");
        let number = flaw("SELECT user_id FROM visits WHERE rank = 3");
        insta::assert_snapshot!(number.unwrap(), @"`rank` is never 3: the contract of `visits` has 1, 2");
    }

    #[test]
    fn what_may_be_is_not_refused() {
        for sql in [
            "SELECT user_id FROM visits WHERE kind = 'like' AND rank = 2",
            "SELECT user_id FROM others WHERE kind = 'lik'",
            "SELECT user_id FROM visits WHERE lower(kind) = 'lik' OR kind LIKE 'lik%'",
            "SELECT v.user_id FROM visits v LEFT JOIN others o ON v.user_id = o.user_id WHERE o.kind = 'lik'",
            "SELECT user_id FROM (SELECT * FROM visits UNION ALL SELECT * FROM others) WHERE kind = 'lik'",
            "SELECT user_id FROM (SELECT user_id, coalesce(kind, 'none') AS kind FROM visits) WHERE kind = 'none'",
        ] {
            assert_eq!(flaw(sql), None, "{sql}");
        }
    }

    #[test]
    fn a_condition_over_one_relation_is_looked_at_too() {
        let planner = planner();
        let schema = Schema::new(vec![Field::new("kind", DataType::Utf8, true)]);
        assert!(planner.expression_over("visits", "kind = 'like'", &schema).is_ok());
        let error = planner.expression_over("visits", "kind = 'lik'", &schema).unwrap_err();
        assert_eq!(error.near.as_deref(), Some("'lik'"));
        let unknown = error.unknown.unwrap();
        assert_eq!(
            (unknown.word.as_str(), unknown.known.as_slice()),
            ("lik", &["read".to_owned(), "like".to_owned()][..])
        );
    }
}
