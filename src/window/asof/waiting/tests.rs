//! Rows ahead of the broker's time, beside a table to which every event came in the order of time.

use arrow::array::{Array, Float64Array, Int64Array, RecordBatch};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;

use super::super::tests::{DISORDER, Event, SECOND, SMALL, SQL, START, batch, plan, save};
use crate::sql::Failures;
use crate::time::EventTime;
use crate::window::asof::{FeaturePlan, FeatureTable, Reads};
use crate::window::{Budget, WindowError};

use std::sync::Arc;

/// An event and when it was received.
type Received = (Event, i64);

/// Honest events are on their way for at most the disorder; others are ahead, by a moment or by days.
fn events() -> impl Strategy<Value = Vec<Received>> {
    let gap = prop_oneof![6 => 0_i64..3 * SECOND, 3 => 0_i64..60 * SECOND, 1 => 0_i64..3_000 * SECOND];
    let ahead = prop_oneof![
        5 => -DISORDER..=0_i64,
        2 => 0_i64..2 * SECOND,
        2 => 0_i64..120 * SECOND,
        1 => 0_i64..1_000_000 * SECOND,
    ];
    let kind = prop_oneof![5 => Just(Some("view")), 2 => Just(Some("cart")), 1 => Just(None)];
    let price = prop_oneof![8 => (1_i64..1_000).prop_map(|quarters| Some(quarters as f64 / 4.0)), 1 => Just(None)];
    let user = prop_oneof![9 => (0..5_i64).prop_map(Some), 1 => Just(None)];
    prop::collection::vec((user, 10_i64..20, kind, price, gap, ahead), 20..200).prop_map(|rows| {
        let mut now = START;
        let event = |(user, item, kind, price, gap, ahead)| {
            now += gap;
            (Event { user, item, kind, price, ts: now + ahead }, now)
        };
        rows.into_iter().map(event).collect()
    })
}

/// The rows of users as of `t`.
fn read(table: &mut FeatureTable, t: i64) -> Result<RecordBatch, WindowError> {
    let (mut slots, mut reads) = (Vec::new(), Reads::default());
    table.look_up(&[Arc::new(Int64Array::from_iter_values(0..6))], 6, &mut slots)?;
    slots.iter().for_each(|slot| table.read(*slot, EventTime(t), &mut reads));
    table.evaluate(&reads)
}

/// The same of a table to which the events up to `t` came by time, and for equal times by arrival.
fn expected(plan: &Arc<FeaturePlan>, events: &[Received], t: i64) -> Result<RecordBatch, WindowError> {
    let mut events: Vec<Event> = events.iter().map(|(event, _)| event.clone()).filter(|event| event.ts <= t).collect();
    events.sort_by_key(|event| event.ts);
    let mut table = FeatureTable::new(Arc::clone(plan), DISORDER, Budget::UNLIMITED)?;
    table.begin(&batch(&events), &mut Failures::default())?;
    (0..events.len()).for_each(|row| table.apply(row));
    read(&mut table, t)
}

