//! A feature file that is changed, and one that is new, between two runs of a pipeline: their tables are made again from the
//! streams, nothing is published twice, and every number is what a pipeline gives that has read everything from the start.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use serde_json::json;
use tidewheel::bus::{Bus, ConnectSettings, StreamSequence};
use tidewheel::config::Folder;
use tidewheel::engine::{Run, RunSettings};
use tidewheel::history::History;
use tidewheel::pipeline::{Pipeline, StreamIndex, input_spec, output_spec};
use tidewheel::snapshot::{Location, SnapshotStore};

use crate::broker::{publish, server, stored};
use crate::learning::until;
use crate::taobao::{PATIENCE, root};

const SETTINGS: &str = r#"name = "remade"

[streams.clicks]
subjects  = ["shop.clicks"]
contract  = "schemas/click.json"
time      = "ts"
id        = "event_id"
disorder  = "0s"
max_bytes = "64 MB"

[streams.orders]
subjects  = ["shop.orders"]
contract  = "schemas/click.json"
time      = "ts"
id        = "event_id"
disorder  = "0s"
max_bytes = "64 MB"

[tables.both]
publish = "remade.both"
"#;

const KEPT: &str = "\n[tables.minute]\nhistory = true\n";

const SEEN: &str = "SELECT item_id, count(*) FILTER (WHERE within(ts, '1 hour')) AS views FROM clicks GROUP BY item_id";
const BUYER: &str =
    "SELECT user_id, sum(item_id) FILTER (WHERE within(ts, '1 hour')) AS bought FROM orders GROUP BY user_id";
const BUYER_NOW: &str = "SELECT user_id, sum(item_id) FILTER (WHERE within(ts, '1 hour')) AS bought,
    count(DISTINCT item_id) FILTER (WHERE within(ts, '5 minutes')) AS items FROM orders GROUP BY user_id";
const BOTH: &str = "SELECT item_id, window_start, count(*) AS events
    FROM (SELECT item_id, ts FROM clicks UNION ALL SELECT item_id, ts FROM orders) AS both
    GROUP BY item_id, tumble(ts, '1 minute')";
const MINUTE: &str =
    "SELECT item_id, window_start, count(*) AS events FROM clicks GROUP BY item_id, tumble(ts, '1 minute')";

/// 2023-11-14T22:00:00Z, in milliseconds.
const START: u64 = 1_699_999_200_000;

