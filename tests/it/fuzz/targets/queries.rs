//! Statements of analysts, within their limits.

use std::time::Duration;

use tidewheel::query::{Limits, QueryError, run, table_names};

use super::features::events;
use crate::fuzz::engine::{Outcome, Target};

pub const TARGET: Target = Target {
    name: "queries",
    seconds: 2,
    dictionary: &[
        "SELECT ",
        "*",
        " FROM users ",
        "live.users",
        " JOIN ",
        " LEFT JOIN ",
        " ON ",
        " USING (user_id)",
        " WHERE ",
        " GROUP BY ",
        " ORDER BY ",
        " LIMIT 3",
        "WITH a AS (",
        "WITH RECURSIVE a AS (",
        ") ",
        " UNION ALL ",
        " EXCEPT ",
        "EXPLAIN ",
        "EXPLAIN ANALYZE ",
        " IN (SELECT user_id FROM users)",
        " EXISTS (",
        " OVER (ORDER BY ts)",
        "CASE WHEN ",
        " THEN ",
        " ELSE ",
        " END",
        "count(*)",
        "sum(price)",
        "array_agg(kind)",
        "user_id",
        "kind",
        "ts",
        " LATERAL ",
        "UNNEST([1,2])",
        "VALUES (1)",
        "COPY ",
        "SET a = 1",
        "; ",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "'",
        "\"",
        "::",
        "NOT ",
        "-",
        "NULL",
        "INTERVAL '1 day'",
        "'1 day'::interval",
        "information_schema.tables",
        "information_schema.columns",
        "SHOW TABLES",
        "SHOW COLUMNS FROM users",
        "DESCRIBE users",
        "generate_series(1,9)",
        "repeat('a', 9)",
        "struct(1)",
        "map {",
        "$1",
        "PIVOT",
        " TABLESAMPLE ",
        " QUALIFY ",
        "GROUPING SETS (",
    ],
    inputs: || {
        let inputs = [
            "SELECT user_id, count(*) AS n, avg(price) FROM live.users WHERE kind = 'view' GROUP BY user_id ORDER BY 2 DESC LIMIT 5",
            "WITH a AS (SELECT * FROM users), b AS (SELECT kind, max(ts) AS t FROM a GROUP BY kind) \
             SELECT a.user_id, b.t FROM a JOIN b ON a.kind = b.kind WHERE a.price IN (SELECT price FROM users)",
            "SELECT user_id, sum(price) OVER (PARTITION BY kind ORDER BY ts) AS s, CASE WHEN price > 1 THEN 'a' END FROM users",
            "EXPLAIN SELECT DISTINCT kind FROM users UNION ALL SELECT 'x' ORDER BY 1",
        ];
        inputs.map(|text| text.as_bytes().to_vec()).to_vec()
    },
    reader: || {
        let limits =
            Limits { rows: 100, memory_bytes: 16 << 20, timeout: Duration::from_millis(300), ..Limits::default() };
        Box::new(move |input| {
            let sql = String::from_utf8_lossy(input);
            let names = table_names(&sql);
            let answer = run(&sql, vec![("users".to_owned(), vec![events(20)])], &limits);
            let is_crash = |error: &QueryError| matches!(error, QueryError::Crashed);
            assert!(
                !names.as_ref().is_err_and(is_crash) && !answer.as_ref().is_err_and(is_crash),
                "the thread crashed"
            );
            assert!(answer.is_err() || names.is_ok(), "answered without known tables: {:?}", names.err());
            Outcome::of(&answer)
        })
    },
};
