//! Random events against a naive model: all events of a key, sorted and cut at the gaps.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;

use super::{Event, Run, SECOND, plan, run, seen};
use crate::window::WindowIndex;
use crate::window::closed::{Emission, EmissionKind, Emit, WindowSettings};

const GAP: i64 = 60 * SECOND;

pub(super) const SQL: &str = "SELECT user_id, window_start, window_end,
    count(*) AS events, count(price) AS priced, sum(item_id) AS items, sum(price) AS spent, avg(price) AS mean,
    min(price) AS least, max(kind) AS kind, count(DISTINCT item_id) AS distincts,
    count(DISTINCT kind) AS kinds, count(DISTINCT item_id) FILTER (WHERE kind = 'buy') AS bought,
    last_n(item_id, 3) AS recent, stddev(price) AS spread, sum(price) FILTER (WHERE kind = 'buy') AS paid,
    max(price) FILTER (WHERE kind = 'buy') AS dearest
    FROM clicks WHERE item_id <> 13 GROUP BY user_id, session(ts, '1 minute')";

#[derive(Debug, Clone, PartialEq)]
struct Row {
    integers: Vec<Option<i64>>,
    floats: Vec<Option<f64>>,
    kind: Option<String>,
    recent: Vec<i64>,
}

/// [`HAVING`] in other words.
fn passes(row: &Row) -> bool {
    row.integers[0] != Some(2) && row.integers[2].is_some_and(|items| items % 3 > 0)
}

const HAVING: &str = " HAVING count(*) <> 2 AND sum(item_id) % 3 > 0";

type Table = BTreeMap<(i64, i64, i64), Row>;

/// What the table should hold when all events that were taken are in.
fn expected(events: &[Event], late: &[bool]) -> Table {
    let mut rows = Table::new();
    for sessions in cut(&kept(events, late)).into_values() {
        for session in sessions {
            let (first, last) = (session.first().unwrap(), session.last().unwrap());
            rows.insert((first.ts, last.ts + GAP, first.user), aggregate(&session));
        }
    }
    rows
}

fn kept<'a>(events: &'a [Event], late: &[bool]) -> Vec<&'a Event> {
    events.iter().zip(late).filter(|(event, late)| !**late && event.item != 13).map(|(event, _)| event).collect()
}

/// Per key, its events cut into sessions.
fn cut<'a>(events: &[&'a Event]) -> BTreeMap<i64, Vec<Vec<&'a Event>>> {
    let mut sorted = events.to_vec();
    // Stable: equal times stay in the order of arrival.
    sorted.sort_by_key(|event| event.ts);
    let mut keys: BTreeMap<i64, Vec<Vec<&Event>>> = BTreeMap::new();
    for event in sorted {
        let sessions = keys.entry(event.user).or_default();
        match sessions.last_mut() {
            Some(session) if event.ts - session.last().unwrap().ts < GAP => session.push(event),
            _ => sessions.push(vec![event]),
        }
    }
    keys
}

fn aggregate(events: &[&Event]) -> Row {
    let prices: Vec<f64> = events.iter().filter_map(|event| event.price).collect();
    let bought = || events.iter().filter(|event| event.kind == "buy");
    let paid: Vec<f64> = bought().filter_map(|event| event.price).collect();
    let sum = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>());
    let mean = sum(&prices).map(|sum| sum / prices.len() as f64);
    let spread = (prices.len() > 1).then(|| {
        let mean = mean.unwrap();
        (prices.iter().map(|price| (price - mean).powi(2)).sum::<f64>() / (prices.len() - 1) as f64).sqrt()
    });
    let distinct = |values: BTreeSet<i64>| Some(values.len() as i64);
    Row {
        integers: vec![
            Some(events.len() as i64),
            Some(prices.len() as i64),
            Some(events.iter().map(|event| event.item).sum()),
            distinct(events.iter().map(|event| event.item).collect()),
            Some(events.iter().map(|event| event.kind).collect::<BTreeSet<_>>().len() as i64),
            distinct(bought().map(|event| event.item).collect()),
        ],
        floats: vec![
            sum(&prices),
            mean,
            prices.iter().copied().reduce(f64::min),
            spread,
            sum(&paid),
            paid.iter().copied().reduce(f64::max),
        ],
        kind: events.iter().map(|event| event.kind.to_owned()).max(),
        recent: events[events.len().saturating_sub(3)..].iter().map(|event| event.item).collect(),
    }
}

