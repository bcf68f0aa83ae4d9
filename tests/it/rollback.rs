//! A person's word about models outlives restarts, training and changes of SQL: roll-backs, models that were added, weights
//! that were adopted.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use tidewheel::bus::{Bus, Subject};
use tidewheel::config::Folder;
use tidewheel::model::onnx::{Document, weight_changes};
use tidewheel::model::{MlpSpec, ModelVersion, build_mlp};
use tidewheel::pipeline::{Names, Pipeline, output_spec};
use tidewheel::registry::Registry;

use crate::broker::{server, start};
use crate::learning::{fingerprint, request};
use crate::taobao::PATIENCE;
use crate::training::{hasty, teach, train};

/// The model file of the pipeline.
const FILE: &str = "model/recommend.onnx";

fn assemble(folder: &Path) -> Arc<Pipeline> {
    Arc::new(Folder::read(folder).unwrap().assemble().unwrap())
}

async fn registry(bus: &Bus, pipeline: &Pipeline) -> Registry {
    Registry::open(bus, Names::of(&pipeline.name).registry(), None).await.unwrap()
}

/// Puts another model for its vector into a pipeline's folder.
fn put_model(folder: &Path, seed: u64) -> ModelVersion {
    let pipeline = assemble(folder);
    let columns = pipeline.vector.as_ref().unwrap().columns().to_vec();
    let spec = MlpSpec { columns, hidden: vec![8], dropout: 0.0, seed, fingerprint: fingerprint(&pipeline).to_owned() };
    let bytes = build_mlp(&spec).unwrap();
    fs::write(folder.join(FILE), &bytes).unwrap();
    ModelVersion::of(&bytes)
}

/// Which model answers after a start.
async fn serves(bus: &Bus, folder: &Path) -> String {
    let run = start(&assemble(folder), bus).await;
    let service = Subject::new("recommend.score").unwrap();
    let reply = bus.request(&service, request("r", 1, &[1, 2], None).into(), PATIENCE).await.unwrap();
    run.stop().await.unwrap();
    serde_json::from_slice::<Value>(&reply).unwrap()["model"].as_str().unwrap().to_owned()
}

fn tidewheel(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewheel"));
    command.args(arguments).env_remove("NATS_URL").env_remove("TIDEWHEEL_LOG").output().unwrap()
}

