//! Streams that are somebody else's, read by pipelines that neither make nor alter them.

mod accounts;
mod beside;
mod changed;
mod lost;
mod named;
mod origins;
mod read;

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;
use futures::StreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidewheel::bus::{Bus, EmbeddedServer};
use tidewheel::config::Folder;
use tidewheel::engine::{EngineError, OnLoss, Run, RunSettings};
use tidewheel::pipeline::Pipeline;
use tidewheel::query;
use tidewheel::snapshot::Location;

use crate::broker::server;
use crate::learning::until;
use crate::taobao::PATIENCE;

const CONTRACT: &str = r#"{
  "$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "required": ["user_id", "ts"],
  "properties": {"event_id": {"type": "string"}, "user_id": {"type": "integer"}, "ts": {"type": "integer"}}
}"#;
const SQL: &str = "SELECT user_id, count(*) FILTER (WHERE within(ts, '1 hour')) AS n FROM clicks GROUP BY user_id";
/// Milliseconds since 1970 of the first event; each next one is 10 ms later.
const FIRST: u64 = 1_700_000_000_000;

/// A team with a stream `EVENTS` on a server, and a folder for pipelines and their snapshots.
struct Team {
    folder: TempDir,
    server: EmbeddedServer,
    bus: Bus,
    js: jetstream::Context,
}

/// A stream over `shop.>` without limits.
fn events() -> Config {
    Config { name: "EVENTS".to_owned(), subjects: vec!["shop.>".to_owned()], ..Config::default() }
}

fn event(id: u64) -> Vec<u8> {
    let event = json!({"event_id": format!("e{id}"), "user_id": id % 3, "ts": FIRST + 10 * id});
    serde_json::to_vec(&event).unwrap()
}

impl Team {
    async fn with(stream: Config) -> Self {
        let team = Self::without_stream().await;
        team.js.create_stream(stream).await.unwrap();
        team
    }

    async fn without_stream() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (server, bus) = server(&folder.path().join("server")).await;
        let js = jetstream::new(async_nats::connect(server.url()).await.unwrap());
        Self { folder, server, bus, js }
    }

    /// The folder of a pipeline over `shop.clicks`, with these settings of its stream first.
    fn folder(&self, name: &str, stream: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.join("features")).unwrap();
        fs::write(path.join("features/per_user.sql"), SQL).unwrap();
        fs::write(path.join("event.json"), CONTRACT).unwrap();
        let subjects = if stream.contains("subjects") { "" } else { "subjects = [\"shop.clicks\"]\n" };
        let settings = format!(
            "name = \"{name}\"\n[streams.clicks]\n{stream}\n{subjects}contract = \"event.json\"\ntime = \"ts\"\ndisorder = \"0s\"\n"
        );
        fs::write(path.join("pipeline.toml"), settings).unwrap();
        path
    }

    fn pipeline(&self, name: &str, stream: &str) -> Arc<Pipeline> {
        Arc::new(Folder::read(&self.folder(name, stream)).unwrap().assemble().unwrap())
    }

    async fn publish(&self, subject: &str, ids: Range<u64>) {
        for id in ids {
            self.js.publish(subject.to_owned(), event(id).into()).await.unwrap().await.unwrap();
        }
    }

    async fn try_start(&self, pipeline: &Arc<Pipeline>, on_loss: OnLoss) -> Result<Run, EngineError> {
        let snapshots = self.folder.path().join("snapshots").join(&pipeline.name);
        let settings = RunSettings {
            version: "0.0.1".to_owned(),
            snapshots: Some(Location::folder(snapshots)),
            on_loss,
            ..RunSettings::default()
        };
        Run::start(Arc::clone(pipeline), &self.bus, &settings).await
    }

    async fn start(&self, pipeline: &Arc<Pipeline>) -> Run {
        self.try_start(pipeline, OnLoss::Stop).await.unwrap()
    }

    /// Why it doesn't start.
    async fn refused(&self, pipeline: &Arc<Pipeline>) -> String {
        match self.try_start(pipeline, OnLoss::Stop).await {
            Ok(_) => panic!("it starts"),
            Err(error) => error.to_string(),
        }
    }

    /// Puts the stream back from a backup of itself, as `nats stream restore` does.
    async fn restore(&self, backup: &Backup) {
        self.js.delete_stream("EVENTS").await.unwrap();
        let client = self.js.client();
        let request = serde_json::to_vec(&json!({"config": backup.config, "state": backup.state})).unwrap();
        let answer = client.request("$JS.API.STREAM.RESTORE.EVENTS", request.into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        let place = answer["deliver_subject"].as_str().unwrap().to_owned();
        for chunk in &backup.chunks {
            client.request(place.clone(), chunk.clone().into()).await.unwrap();
        }
        let made = client.request(place, "".into()).await.unwrap();
        let made: Value = serde_json::from_slice(&made.payload).unwrap();
        assert_eq!(made["config"]["name"], "EVENTS", "{made}");
    }

    /// A backup of the stream, as `nats stream backup` makes it.
    async fn backup(&self) -> Backup {
        let client = self.js.client();
        let inbox = client.new_inbox();
        let mut chunks = client.subscribe(inbox.clone()).await.unwrap();
        let request = serde_json::to_vec(&json!({"deliver_subject": inbox, "chunk_size": 65_536})).unwrap();
        let answer = client.request("$JS.API.STREAM.SNAPSHOT.EVENTS", request.into()).await.unwrap();
        let mut answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        let mut backup = Backup { config: answer["config"].take(), state: answer["state"].take(), chunks: Vec::new() };
        loop {
            let chunk = tokio::time::timeout(PATIENCE, chunks.next()).await.unwrap().unwrap();
            if chunk.payload.is_empty() {
                return backup;
            }
            backup.chunks.push(chunk.payload.to_vec());
            if let Some(reply) = chunk.reply {
                client.publish(reply, "".into()).await.unwrap();
            }
        }
    }

    async fn stop(self) {
        self.server.stop().await.unwrap();
    }
}

struct Backup {
    config: Value,
    state: Value,
    chunks: Vec<Vec<u8>>,
}

/// Waits until so many events are counted since the first, stops, and gives how many of each user are in the table.
async fn stopped_after(run: Run, counted: u64) -> Vec<u64> {
    counted_to(&run, counted).await;
    let table = per_user(&run).await;
    run.stop().await.unwrap();
    table
}

async fn counted_to(run: &Run, counted: u64) {
    until("the events to be counted", async || {
        let counts = run.stats().snapshot().counts;
        assert!(counts.counted <= counted, "{counts:?}");
        (counts.counted == counted).then_some(())
    })
    .await;
}

async fn per_user(run: &Run) -> Vec<u64> {
    let view = run.views().take(vec!["per_user".to_owned()]).await.unwrap();
    let sql = "SELECT n FROM per_user ORDER BY user_id";
    let answer = query::run_view(sql, view, &query::Limits::default()).unwrap();
    let rows: Value = serde_json::from_str(&answer.render(query::Format::Json).unwrap()).unwrap();
    rows.as_array().unwrap().iter().map(|row| row["n"].as_u64().unwrap()).collect()
}

/// What the broker says that it is: what must stay as it was.
async fn config_of(team: &Team, stream: &str) -> Config {
    team.js.get_stream(stream).await.unwrap().cached_info().config.clone()
}
