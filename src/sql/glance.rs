//! What can be said of a select of which a relation is not known: that another one is missing, or that it lacks a column.
//!
//! Nothing is said of the columns of relations that are not known, nor of columns without the name of a relation.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, ObjectName, SetExpr, Spanned, TableFactor, visit_expressions,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::planner::{PlanError, Planner};

impl Planner {
    /// All that is wrong with a select as far as that can be told without the relations of these names.
    pub(crate) fn glance(&self, sql: &str, unknown: &dyn Fn(&str) -> bool) -> Vec<PlanError> {
        let statement = match self.parse(sql) {
            Ok(statement) => statement,
            Err(error) => return vec![error],
        };
        let Statement::Statement(statement) = &statement else { return Vec::new() };
        let ast::Statement::Query(query) = statement.as_ref() else { return Vec::new() };
        let (SetExpr::Select(select), None) = (query.body.as_ref(), &query.with) else { return Vec::new() };
        let mut errors = Vec::new();
        let mut columns: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
        let factors = select
            .from
            .iter()
            .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
        for factor in factors {
            let TableFactor::Table { name, alias, .. } = factor else { continue };
            let Some(relation) = relation(name).filter(|relation| !unknown(relation)) else { continue };
            let Some(schema) = self.schema_of(&relation) else {
                errors.push(at(self.no_relation(&relation), name.span()));
                continue;
            };
            let known = schema.fields().iter().map(|field| field.name().clone()).collect();
            let called = alias.as_ref().map_or_else(|| relation.clone(), |alias| normal(&alias.name));
            columns.insert(called, (relation, known));
        }
        let walk = visit_expressions(query, |expression| {
            if let Expr::CompoundIdentifier(parts) = expression
                && let [of, column] = parts.as_slice()
                && let Some((relation, known)) = columns.get(&normal(of))
                && !known.contains(&normal(column))
            {
                let error = PlanError::new(format!("there is no column `{column}` in `{relation}`"));
                errors.push(at(error.unknown(normal(column), known.clone()), column.span));
            }
            ControlFlow::<()>::Continue(())
        });
        debug_assert!(walk.is_continue());
        errors
    }
}

fn relation(name: &ObjectName) -> Option<String> {
    let [part] = name.0.as_slice() else { return None };
    part.as_ident().map(normal)
}

/// A name as the planner takes it.
fn normal(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_ascii_lowercase() }
}

fn at(error: PlanError, span: Span) -> PlanError {
    let start = span.start;
    let place = (start.line > 0).then_some((start.line as usize, start.column as usize));
    PlanError { place, ..error }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn glance(sql: &str) -> Vec<String> {
        let planner = Planner::new([]);
        let schema = |names: &[&str]| {
            Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect::<Vec<_>>()))
        };
        planner.add_relation("requests", schema(&["user_id", "item_id"])).unwrap();
        planner.add_relation("reader", schema(&["user_id", "likes_7d"])).unwrap();
        let errors = planner.glance(sql, &|name| name == "post");
        errors.into_iter().map(|error| format!("{:?} {}", error.place.unwrap_or_default(), error.message)).collect()
    }

    #[test]
    fn columns_of_known_relations_are_looked_at_and_others_are_not() {
        let sql = "SELECT coalesce(u.likes_8d, 0) AS a, p.anything AS b, ratio AS c, U.Likes_7d AS d\nFROM requests r LEFT JOIN reader u \
                   ON r.user_id = u.user_id\nLEFT JOIN post p ON r.itm_id = p.item_id LEFT JOIN psot q ON r.item_id = q.x";
        insta::assert_snapshot!(glance(sql).join("\n"), @"
        (3, 52) there is no `psot` to select from
        (1, 19) there is no column `likes_8d` in `reader`
        (3, 23) there is no column `itm_id` in `requests`
        ");
        assert!(glance("WITH reader AS (SELECT 1 AS x) SELECT reader.x FROM reader").is_empty());
        assert_eq!(glance("SELECT coalesce(a FROM post").len(), 1, "what is no SQL");
    }
}
