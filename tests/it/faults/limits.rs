//! Outputs that are larger than the broker takes, where a worker ends among the batches of a step and the next one meets another
//! limit.
//!
//! ```text
//!   rows of a minute:  short │ 18 KB │ 72 KB                    the broker takes 16 KiB, or 64 KiB
//!   one worker   990 outputs, rows and dead letters │ ...       ← the worker ends here, the broker gets the other limit
//!   the next     the step again: whatever is stored stands │ the rest as this broker takes it
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidewheel::bus::Bus;
use tidewheel::config::Folder;
use tidewheel::pipeline::{Pipeline, input_spec, output_spec};

use super::alone;
use super::outputs::newest_marker;
use super::site::patiently;
use super::worker::{Start, Worker};
use crate::broker::{publish, stored};
use crate::outsize::{SmallServer, letters};

const LESS: usize = 16 << 10;
const MORE: usize = 64 << 10;
const USERS: u64 = 1_500;
/// 2023-11-14T22:00:00Z, in milliseconds.
const START: u64 = 1_699_999_200_000;
/// A worker that has finished everything before its end would come is killed after this.
const LIFE: Duration = Duration::from_secs(5);
/// Where the worker ends, under which limit, and what the next one meets.
const CASES: [(&str, u64, usize, usize); 5] = [
    ("commit:sent", 2, LESS, MORE),
    ("commit:sent", 3, MORE, LESS),
    ("commit:answered", 2, LESS, LESS),
    ("commit:sent", 4, LESS, MORE),
    ("commit:answered", 3, MORE, LESS),
];

const SETTINGS: &str = r#"name = "bulk"

[streams.clicks]
subjects = ["bulk.clicks"]
contract = "schemas/click.json"
time     = "ts"
time_unit = "ms"
disorder = "0s"

[tables.lists]
publish = "bulk.lists"

[tables.counts]
publish = "bulk.counts"
"#;

/// How many events of 600 bytes each person has.
fn events_of(user: u64) -> u64 {
    match user % 50 {
        3 => 30,
        7 => 120,
        _ => 1,
    }
}

fn write_pipeline(folder: &Path) -> PathBuf {
    let to = folder.join("bulk");
    for part in ["features", "schemas"] {
        fs::create_dir_all(to.join(part)).unwrap();
    }
    let integer = json!({"type": "integer"});
    let contract = json!({"type": "object", "required": ["user_id", "kind", "ts"],
        "properties": {"user_id": integer, "kind": {"type": "string"}, "ts": integer}});
    let select = |column: &str| {
        format!("SELECT user_id, window_start, {column} FROM clicks GROUP BY user_id, tumble(ts, '1 minute')")
    };
    let state = folder.join("state");
    let settings = format!("{SETTINGS}\n[state]\nfolder = \"{}\"\n", state.display());
    fs::write(to.join("pipeline.toml"), settings).unwrap();
    fs::write(to.join("schemas/click.json"), contract.to_string()).unwrap();
    fs::write(to.join("features/lists.sql"), select("array_agg(kind) AS kinds")).unwrap();
    fs::write(to.join("features/counts.sql"), select("count(*) AS events")).unwrap();
    to
}

fn event(user: u64, kind: &str, at: u64) -> Vec<u8> {
    serde_json::to_vec(&json!({"user_id": user, "kind": kind, "ts": START + at})).unwrap()
}

/// How often each person has a row in a table, by what the messages of its subject say.
fn people<'a>(rows: impl Iterator<Item = &'a [u8]>) -> BTreeMap<u64, usize> {
    let mut found = BTreeMap::new();
    for row in rows {
        let row: Value = serde_json::from_slice(row).unwrap();
        *found.entry(row["user_id"].as_u64().unwrap()).or_insert(0) += 1;
    }
    found
}

async fn all_counted(bus: &Bus, pipeline: &Pipeline) -> Option<()> {
    let marker = newest_marker(bus, pipeline).await?;
    let outputs = stored(bus, &output_spec(pipeline).name).await;
    let counts = outputs.iter().filter(|output| output.subject.as_str() == "bulk.counts").count();
    (marker.complete && counts as u64 >= USERS).then_some(())
}

/// A row that the broker did not take ended the worker, and each one after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_is_there_once_as_itself_or_as_a_dead_letter_through_a_crash_and_another_limit() {
    let _alone = alone().await;
    let mut unfinished = 0_usize;
    for (place, passage, first, second) in CASES {
        let folder = tempfile::tempdir().unwrap();
        let from = write_pipeline(folder.path());
        let pipeline: Arc<Pipeline> = Arc::new(Folder::read(&from).unwrap().assemble().unwrap());
        let broker = folder.path().join("broker");

        let server = SmallServer::start(&broker, first).await;
        let bus = server.connect().await;
        bus.ensure_stream(&input_spec(&pipeline, &pipeline.streams[0])).await.unwrap();
        let kind = "k".repeat(600);
        let events = (0..USERS).flat_map(|user| (0..events_of(user)).map(move |nth| (user, nth)));
        publish(&bus, "bulk.clicks", events.map(|(user, nth)| event(user, &kind, nth * 100))).await;
        publish(&bus, "bulk.clicks", [event(0, "next", 60_000)]).await;
        let start = Start::crashing(place, passage);
        Worker::spawn(&start, &from, &server.url, &folder.path().join("first.log")).crashed_or_killed(LIFE).await;
        let marker = newest_marker(&bus, &pipeline).await;
        unfinished += usize::from(marker.is_some_and(|marker| !marker.complete));
        drop(bus);
        server.kill().await;

        let server = SmallServer::start(&broker, second).await;
        let bus = server.connect().await;
        let log = folder.path().join("second.log");
        let worker = Worker::spawn(&Start::default(), &from, &server.url, &log);
        patiently("the rows", async || all_counted(&bus, &pipeline).await).await;
        worker.stop().await;

        let stream = output_spec(&pipeline).name;
        let outputs = stored(&bus, &stream).await;
        let of = |subject: &str| {
            people(outputs.iter().filter(|output| output.subject.as_str() == subject).map(|output| &output.payload[..]))
        };
        let once: BTreeMap<u64, usize> = (0..USERS).map(|user| (user, 1)).collect();
        assert_eq!(of("bulk.counts"), once, "the other table, after {place}:{passage}");
        let mut lists = of("bulk.lists");
        for user in (0..USERS).filter(|user| events_of(*user) == 1) {
            assert_eq!(lists.get(&user), Some(&1), "a short row is itself");
        }
        for letter in letters(&bus, &stream, &outputs).await {
            let header = |name: &str| letter.header(name).unwrap_or_default().to_owned();
            assert_eq!((header("Tidewheel-Reason"), header("Tidewheel-Table")), ("too-large".into(), "lists".into()));
            assert_eq!(header("Tidewheel-Window"), "2023-11-14T22:00:00Z/2023-11-14T22:01:00Z");
            assert!(header("Tidewheel-Detail").contains("`lists`"), "{}", header("Tidewheel-Detail"));
            let user: u64 = header("Tidewheel-Key").trim_matches(['[', ']']).parse().unwrap();
            assert!(events_of(user) > 1, "{user}");
            *lists.entry(user).or_insert(0) += 1;
        }
        assert_eq!(lists, once, "after {place}:{passage}, {first} bytes and then {second}");
        server.kill().await;
    }
    println!("{unfinished} ends in the midst of a step");
    assert!(unfinished > 1, "where workers ended, steps were finished");
}
