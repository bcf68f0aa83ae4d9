//! The table as a whole: save and restore at any step, and the limit on its memory.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::ipc::writer::StreamWriter;
use proptest::prelude::*;

use super::{FeaturePlan, FeatureTable, Horizon, Reads};
use crate::sql::Failures;
use crate::time::EventTime;
use crate::window::{Budget, WindowError};

pub(super) const SQL: &str = "SELECT user_id,
    count(*) FILTER (WHERE kind = 'view' AND within(ts, '10 seconds')) AS views_10s,
    sum(price) FILTER (WHERE within(ts, '5 minutes')) AS spent_5m,
    avg(price) FILTER (WHERE kind <> 'view' AND within(ts, '1 hour')) AS price_1h,
    sum(item_id) FILTER (WHERE within(ts, '3 hours')) AS items_3h,
    min(price) FILTER (WHERE within(ts, '5 minutes')) AS cheapest_5m,
    max(item_id) FILTER (WHERE kind = 'view' AND within(ts, '1 hour')) AS largest_1h,
    min(ts) FILTER (WHERE kind <> 'view' AND within(ts, '5 minutes')) AS acted_since_5m,
    count(DISTINCT item_id) FILTER (WHERE within(ts, '5 minutes')) AS distinct_5m,
    count(DISTINCT item_id) FILTER (WHERE within(ts, '3 hours')) AS distinct_3h,
    count(DISTINCT kind) FILTER (WHERE within(ts, '1 hour')) AS kinds_1h,
    stddev(price) FILTER (WHERE kind <> 'cart' AND within(ts, '3 hours')) AS spread_3h,
    last_n(item_id, 3) FILTER (WHERE within(ts, '5 minutes')) AS items,
    last_n(price, 4) AS prices,
    last_n(kind, 2) AS kinds
    FROM clicks GROUP BY user_id";

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const START: i64 = 1_700_000_000 * SECOND;
pub(super) const DISORDER: i64 = 5 * SECOND;

#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) user: Option<i64>,
    pub(super) item: i64,
    pub(super) kind: Option<&'static str>,
    pub(super) price: Option<f64>,
    pub(super) ts: i64,
}

