//! From text to one read-only statement, and the tables that it reads.

use std::collections::BTreeSet;

use datafusion::common::TableReference;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{self, DescribeAlias};

use super::catalogue::{COLUMNS, INFORMATION, TABLES};
use super::limits::PARSER_DEPTH;
use super::{CATALOG, Limits, QueryError, SCHEMA, thread};

/// What may be asked.
pub(super) enum Asked {
    /// A query, or EXPLAIN of one.
    Query(Statement),
    /// SHOW TABLES.
    Tables,
    /// DESCRIBE, or SHOW COLUMNS FROM.
    Columns(Relation),
}

/// What a statement reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// A table of the pipeline.
    Live(String),
    /// One of those that list tables and columns.
    Information(&'static str),
}

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
        // What lists tables reads none.
        let Asked::Query(statement) = parse(&sql)? else { return Ok(Vec::new()) };
        let names: BTreeSet<String> = relations(&statement)?
            .into_iter()
            .filter_map(|relation| match relation {
                Relation::Live(name) => Some(name),
                Relation::Information(_) => None,
            })
            .collect();
        Ok(names.into_iter().collect())
    })
}

/// The only statement of a text that has passed [`Limits::check`].
pub(super) fn parse(sql: &str) -> Result<Asked, QueryError> {
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
    if let Statement::Statement(inner) = &statement
        && let Some(asked) = listing(inner)?
    {
        return Ok(asked);
    }
    match explained(&statement) {
        Statement::Statement(inner) if matches!(**inner, ast::Statement::Query(_)) => Ok(Asked::Query(statement)),
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

/// What a query reads, each once.
pub(super) fn relations(statement: &Statement) -> Result<Vec<Relation>, QueryError> {
    let resolved = resolve_table_references(statement, true);
    let (references, _) = resolved.map_err(|error| QueryError::planning(&error))?;
    references.iter().map(relation).collect()
}

/// What a statement lists, if it lists tables or columns.
fn listing(statement: &ast::Statement) -> Result<Option<Asked>, QueryError> {
    // What is written after the name, or before it, would be passed over.
    let only = |is_so: bool, instead: &'static str| match is_so {
        true => Ok(()),
        false => Err(QueryError::Shown { found: statement.to_string(), instead }),
    };
    match statement {
        ast::Statement::ShowTables { .. } => {
            let instead = "SHOW TABLES, or SELECT * FROM information_schema.tables WHERE ...";
            only(statement.to_string() == "SHOW TABLES", instead)?;
            Ok(Some(Asked::Tables))
        }
        ast::Statement::ShowColumns { show_options, .. } => {
            let instead = "SHOW COLUMNS FROM name, or SELECT * FROM information_schema.columns WHERE ...";
            let shown = show_options.show_in.as_ref();
            let shown = shown.and_then(|shown| Some((&shown.clause, shown.parent_name.as_ref()?)));
            let plain = shown.map(|(clause, name)| format!("SHOW COLUMNS {clause} {name}"));
            only(plain.is_some_and(|plain| plain == statement.to_string()), instead)?;
            shown.map(|(_, name)| columns(name)).transpose()
        }
        ast::Statement::ExplainTable { describe_alias, table_name, .. }
            if *describe_alias != DescribeAlias::Explain =>
        {
            only(statement.to_string() == format!("{describe_alias} {table_name}"), "DESCRIBE name")?;
            columns(table_name).map(Some)
        }
        ast::Statement::Explain { .. } | ast::Statement::ExplainTable { .. } => {
            only(false, "EXPLAIN SELECT ..., or DESCRIBE name")?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

fn columns(name: &ast::ObjectName) -> Result<Asked, QueryError> {
    let reference = object_name_to_table_reference(name.clone(), true);
    let reference = reference.map_err(|error| QueryError::planning(&error))?;
    relation(&reference).map(Asked::Columns)
}

fn relation(reference: &TableReference) -> Result<Relation, QueryError> {
    let is_here = reference.catalog().is_none_or(|catalog| catalog == CATALOG);
    let listing = [TABLES, COLUMNS].into_iter().find(|table| *table == reference.table());
    match (reference.schema().unwrap_or(SCHEMA), listing) {
        (SCHEMA, _) if is_here => Ok(Relation::Live(reference.table().to_owned())),
        (INFORMATION, Some(table)) if is_here => Ok(Relation::Information(table)),
        _ => Err(QueryError::OtherSchema { relation: reference.to_string() }),
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
        for relation in ["information_schema.df_settings", "other.tables", "other.live.users", "pg_catalog.pg_tables"] {
            let error = table_names(&format!("SELECT * FROM {relation}")).expect_err(relation);
            assert!(matches!(&error, QueryError::OtherSchema { relation: found } if found == relation), "{error}");
        }
    }

    #[test]
    fn what_lists_tables_and_columns_reads_no_table() {
        for sql in ["SHOW TABLES;", "describe users", "DESC users", "SHOW COLUMNS FROM users", "SHOW COLUMNS IN users"]
        {
            assert!(table_names(sql).expect(sql).is_empty(), "{sql}");
        }
        let sql = "SELECT table_name FROM information_schema.tables JOIN users ON kind = user_id";
        assert_eq!(table_names(sql).expect("names"), ["users"]);
    }

    #[test]
    fn a_name_is_described_as_it_would_be_read() {
        for (name, expected) in [
            ("Users", Relation::Live("users".to_owned())),
            ("live.\"Users\"", Relation::Live("Users".to_owned())),
            ("information_schema.Tables", Relation::Information(TABLES)),
        ] {
            let Ok(Asked::Columns(found)) = parse(&format!("DESCRIBE {name}")) else { panic!("{name}") };
            assert_eq!(found, expected);
        }
        assert!(matches!(parse("DESCRIBE other.users"), Err(QueryError::OtherSchema { .. })));
    }

    #[test]
    fn what_is_added_to_a_listing_is_refused_and_not_passed_over() {
        for sql in [
            "SHOW FULL TABLES",
            "SHOW TABLES LIKE 'u%'",
            "SHOW TABLES FROM live",
            "SHOW COLUMNS",
            "SHOW FULL COLUMNS FROM users",
            "SHOW COLUMNS FROM users LIKE 'u%'",
            "DESCRIBE EXTENDED users",
            "DESCRIBE SELECT * FROM users",
        ] {
            let error = parse(sql).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("is not possible here: write "), "{sql}: {error}");
        }
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
            "SHOW ALL",
            "SHOW datafusion.execution.batch_size",
            "SHOW CREATE TABLE users",
            "SHOW FUNCTIONS",
            "BEGIN",
        ] {
            let refused = parse(sql).err();
            assert!(matches!(refused, Some(QueryError::NotReadOnly { .. })), "{sql}: {refused:?}");
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
