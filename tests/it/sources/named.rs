//! Names in the broker that are others' already, and those that a pipeline chooses.

use tidewheel::bus::Subject;

use super::*;
use crate::broker::start;
use crate::learning::request;
use crate::training::hasty;

async fn streams(team: &Team) -> Vec<String> {
    let mut names: Vec<String> = team.js.stream_names().map(Result::unwrap).collect().await;
    names.sort();
    names
}

/// Its dead letters and commits would have been events of the stream that it reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_may_be_called_like_the_subjects_that_it_reads() {
    let team = Team::with(events()).await;
    let pipeline = team.pipeline("shop", "source = \"EVENTS\"");
    let run = team.start(&pipeline).await;
    let _sql = query::serve_sql(&team.bus, &pipeline.names, run.views()).await.unwrap();
    team.publish("shop.clicks", 0..9).await;
    team.js.publish("shop.clicks", "no event".into()).await.unwrap().await.unwrap();
    counted_to(&run, 9).await;
    until("the dead letter", async || {
        let dead = Subject::new("tidewheel.out.shop.dead").unwrap();
        team.bus.last_message("SHOP_OUT", &dead).await.unwrap()
    })
    .await;
    let place = team.folder("shop", "source = \"EVENTS\"");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidewheel"));
    let asked = command.args(["sql", place.to_str().unwrap(), "SELECT sum(n) AS n FROM per_user"]);
    let asked = asked.args(["--format", "json", "--nats", &team.server.url()]).output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&asked.stdout).unwrap(), json!([{"n": 9}]), "{asked:?}");
    assert_eq!(stopped_after(run, 9).await, [3, 3, 3]);
    let messages = team.bus.stream_state("EVENTS").await.unwrap().messages;
    assert_eq!(messages, 10, "what the pipeline says is not among its events");
    team.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stream_and_subject_that_a_pipeline_makes_has_the_name_that_it_gives() {
    let team = Team::without_stream().await;
    let path = hasty(team.folder.path());
    let file = path.join("pipeline.toml");
    let text = fs::read_to_string(&file).unwrap().replace("SHOP_CLICKS", "THE_CLICKS");
    let names = "\n[names]\nsubjects = \"features.shop\"\noutput = \"FEATURES\"\nimpressions = \"SHOWN\"\nmodels = \"GRAPHS\"\nregistry = \"POINTERS\"\n";
    fs::write(&file, text + names).unwrap();
    let pipeline = Arc::new(Folder::read(&path).unwrap().assemble().unwrap());
    let run = start(&pipeline, &team.bus).await;
    let service = Subject::new("recommend.score").unwrap();
    team.bus.request(&service, request("r", 1, &[1, 2], None).into(), PATIENCE).await.unwrap();
    run.stop().await.unwrap();
    assert_eq!(streams(&team).await, ["FEATURES", "KV_POINTERS", "OBJ_GRAPHS", "SHOWN", "THE_CLICKS"]);
    let mut subjects = config_of(&team, "FEATURES").await.subjects;
    subjects.retain(|subject| !subject.starts_with("recommend."));
    subjects.sort();
    assert_eq!(subjects, ["features.shop.commits", "features.shop.dead", "features.shop.examples"]);
    assert_eq!(config_of(&team, "SHOWN").await.subjects, ["features.shop.impressions"]);
    // A restart finds all of it again.
    let run = start(&pipeline, &team.bus).await;
    run.stop().await.unwrap();
    team.stop().await;
}
