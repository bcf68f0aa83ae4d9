//! Cases told through whole pipelines: what must hold, and that what does not hold is said.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::config::Folder;
use crate::trial::run;

const CONTRACT: &str = r#"{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object",
  "properties": {
    "user_id": { "type": ["integer", "null"] },
    "item_id": { "type": ["integer", "null"] },
    "price": { "type": ["number", "null"] },
    "ts": { "type": "integer" }
  },
  "required": ["ts"]
}"#;

const PIPELINE: &str = r#"name = "t"

[streams.clicks]
subjects = ["t.clicks"]
contract = "schemas/click.json"
time     = "ts"
disorder = "0s"
"#;

/// What comes of a case over some tables: what does not hold, or why it can't be told.
fn told(settings: &str, tables: &[(&str, &str)], case: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let file = folder.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    write("schemas/click.json", CONTRACT);
    write("pipeline.toml", &format!("{PIPELINE}{settings}"));
    tables.iter().for_each(|(name, sql)| write(name, sql));
    write("tests/case.toml", case);
    let pipeline = Folder::read(folder.path()).and_then(|folder| folder.assemble_without_model());
    let pipeline = pipeline.unwrap_or_else(|problems| panic!("{problems}"));
    match run(&Arc::new(pipeline), Path::new(&folder.path().join("tests/case.toml"))) {
        Ok(outcome) => outcome.faults,
        Err(error) => vec![format!("{:#}", anyhow::Error::from(error))],
    }
}

fn events(lines: &[&str]) -> String {
    format!("about = 'a case'\nend = true\n[[events]]\nstream = 'clicks'\nlines = '''\n{}\n'''\n", lines.join("\n"))
}

