//! A running pipeline joins what a key-value bucket holds now: no value whose time is over, none that was purged, none that
//! breaks its contract. A restart finds the same.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tidewheel::bus::{Bus, Outgoing, Subject};
use tidewheel::config::Folder;
use tidewheel::engine::Run;
use tidewheel::pipeline::Pipeline;
use tidewheel::query;

use crate::broker::{publish, server, start, through};
use crate::taobao::PATIENCE;

const SETTINGS: &str = r#"name = "priced"

[streams.clicks]
subjects = ["shop.clicks"]
contract = "click.json"
time     = "ts"

[references.items]
bucket   = "items"
key      = ["item_id"]
contract = "item.json"
"#;
const CLICK: &str = r#"{"type": "object", "required": ["item_id", "ts"], "properties": {
    "item_id": {"type": "integer"}, "ts": {"type": "integer"}}}"#;
const ITEM: &str = r#"{"type": "object", "required": ["item_id"], "properties": {
    "item_id": {"type": "integer"}, "price": {"type": "number", "minimum": 0}}}"#;
const FEATURE: &str = "SELECT c.item_id, count(*) AS clicks, count(i.price) AS priced \
     FROM clicks c LEFT JOIN items i ON c.item_id = i.item_id GROUP BY c.item_id";

fn folder(folder: &Path) -> Arc<Pipeline> {
    fs::create_dir_all(folder.join("features")).unwrap();
    let files =
        [("pipeline.toml", SETTINGS), ("click.json", CLICK), ("item.json", ITEM), ("features/item.sql", FEATURE)];
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    Arc::new(Folder::read(folder).unwrap().assemble().unwrap())
}

/// Asks the server as an operator's tool does.
async fn ask(bus: &Bus, question: &str, body: Value) {
    let subject = Subject::new(format!("$JS.API.{question}")).unwrap();
    let answer = bus.request(&subject, body.to_string().into(), PATIENCE).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer.get("error"), None);
}

async fn put(bus: &Bus, key: &str, value: &str, lives: Option<&str>) {
    let message = Outgoing::new(Subject::new(format!("$KV.items.{key}")).unwrap(), value.to_owned().into());
    let mut publisher = bus.publisher(1).await.unwrap();
    publisher
        .publish(lives.into_iter().fold(message, |message, lives| message.header("Nats-TTL", lives)))
        .await
        .unwrap();
    publisher.settle().await.unwrap();
}

/// Clicks on items 1 to 4, one on each.
async fn click(run: &Run, bus: &Bus, pipeline: &Pipeline) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let clicks = (1..=4).map(|item| json!({"item_id": item, "ts": now}).to_string().into_bytes());
    publish(bus, "shop.clicks", clicks).await;
    through(run, bus, pipeline).await;
}

/// Of each item how many clicks found a price.
async fn priced(run: &Run) -> Vec<u64> {
    let view = run.views().take(vec!["item".to_owned()]).await.unwrap();
    let answer = query::run_view("SELECT priced FROM item ORDER BY item_id", view, &query::Limits::default()).unwrap();
    let rows: Value = serde_json::from_str(&answer.render(query::Format::Json).unwrap()).unwrap();
    rows.as_array().unwrap().iter().map(|row| row["priced"].as_u64().unwrap()).collect()
}

/// Which of the items are joined now.
async fn joined(run: &Run, bus: &Bus, pipeline: &Pipeline) -> Vec<bool> {
    let before = priced(run).await;
    click(run, bus, pipeline).await;
    priced(run).await.iter().zip(before).map(|(now, before)| *now > before).collect()
}

/// An expired price was joined until somebody put another one, and a bad one kept the worker from starting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_expire_or_are_purged_or_break_the_contract_are_not_joined() {
    let home = tempfile::tempdir().unwrap();
    let (server, bus) = server(&home.path().join("store")).await;
    let pipeline = folder(&home.path().join("priced"));
    let bucket = json!({"name": "KV_items", "subjects": ["$KV.items.>"], "max_msgs_per_subject": 1, "allow_msg_ttl": true,
        "allow_direct": true, "retention": "limits", "storage": "file"});
    ask(&bus, "STREAM.CREATE.KV_items", bucket).await;
    put(&bus, "bad", r#"{"item_id": 3, "price": -1}"#, None).await;
    put(&bus, "stays", r#"{"item_id": 2, "price": 2}"#, None).await;
    put(&bus, "purged", r#"{"item_id": 4, "price": 4}"#, None).await;
    let run = start(&pipeline, &bus).await;
    click(&run, &bus, &pipeline).await;
    assert_eq!(priced(&run).await, [0, 1, 0, 1]);

    let until_joined = async |run: &Run, expected: [bool; 4]| {
        let joined = async {
            while joined(run, &bus, &pipeline).await != expected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, joined).await.unwrap_or_else(|_| panic!("never {expected:?}"));
    };
    put(&bus, "expires", r#"{"item_id": 1, "price": 1}"#, Some("2s")).await;
    until_joined(&run, [true, true, false, true]).await;
    until_joined(&run, [false, true, false, true]).await;
    ask(&bus, "STREAM.PURGE.KV_items", json!({"filter": "$KV.items.purged"})).await;
    until_joined(&run, [false, true, false, false]).await;

    run.stop().await.unwrap();
    let run = start(&pipeline, &bus).await;
    click(&run, &bus, &pipeline).await;
    assert_eq!(joined(&run, &bus, &pipeline).await, [false, true, false, false]);
    run.stop().await.unwrap();
    server.stop().await.unwrap();
}
