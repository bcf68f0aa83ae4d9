//! What an operator changes of the streams of a pipeline that has run: labels added, taken away and given another window, more
//! subjects and higher limits. Each start succeeds at its first try, and `doctor` says before what it will do.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use serde_json::json;
use tidewheel::bus::Bus;
use tidewheel::config::Folder;
use tidewheel::engine::Run;
use tidewheel::pipeline::{Pipeline, StreamIndex, input_spec};

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
        (&unlabelled, "RECOMMEND_CLICKS is not there yet"),
        (&text, "RECOMMEND_OUT: subjects is"),
        (&patient, "(expected 7200s); `tidewheel run` extends it"),
        (&text, "RECOMMEND_CLICKS is kept as it should be"),
        (&unlabelled, "RECOMMEND_OUT is kept as it should be"),
        (&wide, "RECOMMEND_CLICKS: max_age is 604800s (expected 1209600s); `tidewheel run` extends it"),
        (&narrow, "RECOMMEND_CLICKS is kept as it should be"),
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
