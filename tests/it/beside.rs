//! One of four feature files has changed, and `rebuilding = "empty"`: requests are answered while its table is made again, and
//! through the end of a worker in the middle of it; once it is there, every number is that of the batch select.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use serde_json::{Value, json};
use tidewheel::bus::{Bus, ConnectSettings, Subject};
use tidewheel::config::Folder;
use tidewheel::engine::{Run, RunSettings, load_model};
use tidewheel::model::{MlpSpec, build_mlp};
use tidewheel::pipeline::{Pipeline, StreamIndex, TableIndex, input_spec};
use tidewheel::score::{Arms, rank};
use tidewheel::snapshot::{Location, SnapshotStore};
use tidewheel::step::Step;
use tidewheel::time::EventTime;
use tidewheel::window::Horizon;

use crate::broker::{publish, server, stored, through};
use crate::learning::{a_minute_ago, items, request, until};
use crate::oracle::{self, View};
use crate::taobao::{PATIENCE, root};

const SETTINGS: &str = r#"name = "beside"

[streams.clicks]
subjects = ["shop.clicks"]
contract = "schemas/click.json"
time     = "ts"
id       = "event_id"
disorder = "0s"

[model]
graph = "model.onnx"

[score]
service = "beside.score"
request = "schemas/ranking_request.json"

[labels]
join     = ["request_id", "item_id"]
positive = "kind = 'view'"
window   = "1h"

[state]
rebuilding = "empty"
"#;

const FEATURES: [(&str, &str); 4] = [
    (
        "person",
        "SELECT user_id, count(*) FILTER (WHERE within(ts, '1 hour')) AS views,
        count(DISTINCT item_id) FILTER (WHERE within(ts, '10 seconds')) AS items FROM clicks GROUP BY user_id",
    ),
    (
        "item",
        "SELECT item_id, max(category_id) FILTER (WHERE within(ts, '1 hour')) AS category_id,
        count(*) FILTER (WHERE within(ts, '20 seconds')) AS views FROM clicks GROUP BY item_id",
    ),
    (
        "category",
        "SELECT category_id, sum(price) FILTER (WHERE within(ts, '1 hour')) AS spent FROM clicks GROUP BY category_id",
    ),
    (
        "pair",
        "SELECT user_id, category_id, count(*) FILTER (WHERE within(ts, '1 hour')) AS views
        FROM clicks GROUP BY user_id, category_id",
    ),
];
const PERSON_NOW: &str = "SELECT user_id, count(*) FILTER (WHERE within(ts, '1 hour')) AS views,
    sum(price) FILTER (WHERE within(ts, '5 seconds')) AS spent,
    count(DISTINCT item_id) FILTER (WHERE within(ts, '20 seconds')) AS items FROM clicks GROUP BY user_id";
const VECTOR: &str =
    "SELECT coalesce(p.views, 0) AS person_views, coalesce(p.items, 0) AS person_items, coalesce(i.views, 0) AS item_views,
    coalesce(c.spent, 0.0) AS category_spent, coalesce(pc.views, 0) AS pair_views
    FROM requests r
    LEFT JOIN person p    ON r.user_id = p.user_id
    LEFT JOIN item i      ON r.item_id = i.item_id
    LEFT JOIN category c  ON i.category_id = c.category_id
    LEFT JOIN pair pc     ON r.user_id = pc.user_id AND i.category_id = pc.category_id";

/// One step each, the changed table needs much longer to read so many than a request to be answered.
const EVENTS: u64 = 6_000;
const CANDIDATES: [u64; 4] = [0, 3, 5, 77];

