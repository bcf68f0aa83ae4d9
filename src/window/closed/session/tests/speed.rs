//! What sessions cost; run by hand.

use rustix::time::{ClockId, clock_gettime};

use super::{Event, SECOND, batch, plan};
use crate::time::EventTime;
use crate::window::closed::{Emit, WindowSettings, WindowTables};

/// Time of this thread on a core, seconds: the machine may be busy.
fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn measure(name: &str, sql: &str, settings: WindowSettings, rows: i64, users: i64) {
    let plan = plan(sql, settings);
    let mut tables = WindowTables::new(vec![plan]).unwrap();
    let mut seed = 42_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as i64
    };
    let kinds = ["view", "view", "view", "cart", "buy"];
    // 10,000 events a second; a few seconds of disorder.
    let events: Vec<Event> = (0..rows)
        .map(|number| Event {
            user: random() % users,
            item: random() % 10_000,
            kind: kinds[(random() % 5) as usize],
            price: Some((random() % 1_000) as f64),
            ts: number * 100 - random() % (2 * SECOND),
        })
        .collect();
    let mut newest = i64::MIN;
    let mut steps = Vec::new();
    for events in events.chunks(8_192) {
        let watermarks: Vec<i64> = events
            .iter()
            .map(|event| {
                newest = event.ts.max(newest);
                newest - 2 * SECOND
            })
            .collect();
        steps.push((batch(events), watermarks));
    }
    let (mut out, mut emitted, mut emissions, mut size) = (Vec::new(), 0, 0, 0);
    let start = now();
    for (events, watermarks) in &steps {
        let mut late = vec![true; events.num_rows()];
        tables
            .push("clicks", events, &watermarks.iter().copied().map(EventTime).collect::<Vec<_>>(), &mut late, &mut out)
            .unwrap();
        emissions += out.len();
        emitted += out.drain(..).map(|one| one.rows.num_rows()).sum::<usize>();
    }
    let taken = now() - start;
    size = size.max(tables.size());
    let end = now();
    tables.advance("clicks", Some(EventTime::END), &mut out).unwrap();
    emissions += out.len();
    emitted += out.drain(..).map(|one| one.rows.num_rows()).sum::<usize>();
    println!(
        "{name}: {:.2} M rows/s, {emitted} rows in {emissions} emissions, {} MB, {:.0} ms at the end",
        rows as f64 / taken / 1e6,
        size >> 20,
        (now() - end) * 1e3,
    );
}

#[test]
#[ignore = "a measurement"]
fn speed_of_sessions() {
    let counts = "SELECT user_id, window_start, window_end, count(*) AS events, sum(price) AS spent
        FROM clicks GROUP BY user_id, session(ts, '30 seconds')";
    let all =
        "SELECT user_id, window_start, window_end, count(*) AS events, sum(price) AS spent, max(price) AS dearest,
        count(DISTINCT item_id) AS items FROM clicks GROUP BY user_id, session(ts, '30 seconds')";
    for (name, settings) in [
        ("on close", WindowSettings::default()),
        ("on close, late 10 s", WindowSettings { lateness: 10 * SECOND, ..WindowSettings::default() }),
        ("on update 10 s", WindowSettings { emit: Emit::OnUpdate { every: 10 * SECOND }, ..WindowSettings::default() }),
    ] {
        for users in [10_000, 100_000, 1_000_000] {
            measure(&format!("counts, {users} users, {name}"), counts, settings, 2_000_000, users);
            measure(&format!("all, {users} users, {name}"), all, settings, 2_000_000, users);
        }
    }
}
