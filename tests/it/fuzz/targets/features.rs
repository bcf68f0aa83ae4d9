//! Feature SQL: planned, and what is planned is run over a few events, saved and restored.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use tidewheel::sql::Failures;
use tidewheel::time::EventTime;
use tidewheel::window::{
    Budget, FeaturePlan, FeatureTable, Horizon, References, TableForm, WindowPlan, WindowSettings, WindowTables,
};

use super::shipped_text;
use crate::fuzz::engine::{Outcome, Target};
use crate::fuzz::guard;

const SECOND: i64 = 1_000_000;

pub const TARGET: Target = Target {
    name: "features",
    seconds: 2,
    dictionary: &[
        "SELECT ",
        " FROM clicks ",
        " WHERE ",
        " GROUP BY ",
        " HAVING ",
        " FILTER (WHERE ",
        " AND ",
        " OR ",
        " NOT ",
        "count(*)",
        "count(DISTINCT item_id)",
        "sum(price)",
        "avg(price)",
        "min(kind)",
        "max(ts)",
        "stddev(price)",
        "last_n(item_id, 3)",
        "first_n(kind, 2)",
        "top_k(item_id, 3)",
        "quantile(price, 0.5)",
        "hll_distinct(user_id)",
        "decayed_sum(price, '1 hour')",
        "median(price)",
        "array_agg(kind)",
        "within(ts, '5 minutes')",
        "tumble(ts, '1 minute')",
        "hop(ts, '10 seconds', '1 minute')",
        "cumulate(ts, '1 second', '1 minute')",
        "session(ts, '30 seconds')",
        "window_start",
        "window_end",
        "user_id",
        "item_id",
        "kind",
        "price",
        "ts",
        "NULL",
        "CASE WHEN ",
        " THEN ",
        " ELSE ",
        " END",
        "::int",
        "::text",
        "INTERVAL '1 day'",
        "'",
        "\"",
        "(",
        ")",
        ",",
        " AS a",
        " UNION ALL ",
        " OVER (PARTITION BY kind)",
        " ORDER BY 1",
        " LIMIT 1",
        " DISTINCT ",
        "-- ",
        "/*",
        "*/",
        "1e308",
        "coalesce(",
        "nullif(",
        " % ",
        " / ",
        " || ",
        "date_trunc('hour', ts)",
        "$1",
        "[1]",
        "{'a': 1}",
        " IN (SELECT 1)",
    ],
    inputs: || {
        let shipped = [
            "pipelines/recommend/features/user_activity.sql",
            "pipelines/recommend/features/item_trend.sql",
            "pipelines/trends/features/item_minute.sql",
            "pipelines/trends/features/visit.sql",
        ];
        let own = [
            "SELECT user_id, top_k(item_id, 3) AS a, quantile(price, 0.5) AS b, hll_distinct(kind) AS c, \
             decayed_sum(price, '1 hour') AS d FROM clicks GROUP BY user_id, hop(ts, '10 seconds', '1 minute')",
            "SELECT kind, window_end, first_n(item_id, 2) AS f, count(DISTINCT kind) AS k, median(price) AS m FROM clicks \
             WHERE price > 1 GROUP BY kind, cumulate(ts, '10 seconds', '1 minute') HAVING count(*) > 1",
            "SELECT user_id, item_id, last_n(kind, 2) AS l, count(DISTINCT kind) FILTER (WHERE within(ts, '1 hour')) AS k, \
             min(price) AS m FROM clicks WHERE kind <> 'cart' GROUP BY user_id, item_id",
        ];
        shipped.map(shipped_text).into_iter().chain(own.map(str::to_owned)).map(String::into_bytes).collect()
    },
    reader: || {
        let planner = tidewheel::window::planner();
        planner.add_relation("clicks", events(0).schema()).unwrap();
        Box::new(move |input| {
            let sql = String::from_utf8_lossy(input);
            let retention = Horizon::new(3_600 * SECOND);
            match TableForm::plan(&planner, "fuzzed", &sql, "ts", retention, WindowSettings::default()) {
                Ok(TableForm::AsOf(plan)) => as_of(plan),
                Ok(TableForm::Windows(plan)) => windows(plan),
                Err(error) => Outcome::Refused(error.to_string()),
            }
        })
    },
};