pub(super) fn batch(events: &[Event]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from_iter_values(events.iter().map(|event| event.ts));
    let columns: [(&str, ArrayRef); 5] = [
        ("user_id", Arc::new(events.iter().map(|event| event.user).collect::<Int64Array>())),
        ("item_id", Arc::new(Int64Array::from_iter_values(events.iter().map(|event| event.item)))),
        ("kind", Arc::new(events.iter().map(|event| event.kind).collect::<StringArray>())),
        ("price", Arc::new(events.iter().map(|event| event.price).collect::<Float64Array>())),
        ("ts", Arc::new(times.with_timezone("+00:00"))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

pub(super) fn plan(sql: &str) -> Arc<FeaturePlan> {
    let planner = crate::window::planner();
    planner.add_relation("clicks", batch(&[]).schema()).unwrap();
    Arc::new(FeaturePlan::new(&planner, "user_activity", sql, "ts", Horizon::new(6 * 3_600 * SECOND)).unwrap())
}

/// Prices that no sum holds exactly, now and then a huge one; time in small and large steps; some events far too late.
fn events(users: i64) -> impl Strategy<Value = Vec<Event>> {
    let gap = prop_oneof![6 => 0_i64..3 * SECOND, 3 => 0_i64..60 * SECOND, 1 => 0_i64..3_000 * SECOND];
    let back = prop_oneof![6 => Just(0_i64), 3 => 0_i64..5 * SECOND, 1 => 0_i64..4_000 * SECOND];
    let kind = prop_oneof![5 => Just(Some("view")), 2 => Just(Some("cart")), 1 => Just(Some("buy")), 1 => Just(None)];
    let price = prop_oneof![
        8 => (1_i64..100_000).prop_map(|cents| Some(cents as f64 / 100.0)),
        1 => Just(None),
        1 => Just(Some(1e17)),
    ];
    let user = prop_oneof![9 => (0..users).prop_map(Some), 1 => Just(None)];
    prop::collection::vec((user, 10_i64..30, kind, price, gap, back), 20..300).prop_map(|rows| {
        let mut now = START;
        let event = |(user, item, kind, price, gap, back)| {
            now += gap;
            Event { user, item, kind, price, ts: now - back }
        };
        rows.into_iter().map(event).collect()
    })
}

/// Applies the events of a step and returns what users read in its middle and at its end, as bytes.
fn step(table: &mut FeatureTable, events: &[Event], backs: &[i64]) -> Result<Vec<u8>, WindowError> {
    table.begin(&batch(events), &mut Failures::default())?;
    let users: ArrayRef = Arc::new(Int64Array::from_iter_values(0..6));
    let (mut slots, mut reads) = (Vec::new(), Reads::default());
    table.look_up(&[users], 6, &mut slots)?;
    for row in 0..events.len() {
        table.apply(row);
        if row == events.len() / 2 || row + 1 == events.len() {
            for back in backs {
                for slot in &slots {
                    table.read(*slot, EventTime(table.newest - back), &mut reads);
                }
            }
        }
    }
    let mut rows = vec![table.evaluate(&reads)?];
    table.settle()?;
    rows.push(table.scan(0..u32::MAX)?);
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &rows[0].schema())?;
    for rows in &rows {
        writer.write(rows)?;
    }
    writer.finish()?;
    bytes.extend(table.size().to_le_bytes());
    Ok(bytes)
}

pub(super) fn save(table: &FeatureTable) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.save(&mut bytes).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_table_saved_and_restored_at_any_step_goes_on_byte_by_byte(
        events in events(5),
        size in 1_usize..40,
        restarts in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        backs in prop::collection::vec(0_i64..6 * SECOND, 2),
    ) {
        let plan = plan(SQL);
        let budget = Budget::UNLIMITED;
        let mut straight = FeatureTable::new(Arc::clone(&plan), DISORDER, budget).unwrap();
        let mut restarted = FeatureTable::new(Arc::clone(&plan), DISORDER, budget).unwrap();
        let steps = events.len().div_ceil(size);
        for (number, events) in events.chunks(size).enumerate() {
            if restarts.iter().any(|restart| restart.index(steps) == number) {
                let saved = save(&restarted);
                restarted = FeatureTable::restore(Arc::clone(&plan), DISORDER, budget, &mut saved.as_slice()).unwrap();
            }
            match (step(&mut straight, events, &backs), step(&mut restarted, events, &backs)) {
                (Ok(left), Ok(right)) => prop_assert!(left == right, "step {}", number),
                (Err(left), Err(right)) => prop_assert_eq!(left.to_string(), right.to_string()),
                (left, right) => prop_assert!(false, "{:?} and {:?}", left.err(), right.err()),
            }
        }
    }

    /// Many keys that are silent while tails pass their tiles, and sums that have to be made anew then.
    #[test]
    fn sums_are_those_of_the_events_within_their_horizons_however_many_keys_leave_at_once(
        rows in prop::collection::vec((0_i64..12, 1_i64..1_000, any::<bool>(), 0_i64..4), 50..400),
        size in 1_usize..60,
    ) {
        let sql = "SELECT user_id, sum(price) FILTER (WHERE within(ts, '30 seconds')) AS spent, count(*) AS events FROM clicks
            GROUP BY user_id";
        let mut table = FeatureTable::new(plan(sql), 0, Budget::UNLIMITED).unwrap();
        let mut now = START;
        let events: Vec<Event> = rows.into_iter().map(|(user, price, is_huge, gap)| {
            now += gap * SECOND;
            let price = price as f64 * if is_huge { 1e7 } else { 0.01 };
            Event { user: Some(user), item: 1, kind: Some("view"), price: Some(price), ts: now }
        }).collect();
        for (number, part) in events.chunks(size).enumerate() {
            table.begin(&batch(part), &mut Failures::default()).unwrap();
            (0..part.len()).for_each(|row| table.apply(row));
            table.settle().unwrap();
            let tail = Horizon::new(30 * SECOND).tail(table.newest);
            let mut view = table.view().unwrap();
            for rows in [view.scan(0..u32::MAX).unwrap(), table.scan(0..u32::MAX).unwrap()] {
                let users = rows.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
                let sums = rows.column(1).as_any().downcast_ref::<Float64Array>().unwrap();
                for (user, spent) in users.iter().zip(sums) {
                    let so_far = events[..(number * size + part.len())].iter();
                    let within = so_far.filter(|event| event.user == user && event.ts > tail);
                    let expected: Vec<f64> = within.map(|event| event.price.unwrap()).collect();
                    let total: f64 = expected.iter().sum();
                    prop_assert_eq!(spent.is_some(), !expected.is_empty());
                    prop_assert!((spent.unwrap_or(0.0) - total).abs() <= 1e-9 * total, "{user:?}: {spent:?}, not {total}");
                }
            }
        }
    }

    #[test]
    fn a_view_stays_what_the_table_was_while_it_goes_on(
        events in events(9),
        size in 1_usize..40,
        views in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        backs in prop::collection::vec(0_i64..6 * SECOND, 2),
    ) {
        let plan = plan(SQL);
        let mut table = FeatureTable::new(Arc::clone(&plan), DISORDER, Budget::UNLIMITED).unwrap();
        let mut alone = FeatureTable::new(plan, DISORDER, Budget::UNLIMITED).unwrap();
        let mut held = Vec::new();
        let steps = events.len().div_ceil(size);
        for (number, events) in events.chunks(size).enumerate() {
            let (with, without) = (step(&mut table, events, &backs), step(&mut alone, events, &backs));
            prop_assert!(with.unwrap() == without.unwrap(), "a view changes nothing, step {}", number);
            if views.iter().any(|view| view.index(steps) == number) {
                held.push((table.view().unwrap(), save(&table), alone.scan(0..u32::MAX).unwrap()));
            }
        }
        let users: ArrayRef = Arc::new(Int64Array::from_iter_values(0..9));
        for (mut view, saved, rows) in held {
            let mut bytes = Vec::new();
            view.save(&mut bytes).unwrap();
            prop_assert!(bytes == saved);
            let mut slots = Vec::new();
            view.look_up(&[Arc::clone(&users)], 9, &mut slots).unwrap();
            for slot in slots.into_iter().filter(|slot| *slot != u32::MAX) {
                let row = view.read(&[slot]).unwrap();
                prop_assert_eq!(view.scan(slot..slot + 1).unwrap(), row.slice(0, usize::from(row.column(0).is_valid(0))));
            }
            let half = view.slots() / 2;
            let first = view.scan(0..half).unwrap();
            view.release_below(half);
            let second = view.scan(half..u32::MAX).unwrap();
            prop_assert_eq!(arrow::compute::concat_batches(&rows.schema(), [&first, &second]).unwrap(), rows);
        }
    }

    #[test]
    fn a_restored_table_gives_up_the_same_keys_at_its_limit(
        events in events(40),
        size in 1_usize..40,
        limit in 60_000_usize..200_000,
        restarts in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
    ) {
        let plan = plan(SQL);
        let budget = Budget::evict(limit);
        let mut straight = FeatureTable::new(Arc::clone(&plan), DISORDER, budget).unwrap();
        let mut restarted = FeatureTable::new(Arc::clone(&plan), DISORDER, budget).unwrap();
        let steps = events.len().div_ceil(size);
        for (number, events) in events.chunks(size).enumerate() {
            if restarts.iter().any(|restart| restart.index(steps) == number) {
                let saved = save(&restarted);
                restarted = FeatureTable::restore(Arc::clone(&plan), DISORDER, budget, &mut saved.as_slice()).unwrap();
                prop_assert_eq!(restarted.size(), straight.size(), "before step {}", number);
            }
            match (step(&mut straight, events, &[0]), step(&mut restarted, events, &[0])) {
                (Ok(left), Ok(right)) => {
                    prop_assert!(left == right, "step {}", number);
                    prop_assert!(restarted.size() <= limit);
                    prop_assert_eq!(straight.evicted_keys(), restarted.evicted_keys());
                }
                (Err(left), Err(right)) => {
                    prop_assert!(matches!(left, WindowError::MemoryLimit { .. }), "{}", left);
                    prop_assert_eq!(left.to_string(), right.to_string());
                    break;
                }
                (left, right) => prop_assert!(false, "{:?} and {:?}", left.err(), right.err()),
            }
        }
    }
}

fn clicks(users: std::ops::Range<i64>, ts: i64) -> Vec<Event> {
    users.map(|user| Event { user: Some(user), item: user, kind: Some("view"), price: Some(1.0), ts }).collect()
}

pub(super) const SMALL: &str =
    "SELECT user_id, count(*) AS events, last_n(item_id, 2) AS items FROM clicks GROUP BY user_id";

#[test]
fn under_the_limit_nothing_is_evicted_and_at_it_the_coldest_keys_are() {
    let mut free = FeatureTable::new(plan(SMALL), DISORDER, Budget::UNLIMITED).unwrap();
    let mut most = 0;
    for second in 0..100 {
        step(&mut free, &clicks(second * 50..second * 50 + 50, START + second * SECOND), &[0]).unwrap();
        most = most.max(free.size());
    }
    // What a step may need beside what it comes to hold.
    let reserve = 50 * 400;
    let run = |limit: usize| {
        let mut table = FeatureTable::new(plan(SMALL), DISORDER, Budget::evict(limit)).unwrap();
        for second in 0..100 {
            step(&mut table, &clicks(second * 50..second * 50 + 50, START + second * SECOND), &[0]).unwrap();
            assert!(table.size() <= limit, "{} of {limit}", table.size());
        }
        table
    };
    assert_eq!(run(most + reserve).evicted_keys(), 0);
    let mut table = run(most / 2);
    assert!(table.evicted_keys() > 1_000, "{}", table.evicted_keys());
    assert_eq!(table.key_count() as u64 + table.evicted_keys(), 5_000);
    // The first to come are the first to go.
    let users: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5_000));
    let mut slots = Vec::new();
    table.look_up(&[users], 5_000, &mut slots).unwrap();
    let forgotten = table.evicted_keys() as usize;
    assert!(slots[..forgotten].iter().all(|slot| *slot == u32::MAX));
    assert!(slots[forgotten..].iter().all(|slot| *slot != u32::MAX));
    // And they may come back.
    step(&mut table, &clicks(0..1, START + 100 * SECOND), &[0]).unwrap();
    let users: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1));
    table.look_up(&[users], 1, &mut slots).unwrap();
    let mut reads = Reads::default();
    table.read(slots[0], EventTime(START + 100 * SECOND), &mut reads);
    let row = table.evaluate(&reads).unwrap();
    assert_eq!(row.column(1).as_ref(), &Int64Array::from(vec![1]) as &dyn arrow::array::Array);
}

