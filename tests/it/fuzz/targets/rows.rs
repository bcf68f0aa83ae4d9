//! Rows that keep their contract, in tables whose expressions can fail: nothing ends the step, the rows that fail are those that
//! plain DataFusion fails on by itself, and everything else is as without them.
//!
//! An input is choices: how the select is made, then the events. What is left of it when it ends is zeros.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::prelude::SessionContext;
use serde_json::json;
use tidewheel::bus::{Encoding, Message, StreamSequence, Subject};
use tidewheel::config::Folder;

use crate::fuzz::engine::{Outcome, Target};
use crate::restart::passage::{Out, pass};

const CONTRACT: &str = r#"{"type": "object", "required": ["user_id", "a", "b", "x", "t", "ts"], "properties": {
    "user_id": {"type": "integer"}, "a": {"type": "integer"}, "b": {"type": "integer"}, "x": {"type": "number"},
    "t": {"type": "string"}, "ts": {"type": "integer"}}}"#;

const SETTINGS: &str = "name = \"rows\"\n[streams.clicks]\nsubjects = [\"rows.clicks\"]\ncontract = \"c.json\"\ntime = \"ts\"\n\
    disorder = \"1s\"\n";

const INTEGERS: [i64; 12] = [0, 1, -1, 2, 7, 100, 3_000_000_000, i64::MAX, i64::MIN, i64::MAX - 1, (1 << 53) + 1, -40];
const FLOATS: [f64; 12] = [0.0, -0.0, 1.0, -1.0, 0.5, 1e39, -1e39, 1e308, 5e-324, 9.5, -7.25, 1e15];
const TEXTS: [&str; 8] = ["", "7", "many", "-0", "9223372036854775808", "1e3", "ü", "2024-02-30"];

pub const TARGET: Target = Target {
    name: "rows",
    seconds: 20,
    dictionary: &["\0", "\u{1}", "\u{2}", "\u{3}", "\u{7}"],
    inputs: || {
        let every = |start: u8| (0..160).map(|at: u8| at.wrapping_mul(37).wrapping_add(start)).collect();
        (0..12).map(|start| every(start * 19)).collect()
    },
    reader: || {
        let oracle = Oracle {
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            context: SessionContext::new(),
        };
        Box::new(move |input| told(&oracle, &mut Choices { input, at: 0 }))
    },
};

/// Plain DataFusion.
struct Oracle {
    runtime: tokio::runtime::Runtime,
    context: SessionContext,
}

/// Takes one choice after the other off an input.
struct Choices<'a> {
    input: &'a [u8],
    at: usize,
}

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        self.at += 1;
        self.input.get(self.at - 1).copied().unwrap_or(0)
    }

    fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[usize::from(self.byte()) % values.len()]
    }

    /// An integer of an event, which may fail.
    fn integer(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.of(&["a", "b", "user_id", "2", "length(t)"]).to_owned();
        }
        let (one, other) = (self.integer(depth - 1), self.integer(depth - 1));
        match self.byte() % 8 {
            0 => format!("({one} / {other})"),
            1 => format!("({one} % {other})"),
            2 => "CAST(t AS BIGINT)".to_owned(),
            3 => format!("CAST(CAST({one} AS INT) AS BIGINT)"),
            4 => "CAST(x AS BIGINT)".to_owned(),
            5 => format!("CASE WHEN {other} > 0 THEN {one} ELSE 1 END"),
            6 => format!("coalesce(nullif({one}, {other}), 3)"),
            _ => format!("abs({one})"),
        }
    }

    fn float(&mut self, depth: usize) -> String {
        match self.byte() % 4 {
            0 => "x".to_owned(),
            1 => "sqrt(x)".to_owned(),
            2 => format!("(x / CAST({} AS DOUBLE))", self.integer(depth)),
            _ => format!("CAST({} AS DOUBLE)", self.integer(depth)),
        }
    }

    /// A select over `clicks`, with a table's name for what it groups by.
    fn select(&mut self) -> String {
        let filter =
            if self.byte().is_multiple_of(3) { format!(" WHERE {} > 0", self.integer(2)) } else { String::new() };
        let key = if self.byte().is_multiple_of(3) { self.integer(2) } else { "user_id".to_owned() };
        let aggregate = match self.byte() % 8 {
            0 => format!("sum({})", self.integer(2)),
            1 => format!("count(DISTINCT {})", self.integer(2)),
            2 => format!("sum({})", self.float(1)),
            3 => format!("max({})", self.float(1)),
            4 => format!("min({})", self.integer(2)),
            5 => format!("count(*) FILTER (WHERE {} > 1)", self.integer(2)),
            6 => format!("max(CAST({} AS VARCHAR))", self.integer(2)),
            _ => format!("avg({})", self.float(1)),
        };
        let window = self.of(&[
            "",
            ", tumble(ts, '10 seconds')",
            ", hop(ts, '5 seconds', '10 seconds')",
            ", session(ts, '4 seconds')",
        ]);
        format!("SELECT {key} AS k, {aggregate} AS v, count(*) AS n FROM clicks{filter} GROUP BY {key}{window}")
    }
}