fn assert_same(found: &RecordBatch, expected: &RecordBatch, what: &str) {
    for (column, field) in found.schema().fields().iter().enumerate() {
        let (left, right) = (found.column(column), expected.column(column));
        for row in 0..found.num_rows() {
            let floats = [left, right].map(|column| column.as_any().downcast_ref::<Float64Array>());
            if let [Some(left), Some(right)] = floats {
                let (left, right) =
                    (left.is_valid(row).then(|| left.value(row)), right.is_valid(row).then(|| right.value(row)));
                let is_same = match (left, right) {
                    (Some(left), Some(right)) => (left - right).abs() <= 1e-7 * right.abs().max(1.0),
                    (left, right) => left == right,
                };
                assert!(is_same, "{what}: {} of user {row}: {left:?}, expected {right:?}", field.name());
            } else {
                let [left, right] = [left, right].map(|column| array_value_to_string(column, row).unwrap());
                assert_eq!(left, right, "{what}: {} of user {row}", field.name());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// One event two weeks ahead answered every later read as of then, and forgot what was older than that.
    #[test]
    fn rows_ahead_count_from_their_own_time_on_and_move_nothing_before(
        events in events(),
        size in 1_usize..30,
        restart in any::<prop::sample::Index>(),
        back in 0_i64..=DISORDER,
        later in prop::collection::vec(prop_oneof![0_i64..3 * SECOND, 0_i64..200 * SECOND, 0_i64..900_000 * SECOND], 2),
    ) {
        let plan = plan(SQL);
        let mut table = FeatureTable::new(Arc::clone(&plan), DISORDER, Budget::UNLIMITED).unwrap();
        let (mut applied, mut now) = (0, i64::MIN);
        let steps = events.len().div_ceil(size);
        for (number, step) in events.chunks(size).enumerate() {
            if restart.index(steps) == number {
                let saved = save(&table);
                table = FeatureTable::restore(Arc::clone(&plan), DISORDER, Budget::UNLIMITED, &mut saved.as_slice()).unwrap();
                prop_assert!(save(&table) == saved);
            }
            let rows: Vec<Event> = step.iter().map(|(event, _)| event.clone()).collect();
            let received: Vec<i64> = step.iter().map(|(_, received)| *received).collect();
            table.begin_received(&batch(&rows), &received, &mut Failures::default()).unwrap();
            for row in 0..rows.len() {
                table.apply(row);
                applied += 1;
                now = now.max(rows[row].ts.min(received[row]));
                prop_assert_eq!(table.newest, now);
                if row == rows.len() / 2 || row + 1 == rows.len() {
                    for t in [now - back, now, now + later[0], now + later[1], rows[row].ts.max(now - DISORDER)] {
                        let expected = expected(&plan, &events[..applied], t).unwrap();
                        let what = format!("after {applied} events, {} from now", t - now);
                        assert_same(&read(&mut table, t).unwrap(), &expected, &what);
                    }
                }
            }
            table.settle().unwrap();
        }
    }

    #[test]
    fn a_table_at_its_limit_forgets_rows_that_wait_with_their_keys_and_the_same_when_restored(
        events in events(),
        size in 1_usize..20,
        limit in 40_000_usize..120_000,
    ) {
        let plan = plan(SQL);
        let budget = Budget::evict(limit);
        let mut table = FeatureTable::new(Arc::clone(&plan), DISORDER, budget).unwrap();
        for (number, step) in events.chunks(size).enumerate() {
            let rows: Vec<Event> = step
                .iter()
                .enumerate()
                .map(|(row, (event, _))| Event { user: Some((number * size + row) as i64), ..event.clone() })
                .collect();
            let received: Vec<i64> = step.iter().map(|(_, received)| *received).collect();
            let mut copy =
                FeatureTable::restore(Arc::clone(&plan), DISORDER, budget, &mut save(&table).as_slice()).unwrap();
            let apply = |table: &mut FeatureTable| -> Result<(), WindowError> {
                table.begin_received(&batch(&rows), &received, &mut Failures::default())?;
                (0..rows.len()).for_each(|row| table.apply(row));
                table.settle()
            };
            match (apply(&mut table), apply(&mut copy)) {
                (Ok(()), Ok(())) => {}
                (Err(left), Err(right)) => {
                    prop_assert_eq!(left.to_string(), right.to_string());
                    break;
                }
                (left, right) => prop_assert!(false, "{:?} and {:?}", left.err(), right.err()),
            }
            prop_assert_eq!((copy.size(), copy.evicted_keys()), (table.size(), table.evicted_keys()));
        }
    }
}

#[test]
fn one_event_far_ahead_holds_nobody_s_rows_and_is_no_newest_event() {
    let mut table = FeatureTable::new(plan(SMALL), DISORDER, Budget::UNLIMITED).unwrap();
    let event = |user, ts| Event { user: Some(user), item: user, kind: Some("view"), price: None, ts };
    let fortnight = 14 * 86_400 * SECOND;
    for second in 0..1_000 {
        let now = START + second * SECOND;
        let ahead = if second == 3 { vec![event(99, now + fortnight)] } else { Vec::new() };
        let rows: Vec<Event> = ahead.into_iter().chain([event(second % 7, now)]).collect();
        table.begin_received(&batch(&rows), &vec![now; rows.len()], &mut Failures::default()).unwrap();
        (0..rows.len()).for_each(|row| table.apply(row));
        table.settle().unwrap();
    }
    assert_eq!(table.newest, START + 999 * SECOND);
    // Five minutes of tile and the disorder.
    assert!(table.recent.rows() < 320, "{} rows are not sealed", table.recent.rows());
    let users = table.scan(0..u32::MAX).unwrap();
    let users = users.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
    assert_eq!(users.values().iter().filter(|user| **user == 99).count(), 0, "its time has not come");
    // It comes with the event that brings it.
    let then = START + 4 * SECOND + fortnight;
    table.begin_received(&batch(&[event(1, then)]), &[then], &mut Failures::default()).unwrap();
    table.apply(0);
    table.settle().unwrap();
    let rows = table.scan(0..u32::MAX).unwrap();
    let users: Vec<i64> = rows.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec();
    assert!(users.contains(&99), "{users:?}");
    assert_eq!(table.waiting.size(1), 0);
}