/// It was the latest time that there is: DataFusion takes a key as seen that comes before one with a value.
#[test]
fn a_key_whose_rows_of_a_tile_have_no_value_has_none_from_it() {
    let sql = "SELECT user_id, min(CASE WHEN kind = 'buy' THEN ts END) AS first FROM clicks GROUP BY user_id";
    let mut table = FeatureTable::new(plan(sql), DISORDER, Budget::UNLIMITED).unwrap();
    let event = |user, kind, second: i64| Event {
        user: Some(user),
        item: 1,
        kind: Some(kind),
        price: None,
        ts: START + second * SECOND,
    };
    let steps = [event(0, "view", 0), event(5, "buy", 60), event(0, "view", 61), event(9, "view", 500)];
    for event in &steps {
        step(&mut table, std::slice::from_ref(event), &[0]).unwrap();
    }
    let users: ArrayRef = Arc::new(Int64Array::from(vec![0, 5]));
    let (mut slots, mut reads) = (Vec::new(), Reads::default());
    table.look_up(&[users], 2, &mut slots).unwrap();
    slots.iter().for_each(|slot| table.read(*slot, EventTime(START + 500 * SECOND), &mut reads));
    let first = table.evaluate(&reads).unwrap().column(1).clone();
    let expected = TimestampMicrosecondArray::from(vec![None, Some(START + 60 * SECOND)]).with_timezone("+00:00");
    assert_eq!(first.as_ref(), &expected as &dyn arrow::array::Array);
}

