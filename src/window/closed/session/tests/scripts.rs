//! Single behaviours: events and watermarks in, rows out.

use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{Event, Run, SECOND, plan, run, saved};
use crate::time::EventTime;
use crate::window::WindowIndex;
use crate::window::budget::Budget;
use crate::window::closed::{Emission, Emit, WindowSettings, WindowTables};

const COUNTS: &str = "SELECT user_id, count(*) AS events FROM clicks GROUP BY user_id, session(ts, '10 seconds')";

fn event(user: i64, second: i64) -> Event {
    Event { user, item: second, kind: "view", price: Some(second as f64), ts: second * SECOND }
}

/// Runs `(user, second, watermark after it)` and then to the end.
fn script(sql: &str, settings: WindowSettings, steps: &[(i64, i64, i64)]) -> Vec<String> {
    let plan = plan(sql, settings);
    let events: Vec<Event> = steps.iter().map(|(user, second, _)| event(*user, *second)).collect();
    let watermarks: Vec<i64> = steps.iter().map(|(.., watermark)| watermark * SECOND).collect();
    let found = run(&plan, &events, &watermarks, &[1], true).end();
    lines(&found.emissions)
}

/// A line per row: what, when, the window in seconds, the columns.
fn lines(emissions: &[Emission]) -> Vec<String> {
    let mut lines = Vec::new();
    for emission in emissions {
        let options = FormatOptions::default().with_null("NULL");
        let columns: Vec<_> =
            emission.rows.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for (row, (start, end)) in emission.windows.iter().enumerate() {
            let values: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            let sign = if emission.is_removal { "-" } else { "+" };
            let at = if emission.at == EventTime::END {
                "end".to_owned()
            } else {
                (emission.at.micros() / SECOND).to_string()
            };
            let kind = emission.kind.as_str();
            lines.push(format!("{sign}{kind}@{at} [{}, {}) {}", start / SECOND, end / SECOND, values.join(" ")));
        }
    }
    lines
}

#[test]
fn events_a_gap_apart_are_two_sessions_and_a_little_less_is_one() {
    let found = script(COUNTS, WindowSettings::default(), &[(1, 0, 0), (1, 9, 9), (1, 19, 19)]);
    assert_eq!(found, ["+final@19 [0, 19) 1 2", "+final@29 [19, 29) 1 1"]);
}

#[test]
fn an_event_in_between_joins_two_sessions() {
    let found = script(COUNTS, WindowSettings::default(), &[(1, 0, 0), (1, 18, 5), (1, 9, 6), (2, 50, 50)]);
    assert_eq!(found, ["+final@28 [0, 28) 1 3", "+final@60 [50, 60) 2 1"]);
}

#[test]
fn an_event_of_a_final_session_is_late_and_the_session_stays() {
    let plan = plan(COUNTS, WindowSettings::default());
    let events = [event(1, 0), event(2, 12), event(1, 8), event(1, 10)];
    let watermarks = [0, 12, 12, 12].map(|second| second * SECOND);
    let found = run(&plan, &events, &watermarks, &[4], false).end();
    assert_eq!(found.late, [false, false, true, false]);
    assert_eq!(lines(&found.emissions), ["+final@10 [0, 10) 1 1", "+final@20 [10, 20) 1 1", "+final@22 [12, 22) 2 1"]);
}

#[test]
fn within_the_lateness_a_closed_session_opens_again_and_its_row_is_removed() {
    let settings = WindowSettings { lateness: 20 * SECOND, ..WindowSettings::default() };
    let found = script(COUNTS, settings, &[(1, 0, 0), (2, 12, 12), (1, 8, 12), (2, 14, 14)]);
    assert_eq!(
        found,
        ["+final@10 [0, 10) 1 1", "-late@14 [0, 10) 1 NULL", "+final@18 [0, 18) 1 2", "+final@24 [12, 24) 2 2"]
    );
}

#[test]
fn within_the_lateness_a_closed_session_that_stays_closed_is_emitted_again() {
    let settings = WindowSettings { lateness: 20 * SECOND, ..WindowSettings::default() };
    let steps = [(1, 0, 0), (2, 25, 25), (1, -2, 25), (1, 1, 25), (1, 0, 25), (2, 26, 26)];
    let found = script(COUNTS, settings, &steps);
    let expected =
        ["+final@10 [0, 10) 1 1", "-late@26 [0, 10) 1 NULL", "+late@26 [-2, 11) 1 4", "+final@36 [25, 36) 2 2"];
    assert_eq!(found, expected);
}

