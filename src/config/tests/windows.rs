//! Tables of windows: their settings, and what is said of selects that are none.

use std::time::Duration;

use super::*;
use crate::config::subject::Subject;
use crate::pipeline::HistoryPlan;
use crate::window;

pub(super) const CONTRACT: &str = r#"{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "type": "object",
  "properties": {
    "user_id": { "type": "integer" },
    "item_id": { "type": "integer" },
    "price": { "type": "number" },
    "ts": { "type": "integer" }
  },
  "required": ["user_id", "item_id", "ts"]
}"#;

const HEAD: &str = r#"name = "trends"

[streams.clicks]
subjects = ["shop.clicks.>"]
contract = "schemas/behavior.json"
time = "ts"
partition = "subject"
idle = "10s"
"#;

const TUMBLE: &str = "SELECT item_id, count(*) AS n FROM clicks GROUP BY item_id, tumble(ts, '1 minute')";

/// A folder with one table, `user_activity`.
fn shop(settings: &str, sql: &str) -> Shop {
    let shop = Shop::new(&format!("{HEAD}{settings}"));
    shop.write("schemas/behavior.json", CONTRACT);
    shop.write("pipelines/intent/features/user_activity.sql", sql);
    for file in ["features/item_trend.sql", "vector.sql"] {
        fs::remove_file(shop.path("pipelines/intent").join(file)).unwrap();
    }
    shop
}

/// What `check` says.
fn checked(settings: &str, sql: &str) -> String {
    let shop = shop(settings, sql);
    match Folder::check(&shop.path("pipelines/intent")) {
        Ok(_) => "no problems".to_owned(),
        Err(problems) => problems.to_string().replace(&format!("{}/", shop.root.path().display()), ""),
    }
}

