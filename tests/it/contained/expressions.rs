//! An expression that fails on one event or one row costs that event or row, wherever an expression can stand.

use std::sync::Arc;

use serde_json::json;
use tidewheel::bus::{Message, StreamSequence};
use tidewheel::pipeline::{StreamIndex, TableIndex};
use tidewheel::step::{FAILED, Step, StepError};

use super::Kind;
use super::events::{
    ALWAYS, EVENTS, SIZES, bad, event as event_of, events, failed_in, good_events, message, of_table, pipeline, scoring,
};
use crate::restart::passage::{Out, pass};

impl Kind {
    /// Integers that cannot be computed of a bad event, and what the reason says in small letters.
    pub fn expressions(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::ZeroDivision => &[("10 / quantity", "divide by zero"), ("11 % quantity", "divide by zero")],
            Self::Overflow => &[
                ("big * big * big % 50", "overflow"),
                ("(9223372036000000000 + big) % 50", "overflow"),
                ("(-9223372036000000000 - big) % 50 + 50", "overflow"),
            ],
            Self::NotFinite => &[("CAST(sqrt(price) AS BIGINT)", "sqrt"), ("CAST(exp(big / 100) AS BIGINT)", "exp")],
            Self::OutOfRange => &[
                ("CAST(CAST(big AS INT) % 50 AS BIGINT)", "can't cast value 3000000000 to type int32"),
                ("CAST(note AS BIGINT)", "cannot cast string 'many' to value of int64 type"),
            ],
            Self::TooLarge | Self::WrongShape => &[],
        }
    }

    /// The same over the largest of a row's values, and what fails only where they are put together.
    pub fn of_rows(self) -> Vec<(String, &'static str)> {
        let columns = ["quantity", "big", "note", "price"];
        let over = |expression: &str| {
            columns.iter().fold(expression.to_owned(), |over, name| over.replace(name, &format!("max({name})")))
        };
        let mut of_rows: Vec<_> = self.expressions().iter().map(|(one, reason)| (over(one), *reason)).collect();
        if self == Self::Overflow {
            of_rows.push(("sum(big * 3000000000)".to_owned(), "beyond a 64-bit integer"));
        }
        of_rows
    }
}

/// Whether a dead letter says why.
pub fn says(letter: &str, reason: &str) -> bool {
    letter.to_lowercase().contains(reason)
}

/// Places of a table where an expression meets events; `{e}` is the expression.
const EVENT_PLACES: [(&str, &str); 16] = [
    ("WHERE", "SELECT user_id, count(*) AS n FROM clicks WHERE {e} > 0 GROUP BY user_id"),
    ("key", "SELECT {e} AS k, count(*) AS n FROM clicks GROUP BY {e}"),
    ("FILTER", "SELECT user_id, count(*) FILTER (WHERE {e} > 0) AS n FROM clicks GROUP BY user_id"),
    ("sum", "SELECT user_id, sum({e}) AS n, count(*) AS all FROM clicks GROUP BY user_id"),
    ("distinct", "SELECT user_id, count(DISTINCT {e}) AS n, count(*) AS all FROM clicks GROUP BY user_id"),
    ("last", "SELECT user_id, array_length(last_n({e}, 9)) AS n FROM clicks GROUP BY user_id"),
    ("merged", "SELECT user_id, max(CAST({e} AS VARCHAR)) AS n, count(*) AS all FROM clicks GROUP BY user_id"),
    (
        "window WHERE",
        "SELECT user_id, count(*) AS n FROM clicks WHERE {e} > 0 GROUP BY user_id, tumble(ts, '10 seconds')",
    ),
    ("window key", "SELECT {e} AS k, count(*) AS n FROM clicks GROUP BY {e}, tumble(ts, '10 seconds')"),
    (
        "window FILTER",
        "SELECT user_id, count(*) FILTER (WHERE {e} > 0) AS n FROM clicks GROUP BY user_id, hop(ts, '5 seconds', '10 seconds')",
    ),
    (
        "window sum",
        "SELECT user_id, sum({e}) AS n, count(*) AS all FROM clicks GROUP BY user_id, tumble(ts, '10 seconds')",
    ),
    (
        "window distinct",
        "SELECT user_id, count(DISTINCT {e}) AS n FROM clicks GROUP BY user_id, tumble(ts, '10 seconds')",
    ),
    (
        "window merged",
        "SELECT user_id, max(CAST({e} AS VARCHAR)) AS n FROM clicks GROUP BY user_id, tumble(ts, '10 seconds')",
    ),
    (
        "session sum",
        "SELECT user_id, sum({e}) AS n, count(*) AS all FROM clicks GROUP BY user_id, session(ts, '4 seconds')",
    ),
    (
        "session FILTER",
        "SELECT user_id, count(*) FILTER (WHERE {e} > 0) AS n FROM clicks GROUP BY user_id, session(ts, '4 seconds')",
    ),
    (
        "inner select",
        "SELECT user_id, sum(v) AS n FROM (SELECT user_id, ts, {e} AS v FROM clicks) c GROUP BY user_id, tumble(ts, '10 seconds')",
    ),
];

