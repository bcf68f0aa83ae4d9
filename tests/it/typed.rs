//! Models whose inputs have names and types of their own: what a pipeline knows reaches them as it is.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tidewheel::bus::Subject;
use tidewheel::config::Folder;
use tidewheel::engine::load_model;
use tidewheel::model::onnx::proto::data_type::{BOOL, FLOAT, INT32, INT64, STRING};
use tidewheel::model::onnx::proto::{AttributeProto, GraphProto};
use tidewheel::model::onnx::{Dimension, Document, GraphBuilder};
use tidewheel::pipeline::Pipeline;
use tidewheel::score::{Arms, rank};
use tidewheel::step::Step;
use tidewheel::time::EventTime;

use crate::broker::{publish, server, start, through};
use crate::learning::{a_minute_ago, examples, until};
use crate::taobao::{PATIENCE, root};

const BATCH: Dimension<'static> = Dimension::Named("batch");

/// A contract of these properties, all but the last of which are required, `null` where they are not.
fn contract(title: &str, properties: &[(&str, &str)], required: usize) -> String {
    let property = |(nth, (name, kind)): (usize, &(&str, &str))| {
        let kind = match (*kind, nth < required) {
            ("items", _) => json!({"type": "array", "items": {"type": "integer"}}),
            (kind, true) => json!({"type": kind}),
            (kind, false) => json!({"type": [kind, "null"]}),
        };
        ((*name).to_owned(), kind)
    };
    let names: Vec<&str> = properties.iter().take(required).map(|(name, _)| *name).collect();
    let properties: serde_json::Map<String, Value> = properties.iter().enumerate().map(property).collect();
    json!({"title": title, "type": "object", "properties": properties, "required": names}).to_string()
}

