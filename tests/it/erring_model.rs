//! A model that fails on a row costs that row: not its batch, not the pipeline, and not the next start.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use futures::future::join_all;
use serde_json::{Value, json};
use tidewheel::bus::{Bus, BusError, Subject};
use tidewheel::config::Folder;
use tidewheel::model::onnx::proto::data_type::{FLOAT, INT64};
use tidewheel::model::onnx::{Dimension, Document, GraphBuilder};
use tidewheel::pipeline::{Pipeline, output_spec};

use crate::broker::{publish, server, start, stored, through};
use crate::learning::{a_minute_ago, examples, items, request, until};
use crate::taobao::{PATIENCE, root};

/// What the model's table has no row of.
const UNKNOWN: u64 = 99;
/// What its table has a row of that is no number.
const NOT_A_NUMBER: u64 = 4;

/// Looks a number of the item up, and makes a probability of it and of how much the person has seen.
fn model() -> Vec<u8> {
    let mut graph = GraphBuilder::new("table");
    graph.input("item", INT64, &[Dimension::Named("batch")]);
    graph.input("views", FLOAT, &[Dimension::Named("batch")]);
    graph.initializer("table", &[5], &[0.5, -1.0, 2.0, 0.0, f32::NAN]);
    graph.initializer("little", &[1], &[0.01]);
    graph.node("Gather", &["table", "item"], "known");
    graph.node("Mul", &["views", "little"], "seen");
    graph.node("Add", &["known", "seen"], "logit");
    graph.node("Sigmoid", &["logit"], "score");
    graph.output("score", FLOAT, &[Dimension::Named("batch")]);
    Document::new(graph.finish()).write()
}

/// A pipeline with this model, and with sections that say what is scored.
fn pipeline(folder: &Path, sections: &str) -> Arc<Pipeline> {
    for part in ["features", "schemas"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    for schema in ["click.json", "ranking_request.json"] {
        fs::copy(root().join("schemas").join(schema), folder.join("schemas").join(schema)).unwrap();
    }
    let settings = format!(
        "name = \"erring\"\n[streams.clicks]\nsubjects = [\"shop.clicks\"]\ncontract = \"schemas/click.json\"\ntime = \"ts\"\n\
         key = \"user_id\"\ndisorder = \"1s\"\n[model]\ngraph = \"model.onnx\"\n{sections}"
    );
    let feature = "SELECT user_id, count(*) FILTER (WHERE within(ts, '1 hour')) AS views FROM clicks GROUP BY user_id";
    let vector = "SELECT r.item_id AS item, coalesce(u.views, 0) AS views \
                  FROM requests r LEFT JOIN person u ON r.user_id = u.user_id";
    fs::write(folder.join("pipeline.toml"), settings).unwrap();
    fs::write(folder.join("features/person.sql"), feature).unwrap();
    fs::write(folder.join("vector.sql"), vector).unwrap();
    fs::write(folder.join("model.onnx"), model()).unwrap();
    Arc::new(Folder::read(folder).unwrap().assemble().unwrap())
}

fn click(id: u64, item: u64, kind: &str, ts: u64) -> Vec<u8> {
    let click = json!({"event_id": format!("e{id}"), "user_id": id % 3, "item_id": item, "category_id": 1, "kind": kind,
        "price": 9.5, "ts": ts});
    serde_json::to_vec(&click).unwrap()
}

/// The payloads that were stored on a subject.
async fn payloads(bus: &Bus, pipeline: &Pipeline, subject: &str) -> Vec<Vec<u8>> {
    let outputs = stored(bus, &output_spec(pipeline).name).await.into_iter();
    outputs.filter(|message| message.subject.as_str() == subject).map(|message| message.payload.to_vec()).collect()
}

/// The worker ended at the first such event, and again at every start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_the_model_fails_on_are_dead_letters_and_never_examples_also_after_a_restart() {
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (server, bus) = server(store.path()).await;
    let sections = "[score]\non = \"kind = 'view'\"\npublish = \"erring.ranked\"\n\
                    [labels]\njoin = [\"event_id\"]\npositive = \"kind = 'buy'\"\nwindow = \"1s\"\n";
    let pipeline = pipeline(folder.path(), sections);
    let began = a_minute_ago();
    let shown: Vec<u64> = (0..40).map(|id| if id % 8 == 3 { UNKNOWN } else { id % 5 }).collect();
    let events: Vec<_> = (0..).zip(&shown).map(|(id, item)| click(id, *item, "view", began + id)).collect();
    let is_bad = |item: &u64| [UNKNOWN, NOT_A_NUMBER].contains(item);
    let bad: Vec<_> =
        events.iter().zip(&shown).filter(|(_, item)| is_bad(item)).map(|(event, _)| event.clone()).collect();

    let mut run = start(&pipeline, &bus).await;
    publish(&bus, "shop.clicks", events).await;
    through(&run, &bus, &pipeline).await;
    run.stop().await.unwrap();
    let dead = payloads(&bus, &pipeline, "erring.dead").await;
    assert_eq!((dead.len(), &dead), (bad.len(), &bad));
    let letter =
        bus.last_message(&output_spec(&pipeline).name, &Subject::new("erring.dead").unwrap()).await.unwrap().unwrap();
    assert_eq!(letter.header("Tidewheel-Reason"), Some("unscorable"));
    assert!(letter.header("Tidewheel-Detail").unwrap().contains("score is NaN"), "{letter:?}");
    let rankings = payloads(&bus, &pipeline, "erring.ranked").await;
    assert_eq!(rankings.len(), shown.len() - bad.len());

    // Without snapshots everything is read again, and what was shown closes only now.
    run = start(&pipeline, &bus).await;
    publish(
        &bus,
        "shop.clicks",
        [click(1_000, 1, "cart", began + 20_000), click(1_001, UNKNOWN, "view", began + 20_001)],
    )
    .await;
    through(&run, &bus, &pipeline).await;
    run.stop().await.unwrap();
    assert_eq!(payloads(&bus, &pipeline, "erring.ranked").await, rankings);
    assert_eq!(payloads(&bus, &pipeline, "erring.dead").await.len(), bad.len() + 1);
    let learnt = examples(&bus, &pipeline).await;
    let expected: Vec<i64> = shown.into_iter().filter(|item| !is_bad(item)).map(|item| item as i64).collect();
    assert_eq!(learnt.wholes(0), expected);
    server.stop().await.unwrap();
}

