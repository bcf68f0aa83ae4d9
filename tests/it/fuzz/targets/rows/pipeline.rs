//! A pipeline that scores events and learns from them, and the events.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use serde_json::json;
use tidewheel::bus::{Encoding, Message, StreamSequence, Subject};
use tidewheel::config::Folder;
use tidewheel::pipeline::Pipeline;

use super::choices::Choices;
use super::event::Values;
use super::graph::graph;

/// 2023-11-14T22:00:00Z, milliseconds.
const START: i64 = 1_699_999_200_000;
/// Behind by this, an event is late: the table looks back five minutes.
const FAR_BEHIND: i64 = 600_000;

const CONTRACT: &str = r#"{"type": "object", "required": ["id", "go", "user_id", "a", "b", "x", "t", "ts"], "properties": {
    "id": {"type": "string"}, "go": {"type": "boolean"}, "user_id": {"type": "integer"}, "a": {"type": "integer"},
    "b": {"type": "integer"}, "x": {"type": "number"}, "t": {"type": "string"}, "ts": {"type": "integer"}}}"#;

const TABLE: &str =
    "SELECT user_id AS person, count(*) FILTER (WHERE within(ts, '5 minutes')) AS n FROM clicks GROUP BY user_id";

const OPTIMIZERS: [&str; 4] = [
    "{ type = \"sgd\", learning_rate = 0.5 }",
    "{ type = \"adamw\" }",
    "{ type = \"adagrad\", learning_rate = 1.0 }",
    "{ type = \"ftrl\" }",
];

/// A column of a vector.
pub struct Column {
    pub name: String,
    pub expression: String,
    /// Whether it reads nothing but the event.
    pub is_of_event: bool,
    /// Whether the model takes whole numbers there.
    pub is_id: bool,
}

/// A pipeline in the expressions that can fail.
pub struct Made {
    /// Which events are scored.
    pub on: String,
    /// Which are feedback.
    pub positive: String,
    pub columns: Vec<Column>,
    /// Whether a repeated id is left out.
    pub has_ids: bool,
    model: Vec<u8>,
    train: String,
}

impl Made {
    pub fn of(choices: &mut Choices<'_>) -> Self {
        let on = condition(choices);
        let on = format!("CASE WHEN go THEN {on} ELSE false END");
        let positive = condition(choices);
        let (has_table, features) = match choices.byte() % 8 {
            0 => (true, 0),
            1 | 2 => (false, 1 + usize::from(choices.byte() % 3)),
            _ => (true, 1 + usize::from(choices.byte() % 3)),
        };
        let mut columns = Vec::new();
        if has_table {
            let expression = match choices.byte() % 5 {
                0 => "user_id".to_owned(),
                1 => "(a % 7)".to_owned(),
                2 => "b".to_owned(),
                3 => "length(t)".to_owned(),
                _ => choices.integer(1),
            };
            columns.push(Column {
                name: "item".to_owned(),
                expression: or_zero(&expression),
                is_of_event: true,
                is_id: true,
            });
        }
        for feature in 0..features {
            let (expression, is_of_event) = feature_of(choices);
            columns.push(Column { name: format!("f{feature}"), expression, is_of_event, is_id: false });
        }
        let graph = graph(choices, has_table, features);
        let freeze = if graph.is_table_frozen { "freeze = [\"table\"]\n" } else { "" };
        let clip = if choices.byte() % 2 == 1 { "clip_norm = 1.0\n" } else { "" };
        let train =
            format!("optimizer = {}\nreplay = 0\nunfreeze = [\"w.*\"]\n{freeze}{clip}", choices.of(&OPTIMIZERS));
        let has_ids = choices.byte().is_multiple_of(2);
        Self { on, positive, columns, has_ids, model: graph.bytes, train }
    }

    /// The select list of the vector, for a table of events.
    pub fn vector(&self) -> String {
        let columns = self.columns.iter().map(|Column { name, expression, .. }| format!("{expression} AS {name}"));
        columns.collect::<Vec<_>>().join(", ")
    }

    /// The checked pipeline, or what it is refused for.
    pub fn pipeline(&self) -> Result<Arc<Pipeline>, String> {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &[u8]| fs::write(folder.path().join(file), text).unwrap();
        fs::create_dir(folder.path().join("features")).unwrap();
        let ids = if self.has_ids { "id = \"id\"\n" } else { "" };
        let Self { on, positive, train, .. } = self;
        let settings = format!(
            "name = \"rows\"\n[streams.clicks]\nsubjects = [\"rows.clicks\"]\ncontract = \"c.json\"\ntime = \"ts\"\n\
             disorder = \"1s\"\n{ids}[model]\ngraph = \"model.onnx\"\n[score]\non = \"{on}\"\npublish = \"rows.ranked\"\n\
             item = \"b\"\n[labels]\njoin = [\"user_id\"]\npositive = \"{positive}\"\nwindow = \"5s\"\n[train]\n{train}"
        );
        let vector = format!("SELECT {} FROM requests r LEFT JOIN s ON r.user_id = s.person", self.vector());
        write("c.json", CONTRACT.as_bytes());
        write("pipeline.toml", settings.as_bytes());
        write("features/s.sql", TABLE.as_bytes());
        write("vector.sql", vector.as_bytes());
        write("model.onnx", &self.model);
        let read = Folder::read(folder.path()).and_then(|folder| folder.assemble());
        read.map(Arc::new).map_err(|problems| problems.to_string())
    }
}

