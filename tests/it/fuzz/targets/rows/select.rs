//! Tables of horizons and windows: the events that fail are those that plain DataFusion fails on by itself, and everything else
//! is as without them.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use serde_json::json;
use tidewheel::bus::{Encoding, Message, StreamSequence, Subject};
use tidewheel::config::Folder;

use super::choices::Choices;
use super::event::Values;
use super::oracle::Oracle;
use crate::fuzz::engine::Outcome;
use crate::restart::passage::{Out, pass};

const CONTRACT: &str = r#"{"type": "object", "required": ["user_id", "a", "b", "x", "t", "ts"], "properties": {
    "user_id": {"type": "integer"}, "a": {"type": "integer"}, "b": {"type": "integer"}, "x": {"type": "number"},
    "t": {"type": "string"}, "ts": {"type": "integer"}}}"#;

const SETTINGS: &str = "name = \"rows\"\n[streams.clicks]\nsubjects = [\"rows.clicks\"]\ncontract = \"c.json\"\ntime = \"ts\"\n\
    disorder = \"1s\"\n";

/// A select over `clicks`, with a table's name for what it groups by.
fn select(choices: &mut Choices<'_>) -> String {
    let filter = if choices.byte().is_multiple_of(3) {
        format!(" WHERE {} > user_id", choices.integer(2))
    } else {
        String::new()
    };
    let key = if choices.byte().is_multiple_of(3) { choices.integer(2) } else { "user_id".to_owned() };
    let aggregate = match choices.byte() % 8 {
        0 => format!("sum({})", choices.integer(2)),
        1 => format!("count(DISTINCT {})", choices.integer(2)),
        2 => format!("sum({})", choices.float(1)),
        3 => format!("max({})", choices.float(1)),
        4 => format!("min({})", choices.integer(2)),
        5 => format!("count(*) FILTER (WHERE {} > user_id)", choices.integer(2)),
        6 => format!("max(CAST({} AS VARCHAR))", choices.integer(2)),
        _ => format!("avg({})", choices.float(1)),
    };
    let window = choices.of(&[
        "",
        ", tumble(ts, '10 seconds')",
        ", hop(ts, '5 seconds', '10 seconds')",
        ", session(ts, '4 seconds')",
    ]);
    format!("SELECT {key} AS k, {aggregate} AS v, count(*) AS n FROM clicks{filter} GROUP BY {key}{window}")
}

/// The message of the event of a number.
fn message(values: &Values, number: usize) -> Message {
    let ts = 1_700_000_000_000 + 900 * number as u64;
    let Values { user, a, b, x, t } = values;
    let event = json!({"user_id": user, "a": a, "b": b, "x": x, "t": t, "ts": ts});
    Message {
        payload: serde_json::to_vec(&event).unwrap().into(),
        sequence: StreamSequence(number as u64 + 1),
        published_micros: ts as i64 * 1_000,
        encoding: Encoding::Json,
        subject: Subject::new("rows.clicks").unwrap(),
    }
}

/// Whether plain DataFusion fails on this event alone.
fn fails(values: &Values, oracle: &Oracle, select: &str) -> bool {
    let window = select.find(", tumble").or(select.find(", hop")).or(select.find(", session"));
    let select = &select[..window.unwrap_or(select.len())];
    oracle.alone("clicks", values.columns(), select).is_none()
}

pub fn told(oracle: &Oracle, choices: &mut Choices<'_>) -> Outcome {
    let select = select(choices);
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
    let events: Vec<Values> = (0..usize::from(choices.byte() % 24)).map(|_| Values::of(choices)).collect();
    let cut = usize::from(choices.byte()) % 9 + 1;
    let all: Vec<Message> = events.iter().enumerate().map(|(number, event)| message(event, number)).collect();
    let bad: BTreeSet<usize> = (0..events.len()).filter(|number| fails(&events[*number], oracle, &select)).collect();
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