#[test]
fn early_rows_follow_a_session_as_it_grows() {
    let settings = WindowSettings { emit: Emit::Early { every: 5 * SECOND }, ..WindowSettings::default() };
    let found = script(COUNTS, settings, &[(1, 0, 0), (1, 4, 4), (1, 6, 6), (1, 5, 7), (1, 12, 12), (2, 30, 30)]);
    assert_eq!(
        found,
        [
            "+early@0 [0, 10) 1 1",
            "-early@6 [0, 10) 1 NULL",
            "+early@5 [0, 16) 1 3",
            "-early@12 [0, 16) 1 NULL",
            "+early@10 [0, 22) 1 5",
            "+final@22 [0, 22) 1 5",
            "+early@30 [30, 40) 2 1",
            "+final@40 [30, 40) 2 1"
        ]
    );
}

#[test]
fn on_update_does_not_say_again_what_has_not_changed() {
    let settings = WindowSettings { emit: Emit::OnUpdate { every: 5 * SECOND }, ..WindowSettings::default() };
    let found = script(COUNTS, settings, &[(1, 0, 0), (1, 1, 5), (2, 30, 30)]);
    assert_eq!(
        found,
        ["+early@0 [0, 10) 1 1", "-early@5 [0, 10) 1 NULL", "+early@5 [0, 11) 1 2", "+early@30 [30, 40) 2 1"]
    );
}

#[test]
fn bounds_are_columns_of_expressions_and_having_sees_the_session() {
    let sql = "SELECT user_id, window_end - window_start AS length, date_part('second', window_start) AS second,
        max(item_id) - min(item_id) AS span, 10 / count(*) AS share
        FROM clicks GROUP BY user_id, session(ts, '10 seconds')
        HAVING count(*) > 1 AND window_end - window_start > INTERVAL '12 seconds'";
    let found = script(sql, WindowSettings::default(), &[(1, 0, 0), (1, 5, 5), (2, 6, 6), (3, 7, 7), (3, 8, 8)]);
    assert_eq!(found, ["+final@15 [0, 15) 1 PT15S 0 5 5"]);
}

#[test]
fn a_removal_does_not_evaluate_expressions_over_nothing() {
    let sql = "SELECT user_id, 10 / count(*) AS share, coalesce(max(item_id), 0) AS newest
        FROM clicks GROUP BY user_id, session(ts, '10 seconds')";
    let settings = WindowSettings { lateness: 20 * SECOND, ..WindowSettings::default() };
    let found = script(sql, settings, &[(1, 0, 0), (2, 12, 12), (1, 8, 12)]);
    assert!(found.contains(&"-late@end [0, 10) 1 NULL 0".to_owned()), "{found:?}");
}

#[test]
fn a_table_without_keys_has_sessions_of_everything() {
    let sql = "SELECT window_start, count(*) AS events FROM clicks GROUP BY session(ts, '10 seconds')";
    let settings = WindowSettings { lateness: 20 * SECOND, ..WindowSettings::default() };
    let found = script(sql, settings, &[(1, 0, 0), (2, 5, 5), (3, 15, 15), (3, 14, 16)]);
    assert_eq!(
        found,
        [
            "+final@15 [0, 15) 1970-01-01T00:00:00Z 2",
            "-late@16 [0, 15) 1970-01-01T00:00:00Z NULL",
            "+final@25 [0, 25) 1970-01-01T00:00:00Z 4"
        ]
    );
}

/// `coalesce` is an expression of SQL alone: where it was not rewritten, every event failed.
#[test]
fn functions_that_exist_only_in_sql_are_arguments_and_conditions_of_any_aggregate() {
    let sql = "SELECT max(coalesce(nullif(item_id, 5), 9)) AS most,
        min(price) FILTER (WHERE coalesce(item_id, 0) > 4) AS least, count(DISTINCT coalesce(item_id, 0)) AS items
        FROM clicks GROUP BY session(ts, '10 seconds')";
    assert_eq!(script(sql, WindowSettings::default(), &[(1, 1, 1), (1, 5, 5)]), ["+final@15 [1, 15) 9 5.0 2"]);
}

