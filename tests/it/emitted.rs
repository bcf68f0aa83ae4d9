//! Tables of windows from the bus to the bus, to SQL, to vectors and to a Delta table.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tidewheel::bus::{Encoding, Message, StreamSequence, Subject};
use tidewheel::config::Folder;
use tidewheel::engine::{Run, RunSettings};
use tidewheel::history::History;
use tidewheel::pipeline::StreamIndex;
use tidewheel::pipeline::{Pipeline, output_spec};
use tidewheel::query;
use tidewheel::step::Step;

use crate::broker::{pipeline, publish, server, stored, through};
use crate::taobao::root;

/// 2023-11-14T22:00:00Z, in milliseconds.
const START: u64 = 1_699_999_200_000;

fn click(id: u64, user: u64, item: u64, at_ms: u64) -> Vec<u8> {
    let event = json!({"event_id": id.to_string(), "user_id": user, "item_id": item, "category_id": 1 + item % 3,
        "kind": "view", "price": 2.5, "ts": START + at_ms});
    serde_json::to_vec(&event).unwrap()
}

/// Ten minutes of clicks, four a second.
fn clicks() -> impl Iterator<Item = Vec<u8>> {
    (0..2_400).map(|index| click(index, index % 17, index % 5, index * 250))
}

/// Runs a pipeline that keeps the history of its tables in a folder.
pub async fn start(pipeline: &Arc<Pipeline>, bus: &tidewheel::bus::Bus, folder: &Path) -> Run {
    let settings = RunSettings { history: Some(folder.join("history")), ..RunSettings::default() };
    Run::start(Arc::clone(pipeline), bus, &settings).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_published_once_through_a_restart_and_can_be_queried() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = pipeline("trends");
    let run = start(&pipeline, &bus, folder.path()).await;
    publish(&bus, "shop.clicks.eu", clicks()).await;
    through(&run, &bus, &pipeline).await;
    let sql = "SELECT count(*) AS items, sum(views) AS views FROM item_minute";
    let view = run.views().take(query::table_names(sql).unwrap()).await.unwrap();
    let answer = query::run_view(sql, view, &query::Limits::default()).unwrap().render(query::Format::Json).unwrap();
    assert_eq!(answer, r#"[{"items":5,"views":240}]"#, "the newest minute of each item that has closed");
    run.stop().await.unwrap();

    let minutes = |messages: &[Message]| -> Vec<Value> {
        let of_items = messages.iter().filter(|message| message.subject.as_str() == "trends.items");
        of_items.map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
    };
    let before = minutes(&stored(&bus, &output_spec(&pipeline).name).await);
    // The watermark is two seconds behind 22:09:59.75.
    assert_eq!(before.len(), 9 * 5);
    let expected =
        json!({"item_id": 0, "window_start": "2023-11-14T22:00:00Z", "views": 48, "people": 17, "revenue": 0.0});
    assert_eq!(before[0], expected);
    let last = bus.last_message("TRENDS_OUT", &Subject::new("trends.items").unwrap()).await.unwrap().unwrap();
    assert_eq!(last.header("Tidewheel-Table"), Some("item_minute"));
    assert_eq!(last.header("Tidewheel-Kind"), Some("final"));
    assert_eq!(last.header("Tidewheel-Key"), Some("[4]"));
    assert_eq!(last.header("Tidewheel-Window"), Some("2023-11-14T22:08:00Z/2023-11-14T22:09:00Z"));
    assert!(last.header("Tidewheel-Id").is_some_and(|id| id.starts_with("row-item_minute-final-")));

    let run = start(&pipeline, &bus, folder.path()).await;
    publish(&bus, "shop.clicks.eu", [click(9_999, 1, 3, 605_000)]).await;
    through(&run, &bus, &pipeline).await;
    run.stop().await.unwrap();
    let after = minutes(&stored(&bus, &output_spec(&pipeline).name).await);
    assert_eq!(after.len(), 10 * 5, "one minute more, and nothing twice");
    assert_eq!(after[..before.len()], before);
    server.stop().await.unwrap();
}

/// A copy of the shipped pipeline whose minutes are kept in a Delta table.
fn kept(folder: &Path) -> Arc<Pipeline> {
    let to = folder.join("trends");
    for part in ["features", "schemas"] {
        fs::create_dir_all(to.join(part)).unwrap();
    }
    let from = root().join("pipelines/trends");
    fs::copy(root().join("schemas/click.json"), to.join("schemas/click.json")).unwrap();
    for file in ["features/item_minute.sql", "features/category_trend.sql", "features/visit.sql", "categories.csv"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let settings = fs::read_to_string(from.join("pipeline.toml")).unwrap();
    let settings = settings.replace("publish   = \"trends.items\"", "publish   = \"trends.items\"\nhistory   = true");
    assert!(settings.contains("history   = true"));
    fs::write(to.join("pipeline.toml"), settings).unwrap();
    Arc::new(Folder::read(&to).unwrap().assemble().unwrap())
}

/// How many rows the Delta table of the only table with a history has.
pub async fn kept_rows(pipeline: &Pipeline, folder: &Path) -> usize {
    let table = &pipeline.tables.iter().find(|table| table.history.is_some()).unwrap().plan;
    let time = arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("+00:00".into()));
    let field = |name: &str, kind| Arc::new(arrow::datatypes::Field::new(name, kind, true));
    let others = [
        field("window_end", time.clone()),
        field("emission", arrow::datatypes::DataType::Utf8),
        field("emitted_at", time),
    ];
    let fields = table.schema().fields().to_vec().into_iter().chain(others);
    let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
    let history = History::open(folder, table.name(), &schema).await.unwrap();
    history.rows().unwrap().iter().map(arrow::array::RecordBatch::num_rows).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_in_the_delta_table_once_through_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = kept(folder.path());
    let run = start(&pipeline, &bus, folder.path()).await;
    publish(&bus, "shop.clicks.eu", clicks().take(1_300)).await;
    through(&run, &bus, &pipeline).await;
    run.stop().await.unwrap();
    let run = start(&pipeline, &bus, folder.path()).await;
    publish(&bus, "shop.clicks.eu", clicks().skip(1_300)).await;
    through(&run, &bus, &pipeline).await;
    run.stop().await.unwrap();
    assert_eq!(fs::read_dir(folder.path().join("history")).unwrap().count(), 1, "one table is kept");
    let rows = kept_rows(&pipeline, &folder.path().join("history")).await;
    assert_eq!(rows, 9 * 5, "nine minutes have closed, each item is there once");
    server.stop().await.unwrap();
}

const VECTOR_PIPELINE: &str = r#"name = "fresh"

[streams.clicks]
subjects = ["shop.clicks.>"]
contract = "schemas/click.json"
time     = "ts"
disorder = "0s"

[tables.item_minute]
emit = { early = "2s" }

[model]
graph = "model.onnx"

[score]
on = "user_id = 3"
"#;

const VECTOR: &str = "SELECT coalesce(m.views, 0) AS views, coalesce(m.people, 0) AS people FROM requests r
    LEFT JOIN item_minute m ON r.item_id = m.item_id";

#[test]
fn a_vector_sees_the_rows_that_were_emitted_before_its_event_however_events_are_cut_into_steps() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path();
    fs::create_dir_all(to.join("features")).unwrap();
    fs::create_dir_all(to.join("schemas")).unwrap();
    fs::copy(root().join("schemas/click.json"), to.join("schemas/click.json")).unwrap();
    fs::copy(root().join("pipelines/trends/features/item_minute.sql"), to.join("features/item_minute.sql")).unwrap();
    fs::write(to.join("pipeline.toml"), VECTOR_PIPELINE).unwrap();
    fs::write(to.join("vector.sql"), VECTOR).unwrap();
    let pipeline = Arc::new(Folder::read(to).unwrap().assemble_without_model().unwrap());
    let messages: Vec<Message> = clicks()
        .enumerate()
        .map(|(index, payload)| Message {
            payload: payload.into(),
            sequence: StreamSequence(index as u64 + 1),
            published_micros: 1_800_000_000_000_000,
            encoding: Encoding::Json,
            subject: Subject::new("shop.clicks.eu").unwrap(),
        })
        .collect();
    let vectors = |size: usize| -> Vec<f32> {
        let mut step = Step::new(Arc::clone(&pipeline)).unwrap();
        let steps = messages.chunks(size).map(|messages| step.events(StreamIndex(0), messages, true).unwrap());
        steps.flat_map(|output| output.job.matrix.values).collect()
    };
    let one_by_one = vectors(1);
    assert_eq!(one_by_one.len(), 2 * 141, "two columns for each click of user 3");
    assert!(one_by_one.iter().any(|value| *value > 40.0), "a minute that is nearly over");
    for size in [7, 100, 2_400] {
        assert_eq!(vectors(size), one_by_one, "steps of {size}");
    }
}