/// Twenty clicks within a minute and a half, with NULLs and a late one.
pub fn events(count: i64) -> RecordBatch {
    let numbers = || 0..count;
    let times = numbers().map(|number| (1_790_000_000 + number * 5 - i64::from(number == 9) * 60) * SECOND);
    let kinds = [Some("view"), Some("cart"), None, Some("buy")];
    let columns: [(&str, ArrayRef); 8] = [
        ("event_id", Arc::new(StringArray::from_iter_values(numbers().map(|number| format!("e{number}"))))),
        ("user_id", Arc::new(numbers().map(|number| (number % 5 != 4).then_some(number % 3)).collect::<Int64Array>())),
        ("item_id", Arc::new(Int64Array::from_iter_values(numbers().map(|number| number % 7)))),
        ("category_id", Arc::new(Int64Array::from_iter_values(numbers().map(|number| number % 2)))),
        ("kind", Arc::new(numbers().map(|number| kinds[number as usize % 4]).collect::<StringArray>())),
        (
            "price",
            Arc::new(
                numbers().map(|number| (number % 6 != 5).then_some(number as f64 / 3.0)).collect::<Float64Array>(),
            ),
        ),
        ("request_id", Arc::new(numbers().map(|number| (number % 2 == 0).then_some("r")).collect::<StringArray>())),
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("+00:00"))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

/// Expressions may fail on the data; nothing else may.
fn as_of(plan: FeaturePlan) -> Outcome {
    let plan = Arc::new(plan);
    let limit = || Budget::stop(64 << 20);
    let applied = || {
        let mut table = FeatureTable::new(Arc::clone(&plan), 5 * SECOND, limit())?;
        let Some(rows) = plan.source().rows("clicks", &events(20), &References::default(), &mut Failures::default())?
        else {
            return Ok(table);
        };
        for half in [rows.slice(0, 10), rows.slice(10, 10)] {
            table.begin(&half, &mut Failures::default())?;
            (0..half.num_rows()).for_each(|row| table.apply(row));
            table.settle()?;
        }
        Ok::<_, tidewheel::window::WindowError>(table)
    };
    let mut table = match applied() {
        Ok(table) => table,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let mut saved = Vec::new();
    table.save(&mut saved).unwrap();
    let mut restored = FeatureTable::restore(Arc::clone(&plan), 5 * SECOND, limit(), &mut saved.as_slice()).unwrap();
    let mut again = Vec::new();
    restored.save(&mut again).unwrap();
    assert!(saved == again, "a restored table saves the same");
    match (table.scan(0..u32::MAX), restored.scan(0..u32::MAX)) {
        (Ok(rows), Ok(again)) => {
            assert_eq!(rows.num_columns(), plan.schema().fields().len());
            assert_eq!(format!("{rows:?}"), format!("{again:?}"), "a restored table reads the same");
            Outcome::Accepted
        }
        (Err(error), Err(_)) => Outcome::Refused(error.to_string()),
        (one, other) => panic!("{:?} and {:?}", one.err(), other.err()),
    }
}

fn windows(plan: WindowPlan) -> Outcome {
    let plan = Arc::new(plan);
    let (events, mut out) = (events(20), Vec::new());
    let mut run = || {
        let mut tables = WindowTables::new(vec![Arc::clone(&plan)])?;
        for (number, start) in [0, 10].into_iter().enumerate() {
            let watermarks: Vec<i64> =
                (start..start + 10).map(|row| (1_790_000_000 + row as i64 * 5 - 5) * SECOND).collect();
            tables.push(
                "clicks",
                &events.slice(start, 10),
                &watermarks.iter().copied().map(EventTime).collect::<Vec<_>>(),
                &mut [true; 10],
                &mut out,
            )?;
            if number == 0 {
                let mut saved = Vec::new();
                tables.save(&mut saved)?;
                tables = WindowTables::restore(vec![Arc::clone(&plan)], &mut saved.as_slice())?;
                let mut again = Vec::new();
                tables.save(&mut again)?;
                assert!(saved == again, "restored tables save the same");
            }
        }
        tables.advance("clicks", Some(EventTime((1_790_000_000 + 3_000) * SECOND)), &mut out)
    };
    match run() {
        Ok(()) => Outcome::Accepted,
        Err(error) => Outcome::Refused(error.to_string()),
    }
}

/// A select with a chain of `length` links of one kind.
fn chained(link: &str, length: usize) -> String {
    let links = link.repeat(length);
    match link.split_whitespace().next() {
        Some("OR" | "IS") => {
            format!("SELECT user_id, count(*) AS n FROM clicks WHERE price > 1{links} GROUP BY user_id")
        }
        Some("UNION") => {
            format!(
                "SELECT user_id, count(*) AS n FROM (SELECT * FROM clicks{links}) GROUP BY user_id, tumble(ts, '1 minute')"
            )
        }
        Some("||") => format!("SELECT user_id, max(kind{links}) AS n FROM clicks GROUP BY user_id"),
        _ => format!("SELECT user_id, sum(price{links}) AS n FROM clicks GROUP BY user_id"),
    }
}

// Chains of 4,000 links overflowed the stack and ended the process.
#[test]
fn long_chains_are_refused_and_those_at_the_limit_fit_a_usual_stack() {
    let links = [
        (" OR price = 2", 2),
        (" + 1", 1),
        ("::double", 2),
        (" IS NULL", 2),
        (" || kind", 1),
        (" UNION ALL SELECT * FROM clicks", 5),
    ];
    for (link, terms) in links {
        let run = |length| {
            guard::once(&TARGET, chained(link, length).into_bytes()).unwrap_or_else(|error| panic!("{link}: {error}"))
        };
        let Outcome::Refused(reason) = run(6_000) else { panic!("{link} was accepted") };
        assert!(reason.contains("the limit is 1000"), "{link}: {reason}");
        // It may be refused for what it says, and must not be for how long it is.
        let outcome = run(960 / terms);
        assert!(
            !matches!(&outcome, Outcome::Refused(reason) if reason.contains("the limit is")),
            "{link}: {outcome:?}"
        );
    }
    let nested = format!("{}SELECT * FROM clicks{}", "WITH a AS (".repeat(40), ") SELECT * FROM a".repeat(40));
    assert!(
        matches!(guard::once(&TARGET, nested.into_bytes()).unwrap(), Outcome::Refused(reason) if reason.contains("WITH"))
    );
}

// An hour every millisecond was planned, and the first event opened 3.6 million windows.
#[test]
fn windows_that_overlap_too_often_are_refused() {
    for window in ["hop(ts, '1 millisecond', '1 hour')", "cumulate(ts, '1 microsecond', '1 day')"] {
        let sql = format!("SELECT user_id, window_start, count(*) AS n FROM clicks GROUP BY user_id, {window}");
        let outcome = guard::once(&TARGET, sql.into_bytes()).unwrap();
        assert!(matches!(&outcome, Outcome::Refused(reason) if reason.contains("the limit is 100000")), "{outcome:?}");
    }
}

// The second one took the place of the first aggregate, and every event failed, or panicked in Arrow.
#[test]
fn a_key_that_stands_twice_in_group_by_is_one_key() {
    for group in [
        "user_id, user_id",
        "user_id, clicks.user_id, user_id",
        "user_id, user_id, tumble(ts, '1 minute')",
        "user_id, window_start, tumble(ts, '1 minute')",
        "window_end, user_id, window_start, session(ts, '1 minute')",
    ] {
        let sql = format!("SELECT user_id, count(*) AS n, avg(price) AS p FROM clicks GROUP BY {group}");
        assert_eq!(guard::once(&TARGET, sql.into_bytes()).unwrap(), Outcome::Accepted, "{group}");
    }
}