/// A pipeline of visits with this model and vector. The table `reader` has the posts that somebody has seen last, and how many.
pub fn pipeline(folder: &Path, model: &[u8], vector: &str, settings: &str) -> Result<Pipeline, String> {
    for part in ["features", "schemas"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    let visit =
        [("event_id", "string"), ("user_id", "integer"), ("item_id", "integer"), ("kind", "string"), ("ts", "integer")];
    let visit: Vec<_> = visit.into_iter().chain([("request_id", "string")]).collect();
    let numbers = ["d0", "d1", "d2"].map(|name| (name, "number"));
    let request = [("request_id", "string"), ("user_id", "integer"), ("items", "items"), ("ts", "integer")];
    let request: Vec<_> = request.into_iter().chain([("device", "string")]).chain(numbers).collect();
    let files = [
        ("schemas/visit.json", contract("Visit", &visit, 5)),
        ("schemas/request.json", contract("Request", &request, 3)),
        (
            "features/reader.sql",
            "SELECT user_id, count(*) AS views, last_n(item_id, 20) AS recent FROM visits GROUP BY user_id".to_owned(),
        ),
        (
            "pipeline.toml",
            format!(
                "name = \"typed\"\n[streams.visits]\nsubjects = [\"typed.visits\"]\ncontract = \"schemas/visit.json\"\n\
                 time = \"ts\"\nkey = \"user_id\"\nid = \"event_id\"\ndisorder = \"1s\"\n[score]\nservice = \"typed.score\"\n\
                 request = \"schemas/request.json\"\n[model]\ngraph = \"model.onnx\"\n{settings}"
            ),
        ),
        ("vector.sql", format!("SELECT {vector} FROM requests r LEFT JOIN reader u ON r.user_id = u.user_id")),
    ];
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    fs::write(folder.join("model.onnx"), model).unwrap();
    Folder::read(folder).and_then(|folder| folder.assemble()).map_err(|problems| problems.to_string())
}

/// What a pipeline with this model answers to requests of one item each: its score, or why it has none.
pub fn answers(
    model: GraphProto,
    vector: &str,
    settings: &str,
    requests: &[Value],
) -> Result<Vec<Result<f64, String>>, String> {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = Arc::new(pipeline(folder.path(), &Document::new(model).write(), vector, settings)?);
    let mut arms = Arms::new(load_model(&pipeline).unwrap().unwrap());
    let mut step = Step::new(Arc::clone(&pipeline)).unwrap();
    let answer = |request: &Value| {
        let mut request = request.clone();
        request["request_id"] = json!("r");
        let output =
            step.requests(&[request.to_string().into_bytes().into()], EventTime(1_700_000_000_000_000)).unwrap();
        let width = pipeline.vector.as_ref().unwrap().inputs().width();
        let ranked = rank(&mut arms, &output.job, width, 256).unwrap().swap_remove(0);
        let reply: Value = serde_json::from_slice(&ranked.payload).unwrap();
        let score = reply["items"][0]["score"].as_f64();
        score.ok_or_else(|| reply["left_out"][0]["reason"].as_str().unwrap().to_owned())
    };
    Ok(requests.iter().map(answer).collect())
}

fn of_user(user: i64) -> Value {
    json!({"user_id": user, "items": [1]})
}

/// The remainder of an id, as a score: it differs where ids differ in their last bit.
fn remainder(graph: &mut GraphBuilder, id: &str) {
    graph.whole_initializer("by", &[1], &[1_000]);
    graph.node("Mod", &[id, "by"], "rest");
    graph.node_with("Cast", &["rest"], "score", &[("to", i64::from(FLOAT))]);
    graph.output("score", FLOAT, &[BATCH]);
}

/// Users 16777216 and 16777217 were one, and the third ended the worker.
#[test]
fn ids_above_two_to_the_24_are_exact() {
    let mut graph = GraphBuilder::new("guard");
    graph.input("user", INT64, &[BATCH]);
    remainder(&mut graph, "user");
    let users = [16_777_216, 16_777_217, 30_000_001, 9_007_199_254_740_993, i64::MAX];
    let found = answers(graph.finish(), "r.user_id AS \"user\"", "", &users.map(of_user)).unwrap();
    assert_eq!(found, [Ok(216.0), Ok(217.0), Ok(1.0), Ok(993.0), Ok(807.0)]);
}

/// The first two had one score.
#[test]
fn an_id_that_a_float32_input_does_not_hold_has_no_score() {
    let mut graph = GraphBuilder::new("bigid");
    graph.input("x", FLOAT, &[BATCH, Dimension::Fixed(2)]);
    graph.whole_initializer("first", &[1], &[0]);
    graph.node_with("Gather", &["x", "first"], "score", &[("axis", 1)]);
    graph.output("score", FLOAT, &[BATCH, Dimension::Fixed(1)]);
    let users = [16_777_216, 16_777_217, 30_000_001, 30_000_002].map(of_user);
    let found = answers(graph.finish(), "r.user_id AS \"user\", coalesce(u.views, 0) AS views", "", &users).unwrap();
    assert_eq!((found[0].clone(), found[3].clone()), (Ok(16_777_216.0), Ok(30_000_002.0)));
    let refused = found[1].clone().unwrap_err();
    assert!(refused.starts_with("feature `user` is 16777217, which float32 does not hold: "), "{refused}");
    assert!(found[2].is_err());
}

/// `column "d0" has no input`, it said.
#[test]
fn a_model_with_ids_beside_a_matrix_is_fed_by_name() {
    let mut graph = GraphBuilder::new("two towers");
    graph.input("user_id", INT64, &[BATCH]);
    graph.input("dense", FLOAT, &[BATCH, Dimension::Fixed(3)]);
    graph.input("item_id", INT64, &[BATCH]);
    graph.initializer("table", &[3, 1], &[10.0, 20.0, 30.0]);
    graph.initializer("weights", &[3, 1], &[1.0, 0.5, 0.25]);
    graph.node("Gather", &["table", "user_id"], "person");
    graph.node("Gather", &["table", "item_id"], "item");
    graph.node("MatMul", &["dense", "weights"], "rest");
    graph.node("Add", &["person", "rest"], "some");
    graph.node("Sub", &["some", "item"], "score");
    graph.output("score", FLOAT, &[BATCH, Dimension::Fixed(1)]);
    let vector = "coalesce(r.d0, 0.0) AS d0, r.user_id AS user_id, coalesce(r.d1, 0.0) AS d1, r.item_id AS item_id, \
                  coalesce(r.d2, 0.0) AS d2";
    let request = |user: i64| json!({"user_id": user, "items": [0], "d0": 1.0, "d1": 2.0, "d2": 4.0});
    let found = answers(graph.finish(), vector, "", &[request(2), request(3)]).unwrap();
    assert_eq!(found[0], Ok(23.0));
    assert!(found[1].as_ref().unwrap_err().contains("idx=3"), "{found:?}");
}

/// Such an input was refused.
#[test]
fn an_int32_input_takes_what_it_holds_and_refuses_other_rows() {
    let mut graph = GraphBuilder::new("small");
    graph.input("user", INT32, &[BATCH]);
    graph.node_with("Cast", &["user"], "wide", &[("to", i64::from(INT64))]);
    remainder(&mut graph, "wide");
    let users = [16_777_217, i64::from(i32::MAX), i64::from(i32::MAX) + 1, i64::from(i32::MIN)];
    let found = answers(graph.finish(), "r.user_id AS \"user\"", "", &users.map(of_user)).unwrap();
    let rest = |id: i32| Ok(f64::from(id.rem_euclid(1_000)));
    assert_eq!([&found[0], &found[1], &found[3]], [&Ok(217.0), &rest(i32::MAX), &rest(i32::MIN)]);
    let refused = found[2].clone().unwrap_err();
    insta::assert_snapshot!(refused, @r#"column "user" is 2147483648 in row 0, its model input is int32, which does not hold it"#);
}

/// `a model takes numbers`, it said.
#[test]
fn a_list_beside_numbers_fills_what_they_leave_of_a_matrix() {
    let mut graph = GraphBuilder::new("list");
    graph.input("x", FLOAT, &[BATCH, Dimension::Fixed(4)]);
    graph.initializer("weights", &[4, 1], &[1.0, 10.0, 100.0, 1_000.0]);
    graph.node("MatMul", &["x", "weights"], "score");
    graph.output("score", FLOAT, &[BATCH, Dimension::Fixed(1)]);
    let found =
        answers(graph.finish(), "make_array(2.0, 3.0) AS history, coalesce(u.views, 0) + 4 AS f3", "", &[of_user(1)]);
    assert_eq!(found.unwrap(), [Ok(4_032.0)]);
}

#[test]
fn a_list_is_padded_and_its_mask_and_length_say_how_far_it_goes() {
    let mut graph = GraphBuilder::new("padded");
    graph.input("recent_mask", BOOL, &[BATCH, Dimension::Fixed(3)]);
    graph.input("recent", INT64, &[BATCH, Dimension::Fixed(3)]);
    graph.input("recent_length", INT64, &[BATCH, Dimension::Fixed(1)]);
    graph.whole_initializer("instead", &[1], &[-1]);
    graph.whole_initializer("last", &[1], &[1]);
    graph.whole_initializer("hundred", &[1], &[100]);
    graph.node("Where", &["recent_mask", "recent", "instead"], "there");
    graph.node_with("ReduceSum", &["there", "last"], "sum", &[("keepdims", 1)]);
    graph.node("Mul", &["recent_length", "hundred"], "many");
    graph.node("Add", &["sum", "many"], "whole");
    graph.node_with("Cast", &["whole"], "score", &[("to", i64::from(FLOAT))]);
    graph.output("score", FLOAT, &[BATCH, Dimension::Fixed(1)]);
    let vector = "CASE WHEN r.user_id = 1 THEN make_array(5, 6) WHEN r.user_id = 2 THEN make_array(1, 2, 3, 4) \
                  ELSE u.recent END AS recent";
    let found = answers(graph.finish(), vector, "", &[of_user(1), of_user(2), of_user(3)]).unwrap();
    assert_eq!((&found[0], &found[2]), (&Ok(210.0), &Ok(-3.0)));
    assert_eq!(found[1], Err("feature `recent` has 4 values, its model input takes 3".to_owned()));
}

#[test]
fn a_text_goes_into_an_input_of_texts() {
    let mut graph = GraphBuilder::new("text");
    graph.input("device", STRING, &[BATCH, Dimension::Fixed(1)]);
    graph.input("one", FLOAT, &[BATCH, Dimension::Fixed(1)]);
    graph.node("TfIdfVectorizer", &["device"], "known");
    graph.node("Add", &["known", "one"], "score");
    graph.output("score", FLOAT, &[BATCH, Dimension::Fixed(1)]);
    let mut graph = graph.finish();
    let named = |name: &str, r#type| AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(r#type),
        ..AttributeProto::default()
    };
    let whole = |name, value| AttributeProto { i: Some(value), ..named(name, 2) };
    graph.node[0].attribute = vec![
        AttributeProto { s: Some(b"TF".to_vec()), ..named("mode", 3) },
        whole("min_gram_length", 1),
        whole("max_gram_length", 1),
        whole("max_skip_count", 0),
        AttributeProto { ints: vec![0], ..named("ngram_counts", 7) },
        AttributeProto { ints: vec![0], ..named("ngram_indexes", 7) },
        AttributeProto { strings: vec![b"phone".to_vec()], ..named("pool_strings", 8) },
    ];
    let of = |device: &str| json!({"user_id": 1, "items": [1], "device": device});
    let vector = "coalesce(r.device, '') AS device, 1.0 AS one";
    let found = answers(graph, vector, "", &[of("phone"), of("tablet"), of(&"a".repeat(200))]).unwrap();
    assert_eq!(found[..2], [Ok(2.0), Ok(1.0)]);
    assert_eq!(found[2], Err("feature `device` is a text of 200 bytes, 124 are the most".to_owned()));
}

/// A row of the golden file.
#[derive(serde::Deserialize)]
struct Row {
    user: i64,
    recent: Vec<i64>,
    dense: [f64; 3],
    click: f64,
    buy: f64,
}

/// Events from which each of these has seen what it has.
fn visits(rows: &[Row], began: u64) -> Vec<Vec<u8>> {
    let seen = rows.iter().enumerate().flat_map(|(nth, row)| row.recent.iter().map(move |item| (nth, row.user, *item)));
    seen.zip(0..)
        .map(|((nth, user, item), at)| {
            let event = json!({"event_id": format!("{nth}-{at}"), "user_id": user, "item_id": item, "kind": "view", "ts": began + at});
            event.to_string().into_bytes()
        })
        .collect()
}

/// Both outputs of a model that PyTorch's exporter made, asked for by a service, are what ONNX Runtime gives in Python; and what
/// is learnt from has every id and every list as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_of_two_tasks_scores_as_in_python_and_its_examples_have_every_id() {
    let golden = root().join("tests/golden/typed");
    let rows: Vec<Row> = serde_json::from_slice(&fs::read(golden.join("two_tasks.json")).unwrap()).unwrap();
    let model = fs::read(golden.join("two_tasks.onnx")).unwrap();
    let vector = "r.user_id AS \"user\", u.recent AS recent, coalesce(r.d0, 0.0) AS d0, coalesce(r.d1, 0.0) AS d1, coalesce(r.d2, 0.0) AS d2";
    let labels = "[labels]\njoin = [\"request_id\"]\npositive = \"kind = 'click'\"\nwindow = \"1s\"\n";
    for (output, expected) in [("click", (|row: &Row| row.click) as fn(&Row) -> f64), ("buy", |row| row.buy)] {
        let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (server, bus) = server(store.path()).await;
        let settings = format!("output = \"{output}\"\n{labels}");
        let pipeline = Arc::new(pipeline(folder.path(), &model, vector, &settings).unwrap());
        let run = start(&pipeline, &bus).await;
        let began = a_minute_ago();
        publish(&bus, "typed.visits", visits(&rows, began)).await;
        through(&run, &bus, &pipeline).await;
        let service = Subject::new("typed.score").unwrap();
        let at = began + 1_000;
        for (nth, row) in rows.iter().enumerate() {
            let [d0, d1, d2] = row.dense;
            let request = json!({"request_id": nth.to_string(), "user_id": row.user, "items": [1], "ts": at, "d0": d0, "d1": d1, "d2": d2});
            let reply = until("an answer", async || {
                bus.request(&service, request.to_string().into_bytes().into(), PATIENCE).await.ok()
            })
            .await;
            let reply: Value = serde_json::from_slice(&reply).unwrap();
            let score = reply["items"][0]["score"].as_f64().unwrap();
            assert!((score - expected(row)).abs() < 1e-6, "{output} of {}: {score}, not {}", row.user, expected(row));
        }
        let late = json!({"event_id": "late", "user_id": 5, "item_id": 1, "kind": "view", "ts": at + 60_000});
        publish(&bus, "typed.visits", [late.to_string().into_bytes()]).await;
        through(&run, &bus, &pipeline).await;
        run.stop().await.unwrap();
        let learnt = examples(&bus, &pipeline).await;
        assert_eq!(learnt.wholes(0), rows.iter().map(|row| row.user).collect::<Vec<_>>());
        server.stop().await.unwrap();
    }
}
