//! Tables of windows on generated scripts: any events, windows, rules, cuts and restarts give what the oracle says.
//!
//! A case is the text of a script (see [`scripts`](crate::scripts)), so one that fails can be read and kept as it is.

use std::fmt::Write;

use proptest::prelude::*;

use crate::scripts::{MODES, Script, check};

/// Columns of a table; keys come first.
const COLUMNS: [&str; 10] = [
    "count(*) AS n",
    "sum(item_id) AS items",
    "sum(price) AS spent, avg(price) AS mean",
    "count(DISTINCT item_id) AS different",
    "count(DISTINCT kind) AS kinds, max(kind) AS last_kind",
    "min(price) AS least, stddev(price) AS spread",
    "count(*) FILTER (WHERE kind = 'buy') AS buys, sum(price) FILTER (WHERE kind = 'buy') AS paid",
    "count(DISTINCT item_id) FILTER (WHERE kind = 'buy') AS bought",
    "last_n(item_id, 3) AS last, first_n(item_id, 2) AS first",
    "top_k(item_id, 2) AS top, median(item_id) AS middle",
];

const KEYS: [&str; 4] = ["user_id", "", "user_id, kind", "kind"];

const FILTERS: [&str; 3] = ["", "WHERE item_id > 1", "WHERE kind <> 'buy'"];

const HAVINGS: [&str; 3] = ["", "HAVING count(*) > 1", "HAVING sum(item_id) % 3 > 0"];

/// A window, of units of time.
fn windows() -> impl Strategy<Value = String> {
    let unit = prop_oneof![3 => Just(1_000_000_i64), 1 => Just(1_000), 1 => Just(7), 1 => Just(60_000_000)];
    (0..4, 1_i64..12, 1_i64..6, unit).prop_map(|(kind, slide, times, unit)| {
        let us = |micros: i64| format!("'{micros}us'");
        let (slide, size) = (slide * unit, slide * unit * times);
        match kind {
            0 => format!("tumble(ts, {})", us(slide)),
            1 => format!("hop(ts, {}, {})", us(slide), us(size)),
            2 => format!("cumulate(ts, {}, {})", us(slide), us(size)),
            _ => format!("session(ts, {})", us(slide)),
        }
    })
}

fn rules() -> impl Strategy<Value = String> {
    let every = prop_oneof![Just("1s"), Just("3s"), Just("250ms"), Just("1m")];
    let lateness =
        prop_oneof![3 => Just(""), 1 => Just(" lateness 2s"), 1 => Just(" lateness 30s"), 1 => Just(" lateness 900ms")];
    (0..3, every, lateness).prop_map(|(rule, every, lateness)| match rule {
        0 => format!("on close{lateness}"),
        1 => format!("on update every {every}{lateness}"),
        _ => format!("early every {every}{lateness}"),
    })
}

fn tables() -> impl Strategy<Value = String> {
    let columns = prop::sample::subsequence(&COLUMNS[..], 1..5);
    let filter = prop_oneof![3 => Just(0_usize), 1 => 1_usize..FILTERS.len()];
    let key = prop_oneof![3 => Just(0_usize), 1 => 1_usize..KEYS.len()];
    let having = prop_oneof![3 => Just(0_usize), 1 => 1_usize..HAVINGS.len()];
    (rules(), columns, key, windows(), filter, having).prop_map(|(rule, columns, key, window, filter, having)| {
        let comma = if KEYS[key].is_empty() { "" } else { ", " };
        format!(
            "{rule}\n  SELECT {key}{comma}{}\n  FROM clicks {} GROUP BY {key}{comma}{window} {}\n",
            columns.join(", "),
            FILTERS[filter],
            HAVINGS[having],
            key = KEYS[key],
        )
    })
}

/// One step: the lines of a script, given the time so far.
#[derive(Debug, Clone)]
enum Happening {
    Event { gap: i64, back: i64, user: Option<i64>, item: Option<i64>, kind: &'static str, price: Option<i64> },
    Watermark { ahead: i64 },
    Idle,
    Restart,
}

fn happenings() -> impl Strategy<Value = Happening> {
    let gap = prop_oneof![5 => 0_i64..2_000_000, 2 => Just(0), 2 => 0_i64..40_000, 1 => 0_i64..90_000_000];
    let back = prop_oneof![5 => Just(0_i64), 3 => 0_i64..3_000_000, 1 => 0_i64..60_000_000];
    let kind = prop_oneof![3 => Just("view"), 1 => Just("buy"), 1 => Just("")];
    let some = |most: i64| prop_oneof![9 => (0..most).prop_map(Some), 1 => Just(None)];
    let event = (gap, back, some(4), some(6), kind, some(1_000))
        .prop_map(|(gap, back, user, item, kind, price)| Happening::Event { gap, back, user, item, kind, price });
    prop_oneof![
        40 => event,
        2 => (-20_000_000_i64..20_000_000).prop_map(|ahead| Happening::Watermark { ahead }),
        1 => Just(Happening::Idle),
        2 => Just(Happening::Restart),
    ]
}

fn text(start: i64, disorder: i64, tables: &[String], happenings: &[Happening]) -> String {
    let mut text = format!("# Generated.\n\nstream clicks disorder {disorder}us\n\n");
    for (number, table) in tables.iter().enumerate() {
        writeln!(text, "table t{number} {table}").unwrap();
    }
    let (mut now, mut in_events) = (start, false);
    let shown = |value: &Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
    for happening in happenings {
        let line = match happening {
            Happening::Event { gap, back, user, item, kind, price } => {
                now += gap;
                if !in_events {
                    text.push_str("clicks\n");
                }
                let price = price.map(|price| (price as f64 / 8.0).to_string()).unwrap_or_default();
                format!("  {}us, {}, {}, {kind}, {price}", now - back, shown(user), shown(item))
            }
            Happening::Watermark { ahead } => format!("clicks watermark {}us", now + ahead - 20_000_000),
            Happening::Idle => "clicks idle".to_owned(),
            Happening::Restart => "restart".to_owned(),
        };
        in_events = matches!(happening, Happening::Event { .. });
        text.push_str(&line);
        text.push('\n');
    }
    text + "end\n"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn generated_scripts_equal_the_oracle_however_they_are_cut(
        start in prop_oneof![Just(0_i64), Just(-30_000_000), Just(1_700_000_000_000_000), -90_000_000_i64..90_000_000],
        disorder in prop_oneof![Just(0_i64), 0_i64..5_000_000, 0_i64..60_000_000],
        tables in prop::collection::vec(tables(), 1..4),
        happenings in prop::collection::vec(happenings(), 1..60),
    ) {
        let text = text(start, disorder, &tables, &happenings);
        let script = Script::parse("generated", &text);
        let (problems, _) = check(&script);
        // The file has no expected lines: what the first run gives is compared with the other runs and the oracle only.
        let is_wrong = |problem: &&String| problem.starts_with("oracle") || MODES[1..].iter().any(|mode| problem.starts_with(&mode.to_string()));
        let wrong: Vec<&String> = problems.iter().filter(is_wrong).take(5).collect();
        prop_assert!(wrong.is_empty(), "{text}\n{wrong:#?}");
    }
}