/// The rows of all emissions, applied in their order.
fn applied(emissions: &[Emission]) -> Table {
    let mut table = Table::new();
    for emission in emissions {
        let rows = &emission.rows;
        let integers = |name: &str, row: usize| {
            let column = rows.column_by_name(name).unwrap().as_primitive::<Int64Type>();
            column.is_valid(row).then(|| column.value(row))
        };
        let floats = |name: &str, row: usize| {
            let column = rows.column_by_name(name).unwrap().as_primitive::<Float64Type>();
            column.is_valid(row).then(|| column.value(row))
        };
        let times = |name: &str, row: usize| {
            rows.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>().value(row)
        };
        for (row, window) in emission.windows.iter().enumerate() {
            let key = (times("window_start", row), times("window_end", row), integers("user_id", row).unwrap());
            assert_eq!((key.0, key.1), *window);
            assert_eq!(emission.keys[0].as_primitive::<Int64Type>().value(row), key.2);
            if emission.is_removal {
                assert!(table.remove(&key).is_some(), "{key:?} was removed and never emitted");
                continue;
            }
            if emission.kind == EmissionKind::Final {
                assert_eq!(emission.at.micros(), window.1);
            }
            let kinds = rows.column_by_name("kind").unwrap().as_string::<i32>();
            let list: ArrayRef = rows.column_by_name("recent").unwrap().as_list::<i32>().value(row);
            let value = Row {
                integers: ["events", "priced", "items", "distincts", "kinds", "bought"]
                    .map(|name| integers(name, row))
                    .to_vec(),
                floats: ["spent", "mean", "least", "spread", "paid", "dearest"].map(|name| floats(name, row)).to_vec(),
                kind: kinds.is_valid(row).then(|| kinds.value(row).to_owned()),
                recent: list.as_primitive::<Int64Type>().values().to_vec(),
            };
            table.insert(key, value);
        }
    }
    table
}

fn assert_same(found: &Table, expected: &Table) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (key, (found, expected)) in found.iter().map(|(key, row)| (key, (row, &expected[key]))) {
        assert_eq!(
            (&found.integers, &found.kind, &found.recent),
            (&expected.integers, &expected.kind, &expected.recent),
            "{key:?}"
        );
        for (one, two) in found.floats.iter().zip(&expected.floats) {
            let is_near = match (one, two) {
                (Some(one), Some(two)) => (one - two).abs() <= 1e-9 * two.abs().max(1.0),
                _ => one == two,
            };
            assert!(is_near, "{key:?}: {found:?} and {expected:?}");
        }
    }
}

/// Which events are late, by looking at all events of the key that were taken before.
fn expected_late(events: &[Event], watermarks: &[i64], lateness: i64) -> Vec<bool> {
    let mut late = vec![false; events.len()];
    let mut floors: BTreeMap<i64, i64> = BTreeMap::new();
    for (index, event) in events.iter().enumerate() {
        let watermark = if index == 0 { i64::MIN } else { watermarks[index - 1] };
        if event.item == 13 {
            continue;
        }
        let is_final = |end: i64| end.saturating_add(lateness) <= watermark;
        let before = kept(&events[..index], &late[..index]);
        let sessions = cut(&before).remove(&event.user).unwrap_or_default();
        let bounds = sessions.iter().map(|session| (session.first().unwrap().ts, session.last().unwrap().ts));
        let touches = |(first, last): &(i64, i64)| event.ts - last < GAP && first - event.ts < GAP;
        let touched: Vec<_> = bounds.clone().filter(touches).collect();
        let end = touched.iter().map(|(_, last)| *last).fold(event.ts, i64::max) + GAP;
        let floor = floors.entry(event.user).or_insert(i64::MIN);
        late[index] = is_final(end) || touched.iter().any(|(_, last)| is_final(last + GAP)) || event.ts < *floor;
        if !late[index] && bounds.clone().all(|(_, last)| is_final(last + GAP)) {
            *floor = (*floor).max(watermark.saturating_sub(GAP).saturating_sub(lateness));
        }
    }
    late
}

