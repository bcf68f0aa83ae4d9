//! Events that keep their contract, whether a pipeline fails on them or not, and small pipelines over them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tidewheel::bus::{Encoding, Message, StreamSequence, Subject};
use tidewheel::config::Folder;
use tidewheel::engine::load_model;
use tidewheel::pipeline::{Pipeline, StreamIndex};
use tidewheel::score::{Arms, rank};

use crate::restart::passage::{Out, Passage};

pub const CONTRACT: &str = r#"{
  "type": "object",
  "required": ["user_id", "quantity", "big", "note", "price", "ts"],
  "properties": {
    "user_id": {"type": "integer"}, "quantity": {"type": "integer"}, "big": {"type": "integer"},
    "note": {"type": "string"}, "price": {"type": "number"}, "ts": {"type": "integer"}
  }
}"#;

const SETTINGS: &str = r#"name = "contained"

[streams.clicks]
subjects = ["contained.clicks"]
contract = "click.json"
time     = "ts"
disorder = "1s"
"#;

/// Scores the events that a condition holds for.
pub fn scoring(on: &str) -> String {
    format!(
        "\n[model]\ngraph = \"m.onnx\"\n\n[score]\nstream  = \"clicks\"\non      = \"{on}\"\npublish = \"contained.ranked\"\n"
    )
}

/// A condition that holds for all events.
pub const ALWAYS: &str = "price > -9.0";

/// So many events, 0.7 seconds apart.
pub const EVENTS: usize = 60;

/// Sizes of steps, and of a model's batches: one by one, odd ones, all at once.
pub const SIZES: [usize; 3] = [1, 7, EVENTS];

pub fn is_bad(number: usize) -> bool {
    matches!(number, 0 | 7 | 8 | 31 | 32 | 33 | 58)
}

/// The numbers of the bad events.
pub fn bad() -> Vec<usize> {
    (0..EVENTS).filter(|number| is_bad(*number)).collect()
}

/// Events of three people, some of them bad.
pub fn events() -> Vec<Message> {
    (0..EVENTS).map(|number| event(number, number % 3, is_bad(number))).collect()
}

/// The same without the bad ones.
pub fn good_events() -> Vec<Message> {
    (0..EVENTS).filter(|number| !is_bad(*number)).map(|number| event(number, number % 3, false)).collect()
}

/// Keeps the contract, whether an expression fails on it or not.
pub fn event(number: usize, user: usize, is_bad: bool) -> Message {
    let (quantity, big, note, price) = match is_bad {
        true => (0, 3_000_000_000_i64, "many", -1.0),
        false => (1 + number as i64 % 4, 20 + number as i64, "7", 4.0),
    };
    message(number, &json!({"user_id": user, "quantity": quantity, "big": big, "note": note, "price": price}))
}

/// The event `number` with these values.
pub fn message(number: usize, values: &Value) -> Message {
    let ts = 1_700_000_000_000 + 700 * number as u64;
    let mut event = values.clone();
    event["ts"] = json!(ts);
    Message {
        payload: serde_json::to_vec(&event).unwrap().into(),
        sequence: StreamSequence(number as u64 + 1),
        published_micros: ts as i64 * 1_000,
        encoding: Encoding::Json,
        subject: Subject::new("contained.clicks").unwrap(),
    }
}

/// Writes the folder of a pipeline; `settings` follow those of the stream.
pub fn write(folder: &Path, settings: &str, files: &[(&str, &str)]) {
    fs::create_dir_all(folder.join("features")).unwrap();
    fs::write(folder.join("click.json"), CONTRACT).unwrap();
    fs::write(folder.join("pipeline.toml"), format!("{SETTINGS}{settings}")).unwrap();
    for (file, text) in files {
        fs::write(folder.join(file), text).unwrap();
    }
}

/// A pipeline of these tables; `settings` follow those of the stream.
pub fn pipeline(folder: &Path, settings: &str, files: &[(&str, &str)]) -> Arc<Pipeline> {
    write(folder, settings, files);
    let read = Folder::read(folder).unwrap_or_else(|problems| panic!("{files:?}: {problems}"));
    Arc::new(read.assemble_without_model().unwrap_or_else(|problems| panic!("{files:?}: {problems}")))
}

