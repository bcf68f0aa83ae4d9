//! What the developer of a service types: events and requests by the program itself, and a look at a server before a start.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidewheel::bus::{BusError, StreamSpec};
use tidewheel::config::Folder;
use tidewheel::pipeline::input_spec;

use crate::broker::{program, server, start, through};
use crate::first::first_pipeline;

/// What the program says to arguments and standard input: exit code, standard output, standard error.
fn said(folder: &Path, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = program(folder);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn event(id: &str, item: u64, ts: u64) -> String {
    format!("{}\n", json!({"event_id": id, "user_id": 7, "item_id": item, "kind": "read", "ts": ts}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_requests_from_the_command_line_reach_a_pipeline_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(&folder.path().join("broker")).await;
    let (path, _) = first_pipeline(folder.path());
    let url = server.url();
    let run_verb =
        |arguments: &[&str], input: &str| said(folder.path(), &[arguments, &["--nats", &url]].concat(), input);
    let events =
        [event("a", 10, 1_699_999_200_000), event("b", 11, 1_699_999_201_000), event("a", 10, 1_699_999_200_000)];
    let events = events.join("\n");

    let (code, _, words) = run_verb(&["pub", "pipelines/mine"], &events);
    assert_eq!(code, Some(2), "{words}");
    assert!(
        words.contains("no stream of the server takes `mine.visits`: start `tidewheel run pipelines/mine`"),
        "{words}"
    );
    let request = r#"{"request_id":"r1","user_id":7,"items":[10,11,12]}"#;
    let (code, _, words) = run_verb(&["ask", "pipelines/mine", request], "");
    assert_eq!(code, Some(4), "{words}");
    assert!(words.contains("nobody answers on mine.score"), "{words}");

    let pipeline = Arc::new(Folder::read(&path).unwrap().assemble().unwrap());
    let run = start(&pipeline, &bus).await;
    let (code, reported, words) = run_verb(&["pub", "pipelines/mine", "--format", "json"], &events);
    assert_eq!(code, Some(0), "{words}");
    let expected = json!({"stream": "MINE_VISITS", "subject": "mine.visits", "stored": 2, "already_there": 1});
    assert_eq!(serde_json::from_str::<Value>(&reported).unwrap(), expected);
    through(&run, &bus, &pipeline).await;
    assert_eq!(run.stats().snapshot().counts.counted, 2);
    let file = folder.path().join("more.jsonl");
    std::fs::write(&file, event("c", 12, 1_699_999_202_000)).unwrap();
    let (code, reported, words) =
        run_verb(&["pub", "pipelines/mine", file.to_str().unwrap(), "--subject", "mine.visits"], "");
    assert_eq!(
        (code, reported.as_str()),
        (Some(0), "1 event(s) stored in MINE_VISITS by way of mine.visits\n"),
        "{words}"
    );
    let (code, _, words) =
        run_verb(&["pub", "pipelines/mine"], &format!("{}\n{{\"event_id\":\n", event("d", 12, 1_699_999_203_000)));
    assert_eq!(code, Some(3), "{words}");
    assert!(words.contains("line 3 of standard input is no JSON") && words.contains("1 event(s) before it"), "{words}");
    let (code, _, words) = run_verb(&["pub", "pipelines/mine", "--subject", "mine.ranked"], "");
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("no stream of the pipeline reads `mine.ranked`: it reads mine.visits"), "{words}");
    through(&run, &bus, &pipeline).await;
    assert_eq!(run.stats().snapshot().counts.counted, 4);

    let (code, reply, words) = run_verb(&["ask", "pipelines/mine", request], "");
    assert_eq!(code, Some(0), "{words}");
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!((&reply["request_id"], reply["items"].as_array().unwrap().len()), (&json!("r1"), 3));
    let wrong = r#"{"request_id":"r2","user_id":"7","items":[10]}"#;
    let (code, reply, words) = run_verb(&["ask", "pipelines/mine", wrong], "");
    assert_eq!((code, reply.as_str()), (Some(2), ""), "{words}");
    assert!(words.contains("error: mine.score answered 400: ") && words.contains("user_id"), "{words}");
    let (code, replies, words) =
        run_verb(&["ask", "pipelines/mine", "-", "--format", "json"], &format!("{request}\n{wrong}\n{request}"));
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("1 of 3 requests were refused, the first: mine.score answered 400"), "{words}");
    let replies: Vec<Value> = replies.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let error = &replies[1]["error"];
    assert_eq!((replies.len(), &error["code"], &error["request_id"]), (3, &json!(400), &json!("r2")));
    assert!(error["message"].as_str().unwrap().contains("user_id"), "{error}");
    let (code, _, words) = run_verb(&["ask", "pipelines/mine", "r1"], "");
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("the request is no JSON"), "{words}");
    run.stop().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_tells_what_a_start_would_find_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(&folder.path().join("broker")).await;
    let (path, _) = first_pipeline(folder.path());
    let url = server.url();
    let check =
        |format: &[&str]| said(folder.path(), &[&["check", "pipelines/mine", "--nats", &url], format].concat(), "");
    let pipeline = Arc::new(Folder::read(&path).unwrap().assemble().unwrap());
    let spec = input_spec(&pipeline, &pipeline.streams[0]);

    let (code, found, words) = check(&[]);
    assert_eq!(code, Some(0), "{words}{found}");
    for told in ["none runs this pipeline", "MINE_VISITS is not there yet", "is the first, and serves", "no snapshot"] {
        assert!(found.contains(told), "{told}: {found}");
    }
    assert!(matches!(bus.stream_state(&spec.name).await, Err(BusError::StreamNotFound { .. })), "nothing is made");

    // Somebody else's stream takes the subject: `check` and a start say the same.
    let other = StreamSpec { name: "OTHERS".to_owned(), subjects: vec!["mine.>".to_owned()], ..spec.clone() };
    bus.ensure_stream(&other).await.unwrap();
    let refused = bus.ensure_stream(&spec).await.unwrap_err();
    assert!(matches!(&refused, BusError::SubjectsOverlap { other, .. } if other == "OTHERS"), "{refused}");
    let (code, found, words) = check(&[]);
    assert_eq!(code, Some(1), "{words}{found}");
    assert!(found.contains(&refused.to_string()), "{found}");
    let stream = tidewheel::bus::Subject::new("$JS.API.STREAM.DELETE.OTHERS").unwrap();
    bus.request(&stream, "{}".into(), Duration::from_secs(5)).await.unwrap();

    let run = start(&pipeline, &bus).await;
    let events = event("a", 10, 1_699_999_200_000);
    assert_eq!(said(folder.path(), &["pub", "pipelines/mine", "--nats", &url], &events).0, Some(0));
    through(&run, &bus, &pipeline).await;
    let (code, found, words) = check(&["--format", "json"]);
    assert_eq!(code, Some(0), "{words}{found}");
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["problems"], json!([]));
    let details: Vec<&str> =
        found["server"].as_array().unwrap().iter().map(|finding| finding["detail"].as_str().unwrap()).collect();
    for told in ["one runs this pipeline already", "MINE_VISITS holds 1 message(s)", "goes on serving"] {
        assert!(details.iter().any(|detail| detail.contains(told)), "{told}: {details:?}");
    }
    run.stop().await.unwrap();
    server.stop().await.unwrap();
    let (code, _, words) = check(&[]);
    assert_eq!(code, Some(4), "{words}");
}
