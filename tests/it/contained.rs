//! An expression that fails on one event or one row costs that event or row: every kind of failure at every place where an
//! expression can stand.
//!
//! The oracle is the same pipeline without the events or keys that fail: everything else must be as it is there.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tidewheel::bus::{Encoding, Message, StreamSequence, Subject};
use tidewheel::config::Folder;
use tidewheel::pipeline::{Pipeline, StreamIndex, TableIndex};
use tidewheel::step::{FAILED, Step, StepError, UNSCORABLE};

use crate::restart::passage::{Out, pass};

const CONTRACT: &str = r#"{
  "type": "object",
  "required": ["user_id", "quantity", "big", "note", "price", "ts"],
  "properties": {
    "user_id": {"type": "integer"}, "quantity": {"type": "integer"}, "big": {"type": "integer"},
    "note": {"type": "string"}, "price": {"type": "number"}, "ts": {"type": "integer"}
  }
}"#;

const SETTINGS: &str = r#"name = "contained"

[streams.clicks]
subjects = ["contained.clicks"]
contract = "click.json"
time     = "ts"
disorder = "1s"
"#;

/// Kinds of failure: an integer that cannot be computed of a bad event, and the reason.
const KINDS: [(&str, &str, &str); 4] = [
    ("division by zero", "10 / quantity", "Divide by zero"),
    ("out of range", "CAST(CAST(big AS INT) % 50 AS BIGINT)", "Can't cast value 3000000000 to type Int32"),
    ("no number", "CAST(note AS BIGINT)", "Cannot cast string 'many' to value of Int64 type"),
    ("undefined", "CAST(sqrt(price) AS BIGINT)", "sqrt"),
];

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

/// So many events, 0.7 seconds apart.
const EVENTS: usize = 60;

fn is_bad(number: usize) -> bool {
    matches!(number, 0 | 7 | 8 | 31 | 32 | 33 | 58)
}

/// Keeps the contract, whether an expression fails on it or not.
fn event(number: usize, user: usize, is_bad: bool) -> Message {
    let (quantity, big, note, price) = match is_bad {
        true => (0, 3_000_000_000_i64, "many", -1.0),
        false => (1 + number as i64 % 4, 20 + number as i64, "7", 4.0),
    };
    let ts = 1_700_000_000_000 + 700 * number as u64;
    let event = json!({"user_id": user, "quantity": quantity, "big": big, "note": note, "price": price, "ts": ts});
    Message {
        payload: serde_json::to_vec(&event).unwrap().into(),
        sequence: StreamSequence(number as u64 + 1),
        published_micros: ts as i64 * 1_000,
        encoding: Encoding::Json,
        subject: Subject::new("contained.clicks").unwrap(),
    }
}

/// A pipeline of these tables; `settings` follow those of the stream.
fn pipeline(folder: &Path, settings: &str, files: &[(&str, &str)]) -> Arc<Pipeline> {
    fs::create_dir_all(folder.join("features")).unwrap();
    fs::write(folder.join("click.json"), CONTRACT).unwrap();
    fs::write(folder.join("pipeline.toml"), format!("{SETTINGS}{settings}")).unwrap();
    for (file, text) in files {
        fs::write(folder.join(file), text).unwrap();
    }
    let read = Folder::read(folder).unwrap_or_else(|problems| panic!("{files:?}: {problems}"));
    Arc::new(read.assemble_without_model().unwrap_or_else(|problems| panic!("{files:?}: {problems}")))
}

/// Of what came out, what belongs to a table.
fn of_table(out: &Out, table: usize) -> (Vec<&String>, Vec<&str>) {
    let prefix = format!("{table} ");
    let mut rows: Vec<&str> = out.rows[table].lines().collect();
    rows.sort_unstable();
    (out.emissions.iter().filter(|line| line.starts_with(&prefix)).collect(), rows)
}

