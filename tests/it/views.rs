//! SQL and snapshots beside events that go on: each statement sees one cut of all tables, and a snapshot that is written
//! meanwhile is one too.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidewheel::bus::{Bus, Subject};
use tidewheel::config::Folder;
use tidewheel::engine::{Run, RunSettings};
use tidewheel::pipeline::Pipeline;
use tidewheel::query;
use tidewheel::snapshot::Location;

use crate::broker::{publish, server, through};
use crate::taobao::{PATIENCE, root};

const SETTINGS: &str = "name = 'viewed'\n[streams.clicks]\nsubjects = ['shop.clicks']\ncontract = 'schemas/click.json'\n\
    time = 'ts'\ntime_unit = 'ms'\nid = 'event_id'\n[state]\ncheckpoint = '20ms'\n";

const EVENTS: u64 = 40_000;

fn pipeline(folder: &Path) -> Arc<Pipeline> {
    for part in ["features", "schemas"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    fs::copy(root().join("schemas/click.json"), folder.join("schemas/click.json")).unwrap();
    fs::write(folder.join("pipeline.toml"), SETTINGS).unwrap();
    for (table, key) in [("person", "user_id"), ("item", "item_id")] {
        let sql = format!("SELECT {key}, count(*) AS n FROM clicks GROUP BY {key}");
        fs::write(folder.join(format!("features/{table}.sql")), sql).unwrap();
    }
    Arc::new(Folder::read(folder).unwrap().assemble().unwrap())
}

fn clicks() -> impl Iterator<Item = Vec<u8>> {
    (0..EVENTS).map(|event| {
        let click = json!({"event_id": event.to_string(), "user_id": event * 7_919 % 9_000, "item_id": event % 13,
            "category_id": 1, "kind": "view", "price": 1, "ts": 1_699_999_200_000 + event});
        serde_json::to_vec(&click).unwrap()
    })
}

/// How many events each table has, by the pipeline's own door.
async fn asked(bus: &Bus) -> (u64, u64) {
    let sql = "SELECT (SELECT coalesce(sum(n), 0) FROM person) AS a, (SELECT coalesce(sum(n), 0) FROM item) AS b";
    let reply = bus.request(&Subject::new("viewed.sql").unwrap(), sql.into(), PATIENCE).await.unwrap();
    let rows = query::Answer::from_ipc(&reply).unwrap().render(query::Format::Json).unwrap();
    let rows: Value = serde_json::from_str(&rows).unwrap();
    let sum = |name: &str| rows[0][name].as_u64().unwrap();
    (sum("a"), sum("b"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_beside_events_see_one_cut_and_so_does_what_a_snapshot_brings_back() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = pipeline(folder.path());
    let snapshots = Some(Location::folder(folder.path().join("snapshots")));
    let settings = RunSettings { snapshots, ..RunSettings::default() };
    let run = Run::start(Arc::clone(&pipeline), &bus, &settings).await.unwrap();
    let door = query::serve_sql(&bus, &pipeline.name, run.views()).await.unwrap();
    let publishing = publish(&bus, "shop.clicks", clicks());
    let asking = async {
        let (mut seen, mut cuts) = (0, 0);
        while seen < EVENTS {
            let (people, items) = asked(&bus).await;
            assert_eq!(people, items, "both tables are of one moment");
            assert!(people >= seen, "and of a later one than before");
            cuts += u64::from(people > seen);
            seen = people;
        }
        cuts
    };
    let asking = tokio::time::timeout(10 * PATIENCE, asking);
    let ((), cuts) = tokio::join!(publishing, asking);
    assert!(cuts.unwrap() > 1, "events went on meanwhile");
    through(&run, &bus, &pipeline).await;
    drop(door);
    run.stop().await.unwrap();

    // From the newest snapshot that was taken meanwhile, and what came after it.
    let run = Run::start(Arc::clone(&pipeline), &bus, &settings).await.unwrap();
    let door = query::serve_sql(&bus, &pipeline.name, run.views()).await.unwrap();
    let found = tokio::time::timeout(10 * PATIENCE, asked(&bus)).await.unwrap();
    assert_eq!(found, (EVENTS, EVENTS));
    drop(door);
    tokio::time::timeout(Duration::from_secs(60), run.stop()).await.unwrap().unwrap();
    server.stop().await.unwrap();
}
