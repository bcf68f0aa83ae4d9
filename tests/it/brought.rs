//! Models that somebody brings: values that are missing, ids that are texts, batches of one size, and whether they give here what
//! they gave where they were made.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::{Value, json};
use tidewheel::bus::Subject;
use tidewheel::model::onnx::proto::GraphProto;
use tidewheel::model::onnx::proto::data_type::{BOOL, DOUBLE, FLOAT, INT64};
use tidewheel::model::onnx::{Dimension, Document, GraphBuilder};

use crate::broker::{publish, server, start, through};
use crate::learning::{a_minute_ago, examples, until};
use crate::taobao::PATIENCE;
use crate::typed::{answers, pipeline};

const BATCH: Dimension<'static> = Dimension::Named("batch");

/// `1000 a + 10 b + c` of an input `x [rows, 3]`, where a missing value is 7.
fn trees(rows: Dimension<'_>) -> GraphProto {
    let mut graph = GraphBuilder::new("trees");
    graph.input("x", FLOAT, &[rows, Dimension::Fixed(3)]);
    graph.initializer("seven", &[1], &[7.0]);
    graph.initializer("weights", &[3, 1], &[1_000.0, 10.0, 1.0]);
    graph.node("IsNaN", &["x"], "is_missing");
    graph.node("Where", &["is_missing", "seven", "x"], "known");
    graph.node("MatMul", &["known", "weights"], "score");
    graph.output("score", FLOAT, &[rows, Dimension::Fixed(1)]);
    graph.finish()
}

const NULLABLE: &str = "u.views AS views, r.d0 AS d0, coalesce(r.d1, 2.0) AS d1";

fn refusal(model: GraphProto, vector: &str, settings: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let problems = pipeline(folder.path(), &Document::new(model).write(), vector, settings).err().unwrap();
    problems.replace(&format!("{}/", folder.path().display()), "")
}

/// NULL was refused when the pipeline was read, and NaN when something was scored.
#[test]
fn null_and_nan_are_missing_values_to_a_model_that_takes_them() {
    let requests = [json!({"d0": 3.0}), json!({}), json!({"d0": 3.0, "d1": 5.0})].map(|numbers| {
        let mut request = json!({"user_id": 1, "items": [1]});
        request.as_object_mut().unwrap().extend(numbers.as_object().unwrap().clone());
        request
    });
    for missing in ["missing = \"nan\"", "missing = { views = \"nan\", d0 = \"nan\" }"] {
        let found = answers(trees(BATCH), NULLABLE, missing, &requests).unwrap();
        assert_eq!(found, [Ok(7_032.0), Ok(7_072.0), Ok(7_035.0)], "{missing}");
    }
    let nan = "coalesce(CAST(u.views AS DOUBLE), CAST('NaN' AS DOUBLE)) AS views, coalesce(r.d0, 0.0) AS d0, \
               coalesce(r.d1, 2.0) AS d1";
    let found = answers(trees(BATCH), nan, "missing = { views = \"nan\" }", &requests).unwrap();
    assert_eq!(found[0], Ok(7_032.0));
    let found = answers(trees(BATCH), nan, "missing = { d0 = \"nan\" }", &requests).unwrap();
    assert_eq!(found[0], Err("feature `views` is NaN".to_owned()));
}

#[test]
fn a_double_beside_an_id_is_missing_as_a_double() {
    let mut graph = GraphBuilder::new("double");
    graph.input("user", INT64, &[BATCH]);
    graph.input("spend", DOUBLE, &[BATCH]);
    graph.node("IsNaN", &["spend"], "is_missing");
    graph.node_with("Cast", &["is_missing"], "number", &[("to", i64::from(INT64))]);
    graph.node("Add", &["number", "user"], "sum");
    graph.node_with("Cast", &["sum"], "score", &[("to", i64::from(DOUBLE))]);
    graph.output("score", DOUBLE, &[BATCH]);
    let graph = graph.finish();
    let request = |user: i64| json!({"user_id": user, "items": [1]});
    let vector = "r.user_id AS \"user\", u.views AS spend";
    let found = answers(graph, vector, "missing = \"nan\"", &[request(16_777_217), request(5)]).unwrap();
    // The score is the nearest float32.
    assert_eq!(found, [Ok(16_777_218.0), Ok(6.0)]);
}

