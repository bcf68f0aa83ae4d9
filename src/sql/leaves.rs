//! Values in objects by the names that lead to them: `properties['price']` is the column `"properties.price"`.
//!
//! ```text
//!   properties['price']          ─▶  "properties.price"
//!   c.properties['size']['eu']   ─▶  c."properties.size.eu"
//!   tags['a']                        as it is: no relation has a column "tags.a"
//! ```
//!
//! Events are planned with a column for each value that their contract names, so that no plan ever takes an object apart. What
//! is written with brackets is put into the statement as that column before it is planned. A name without quotes counts in
//! lower case, as everywhere; texts between brackets as they are.

use std::ops::ControlFlow;

use arrow::datatypes::Schema;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Ident, Spanned, Subscript, Value, VisitMut, visit_expressions_mut,
};

use super::planner::PlanError;

/// The columns that are values in objects.
pub(super) struct Leaves(Vec<String>);

impl Leaves {
    /// Those of some schemas, each of which may have columns of the same names.
    pub(super) fn of<'s>(schemas: impl IntoIterator<Item = &'s Schema>) -> Self {
        let columns = schemas.into_iter().flat_map(|schema| schema.fields().iter().map(|field| field.name()));
        let mut leaves: Vec<String> = columns.filter(|name| name.contains('.')).cloned().collect();
        leaves.sort_unstable();
        leaves.dedup();
        Self(leaves)
    }

    /// Replaces values in objects by their columns.
    ///
    /// # Errors
    /// When an object has no such value.
    pub(super) fn take(&self, statement: &mut impl VisitMut) -> Result<(), PlanError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let walk = visit_expressions_mut(statement, |expression| match self.column(expression) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(column)) => {
                *expression = column;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        });
        match walk {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// The column that an expression is, or an item of; none where it is neither.
    fn column(&self, expression: &Expr) -> Result<Option<Expr>, PlanError> {
        let Expr::CompoundFieldAccess { root, access_chain } = expression else { return Ok(None) };
        let mut names = match root.as_ref() {
            Expr::Identifier(name) => vec![name.clone()],
            Expr::CompoundIdentifier(names) => names.clone(),
            _ => return Ok(None),
        };
        let relation = access_chain.iter().map_while(|access| match access {
            AccessExpr::Dot(Expr::Identifier(name)) => Some(name.clone()),
            _ => None,
        });
        let (before, mut path) = (names.len(), Vec::new());
        names.extend(relation);
        let rest = access_chain.get(names.len() - before..).unwrap_or_default();
        path.extend(rest.iter().map_while(text));
        let Some(object) = names.pop().filter(|_| !path.is_empty()) else { return Ok(None) };
        let first = if object.quote_style.is_some() { object.value } else { object.value.to_lowercase() };
        let name = format!("{first}.{}", path.join("."));
        if !self.0.contains(&name) {
            return self.refuse(&first, &path, expression);
        }
        names.push(Ident { value: name, quote_style: Some('"'), span: expression.span() });
        let column = if names.len() == 1 { Expr::Identifier(names.remove(0)) } else { Expr::CompoundIdentifier(names) };
        Ok(Some(match rest.get(path.len()..) {
            Some(items @ [_, ..]) => Expr::CompoundFieldAccess { root: Box::new(column), access_chain: items.to_vec() },
            _ => column,
        }))
    }

    /// That an object lacks a value; nothing where there is no such object.
    fn refuse(&self, object: &str, path: &[&str], expression: &Expr) -> Result<Option<Expr>, PlanError> {
        let within = format!("{object}.");
        let known: Vec<String> =
            self.0.iter().filter(|name| name.starts_with(&within)).map(|name| shown(name)).collect();
        if known.is_empty() {
            return Ok(None);
        }
        let value = path.iter().fold(String::new(), |value, name| value + "['" + name + "']");
        let error = PlanError::new(format!("there is no value {value} in `{object}`"));
        let start = expression.span().start;
        let place = (start.line > 0).then_some((start.line as usize, start.column as usize));
        Err(PlanError { place, ..error.unknown(format!("{object}{value}"), known) })
    }
}

/// The text between brackets.
fn text(access: &AccessExpr) -> Option<&str> {
    match access {
        AccessExpr::Subscript(Subscript::Index { index: Expr::Value(value) }) => match &value.value {
            Value::SingleQuotedString(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// A column as it is written with brackets.
fn shown(column: &str) -> String {
    let mut names = column.split('.');
    let first = names.next().unwrap_or_default();
    names.fold(first.to_owned(), |shown, name| format!("{shown}['{name}']"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field};
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;
    use crate::sql::Planner;

    fn taken(sql: &str) -> String {
        let fields = ["properties.price", "properties.size.eu", "userProperties.id", "properties.tags"];
        let schema = Schema::new(fields.map(|name| Field::new(name, DataType::Utf8, true)).to_vec());
        let mut statements = Parser::parse_sql(&GenericDialect {}, sql).expect("a statement");
        Leaves::of([&schema]).take(&mut statements).expect("known values");
        statements[0].to_string()
    }

    #[test]
    fn brackets_become_the_column_that_they_lead_to() {
        for (sql, expected) in [
            ("SELECT properties['price'] FROM c", "SELECT \"properties.price\" FROM c"),
            ("SELECT sum(c.Properties['size']['eu'] + 1) FROM c", "SELECT sum(c.\"properties.size.eu\" + 1) FROM c"),
            ("SELECT \"userProperties\"['id'] FROM c", "SELECT \"userProperties.id\" FROM c"),
            ("SELECT userProperties['id'] FROM c", "SELECT userProperties['id'] FROM c"),
            ("SELECT tags[1], properties['tags'][1] FROM c", "SELECT tags[1], \"properties.tags\"[1] FROM c"),
            (
                "SELECT count(*) FILTER (WHERE (SELECT max(properties['price']) FROM c) > 1) FROM c",
                "SELECT count(*) FILTER (WHERE (SELECT max(\"properties.price\") FROM c) > 1) FROM c",
            ),
            (
                "SELECT last_n(properties['price'], 3 ORDER BY properties['price']) FROM c GROUP BY properties['price']",
                "SELECT last_n(\"properties.price\", 3 ORDER BY \"properties.price\") FROM c GROUP BY \"properties.price\"",
            ),
        ] {
            assert_eq!(taken(sql), expected);
        }
    }

    #[test]
    fn selects_and_conditions_are_planned_over_the_columns() {
        let planner = Planner::new([]);
        let fields = ["user_id", "properties.price"].map(|name| Field::new(name, DataType::Float64, true));
        let schema = Arc::new(Schema::new(fields.to_vec()));
        planner.add_relation("clicks", Arc::clone(&schema)).unwrap();
        let written =
            planner.canonical("SELECT sum(properties['price']) AS total FROM clicks GROUP BY user_id").unwrap();
        let named =
            planner.canonical("SELECT sum(\"properties.price\") AS total FROM clicks GROUP BY user_id").unwrap();
        assert_eq!(written, named);
        assert!(planner.plan("SELECT c.properties['price'] AS price FROM clicks c").is_ok());
        assert!(planner.expression_over("clicks", "properties['price'] > 1", &schema).is_ok());
        let error = planner.plan("SELECT properties['prize'] AS price FROM clicks").unwrap_err();
        assert_eq!(error.unknown.unwrap().known, ["properties['price']"]);
        assert_eq!(error.place, Some((1, 8)));
        insta::assert_snapshot!(error.message, @"there is no value ['prize'] in `properties`");
    }
}
