//! A stream that falls silent holds nothing back: after a crash that must begin with the same event as before it, or rows
//! would come twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidewheel::bus::{Bus, ConnectSettings, Encoding, Message, StreamSequence, Subject};
use tidewheel::config::Folder;
use tidewheel::engine::{Run, RunSettings};
use tidewheel::pipeline::StreamIndex;
use tidewheel::pipeline::{Pipeline, input_spec, output_spec};
use tidewheel::step::Step;

use crate::broker::{publish, server, stored};
use crate::learning::until;
use crate::taobao::{PATIENCE, root};

const SETTINGS: &str = r#"name = "both"

[streams.clicks]
subjects = ["shop.clicks"]
contract = "schemas/click.json"
time     = "ts"
disorder = "0s"
idle     = "100ms"
max_bytes = "64 MB"

[streams.orders]
subjects = ["shop.orders"]
contract = "schemas/click.json"
time     = "ts"
disorder = "0s"
idle     = "100ms"
max_bytes = "64 MB"

[tables.minute]
publish = "both.minutes"
"#;

const MINUTE: &str = "SELECT item_id, window_start, count(*) AS events
    FROM (SELECT item_id, ts FROM clicks UNION ALL SELECT item_id, ts FROM orders) AS events
    GROUP BY item_id, tumble(ts, '1 minute')";

/// 2023-11-14T22:00:00Z, in milliseconds.
const START: u64 = 1_699_999_200_000;

fn pipeline(folder: &Path) -> Arc<Pipeline> {
    for part in ["features", "schemas"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    fs::copy(root().join("schemas/click.json"), folder.join("schemas/click.json")).unwrap();
    fs::write(folder.join("features/minute.sql"), MINUTE).unwrap();
    fs::write(folder.join("pipeline.toml"), SETTINGS).unwrap();
    Arc::new(Folder::read(folder).unwrap().assemble().unwrap())
}

fn event(at_seconds: u64) -> Vec<u8> {
    let event = json!({"event_id": "e", "user_id": 1, "item_id": 1, "category_id": 1, "kind": "view", "price": 1,
        "ts": START + 1_000 * at_seconds});
    serde_json::to_vec(&event).unwrap()
}

/// Starts the pipeline over a connection of its own, has it read an event of `stream`, and waits for that.
async fn send(run: &Run, bus: &Bus, pipeline: &Pipeline, stream: usize, at_seconds: u64) {
    publish(bus, pipeline.streams[stream].subjects[0].as_str(), [event(at_seconds)]).await;
    let last = bus.stream_state(&input_spec(pipeline, &pipeline.streams[stream]).name).await.unwrap().last;
    let mut settled = run.settled();
    let reached = settled.wait_for(|position| position.of(StreamIndex(stream)) >= last);
    tokio::time::timeout(PATIENCE, reached).await.expect("the event is committed").unwrap();
}

async fn silence() {
    // By the broker's clock, so it has to pass.
    tokio::time::sleep(Duration::from_millis(150)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_closed_while_a_stream_was_silent_does_not_close_again_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = pipeline(folder.path());
    let start = async || {
        let own = Bus::connect(&ConnectSettings::to_url(server.url())).await.unwrap();
        let run = Run::start(Arc::clone(&pipeline), &own, &RunSettings::default()).await.unwrap();
        (run, own)
    };
    let (run, own) = start().await;
    send(&run, &bus, &pipeline, 1, 10).await;
    send(&run, &bus, &pipeline, 0, 10).await;
    silence().await;
    // Orders are silent by now: this one closes the first minute, and the next one is too late for it.
    send(&run, &bus, &pipeline, 0, 70).await;
    send(&run, &bus, &pipeline, 0, 20).await;
    drop(run);
    own.close().await.unwrap();

    let (run, own) = start().await;
    silence().await;
    send(&run, &bus, &pipeline, 0, 130).await;
    let rows = until("the second minute", async || {
        let stored = stored(&bus, &output_spec(&pipeline).name).await;
        let rows = stored.iter().filter(|message| message.subject.as_str() == "both.minutes");
        let rows: Vec<Value> = rows.map(|message| serde_json::from_slice(&message.payload).unwrap()).collect();
        (rows.last()?["window_start"] == "2023-11-14T22:01:00Z").then_some(rows)
    });
    let counts: Vec<_> = rows.await.iter().map(|row| row["events"].clone()).collect();
    assert_eq!(counts, [2, 1], "each minute once");
    let marker = bus.last_message(&output_spec(&pipeline).name, &Subject::new("both.commits").unwrap()).await;
    let marker: Value = serde_json::from_slice(&marker.unwrap().unwrap().payload).unwrap();
    assert_eq!(marker["counts"], json!({"counted": 4, "late": 1, "rejected": 0, "duplicate": 0}));
    run.stop().await.unwrap();
    own.close().await.unwrap();
    server.stop().await.unwrap();
}

#[test]
fn silence_begins_with_the_same_event_however_events_are_cut_into_steps() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = pipeline(folder.path());
    let message = |sequence: u64, published_ms: i64, at_seconds: u64| Message {
        payload: event(at_seconds).into(),
        sequence: StreamSequence(sequence),
        published_micros: 1_800_000_000_000_000 + published_ms * 1_000,
        encoding: Encoding::Json,
        subject: Subject::new("shop.clicks").unwrap(),
    };
    // Orders are silent from the third on, which closes the first minute: the fourth is late. Then they are heard again.
    let clicks: Vec<Message> = [(0, 10), (90, 50), (200, 70), (210, 20), (220, 80), (700, 130), (705, 90)]
        .iter()
        .zip(1..)
        .map(|((published, at), sequence)| message(sequence, *published, *at))
        .collect();
    let orders = [message(1, 0, 10), message(2, 500, 100)];
    let outcome = |size: usize| {
        let mut step = Step::new(Arc::clone(&pipeline)).unwrap();
        step.reach_present();
        let (mut rows, mut late) = (0, Vec::new());
        let mut take = |step: &mut Step, stream: usize, messages: &[Message]| {
            let mut rest = messages;
            while !rest.is_empty() {
                let count = step.until_silence(StreamIndex(stream), rest).min(size);
                let (part, after) = rest.split_at(count);
                let output = step.events(StreamIndex(stream), part, true).unwrap();
                rows += output.emissions.iter().map(|emission| emission.rows.num_rows()).sum::<usize>();
                late.extend(output.dead.iter().map(|letter| letter.sequence.0));
                rest = after;
            }
        };
        take(&mut step, 1, &orders[..1]);
        take(&mut step, 0, &clicks[..5]);
        take(&mut step, 1, &orders[1..]);
        take(&mut step, 0, &clicks[5..]);
        (rows, late)
    };
    let sizes = [1, 2, 3, 100].map(outcome);
    assert_eq!(sizes[0].1, [4, 7]);
    assert_eq!(sizes.iter().collect::<BTreeSet<_>>().len(), 1, "{sizes:?}");
}
