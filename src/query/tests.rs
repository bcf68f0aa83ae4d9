//! What people write before they know the tables.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;

use super::*;
use crate::config::Folder;
use crate::step::Step;

fn tables() -> Vec<Table> {
    let user_ids: ArrayRef = Arc::new(StringArray::from(vec!["u1", "u2"]));
    let clicks: ArrayRef = Arc::new(Int64Array::from(vec![5, 7]));
    let users = RecordBatch::try_from_iter([("user_id", user_ids), ("clickCount", clicks)]).unwrap();
    let seen_by: ArrayRef = Arc::new(StringArray::from(vec!["u1"]));
    let seen = RecordBatch::try_from_iter([("user_id", seen_by)]).unwrap();
    vec![("users".into(), vec![users]), ("seen".into(), vec![seen])]
}

fn asked(sql: &str) -> Result<String, QueryError> {
    run(sql, tables(), &Limits::default())?.render(Format::Csv)
}

fn refused(sql: &str) -> String {
    asked(sql).expect_err(sql).to_string()
}

#[test]
fn what_there_is_can_be_asked_in_several_ways() {
    let listed = "table_name,kind,key\nseen,feature table,\nusers,feature table,";
    for sql in [
        "SHOW TABLES",
        "show tables;",
        "SELECT table_name, kind, key FROM information_schema.tables ORDER BY table_name",
        "SELECT table_name, kind, key FROM datafusion.information_schema.tables WHERE table_schema = 'live' ORDER BY 1",
    ] {
        assert_eq!(asked(sql).unwrap(), listed, "{sql}");
    }
    let described = "column_name,data_type,is_nullable,is_key\nuser_id,Utf8,NO,NO\nclickCount,Int64,NO,NO";
    for sql in [
        "DESCRIBE users",
        "desc live.Users",
        "SHOW COLUMNS FROM users",
        "SELECT column_name, data_type, is_nullable, is_key FROM information_schema.columns \
         WHERE table_name = 'users' ORDER BY ordinal_position",
    ] {
        assert_eq!(asked(sql).unwrap(), described, "{sql}");
    }
    let joined = "SELECT count(*) AS n FROM information_schema.columns c JOIN users u ON c.table_name = 'users'";
    assert_eq!(asked(joined).unwrap(), "n\n4");
}

#[test]
fn the_lists_show_no_settings_and_can_not_be_changed() {
    for table in ["df_settings", "routines", "parameters", "views", "schemata"] {
        let error = refused(&format!("SELECT * FROM information_schema.{table}"));
        assert!(
            error.starts_with(&format!("relation \"information_schema.{table}\" is not in schema live")),
            "{error}"
        );
    }
    for sql in
        ["SHOW ALL", "SET a = 1", "DROP TABLE information_schema.tables", "DELETE FROM information_schema.tables"]
    {
        assert!(refused(sql).starts_with("only SELECT, EXPLAIN, SHOW TABLES, "), "{sql}");
    }
}

#[test]
fn an_unknown_table_is_answered_with_those_that_there_are() {
    for sql in [
        "SELECT * FROM user",
        "SELECT * FROM live.USER",
        "EXPLAIN SELECT 1 FROM users WHERE EXISTS (SELECT 1 FROM \"user\")",
        "DESCRIBE user",
        "SHOW COLUMNS FROM user",
        // The part of that name is not in sight there.
        "(WITH user AS (SELECT 1) SELECT * FROM user) UNION ALL SELECT 2 FROM user",
    ] {
        let expected = "no table is named \"user\": did you mean `users`? There are also `seen`";
        assert_eq!(refused(sql), expected, "{sql}");
    }
    assert_eq!(refused("SELECT * FROM shop"), "no table is named \"shop\": there are `seen`, `users`");
    assert_eq!(asked("WITH shop AS (SELECT 1 AS one) SELECT * FROM shop").unwrap(), "one\n1");
}