/// The same with a model of its own, which serves.
pub fn with_model(folder: &Path, settings: &str, files: &[(&str, &str)], model: &[u8]) -> (Arc<Pipeline>, Arms) {
    write(folder, settings, files);
    fs::write(folder.join("m.onnx"), model).unwrap();
    let read = Folder::read(folder).unwrap_or_else(|problems| panic!("{files:?}: {problems}"));
    let pipeline = Arc::new(read.assemble().unwrap_or_else(|problems| panic!("{files:?}: {problems}")));
    let arms = Arms::new(load_model(&pipeline).unwrap().unwrap());
    (pipeline, arms)
}

/// Of what came out, what belongs to a table.
pub fn of_table(out: &Out, table: usize) -> (Vec<&String>, Vec<&str>) {
    let prefix = format!("{table} ");
    let mut rows: Vec<&str> = out.rows[table].lines().collect();
    rows.sort_unstable();
    (out.emissions.iter().filter(|line| line.starts_with(&prefix)).collect(), rows)
}

/// How often an expression failed where `owner` has it.
pub fn failed_in(out: &Out, owner: &str) -> u64 {
    out.failed.iter().filter(|(place, _)| place.starts_with(owner)).map(|(_, count)| count).sum()
}

/// What is compared of a ranking.
#[derive(Debug)]
pub struct Ranking {
    /// But for its scores.
    reply: Value,
    scores: Vec<f64>,
    /// Why candidates are left out.
    pub left_out: Option<String>,
    /// Whether the model failed on them.
    pub is_models_fault: bool,
}

impl Ranking {
    pub fn of(payload: &[u8], left_out: Option<String>, failed: usize) -> Self {
        let mut reply: Value = serde_json::from_slice(payload).unwrap();
        let items = reply["items"].as_array_mut().unwrap();
        let scores = items.iter_mut().map(|item| item["score"].take().as_f64().unwrap()).collect();
        Self { reply, scores, left_out, is_models_fault: failed > 0 }
    }

    /// Whether nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }
}

/// Rankings are the same, their scores as far as the size of a batch changes how float32 numbers are added up.
pub fn assert_alike<K: Ord + Debug>(found: &BTreeMap<K, Ranking>, expected: &BTreeMap<K, Ranking>, what: &str) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
    for (name, expected) in expected {
        let found = &found[name];
        assert_eq!((&found.reply, &found.left_out), (&expected.reply, &expected.left_out), "{what}");
        for (found, expected) in found.scores.iter().zip(&expected.scores) {
            assert!((found - expected).abs() <= 1e-5 * expected.abs(), "{what}, {name:?}: {found}, not {expected}");
        }
    }
}

/// The rankings of the events that are scored, by what they are of, in steps and batches of at most `size`, with a restart in
/// the middle.
pub fn rankings(
    (pipeline, arms): &mut (Arc<Pipeline>, Arms),
    messages: &[Message],
    size: usize,
) -> BTreeMap<String, Ranking> {
    let width = pipeline.vector.as_ref().unwrap().inputs().width();
    let mut passage = Passage::new(pipeline);
    let mut found = BTreeMap::new();
    let (first, second) = messages.split_at(messages.len() / 2);
    for half in [first, second] {
        for part in half.chunks(size) {
            let output = passage.step.events(StreamIndex(0), part, true).unwrap();
            let ranked = rank(arms, &output.job, width, size).unwrap();
            assert_eq!(ranked.len(), output.origins.len());
            for (ranked, origin) in ranked.into_iter().zip(&output.origins) {
                assert_eq!(ranked.order.is_empty(), ranked.left_out.is_some());
                let ranking = Ranking::of(&ranked.payload, ranked.left_out, ranked.failed);
                found.insert(format!("{origin:?}"), ranking);
            }
        }
        passage.restart(false);
    }
    found
}