/// The pipeline with this select of `person`, and a model of its vector.
fn pipeline(folder: &Path, person: &str) -> Arc<Pipeline> {
    for part in ["features", "schemas"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    for contract in ["schemas/click.json", "schemas/ranking_request.json"] {
        fs::copy(root().join(contract), folder.join(contract)).unwrap();
    }
    for (name, sql) in FEATURES {
        let sql = if name == "person" { person } else { sql };
        fs::write(folder.join(format!("features/{name}.sql")), sql).unwrap();
    }
    fs::write(folder.join("vector.sql"), VECTOR).unwrap();
    fs::write(folder.join("pipeline.toml"), SETTINGS).unwrap();
    let plan = Folder::read(folder).unwrap().assemble_without_model().unwrap();
    let vector = plan.vector.as_ref().unwrap();
    let spec = MlpSpec {
        columns: vector.columns().to_vec(),
        hidden: vec![16],
        dropout: 0.0,
        seed: 3,
        fingerprint: vector.fingerprint().as_str().to_owned(),
    };
    fs::write(folder.join("model.onnx"), build_mlp(&spec).unwrap()).unwrap();
    Arc::new(Folder::read(folder).unwrap().assemble().unwrap())
}

/// Person, item, category, price and time of an event.
fn event(number: u64, began: u64) -> (u64, u64, u64, f64, u64) {
    let item = number % 11;
    (number % 37, item, item % 4, 0.5 * (number % 9) as f64, began + 4 * number)
}

async fn publish_some(bus: &Bus, numbers: Range<u64>, began: u64) {
    let events = numbers.map(|number| {
        let (user, item, category, price, ts) = event(number, began);
        let event = json!({"event_id": number.to_string(), "user_id": user, "item_id": item, "category_id": category,
            "kind": "view", "price": price, "ts": ts});
        serde_json::to_vec(&event).unwrap()
    });
    publish(bus, "shop.clicks", events).await;
}

/// Events as a table for the batch select.
fn table(count: u64, began: u64) -> RecordBatch {
    let events: Vec<_> = (0..count).map(|number| event(number, began)).collect();
    let whole = |of: fn(&(u64, u64, u64, f64, u64)) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(events.iter().map(|event| of(event) as i64)))
    };
    let times = TimestampMicrosecondArray::from_iter_values(events.iter().map(|event| 1_000 * event.4 as i64));
    let columns: [(&str, ArrayRef); 6] = [
        ("user_id", whole(|event| event.0)),
        ("item_id", whole(|event| event.1)),
        ("category_id", whole(|event| event.2)),
        ("price", Arc::new(Float64Array::from_iter_values(events.iter().map(|event| event.3)))),
        ("ts", Arc::new(times.with_timezone("+00:00"))),
        ("seq", Arc::new(Int64Array::from_iter_values(0..count as i64))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn lines(rows: &RecordBatch) -> BTreeSet<String> {
    let text = pretty_format_batches(std::slice::from_ref(rows)).unwrap().to_string();
    text.lines().map(str::to_owned).collect()
}

async fn ask(bus: &Bus, id: &str) -> Value {
    let service = Subject::new("beside.score").unwrap();
    // The broker may know of the service a moment after the start.
    let answer = async || bus.request(&service, request(id, 1, &CANDIDATES, None).into(), PATIENCE).await.ok();
    let reply = until("an answer", answer).await;
    serde_json::from_slice::<Value>(&reply).unwrap()["items"].take()
}

/// The answer from the first events, with a table of people who were never seen or with a whole one.
async fn expected(bus: &Bus, pipeline: &Arc<Pipeline>, events: u64, is_seen: bool) -> Value {
    let mut step = Step::new(Arc::clone(pipeline)).unwrap();
    if !is_seen {
        let person = pipeline.tables.iter().position(|table| table.plan.name() == "person").unwrap();
        step.leave_empty(&[TableIndex(person)]);
    }
    let messages = stored(bus, &input_spec(pipeline, &pipeline.streams[0]).name).await;
    step.events(StreamIndex(0), &messages[..events as usize], false).unwrap();
    let now = EventTime(1_000 * (a_minute_ago() + 60_000) as i64);
    let output = step.requests(&[request("expected", 1, &CANDIDATES, None).into()], now).unwrap();
    let mut arms = Arms::new(load_model(pipeline).unwrap().unwrap());
    let width = pipeline.vector.as_ref().unwrap().columns().len();
    let ranked = rank(&mut arms, &output.job, width, 256).unwrap();
    serde_json::from_slice::<Value>(&ranked[0].payload).unwrap()["items"].take()
}

async fn newest_snapshot(location: &Location) -> u64 {
    let store = SnapshotStore::open(location).await.unwrap();
    store.generations().await.unwrap().into_iter().flatten().next().unwrap().number()
}

/// Rows of a table of a running pipeline.
async fn take(run: &Run, table: &str) -> Result<RecordBatch, String> {
    let view = run.views().take(vec![table.to_owned()]).await.map_err(|error| error.to_string())?;
    let mut rows = view.into_batches().unwrap().map(Result::unwrap);
    Ok(rows.next().unwrap().1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_while_one_of_four_tables_is_made_again_and_then_it_equals_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(&folder.path().join("broker")).await;
    let snapshots = Location::folder(folder.path().join("snapshots"));
    let start = async |pipeline: &Arc<Pipeline>| {
        let own = Bus::connect(&ConnectSettings::to_url(server.url())).await.unwrap();
        let settings = RunSettings {
            version: "0.0.1".to_owned(),
            snapshots: Some(snapshots.clone()),
            step_rows: Some(1),
            ..RunSettings::default()
        };
        (Run::start(Arc::clone(pipeline), &own, &settings).await.unwrap(), own)
    };
    let began = a_minute_ago();
    let before = pipeline(folder.path(), FEATURES[0].1);
    let (run, _own) = start(&before).await;
    publish_some(&bus, 0..EVENTS, began).await;
    through(&run, &bus, &before).await;
    run.stop().await.unwrap();
    let saved = newest_snapshot(&snapshots).await;

    let after = pipeline(folder.path(), PERSON_NOW);
    let (run, own) = start(&after).await;
    let answer = ask(&bus, "incomplete").await;
    let refused = take(&run, "person").await.expect_err("the table is there as soon as the answer");
    assert!(refused.starts_with("table person is being made again"), "{refused}");
    for (kept, _) in &FEATURES[1..] {
        assert!(take(&run, kept).await.unwrap().num_rows() > 3, "{kept} is kept");
    }
    publish_some(&bus, EVENTS..EVENTS + 200, began).await;
    drop(run);
    own.close().await.unwrap();
    assert_eq!(newest_snapshot(&snapshots).await, saved, "there is no snapshot without the table");
    assert_eq!(answer, expected(&bus, &after, EVENTS, false).await, "its people were never seen");
    assert_ne!(answer, expected(&bus, &after, EVENTS, true).await, "the model tells people by it");

    let (run, _own) = start(&after).await;
    assert_eq!(
        ask(&bus, "again").await,
        expected(&bus, &after, EVENTS + 200, false).await,
        "after the end in the middle, too"
    );
    publish_some(&bus, EVENTS + 200..EVENTS + 300, began).await;
    until("the table", async || take(&run, "person").await.ok()).await;
    publish_some(&bus, EVENTS + 300..EVENTS + 400, began).await;
    through(&run, &bus, &after).await;
    let context = SessionContext::new();
    context.register_batch("clicks", table(EVENTS + 400, began)).unwrap();
    let newest = 1_000 * event(EVENTS + 399, began).4 as i64;
    for (name, sql) in FEATURES.map(|(name, sql)| (name, if name == "person" { PERSON_NOW } else { sql })) {
        let view = View { at: newest, upto: i64::MAX, key: "true".to_owned() };
        let batch = oracle::rows(&context, sql, "clicks", Horizon::new(3_600_000_000), &view).await;
        assert_eq!(lines(&take(&run, name).await.unwrap()), lines(&batch), "{name}");
    }
    let answer = ask(&bus, "complete").await;
    assert_eq!(answer, expected(&bus, &after, EVENTS + 400, true).await, "vectors are complete");
    let shown = until("what was shown", async || Some(run.stats().labels().shown).filter(|shown| *shown > 0)).await;
    assert_eq!(shown, items(&json!({"items": answer})).len() as u64, "only what was complete is learnt from");
    run.stop().await.unwrap();

    let (run, _own) = start(&after).await;
    assert_eq!(take(&run, "person").await.unwrap().num_rows(), 37, "nothing is made again any more");
    run.stop().await.unwrap();
    server.stop().await.unwrap();
}