#[test]
fn an_unknown_column_is_answered_with_those_that_there_are() {
    for (sql, expected) in [
        (
            "SELECT userid FROM users",
            "no column is named \"userid\" there: did you mean `user_id`? There are also `\"clickCount\"`",
        ),
        (
            "SELECT clickCount FROM users",
            "no column is named \"clickcount\" there: did you mean `\"clickCount\"`? There are also `user_id`",
        ),
        ("SELECT u.x FROM users u", "no column is named \"u.x\" there: there are `user_id`, `\"clickCount\"`"),
        (
            "SELECT * FROM users u JOIN seen s ON u.user_id = s.usr_id",
            "no column is named \"s.usr_id\" there: did you mean `u.user_id`? There are also `u.\"clickCount\"`, `s.user_id`",
        ),
    ] {
        assert_eq!(refused(sql), expected, "{sql}");
    }
    assert!(refused("SELECT x").starts_with("no column is named \"x\" there: there are none"));
}

#[test]
fn the_time_that_is_over_is_named_with_what_takes_it() {
    let limits = Limits { timeout: std::time::Duration::from_millis(200), ..Limits::default() };
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..40_000));
    let numbers = RecordBatch::try_from_iter([("x", numbers)]).unwrap();
    let tables = || vec![("numbers".to_owned(), vec![numbers.clone()])];
    let product = "SELECT count(*) FROM numbers a JOIN numbers b ON a.x <> b.x";
    let error = run(product, tables(), &limits).unwrap_err().to_string();
    let expected = "no answer within 200ms, the time that a statement may take: filter before joins and sorts, or read \
                    fewer tables";
    assert_eq!(error, expected);
    let recursion = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let error = run(recursion, tables(), &limits).unwrap_err().to_string();
    assert!(error.ends_with("statement may take: end the recursion with a condition"), "{error}");
}

#[test]
fn texts_that_a_statement_makes_are_plain() {
    let answer =
        run("SELECT array_agg(user_id || 'x'::varchar) AS l FROM users", tables(), &Limits::default()).unwrap();
    let DataType::List(item) = answer.schema.field(0).data_type() else { panic!("{:?}", answer.schema) };
    assert_eq!(item.data_type(), &DataType::Utf8);
}

#[test]
fn a_reference_table_is_read_like_the_others_as_it_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "pipeline.toml",
        "name = 'p'\n[streams.clicks]\nsubjects = ['p.c']\ncontract = 'c.json'\ntime = 'ts'\n[references.items]\nfile = 'items.csv'\nkey = ['item']\n",
    );
    write(
        "c.json",
        r#"{"type": "object", "required": ["item", "ts"], "properties": {"item": {"type": "integer"}, "ts": {"type": "integer"}}}"#,
    );
    write("items.csv", "item,name,price\n1,one,1.5\n2,two,\n");
    write(
        "features/item.sql",
        "SELECT c.item, max(i.price) AS price FROM clicks c LEFT JOIN items i ON c.item = i.item GROUP BY c.item",
    );
    let pipeline =
        Folder::read(folder.path()).unwrap().assemble_without_model().unwrap_or_else(|problems| panic!("{problems}"));
    let mut step = Step::new(Arc::new(pipeline)).unwrap();
    let refused = run_view("SELECT * FROM clicks", step.view(&[]).unwrap(), &Limits::default()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "\"clicks\" is a stream, and its events are in no table: there are `item`, `items`"
    );
    let mut ask = |sql: &str| {
        let view = step.view(&table_names(sql).unwrap()).unwrap();
        run_view(sql, view, &Limits::default()).unwrap().render(Format::Csv).unwrap()
    };
    assert_eq!(ask("SHOW TABLES"), "table_name,kind,key\nitem,feature table,item\nitems,reference table,item");
    assert_eq!(
        ask("DESCRIBE items"),
        "column_name,data_type,is_nullable,is_key\nitem,Int64,YES,YES\nname,Utf8,YES,NO\nprice,Float64,YES,NO"
    );
    assert_eq!(ask("SELECT * FROM live.items ORDER BY item DESC"), "item,name,price\n2,two,\n1,one,1.5");
    let joined =
        "SELECT items.name FROM items LEFT JOIN item ON items.item = item.item WHERE item.item IS NULL ORDER BY 1";
    assert_eq!(ask(joined), "name\none\ntwo");
}
