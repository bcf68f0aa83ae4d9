//! From text to one read-only statement, and the tables that it reads.

use std::collections::BTreeSet;

use datafusion::common::TableReference;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast;

use super::limits::PARSER_DEPTH;
use super::{CATALOG, Limits, QueryError, SCHEMA, thread};

/// The tables that a statement reads, sorted, each once: what [`run`](super::run()) has to be given.
///
/// Names as [`run`](super::run()) compares them: in lower case unless quoted. Whether the tables exist is not known here.
///
/// # Errors
/// When the statement is not one query within the default [`Limits`], or names a relation outside schema `live`.
pub fn table_names(sql: &str) -> Result<Vec<String>, QueryError> {
    let limits = Limits::default();
    limits.check(sql)?;
    let sql = sql.to_owned();
    thread::within(limits.timeout, move || {
        let (references, _) =
            resolve_table_references(&parse(&sql)?, true).map_err(|error| QueryError::planning(&error))?;
        let names: Result<BTreeSet<String>, QueryError> = references.iter().map(table_name).collect();
        Ok(names?.into_iter().collect())
    })
}

/// The only statement of a text that has passed [`Limits::check`]; a query, or EXPLAIN of one.
pub(super) fn parse(sql: &str) -> Result<Statement, QueryError> {
    let mut statements = DFParserBuilder::new(sql)
        .with_recursion_limit(PARSER_DEPTH)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| QueryError::planning(&error))?;
    let found = statements.len();
    let statement = match statements.pop_front() {
        Some(statement) if found == 1 => statement,
        _ => return Err(QueryError::NotOneStatement { found }),
    };
    match explained(&statement) {
        Statement::Statement(inner) if matches!(**inner, ast::Statement::Query(_)) => Ok(statement),
        other => Err(QueryError::NotReadOnly { found: first_word(&other.to_string()) }),
    }
}

/// The statement itself, or the one that it explains.
pub(super) fn explained(statement: &Statement) -> &Statement {
    let mut inner = statement;
    while let Statement::Explain(explain) = inner {
        inner = &explain.statement;
    }
    inner
}

fn table_name(reference: &TableReference) -> Result<String, QueryError> {
    let is_live = reference.schema().is_none_or(|schema| schema == SCHEMA)
        && reference.catalog().is_none_or(|catalog| catalog == CATALOG);
    if is_live {
        Ok(reference.table().to_owned())
    } else {
        Err(QueryError::OtherSchema { relation: reference.to_string() })
    }
}

fn first_word(text: &str) -> String {
    text.split_whitespace().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_once_whatever_way_they_are_written() {
        let sql = "WITH recent AS (SELECT * FROM live.users) \
                   SELECT * FROM recent JOIN Users u USING (id) WHERE id IN (SELECT id FROM datafusion.live.items)";
        assert_eq!(table_names(sql).expect("names"), ["items", "users"]);
        assert_eq!(table_names("EXPLAIN SELECT * FROM users").expect("names"), ["users"]);
        assert!(table_names("SELECT 1").expect("names").is_empty());
    }

    #[test]
    fn relations_elsewhere_are_refused() {
        let error = table_names("SELECT * FROM information_schema.tables").expect_err("no such schema");
        assert!(matches!(error, QueryError::OtherSchema { relation } if relation == "information_schema.tables"));
    }

    #[test]
    fn only_queries_and_explain_are_statements() {
        for sql in [
            "CREATE TABLE t (a INT)",
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
            "DROP TABLE users",
            "INSERT INTO users VALUES (1)",
            "DELETE FROM users",
            "UPDATE users SET id = 1",
            "COPY users TO '/tmp/users.csv'",
            "EXPLAIN INSERT INTO users VALUES (1)",
            "SET datafusion.execution.batch_size = 1",
            "RESET datafusion.execution.batch_size",
            "SHOW TABLES",
            "BEGIN",
        ] {
            let error = parse(sql).expect_err(sql);
            assert!(matches!(error, QueryError::NotReadOnly { .. }), "{sql}: {error}");
        }
    }

    #[test]
    fn one_statement_is_expected() {
        assert!(matches!(parse("SELECT 1; DROP TABLE users"), Err(QueryError::NotOneStatement { found: 2 })));
        assert!(matches!(parse(" ; "), Err(QueryError::NotOneStatement { found: 0 })));
        parse("SELECT 1;").expect("one");
    }

    #[test]
    fn the_parsers_own_limit_is_reported_as_depth() {
        let sql = format!("SELECT {}1{}", "(".repeat(90), ")".repeat(90));
        assert!(matches!(table_names(&sql), Err(QueryError::TooDeep { limit: PARSER_DEPTH })));
    }
}