#[test]
fn an_event_that_fails_in_one_table_costs_that_table_this_event_and_nothing_else() {
    let all: Vec<Message> = (0..EVENTS).map(|number| event(number, number % 3, is_bad(number))).collect();
    let good: Vec<Message> =
        all.iter().enumerate().filter(|(at, _)| !is_bad(*at)).map(|(_, one)| one.clone()).collect();
    for (kind, expression, reason) in KINDS {
        for (place, select) in EVENT_PLACES {
            let what = format!("{kind} in {place}");
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
            let bad: Vec<_> = (0..EVENTS).filter(|number| is_bad(*number)).collect();
            assert_eq!(found.dead.len(), bad.len(), "{what}: {:?}", found.dead);
            for (letter, number) in sorted(&found.dead).into_iter().zip(bad) {
                let place = format!("StreamSequence({}), \"{FAILED}\")", number + 1);
                assert!(letter.contains(&place) && letter.contains("table `a`: `"), "{what}: {letter}");
                assert!(
                    letter.contains(reason) && letter.contains("the table leaves the event out"),
                    "{what}: {letter}"
                );
            }
            for size in [1, 7] {
                assert_eq!(pass(&pipeline, &all, size), found, "{what} in steps of {size}");
            }
        }
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
    let all: Vec<Message> = (0..EVENTS).map(|number| event(number, number % 3, is_bad(number))).collect();
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

#[test]
fn a_row_that_cannot_be_made_is_left_out_and_named_and_the_others_are_emitted() {
    // All events of users 5 and 7 are bad, none of the others.
    let user = |number: usize| [1, 5, 2, 7][number % 4];
    let all: Vec<Message> = (0..EVENTS).map(|number| event(number, user(number), user(number) >= 5)).collect();
    for (kind, expression, reason) in KINDS {
        for (place, select) in ROW_PLACES {
            let what = format!("{kind} in {place}");
            let folder = tempfile::tempdir().unwrap();
            let columns = ["quantity", "big", "note", "price"].iter();
            let over = columns.fold(expression.to_owned(), |over, name| over.replace(name, &format!("max({name})")));
            let select = select.replace("{e}", &over);
            let pipeline = pipeline(folder.path(), "", &[("features/a.sql", &select)]);
            let found = pass(&pipeline, &all, EVENTS);
            let of_users = |users: [u32; 2]| {
                let is_theirs = |line: &&String| users.iter().any(|user| line.contains(&format!(" false {user} ")));
                found.emissions.iter().filter(is_theirs).count()
            };
            assert_eq!(of_users([5, 7]), 0, "{what}: {:?}", found.emissions);
            // Sixty events 0.7 s apart are in five windows of ten seconds, user 1's in four; a session lasts while they come.
            let expected = if place.starts_with("session") { 2 } else { 9 };
            assert_eq!(of_users([1, 2]), expected, "{what}: {:?}", found.emissions);
            // Windows that close when nothing comes any more close without a message to name.
            assert!(found.dead.len() <= expected && (place.starts_with("session") || found.dead.len() == 8), "{what}");
            for letter in &found.dead {
                assert!(letter.contains(reason) && letter.contains("the row is left out"), "{what}: {letter}");
                assert!(letter.contains("user_id"), "{what}: its values are there: {letter}");
            }
            for size in [1, 7] {
                assert_eq!(pass(&pipeline, &all, size), found, "{what} in steps of {size}");
            }
        }
    }
}

const VECTOR: &str = r#"
[model]
graph = "m.onnx"

[score]
stream  = "clicks"
on      = "{on}"
publish = "contained.ranked"
"#;

#[test]
fn a_feature_that_cannot_be_computed_costs_the_ranking_of_that_event_alone() {
    let all: Vec<Message> = (0..EVENTS).map(|number| event(number, number % 3, is_bad(number))).collect();
    let places = [
        (
            "SELECT user_id, sum(quantity) AS n FROM clicks GROUP BY user_id",
            "coalesce({e}, 0) + coalesce(a.n, 0) AS x",
            "r.user_id",
        ),
        (
            "SELECT user_id, sum(quantity) AS n FROM clicks GROUP BY user_id",
            "coalesce(a.n, 0) AS x",
            "CASE WHEN {e} > -1 THEN r.user_id ELSE 0 END",
        ),
    ];
    for (kind, expression, reason) in KINDS {
        for (feature, column, key) in places {
            let what = format!("{kind} in {column} ON {key}");
            let folder = tempfile::tempdir().unwrap();
            let vector =
                format!("SELECT {column} FROM requests r LEFT JOIN a ON {key} = a.user_id").replace("{e}", expression);
            let settings = VECTOR.replace("{on}", "price > -9.0");
            let files = [("features/a.sql", feature), ("vector.sql", vector.as_str())];
            let pipeline = pipeline(folder.path(), &settings, &files);
            let mut step = Step::new(Arc::clone(&pipeline)).unwrap();
            let output = step.events(StreamIndex(0), &all, true).unwrap();
            assert_eq!(output.job.groups.len(), EVENTS, "{what}");
            let unscorable: Vec<_> = output.job.matrix.unscorable.iter().map(|bad| bad.row).collect();
            let bad: Vec<_> = (0..EVENTS).filter(|number| is_bad(*number)).collect();
            assert_eq!(unscorable, bad, "{what}");
            for letter in &output.dead {
                assert_eq!(letter.reason, UNSCORABLE, "{what}");
                assert!(letter.detail.starts_with("feature `x` can't be computed: `"), "{what}: {}", letter.detail);
                assert!(letter.detail.contains(reason), "{what}: {}", letter.detail);
            }
        }
    }
}

#[test]
fn a_column_of_a_table_that_fails_for_a_key_costs_the_vectors_that_read_it_and_no_others() {
    let all: Vec<Message> = (0..EVENTS).map(|number| event(number, number % 3, number % 3 == 1)).collect();
    let feature = "SELECT user_id, count(*) AS n, 10 / max(quantity) AS share FROM clicks GROUP BY user_id";
    for (columns, bad) in [("coalesce(a.n, 0) AS n", 0), ("coalesce(a.n, 0) AS n, coalesce(a.share, 0) AS share", 20)] {
        let folder = tempfile::tempdir().unwrap();
        let vector = format!("SELECT {columns} FROM requests r LEFT JOIN a ON r.user_id = a.user_id");
        let files = [("features/a.sql", feature), ("vector.sql", vector.as_str())];
        let pipeline = pipeline(folder.path(), &VECTOR.replace("{on}", "price > -9.0"), &files);
        let mut step = Step::new(Arc::clone(&pipeline)).unwrap();
        let output = step.events(StreamIndex(0), &all, true).unwrap();
        assert_eq!(output.job.matrix.unscorable.len(), bad, "{columns}: {:?}", output.job.matrix.unscorable);
        let rows = step.tables_mut()[0].scan().unwrap();
        assert_eq!((rows.num_rows(), rows.column(2).null_count()), (3, 1), "{columns}: in SQL the value is NULL");
    }
}

#[test]
fn a_condition_that_fails_on_an_event_does_not_hold_for_it() {
    let all: Vec<Message> = (0..EVENTS).map(|number| event(number, number % 3, is_bad(number))).collect();
    let feature = "SELECT user_id, count(*) AS n FROM clicks GROUP BY user_id";
    let vector = "SELECT coalesce(a.n, 0) AS n FROM requests r LEFT JOIN a ON r.user_id = a.user_id";
    for (kind, expression, reason) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let on = format!("{expression} >= 0");
        let labels = format!(
            "\n[labels]\nstream = \"clicks\"\njoin = [\"user_id\"]\npositive = \"{expression} >= 0\"\nwindow = \"5s\"\n"
        );
        let settings = VECTOR.replace("{on}", &on) + &labels;
        let pipeline = pipeline(folder.path(), &settings, &[("features/a.sql", feature), ("vector.sql", vector)]);
        let mut step = Step::new(Arc::clone(&pipeline)).unwrap();
        let output = step.events(StreamIndex(0), &all, true).unwrap();
        let bad = (0..EVENTS).filter(|number| is_bad(*number)).count();
        assert_eq!(output.job.groups.len(), EVENTS - bad, "{kind}");
        assert_eq!(output.feedback.as_ref().unwrap().positives.len(), EVENTS - bad, "{kind}");
        let of = |setting: &str| output.dead.iter().filter(|letter| letter.detail.starts_with(setting)).count();
        assert_eq!((of("[score] on: `"), of("[labels] positive: `")), (bad, bad), "{kind}: {:?}", output.dead);
        assert!(output.dead.iter().all(|letter| letter.reason == FAILED && letter.detail.contains(reason)), "{kind}");
    }
}

/// The sum was -9223372036854775808.
#[test]
fn a_sum_of_integers_beyond_64_bits_is_no_number_and_one_within_them_is_exact() {
    let values =
        [(1, i64::MAX), (1, 1), (2, i64::MAX), (2, -5), (3, i64::MIN), (3, -1), (3, 1), (4, i64::MIN), (4, -1)];
    let message = |(number, (user, big)): (usize, &(i64, i64))| {
        let event = json!({"user_id": user, "quantity": 1, "big": big, "note": "7", "price": 4.0, "ts": 1_700_000_000_000_u64 + number as u64});
        Message { payload: serde_json::to_vec(&event).unwrap().into(), ..event_like(number) }
    };
    let all: Vec<Message> = values.iter().enumerate().map(message).collect();
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

fn event_like(number: usize) -> Message {
    event(number, 1, false)
}

#[test]
fn who_wants_to_stop_at_poison_is_told_where_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let select = "SELECT user_id, sum(10 / quantity) AS n FROM clicks GROUP BY user_id";
    let pipeline = pipeline(folder.path(), "\n[state]\npoison = \"stop\"\n", &[("features/a.sql", select)]);
    let all: Vec<Message> = (0..9).map(|number| event(number, 1, number == 4)).collect();
    let mut step = Step::new(Arc::clone(&pipeline)).unwrap();
    step.events(StreamIndex(0), &all[..4], true).unwrap();
    let error = step.events(StreamIndex(0), &all[4..], true).err().unwrap();
    assert!(matches!(&error, StepError::Poison { sequence: StreamSequence(5), .. }), "{error}");
    insta::assert_snapshot!(error, @r#"stream `clicks`, message 5: table `a`: `10 / quantity` fails with Divide by zero error: the table leaves the event out; guard it with CASE, nullif or WHERE, or tighten the contract; the pipeline stops here because [state] poison = "stop": mend the expression, or say "dead-letter""#);
    let mut again = Step::new(Arc::clone(&pipeline)).unwrap();
    again.events(StreamIndex(0), &all, false).unwrap();
    assert_eq!(again.late_rows(TableIndex(0)), 0, "what was committed is only read again");
}
