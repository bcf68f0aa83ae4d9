//! Names in the broker: those that belong to somebody else, and those that come out the same.

use super::*;

fn messages(shop: &Shop) -> Vec<String> {
    shop.read().map_or_else(|problems| problems.iter().map(|p| p.message.clone()).collect(), |_| Vec::new())
}

/// The messages of a pipeline with other words in its settings.
fn with(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    messages(&Shop::new(&GOOD.replace(from, to)))
}

#[test]
fn a_subject_that_is_set_aside_is_no_stream_s() {
    let overlaps = |filter: &str, rest: &str| vec![format!("subject `{filter}` of stream `behavior` overlaps {rest}")];
    let reading = |filter: &str| with("\"shop.behavior\"", &format!("\"{filter}\""));
    assert_eq!(reading("*.clicks"), overlaps("*.clicks", "`$JS.>`, where the broker itself is asked"));
    assert_eq!(reading("_INBOX.a.b"), overlaps("_INBOX.a.b", "`_INBOX.>`, where replies go"));
    let workers = "`tidewheel.worker.*`, where workers are asked whether they are there";
    assert_eq!(reading("tidewheel.>"), overlaps("tidewheel.>", workers));
    let trainers = "`tidewheel.trainer.*`, where trainers are asked whether they are there";
    assert_eq!(reading("tidewheel.trainer.intent"), overlaps("tidewheel.trainer.intent", trainers));
    assert_eq!(reading("tidewheel.clicks"), Vec::<String>::new(), "the rest of that word is free");
}

#[test]
fn nothing_is_published_or_served_where_others_are_spoken_to() {
    assert_eq!(
        with("\"intent.scored\"", "\"_INBOX.me\""),
        ["rankings go to `_INBOX.me`, one of `_INBOX.>`, where replies go"]
    );
    assert_eq!(
        with("\"intent.score\"", "\"tidewheel.worker.other\""),
        [
            "requests go to `tidewheel.worker.other`, one of `tidewheel.worker.*`, where workers are asked whether they are there"
        ]
    );
}

#[test]
fn queries_have_a_subject_of_their_own() {
    assert_eq!(with("\"intent.scored\"", "\"intent.sql\""), ["rankings and queries both go to `intent.sql`"]);
    assert_eq!(with("\"intent.score\"", "\"intent.sql\""), ["requests and queries both go to `intent.sql`"]);
    assert_eq!(
        with("\"shop.behavior\"", "\"intent.sql\""),
        ["queries go to `intent.sql`, which stream `behavior` reads through `intent.sql`"]
    );
}

#[test]
fn rows_and_rankings_have_subjects_of_their_own_that_no_stream_reads() {
    let published = |user: &str, item: &str| {
        let item_trend = format!("[tables.item_trend]\npublish = \"{item}\"\n");
        with("[tables.user_activity]\n", &format!("{item_trend}[tables.user_activity]\npublish = \"{user}\"\n"))
    };
    assert_eq!(published("intent.users", "intent.items"), Vec::<String>::new());
    assert_eq!(
        published("intent.rows", "intent.rows"),
        ["rows of `user_activity` and rows of `item_trend` both go to `intent.rows`"]
    );
    assert_eq!(
        published("intent.users", "intent.scored"),
        ["rows of `item_trend` and rankings both go to `intent.scored`"]
    );
    assert_eq!(
        published("app.web.behavior", "intent.items"),
        ["rows of `user_activity` go to `app.web.behavior`, which stream `behavior` reads through `app.*.behavior`"]
    );
}

/// A pipeline of this name with one stream; its contract and its table are there.
fn small(name: &str, stream: &str, subject: &str) -> String {
    format!(
        "name = \"{name}\"\n\n[streams.{stream}]\nsubjects = [\"{subject}\"]\ncontract = \"schemas/behavior.json\"\ntime = \"ts\"\n"
    )
}

