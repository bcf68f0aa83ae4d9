//! What is finite as an event may not be as a model's number: one candidate less, and not the end of the worker.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tidewheel::bus::{BusError, Encoding, Message, StreamSequence, Subject};
use tidewheel::config::Folder;
use tidewheel::engine::load_model;
use tidewheel::model::{MlpSpec, build_mlp};
use tidewheel::pipeline::Pipeline;
use tidewheel::pipeline::StreamIndex;
use tidewheel::score::{Arms, rank};
use tidewheel::step::{Step, UNSCORABLE};

use crate::broker::{pipeline, publish, server, start, through};
use crate::learning::{a_minute_ago, items, request, until};
use crate::taobao::{PATIENCE, root};

/// Keeps the contract, and is more than a 32-bit number holds.
const DEAR: f64 = 1e39;

fn click(id: u64, (user, item): (u64, u64), price: f64, ts: u64) -> Vec<u8> {
    let click = json!({"event_id": format!("e{id}"), "user_id": user, "item_id": item, "category_id": item, "kind": "view",
        "price": price, "ts": ts});
    serde_json::to_vec(&click).unwrap()
}

/// The worker ended at every request that one such click was a part of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_price_that_no_model_can_take_costs_nobody_else_their_ranking() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bus) = server(folder.path()).await;
    let pipeline = pipeline("recommend");
    let began = a_minute_ago();
    let mut run = start(&pipeline, &bus).await;
    let usual = (0..9).map(|id| click(id, (1, id % 3), 9.5, began));
    publish(&bus, "shop.clicks.web", usual.chain([click(9, (2, 9), DEAR, began)])).await;
    through(&run, &bus, &pipeline).await;

    let service = Subject::new("recommend.score").unwrap();
    let ask = async |id: String, user: u64, items: &[u64]| {
        let reply = bus.request(&service, request(&id, user, items, None).into(), PATIENCE).await?;
        Ok::<Value, BusError>(serde_json::from_slice(&reply).unwrap())
    };
    for round in 0..2 {
        // Nobody answers before the state is there again.
        let without = until("an answer", async || ask(format!("without-{round}"), 1, &[0, 1, 2, 77]).await.ok()).await;
        let with = ask(format!("with-{round}"), 1, &[0, 9, 1, 2, 77]).await.unwrap();
        assert_eq!(items(&with).len(), 4);
        assert_eq!(with["items"], without["items"], "the neighbours keep their scores");
        let expected = json!([{"item_id": 9, "reason": "feature `price_above_usual` is inf"}]);
        assert_eq!((&with["left_out"], without.get("left_out")), (&expected, None));
        // To who pays so much everything with a price is too cheap by more than a number holds.
        match ask(format!("all-{round}"), 2, &[0, 1]).await {
            Err(BusError::Refused { code, message, .. }) => {
                assert_eq!(code, 422);
                assert_eq!(message, "nothing could be scored: feature `price_above_usual` is -inf");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(items(&ask(format!("stranger-{round}"), 3, &[0, 1]).await.unwrap()).len(), 2);
        run.stop().await.unwrap();
        run = start(&pipeline, &bus).await;
        through(&run, &bus, &pipeline).await;
    }
    run.stop().await.unwrap();
    server.stop().await.unwrap();
}

const SETTINGS: &str = r#"name = "spend"

[streams.clicks]
subjects = ["shop.clicks"]
contract = "schemas/click.json"
time     = "ts"

[model]
graph = "model.onnx"

[score]
stream  = "clicks"
on      = "kind = 'view'"
publish = "spend.ranked"
"#;
const FEATURE: &str = "SELECT user_id, sum(price) FILTER (WHERE within(ts, '1 hour')) AS spend, count(*) FILTER (WHERE within(ts, '1 hour')) \
     AS clicks FROM clicks GROUP BY user_id";
const VECTOR: &str = "SELECT coalesce(u.spend, 0.0) AS spend, coalesce(u.clicks, 0) AS clicks \
     FROM requests r LEFT JOIN spender u ON r.user_id = u.user_id";

/// Scores clicks by what their people spend.
fn spend(folder: &Path) -> Arc<Pipeline> {
    for part in ["features", "schemas"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    fs::copy(root().join("schemas/click.json"), folder.join("schemas/click.json")).unwrap();
    fs::write(folder.join("features/spender.sql"), FEATURE).unwrap();
    fs::write(folder.join("vector.sql"), VECTOR).unwrap();
    fs::write(folder.join("pipeline.toml"), SETTINGS).unwrap();
    let plan = Folder::read(folder).unwrap().assemble_without_model().unwrap();
    let vector = plan.vector.as_ref().unwrap();
    let spec = MlpSpec {
        columns: vector.columns().to_vec(),
        hidden: vec![4],
        dropout: 0.0,
        seed: 1,
        fingerprint: vector.fingerprint().as_str().to_owned(),
    };
    fs::write(folder.join("model.onnx"), build_mlp(&spec).unwrap()).unwrap();
    Arc::new(Folder::read(folder).unwrap().assemble().unwrap())
}

#[test]
fn an_event_that_no_model_can_score_is_a_dead_letter_and_its_neighbours_are_scored() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = spend(folder.path());
    let mut step = Step::new(Arc::clone(&pipeline)).unwrap();
    let now = 1_699_999_200_000;
    let clicks = [(1, 9.5), (2, 1.0), (3, DEAR), (4, 2.0), (3, 1.0), (1, 3.5)];
    let message = |(nth, (user, price)): (u64, &(u64, f64))| Message {
        payload: click(nth, (*user, 1), *price, now + nth).into(),
        sequence: StreamSequence(nth),
        published_micros: now as i64 * 1_000,
        encoding: Encoding::Json,
        subject: Subject::new("shop.clicks").unwrap(),
    };
    let messages: Vec<Message> = (1..).zip(&clicks).map(message).collect();
    let output = step.events(StreamIndex(0), &messages, true).unwrap();
    let dead: Vec<_> = output.dead.iter().map(|letter| (letter.reason, letter.sequence.0, &letter.bytes)).collect();
    assert_eq!(dead, [(UNSCORABLE, 3, &messages[2].payload), (UNSCORABLE, 5, &messages[4].payload)]);
    assert!(output.dead.iter().all(|letter| letter.detail == "feature `spend` is inf"), "{:?}", output.dead);

    let mut arms = Arms::new(load_model(&pipeline).unwrap().unwrap());
    let columns = pipeline.vector.as_ref().unwrap().columns();
    let ranked = rank(&mut arms, &output.job, columns.len(), 256).unwrap();
    let scored: Vec<usize> = ranked.iter().map(|ranking| ranking.order.len()).collect();
    assert_eq!(scored, [1, 1, 0, 1, 0, 1]);
}
