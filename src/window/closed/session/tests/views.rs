//! Views: what they save is what the table was, whatever became of it.

use std::sync::Arc;

use proptest::prelude::*;

use super::model::{SQL, events, settings, watermarks};
use super::{Event, SECOND, batch, plan, seen};
use crate::snapshot::SectionWriter;
use crate::sql::Failures;
use crate::window::WindowIndex;
use crate::window::budget::Budget;
use crate::window::closed::session::SessionTable;
use crate::window::closed::session::sessions::Session;
use crate::window::closed::{Emission, WindowPlan, WindowSettings};
use crate::window::source::References;

const EXTREMES: &str = "SELECT user_id, count(*) AS events, sum(price) AS spent, max(price) AS dearest,
    count(DISTINCT item_id) AS items FROM clicks GROUP BY user_id, session(ts, '10 seconds')";

/// Bytes of a page with its counter.
const PAGE: usize = 2_048;

fn table(plan: &Arc<WindowPlan>) -> SessionTable {
    SessionTable::new(WindowIndex(0), Arc::clone(plan)).unwrap()
}

fn push(table: &mut SessionTable, events: &[Event], watermarks: &[i64]) -> Vec<Emission> {
    let (plan, mut failures, mut out) = (Arc::clone(&table.plan), Failures::default(), Vec::new());
    let rows = plan.source.rows("clicks", &batch(events), &References::default(), &mut failures).unwrap().unwrap();
    table.push(&rows, watermarks, &mut failures, &mut vec![true; events.len()], &mut out).unwrap();
    out
}

fn advance(table: &mut SessionTable, by: i64) -> Vec<Emission> {
    let mut out = Vec::new();
    table.advance(table.watermark.saturating_add(by), &mut out).unwrap();
    out
}

fn bytes(table: &SessionTable) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = SectionWriter::new(&mut bytes, "sessions", 0).unwrap();
    table.save(&mut writer).unwrap();
    writer.finish().unwrap();
    bytes
}

fn event(user: i64, second: i64) -> Event {
    Event { user, item: user % 7, kind: "view", price: Some(second as f64), ts: second * SECOND }
}

/// What happens after a step.
#[derive(Debug, Clone)]
enum Action {
    Nothing,
    View,
    Drop(prop::sample::Index),
    Advance(i64),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Nothing),
        4 => Just(Action::View),
        1 => any::<prop::sample::Index>().prop_map(Action::Drop),
        2 => (0_i64..200).prop_map(|seconds| Action::Advance(seconds * SECOND)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    /// Beside a table that nobody looks at.
    #[test]
    fn views_save_what_the_table_was_and_the_table_goes_on_as_if_there_were_none(
        events in prop_oneof![events(4, 160), events(60, 600)],
        settings in settings(),
        // At the lower limits keys are given up in most steps.
        limit in prop_oneof![Just(usize::MAX), 2_000_usize..60_000],
        disorder in 0_i64..20,
        steps in prop::collection::vec((1_usize..60, action()), 1..12),
    ) {
        let plan = plan(SQL, WindowSettings { budget: Budget::evict(limit), ..settings });
        let (mut viewed, mut alone) = (table(&plan), table(&plan));
        let watermarks = watermarks(&events, disorder * SECOND);
        let mut views: Vec<(SessionTable, Vec<u8>)> = Vec::new();
        let (mut first, mut steps) = (0, steps.iter().cycle());
        while first < events.len()
            && let Some((size, action)) = steps.next()
        {
            let end = events.len().min(first + size);
            let (events, watermarks) = (&events[first..end], &watermarks[first..end]);
            let emitted = push(&mut viewed, events, watermarks);
            prop_assert_eq!(seen(&emitted), seen(&push(&mut alone, events, watermarks)));
            match action {
                Action::Nothing => {}
                Action::View => views.push((viewed.share().unwrap(), bytes(&alone))),
                Action::Drop(view) => {
                    if !views.is_empty() {
                        views.swap_remove(view.index(views.len()));
                    }
                }
                Action::Advance(by) => {
                    let emitted = advance(&mut viewed, *by);
                    prop_assert_eq!(seen(&emitted), seen(&advance(&mut alone, *by)));
                }
            }
            first = end;
        }
        prop_assert!(bytes(&viewed) == bytes(&alone));
        prop_assert_eq!((viewed.size(), alone.take_copied()), (alone.size(), 0));
        advance(&mut viewed, i64::MAX);
        for (view, expected) in views {
            // Whoever saves it is another thread.
            let found = std::thread::spawn(move || bytes(&view)).join().unwrap();
            prop_assert!(found == expected);
        }
    }
}

#[test]
fn views_outlast_the_compaction_of_keys_and_rows() {
    let mut table = table(&plan(EXTREMES, WindowSettings::default()));
    let mut views = Vec::new();
    let (mut most, mut copied) = (0, 0);
    for step in 0..150 {
        // One user never pauses; the others come once.
        let events: Vec<Event> =
            (0..1_000).map(|number| event(if number % 50 == 0 { -1 } else { step * 1_000 + number }, step)).collect();
        push(&mut table, &events, &vec![(step - 1) * SECOND; events.len()]);
        most = most.max(table.keys.len());
        copied += table.take_copied();
        if step % 12 == 0 {
            views.push((bytes(&table), table.share().unwrap()));
        }
    }
    assert!(table.keys.len() < most, "{most} keys were never compacted");
    assert!(copied > 0);
    for (expected, view) in views {
        assert!(bytes(&view) == expected);
    }
}

#[test]
fn an_event_copies_a_page_of_each_kind_that_a_view_holds_and_none_without() {
    let mut table = table(&plan(EXTREMES, WindowSettings::default()));
    for step in 0..10 {
        let events: Vec<Event> = (0..2_000).map(|user| event(user, step)).collect();
        push(&mut table, &events, &[0; 2_000]);
    }
    assert_eq!(table.take_copied(), 0);
    let view = table.share().unwrap();
    assert_eq!(table.take_copied(), 0);
    push(&mut table, &[event(700, 11)], &[0]);
    // The session, its integers, its floats; the row is a new one.
    let copied = table.take_copied();
    assert!(copied > 0 && copied <= 3 * PAGE, "{copied} bytes");
    push(&mut table, &[event(700, 11)], &[0]);
    assert_eq!(table.take_copied(), 0, "the pages are the table's own");
    drop(view);
    push(&mut table, &[event(5, 11)], &[0]);
    assert_eq!(table.take_copied(), 0, "nobody holds them any more");
}

#[test]
fn what_is_given_up_at_the_limit_of_memory_counts_while_a_view_holds_it() {
    let limit = 1 << 20;
    let mut table =
        table(&plan(EXTREMES, WindowSettings { budget: Budget::evict(limit), ..WindowSettings::default() }));
    let (mut users, mut view) = (0, None);
    while table.evicted_keys() == 0 {
        view = Some((users as usize, bytes(&table), table.share().unwrap()));
        let events: Vec<Event> = (users..users + 100).map(|user| event(user, 0)).collect();
        table.take_copied();
        push(&mut table, &events, &[0; 100]);
        users += 100;
    }
    let (held, expected, view) = view.unwrap();
    let (sessions, rows) = (table.sessions.take_copied(), table.evaluated.take_copied());
    assert!(sessions > held * size_of::<Session>() && rows >= held * size_of::<u64>(), "{sessions} and {rows} bytes");
    assert!(bytes(&view) == expected);
}