#[test]
fn a_sum_that_is_infinite_is_no_number_of_a_row() {
    let sql = "SELECT sum(price * 1e308 * 10) AS total FROM clicks GROUP BY session(ts, '10 seconds')";
    assert_eq!(script(sql, WindowSettings::default(), &[(1, 1, 1), (1, 2, 2)]), ["+final@12 [1, 12) NULL"]);
}

#[test]
fn rows_that_no_session_has_any_more_are_given_up() {
    let sql = "SELECT user_id, max(price) AS dearest, count(DISTINCT item_id) AS items
        FROM clicks GROUP BY user_id, session(ts, '10 seconds')";
    let plan = plan(sql, WindowSettings::default());
    let mut tables = WindowTables::new(vec![plan]).unwrap();
    let (mut most, mut rows) = (0, 0);
    for step in 0..200 {
        // One user never pauses; the others come once.
        let events: Vec<Event> = (0..1_000)
            .map(|number| {
                let (user, second) = if number % 50 == 0 { (-1, step) } else { (step * 1_000 + number, step) };
                event(user, second)
            })
            .collect();
        let watermarks = vec![(step - 1) * SECOND; events.len()];
        let mut out = Vec::new();
        tables
            .push(
                "clicks",
                &super::batch(&events),
                &watermarks.iter().copied().map(EventTime).collect::<Vec<_>>(),
                &mut vec![true; events.len()],
                &mut out,
            )
            .unwrap();
        rows += out.iter().map(|one| one.rows.num_rows()).sum::<usize>();
        most = most.max(tables.size());
        if step % 50 == 49 {
            tables = saved(&tables);
        }
    }
    let mut out = Vec::new();
    tables.advance("clicks", Some(EventTime::END), &mut out).unwrap();
    rows += out.iter().map(|one| one.rows.num_rows()).sum::<usize>();
    assert_eq!(rows, 200 * 980 + 1);
    let last = values(&out.last().unwrap().rows);
    assert_eq!(last.iter().filter(|row| row.starts_with('-')).collect::<Vec<_>>(), ["-1 199.0 200"]);
    // Eleven seconds of events are open: about 11,000 sessions and rows, and the rows tolerated beyond them; keys that are
    // not compacted yet are most of it.
    assert!(most < 16 << 20, "{most} bytes");
}

fn values(rows: &arrow::array::RecordBatch) -> Vec<String> {
    let options = FormatOptions::default();
    let columns: Vec<_> =
        rows.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    (0..rows.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn at_the_limit_of_memory_the_coldest_keys_go_and_are_counted() {
    let sql = "SELECT user_id, max(price) AS dearest FROM clicks GROUP BY user_id, session(ts, '1 hour')";
    let limit = 1 << 20;
    let settings = WindowSettings { budget: Budget::evict(limit), ..WindowSettings::default() };
    let plan = plan(sql, settings);
    let events: Vec<Event> = (0..20_000).map(|number| event(number, number / 100)).collect();
    let Run { mut tables, .. } = run(&plan, &events, &vec![0; events.len()], &[500], false);
    assert!(tables.size() <= limit, "{} bytes", tables.size());
    assert!(tables.evicted_keys(WindowIndex(0)) > 0);
    let mut out = Vec::new();
    tables.advance("clicks", Some(EventTime::END), &mut out).unwrap();
    let kept: usize = out.iter().map(|one| one.rows.num_rows()).sum();
    assert_eq!(kept as u64 + tables.evicted_keys(WindowIndex(0)), 20_000);
    let newest = values(&out.last().unwrap().rows);
    assert_eq!(newest.last().unwrap(), "19999 199.0");
}

#[test]
fn at_the_limit_of_memory_a_table_may_stop() {
    let settings = WindowSettings { budget: Budget::stop(100), ..WindowSettings::default() };
    let mut tables = WindowTables::new(vec![plan(COUNTS, settings)]).unwrap();
    let pushed = tables.push("clicks", &super::batch(&[event(1, 1)]), &[EventTime(0)], &mut [true], &mut Vec::new());
    assert!(pushed.unwrap_err().to_string().contains("feature table `sessions` needs"));
}