/// An event of user 1 at so many milliseconds after 2023-11-14, with other fields.
fn event(ms: i64, fields: &str) -> String {
    format!(r#"{{"user_id":1,{fields}"ts":{}}}"#, 1_699_920_000_000 + ms)
}

/// Wrong integers passed: they were compared as floating-point numbers, up to a millionth.
#[test]
fn a_case_that_expects_other_integers_fails() {
    let table = (
        "features/a.sql",
        "SELECT user_id, last_n(item_id, 1) AS l, max(item_id) AS m, sum(item_id) AS s, avg(price) AS p \
         FROM clicks GROUP BY user_id",
    );
    let lines = events(&[&event(0, r#""item_id":20000001,"price":1.0,"#)]);
    let row = "[[rows]]\ntable = 'a'\nkey = { user_id = 1 }\nat = '2023-11-14T00:00:01Z'\n";
    let told = |expect: &str| told("", &[table], &format!("{lines}{row}expect = {expect}\n"));
    assert_eq!(told("{ l = [20000001], m = 20000001, s = 20000001, p = 1.0000001 }"), Vec::<String>::new());
    let faults = told("{ l = [20000020], m = 20000002, s = 20000000.0, p = 1.00001 }").join("\n");
    insta::assert_snapshot!(faults, @r#"
    a {"user_id": Number(1)} at 2023-11-14T00:00:01Z: l: expected [20000020], found [20000001]
    a {"user_id": Number(1)} at 2023-11-14T00:00:01Z: m: expected 20000002, found 20000001
    a {"user_id": Number(1)} at 2023-11-14T00:00:01Z: p: expected 1.00001, found 1.0
    a {"user_id": Number(1)} at 2023-11-14T00:00:01Z: s: expected 20000000.0, found 20000001
    "#);
    let key = |key: &str| {
        let row = row.replace("user_id = 1", &format!("user_id = {key}"));
        super::cases::told("", &[table], &format!("{lines}{row}missing = true\n")).join("\n")
    };
    assert_eq!(key("9007199254740993"), "");
    assert!(key("1.5").contains("`1.5` is no exact value of the integer column `user_id`"), "{}", key("1.5"));
}

/// 9007199254740993.0 was counted as the user 9007199254740992.
#[test]
fn an_id_with_a_point_that_is_not_exact_is_rejected() {
    let table =
        ("features/t.sql", "SELECT user_id, count(*) AS n FROM clicks GROUP BY user_id, tumble(ts, '1 minute')");
    let ids = ["9007199254740993.0", "9007199254740992", "9007199254740993", "9.007199254740993e15", "1e3", "1000.0"];
    let lines: Vec<String> = ids.iter().map(|id| format!(r#"{{"user_id":{id},"ts":1699920000000}}"#)).collect();
    let lines = events(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let expected = "[counts]\ncounted = 4\nrejected = 2\n[[emits]]\ntable = 't'\nexpect = [
        { user_id = 9007199254740992, n = 1 }, { user_id = 9007199254740993, n = 1 }, { user_id = 1000, n = 2 } ]\n";
    assert_eq!(told("", &[table], &format!("{lines}{expected}")), Vec::<String>::new());
}

/// The sign of an extreme depended on the order, DISTINCT told two zeros where GROUP BY told one.
#[test]
fn zero_is_one_value_in_both_forms_of_tables_and_in_any_order() {
    let columns = "min(price) AS mn, max(price) AS mx, count(DISTINCT price) AS d, count(DISTINCT -price) AS e, \
        hll_distinct(price) AS h, min(price * -1) AS low, sum(CASE WHEN price IN (-0.0) THEN 1 ELSE 0 END) AS zeros, \
        count(nullif(-price, 0.0)) AS others, array_length(top_k(-price, 3)) AS top, 1.0 / max(-price) AS inverse, \
        CAST(1.0 / min(price) AS VARCHAR) AS text, CAST(last_n(-price, 1)[1] AS VARCHAR) AS last";
    let forms = [
        ("features/asof.sql", format!("SELECT user_id, {columns} FROM clicks GROUP BY user_id")),
        ("features/tum.sql", format!("SELECT user_id, {columns} FROM clicks GROUP BY user_id, tumble(ts, '1 minute')")),
        (
            "features/ses.sql",
            format!("SELECT user_id, {columns} FROM clicks GROUP BY user_id, session(ts, '1 minute')"),
        ),
        ("features/keyed.sql", "SELECT -price AS p, count(*) AS n FROM clicks GROUP BY -price".to_owned()),
        (
            "features/by.sql",
            "SELECT price, count(*) AS n FROM clicks GROUP BY price, tumble(ts, '1 minute')".to_owned(),
        ),
    ];
    let tables: Vec<(&str, &str)> = forms.iter().map(|(name, sql)| (*name, sql.as_str())).collect();
    let value = "mn = 0.0, mx = 0.0, d = 1, e = 1, h = 1, low = 0.0, zeros = 2, others = 0, top = 1";
    for prices in [["-0.0", "0.0"], ["0.0", "-0.0"], ["-0", "-0e5"]] {
        let lines =
            [event(0, &format!(r#""price":{},"#, prices[0])), event(1_000, &format!(r#""price":{},"#, prices[1]))];
        let lines = events(&[&lines[0], &lines[1]]);
        let row = |table: &str, key: &str, expect: &str| {
            format!(
                "[[rows]]\ntable = '{table}'\nkey = {{ {key} }}\nat = '2023-11-14T00:00:01Z'\nexpect = {{ {expect} }}\n"
            )
        };
        let emits = |table: &str, expect: &str| format!("[[emits]]\ntable = '{table}'\nexpect = [{{ {expect} }}]\n");
        let shown = "text = 'inf', last = '0.0'";
        let case = [
            lines,
            row("asof", "user_id = 1", &format!("{value}, inverse = inf, {shown}")),
            emits("tum", &format!("{value}, inverse = nan, {shown}")),
            emits("ses", &format!("{value}, inverse = nan, {shown}")),
            row("keyed", "p = 0.0", "n = 2"),
            row("keyed", "p = -0.0", "n = 2"),
            emits("by", "price = 0.0, n = 2"),
        ];
        assert_eq!(told("", &tables, &case.concat()), Vec::<String>::new(), "{prices:?}");
    }
}

/// A row of a moment that the watermark has passed held later events, silently.
#[test]
fn what_would_be_told_of_another_moment_is_no_answer() {
    let tables = [("features/u.sql", "SELECT user_id, count(*) AS n FROM clicks GROUP BY user_id")];
    let lines: Vec<String> = [0, 10_000, 5_000].map(|ms| event(ms, "")).to_vec();
    let lines = events(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    // The broker had all of them after the last: its clock holds no watermark back.
    let lines = lines.replace("lines = ", "published = '2023-11-14T00:00:11Z'\nlines = ");
    let row = |at: &str, n: i64| {
        let row = format!("[[rows]]\ntable = 'u'\nkey = {{ user_id = 1 }}\nat = '2023-11-14T00:00:{at}Z'\n");
        told("", &tables, &format!("{lines}{row}expect = {{ n = {n} }}\n"))
    };
    assert_eq!((row("10", 3), row("11", 3)), (vec![], vec![]));
    insta::assert_snapshot!(row("05", 3).join("\n"), @r#"u {"user_id": Number(1)} at 2023-11-14T00:00:05Z: this would be the answer for 2023-11-14T00:00:10Z: the events of the case have moved the watermark of `u` there, and a read that is older is answered as of the watermark; ask for 2023-11-14T00:00:10Z or later, or move what comes after 2023-11-14T00:00:05Z to a case of its own"#);
}

const SCORED: &str = "[model]\ngraph = 'm.onnx'\n[score]\non = 'item_id IS NOT NULL'\n";

/// The vector of a user's events within the last hour.
const VECTOR: &str = "SELECT coalesce(r.item_id, 0) AS item, coalesce(u.n, 0) AS n, coalesce(u.p, 0) AS p \
    FROM requests r LEFT JOIN u ON r.user_id = u.user_id";

const COUNTED: &str = "SELECT user_id, count(*) AS n, 1.0 / sum(price) AS p FROM clicks GROUP BY user_id";

/// A vector is compared before it is rounded to the 32 bits of a model.
#[test]
fn vectors_compare_exactly_and_say_which_moment_they_are_of() {
    let tables = [("features/u.sql", COUNTED), ("vector.sql", VECTOR)];
    let lines = events(&[&event(0, r#""price":1.0,"#), &event(10_000, r#""price":1.0,"#)]);
    let vector = |at: &str, request: &str, expect: &str| {
        let vector = format!("[[vectors]]\nrequest = {{ {request} }}\nat = '2023-11-14T00:00:{at}Z'\n");
        told(SCORED, &tables, &format!("{lines}{vector}expect = {{ {expect} }}\n")).join("\n")
    };
    let request = "user_id = 1, item_id = 20000002";
    assert_eq!(vector("10", request, "item = 20000002, n = 2, p = 0.5"), "");
    assert!(vector("10", request, "item = 20000001").ends_with("item: expected 20000001, found 20000002"));
    let rounded = vector("10", "user_id = 1, item_id = 20000001", "item = 20000001");
    assert!(rounded.contains("feature `item` is 20000001, which float32 does not hold"), "{rounded}");
    assert!(vector("05", request, "n = 1").contains("this would be the answer for 2023-11-14T00:00:10Z"));
    let refused = vector("10", "user_id = 9007199254740993.0", "n = 0");
    assert!(refused.contains("is no exact value of the integer column `user_id`"), "{refused}");
}

/// Infinities of an event's own vector are counted, not passed over.
#[test]
fn events_that_cannot_be_scored_are_counted() {
    let tables = [("features/u.sql", COUNTED), ("vector.sql", VECTOR)];
    let zero = event(0, r#""item_id":3,"price":0.0,"#);
    let lines = events(&[&zero, &event(1, r#""item_id":3,"price":4.0,"#), &event(2, r#""price":0.0,"#)]);
    let counts = |counts: &str| told(SCORED, &tables, &format!("{lines}[counts]\n{counts}\n"));
    assert_eq!(counts("counted = 3\nunscorable = 1\nfailed = 0"), Vec::<String>::new());
    assert_eq!(counts("unscorable = 0"), ["unscorable: expected 0, found 1"]);
}

/// Only the rows of tables that are read as of a moment need one.
#[test]
fn a_row_of_a_table_of_windows_is_the_newest_where_no_moment_is_named() {
    let windows = "SELECT user_id, count(*) AS n FROM clicks GROUP BY user_id, tumble(ts, '10 seconds')";
    let as_of = "SELECT user_id, count(*) AS n FROM clicks GROUP BY user_id";
    let lines = events(&[&event(0, ""), &event(1_000, ""), &event(15_000, ""), &event(40_000, "")]);
    let row = "[[rows]]\ntable = 'a'\nkey = { user_id = 1 }\nexpect = { n = 1 }\n";
    let told = |select| told("", &[("features/a.sql", select)], &format!("{lines}{row}"));
    assert_eq!(told(windows), Vec::<String>::new());
    assert!(told(as_of)[0].contains("at"), "{:?}", told(as_of));
}

/// It said no more than that the value is NULL.
#[test]
fn a_column_that_fails_says_why() {
    let table = "SELECT user_id, 10 / max(item_id) AS share FROM clicks GROUP BY user_id";
    let lines = events(&[&event(0, r#""item_id":0,"#)]);
    let row = "[[rows]]\ntable = 'a'\nkey = { user_id = 1 }\nat = '2023-11-14T00:00:01Z'\nexpect = { share = 5 }\n";
    let faults = told("", &[("features/a.sql", table)], &format!("{lines}{row}"));
    assert_eq!(faults.len(), 1);
    assert!(
        faults[0].contains("share: expected 5, found NULL: `10 / ") && faults[0].contains("Divide by zero"),
        "{faults:?}"
    );
}
