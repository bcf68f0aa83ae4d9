//! The walk of `docs/payloads.md` as the page has it, beside two other pipelines on the same stream.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use async_nats::jetstream;
use serde_json::Value;

use crate::broker::{program, server};
use crate::learning::until;
use crate::taobao::root;

const HEADING: &str = "## From a stream of track calls to rankings";
/// Where the page has the server.
const URL: &str = "nats://127.0.0.1:4222";
/// What is on the stream: tracks that were sent.
const SENT: &str = "tests/golden/payloads/segment-track.segment-analytics-python.jsonl";

/// What the section has: files with their texts, and commands in their order.
#[derive(Default)]
struct Walk {
    files: Vec<(String, String)>,
    commands: Vec<String>,
}

impl Walk {
    fn read() -> Self {
        let page = fs::read_to_string(root().join("docs/payloads.md")).unwrap();
        let section = page.split_once(HEADING).unwrap().1;
        let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
        let mut walk = Self::default();
        let mut parts = section.split("```");
        while let (Some(prose), Some(block)) = (parts.next(), parts.next()) {
            let (language, text) = block.split_once('\n').unwrap();
            if language == "sh" {
                walk.commands.extend(text.lines().map(str::to_owned));
            } else {
                // The file is named right before it.
                let name = prose.split('`').skip(1).step_by(2).filter(|name| name.starts_with("shop/")).last();
                walk.files.push((name.unwrap().to_owned(), text.to_owned()));
            }
        }
        walk
    }
}

/// A pipeline that runs until it is dropped.
struct Worker(Child);

impl Worker {
    fn start(folder: &Path, name: &str, url: &str) -> Self {
        let mut command = program(folder);
        command.args(["run", name, "--nats", url]).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended by itself can't be ended again.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// A line of the page, in a shell whose path has the program.
fn shell(folder: &Path, line: &str) -> Command {
    let binary = PathBuf::from(program(folder).get_program());
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    for (name, value) in program(folder).get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(folder).env("PATH", path).args(["-c", line]);
    command
}

fn said(folder: &Path, line: &str) -> Result<String, String> {
    let output = shell(folder, line).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stdout) + &text(output.stderr)) }
}

/// Waits until a pipeline has counted what was sent.
async fn counted(folder: &Path, name: &str, url: &str, count: usize) {
    until("the pipeline to count all", async || {
        let status = said(folder, &format!("tidewheel status {name} --nats {url} --format json")).ok()?;
        let status: Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["events"]["rejected"], 0, "{status}");
        (status["events"]["counted"] == count).then_some(())
    })
    .await;
}

/// Another pipeline over the stream: a feature, no model.
fn write_other(folder: &Path, name: &str, files: &[(String, String)]) {
    for (file, text) in files {
        let text = match file.as_str() {
            "shop/pipeline.toml" => text.replace("name = \"shop\"", &format!("name = \"{name}\"")),
            "shop/features/product.sql" => text.clone(),
            _ => continue,
        };
        let text = text.split("\n[model]").next().unwrap();
        let path = folder.join(file.replacen("shop", name, 1));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    said(folder, &format!("mkdir {name}/schemas && tidewheel schema segment-track > {name}/schemas/track.json"))
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_walk_gives_rankings_beside_two_other_pipelines_on_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (server, _bus) = server(&folder.join("server")).await;
    let url = server.url().clone();
    let js = jetstream::new(async_nats::connect(&url).await.unwrap());
    let subjects = vec!["events.>".to_owned()];
    let stream = jetstream::stream::Config { name: "EVENTS".to_owned(), subjects, ..Default::default() };
    js.create_stream(stream).await.unwrap();
    let sent = fs::read_to_string(root().join(SENT)).unwrap();
    for call in sent.lines() {
        js.publish("events.track", call.to_owned().into()).await.unwrap().await.unwrap();
        js.publish("events.identify", "{\"type\":\"identify\"}".into()).await.unwrap().await.unwrap();
    }
    let count = sent.lines().count();

    let Walk { files, commands } = Walk::read();
    assert!(commands.len() < 10, "{commands:?}");
    let others = ["first", "second"];
    let mut workers = Vec::new();
    for name in others {
        write_other(folder, name, &files);
        workers.push(Worker::start(folder, name, &url));
    }

    let mut ranking = None;
    for (nth, command) in commands.iter().enumerate() {
        if command.starts_with("tidewheel run") {
            assert_eq!(*command, format!("tidewheel run shop --nats {URL}"));
            workers.push(Worker::start(folder, "shop", &url));
            counted(folder, "shop", &url, count).await;
            continue;
        }
        let answer = said(folder, &command.replace(URL, &url)).unwrap_or_else(|fault| panic!("{command}: {fault}"));
        if command.starts_with("tidewheel sql") {
            assert!(answer.contains("user-"), "{answer}");
        }
        if command.starts_with("tidewheel ask") {
            ranking = Some(answer);
        }
        // Files are written once their folders are there.
        if nth == 0 {
            for (file, text) in &files {
                fs::write(folder.join(file), text).unwrap();
            }
        }
    }
    let ranking = ranking.unwrap();
    assert!(["p1", "p2", "p3"].iter().all(|item| ranking.contains(item)), "{ranking}");
    for name in others {
        counted(folder, name, &url, count).await;
    }
    let held = js.get_stream("EVENTS").await.unwrap().cached_info().config.clone();
    assert_eq!((held.subjects, held.max_age.as_secs()), (vec!["events.>".to_owned()], 0), "it stays as it was");
    drop(workers);
    server.stop().await.unwrap();
}
