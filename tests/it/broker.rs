//! Whole pipelines against a real nats-server and a real ONNX Runtime.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use tidewheel::bus::{
    Bus, BusError, ConnectSettings, EmbeddedServer, Message, Outgoing, ReadLimits, ServerBinary, StreamSequence,
    Subject,
};
use tidewheel::config::Folder;
use tidewheel::engine::{Run, RunSettings};
use tidewheel::pipeline::StreamIndex;
use tidewheel::pipeline::{Pipeline, input_spec, output_spec};
use tidewheel::query;

use crate::taobao::{PATIENCE, root};

/// A shipped pipeline.
pub fn pipeline(name: &str) -> Arc<Pipeline> {
    Arc::new(Folder::read(&root().join("pipelines").join(name)).unwrap().assemble().unwrap())
}

/// The program in a folder of its own, which finds the parts that it runs with where the tests find theirs.
pub fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewheel"));
    command.current_dir(folder).env_remove("NATS_URL").env_remove("TIDEWHEEL_LOG");
    for (variable, part) in [("ORT_DYLIB_PATH", "libonnxruntime.so"), ("NATS_SERVER", "nats-server")] {
        if std::env::var_os(variable).is_none() {
            command.env(variable, root().join(".runtime").join(part));
        }
    }
    command
}

/// A server with its store in a folder, and a connection to it.
pub async fn server(folder: &Path) -> (EmbeddedServer, Bus) {
    let server = EmbeddedServer::start(&ServerBinary::find().unwrap(), folder).await.unwrap();
    let bus = Bus::connect(&ConnectSettings::to_url(server.url())).await.unwrap();
    (server, bus)
}

pub async fn start(pipeline: &Arc<Pipeline>, bus: &Bus) -> Run {
    let settings = RunSettings { version: "0.0.1".to_owned(), ..RunSettings::default() };
    Run::start(Arc::clone(pipeline), bus, &settings).await.unwrap()
}

pub async fn publish(bus: &Bus, subject: &str, payloads: impl IntoIterator<Item = Vec<u8>>) {
    let mut publisher = bus.publisher(1_000).await.unwrap();
    for payload in payloads {
        publisher.publish(Outgoing::new(Subject::new(subject).unwrap(), payload.into())).await.unwrap();
    }
    publisher.settle().await.unwrap();
}

/// Waits until everything that is in the input stream has been applied and its outputs are in the broker.
pub async fn through(run: &Run, bus: &Bus, pipeline: &Pipeline) {
    let last = bus.stream_state(&input_spec(pipeline, &pipeline.streams[0]).name).await.unwrap().last;
    let mut settled = run.settled();
    tokio::time::timeout(PATIENCE, settled.wait_for(|position| position.of(StreamIndex(0)) >= last))
        .await
        .unwrap()
        .unwrap();
}

async fn outputs(bus: &Bus, pipeline: &Pipeline) -> Vec<Vec<u8>> {
    let commits = format!("{}.commits", pipeline.name);
    let outputs = stored(bus, &output_spec(pipeline).name).await.into_iter();
    outputs.filter(|message| message.subject.as_str() != commits).map(|message| message.payload.to_vec()).collect()
}

/// Everything that is in a stream now.
pub async fn stored(bus: &Bus, stream: &str) -> Vec<Message> {
    let count = bus.stream_state(stream).await.unwrap().messages;
    let limits = ReadLimits { rows: 4_096, linger: std::time::Duration::ZERO };
    let mut reader = bus.reader(stream, StreamSequence::FIRST, limits);
    let mut found = Vec::new();
    while (found.len() as u64) < count {
        found.extend(tokio::time::timeout(PATIENCE, reader.next_batch()).await.unwrap().unwrap());
    }
    found
}