/// What a verb of `model` prints as JSON.
fn told(arguments: &[&str]) -> Value {
    let output = tidewheel(&[&["model"], arguments, &["--format", "json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The next start promoted the folder's model again: what was active did not come from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_back_outlives_restarts_until_the_folder_has_a_third_file() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = hasty(folder.path());
    let first = put_model(&pipeline, 1);
    assert_eq!(serves(&bus, &pipeline).await, first.as_str());
    let second = put_model(&pipeline, 2);
    assert_eq!(serves(&bus, &pipeline).await, second.as_str());

    let registry = registry(&bus, &assemble(&pipeline)).await;
    registry.rollback(fingerprint(&assemble(&pipeline)), "worse", 0).await.unwrap();
    for start in 1..=3 {
        assert_eq!(serves(&bus, &pipeline).await, first.as_str(), "start {start}");
    }
    assert!(registry.pointer().await.unwrap().unwrap().held);

    let third = put_model(&pipeline, 3);
    assert_eq!(serves(&bus, &pipeline).await, third.as_str());
    assert_eq!(serves(&bus, &pipeline).await, third.as_str());
    assert!(!registry.pointer().await.unwrap().unwrap().held);
    server.stop().await.unwrap();
}

/// The next decision of the gate, seconds later, promoted over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn training_promotes_nothing_over_a_roll_back_until_a_person_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let path = hasty(folder.path());
    let (place, url) = (path.to_str().unwrap(), server.url());
    let pipeline = assemble(&path);
    bus.ensure_stream(&output_spec(&pipeline)).await.unwrap();
    teach(&bus, &pipeline, 0..120).await;
    let (report, _) = train(&bus, &pipeline).await;
    assert!(report.promoted >= 2, "{report:?}");

    let rolled_back = told(&["rollback", place, "--nats", &url, "--reason", "worse"]);
    assert_eq!(rolled_back["held"], true);
    teach(&bus, &pipeline, 120..240).await;
    let (report, _) = train(&bus, &pipeline).await;
    assert_eq!((report.examples, report.promoted, report.stopped), (12_000, 0, None));
    let listed = tidewheel(&["model", "list", place, "--nats", &url]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains(&format!("held at {}", rolled_back["active"].as_str().unwrap())), "{listed}");

    let resumed = told(&["resume", place, "--nats", &url]);
    assert_eq!((&resumed["active"], resumed.get("held")), (&rolled_back["active"], None));
    teach(&bus, &pipeline, 240..360).await;
    let (report, _) = train(&bus, &pipeline).await;
    assert!(report.promoted >= 1, "{report:?}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_was_added_serves_nobody_until_the_gate_finds_it_not_worse() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let path = hasty(folder.path());
    let (place, url) = (path.to_str().unwrap(), server.url());
    let pipeline = assemble(&path);
    bus.ensure_stream(&output_spec(&pipeline)).await.unwrap();
    teach(&bus, &pipeline, 0..4).await;
    train(&bus, &pipeline).await;

    // As good as the one that serves: the same weights in another file.
    let mut nightly = Document::read(&fs::read(path.join(FILE)).unwrap()).unwrap();
    nightly.set_metadata("made", "at night");
    let file = folder.path().join("nightly.onnx");
    fs::write(&file, nightly.write()).unwrap();
    let added = told(&["add", place, file.to_str().unwrap(), "--nats", &url]);
    let version = added["version"].as_str().unwrap();
    assert_eq!((version, &added["kind"]), (ModelVersion::of(&nightly.write()).as_str(), &"initial".into()));
    let registry = registry(&bus, &pipeline).await;
    assert_ne!(registry.pointer().await.unwrap().unwrap().active.as_str(), version);

    assert_eq!(told(&["candidate", place, version, "--nats", &url])["candidate"], version);
    teach(&bus, &pipeline, 4..120).await;
    let (report, head) = train(&bus, &pipeline).await;
    assert_eq!((report.examples, report.stopped), (6_000, None));
    let pointer = registry.pointer().await.unwrap().unwrap();
    let promoted: Vec<&str> = pointer.history.iter().map(|moved| moved.to.as_str()).collect();
    assert!(promoted.contains(&version) && pointer.candidate.is_none(), "{promoted:?}");
    assert_eq!(head.root, version, "training goes on from its weights");
    assert_eq!(registry.record(&pointer.active).await.unwrap().root.as_str(), version);

    let other = folder.path().join("other.onnx");
    let columns = (0..3).map(|column| format!("c{column}")).collect();
    let spec = MlpSpec { columns, hidden: vec![4], dropout: 0.0, seed: 1, fingerprint: "8a21".to_owned() };
    fs::write(&other, build_mlp(&spec).unwrap()).unwrap();
    let refused = tidewheel(&["model", "add", place, other.to_str().unwrap(), "--nats", &url]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{words}");
    assert!(words.contains("other.onnx") && words.contains("3 wide"), "{words}");
    server.stop().await.unwrap();
}

/// A change of SQL that leaves every value what it was made the trained weights unusable, and the error named neither the file
/// nor a way out that keeps them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_that_were_trained_serve_on_after_a_change_of_sql_that_a_person_adopts() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let path = hasty(folder.path());
    let place = path.to_str().unwrap();
    let before = assemble(&path);
    bus.ensure_stream(&output_spec(&before)).await.unwrap();
    teach(&bus, &before, 0..120).await;
    train(&bus, &before).await;
    let registry = registry(&bus, &before).await;
    let trained = registry.pointer().await.unwrap().unwrap().active;
    let record = registry.record(&trained).await.unwrap();

    let sql = path.join("features/user_activity.sql");
    let text = fs::read_to_string(&sql).unwrap();
    fs::write(&sql, text.replace("kind = 'view'", "'view' = kind")).unwrap();
    let problems = Folder::check(&path).err().unwrap().to_string();
    assert!(problems.contains("recommend.onnx") && problems.contains("tidewheel model adopt"), "{problems}");

    let adopted = told(&["adopt", place]);
    assert_eq!(adopted["vector"]["from"], fingerprint(&before));
    let after = assemble(&path);
    assert_eq!(adopted["vector"]["to"], fingerprint(&after));
    let again = told(&["adopt", place]);
    assert_eq!(again["version"]["from"], again["version"]["to"], "there is nothing left to adopt");

    train(&bus, &after).await;
    let pointer = registry.pointer().await.unwrap().unwrap();
    let now = registry.record(&pointer.active).await.unwrap();
    assert_eq!((now.parent.as_ref(), now.fingerprint.as_str()), (Some(&trained), fingerprint(&after)));
    assert_eq!((now.steps, now.example_position), (record.steps, record.example_position));
    let weights = async |version| Document::read(&registry.fetch(version).await.unwrap()).unwrap();
    let changes = weight_changes(&weights(&trained).await, &weights(&pointer.active).await);
    assert!(!changes.is_empty() && changes.iter().all(|change| change.largest == Some(0.0)), "{changes:?}");

    // What was learnt for the vector before can be brought over too.
    let earlier = pointer.previous.iter().find(|version| **version != trained).unwrap();
    let url = server.url();
    let refused = tidewheel(&["model", "promote", place, earlier.as_str(), "--nats", &url]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{words}");
    let adopted = told(&["adopt", place, earlier.as_str(), "--nats", &url]);
    let version = adopted["version"]["to"].as_str().unwrap();
    assert_eq!(told(&["promote", place, version, "--nats", &url])["active"], version);
    assert_eq!(registry.pointer().await.unwrap().unwrap().active.as_str(), version);
    server.stop().await.unwrap();
}

/// A model that is tied to no vector served on with weights that had learnt from other values, or was taken back to its
/// beginning, at every start anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_trained_from_a_brought_file_are_not_taken_for_another_vector_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let path = hasty(folder.path());
    let before = assemble(&path);
    // Only the computation: tied to no vector.
    let built = Document::read(&fs::read(path.join(FILE)).unwrap()).unwrap();
    let brought = Document::new(built.graph().clone());
    let sql = path.join("features/user_activity.sql");
    let text = fs::read_to_string(&sql).unwrap();
    fs::write(path.join(FILE), brought.write()).unwrap();
    let file = ModelVersion::of(&brought.write());
    assert_eq!(serves(&bus, &path).await, file.as_str());
    let registry = registry(&bus, &before).await;

    // The file itself fits any vector of these columns.
    fs::write(&sql, text.replace("kind = 'view'", "'view' = kind")).unwrap();
    let pipeline = assemble(&path);
    assert_eq!(serves(&bus, &path).await, file.as_str());
    assert_eq!(registry.record(&file).await.unwrap().fingerprint, fingerprint(&pipeline));

    teach(&bus, &pipeline, 0..120).await;
    let (report, _) = train(&bus, &pipeline).await;
    assert!(report.promoted >= 1);
    let trained = registry.pointer().await.unwrap().unwrap().active;
    fs::write(&sql, text).unwrap();
    // What a test has written among the outputs no run takes for its own.
    let run = tidewheel(&["train", path.to_str().unwrap(), "--nats", &server.url()]);
    let words = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(2), "{words}");
    assert!(words.contains(&format!("the active model {trained} was made for vector")), "{words}");
    told(&["promote", path.to_str().unwrap(), file.as_str(), "--nats", &server.url()]);
    assert_eq!(registry.pointer().await.unwrap().unwrap().active, file);
    server.stop().await.unwrap();
}
