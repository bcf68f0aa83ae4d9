//! What the parts of a folder say of each other.

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "one folder with all that can be wrong, and what is said of it")]
fn every_broken_rule_is_reported_at_its_place() {
    let shop = Shop::new(
        r#"name = "intent"

[streams.behavior]
subjects = ["shop.>", "intent.*"]
contract = "schemas/behaviour.json"
time = "ts"

[streams.clicks]
subjects = ["shop.clicks", "shop.*"]
contract = "schemas/behavior.json"
time = "ts"

[streams.requests]
subjects = []
contract = "schemas/behavior.json"
time = "ts"

[tables.user_activty]
retention = "1d"

[tables.prices]

[score]
service = "shop.score"
on = "kind = 'pv'"
publish = "intent.dead"
request = "schemas/none.json"
"#,
    );
    shop.write("pipelines/intent/features/Item-Trend.sql", "SELECT 1");
    shop.write("pipelines/intent/features/requests.sql", "SELECT 1");
    shop.write("pipelines/intent/features/user_latin.sql", b"SELECT\n 'caf\xe9'");
    fs::remove_file(shop.path("pipelines/intent/vector.sql")).unwrap();
    insta::assert_snapshot!(shop.problems(), @r#"
    pipelines/intent/features/Item-Trend.sql: "Item-Trend" is not a name that SQL takes without quotes
      help: call it `item_trend`

    pipelines/intent/features/requests.sql: "requests" can't name a table
      help: vector.sql calls the rows to score so

    pipelines/intent/features/user_latin.sql:2:6: the text is not UTF-8 from here on
       2 |  'caf�'
         |      ^
      help: save it as UTF-8

    pipelines/intent/pipeline.toml:1:8: dead letters go to `intent.dead`, which stream `behavior` reads through `intent.*`
       1 | name = "intent"
         |        ^
      help: choose another subject, or narrow the stream's

    pipelines/intent/pipeline.toml:1:8: commits go to `intent.commits`, which stream `behavior` reads through `intent.*`
       1 | name = "intent"
         |        ^
      help: choose another subject, or narrow the stream's

    pipelines/intent/pipeline.toml:1:8: queries go to `intent.sql`, which stream `behavior` reads through `intent.*`
       1 | name = "intent"
         |        ^
      help: choose another subject, or narrow the stream's

    pipelines/intent/pipeline.toml:5:12: contract "schemas/behaviour.json" not found
       5 | contract = "schemas/behaviour.json"
         |            ^
      help: it is looked for in the pipeline's folder and in each folder above it

    pipelines/intent/pipeline.toml:9:13: subject `shop.clicks` of stream `clicks` overlaps `shop.>` of stream `behavior`
       9 | subjects = ["shop.clicks", "shop.*"]
         |             ^
      help: an event belongs to one stream: narrow or remove one of them

    pipelines/intent/pipeline.toml:9:28: subject `shop.*` of stream `clicks` overlaps `shop.>` of stream `behavior`
       9 | subjects = ["shop.clicks", "shop.*"]
         |                            ^
      help: an event belongs to one stream: narrow or remove one of them

    pipelines/intent/pipeline.toml:13:10: a stream can't be called `requests`: vector.sql calls the rows to score so
      13 | [streams.requests]
         |          ^

    pipelines/intent/pipeline.toml:14:12: stream `requests` has no subject
      14 | subjects = []
         |            ^

    pipelines/intent/pipeline.toml:18:9: there is no features/user_activty.sql
      18 | [tables.user_activty]
         |         ^
      help: did you mean `user_activity`?

    pipelines/intent/pipeline.toml:21:9: there is no features/prices.sql
      21 | [tables.prices]
         |         ^
      help: write features/prices.sql, or remove the section

    pipelines/intent/pipeline.toml:23:1: [score] needs a section [model]
      23 | [score]
         | ^
      help: add graph = "model/NAME.onnx" to it; `tidewheel model new` makes such a file

    pipelines/intent/pipeline.toml:24:11: requests go to `shop.score`, which stream `behavior` reads through `shop.>`
      24 | service = "shop.score"
         |           ^
      help: choose another subject, or narrow the stream's

    pipelines/intent/pipeline.toml:25:6: `on` needs `stream`, for there are several
      25 | on = "kind = 'pv'"
         |      ^
      help: add stream = "NAME", one of `behavior`, `clicks`, `requests`

    pipelines/intent/pipeline.toml:26:11: rankings go to `intent.dead`, which stream `behavior` reads through `intent.*`
      26 | publish = "intent.dead"
         |           ^
      help: choose another subject, or narrow the stream's

    pipelines/intent/pipeline.toml:26:11: rankings and dead letters both go to `intent.dead`
      26 | publish = "intent.dead"
         |           ^
      help: give each a subject of its own

    pipelines/intent/pipeline.toml:27:11: contract "schemas/none.json" not found
      27 | request = "schemas/none.json"
         |           ^
      help: it is looked for in the pipeline's folder and in each folder above it

    pipelines/intent/vector.sql: file not found, and [score] needs it
      help: write a SELECT from `requests` whose columns are the model's inputs
    "#);
}

#[test]
fn score_says_when_and_of_what() {
    let score = |keys: &str| {
        let head = GOOD.split_once("[score]").unwrap().0;
        let shop = Shop::new(&format!("{head}\n[score]\n{keys}\n"));
        shop.read().map_or_else(|problems| problems.iter().map(|p| p.message.clone()).collect(), |_| Vec::new())
    };
    assert_eq!(score("on = 'true'"), Vec::<String>::new());
    assert_eq!(score("service = 's'\nrequest = 'schemas/request.json'"), Vec::<String>::new());
    assert_eq!(score("service = 's'\non = 'true'"), Vec::<String>::new(), "requests look like events");
    let refused = [
        "publish = 'p'",
        "service = 's'",
        "on = 'true'\nrequest = 'schemas/request.json'",
        "service = 's'\nrequest = 'schemas/request.json'\nstream = 'behavior'",
        "on = 'true'\nstream = 'behaviour'",
        "service = 's'\non = 'true'\npublish = 's'",
    ]
    .map(|keys| score(keys).join(" | "));
    insta::assert_snapshot!(refused.join("\n"), @"
    [score] has neither `service` nor `on`, so nothing would ever be scored
    `service` needs `request`, the contract of its requests
    `request` has no meaning without `service`
    `stream` has no meaning without `on`
    stream `behaviour` not found
    rankings and requests both go to `s`
    ");
}

#[test]
fn a_faulty_section_is_not_blamed_twice() {
    let broken_stream = GOOD.replace("disorder = \"0s\"", "disorder = \"soon\"");
    let shop = Shop::new(&broken_stream);
    assert_eq!(shop.read().unwrap_err().iter().count(), 1, "score.stream names it all the same");
    let broken_score = GOOD.replace("service = \"intent.score\"", "service = \"\"").replace("\non = ", "\n#");
    let shop = Shop::new(&broken_score);
    assert_eq!(shop.read().unwrap_err().iter().count(), 1, "there is a service, though a bad one");
}

#[test]
fn each_missing_section_is_blamed_once_on_what_needs_it() {
    let without = |sections: &[&str]| {
        let mut text = String::new();
        for part in GOOD.split("\n\n").filter(|part| !sections.iter().any(|section| part.starts_with(section))) {
            text.push_str(part);
            text.push_str("\n\n");
        }
        let read = Shop::new(&text).read();
        read.map_or_else(|problems| problems.iter().map(|p| p.message.clone()).collect(), |_| Vec::new()).join(" | ")
    };
    assert_eq!(without(&[]), "");
    assert_eq!(without(&["[train]"]), "", "examples may be kept for later");
    assert_eq!(without(&["[train]", "[labels]"]), "");
    let refused = [
        without(&["[labels]"]),
        without(&["[score]"]),
        without(&["[model]"]),
        without(&["[labels]", "[score]"]),
        without(&["[score]", "[model]"]),
        without(&["[labels]", "[score]", "[model]"]),
        without(&["[train]", "[score]"]),
    ];
    insta::assert_snapshot!(refused.join("\n"), @"
    [train] needs a section [labels]
    [labels] needs a section [score]
    [score] needs a section [model]
    [train] needs a section [labels] | [train] needs a section [score]
    [labels] needs a section [score] | [labels] needs a section [model]
    [train] needs a section [labels] | [train] needs a section [score] | [train] needs a section [model]
    [labels] needs a section [score]
    ");
}

#[test]
fn feedback_comes_from_a_stream_that_is_known() {
    let several = GOOD.replace(
        "[tables.user_activity]",
        "[streams.clicks]\nsubjects = [\"clicks\"]\ncontract = \"schemas/behavior.json\"\ntime = \"ts\"\n\n[tables.user_activity]",
    );
    let labels = |stream: &str| {
        let (head, tail) = several.split_once("[labels]\nstream = \"behavior\"\n").unwrap();
        Shop::new(&format!("{head}[labels]\n{stream}\n{tail}"))
    };
    let feedback = labels("stream = 'clicks'").read().unwrap();
    assert_eq!(feedback.settings.feedback().unwrap().0.as_str(), "clicks");
    insta::assert_snapshot!(labels("").problems(), @r#"
    pipelines/intent/pipeline.toml:47:12: `positive` needs `stream`, for there are several
      47 | positive = "behavior = 'buy'"
         |            ^
      help: add stream = "NAME", one of `behavior`, `clicks`
    "#);
    insta::assert_snapshot!(labels("stream = 'click'").problems(), @"
    pipelines/intent/pipeline.toml:45:10: stream `click` not found
      45 | stream = 'click'
         |          ^
      help: did you mean `clicks`?
    ");
}

#[test]
fn examples_and_impressions_are_no_events_and_no_answers() {
    let shop = Shop::new(
        &GOOD.replace("\"shop.behavior\"", "\"intent.examples\"").replace("intent.score\"", "intent.impressions\""),
    );
    insta::assert_snapshot!(shop.problems(), @r#"
    pipelines/intent/pipeline.toml:2:8: examples go to `intent.examples`, which stream `behavior` reads through `intent.examples`
       2 | name = "intent"
         |        ^
      help: choose another subject, or narrow the stream's

    pipelines/intent/pipeline.toml:29:11: requests and impressions both go to `intent.impressions`
      29 | service = "intent.impressions"
         |           ^
      help: give each a subject of its own
    "#);
    let unlabelled = GOOD.split_once("[labels]").unwrap().0.replace("\"shop.behavior\"", "\"intent.examples\"");
    assert!(Shop::new(&unlabelled).read().is_ok(), "without [labels] they are nobody's");
}