/// Fewer than `most` events of so many users.
pub(super) fn events(users: i64, most: usize) -> impl Strategy<Value = Vec<Event>> {
    let gap = prop_oneof![6 => 0_i64..8, 3 => 0_i64..40, 1 => 0_i64..300];
    let back = prop_oneof![6 => Just(0_i64), 3 => 0_i64..10, 1 => 0_i64..250];
    let kind = prop_oneof![5 => Just("view"), 2 => Just("cart"), 1 => Just("buy")];
    let price = prop_oneof![4 => (1_i64..1_000).prop_map(|cents| Some(cents as f64 / 8.0)), 1 => Just(None)];
    prop::collection::vec((0..users, 10_i64..20, kind, price, gap, back), 1..most).prop_map(|rows| {
        let mut now = -300 * SECOND;
        rows.into_iter()
            .map(|(user, item, kind, price, gap, back)| {
                // Whole seconds: gaps of exactly a minute are frequent.
                now += gap * SECOND;
                Event { user, item, kind, price, ts: now - back * SECOND }
            })
            .collect()
    })
}

pub(super) fn watermarks(events: &[Event], disorder: i64) -> Vec<i64> {
    let newest = events.iter().scan(i64::MIN, |newest, event| {
        *newest = event.ts.max(*newest);
        Some(*newest - disorder)
    });
    newest.collect()
}

pub(super) fn settings() -> impl Strategy<Value = WindowSettings> {
    let emit = prop_oneof![
        Just(Emit::OnClose),
        (1_i64..40).prop_map(|every| Emit::Early { every: every * SECOND }),
        (1_i64..40).prop_map(|every| Emit::OnUpdate { every: every * SECOND }),
    ];
    let lateness = prop_oneof![Just(0), (1_i64..200).prop_map(|lateness| lateness * SECOND / 2)];
    (emit, lateness).prop_map(|(emit, lateness)| WindowSettings { emit, lateness, ..WindowSettings::default() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn emissions_add_up_to_the_sessions_of_sorted_and_cut_events(
        events in events(4, 160),
        settings in settings(),
        has_having in any::<bool>(),
        disorder in 0_i64..20,
        sizes in prop::collection::vec(1_usize..50, 1..6),
    ) {
        let plan = plan(&format!("{SQL}{}", if has_having { HAVING } else { "" }), settings);
        let watermarks = watermarks(&events, disorder * SECOND);
        let found = run(&plan, &events, &watermarks, &sizes, false).end();
        let late = expected_late(&events, &watermarks, settings.lateness);
        prop_assert_eq!(&found.late, &late);
        prop_assert_eq!(found.tables.late_rows(WindowIndex(0)), late.iter().filter(|late| **late).count() as u64);
        let mut expected = expected(&events, &late);
        expected.retain(|_, row| !has_having || passes(row));
        assert_same(&applied(&found.emissions), &expected);
        if settings.emit == Emit::OnClose && settings.lateness == 0 {
            prop_assert!(found.emissions.iter().all(|one| one.kind == EmissionKind::Final && !one.is_removal));
        }
    }

    #[test]
    fn emissions_depend_neither_on_steps_nor_on_saves(
        events in events(4, 160),
        settings in settings(),
        has_having in any::<bool>(),
        disorder in 0_i64..20,
        sizes in prop::collection::vec(1_usize..50, 1..6),
    ) {
        let plan = plan(&format!("{SQL}{}", if has_having { HAVING } else { "" }), settings);
        let watermarks = watermarks(&events, disorder * SECOND);
        let whole = run(&plan, &events, &watermarks, &[events.len()], false).end();
        for (sizes, saves) in [(sizes.as_slice(), false), (&[1], false), (sizes.as_slice(), true)] {
            let Run { emissions, late, .. } = run(&plan, &events, &watermarks, sizes, saves).end();
            prop_assert_eq!(seen(&emissions), seen(&whole.emissions));
            prop_assert_eq!(&late, &whole.late);
        }
    }
}
