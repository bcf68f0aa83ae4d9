//! A model file of another library, imported by the program, scores requests as that library does.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::{Value, json};
use tidewheel::config::Folder;
use tidewheel::engine::load_model;
use tidewheel::score::{Arms, rank};
use tidewheel::step::Step;
use tidewheel::time::EventTime;

use crate::taobao::root;

/// LightGBM, trained on a data frame with moments in milliseconds, a column of texts and one of numbers that are categories.
const NAME: &str = "lightgbm-categories-of-a-data-frame";

fn import(folder: &Path, arguments: &[&str]) -> Output {
    let file = root().join("tests/golden/trees").join(format!("{NAME}.txt"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewheel"));
    command.args(["model", "import"]).arg(file).args(arguments).current_dir(folder).output().unwrap()
}

fn words(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn model_import_says_what_a_file_has_and_replaces_nothing_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = words(&import(folder.path(), &["-o", "trees.onnx"]));
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "LightGBM v4, objective binary sigmoid:1, the sum of boosted trees",
        "4 rounds, 4 trees",
        "  moment: a number\n",
        "  shop: a text, one of 4 that are known\n",
        "  tens: a number that is a category, one of 4 that are known\n",
        "output score: the probability of class 1",
        "trees.onnx: features float64 [?, 5], shop string [?, 1] -> score float32 [?, 1], ",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let before = fs::read(folder.path().join("trees.onnx")).unwrap();
    let (code, said) = words(&import(folder.path(), &["-o", "trees.onnx", "--rounds", "2"]));
    assert_eq!((code, said.contains("trees.onnx exists: add --force")), (Some(2), true), "{said}");
    assert_eq!(fs::read(folder.path().join("trees.onnx")).unwrap(), before);
    let arguments = ["-o", "trees.onnx", "--rounds", "2", "--force", "--format", "json"];
    let (code, said) = words(&import(folder.path(), &arguments));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["model"]["rounds"], &said["model"]["library"]), (Some(0), &json!(2), &json!("LightGBM")));
    assert_ne!(fs::read(folder.path().join("trees.onnx")).unwrap(), before);
}

#[test]
fn a_file_that_is_refused_is_the_operators_fault_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = words(&import(folder.path(), &["-o", "trees.onnx", "--from", "catboost"]));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("it is a file of LightGBM, not of CatBoost: leave --from out"), "{said}");
    assert!(!folder.path().join("trees.onnx").exists());
}

/// A pipeline whose requests have the columns of the golden file, with this select list.
fn pipeline(folder: &Path, vector: &str) -> Result<Arc<tidewheel::pipeline::Pipeline>, String> {
    for part in ["features", "schemas"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    let number = json!({"type": "number"});
    let whole = json!({"type": "integer"});
    let text = json!({"type": "string"});
    let request = json!({
        "title": "Request", "type": "object",
        "required": ["request_id", "user_id", "items", "price", "views", "moment", "trend", "shop", "tens"],
        "properties": {
            "request_id": text, "user_id": whole, "items": {"type": "array", "items": whole}, "price": number, "views": whole, "moment": whole,
            "trend": number, "shop": text, "tens": whole, "ts": whole,
        },
    });
    let visit = json!({
        "title": "Visit", "type": "object", "required": ["event_id", "user_id", "ts"],
        "properties": {"event_id": text, "user_id": whole, "ts": whole},
    });
    let settings = "name = \"trees\"\n[streams.visits]\nsubjects = [\"trees.visits\"]\ncontract = \"schemas/visit.json\"\n\
                    time = \"ts\"\nkey = \"user_id\"\nid = \"event_id\"\ndisorder = \"1s\"\n[score]\nservice = \"trees.score\"\n\
                    request = \"schemas/request.json\"\n[model]\ngraph = \"trees.onnx\"\n";
    for (name, text) in [
        ("schemas/request.json", request.to_string()),
        ("schemas/visit.json", visit.to_string()),
        ("pipeline.toml", settings.to_owned()),
        ("features/reader.sql", "SELECT user_id, count(*) AS visits FROM visits GROUP BY user_id".to_owned()),
        ("vector.sql", format!("SELECT {vector} FROM requests r LEFT JOIN reader u ON r.user_id = u.user_id")),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    let read = Folder::read(folder).and_then(|folder| folder.assemble());
    read.map(Arc::new).map_err(|problems| problems.to_string())
}

#[test]
fn requests_are_scored_as_the_library_predicts() {
    let golden = root().join("tests/golden/trees").join(format!("{NAME}.rows.json"));
    let golden: Value = serde_json::from_slice(&fs::read(golden).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    assert!(import(folder.path(), &["-o", "trees.onnx"]).status.success());
    let swapped =
        "r.views AS views, r.price AS price, r.moment AS moment, r.trend AS trend, r.shop AS shop, r.tens AS tens";
    let problems = pipeline(folder.path(), swapped).err().unwrap();
    assert!(
        problems.contains("(price, views, moment, trend, tens): vector.sql must select them in this order"),
        "{problems}"
    );

    let vector =
        "r.price AS price, r.views AS views, r.moment AS moment, r.trend AS trend, r.shop AS shop, r.tens AS tens";
    let pipeline = pipeline(folder.path(), vector).unwrap();
    let mut arms = Arms::new(load_model(&pipeline).unwrap().unwrap());
    let mut step = Step::new(Arc::clone(&pipeline)).unwrap();
    let width = pipeline.vector.as_ref().unwrap().inputs().width();
    let columns: Vec<&str> = golden["columns"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let mut compared = 0;
    for (row, expected) in golden["rows"].as_array().unwrap().iter().zip(golden["expected"].as_array().unwrap()) {
        let row = row.as_array().unwrap();
        if row.iter().any(Value::is_null) {
            continue;
        }
        let mut request = json!({"request_id": "r", "user_id": 1, "items": [1]});
        for (name, value) in columns.iter().zip(row) {
            let is_whole = ["views", "moment", "tens"].contains(name);
            request[*name] = if is_whole { json!(value.as_f64().unwrap() as i64) } else { value.clone() };
        }
        let requests = [request.to_string().into_bytes().into()];
        let output = step.requests(&requests, EventTime(1_700_000_000_000_000)).unwrap();
        let ranked = rank(&mut arms, &output.job, width, 256).unwrap().swap_remove(0);
        let reply: Value = serde_json::from_slice(&ranked.payload).unwrap();
        let (score, expected) = (reply["items"][0]["score"].as_f64().unwrap(), expected[0].as_f64().unwrap());
        assert!((score - expected).abs() <= 1e-6 * expected, "{reply}, not {expected}");
        compared += 1;
    }
    assert!(compared > 20, "{compared}");
}