/// A condition that may fail, and is mostly true. Nothing is compared with a constant: DataFusion moves casts of the one side
/// to the other then, as often as it goes over the plan, and a cast that is gone does not fail. Nor is what may be NaN, which has
/// one sign here and two in DataFusion.
fn condition(choices: &mut Choices<'_>) -> String {
    match choices.byte() % 8 {
        0 => format!("{} > user_id - 1", choices.integer(2)),
        1 => format!("{} <> user_id", choices.integer(1)),
        2 => format!("CAST({} AS BIGINT) <> user_id", choices.float(1)),
        3 => "10 / b <> 3".to_owned(),
        4 => "a > 0".to_owned(),
        5 => "CAST(t AS BIGINT) > user_id OR a > b".to_owned(),
        _ => "user_id >= 0".to_owned(),
    }
}

/// A column that is no id, and whether it reads nothing but the event.
fn feature_of(choices: &mut Choices<'_>) -> (String, bool) {
    let expression = match choices.byte() % 12 {
        0 | 1 => return ("coalesce(s.n, 0)".to_owned(), false),
        4 => return ("a > b".to_owned(), true),
        2 => "x".to_owned(),
        3 => "x * 1e30".to_owned(),
        5 => "ln(x)".to_owned(),
        6 => "CAST(x AS REAL)".to_owned(),
        7 => format!("CAST({} AS INT)", choices.integer(1)),
        8 => format!("-{}", choices.float(0)),
        9 => choices.integer(2),
        _ => choices.float(1),
    };
    (or_zero(&expression), true)
}

/// A function's result can be NULL by its type, and no column of a vector may be.
fn or_zero(expression: &str) -> String {
    format!("coalesce({expression}, 0)")
}

/// An event of this pipeline.
#[derive(Debug, Clone)]
pub struct Event {
    pub values: Values,
    /// Whether it may be scored.
    pub go: bool,
    pub id: String,
    /// Milliseconds.
    pub ts: i64,
    /// When the broker had it, milliseconds: never before an event of that time.
    published: i64,
}

impl Event {
    /// Events that keep the contract, some of them behind others, some far behind, some repeated; then one so much later that
    /// every label is decided.
    pub fn all(choices: &mut Choices<'_>) -> Vec<Self> {
        let mut clock = START;
        let mut events: Vec<Self> = Vec::new();
        for number in 0..usize::from(choices.byte() % 20) {
            let mut values = Values::of(choices);
            // An event has at most 64 KiB.
            if let Some(length) = [5_000, 60_000].get(usize::from(choices.byte() % 32)) {
                values.t = "7".repeat(*length);
            }
            let (mut ts, mut id) = (clock, format!("e{number}"));
            match choices.byte() % 16 {
                0 => ts -= FAR_BEHIND,
                1 => ts -= 500,
                // The whole event comes again.
                2 if number > 0 => {
                    let before = &events[usize::from(choices.byte()) % number];
                    (values, ts, id) = (before.values.clone(), before.ts, before.id.clone());
                }
                step => {
                    clock += i64::from(step) * 200;
                    ts = clock;
                }
            }
            events.push(Self { values, go: true, id, ts, published: clock });
        }
        let values = Values { user: 3, a: 1, b: 1, x: 1.0, t: "7".to_owned() };
        let ts = clock + 6 * FAR_BEHIND;
        events.push(Self { values, go: false, id: "last".to_owned(), ts, published: ts });
        events
    }

    /// Whether it comes when the table no longer looks back so far from the newest event before it.
    pub fn is_late(&self, newest: Option<i64>) -> bool {
        newest.is_some_and(|newest| newest - self.ts > FAR_BEHIND / 2)
    }

    /// The message of a number from 1.
    pub fn message(&self, number: usize) -> Message {
        let Self { values: Values { user, a, b, x, t }, go, id, ts, published } = self;
        let event = json!({"id": id, "go": go, "user_id": user, "a": a, "b": b, "x": x, "t": t, "ts": ts});
        Message {
            payload: serde_json::to_vec(&event).unwrap().into(),
            sequence: StreamSequence(number as u64),
            published_micros: published * 1_000,
            encoding: Encoding::Json,
            subject: Subject::new("rows.clicks").unwrap(),
        }
    }

    /// As a row of plain DataFusion.
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, ArrayRef)> {
        let go: ArrayRef = Arc::new(BooleanArray::from(vec![self.go]));
        self.values.columns().into_iter().chain([("go", go)])
    }
}