fn behavior(user: u64, kind: &str, ts: u64) -> Vec<u8> {
    let event = json!({"user_id": user, "item_id": user % 7, "category_id": 1, "behavior": kind, "ts": ts});
    serde_json::to_vec(&event).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_malformed_messages_are_dead_letters_and_take_no_good_event_along() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = pipeline("intent");
    let run = start(&pipeline, &bus).await;
    let bad: [&[u8]; 6] = [
        b"{\"user_id\":1,\"item_id\":2",
        b"not json at all",
        b"{\"user_id\":\"1\",\"item_id\":2,\"category_id\":3,\"behavior\":\"pv\",\"ts\":1511658000}",
        b"{\"user_id\":1,\"item_id\":2,\"category_id\":3,\"behavior\":\"stare\",\"ts\":1511658000}",
        b"{\"user_id\":1,\"item_id\":2,\"category_id\":3,\"behavior\":\"pv\"}",
        b"{\"user_id\":1,\"item_id\":2,\"category_id\":3,\"behavior\":\"pv\",\"ts\":1}",
    ];
    let mixed = (0..20_000_u64).map(|index| {
        if index % 2 == 0 {
            bad[(index / 2 % 6) as usize].to_vec()
        } else {
            behavior(index, "cart", 1_511_658_000 + index / 100)
        }
    });
    publish(&bus, "shop.behavior", mixed).await;
    through(&run, &bus, &pipeline).await;
    let counts = run.stats().snapshot().counts;
    assert_eq!((counts.counted, counts.rejected, counts.late, counts.duplicate), (10_000, 10_000, 0, 0));
    run.stop().await.unwrap();
    let dead = outputs(&bus, &pipeline).await;
    assert_eq!(dead.len(), 10_000);
    for (index, letter) in dead.iter().enumerate() {
        assert_eq!(letter.as_slice(), bad[index % 6], "the original bytes, in order");
    }
    let last = bus.last_message("INTENT_OUT", &Subject::new("intent.dead").unwrap()).await.unwrap().unwrap();
    assert_eq!(last.header("Tidewheel-Reason"), Some("constraint"));
    assert_eq!(last.header("Tidewheel-Stream"), Some("behavior"));
    assert!(last.header("Tidewheel-Sequence").is_some());
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_rebuilds_features_and_publishes_no_ranking_again() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = pipeline("intent");
    let run = start(&pipeline, &bus).await;
    publish(&bus, "shop.behavior", (0..500).map(|index| behavior(3, "pv", 1_511_658_000 + index / 10))).await;
    through(&run, &bus, &pipeline).await;
    run.stop().await.unwrap();
    assert_eq!(outputs(&bus, &pipeline).await.len(), 500);

    let run = start(&pipeline, &bus).await;
    publish(&bus, "shop.behavior", [behavior(3, "pv", 1_511_658_060)]).await;
    through(&run, &bus, &pipeline).await;
    let view = run.views().take(vec!["user_activity".to_owned()]).await.unwrap();
    let answer =
        query::run_view("SELECT views_1h FROM user_activity WHERE user_id = 3", view, &query::Limits::default())
            .unwrap();
    let rendered = answer.render(query::Format::Json).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&rendered).unwrap(), json!([{ "views_1h": 501 }]));
    run.stop().await.unwrap();
    let rankings = outputs(&bus, &pipeline).await;
    assert_eq!(rankings.len(), 501, "the earlier rankings are not repeated");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_ranked_or_refused_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = pipeline("recommend");
    let run = start(&pipeline, &bus).await;
    let _sql = query::serve_sql(&bus, &pipeline.name, run.views()).await.unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let click = |id: u64| {
        let click = json!({"event_id": format!("e{id}"), "user_id": 1, "item_id": id % 3, "category_id": 1, "kind": "view", "price": 9.5, "ts": now});
        serde_json::to_vec(&click).unwrap()
    };
    publish(&bus, "shop.clicks.web", (0..30).map(click).chain([click(29)])).await;
    through(&run, &bus, &pipeline).await;
    assert_eq!(run.stats().snapshot().counts.duplicate, 1);

    let score = Subject::new("recommend.score").unwrap();
    let ask = |request: Value| {
        let bytes = serde_json::to_vec(&request).unwrap();
        bus.request(&score, bytes.into(), PATIENCE)
    };
    let reply = ask(json!({"request_id": "r1", "user_id": 1, "items": [0, 1, 2, 77], "context": {"page": "home"}}))
        .await
        .unwrap();
    let reply: Value = serde_json::from_slice(&reply).unwrap();
    assert_eq!(reply["request_id"], "r1");
    let scores: Vec<f64> =
        reply["items"].as_array().unwrap().iter().map(|item| item["score"].as_f64().unwrap()).collect();
    assert_eq!(scores.len(), 4);
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    assert_eq!(reply["model"].as_str().unwrap().len(), 12);

    let old = ask(json!({"request_id": "old", "user_id": 1, "items": [0], "ts": now - 3_600_000})).await.unwrap();
    let as_of = serde_json::from_slice::<Value>(&old).unwrap()["as_of"].as_u64();
    assert_eq!(as_of, Some(now - 2_000), "what the features are of: the watermark");

    let stranger = ask(json!({"request_id": "r2", "user_id": 999, "items": [5]})).await.unwrap();
    assert!(serde_json::from_slice::<Value>(&stranger).unwrap()["items"][0]["score"].is_f64());

    let shown = run.stats().labels().shown;
    for (request, fault) in [
        (json!({"request_id": "r3", "user_id": "1", "items": [5]}), "user_id"),
        (json!({"request_id": "r4", "items": [5]}), "user_id"),
        (json!({"request_id": "r5", "user_id": 1, "items": []}), "items"),
        (json!([1, 2]), "object"),
        (json!({"request_id": "r6", "user_id": 1, "items": [5], "ts": now / 1_000}), "`ts` is 1970-"),
        (json!({"request_id": "r7", "user_id": 1, "items": [5], "ts": -5}), "`ts` is 1969-"),
        (json!({"request_id": "r8", "user_id": 1, "items": [5], "ts": now + 86_400_000}), "more than 60s after"),
        (json!({"request_id": "r9", "user_id": 1, "items": [5], "ts": 1_000_000_000_000_000_000_u64}), "milliseconds"),
    ] {
        let error = ask(request).await.unwrap_err().to_string();
        assert!(error.contains(fault), "{error}");
    }
    assert_eq!(run.stats().labels().shown, shown, "what is refused was not shown");

    let sql = Subject::new("recommend.sql").unwrap();
    let reply = bus
        .request(&sql, "SELECT item_id, views_1h FROM live.item_trend ORDER BY item_id".into(), PATIENCE)
        .await
        .unwrap();
    let rows = query::Answer::from_ipc(&reply).unwrap().render(query::Format::Json).unwrap();
    let rows: Value = serde_json::from_str(&rows).unwrap();
    assert_eq!(
        rows,
        json!([{"item_id": 0, "views_1h": 10}, {"item_id": 1, "views_1h": 10}, {"item_id": 2, "views_1h": 10}])
    );
    let error = bus.request(&sql, "DROP TABLE item_trend".into(), PATIENCE).await.unwrap_err();
    let BusError::Refused { code: 400, message, body, .. } = error else { panic!("{error}") };
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["code"], 400);
    assert_eq!(body["error"]["message"].as_str().unwrap().replace('\n', " "), message);
    run.stop().await.unwrap();
    server.stop().await.unwrap();
}