#[test]
fn a_stream_is_not_called_like_what_the_pipeline_makes_itself() {
    insta::assert_snapshot!(Shop::new(&small("intent", "out", "shop.clicks")).problems(), @"
    pipelines/intent/pipeline.toml:3:10: stream `out` and what the pipeline puts out are both called `INTENT_OUT` in the broker
       3 | [streams.out]
         |          ^
      help: give the stream another name
    ");
    let impressions = GOOD
        .replace("streams.behavior", "streams.impressions")
        .replace("stream = \"behavior\"", "stream = \"impressions\"");
    assert_eq!(
        messages(&Shop::new(&impressions)),
        ["stream `impressions` and what was shown are both called `INTENT_IMPRESSIONS` in the broker"]
    );
    assert_eq!(
        messages(&Shop::new(&small("intent", "impressions", "shop.clicks"))),
        Vec::<String>::new(),
        "without [labels] nothing that was shown is kept"
    );
    let registry = GOOD
        .replace("name = \"intent\"", "name = \"kv\"")
        .replace("streams.behavior", "streams.kv_registry")
        .replace("stream = \"behavior\"", "stream = \"kv_registry\"");
    assert_eq!(
        messages(&Shop::new(&registry)),
        ["stream `kv_registry` and the registry of models are both called `KV_KV_REGISTRY` in the broker"]
    );
}

#[test]
fn a_reference_table_does_not_read_what_the_pipeline_keeps() {
    let bucket = |bucket: &str| {
        let reference = format!(
            "[references.items]\nbucket = \"{bucket}\"\nkey = [\"item_id\"]\ncontract = \"schemas/behavior.json\"\n\n[model]"
        );
        Shop::new(&GOOD.replace("[model]", &reference))
    };
    assert_eq!(messages(&bucket("ITEMS")), Vec::<String>::new());
    insta::assert_snapshot!(bucket("INTENT_REGISTRY").problems(), @r#"
    pipelines/intent/pipeline.toml:25:10: bucket "INTENT_REGISTRY" of reference table `items` is what holds the registry of models
      25 | bucket = "INTENT_REGISTRY"
         |          ^
      help: name a bucket that only has rows of the table
    "#);
}

/// A folder that nothing is wrong with, whose settings have this stream.
fn runnable(settings: &str, stream: &str) -> Shop {
    let sql = format!("SELECT item_id, count(*) AS n FROM {stream} GROUP BY item_id, tumble(ts, '1 minute')");
    let shop = Shop::new(settings);
    shop.write("schemas/behavior.json", windows::CONTRACT);
    shop.write("pipelines/intent/features/user_activity.sql", sql);
    for file in ["features/item_trend.sql", "vector.sql"] {
        fs::remove_file(shop.path("pipelines/intent").join(file)).unwrap();
    }
    shop
}

#[test]
fn two_pipelines_side_by_side_do_not_share_a_stream_of_the_broker() {
    let shop = runnable(&small("a", "b_c", "shop.clicks"), "b_c");
    let checked = || match Folder::check(&shop.path("pipelines/intent")) {
        Ok(_) => "no problems".to_owned(),
        Err(problems) => problems.to_string().replace(&format!("{}/", shop.root.path().display()), ""),
    };
    assert_eq!(checked(), "no problems");
    shop.write("pipelines/other/pipeline.toml", small("a_b", "c", "shop.views"));
    shop.write("pipelines/.hidden/pipeline.toml", small("a_b", "c", "shop.views"));
    shop.write("pipelines/broken/pipeline.toml", "name = ");
    shop.write("pipelines/copy/pipeline.toml", small("a", "b_c", "shop.clicks"));
    insta::assert_snapshot!(checked(), @"
    pipelines/intent/pipeline.toml:3:10: stream `b_c` is called `A_B_C` in the broker, and so is stream `c` of pipeline `a_b` in the folder `other` beside this one
       3 | [streams.b_c]
         |          ^
      help: rename one of them: a broker has room for one of that name, which pipelines share where each gives it as `stream` with the same `subjects`
    ");
    assert!(shop.read().is_ok(), "it can run, where the other one does not");
}

#[test]
fn two_pipelines_share_a_stream_that_both_name_with_the_same_subjects() {
    let shared = |name: &str, stream: &str, subject: &str| {
        small(name, stream, subject).replace("time = ", "stream = \"SHOP\"\ntime = ")
    };
    let shop = runnable(&shared("a", "clicks", "shop.clicks"), "clicks");
    let problems = |other: &str| {
        shop.write("pipelines/other/pipeline.toml", other);
        Folder::check(&shop.path("pipelines/intent")).err().map(|problems| problems.to_string()).unwrap_or_default()
    };
    assert_eq!(problems(&shared("b", "views", "shop.clicks")), "");
    let clash = "stream `clicks` is called `SHOP` in the broker, and so is stream `views` of pipeline `b`";
    assert!(problems(&shared("b", "views", "shop.views")).contains(clash), "other subjects");
    let unnamed = small("a", "clicks", "shop.clicks").replace("time = ", "stream = \"B_VIEWS\"\ntime = ");
    shop.write("pipelines/intent/pipeline.toml", unnamed);
    let found = problems(&small("b", "views", "shop.clicks"));
    assert!(found.contains("stream `clicks` is called `B_VIEWS` in the broker"), "one has not named it: {found}");
}

#[test]
fn names_that_are_chosen_are_none_that_something_else_has() {
    let named = |names: &str| messages(&Shop::new(&format!("{GOOD}\n[names]\n{names}\n")));
    assert_eq!(
        named("subjects = \"f.shop\"\noutput = \"A\"\nimpressions = \"B\"\nmodels = \"C\"\nregistry = \"D\""),
        Vec::<String>::new()
    );
    assert_eq!(
        named("output = \"SAME\"\nimpressions = \"SAME\""),
        ["what was shown and what the pipeline puts out are both called `SAME` in the broker"]
    );
    assert_eq!(
        named("output = \"INTENT_BEHAVIOR\""),
        ["stream `behavior` and what the pipeline puts out are both called `INTENT_BEHAVIOR` in the broker"]
    );
    assert_eq!(
        named("registry = \"R\"\noutput = \"KV_R\""),
        ["the registry of models and what the pipeline puts out are both called `KV_R` in the broker"]
    );
    let read = Shop::new(
        &GOOD.replace("\"shop.behavior\"", "\"mine.*\"").replace("[tables.", "[names]\nsubjects = \"mine\"\n[tables."),
    );
    let found = messages(&read);
    assert!(
        found.contains(&"dead letters go to `mine.dead`, which stream `behavior` reads through `mine.*`".to_owned()),
        "{found:?}"
    );
    let found = named("models = \"a.b\"\nouput = \"X\"");
    assert!(found.contains(&"unknown field `ouput`".to_owned()), "{found:?}");
    assert!(found.contains(&"\"a.b\" can't name a bucket".to_owned()), "{found:?}");
}

#[test]
fn a_pipeline_that_reads_somebody_elses_stream_speaks_where_that_does_not_listen() {
    let names = |settings: &str| Shop::new(settings).read().unwrap().settings.names();
    assert_eq!(names(GOOD).commits().as_str(), "intent.commits");
    let limits = "retain = \"30 days\"\nmax_bytes = \"1 GiB\"\n";
    let source = GOOD.replace(limits, "").replace("[streams.behavior]", "[streams.behavior]\nsource = \"EVENTS\"");
    assert_eq!(names(&source).commits().as_str(), "tidewheel.out.intent.commits");
    assert_eq!(names(&source).output_stream(), "INTENT_OUT");
    let chosen = format!("{source}\n[names]\nsubjects = \"intent\"\n");
    assert_eq!(names(&chosen).commits().as_str(), "intent.commits");
}