#[test]
fn what_can_not_be_missing_is_refused_at_its_place() {
    let unknown = "missing = { viewz = \"nan\", views = \"nan\", d0 = \"nan\" }\n";
    insta::assert_snapshot!(refusal(trees(BATCH), NULLABLE, unknown).trim_end(), @r#"
    pipeline.toml:14:11: vector.sql has no column "viewz"
      14 | missing = { viewz = "nan", views = "nan", d0 = "nan" }
         |           ^
      help: did you mean `views`?
    "#);
    let text = "coalesce(r.device, '') AS device, u.views AS views, 1.0 AS d1";
    let refused = refusal(trees(BATCH), text, "missing = { device = \"nan\", views = \"nan\" }\n");
    let expected = "pipeline.toml:14:11: column \"device\" is a text, and only a number can be NaN";
    assert!(refused.contains(expected), "{refused}");
    let mut graph = GraphBuilder::new("flag");
    graph.input("views", BOOL, &[BATCH]);
    graph.node_with("Cast", &["views"], "score", &[("to", i64::from(FLOAT))]);
    graph.output("score", FLOAT, &[BATCH]);
    let refused = refusal(graph.finish(), "u.views AS views", "missing = { views = \"nan\" }\n");
    let expected =
        "column \"views\" is NaN where it is NULL (missing under [model]), and its input is bool, which has no NaN";
    assert!(refused.contains(expected), "{refused}");
    let train = "missing = \"nan\"\n[labels]\njoin = [\"request_id\"]\npositive = \"kind = 'click'\"\n[train]\n";
    insta::assert_snapshot!(refusal(trees(BATCH), NULLABLE, train).trim_end(), @r#"
    pipeline.toml:14:11: a model that is given NaN for missing values can't be trained: its gradients would be NaN
      14 | missing = "nan"
         |           ^
      help: write coalesce(...) in vector.sql in the place of missing, or remove [train]
    "#);
    let refused = refusal(trees(BATCH), NULLABLE, "");
    let expected = "coalesce(..., 0) AS views; or, where the model takes NaN as a missing value, missing = { views = \"nan\" } under [model]";
    assert!(refused.contains("column `views` can be NULL") && refused.contains(expected), "{refused}");
}

/// The impressions wait in the broker while the pipeline is away, and become examples after that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_value_is_in_impressions_and_examples_bit_for_bit_over_a_restart() {
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (server, bus) = server(store.path()).await;
    let labels =
        "missing = \"nan\"\n[labels]\njoin = [\"request_id\"]\npositive = \"kind = 'click'\"\nwindow = \"1s\"\n";
    let model = Document::new(trees(BATCH)).write();
    let pipeline = Arc::new(pipeline(folder.path(), &model, NULLABLE, labels).unwrap());
    let run = start(&pipeline, &bus).await;
    let event = |id: &str, at: u64| {
        json!({"event_id": id, "user_id": 5, "item_id": 1, "kind": "view", "ts": at}).to_string().into_bytes()
    };
    let began = a_minute_ago();
    publish(&bus, "typed.visits", [event("first", began)]).await;
    through(&run, &bus, &pipeline).await;
    let service = Subject::new("typed.score").unwrap();
    let request = json!({"request_id": "r", "user_id": 9, "items": [1], "ts": began + 1});
    let ask = async || bus.request(&service, request.to_string().into_bytes().into(), PATIENCE).await.ok();
    let reply: Value = serde_json::from_slice(&until("an answer", ask).await).unwrap();
    assert_eq!(reply["items"][0]["score"], 7_072.0);
    run.stop().await.unwrap();

    let run = start(&pipeline, &bus).await;
    publish(&bus, "typed.visits", [event("late", began + 60_000)]).await;
    through(&run, &bus, &pipeline).await;
    run.stop().await.unwrap();
    let made = examples(&bus, &pipeline).await;
    let bits: Vec<u32> = made.vectors().iter().map(|value| value.to_bits()).collect();
    assert_eq!(bits, [f32::NAN, f32::NAN, 2.0].map(f32::to_bits));
    server.stop().await.unwrap();
}

#[test]
fn a_text_id_is_a_bucket_that_python_computes_too() {
    let mut graph = GraphBuilder::new("bucket");
    graph.input("device", INT64, &[BATCH]);
    graph.node_with("Cast", &["device"], "score", &[("to", i64::from(FLOAT))]);
    graph.output("score", FLOAT, &[BATCH]);
    let requests = ["mobile", "user-42"].map(|device| json!({"user_id": 1, "items": [1], "device": device}));
    let vector = "hash_bucket(coalesce(r.device, ''), 100000) AS device";
    assert_eq!(answers(graph.finish(), vector, "", &requests).unwrap(), [Ok(23_324.0), Ok(92_621.0)]);
}

#[test]
fn a_model_of_one_row_answers_as_one_that_is_free() {
    let request = |d0: f64| json!({"user_id": 1, "items": [1], "d0": d0});
    let requests = [request(1.0), request(2.0), request(3.0)];
    let found = |rows| answers(trees(rows), NULLABLE, "missing = \"nan\"", &requests).unwrap();
    let free = found(BATCH);
    assert_eq!(free, [Ok(7_012.0), Ok(7_022.0), Ok(7_032.0)]);
    assert_eq!((found(Dimension::Fixed(1)), found(Dimension::Fixed(4))), (free.clone(), free));
}

fn tidewheel(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewheel"));
    let Output { status, stdout, stderr } = command.args(arguments).env_remove("NATS_URL").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A folder whose model is brought, and rows with what it should give.
fn brought(folder: &Path, model: GraphProto) -> impl Fn(&str, &str) -> (Option<i32>, String, String) {
    pipeline(folder, &Document::new(model).write(), NULLABLE, "missing = \"nan\"\n").unwrap();
    let folder = folder.to_owned();
    move |inputs, expected| {
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        fs::write(path("rows.csv"), inputs).unwrap();
        fs::write(path("expected.jsonl"), expected).unwrap();
        let (rows, expected) = (path("rows.csv"), path("expected.jsonl"));
        tidewheel(&["model", "verify", folder.to_str().unwrap(), "--inputs", &rows, "--expect", &expected])
    }
}

#[test]
fn a_model_is_compared_with_its_owners_predictions_and_check_knows_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let verify = brought(folder.path(), trees(Dimension::Fixed(1)));
    let rows = "id,d1,views,d0\na,1,2,3\nb,5,,4.5\nc,0.25,3,\n";
    let expected = "{\"score\": 2031}\n{\"score\": 7050.0}\n{\"score\": 3070.25}\n";
    let (code, said, error) = verify(rows, expected);
    assert_eq!(code, Some(0), "{said}{error}");
    assert!(said.contains("3 row(s) compared") && said.contains("columns that the vector does not have: id"), "{said}");
    let kept = folder.path().join("verified.json");
    let verdict: Value = serde_json::from_slice(&fs::read(&kept).unwrap()).unwrap();
    assert_eq!((&verdict["rows"], &verdict["largest"], &verdict["beyond"]), (&3.into(), &0.0.into(), &0.into()));
    let check = || tidewheel(&["check", folder.path().to_str().unwrap()]);
    let (code, said, _) = check();
    assert!(code == Some(0) && said.contains("model: gives what its owner expects, 3 rows"), "{said}");
    assert!(said.contains("input \"x\" takes exactly 1 row(s)") && said.contains("dynamic_axes"), "{said}");

    let (code, said, error) = verify(rows, &expected.replace("7050.0", "7051"));
    assert_eq!(code, Some(1), "{said}{error}");
    assert!(said.contains("largest difference 1.000e0 in row 2: the model gives 7050, expected 7051"), "{said}");
    assert!(
        said.contains("1 row(s) beyond 1e-5") && said.contains("the model does not give what is expected"),
        "{said}"
    );
    assert!(check().1.contains("warning: ") && check().1.contains("the model does not give what its owner expects"));

    assert_eq!(verify(rows, expected).0, Some(0));
    fs::write(folder.path().join("model.onnx"), Document::new(trees(BATCH)).write()).unwrap();
    let (_, said, _) = check();
    assert!(said.contains("was compared with its owner's predictions as version"), "{said}");
}

/// A matrix product passes NaN on, so that no row with a missing value would have a score.
#[test]
fn check_warns_of_a_model_to_which_nan_says_nothing() {
    let mut graph = GraphBuilder::new("plain");
    graph.input("x", FLOAT, &[BATCH, Dimension::Fixed(3)]);
    graph.initializer("weights", &[3, 1], &[1_000.0, 10.0, 1.0]);
    graph.node("MatMul", &["x", "weights"], "score");
    graph.output("score", FLOAT, &[BATCH, Dimension::Fixed(1)]);
    for (model, missing, warned) in [
        (graph.finish(), "missing = { views = \"nan\", d0 = \"nan\" }\n", ["views", "d0"].as_slice()),
        (trees(BATCH), "missing = \"nan\"\n", &[]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        pipeline(folder.path(), &Document::new(model).write(), NULLABLE, missing).unwrap();
        let (code, said, error) = tidewheel(&["check", folder.path().to_str().unwrap()]);
        assert_eq!((code, said.matches("warning: ").count()), (Some(0), warned.len()), "{said}{error}");
        let is_named =
            |name: &&str| said.contains(&format!("column \"{name}\": the model gives no score where it is NaN"));
        assert!(warned.iter().all(is_named), "{said}");
    }
}

/// The registry's record of the version has the verdict from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_server_the_verdict_is_kept_with_the_version() {
    let (folder, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (server, bus) = server(store.path()).await;
    let pipeline = Arc::new(
        pipeline(folder.path(), &Document::new(trees(BATCH)).write(), NULLABLE, "missing = \"nan\"\n").unwrap(),
    );
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("rows.csv"), "views,d0,d1,score\n1,2,3,1023\n,2,3,7024\n").unwrap();
    let (place, rows) = (folder.path().to_str().unwrap().to_owned(), path("rows.csv"));
    let verify = async |tolerance: &str| {
        let url = server.url();
        let arguments =
            ["model", "verify", &place, "--inputs", &rows, "--expect", &rows, "--nats", &url, "--tolerance", tolerance];
        let arguments = arguments.map(str::to_owned);
        tokio::task::spawn_blocking(move || tidewheel(&arguments.each_ref().map(String::as_str))).await.unwrap()
    };
    let (code, said, error) = verify("1e-5").await;
    assert!(code != Some(0) && said.is_empty() && error.contains("no model of this pipeline is registered"), "{error}");
    let run = start(&pipeline, &bus).await;
    run.stop().await.unwrap();
    let (code, said, error) = verify("1e-5").await;
    assert_eq!(code, Some(1), "{said}{error}");
    let (code, said, error) = verify("1e-3").await;
    assert!(code == Some(0) && said.contains("the verdict is kept in the registry"), "{said}{error}");
    let url = server.url();
    let list = move || tidewheel(&["model", "list", &place, "--nats", &url, "--format", "json"]);
    let (_, listed, error) = tokio::task::spawn_blocking(list).await.unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let verified = &listed[0]["verified"];
    assert_eq!(
        (&verified["rows"], &verified["beyond"], &verified["largest"]),
        (&2.into(), &0.into(), &1.0.into()),
        "{error}"
    );
    assert!(!folder.path().join("verified.json").exists());
    server.stop().await.unwrap();
}

#[test]
fn files_that_can_not_be_compared_are_refused_with_the_columns() {
    let folder = tempfile::tempdir().unwrap();
    let verify = brought(folder.path(), trees(BATCH));
    let refused = |rows: &str, expected: &str| {
        let (code, said, error) = verify(rows, expected);
        assert!(code != Some(0) && said.is_empty(), "{code:?} {said}");
        error.replace(&format!("{}/", folder.path().display()), "").trim_end().to_owned()
    };
    let expected = "{\"score\": 1}\n{\"score\": 2}\n";
    insta::assert_snapshot!(refused("view,d0,d1\n1,2,3\n1,2,3\n", expected), @r#"error: rows.csv: the vector's column(s) views are not there: did you mean "view" by "views"?"#);
    insta::assert_snapshot!(refused("views,d0,d1\n1,2,3\n", expected), @"error: rows.csv has 1 row(s), expected.jsonl has 2: a row of one is about the same row of the other");
    insta::assert_snapshot!(refused("views,d0,d1\n1,2,high\n1,2,3\n", expected), @r#"error: rows.csv: column "d1" is Utf8, and the vector's is a number"#);
    insta::assert_snapshot!(refused("views,d0,d1\n1.5,2,3\n1,2,3\n", expected), @r#"error: rows.csv: column "views" has 1.5 in row 1, and the vector's is a whole number"#);
    assert!(!folder.path().join("verified.json").exists());
    let json = "{\"x\": [1, 2, 3]}\n{\"x\": [null, 2, 3]}\n";
    fs::write(folder.path().join("rows.jsonl"), json).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("expected.csv"), "id,p\n1,1023\n2,7023\n").unwrap();
    let (rows, expected) = (path("rows.jsonl"), path("expected.csv"));
    let folder = folder.path().to_str().unwrap();
    let arguments =
        ["model", "verify", folder, "--inputs", &rows, "--expect", &expected, "--column", "p", "--format", "json"];
    let (code, said, error) = tidewheel(&arguments);
    let report: Value = serde_json::from_str(&said).unwrap();
    assert!(code == Some(0) && report["agrees"] == true && report["rows"] == 2, "{said}{error}");
}