/// So many of the events make rows: enough that the bad ones of each row are beyond a 64-bit integer together.
const ROW_EVENTS: usize = 57;

/// Places of a table where an expression meets aggregates: `{e}` is over the maxima of the events' columns.
const ROW_PLACES: [(&str, &str); 4] = [
    ("HAVING", "SELECT user_id, count(*) AS n FROM clicks GROUP BY user_id, tumble(ts, '10 seconds') HAVING {e} > 0"),
    ("column", "SELECT user_id, {e} AS n FROM clicks GROUP BY user_id, tumble(ts, '10 seconds')"),
    ("session column", "SELECT user_id, {e} AS n FROM clicks GROUP BY user_id, session(ts, '4 seconds')"),
    (
        "session HAVING",
        "SELECT user_id, count(*) AS n FROM clicks GROUP BY user_id, session(ts, '4 seconds') HAVING {e} > 0",
    ),
];

pub fn event(kind: Kind) {
    let (all, good) = (events(), good_events());
    for (expression, reason) in kind.expressions() {
        for (place, select) in EVENT_PLACES {
            let what = format!("{expression} in {place}");
            let folder = tempfile::tempdir().unwrap();
            let failing = select.replace("{e}", expression);
            let counts = "SELECT user_id, count(*) AS n, min(quantity) AS least FROM clicks GROUP BY user_id";
            let files = [("features/a.sql", failing.as_str()), ("features/b.sql", counts)];
            let pipeline = pipeline(folder.path(), "", &files);
            let without = pass(&pipeline, &good, EVENTS);
            let found = pass(&pipeline, &all, EVENTS);
            assert_eq!(found.counts[&0], [EVENTS as u64, 0, 0, 0], "{what}: every event counts");
            assert_eq!(of_table(&found, 0), of_table(&without, 0), "{what}");
            let neighbour = of_table(&found, 1).1;
            assert_eq!(neighbour, ["0 20 0", "1 20 0", "2 20 0"], "{what}: the neighbour has all");
            let bad = bad();
            assert_eq!(found.dead.len(), bad.len(), "{what}: {:?}", found.dead);
            assert_eq!(failed_in(&found, "table `a`: "), bad.len() as u64, "{what}: {:?}", found.failed);
            for (letter, number) in sorted(&found.dead).into_iter().zip(bad) {
                let place = format!("StreamSequence({}), \"{FAILED}\")", number + 1);
                assert!(letter.contains(&place) && letter.contains("table `a`: `"), "{what}: {letter}");
                assert!(says(letter, reason) && letter.contains("the table leaves the event out"), "{what}: {letter}");
                assert!(letter.contains("guard it with CASE"), "{what}: {letter}");
            }
            in_other_steps(&what, &found, |size| pass(&pipeline, &all, size));
        }
    }
}

/// The same in steps of all sizes.
pub fn in_other_steps(what: &str, found: &Out, pass: impl Fn(usize) -> Out) {
    for size in SIZES {
        assert_eq!(&pass(size), found, "{what} in steps of {size}");
    }
}

/// By the number of the message.
fn sorted(dead: &[String]) -> Vec<&String> {
    let number = |letter: &str| -> u64 {
        let from = letter.find("StreamSequence(").unwrap() + "StreamSequence(".len();
        letter[from..].split(')').next().unwrap().parse().unwrap()
    };
    let mut dead: Vec<_> = dead.iter().collect();
    dead.sort_by_key(|letter| number(letter));
    dead
}