/// A subject that the bus refuses ended as a table whose rows went nowhere.
#[test]
fn a_subject_that_rows_cannot_go_to_is_a_problem_of_its_own() {
    let shop = shop("[tables.user_activity]\npublish = 'shop.trends'\n", TUMBLE);
    let mut folder = shop.read().unwrap();
    let publish = &mut folder.settings.tables.get_mut("user_activity").unwrap().publish;
    let place = publish.as_ref().unwrap().span();
    *publish = Some(toml::Spanned::new(place, Subject::unchecked("shop trends")));
    let problems = folder.assemble().err().unwrap().to_string();
    insta::assert_snapshot!(problems.replace(&format!("{}/", shop.root.path().display()), ""), @r#"
    pipelines/intent/pipeline.toml:10:11: subject "shop trends" is not valid: it contains white space
      10 | publish = 'shop.trends'
         |           ^
      help: choose another subject, such as `shop.ranked`
    "#);
}

#[test]
fn settings_of_windows_reach_the_plan() {
    let settings = "[tables.user_activity]\nemit = { early = '10s' }\nlateness = '30s'\npublish = 'shop.trends'\n\
                    history = true\nmemory = '2 GiB'\nat_limit = 'evict'\nretention = '1d'\n";
    let shop = shop(settings, TUMBLE);
    let pipeline = Folder::check(&shop.path("pipelines/intent")).unwrap();
    let [table] = pipeline.tables.as_slice() else { panic!("one table") };
    let plan = table.plan.windows().unwrap();
    let expected = window::WindowSettings {
        emit: window::Emit::Early { every: 10_000_000 },
        lateness: 30_000_000,
        budget: window::Budget::evict(2 << 30),
    };
    assert_eq!(plan.settings(), expected);
    let for_ever = HistoryPlan { retain: None };
    assert_eq!((table.retention, table.history), (Duration::from_secs(86_400), Some(for_ever)));
    assert_eq!(table.publish.as_ref().unwrap().as_str(), "shop.trends");
    let stream = &pipeline.streams[0];
    assert_eq!((stream.partition_by_subject, stream.idle), (true, Duration::from_secs(10)));
}

#[test]
fn a_history_is_kept_for_as_long_as_its_windows_are_open_or_longer() {
    let settings =
        |retain: &str| format!("[tables.user_activity]\nlateness = '30s'\nhistory = {{ retain = '{retain}' }}\n");
    assert_eq!(checked(&settings("90s"), TUMBLE), "no problems");
    let refused = checked(&settings("89s"), TUMBLE);
    let message = "`retain` of the history is 1m 29s, and windows of features/user_activity.sql take events for 1m 30s";
    let place = "pipelines/intent/pipeline.toml:11:11";
    for part in [message, place, "keep rows for as long as their window and its lateness, or longer"] {
        assert!(refused.contains(part), "{part}\n{refused}");
    }
}

/// `run` refused such a table, at its start and for ever.
#[test]
fn a_history_has_columns_that_a_delta_table_can_have() {
    let settings = "[tables.user_activity]\nhistory = true\n";
    assert_eq!(checked(settings, TUMBLE), "no problems");
    for (columns, message) in [
        ("max(ts) - min(ts) AS span", "column \"span\" of history table \"user_activity\" is Duration("),
        ("make_array(max(ts) - min(ts)) AS spans", "column \"spans\" of history table \"user_activity\" is List("),
        ("count(*)", "can't have this name: give it one without spaces"),
        ("count(*) AS \"ITEM_ID\"", "history table \"user_activity\" has two columns \"ITEM_ID\""),
        ("max(item_id) AS date", "column \"date\" of history table \"user_activity\" is Int64"),
        ("max(item_id) AS \"Emission\"", "history table \"user_activity\" has two columns"),
    ] {
        let sql = format!("SELECT item_id, {columns} FROM clicks GROUP BY item_id, tumble(ts, '1 minute')");
        assert_eq!(checked("", &sql), "no problems", "{columns}");
        let refused = checked(settings, &sql);
        assert!(refused.starts_with("pipelines/intent/pipeline.toml:10:11"), "{columns}\n{refused}");
        assert!(refused.contains(message), "{columns}\n{refused}");
    }
}

#[test]
fn a_select_that_is_no_table_is_refused_with_the_fix() {
    let selects = [
        "SELECT count(*) AS n FROM clicks GROUP BY tumble(ts, '1 minute'), hop(ts, '1 minute', '5 minutes')",
        "SELECT item_id, tumble(ts, '1 minute') AS w, count(*) AS n FROM clicks GROUP BY item_id",
        "SELECT count(*) AS n FROM clicks GROUP BY hop(ts, '25 seconds', '1 minute')",
        "SELECT item_id, sum(prise) AS spent FROM clicks GROUP BY item_id, tumble(ts, '1 minute')",
        "SELECT count(*) AS n FROM clicks GROUP BY tumble(ts, '1 month')",
        "SELECT count(*) AS n FROM clicks GROUP BY session(user_id, '1 minute')",
    ];
    let found: Vec<String> = selects.iter().map(|sql| format!("{sql}\n{}", checked("", sql))).collect();
    insta::assert_snapshot!(found.join("\n\n"));
}

#[test]
fn settings_that_a_table_cannot_follow_are_refused_at_their_place() {
    let settings = "[tables.user_activity]\nemit = 'on update'\nlateness = '1s'\npublish = 'shop.clicks.out'\n";
    let sql = "SELECT user_id, count(*) AS n FROM clicks GROUP BY user_id";
    insta::assert_snapshot!(checked(settings, sql));
}

#[test]
fn reference_tables_have_one_source_and_a_name_of_their_own() {
    let settings = r#"
[references.clicks]
file = "nowhere.csv"
key = ["item_id"]

[references.items]
key = []

[references.prices]
bucket = "prices"
key = ["item_id"]

[references.both]
bucket = "prices"
file = "nowhere.csv"
key = ["item_id"]
"#;
    insta::assert_snapshot!(checked(settings, TUMBLE));
}

#[test]
fn a_stream_is_joined_with_a_file() {
    let settings = "[references.items]\nfile = 'items.csv'\nkey = ['item_id']\n";
    let sql = "SELECT brand, count(*) AS n FROM clicks LEFT JOIN items ON clicks.item_id = items.item_id \
               GROUP BY brand, tumble(ts, '1 minute')";
    let joined = shop(settings, sql);
    joined.write("pipelines/intent/items.csv", "item_id,brand\n1,Acme\n");
    let pipeline = Folder::check(&joined.path("pipelines/intent")).unwrap();
    assert_eq!(pipeline.tables[0].plan.windows().unwrap().source().references().collect::<Vec<_>>(), ["items"]);
    joined.write("pipelines/intent/items.csv", "item_id,brand\n1,Acme\n1,Other\n");
    let problems = Folder::check(&joined.path("pipelines/intent")).err().unwrap().to_string();
    assert!(problems.contains("pipeline.toml:") && problems.contains("item_id"), "{problems}");
}
