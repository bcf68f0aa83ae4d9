//! Training that can't go on stops by itself and says why; what serves goes on serving.

use std::path::Path;
use std::sync::Arc;

use futures::FutureExt;
use serde_json::{Value, json};
use tidewheel::bus::{Bus, EmbeddedServer, Subject};
use tidewheel::config::Folder;
use tidewheel::engine::{EngineError, Training, TrainingOptions};
use tidewheel::learn::read_head;
use tidewheel::pipeline::{Names, Pipeline, output_spec};
use tidewheel::registry::Registry;

use crate::broker::{publish, server, start};
use crate::learning::{a_minute_ago, items, request, until, view};
use crate::taobao::PATIENCE;
use crate::training::{hasty, last_example, teach, train};

/// Where the models and checkpoints of the pipeline are.
const MODELS: &str = "OBJ_RECOMMEND_MODELS";

async fn shop(folder: &Path) -> (EmbeddedServer, Bus, Arc<Pipeline>) {
    let (server, bus) = server(folder).await;
    let pipeline = Arc::new(Folder::read(&hasty(folder)).unwrap().assemble().unwrap());
    bus.ensure_stream(&output_spec(&pipeline)).await.unwrap();
    (server, bus, pipeline)
}

async fn start_training(bus: &Bus, pipeline: &Arc<Pipeline>) -> Training {
    Training::start(Arc::clone(pipeline), bus, TrainingOptions::default()).await.unwrap()
}

/// What the server says to a request about a stream.
async fn ask_about(bus: &Bus, action: &str, stream: &str, body: &Value) -> Value {
    let subject = Subject::new(format!("$JS.API.STREAM.{action}.{stream}")).unwrap();
    let reply = bus.request(&subject, serde_json::to_vec(body).unwrap().into(), PATIENCE).await.unwrap();
    let reply: Value = serde_json::from_slice(&reply).unwrap();
    assert!(reply.get("error").is_none(), "{reply}");
    reply
}

/// Lets a stream hold so many bytes more; without a number, as many as come.
async fn limit(bus: &Bus, stream: &str, more: Option<i64>) {
    let info = ask_about(bus, "INFO", stream, &json!({})).await;
    let mut config = info["config"].clone();
    config["max_bytes"] = json!(more.map_or(-1, |more| info["state"]["bytes"].as_i64().unwrap() + more));
    ask_about(bus, "UPDATE", stream, &config).await;
}

/// Gives training something to learn, a message at a time, until it has stopped by itself.
async fn teach_until_stopped(bus: &Bus, pipeline: &Pipeline, training: &Training) -> String {
    let mut number = 0;
    let stopped = async || {
        teach(bus, pipeline, number..number + 1).await;
        number += 1;
        training.progress().stopped.clone()
    };
    until("training to stop", stopped).await
}

/// An error of the broker while training saved ended the thread, and with it the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rankings_are_answered_after_training_has_stopped_because_the_models_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus, pipeline) = shop(folder.path()).await;
    let mut run = start(&pipeline, &bus).await;
    let training = start_training(&bus, &pipeline).await;
    ask_about(&bus, "DELETE", MODELS, &json!({})).await;

    let began = a_minute_ago();
    let service = Subject::new("recommend.score").unwrap();
    // Somebody asks, and clicks on the first item: an example.
    let visit = async |round: u64| {
        let (id, ts) = (format!("r{round}"), began + 20 * round);
        let reply = bus.request(&service, request(&id, 1, &[1, 2], Some(ts)).into(), PATIENCE).await.unwrap();
        assert_eq!(items(&serde_json::from_slice(&reply).unwrap()).len(), 2);
        publish(&bus, "shop.clicks.web", [view(&format!("c{round}"), (1, 1), ts + 10, Some(&id))]).await;
    };
    let mut round = 0;
    let stopped = async || {
        round += 1;
        visit(round).await;
        training.progress().stopped.clone()
    };
    let reason = until("training to stop", stopped).await;
    assert!(reason.starts_with(&format!("registry of models {MODELS} is gone")), "{reason}");
    let error = training.stopped().await;
    assert!(matches!(&error, EngineError::TrainingStopped { reason: told, .. } if *told == reason), "{error}");
    let error = training.freeze(0.5).await.unwrap_err();
    assert!(matches!(error, EngineError::TrainingStopped { .. }), "{error}");

    for later in 1..=5 {
        visit(round + later).await;
    }
    assert!(run.failed().now_or_never().is_none(), "the run goes on");
    let error = training.stop().await.unwrap_err();
    assert!(matches!(error, EngineError::RegistryGone { .. }), "there is nowhere to save: {error}");
    run.stop().await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn training_that_has_stopped_because_the_store_is_full_saves_at_the_end_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus, pipeline) = shop(folder.path()).await;
    let training = start_training(&bus, &pipeline).await;
    limit(&bus, MODELS, Some(1)).await;
    let reason = teach_until_stopped(&bus, &pipeline, &training).await;
    assert!(reason.contains("maximum bytes exceeded"), "{reason}");
    let position = training.progress().position;

    limit(&bus, MODELS, None).await;
    training.stop().await.unwrap();
    let registry = Registry::open(&bus, Names::of(&pipeline.name).registry(), None).await.unwrap();
    let checkpoint = registry.load_checkpoint().await.unwrap().unwrap();
    assert_eq!(read_head(&checkpoint).unwrap().0.position, position);

    // A restart learns what came after it, each example once.
    let last = last_example(&bus, &pipeline).await;
    let (report, head) = train(&bus, &pipeline).await;
    assert_eq!((report.stopped, head.position, head.examples), (None, last, 50 * last));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn training_outlives_a_broker_that_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, bus, pipeline) = shop(folder.path()).await;
    let training = start_training(&bus, &pipeline).await;
    for round in 0..3 {
        teach(&bus, &pipeline, round * 40..(round + 1) * 40).await;
        server.restart().await.unwrap();
    }
    until("all examples", async || (training.progress().position == 120).then_some(())).await;
    assert_eq!(training.progress().stopped, None);
    training.stop().await.unwrap();
    let registry = Registry::open(&bus, Names::of(&pipeline.name).registry(), None).await.unwrap();
    let checkpoint = registry.load_checkpoint().await.unwrap().unwrap();
    let head = read_head(&checkpoint).unwrap().0;
    assert_eq!((head.position, head.examples), (120, 6_000));
    server.stop().await.unwrap();
}

/// Training did not start then, and with it the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn training_whose_examples_are_lost_starts_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus, pipeline) = shop(folder.path()).await;
    teach(&bus, &pipeline, 0..20).await;
    let (_, head) = train(&bus, &pipeline).await;
    let outputs = output_spec(&pipeline);
    ask_about(&bus, "DELETE", &outputs.name, &json!({})).await;
    bus.ensure_stream(&outputs).await.unwrap();

    let training = start_training(&bus, &pipeline).await;
    let error = training.stopped().await.to_string();
    let expected = format!(
        "training stopped: the stream of examples ends at 0, training goes on at {}: the broker lost messages or is another one",
        head.position + 1
    );
    assert_eq!(error, expected);
    training.stop().await.unwrap();
    server.stop().await.unwrap();
}
