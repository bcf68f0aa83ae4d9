//! Feature tables against the batch oracle, on generated events.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use tidewheel::sql::Failures;
use tidewheel::time::EventTime;
use tidewheel::window::{Budget, FeaturePlan, FeatureTable, Horizon, Reads};

use crate::oracle::{self, View};

const SQL: &str = "SELECT user_id,
    count(*) FILTER (WHERE kind = 'view' AND within(ts, '1 minute')) AS views_1m,
    count(*) FILTER (WHERE kind = 'view' AND within(ts, '10 minutes')) AS views_10m,
    count(price) FILTER (WHERE within(ts, '1 hour')) AS priced_1h,
    sum(price) FILTER (WHERE kind <> 'view' AND within(ts, '1 hour')) AS spent_1h,
    sum(item_id) FILTER (WHERE within(ts, '3 hours')) AS items_3h,
    avg(price) FILTER (WHERE within(ts, '10 minutes')) AS price_10m,
    avg(item_id) FILTER (WHERE within(ts, '3 hours')) AS item_3h,
    min(price) FILTER (WHERE within(ts, '10 minutes')) AS cheapest_10m,
    max(price) FILTER (WHERE within(ts, '3 hours')) AS dearest_3h,
    stddev(price) FILTER (WHERE within(ts, '1 hour')) AS spread_1h,
    count(DISTINCT item_id) FILTER (WHERE within(ts, '1 hour')) AS distinct_1h,
    count(DISTINCT kind) FILTER (WHERE within(ts, '10 minutes')) AS kinds_10m,
    approx_distinct(item_id) FILTER (WHERE within(ts, '3 hours')) AS approx_3h,
    max(kind) AS last_kind,
    min(ts) FILTER (WHERE within(ts, '10 minutes')) AS first_10m,
    max(ts) FILTER (WHERE kind <> 'view' AND within(ts, '1 hour')) AS acted_1h,
    count(*) AS events,
    coalesce(1.0 * count(*) FILTER (WHERE kind = 'buy' AND within(ts, '1 hour')) / nullif(count(*) FILTER (WHERE within(ts, '1 hour')), 0), 0) AS rate_1h,
    last_n(item_id, 5) AS recent,
    last_n(item_id, 3) FILTER (WHERE kind = 'buy' AND within(ts, '10 minutes')) AS bought
    FROM clicks WHERE item_id <> 13 GROUP BY user_id";

const START: i64 = 1_700_000_000_000_000;

#[derive(Debug, Clone)]
struct Event {
    user: i64,
    item: i64,
    kind: &'static str,
    price: Option<f64>,
    ts: i64,
}

