//! The functions in feature tables and in plain batch SQL, one against the other.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Float64Type, Int64Type, UInt64Type};
use datafusion::error::DataFusionError;

use super::harness::plain;
use super::needs_time;
use crate::sql::Failures;
use crate::sql::planner::{PlanError, Planner};
use crate::time::EventTime;
use crate::window::{Budget, FeaturePlan, FeatureTable, Horizon, Reads};

const USERS: i64 = 7;
const MINUTE: i64 = 60_000_000;

/// Clicks over an hour, now and then out of order, prices of both signs.
fn clicks(count: i64) -> RecordBatch {
    let rows = || (0..count).map(|row| (row, (row * 7_919 + 13) % 10_007));
    let step = 60 * MINUTE / count;
    let times = rows().map(|(row, noise)| row * step - if noise % 5 == 0 { noise * 300 } else { 0 });
    let kinds = ["view", "cart", "buy"];
    let columns: [(&str, ArrayRef); 5] = [
        ("user_id", Arc::new(Int64Array::from_iter_values(rows().map(|(_, noise)| noise % (USERS - 1))))),
        ("item_id", Arc::new(rows().map(|(_, noise)| (noise % 11 != 0).then_some(noise % 23)).collect::<Int64Array>())),
        ("kind", Arc::new(StringArray::from_iter_values(rows().map(|(_, noise)| kinds[noise as usize / 7 % 3])))),
        (
            "price",
            Arc::new(
                rows()
                    .map(|(_, noise)| (noise % 13 != 0).then_some(noise as f64 / 100.0 - 9.0))
                    .collect::<Float64Array>(),
            ),
        ),
        ("ts", Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("+00:00"))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn newest(clicks: &RecordBatch) -> i64 {
    let times = clicks.column(4).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    arrow::compute::max(times).unwrap()
}

fn planned(planner: &Planner, sql: &str) -> Result<FeaturePlan, PlanError> {
    planner.add_relation("clicks", clicks(1).schema())?;
    FeaturePlan::new(planner, "user_activity", sql, "ts", Horizon::new(360 * MINUTE))
}

/// The feature rows of all users after the clicks came in steps of `size`, as of the newest event.
fn live(planner: &Planner, sql: &str, clicks: &RecordBatch, size: usize) -> RecordBatch {
    let plan = planned(planner, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut table = FeatureTable::new(Arc::new(plan), 5_000_000, Budget::UNLIMITED).unwrap();
    for first in (0..clicks.num_rows()).step_by(size) {
        let step = clicks.slice(first, size.min(clicks.num_rows() - first));
        table.begin(&step, &mut Failures::default()).unwrap();
        for row in 0..step.num_rows() {
            table.apply(row);
        }
        table.settle().unwrap();
    }
    let users: ArrayRef = Arc::new(Int64Array::from_iter_values(0..USERS));
    let (mut slots, mut reads) = (Vec::new(), Reads::default());
    table.look_up(&[users], USERS as usize, &mut slots).unwrap();
    for slot in slots {
        table.read(slot, EventTime(newest(clicks)), &mut reads);
    }
    table.evaluate(&reads).unwrap()
}

fn steps(clicks: &RecordBatch, size: usize) -> Vec<RecordBatch> {
    (0..clicks.num_rows()).step_by(size).map(|first| clicks.slice(first, size.min(clicks.num_rows() - first))).collect()
}

#[test]
fn feature_tables_equal_the_batch_select() {
    let call = |time: &str, recent: &str| {
        format!(
            "SELECT user_id,
                last_n(item_id, 5{time}) AS recent,
                first_n(kind, 3{time}) FILTER (WHERE price > 20 AND {recent}) AS first_dear,
                top_k(item_id, 4) AS items,
                top_k(kind, 2) FILTER (WHERE {recent}) AS kinds,
                decayed_sum(price, '5 minutes'{time}) AS spent,
                decayed_sum(item_id, '1 hour'{time}) FILTER (WHERE kind = 'buy' AND {recent}) AS fading,
                quantile(price, 0.5) AS median,
                quantile(item_id, 0.95) FILTER (WHERE {recent}) AS high,
                hll_distinct(item_id) AS items_seen,
                hll_distinct(ts) FILTER (WHERE {recent}) AS moments
            FROM clicks GROUP BY user_id"
        )
    };
    let clicks = clicks(30_000);
    let tail = Horizon::new(10 * MINUTE).tail(newest(&clicks));
    let recent = format!("ts > arrow_cast({tail}, 'Timestamp(Microsecond, Some(\"+00:00\"))')");
    // A feature is as of the read, the function itself as of the newest event that has a value.
    let now = format!("arrow_cast({}, 'Timestamp(Microsecond, Some(\"+00:00\"))')", newest(&clicks));
    let spent = "decayed_sum(price, '5 minutes', ts)";
    let fading = format!("decayed_sum(item_id, '1 hour', ts) FILTER (WHERE kind = 'buy' AND {recent})");
    let batch_sql = format!("{} ORDER BY user_id", call(", ts", &recent))
        .replace(spent, &format!("decay({spent}, max(ts) FILTER (WHERE price IS NOT NULL), {now}, '5 minutes')"))
        .replace(
            &fading,
            &format!(
                "decay({fading}, max(ts) FILTER (WHERE kind = 'buy' AND {recent} AND item_id IS NOT NULL), {now}, '1 hour')"
            ),
        );
    let expected = plain(&batch_sql, steps(&clicks, 1_000)).unwrap();
    assert_eq!(expected.num_rows() as i64, USERS - 1);
    for size in [37, 1_000, 30_000] {
        let found = live(&crate::window::planner(), &call("", "within(ts, '10 minutes')"), &clicks, size);
        let known = take_record_batch(&found, &UInt64Array::from_iter_values(0..USERS as u64 - 1)).unwrap();
        for (index, field) in expected.schema().fields().iter().enumerate() {
            assert_eq!(known.column(index), expected.column(index), "{} in steps of {size}", field.name());
            assert!(found.column(index).is_null(USERS as usize - 1), "{}: a user without events", field.name());
        }
    }
}

#[test]
fn functions_work_without_groups_over_frames_and_when_aggregation_is_skipped() {
    let clicks = clicks(30_000);
    let whole = "SELECT last_n(kind, 2, ts) AS a, first_n(kind, 2, ts) AS b, top_k(kind, 2) AS c,
        decayed_sum(price, '5 minutes', ts) AS d, quantile(price, 0.9) AS e, hll_distinct(kind) AS f FROM clicks";
    let alone = plain(whole, steps(&clicks, 1_000)).unwrap();
    let grouped = plain(&format!("{whole} GROUP BY user_id < 1000"), steps(&clicks, 1_000)).unwrap();
    assert_eq!(alone.columns(), grouped.columns());
    let nothing = plain(&format!("{whole} WHERE user_id < 0"), steps(&clicks, 1_000)).unwrap();
    assert_eq!(nothing.num_rows(), 1);
    assert!((0..3).all(|list| nothing.column(list).as_list::<i32>().value(0).is_empty()));
    assert!((3..5).all(|number| nothing.column(number).is_null(0)));

    let frames = "SELECT quantile(item_id, 1.0) OVER (ORDER BY ts, price) AS a, max(item_id) OVER (ORDER BY ts, price) AS b FROM clicks";
    let frames = plain(frames, steps(&clicks.slice(0, 500), 100)).unwrap();
    let (found, exact) = (frames.column(0).as_primitive::<Float64Type>(), frames.column(1).as_primitive::<Int64Type>());
    for row in 0..500 {
        assert_eq!(found.is_valid(row), exact.is_valid(row));
        assert!((found.value(row) - exact.value(row) as f64).abs() <= 0.0101 * exact.value(row) as f64);
    }

    // Nearly every row is a group of its own, so partial aggregation gives up.
    let skipping = "SET datafusion.execution.skip_partial_aggregation_probe_rows_threshold = 100";
    let sparse =
        "SELECT ts, first_n(price, 2, ts), top_k(price, 2), decayed_sum(price, '1 s', ts), quantile(price, 0.5)
        FROM clicks GROUP BY ts ORDER BY ts";
    let straight = plain(sparse, steps(&clicks, 1_000)).unwrap();
    let skipped = partitioned(&[skipping, sparse], &steps(&clicks, 1_000)).unwrap();
    assert_eq!(straight.columns()[2..], skipped.columns()[2..]);
}

/// The last of several statements, in two partitions.
fn partitioned(statements: &[&str], batches: &[RecordBatch]) -> Result<RecordBatch, DataFusionError> {
    use datafusion::datasource::MemTable;
    use datafusion::prelude::{SessionConfig, SessionContext};
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2).with_batch_size(64));
    super::register(&context);
    let (left, right) = batches.split_at(batches.len() / 2);
    let table = MemTable::try_new(batches[0].schema(), vec![left.to_vec(), right.to_vec()])?;
    context.register_table("clicks", Arc::new(table))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut found = Vec::new();
    for statement in statements {
        found = runtime.block_on(async { context.sql(statement).await?.collect().await })?;
    }
    Ok(arrow::compute::concat_batches(&found[0].schema(), &found)?)
}

#[test]
fn decay_moves_a_sum_to_another_time() {
    let clicks = clicks(3_000);
    let moved = "SELECT user_id, decay(decayed_sum(price, '5 minutes', ts), max(ts) FILTER (WHERE price IS NOT NULL), to_timestamp(7200), '5 minutes') AS a,
        sum(price * power(2.0, -(7200e6 - to_unixtime(ts) * 1e6 - date_part('microsecond', ts) % 1000000) / 300e6)) AS b
        FROM clicks GROUP BY user_id";
    let found = plain(moved, vec![clicks]).unwrap();
    let (found, exact) = (found.column(1).as_primitive::<Float64Type>(), found.column(2).as_primitive::<Float64Type>());
    for row in 0..found.len() {
        assert!((found.value(row) - exact.value(row)).abs() <= 1e-9 * exact.value(row).abs(), "{found:?} {exact:?}");
    }
    let constant = |sql: &str| plain(&format!("SELECT {sql} AS a FROM clicks"), vec![self::clicks(1)]);
    let found = constant("decay(8, to_timestamp(0), to_timestamp(3), '1 s')").unwrap();
    assert_eq!(found.column(0).as_primitive::<Float64Type>().value(0), 1.0);
    let found = constant("decay(8, to_timestamp(0), CAST(NULL AS TIMESTAMP), '1 s')").unwrap();
    assert!(found.column(0).is_null(0));
    let error = constant("decay(8, to_timestamp(0), ts, 'soon')").unwrap_err().to_string();
    assert!(
        error.contains("decay(sum, from, to, half_life) needs a duration such as '1 hour', 'soon' is none"),
        "{error}"
    );
    let error = constant("decay(8, to_timestamp(0), ts, kind)").unwrap_err().to_string();
    assert!(error.contains("found something that depends on rows"), "{error}");
    let error = constant("decay(8, 3, ts, '1 s')").unwrap_err().to_string();
    assert!(error.contains("needs a timestamp as its time, found Int64"), "{error}");
}

#[test]
fn hll_distinct_is_within_a_few_standard_errors() {
    let many = "SELECT hll_distinct(ts) AS a, approx_distinct(ts) AS b, count(DISTINCT ts) AS c FROM clicks";
    let found = plain(many, vec![clicks(50_000)]).unwrap();
    let estimate = found.column(0).as_primitive::<UInt64Type>().value(0);
    assert_eq!(found.column(1).as_primitive::<UInt64Type>().value(0), estimate);
    let exact = found.column(2).as_primitive::<Int64Type>().value(0) as f64;
    assert!((estimate as f64 - exact).abs() <= 4.0 * 0.008_125 * exact, "{estimate} {exact}");
}

#[test]
fn wrong_arguments_are_errors_of_planning_a_feature_table() {
    let error = |call: &str| match planned(
        &crate::window::planner(),
        &format!("SELECT user_id, {call} FROM clicks GROUP BY user_id"),
    ) {
        Ok(_) => panic!("{call} was planned"),
        Err(error) => error.message,
    };
    assert!(error("top_k(item_id, 5000)").contains("must be a number from 1 to 1000, found `5000`"));
    assert!(error("quantile(price, 50)").contains("must be a number from 0 to 1, such as 0.95, found `50`"));
    assert!(error("decayed_sum(price, 'soon')").contains("'soon' is none"));
    assert!(error("last_n(item_id, 0)").contains("must be a number from 1 to 10000, found `0`"));
    assert!(error("first_n(DISTINCT item_id, 2)").contains("takes no DISTINCT"));
    assert_eq!(error("top_k(item_id)"), "top_k(column, k) has two arguments, found 1");
    assert_eq!(error("quantile(kind, 0.5)"), "quantile(x, q) needs a number, found Utf8");
}

#[test]
fn a_bucket_is_a_column_like_others_and_its_arguments_are_looked_at_when_it_is_planned() {
    let select = |sql: &str| plain(&format!("SELECT {sql} AS a FROM clicks"), vec![clicks(8)]);
    let bucket = |sql: &str| select(sql).unwrap().column(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
    // As Python computes them.
    assert_eq!(bucket("hash_bucket('mobile', 1000)")[0], Some(324));
    assert_eq!((bucket("hash_bucket(42, 1000)")[0], bucket("hash_bucket('42', 1000)")[0]), (Some(720), Some(473)));
    assert_eq!(bucket("hash_bucket(CAST(NULL AS VARCHAR), 1000)")[0], None);
    assert!(
        bucket("hash_bucket(kind, 10)").iter().all(|bucket| bucket.is_some_and(|bucket| (0..10).contains(&bucket)))
    );
    let by_row = bucket("hash_bucket(kind, user_id + 1)");
    assert_eq!(by_row.len(), 8);
    let refused = |sql: &str| select(sql).unwrap_err().to_string();
    assert!(refused("hash_bucket(kind, 0)").contains("must be a number of buckets above 0, found `0`"));
    assert!(refused("hash_bucket(kind, NULL)").contains("hash_bucket(x, n)"));
    assert!(refused("hash_bucket(kind)").contains("hash_bucket(x, n) has two arguments, found 1"));
    assert!(refused("hash_bucket(price, 10)").contains("takes a text or a whole number, found Float64"));
    assert!(refused("hash_bucket(kind, 'ten')").contains("must be a number such as 20, found Utf8"));
    assert!(refused("hash_bucket(kind, user_id - 100)").contains("there must be one at least"));
}

#[test]
fn functions_that_are_ordered_by_time_get_it() {
    let found: Vec<&str> = ["last_n", "first_n", "decayed_sum", "top_k", "quantile", "hll_distinct", "count"]
        .into_iter()
        .filter(|name| needs_time(name))
        .collect();
    assert_eq!(found, ["last_n", "first_n", "decayed_sum"]);
}