/// One request for an item that the model does not know ended the worker, and twenty others timed out with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_the_model_fails_on_is_refused_alone() {
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (server, bus) = server(store.path()).await;
    let sections = "[score]\nservice = \"erring.score\"\nrequest = \"schemas/ranking_request.json\"\n\
                    batch = { rows = 256, linger = \"50ms\" }\n";
    let pipeline = pipeline(folder.path(), sections);
    let service = Subject::new("erring.score").unwrap();
    let ask = async |id: String, items: Vec<u64>| {
        let reply = bus.request(&service, request(&id, 1, &items, None).into(), PATIENCE).await?;
        Ok::<Value, BusError>(serde_json::from_slice(&reply).unwrap())
    };
    for round in 0..2 {
        let run = start(&pipeline, &bus).await;
        until("an answer", async || ask(format!("first-{round}"), vec![0]).await.ok()).await;
        let asked = (0..21).map(|nth| ask(format!("r-{round}-{nth}"), vec![if nth == 9 { UNKNOWN } else { nth % 3 }]));
        for (nth, answer) in join_all(asked).await.into_iter().enumerate() {
            match answer {
                Ok(ranking) => assert_eq!(items(&ranking), [nth as u64 % 3]),
                Err(BusError::Refused { code, message, .. }) => {
                    assert_eq!((nth, code), (9, 422));
                    assert!(message.starts_with("nothing could be scored: the model failed: "), "{message}");
                }
                Err(error) => panic!("{nth}: {error}"),
            }
        }
        let mixed = ask(format!("mixed-{round}"), vec![0, UNKNOWN, 2, NOT_A_NUMBER, 1]).await.unwrap();
        assert_eq!(items(&mixed), [2, 0, 1]);
        let named: BTreeSet<u64> =
            mixed["left_out"].as_array().unwrap().iter().map(|left| left["item_id"].as_u64().unwrap()).collect();
        assert_eq!(named, BTreeSet::from([NOT_A_NUMBER, UNKNOWN]));
        run.stop().await.unwrap();
    }
    server.stop().await.unwrap();
}

/// Only those with a vector that can't be scored were counted.
#[test]
fn a_case_counts_the_events_that_the_model_fails_on() {
    let folder = tempfile::tempdir().unwrap();
    pipeline(folder.path(), "[score]\non = \"kind = 'view'\"\npublish = \"erring.ranked\"\n");
    let lines = [0, UNKNOWN, NOT_A_NUMBER, 1].map(|item| click(item, item, "view", 1_700_000_000_000 + item));
    let lines = lines.map(|line| String::from_utf8(line).unwrap()).join("\n");
    fs::create_dir_all(folder.path().join("tests")).unwrap();
    let tried = |unscorable: usize| {
        let case = format!(
            "about = \"unknown items\"\n[[events]]\nstream = \"clicks\"\nlines = '''\n{lines}\n'''\n[counts]\ncounted = 4\n\
             unscorable = {unscorable}\n"
        );
        fs::write(folder.path().join("tests/case.toml"), case).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_tidewheel")).arg("test").arg(folder.path()).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (holds, said) = tried(2);
    assert!(holds, "{said}");
    let (holds, said) = tried(0);
    assert!(!holds && said.contains("unscorable: expected 0, found 2"), "{said}");
}
