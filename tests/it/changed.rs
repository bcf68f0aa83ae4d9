//! What an operator changes of a pipeline that has run: labels added, taken away and given another window, more subjects and
//! higher limits, features, tables, windows. Each start succeeds at its first try and keeps what it can, and `doctor`, `check`
//! and `explain` say before what it will do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::json;
use tidewheel::bus::{Bus, ConnectSettings};
use tidewheel::config::Folder;
use tidewheel::engine::{Run, RunSettings};
use tidewheel::pipeline::{Names, Pipeline, StreamIndex, input_spec};
use tidewheel::registry::Registry;
use tidewheel::snapshot::Location;

use crate::broker::{publish, server, start};
use crate::taobao::PATIENCE;
use crate::training::hasty;

async fn through(run: &Run, bus: &Bus, pipeline: &Pipeline) -> u64 {
    let last = bus.stream_state(&input_spec(pipeline, &pipeline.streams[0]).name).await.unwrap().last;
    let mut settled = run.settled();
    let reached = settled.wait_for(|position| position.of(StreamIndex(0)) >= last);
    tokio::time::timeout(PATIENCE, reached).await.expect("the events are committed").unwrap();
    run.stats().snapshot().counts.counted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_a_pipeline_follow_its_folder_and_are_never_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let path = hasty(folder.path());
    let file = path.join("pipeline.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (before, after) = (text.find("[labels]").unwrap(), text.find("[state]").unwrap());
    let unlabelled = format!("{}{}", &text[..before], &text[after..]);
    let patient = text.replace(r#"window   = "1s""#, r#"window   = "30m""#);
    let wide = text.replace(
        r#"subjects  = ["shop.clicks.>"]"#,
        "subjects = [\"shop.clicks.>\", \"shop.more.>\"]\nretain = \"14 days\"\nmax_bytes = \"2 GB\"",
    );
    assert!(patient != text && wide != text, "the shipped pipeline has changed");
    let narrow = wide.replace("14 days", "2 days").replace("2 GB", "1 GB");
    let doctor = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidewheel"));
        command.args(["doctor", "--nats", &server.url(), "--pipeline", path.to_str().unwrap()]);
        let output = command.env_remove("TIDEWHEEL_LOG").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // What `doctor` says before each start, and how many events were counted by then.
    let steps = [
        (&unlabelled, "SHOP_CLICKS is not there yet"),
        (&text, "RECOMMEND_OUT: subjects is"),
        (&patient, "(expected 7200s); `tidewheel run` extends it"),
        (&text, "SHOP_CLICKS is kept as it should be"),
        (&unlabelled, "RECOMMEND_OUT is kept as it should be"),
        (&wide, "SHOP_CLICKS: max_age is 604800s (expected 1209600s); `tidewheel run` extends it"),
        (&narrow, "SHOP_CLICKS is kept as it should be"),
    ];
    for (step, (settings, said)) in steps.into_iter().enumerate() {
        fs::write(&file, settings).unwrap();
        let pipeline = Arc::new(Folder::read(&path).unwrap().assemble().unwrap());
        let found = doctor();
        assert!(found.contains(said), "step {step}: {found}");
        let run = start(&pipeline, &bus).await;
        let subject = if step < 5 { "shop.clicks.a" } else { "shop.more.a" };
        let event = json!({"event_id": step.to_string(), "user_id": 7, "item_id": 3, "category_id": 1, "kind": "view",
            "price": 1, "ts": 1_700_000_000_000_u64 + 1_000 * step as u64});
        publish(&bus, subject, [serde_json::to_vec(&event).unwrap()]).await;
        assert_eq!(through(&run, &bus, &pipeline).await, step as u64 + 1, "step {step}");
        run.stop().await.unwrap();
    }
    server.stop().await.unwrap();
}

const TABLE: &str = "features/user_activity.sql";
const MINUTE: &str =
    "SELECT item_id, window_start, count(*) AS events FROM clicks GROUP BY item_id, tumble(ts, '1 minute')";
const PUBLISHED: &str = "[tables.minute]\npublish = \"recommend.minute\"\nhistory = true\n\n[labels]";

fn tidewheel(verb: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewheel"));
    command.args(verb).arg(folder).env_remove("TIDEWHEEL_LOG").env_remove("NATS_URL").output().unwrap()
}

fn words(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// A folder that is changed, and started after each change.
struct Walk {
    path: PathBuf,
    root: PathBuf,
    url: String,
    bus: Bus,
    steps: u64,
}

impl Walk {
    fn change(&self, file: &str, from: &str, to: &str) {
        let file = self.path.join(file);
        let text = fs::read_to_string(&file).unwrap();
        let changed = text.replacen(from, to, 1);
        assert_ne!(text, changed, "{from:?} is not in {}", file.display());
        fs::write(file, changed).unwrap();
    }

    /// `check` finds nothing, `explain` says all of these, and the pipeline starts, counts an event more, and has these tables.
    async fn go_on(&mut self, said: &[&str]) -> Vec<String> {
        let checked = tidewheel(&["check"], &self.path);
        assert!(checked.status.success(), "{}", words(&checked));
        let explained = words(&tidewheel(&["explain"], &self.path));
        for said in said {
            assert!(explained.contains(said), "{said:?} is not in\n{explained}");
        }
        let pipeline = Arc::new(Folder::read(&self.path).unwrap().assemble().unwrap());
        let settings = RunSettings {
            snapshots: Some(Location::folder(self.root.join("state/snapshots"))),
            version: "0.0.1".to_owned(),
            history: Some(self.root.join("state/history")),
            ..RunSettings::default()
        };
        let own = Bus::connect(&ConnectSettings::to_url(self.url.clone())).await.unwrap();
        let run = Run::start(Arc::clone(&pipeline), &own, &settings).await.unwrap();
        let event = json!({"event_id": self.steps.to_string(), "user_id": 7, "item_id": 3, "category_id": 1, "kind": "view",
            "price": 1, "ts": 1_700_000_000_000_u64 + 70_000 * self.steps});
        publish(&self.bus, "shop.clicks.a", [serde_json::to_vec(&event).unwrap()]).await;
        self.steps += 1;
        assert_eq!(through(&run, &self.bus, &pipeline).await, self.steps, "nothing is counted twice or forgotten");
        run.stop().await.unwrap();
        pipeline.tables.iter().map(|table| table.plan.name().to_owned()).collect()
    }

    async fn active(&self) -> String {
        let registry = Registry::open(&self.bus, Names::of("recommend").registry(), None).await.unwrap();
        registry.pointer().await.unwrap().unwrap().active.to_string()
    }
}

/// Most of these refused to start, or looked like damage, and nothing said before what would become of the state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_of_a_pipeline_starts_at_its_first_try_and_is_told_before() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let (path, root, url) = (hasty(folder.path()), folder.path().to_owned(), server.url());
    let mut walk = Walk { path, root, url, bus, steps: 0 };
    let adopted = tidewheel(&["model", "adopt"], &walk.path);
    assert!(adopted.status.success(), "{}", words(&adopted));
    walk.go_on(&[]).await;
    let active = walk.active().await;

    // A duration in other words, and a column that no vector reads: the model is the same.
    walk.change(TABLE, "within(ts, '1 hour'))    AS views_1h", "within(ts, '60 minutes')) AS views_1h");
    walk.go_on(&["made again from the streams (1 message, about 1 s), and requests wait for it"]).await;
    walk.change(TABLE, "SELECT user_id,", "SELECT user_id, max(price) FILTER (WHERE within(ts, '1 day')) AS dearest,");
    walk.go_on(&["kept, from snapshot", "made again from the streams (2 messages, about 1 s)"]).await;
    assert_eq!(walk.active().await, active);

    // A table that is published and kept, another window, another column: the history follows.
    fs::write(walk.path.join("features/minute.sql"), MINUTE).unwrap();
    walk.change("pipeline.toml", "[labels]", PUBLISHED);
    assert!(walk.go_on(&["part windows minute of the state"]).await.contains(&"minute".to_owned()));
    walk.change("features/minute.sql", "1 minute", "30 seconds");
    walk.change("features/minute.sql", "count(*) AS events", "count(*) AS events, sum(price) AS spend");
    walk.go_on(&["history of minute: column spend is added, NULL in the rows that are there"]).await;
    walk.change("features/minute.sql", "count(*) AS events, ", "");
    walk.go_on(&["history of minute: column events stays, NULL in the rows from then on"]).await;
    walk.change("features/minute.sql", "sum(price) AS spend", "count(*) AS spend");
    let refused = tidewheel(&["check"], &walk.path);
    let said = words(&refused);
    assert!(!refused.status.success() && said.contains("\"spend\" is Int64 now and Float64 there"), "{said}");
    walk.change("features/minute.sql", "count(*) AS spend", "count(*)::double AS spend");

    // Labels: another window, none, and again.
    walk.change("pipeline.toml", r#"window   = "1s""#, r#"window   = "5m""#);
    walk.go_on(&["what waits for feedback is forgotten", "the label window"]).await;
    let file = walk.path.join("pipeline.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (before, after) = (text.find("[labels]").unwrap(), text.find("[state]").unwrap());
    fs::write(&file, format!("{}{}", &text[..before], &text[after..])).unwrap();
    walk.go_on(&["kept, from snapshot"]).await;
    fs::write(&file, text).unwrap();
    walk.go_on(&["what waits for feedback is forgotten", "[labels] is new"]).await;

    // A table less.
    fs::remove_file(walk.path.join("features/minute.sql")).unwrap();
    walk.change("pipeline.toml", PUBLISHED, "[labels]");
    let tables = walk.go_on(&["table minute is gone: its state is dropped"]).await;
    assert!(!tables.contains(&"minute".to_owned()), "{tables:?}");
    assert_eq!(walk.active().await, active);

    // What the vector reads: the message names it, and the weights go on where a person says so.
    walk.change(
        TABLE,
        "count(*) FILTER (WHERE kind = 'view' AND within(ts, '5 minutes'))",
        "count(*) FILTER (WHERE 'view' = kind AND within(ts, '5m'))",
    );
    let refused = tidewheel(&["check"], &walk.path);
    let said = words(&refused);
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("column views_5m of features/user_activity.sql has changed"), "{said}");
    assert!(said.contains("tidewheel model adopt"), "{said}");
    let adopted = tidewheel(&["model", "adopt"], &walk.path);
    assert!(adopted.status.success(), "{}", words(&adopted));
    walk.go_on(&["made again from the streams", "what waits for feedback is forgotten"]).await;
    assert_ne!(walk.active().await, active);
    server.stop().await.unwrap();
}