fn pipeline(folder: &Path, settings: &str, features: &[(&str, &str)]) -> Arc<Pipeline> {
    for part in ["features", "schemas"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    fs::copy(root().join("schemas/click.json"), folder.join("schemas/click.json")).unwrap();
    for (name, sql) in features {
        fs::write(folder.join(format!("features/{name}.sql")), sql).unwrap();
    }
    fs::write(folder.join("pipeline.toml"), settings).unwrap();
    Arc::new(Folder::read(folder).unwrap().assemble().unwrap())
}

/// An event each second.
fn events(seconds: std::ops::Range<u64>) -> impl Iterator<Item = Vec<u8>> {
    seconds.map(|second| {
        let event = json!({"event_id": second.to_string(), "user_id": second % 17, "item_id": second % 5, "category_id": 1,
            "kind": "view", "price": 1, "ts": START + 1_000 * second});
        serde_json::to_vec(&event).unwrap()
    })
}

async fn publish_both(bus: &Bus, seconds: std::ops::Range<u64>) {
    for first in seconds.clone().step_by(50) {
        for subject in ["shop.clicks", "shop.orders"] {
            publish(bus, subject, events(first..seconds.end.min(first + 50))).await;
        }
    }
}

/// Waits until everything that is in the streams is committed.
async fn through(run: &Run, bus: &Bus, pipeline: &Pipeline) {
    let mut settled = run.settled();
    for (index, stream) in pipeline.streams.iter().enumerate() {
        let last = bus.stream_state(&input_spec(pipeline, stream).name).await.unwrap().last;
        let reached = settled.wait_for(|position| position.of(StreamIndex(index)) >= last);
        tokio::time::timeout(PATIENCE, reached).await.expect("the events are committed").unwrap();
    }
}

/// The rows of all tables, as lines, once all are there.
async fn rows(run: &Run, pipeline: &Pipeline) -> Vec<BTreeSet<String>> {
    let names: Vec<String> = pipeline.tables.iter().map(|table| table.plan.name().to_owned()).collect();
    let view = until("the tables", async || run.views().take(names.clone()).await.ok()).await;
    let lines = |rows: &RecordBatch| {
        pretty_format_batches(std::slice::from_ref(rows)).unwrap().to_string().lines().map(str::to_owned).collect()
    };
    view.into_batches().unwrap().map(|rows| lines(&rows.unwrap().1)).collect()
}

/// What has been published of windows after a message.
async fn published(bus: &Bus, pipeline: &Pipeline, after: StreamSequence) -> Vec<String> {
    let stored = stored(bus, &output_spec(pipeline).name).await;
    let rows = stored.iter().filter(|message| message.subject.as_str() == "remade.both" && message.sequence > after);
    let mut rows: Vec<String> = rows.map(|row| String::from_utf8(row.payload.to_vec()).unwrap()).collect();
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_and_new_tables_are_made_again_and_everything_is_as_if_read_from_the_start() {
    make_again("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_windows_that_are_made_again_are_waited_for_in_any_case() {
    make_again("\n[state]\nrebuilding = \"empty\"\n").await;
}

async fn make_again(state: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let settings = || RunSettings {
        snapshots: Some(Location::folder(folder.path().join("snapshots"))),
        history: Some(folder.path().join("history")),
        ..RunSettings::default()
    };
    let start = async |pipeline: &Arc<Pipeline>, settings: RunSettings| {
        let own = Bus::connect(&ConnectSettings::to_url(server.url())).await.unwrap();
        Run::start(Arc::clone(pipeline), &own, &settings).await.unwrap()
    };
    let before = pipeline(folder.path(), SETTINGS, &[("seen", SEEN), ("buyer", BUYER), ("both", BOTH)]);
    let run = start(&before, settings()).await;
    publish_both(&bus, 0..400).await;
    through(&run, &bus, &before).await;
    run.stop().await.unwrap();
    let ended = bus.stream_state(&output_spec(&before).name).await.unwrap().last;
    let first = published(&bus, &before, StreamSequence(0)).await;
    assert_eq!(first.len(), 6 * 5, "six minutes have closed");

    let now = BOTH.replace("count(*) AS events", "count(*) AS events, max(ts) AS newest");
    let features = [("seen", SEEN), ("buyer", BUYER_NOW), ("both", &now), ("minute", MINUTE)];
    let after = pipeline(folder.path(), &format!("{SETTINGS}{KEPT}{state}"), &features);
    let run = start(&after, settings()).await;
    publish_both(&bus, 400..600).await;
    through(&run, &bus, &after).await;
    let remade = rows(&run, &after).await;
    run.stop().await.unwrap();
    let second = published(&bus, &after, ended).await;
    assert_eq!(second.len(), 3 * 5, "three minutes more have closed, and nothing is published twice");
    assert!(second.iter().all(|row| row.contains("newest")), "as the table is now: {second:?}");

    let minute = after.tables.iter().find(|table| table.plan.name() == "minute").unwrap();
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    let others = [("window_end", time.clone()), ("emission", DataType::Utf8), ("emitted_at", time)];
    let others = others.map(|(name, kind)| Arc::new(Field::new(name, kind, true)));
    let own = minute.plan.schema().fields().to_vec();
    let schema = Arc::new(Schema::new(own.into_iter().chain(others).collect::<Vec<_>>()));
    let history = History::open(&folder.path().join("history"), "minute", &schema).await.unwrap();
    let kept: usize = history.rows().unwrap().iter().map(RecordBatch::num_rows).sum();
    assert_eq!(kept, 9 * 5, "a new table's rows are kept from the beginning of its stream, each once");

    // The next start finds parts of the tables as they are now.
    let store = SnapshotStore::open(&Location::folder(folder.path().join("snapshots"))).await.unwrap();
    let newest = store.generations().await.unwrap().into_iter().flatten().next().unwrap();
    let names: BTreeSet<&str> = newest.parts().map(|(name, _)| name).collect();
    for part in ["table buyer", "table seen", "windows both", "windows minute"] {
        assert!(names.contains(part), "{names:?}");
    }
    let run = start(&after, settings()).await;
    assert_eq!(rows(&run, &after).await, remade, "nothing is made again any more");
    run.stop().await.unwrap();

    let ended = bus.stream_state(&output_spec(&after).name).await.unwrap().last;
    let run = start(&after, RunSettings { from_scratch: true, ..RunSettings::default() }).await;
    through(&run, &bus, &after).await;
    assert_eq!(rows(&run, &after).await, remade, "as read from the start");
    run.stop().await.unwrap();
    let all = published(&bus, &after, ended).await;
    assert_eq!(all.len(), 9 * 5);
    assert!(second.iter().all(|row| all.contains(row)), "the rows that were published are those of a fresh pipeline");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_made_again_beside_the_step_is_where_the_step_is_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let snapshots = Some(Location::folder(folder.path().join("snapshots")));
    let start = async |pipeline: &Arc<Pipeline>, settings: RunSettings| {
        let own = Bus::connect(&ConnectSettings::to_url(server.url())).await.unwrap();
        Run::start(Arc::clone(pipeline), &own, &settings).await.unwrap()
    };
    let settings = format!("{SETTINGS}\n[state]\nrebuilding = \"empty\"\n");
    let before = pipeline(folder.path(), &settings, &[("seen", SEEN), ("buyer", BUYER), ("both", BOTH)]);
    let run = start(&before, RunSettings { snapshots: snapshots.clone(), ..RunSettings::default() }).await;
    publish_both(&bus, 0..200).await;
    through(&run, &bus, &before).await;
    run.stop().await.unwrap();
    let after = pipeline(folder.path(), &settings, &[("seen", SEEN), ("buyer", BUYER_NOW), ("both", BOTH)]);
    let run = start(&after, RunSettings { snapshots, ..RunSettings::default() }).await;
    publish_both(&bus, 200..400).await;
    through(&run, &bus, &after).await;
    let remade = rows(&run, &after).await;
    run.stop().await.unwrap();
    let run = start(&after, RunSettings { from_scratch: true, ..RunSettings::default() }).await;
    through(&run, &bus, &after).await;
    assert_eq!(rows(&run, &after).await, remade, "as read from the start");
    run.stop().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_whose_events_are_gone_is_not_made_again_from_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let settings =
        RunSettings { snapshots: Some(Location::folder(folder.path().join("snapshots"))), ..RunSettings::default() };
    let before = pipeline(folder.path(), SETTINGS, &[("seen", SEEN), ("buyer", BUYER), ("both", BOTH)]);
    let run = Run::start(Arc::clone(&before), &bus, &settings).await.unwrap();
    publish_both(&bus, 0..100).await;
    through(&run, &bus, &before).await;
    run.stop().await.unwrap();
    let context = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let stream = context.get_stream(input_spec(&before, &before.streams[0]).name).await.unwrap();
    stream.delete_message(1).await.unwrap();
    let own = Bus::connect(&ConnectSettings::to_url(server.url())).await.unwrap();
    let run = Run::start(Arc::clone(&before), &own, &settings).await.unwrap();
    run.stop().await.unwrap();
    let after = pipeline(folder.path(), SETTINGS, &[("seen", SEEN), ("buyer", BUYER_NOW), ("both", BOTH)]);
    let own = Bus::connect(&ConnectSettings::to_url(server.url())).await.unwrap();
    let refused = Run::start(after, &own, &settings).await.err().unwrap().to_string();
    assert!(refused.contains("is not what it was"), "{refused}");
    server.stop().await.unwrap();
}
