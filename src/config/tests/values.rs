//! Keys, values and syntax.

use super::*;
use crate::model::Class;

#[test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn every_bad_key_and_value_is_reported_at_its_place() {
    let shop = Shop::new(
        r#"name = "My Pipeline"
colour = "red"

[streams.behavior]
subject = ["shop.behavior"]
contract = "schemas/behavior.json"
time = 5
time_unit = "sec"
disorder = "5 parsecs"
late = "deadletter"
earliest = 2000-01-01
max_event_bytes = "64 kib"
max_depth = 0
retain = "0s"
max_bytes = -1

[streams."My Clicks"]
subjects = ["shop..clicks", "shop.>.clicks", 7]
contract = [
    "schemas/behavior.json",
]
remember_ids = 0

[tables]
user_activity = { retention = "1 month" }

[model]
output = 3

[score]
service = "recommend.*"
batch = { row = 256, linger = "2" }
queue = "many"
max_items = 1.5

[sate]
folder = ".state"
"#,
    );
    insta::assert_snapshot!(shop.problems(), @r#"
    pipelines/intent/pipeline.toml:1:8: "My Pipeline" can't name a pipeline
       1 | name = "My Pipeline"
         |        ^
      help: begin with a letter a to z, go on with a to z, 0 to 9, `_` and `-`, at most 40 in all

    pipelines/intent/pipeline.toml:2:1: unknown field `colour`
       2 | colour = "red"
         | ^
      help: known are `name`, `streams`, `tables`, `references`, `model`, `score`, `labels`, `train`, `state`, `output`, `names`

    pipelines/intent/pipeline.toml:5:1: unknown field `subject`
       5 | subject = ["shop.behavior"]
         | ^
      help: did you mean `subjects`?

    pipelines/intent/pipeline.toml:7:8: invalid type: integer `5`, expected a string
       7 | time = 5
         |        ^

    pipelines/intent/pipeline.toml:8:13: unknown variant `sec`, expected one of `s`, `ms`, `us`
       8 | time_unit = "sec"
         |             ^

    pipelines/intent/pipeline.toml:9:12: "5 parsecs" is not a duration: unknown unit "parsecs"
       9 | disorder = "5 parsecs"
         |            ^
      help: write it as "2ms", "30 seconds", "5m", "12h" or "7 days"

    pipelines/intent/pipeline.toml:10:8: unknown variant `deadletter`, expected `dead-letter` or `drop`
      10 | late = "deadletter"
         |        ^
      help: did you mean `dead-letter`?

    pipelines/intent/pipeline.toml:11:12: "2000-01-01" is not a date and time with a time zone
      11 | earliest = 2000-01-01
         |            ^
      help: write it as "2000-01-01T00:00:00Z" or "2000-01-01T00:00:00+01:00"

    pipelines/intent/pipeline.toml:12:19: "64 kib" is not a size
      12 | max_event_bytes = "64 kib"
         |                   ^
      help: write whole bytes, such as 65536, "64 KiB" or "10 GB"

    pipelines/intent/pipeline.toml:13:13: invalid value: integer `0`, expected a whole number above zero
      13 | max_depth = 0
         |             ^

    pipelines/intent/pipeline.toml:14:10: the duration "0s" is zero
      14 | retain = "0s"
         |          ^
      help: it must be longer than that

    pipelines/intent/pipeline.toml:15:13: invalid value: integer `-1`, expected a number of bytes above zero, or text such as "64 KiB"
      15 | max_bytes = -1
         |             ^

    pipelines/intent/pipeline.toml:17:1: missing field `time`
      17 | [streams."My Clicks"]
         | ^
      help: time: The property of an event that is its time

    pipelines/intent/pipeline.toml:17:10: "My Clicks" is not a name that SQL takes without quotes
      17 | [streams."My Clicks"]
         |          ^
      help: call it `my_clicks`

    pipelines/intent/pipeline.toml:18:13: subject "shop..clicks" has an empty token
      18 | subjects = ["shop..clicks", "shop.>.clicks", 7]
         |             ^
      help: write tokens with one dot between them, such as `shop.clicks`

    pipelines/intent/pipeline.toml:18:29: subject "shop.>.clicks" goes on after `>`
      18 | subjects = ["shop..clicks", "shop.>.clicks", 7]
         |                             ^
      help: `>` stands for all that follows: end there, or use `*` for one token

    pipelines/intent/pipeline.toml:18:46: invalid type: integer `7`, expected a NATS subject as text
      18 | subjects = ["shop..clicks", "shop.>.clicks", 7]
         |                                              ^

    pipelines/intent/pipeline.toml:19:12: invalid type: sequence, expected path string
      19 | contract = [
         |            ^

    pipelines/intent/pipeline.toml:22:16: invalid value: integer `0`, expected a whole number above zero
      22 | remember_ids = 0
         |                ^

    pipelines/intent/pipeline.toml:25:31: the duration "1 month" is in months or years, which have no fixed length
      25 | user_activity = { retention = "1 month" }
         |                               ^
      help: write it in days, such as "30 days"

    pipelines/intent/pipeline.toml:27:1: missing field `graph`
      27 | [model]
         | ^
      help: graph: The ONNX file, relative to the pipeline's folder: yours, or one made by `tidewheel model new`

    pipelines/intent/pipeline.toml:28:10: invalid type: integer `3`, expected a string
      28 | output = 3
         |          ^

    pipelines/intent/pipeline.toml:31:11: subject "recommend.*" has a wildcard
      31 | service = "recommend.*"
         |           ^
      help: one exact subject is needed here: replace `*` by a word

    pipelines/intent/pipeline.toml:32:11: unknown field `row`
      32 | batch = { row = 256, linger = "2" }
         |           ^
      help: did you mean `rows`?

    pipelines/intent/pipeline.toml:32:31: "2" is not a duration: the unit is missing
      32 | batch = { row = 256, linger = "2" }
         |                               ^
      help: write it as "2ms", "30 seconds", "5m", "12h" or "7 days"

    pipelines/intent/pipeline.toml:33:9: invalid type: string "many", expected a whole number above zero
      33 | queue = "many"
         |         ^

    pipelines/intent/pipeline.toml:34:13: invalid type: floating point `1.5`, expected a whole number above zero
      34 | max_items = 1.5
         |             ^

    pipelines/intent/pipeline.toml:36:2: unknown field `sate`
      36 | [sate]
         |  ^
      help: did you mean `state`?
    "#);
}

#[test]
fn broken_toml_is_reported_where_it_breaks() {
    let shop = Shop::new("name = intent\n\n[streams.behavior]\ntime = \"ts\"\ntime = \"ts\"\nretain = \"7d\n");
    insta::assert_snapshot!(shop.problems(), @r#"
    pipelines/intent/pipeline.toml:1:8: invalid float, expected `inf`
       1 | name = intent
         |        ^
      help: text is written in quotes

    pipelines/intent/pipeline.toml:5:1: duplicate key
       5 | time = "ts"
         | ^

    pipelines/intent/pipeline.toml:6:13: invalid basic string, expected `"`
       6 | retain = "7d
         |             ^
    "#);
}

#[test]
fn an_empty_file_lacks_what_a_pipeline_needs() {
    let shop = Shop::new("");
    fs::remove_dir_all(shop.path("pipelines/intent/features")).unwrap();
    insta::assert_snapshot!(shop.problems(), @"
    pipelines/intent/features: no .sql file: a pipeline has at least one feature table
      help: write features/NAME.sql with a SELECT ... GROUP BY over a stream

    pipelines/intent/pipeline.toml: missing field `name`
      help: name: The pipeline's name: a letter a to z, then a to z, 0 to 9, `_` and `-`, at most 40 characters

    pipelines/intent/pipeline.toml: missing field `streams`
      help: streams: The streams of events, each in a section `[streams.NAME]`
    ");
}

/// `check` passed it, and `run` did not start.
#[test]
fn a_place_for_snapshots_that_nobody_knows_is_refused_where_it_is_written() {
    for (given, reason) in
        [("s4://x", "its scheme is unknown"), ("s3:///x", "it names no bucket"), (" ", "it is empty")]
    {
        let shop = Shop::new(&format!("{GOOD}snapshots = {given:?}\n"));
        let problems = shop.problems();
        let expected = format!("location of snapshots {given:?}: {reason}; give a folder, s3://bucket/prefix");
        assert!(problems.contains(&expected) && problems.contains("snapshots = "), "{problems}");
    }
    let shop = Shop::new(&format!("{GOOD}snapshots = \"s3://bucket/prefix\"\n"));
    let location = shop.read().unwrap().settings.state.snapshots.unwrap();
    assert_eq!(location.to_string(), "s3://bucket/prefix");
}

#[test]
fn sections_that_are_no_sections_are_refused() {
    let shop = Shop::new(
        "name = 1\nstreams = []\ntables = 1\nmodel = 'm.onnx'\nscore = [1]\nlabels = []\ntrain = true\nstate = '.state'\n",
    );
    insta::assert_snapshot!(shop.problems(), @r#"
    pipelines/intent/pipeline.toml:1:8: invalid type: integer `1`, expected a pipeline's name as text
       1 | name = 1
         |        ^

    pipelines/intent/pipeline.toml:2:11: `streams` is of type array, expected named sections
       2 | streams = []
         |           ^
      help: write sections [streams.NAME]

    pipelines/intent/pipeline.toml:3:10: `tables` is of type integer, expected named sections
       3 | tables = 1
         |          ^
      help: write sections [tables.NAME]

    pipelines/intent/pipeline.toml:4:9: invalid type: string "m.onnx", expected a section [model]
       4 | model = 'm.onnx'
         |         ^

    pipelines/intent/pipeline.toml:5:9: invalid type: array, expected a table
       5 | score = [1]
         |         ^

    pipelines/intent/pipeline.toml:6:10: invalid type: array, expected a table
       6 | labels = []
         |          ^

    pipelines/intent/pipeline.toml:7:9: invalid type: boolean `true`, expected a section [train]
       7 | train = true
         |         ^

    pipelines/intent/pipeline.toml:8:9: invalid type: string ".state", expected a section [state]
       8 | state = '.state'
         |         ^
    "#);
}

#[test]
fn a_class_is_a_column_or_a_name() {
    let with = |class: &str| Shop::new(&GOOD.replace("[score]", &format!("class = {class}\n\n[score]")));
    for (class, expected) in [("0", Class::At(0)), ("7", Class::At(7)), ("'buy'", Class::Named("buy".to_owned()))] {
        let settings = with(class).read().unwrap().settings;
        assert_eq!(settings.model.unwrap().class, Some(expected));
    }
    assert!(Shop::new(GOOD).read().unwrap().settings.model.unwrap().class.is_none());
    insta::assert_snapshot!(with("-1").problems(), @r#"
    pipelines/intent/pipeline.toml:28:9: invalid value: integer `-1`, expected the number of a column from 0, or the name of a class such as "buy"
      28 | class = -1
         |         ^
    "#);
    for class in ["''", "1.0", "true", "[1]"] {
        let problems = with(class).problems();
        assert!(problems.contains("expected the number of a column from 0"), "{class}: {problems}");
    }
}