#[test]
fn what_where_case_or_filter_keeps_from_an_expression_does_not_fail() {
    let all = events();
    for select in [
        "SELECT user_id, sum(10 / quantity) AS n FROM clicks WHERE quantity > 0 GROUP BY user_id",
        "SELECT user_id, sum(10 / quantity) FILTER (WHERE quantity > 0) AS n FROM clicks GROUP BY user_id",
        "SELECT user_id, max(CAST(10 / quantity AS VARCHAR)) FILTER (WHERE quantity > 0) AS n FROM clicks GROUP BY user_id",
        "SELECT user_id, sum(CASE WHEN quantity > 0 THEN 10 / quantity END) AS n FROM clicks GROUP BY user_id",
        "SELECT user_id, sum(10 / quantity) AS n FROM clicks WHERE quantity > 0 GROUP BY user_id, tumble(ts, '10 seconds')",
        "SELECT user_id, sum(10 / quantity) FILTER (WHERE quantity > 0) AS n FROM clicks GROUP BY user_id, tumble(ts, '10 seconds')",
        "SELECT user_id, count(*) AS n FROM clicks WHERE quantity <> 0 AND 10 / quantity > 2 GROUP BY user_id",
        "SELECT user_id, max(10 / quantity) FILTER (WHERE quantity > 0) AS n FROM clicks GROUP BY user_id, session(ts, '4 seconds')",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let pipeline = pipeline(folder.path(), "", &[("features/a.sql", select)]);
        let found = pass(&pipeline, &all, EVENTS);
        assert!(found.dead.is_empty(), "{select}: {:?}", found.dead);
        assert_eq!(pass(&pipeline, &all, 1), found, "{select}");
    }
}

pub fn row(kind: Kind) {
    // All events of users 5 and 7 are bad, none of the others; the last one closes every window.
    let user = |number: usize| [1, 5, 2, 7][number % 4];
    let last = event_of(EVENTS + 100, 1, false);
    let all: Vec<Message> =
        (0..ROW_EVENTS).map(|number| event_of(number, user(number), user(number) >= 5)).chain([last.clone()]).collect();
    let good: Vec<Message> =
        (0..ROW_EVENTS).filter(|number| user(*number) < 5).map(|number| all[number].clone()).chain([last]).collect();
    for (expression, reason) in kind.of_rows() {
        for (place, select) in ROW_PLACES {
            let what = format!("{expression} in {place}");
            let folder = tempfile::tempdir().unwrap();
            let select = select.replace("{e}", &expression);
            let pipeline = pipeline(folder.path(), "", &[("features/a.sql", &select)]);
            let (found, without) = (pass(&pipeline, &all, EVENTS), pass(&pipeline, &good, EVENTS));
            assert_eq!(of_table(&found, 0), of_table(&without, 0), "{what}");
            assert!(!found.emissions.is_empty() && without.dead.is_empty(), "{what}");
            // Two people in four windows of ten seconds; a session lasts while they come.
            let expected = if place.starts_with("session") { 2 } else { 8 };
            assert_eq!(found.dead.len(), expected, "{what}: {:?}", found.dead);
            assert_eq!(failed_in(&found, "table `a`: "), expected as u64, "{what}: {:?}", found.failed);
            for letter in &found.dead {
                assert!(says(letter, reason) && letter.contains("the row is left out"), "{what}: {letter}");
                assert!(letter.contains("user_id"), "{what}: its values are there: {letter}");
            }
            in_other_steps(&what, &found, |size| pass(&pipeline, &all, size));
        }
    }
}

/// Conditions stand beside a table that bad events add nothing to, so that vectors are the same without them.
const ADDS: &str = "SELECT user_id, sum(quantity) AS n FROM clicks GROUP BY user_id";
const VECTOR: &str = "SELECT coalesce(a.n, 0) AS n FROM requests r LEFT JOIN a ON r.user_id = a.user_id";

pub fn on(kind: Kind) {
    for (expression, reason) in kind.expressions() {
        let settings = scoring(&format!("{expression} >= 0"));
        condition(&settings, "[score] on: ", (expression, reason));
    }
}

pub fn positive(kind: Kind) {
    for (expression, reason) in kind.expressions() {
        let labels = format!(
            "\n[labels]\nstream = \"clicks\"\njoin = [\"user_id\"]\npositive = \"{expression} >= 0\"\nwindow = \"5s\"\n"
        );
        condition(&(scoring(ALWAYS) + &labels), "[labels] positive: ", (expression, reason));
    }
}