/// An event that keeps the contract.
struct Event {
    user: i64,
    a: i64,
    b: i64,
    x: f64,
    t: &'static str,
}

impl Event {
    fn of(choices: &mut Choices<'_>) -> Self {
        let (user, a, b) = (i64::from(choices.byte() % 4), choices.of(&INTEGERS), choices.of(&INTEGERS));
        Self { user, a, b, x: choices.of(&FLOATS), t: choices.of(&TEXTS) }
    }

    fn message(&self, number: usize) -> Message {
        let ts = 1_700_000_000_000 + 900 * number as u64;
        let Self { user, a, b, x, t } = self;
        let event = json!({"user_id": user, "a": a, "b": b, "x": x, "t": t, "ts": ts});
        Message {
            payload: serde_json::to_vec(&event).unwrap().into(),
            sequence: StreamSequence(number as u64 + 1),
            published_micros: ts as i64 * 1_000,
            encoding: Encoding::Json,
            subject: Subject::new("rows.clicks").unwrap(),
        }
    }

    /// Whether plain DataFusion fails on this event alone. A zero has one sign here, and the oracle is told so.
    fn fails(&self, oracle: &Oracle, select: &str) -> bool {
        let integers = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
        let row = RecordBatch::try_from_iter([
            ("user_id", integers(self.user)),
            ("a", integers(self.a)),
            ("b", integers(self.b)),
            ("x", Arc::new(Float64Array::from(vec![self.x + 0.0])) as ArrayRef),
            ("t", Arc::new(StringArray::from(vec![self.t])) as ArrayRef),
        ]);
        let Oracle { runtime, context } = oracle;
        context.deregister_table("clicks").unwrap();
        context.register_batch("clicks", row.unwrap()).unwrap();
        let window = select.find(", tumble").or(select.find(", hop")).or(select.find(", session"));
        let select = &select[..window.unwrap_or(select.len())];
        runtime.block_on(async { context.sql(select).await?.collect().await }).is_err()
    }
}

fn told(oracle: &Oracle, choices: &mut Choices<'_>) -> Outcome {
    let select = choices.select();
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
    fs::create_dir(folder.path().join("features")).unwrap();
    write("c.json", CONTRACT);
    write("pipeline.toml", SETTINGS);
    write("features/t.sql", &select);
    write("features/u.sql", "SELECT user_id, count(*) AS n FROM clicks GROUP BY user_id");
    let pipeline = Folder::read(folder.path()).and_then(|folder| folder.assemble_without_model());
    let pipeline = match pipeline {
        Ok(pipeline) => Arc::new(pipeline),
        Err(problems) => return Outcome::Refused(problems.to_string()),
    };
    let events: Vec<Event> = (0..usize::from(choices.byte() % 24)).map(|_| Event::of(choices)).collect();
    let cut = usize::from(choices.byte()) % 9 + 1;
    let all: Vec<Message> = events.iter().enumerate().map(|(number, event)| event.message(number)).collect();
    let bad: BTreeSet<usize> = (0..events.len()).filter(|number| events[*number].fails(oracle, &select)).collect();
    let good: Vec<Message> =
        (0..events.len()).filter(|number| !bad.contains(number)).map(|at| all[at].clone()).collect();
    let (found, without) = (pass(&pipeline, &all, cut), pass(&pipeline, &good, 24));
    let place = pipeline.tables.iter().position(|table| table.plan.name() == "t").unwrap();
    let of_table = |out: &Out| -> (Vec<String>, String) {
        let prefix = format!("{place} ");
        let mut rows: Vec<&str> = out.rows[place].lines().collect();
        rows.sort_unstable();
        // What windows have given by the end depends on how far the watermark has come, also by what failed.
        let rows = if pipeline.tables[place].plan.windows().is_some() { String::new() } else { rows.join("\n") };
        (out.emissions.iter().filter(|line| line.starts_with(&prefix)).cloned().collect(), rows)
    };
    assert_eq!(of_table(&found), of_table(&without), "{select}\nwithout {bad:?}");
    assert_eq!(found.counts.get(&0).map_or(0, |counts| counts[0]), events.len() as u64, "every event counts: {select}");
    let named: BTreeSet<usize> = found.dead.iter().filter_map(|letter| event_of(letter)).collect();
    assert_eq!(named, bad, "{select}\n{:?}", found.dead);
    Outcome::Accepted
}

/// The number of the event that a dead letter is about; none of one about a row.
fn event_of(letter: &str) -> Option<usize> {
    let is_event = letter.contains("the table leaves the event out");
    let from = letter.find("StreamSequence(")? + "StreamSequence(".len();
    let sequence: usize = letter[from..].split(')').next()?.parse().ok()?;
    is_event.then(|| sequence - 1)
}