#[test]
fn a_table_that_stops_says_which_it_is_and_what_to_do() {
    let mut table = FeatureTable::new(plan(SMALL), DISORDER, Budget::stop(100_000)).unwrap();
    let error = (0..100)
        .find_map(|second| {
            step(&mut table, &clicks(second * 50..second * 50 + 50, START + second * SECOND), &[0]).err()
        })
        .unwrap();
    assert!(matches!(&error, WindowError::MemoryLimit { limit: 100_000, .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.starts_with("feature table `user_activity` needs "), "{message}");
    assert!(message.ends_with("raise its limit, let it evict cold keys, or shorten its horizons"), "{message}");
}

#[test]
fn a_state_of_another_plan_or_disorder_is_refused_and_damage_names_its_section() {
    let mut table = FeatureTable::new(plan(SMALL), DISORDER, Budget::UNLIMITED).unwrap();
    step(&mut table, &clicks(0..50, START), &[0]).unwrap();
    let saved = save(&table);
    let restore = |sql: &str, disorder: i64, bytes: &[u8]| {
        FeatureTable::restore(plan(sql), disorder, Budget::UNLIMITED, &mut &bytes[..]).err().unwrap().to_string()
    };
    assert!(restore(SQL, DISORDER, &saved).contains("the plan fingerprint"));
    assert!(restore(SMALL, DISORDER + 1, &saved).contains("the disorder"));
    let mut damaged = saved.clone();
    let middle = saved.len() / 2;
    damaged[middle] ^= 1;
    assert!(restore(SMALL, DISORDER, &damaged).contains("damaged in section \""));
    assert!(restore(SMALL, DISORDER, &saved[..middle]).contains("ends inside section \""));
}

#[test]
fn a_sum_does_not_drift_in_a_million_subtractions() {
    let sql =
        "SELECT user_id, sum(price) FILTER (WHERE within(ts, '10 seconds')) AS spent FROM clicks GROUP BY user_id";
    let mut table = FeatureTable::new(plan(sql), DISORDER, Budget::UNLIMITED).unwrap();
    let price = |event: i64| ((event * 7_919) % 100_003) as f64 / 100.0 + if event % 1_000 == 0 { 1e9 } else { 0.0 };
    for step in 0..250 {
        let events: Vec<Event> = (step * 4_000..step * 4_000 + 4_000)
            .map(|event| Event {
                user: Some(0),
                item: 0,
                kind: None,
                price: Some(price(event)),
                ts: START + event * SECOND / 100,
            })
            .collect();
        table.begin(&batch(&events), &mut Failures::default()).unwrap();
        (0..events.len()).for_each(|row| table.apply(row));
        let (mut slots, mut reads) = (Vec::new(), Reads::default());
        table.look_up(&[Arc::new(Int64Array::from(vec![0]))], 1, &mut slots).unwrap();
        table.read(slots[0], EventTime(table.newest), &mut reads);
        let rows = table.evaluate(&reads).unwrap();
        let tail = Horizon::new(10 * SECOND).tail(table.newest);
        let within = (0..step * 4_000 + 4_000).rev().take_while(|event| START + event * SECOND / 100 > tail);
        let expected: f64 = within.map(price).sum();
        let spent = rows.column(1).as_any().downcast_ref::<Float64Array>().unwrap().value(0);
        assert!((spent - expected).abs() <= 1e-10 * expected, "{spent} and {expected} after step {step}");
        table.settle().unwrap();
    }
}