fn condition(settings: &str, owner: &str, (expression, reason): (&str, &str)) {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = pipeline(folder.path(), settings, &[("features/a.sql", ADDS), ("vector.sql", VECTOR)]);
    let (all, good) = (events(), good_events());
    let (found, without) = (pass(&pipeline, &all, EVENTS), pass(&pipeline, &good, EVENTS));
    let bad = bad();
    assert_eq!(found.dead.len(), bad.len(), "{expression}: {:?}", found.dead);
    assert_eq!(failed_in(&found, owner), bad.len() as u64, "{expression}: {:?}", found.failed);
    for (letter, number) in sorted(&found.dead).into_iter().zip(&bad) {
        let place = format!("StreamSequence({}), \"{FAILED}\") {owner}`", number + 1);
        assert!(letter.contains(&place) && says(letter, reason), "{expression}: {letter}");
    }
    let is_of_good =
        |line: &&String| !bad.iter().any(|number| line.contains(&format!("StreamSequence({})", number + 1)));
    let of_good = |lines: &[String]| -> Vec<String> { lines.iter().filter(is_of_good).cloned().collect() };
    assert_eq!(of_good(&found.feedback), of_good(&without.feedback), "{expression}");
    let positives = |out: &Out| out.feedback.iter().filter(|line| !line.starts_with('(')).count();
    assert_eq!(positives(&found), positives(&without), "{expression}: a bad one is no positive");
    if owner.starts_with("[score]") {
        assert_eq!((&found.vectors, &found.described), (&without.vectors, &without.described), "{expression}");
        assert_eq!(found.vectors.len(), good.len(), "{expression}");
    }
    assert_eq!(found.counts[&0], [EVENTS as u64, 0, 0, 0], "{expression}: every event counts");
    in_other_steps(expression, &found, |size| pass(&pipeline, &all, size));
}

/// The sum was -9223372036854775808.
#[test]
fn a_sum_of_integers_beyond_64_bits_is_no_number_and_one_within_them_is_exact() {
    let values =
        [(1, i64::MAX), (1, 1), (2, i64::MAX), (2, -5), (3, i64::MIN), (3, -1), (3, 1), (4, i64::MIN), (4, -1)];
    let with_big = |(number, (user, big)): (usize, &(i64, i64))| {
        let values = json!({"user_id": user, "quantity": 1, "big": big, "note": "7", "price": 4.0});
        message(number, &values)
    };
    let all: Vec<Message> = values.iter().enumerate().map(with_big).collect();
    let folder = tempfile::tempdir().unwrap();
    let files = [
        (
            "features/a.sql",
            "SELECT user_id, sum(big) AS total, coalesce(sum(big), 0) AS or_zero FROM clicks GROUP BY user_id",
        ),
        ("features/b.sql", "SELECT user_id, sum(big) AS total FROM clicks GROUP BY user_id, tumble(ts, '10 seconds')"),
        ("features/c.sql", "SELECT user_id, sum(big) AS total FROM clicks GROUP BY user_id, session(ts, '10 seconds')"),
    ];
    let pipeline = pipeline(folder.path(), "", &files);
    for size in [1, 4, 9] {
        let out = pass(&pipeline, &all, size);
        let mut rows: Vec<_> = out.rows[0].lines().collect();
        rows.sort_unstable();
        let exact = [i64::MAX - 5, i64::MIN];
        let expected = [
            "1 NULL NULL".to_owned(),
            format!("2 {0} {0}", exact[0]),
            format!("3 {0} {0}", exact[1]),
            "4 NULL NULL".to_owned(),
        ];
        assert_eq!(rows, expected, "steps of {size}");
        for table in [1, 2] {
            let (emitted, _) = of_table(&out, table);
            let emitted: Vec<_> = emitted.iter().map(|line| line.rsplit(" false ").next().unwrap()).collect();
            assert_eq!(emitted, [format!("2 {}", exact[0]), format!("3 {}", exact[1])], "table {table}");
        }
    }
}

#[test]
fn who_wants_to_stop_at_poison_is_told_where_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let select = "SELECT user_id, sum(10 / quantity) AS n FROM clicks GROUP BY user_id";
    let pipeline = pipeline(folder.path(), "\n[state]\npoison = \"stop\"\n", &[("features/a.sql", select)]);
    let all: Vec<Message> = (0..9).map(|number| event_of(number, 1, number == 4)).collect();
    let mut step = Step::new(Arc::clone(&pipeline)).unwrap();
    step.events(StreamIndex(0), &all[..4], true).unwrap();
    let error = step.events(StreamIndex(0), &all[4..], true).err().unwrap();
    assert!(matches!(&error, StepError::Poison { sequence: StreamSequence(5), .. }), "{error}");
    insta::assert_snapshot!(error, @r#"stream `clicks`, message 5: table `a`: `10 / quantity` fails with Divide by zero error: the table leaves the event out; guard it with CASE, nullif or WHERE, or tighten the contract; the pipeline stops here because [state] poison = "stop": mend the expression, or say "dead-letter""#);
    let mut again = Step::new(Arc::clone(&pipeline)).unwrap();
    again.events(StreamIndex(0), &all, false).unwrap();
    assert_eq!(again.late_rows(TableIndex(0)), 0, "what was committed is only read again");
}
