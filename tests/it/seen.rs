//! What an operator sees of a running pipeline: its status by question, warnings and a line now and then in the log, metrics
//! that are there from the start.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tidewheel::bus::{Bus, Subject};
use tidewheel::engine::serve_status;

use crate::broker::{pipeline, program, publish, server, start, through};
use crate::learning::{request, until, view};
use crate::taobao::{PATIENCE, root};

fn now_millis() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
}

fn click(id: u64, ts: u64) -> Vec<u8> {
    view(&format!("e{id}"), (id % 5, id % 3), ts, None)
}

async fn status(bus: &Bus, pipeline: &str) -> Value {
    let subject = Subject::new(format!("tidewheel.status.{pipeline}")).unwrap();
    serde_json::from_slice(&bus.request(&subject, "".into(), PATIENCE).await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_learns_what_became_of_every_event_table_by_table() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = pipeline("trends");
    let run = start(&pipeline, &bus).await;
    let _door = serve_status(&bus, &pipeline, &run, None, Duration::ZERO).await.unwrap();
    let empty = status(&bus, "trends").await;
    assert_eq!(empty["events"], json!({ "counted": 0, "late": 0, "rejected": 0, "duplicate": 0 }));
    assert_eq!((&empty["model"], &empty["training"], &empty["labels"]), (&Value::Null, &Value::Null, &Value::Null));

    // Forty of now, of which two are sent again; three of ten minutes ago, which is no visit's end; three that are none.
    let now = now_millis();
    let good = (0..40).map(|id| click(id, now - 40 + id)).chain([click(7, now), click(8, now)]);
    let late = (100..103).map(|id| click(id, now - 600_000));
    let bad = [b"no json".to_vec(), b"{\"event_id\":1}".to_vec(), b"{\"event_id\":2}".to_vec()];
    publish(&bus, "shop.clicks.web", good.chain(late).chain(bad)).await;
    through(&run, &bus, &pipeline).await;

    let found = status(&bus, "trends").await;
    assert_eq!(found["events"], json!({ "counted": 43, "late": 0, "rejected": 3, "duplicate": 2 }));
    let stream = &found["streams"][0];
    assert_eq!((&stream["name"], &stream["position"], &stream["waiting"]), (&json!("clicks"), &json!(48), &json!(0)));
    assert_eq!(found["dead_letters"]["invalid_json"]["count"], 1);
    let wrong = &found["dead_letters"]["wrong_type"];
    assert_eq!(wrong["count"], 2, "{found}");
    let example = wrong["example"].as_str().unwrap();
    assert!(example.starts_with("message 48 of clicks: ") && example.contains("event_id"), "{example}");
    let tables = found["tables"].as_array().unwrap().iter();
    let late: Vec<_> =
        tables.clone().map(|table| (table["name"].as_str().unwrap(), table["late"].as_u64().unwrap())).collect();
    assert_eq!(late, [("category_trend", 3), ("item_minute", 3), ("visit", 0)]);
    for table in tables {
        // A window that is open has no row to look up yet, and takes memory.
        assert!(table["bytes"].as_u64().unwrap() > 0, "{table}");
        // That of the newest event that is no repeat, less the two seconds of disorder.
        assert_eq!(table["watermark_micros"].as_i64().unwrap(), (now as i64 - 1 - 2_000) * 1_000, "{table}");
    }
    let heard = found["last_event_micros"].as_i64().unwrap();
    assert!(heard > now as i64 * 1_000 && heard <= found["at_micros"].as_i64().unwrap(), "{found}");
    run.stop().await.unwrap();
    server.stop().await.unwrap();
}

/// A `tidewheel run` of its own.
pub struct Program {
    child: Child,
    log: std::path::PathBuf,
}

impl Program {
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        let log = folder.join("log");
        let mut command = program(folder);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        Self { child: command.spawn().unwrap(), log }
    }

    /// The objects of the log so far; each line is one.
    fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap();
        let (whole, _) = text.rsplit_once('\n').unwrap_or_default();
        let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        whole.lines().map(read).collect()
    }

    /// Waits for a line that a text begins the message of, and gives the first.
    pub async fn said(&mut self, message: &str) -> Value {
        until(message, async || {
            assert_eq!(self.child.try_wait().unwrap(), None, "{:?}", self.log());
            self.log().into_iter().find(|line| line["message"].as_str().unwrap_or_default().starts_with(message))
        })
        .await
    }

    pub fn stop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "{:?}", self.log());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn tidewheel(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What is served for Prometheus.
fn metrics(address: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

/// The counters and durations that the reference lists.
fn documented() -> BTreeSet<String> {
    let page = fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let names = page.lines().filter_map(|line| line.strip_prefix("| `tidewheel_")?.split_once('`'));
    let names = names.map(|(rest, _)| format!("tidewheel_{rest}"));
    names.filter(|name| name.ends_with("_total") || name.ends_with("_seconds")).collect()
}

/// Of a pipeline without Delta tables, and whose expressions have not failed yet; gauges that end alike.
const NOT_YET: [&str; 4] = [
    "tidewheel_engine_failed_total",
    "tidewheel_history_upkeep_failures_total",
    "tidewheel_engine_newest_event_time_seconds",
    "tidewheel_engine_model_since_seconds",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_tells_of_rejects_at_once_writes_lines_and_serves_metrics_and_a_status() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(&folder.path().join("broker")).await;
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let shop = root().join("pipelines/recommend");
    let (shop, url) = (shop.to_str().unwrap(), server.url());
    let ask = |more: &[&str]| tidewheel(folder.path(), &[&["status", shop, "--nats", &url], more].concat());
    let absent = ask(&[]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(text(&absent).starts_with("pipeline `recommend` does not run: nobody answers"), "{}", text(&absent));

    let arguments =
        ["run", shop, "--nats", &url, "--status-every", "1s", "--log-format", "json", "--metrics", &address];
    let mut program = Program::start(folder.path(), &arguments);
    program.said("running").await;
    let first = metrics(&address);
    for name in documented().iter().filter(|name| !NOT_YET.contains(&name.as_str())) {
        let name = if name.ends_with("_seconds") { format!("{name}_bucket{{") } else { format!("{name}{{") };
        assert!(first.contains(&name), "{name} is absent before anything has happened:\n{first}");
    }
    for series in [r#"outcome="rejected"} 0"#, r#"reason="wrong_type"} 0"#, r#"code="503"} 0"#, r#"fault="data"} 0"#] {
        assert!(first.contains(series), "{series}:\n{first}");
    }
    program.said("no events for ").await;

    let now = now_millis();
    publish(&bus, "shop.clicks.web", (0..30).map(|id| click(id, now)).chain([b"{\"event_id\":1}".to_vec()])).await;
    // Feedback on what was never shown.
    publish(&bus, "shop.clicks.web", [view("f", (1, 1), now, Some("nobody"))]).await;
    let service = Subject::new("recommend.score").unwrap();
    bus.request(&service, request("r1", 1, &[1, 2], None).into(), PATIENCE).await.unwrap();
    bus.request(&service, "no json".into(), PATIENCE).await.unwrap_err();

    let rejected = program.said("events or rows can't be used").await;
    assert_eq!(
        (&rejected["level"], &rejected["count"], &rejected["reason"]),
        (&json!("WARN"), &json!(1), &json!("wrong_type"))
    );
    assert!(rejected["example"].as_str().unwrap().starts_with("message 31 of clicks: "), "{rejected}");
    let unmatched = program.said("feedback belongs to nothing that was shown").await;
    assert_eq!((&unmatched["count"], &unmatched["example"]), (&json!(1), &json!("message 32")));
    // The lines add up to what was sent, however they cut it.
    let lines = until("lines of all events", async || {
        let lines: Vec<Value> = program.log().into_iter().filter(|line| line["events"].is_number()).collect();
        let sum = |name: &str| lines.iter().filter_map(|line| line[name].as_u64()).sum::<u64>();
        (sum("events") == 32 && sum("answered") == 1 && sum("rejected") == 1 && sum("unmatched") == 1).then_some(lines)
    })
    .await;
    assert!(lines.iter().any(|line| line["refused"] == "400: 1"), "{lines:?}");
    let model = lines.last().unwrap()["model"].as_str().unwrap().to_owned();
    assert_eq!(lines.last().unwrap()["waiting"], 0);

    let told = ask(&["--format", "json"]);
    assert_eq!(told.status.code(), Some(0));
    let told: Value = serde_json::from_str(&text(&told)).unwrap();
    assert_eq!((&told["events"]["counted"], &told["model"]["version"]), (&json!(31), &json!(model)));
    assert_eq!(told["replies"]["codes"], json!({ "200": 1, "400": 1 }));
    assert!(told["replies"]["p99_ms"].as_f64().is_some_and(|millis| millis > 0.0), "{told}");
    assert_eq!((&told["training"]["state"], &told["labels"]["unmatched"]), (&json!("running"), &json!(1)));
    assert!(text(&ask(&[])).contains("31 counted, 1 rejected, 0 late, 0 duplicate"), "{}", text(&ask(&[])));

    let later = until("metrics of all that", async || {
        let later = metrics(&address);
        later.contains(r#"tidewheel_engine_replies_total{pipeline="recommend",code="400"} 1"#).then_some(later)
    })
    .await;
    let number = u64::from_str_radix(&model, 16).unwrap();
    for series in [
        format!("tidewheel_engine_model_version{{pipeline=\"recommend\"}} {number}"),
        "tidewheel_engine_lag_messages{pipeline=\"recommend\",stream=\"clicks\"} 0".to_owned(),
        "tidewheel_engine_dead_letters_total{pipeline=\"recommend\",reason=\"wrong_type\"} 1".to_owned(),
        "tidewheel_commit_reply_seconds_count{pipeline=\"recommend\"} 1".to_owned(),
    ] {
        assert!(later.contains(&series), "{series}:\n{later}");
    }
    program.stop();
    assert_eq!(ask(&[]).status.code(), Some(1));
    server.stop().await.unwrap();
}