fn batch(events: &[Event], first: usize) -> RecordBatch {
    let times =
        TimestampMicrosecondArray::from_iter_values(events.iter().map(|event| event.ts)).with_timezone("+00:00");
    let columns: [(&str, ArrayRef); 6] = [
        ("user_id", Arc::new(Int64Array::from_iter_values(events.iter().map(|event| event.user)))),
        ("item_id", Arc::new(Int64Array::from_iter_values(events.iter().map(|event| event.item)))),
        ("kind", Arc::new(StringArray::from_iter_values(events.iter().map(|event| event.kind)))),
        ("price", Arc::new(events.iter().map(|event| event.price).collect::<Float64Array>())),
        ("ts", Arc::new(times)),
        ("seq", Arc::new(Int64Array::from_iter_values((first..first + events.len()).map(|seq| seq as i64)))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

/// Time moves on by uneven gaps, with disorder up to 5 s and now and then an event that is an hour late.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let gap = prop_oneof![6 => 0_i64..3_000_000, 3 => 0_i64..60_000_000, 1 => 0_i64..2_000_000_000];
    let back = prop_oneof![6 => Just(0_i64), 3 => 0_i64..5_000_000, 1 => 0_i64..4_000_000_000];
    let kind = prop_oneof![5 => Just("view"), 2 => Just("cart"), 1 => Just("buy")];
    let price = prop_oneof![4 => (1_i64..1_000).prop_map(|cents| Some(cents as f64 / 8.0)), 1 => Just(None)];
    prop::collection::vec((0_i64..4, 10_i64..20, kind, price, gap, back), 20..250).prop_map(|rows| {
        let mut now = START;
        rows.into_iter()
            .map(|(user, item, kind, price, gap, back)| {
                now += gap;
                Event { user, item, kind, price, ts: now - back }
            })
            .collect()
    })
}

fn assert_same(live: &RecordBatch, row: usize, batch: &RecordBatch, context: &str) {
    if batch.num_rows() == 0 {
        assert!(live.columns().iter().all(|column| column.is_null(row)), "{context}: live has a row, batch has none");
        return;
    }
    for (index, field) in live.schema().fields().iter().enumerate() {
        let (left, right) = (live.column(index), batch.column(index));
        let context = format!("{context}: column {}", field.name());
        match left.data_type() {
            DataType::List(_) => {
                let numbers = |list: ArrayRef| list.as_primitive::<Int64Type>().values().to_vec();
                let left = if left.is_null(row) { Vec::new() } else { numbers(left.as_list::<i32>().value(row)) };
                let mut right = if right.is_null(0) { Vec::new() } else { numbers(right.as_list::<i32>().value(0)) };
                let keep = if field.name() == "bought" { 3 } else { 5 };
                right.drain(..right.len().saturating_sub(keep));
                assert_eq!(left, right, "{context}");
            }
            DataType::Float64 => {
                let (left, right) = (left.as_primitive::<Float64Type>(), right.as_primitive::<Float64Type>());
                assert_eq!(left.is_null(row), right.is_null(0), "{context}: {left:?} {right:?}");
                if left.is_valid(row) {
                    let (left, right) = (left.value(row), right.value(0));
                    assert!((left - right).abs() <= 1e-9 * right.abs().max(1.0), "{context}: {left} and {right}");
                }
            }
            _ => {
                let text = |column: &ArrayRef, row: usize| {
                    let text = cast(&column.slice(row, 1), &DataType::Utf8).unwrap();
                    text.is_valid(0).then(|| text.as_string::<i32>().value(0).to_owned())
                };
                assert_eq!(text(left, row), text(right, 0), "{context}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn reads_equal_the_batch_select_at_every_moment(
        events in events(),
        size in 1_usize..40,
        reads in prop::collection::vec((any::<prop::sample::Index>(), 0_i64..5, 0_i64..5_000_000), 12),
    ) {
        let planner = tidewheel::window::planner();
        let all = batch(&events, 0);
        planner.add_relation("clicks", all.schema()).unwrap();
        let retention = Horizon::new(6 * 3_600_000_000);
        let plan = Arc::new(FeaturePlan::new(&planner, "user_activity", SQL, "ts", retention).unwrap());
        let mut table = FeatureTable::new(Arc::clone(&plan), 5_000_000, Budget::UNLIMITED).unwrap();
        let context = SessionContext::new();
        context.register_batch("clicks", all).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();

        let mut newest = i64::MIN;
        for first in (0..events.len()).step_by(size) {
            let step = &events[first..events.len().min(first + size)];
            table.begin(&batch(step, first), &mut Failures::default()).unwrap();
            let (mut found, mut views) = (Reads::default(), Vec::new());
            let users: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5));
            let mut slots = Vec::new();
            table.look_up(&[users], 5, &mut slots).unwrap();
            for (row, event) in step.iter().enumerate() {
                table.apply(row);
                newest = newest.max(event.ts);
                for (index, user, back) in &reads {
                    if index.index(events.len()) == first + row {
                        let at = newest - back;
                        table.read(slots[*user as usize], EventTime(at), &mut found);
                        views.push(View { at, upto: (first + row) as i64, key: format!("user_id = {user}") });
                    }
                }
            }
            let live = table.evaluate(&found).unwrap();
            for (row, view) in views.iter().enumerate() {
                let expected = runtime.block_on(oracle::rows(&context, SQL, "clicks", retention, view));
                assert_same(&live, row, &expected, &format!("read at {} of {} upto {}", view.at, view.key, view.upto));
            }
            table.settle().unwrap();
        }
    }
}
