//! A vector that cannot be made, or is of numbers that no model takes, costs its own ranking.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tidewheel::bus::Message;
use tidewheel::model::{MlpSpec, build_mlp};
use tidewheel::pipeline::{Pipeline, StreamIndex};
use tidewheel::score::{Arms, rank};
use tidewheel::step::{Step, UNSCORABLE};
use tidewheel::time::EventTime;

use super::Kind;
use super::events::{
    ALWAYS, EVENTS, Ranking, SIZES, assert_alike, bad, event, events, good_events, pipeline, rankings, scoring,
    with_model, write,
};
use super::expressions::{in_other_steps, says};
use crate::restart::passage::{Out, pass};

/// Bad events add nothing, so that features of others are the same without them.
const ADDS: &str = "SELECT user_id, sum(quantity) AS n FROM clicks GROUP BY user_id";

/// A small model of these columns, for the vector of a folder's pipeline.
fn model(pipeline: &Pipeline) -> Vec<u8> {
    let vector = pipeline.vector.as_ref().unwrap();
    let fingerprint = vector.fingerprint().as_str().to_owned();
    build_mlp(&MlpSpec { columns: vector.columns().to_vec(), hidden: vec![4], dropout: 0.0, seed: 1, fingerprint })
        .unwrap()
}

fn scored(folder: &Path, settings: &str, files: &[(&str, &str)]) -> (Arc<Pipeline>, Arms) {
    let model = model(&pipeline(folder, settings, files));
    with_model(folder, settings, files, &model)
}

/// Vectors of these events that are complete, bit by bit, and which ones are not.
fn vectors(out: &Out) -> (Vec<u32>, Vec<usize>) {
    let incomplete: Vec<usize> = out.unscorable.iter().map(|(row, _)| *row).collect();
    let complete = (0..).zip(&out.vectors).filter(|(row, _)| incomplete.binary_search(row).is_err());
    (complete.map(|(_, bits)| *bits).collect(), incomplete)
}

/// A vector of one column over `clicks` and the table `a`: all bad events are dead letters with this reason, and neither the
/// vectors nor the rankings of others differ from those of a run without them.
fn costs_its_own_ranking(feature: &str, vector: &str, reasons: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let files = [("features/a.sql", feature), ("vector.sql", vector)];
    let mut scored = scored(folder.path(), &scoring(ALWAYS), &files);
    let (all, good) = (events(), good_events());
    let (found, without) = (pass(&scored.0, &all, EVENTS), pass(&scored.0, &good, EVENTS));
    let (complete, incomplete) = vectors(&found);
    assert_eq!(incomplete, bad(), "{vector}");
    assert_eq!((complete, Vec::<usize>::new()), vectors(&without), "{vector}");
    assert_eq!(found.dead.len(), incomplete.len(), "{vector}: {:?}", found.dead);
    for letter in &found.dead {
        let is_named = letter.contains(&format!("\"{UNSCORABLE}\") feature `x` "));
        assert!(is_named && reasons.iter().all(|reason| says(letter, reason)), "{vector}: {letter}");
    }
    in_other_steps(vector, &found, |size| pass(&scored.0, &all, size));

    let expected = rankings(&mut scored, &good, EVENTS);
    for size in SIZES {
        let mut found = rankings(&mut scored, &all, size);
        let before = found.len();
        found.retain(|_, ranking| ranking.left_out.is_none());
        assert_eq!(before - found.len(), bad().len(), "{vector} in batches of {size}");
        assert_alike(&found, &expected, vector);
    }
}

pub fn feature(kind: Kind) {
    let places = [
        ("coalesce({e}, 0) + coalesce(a.n, 0) AS x", "r.user_id"),
        ("coalesce(a.n, 0) AS x", "CASE WHEN {e} > -1 THEN r.user_id ELSE 0 END"),
    ];
    for (expression, reason) in kind.expressions() {
        for (column, key) in places {
            let vector = format!("SELECT {column} FROM requests r LEFT JOIN a ON {key} = a.user_id");
            costs_its_own_ranking(ADDS, &vector.replace("{e}", expression), &["can't be computed: `", reason]);
        }
    }
}

/// Numbers that are none as a float32, or not finite to begin with.
pub fn number(kind: Kind) {
    let columns: &[(&str, &str)] = match kind {
        Kind::ZeroDivision => &[("1.0 / r.quantity", "is inf"), ("r.price / r.quantity", "is -inf")],
        Kind::Overflow => &[("r.big * 1e30", "is inf"), ("r.big * -1e30", "is -inf")],
        _ => &[("exp(r.big / 100) - exp(r.big / 99)", "is nan"), ("exp(r.big / 100)", "is inf")],
    };
    for (column, reason) in columns {
        let vector =
            format!("SELECT coalesce({column}, 0.0) AS x FROM requests r LEFT JOIN a ON r.user_id = a.user_id");
        costs_its_own_ranking(ADDS, &vector, &[reason]);
    }
}

/// All events of one person are bad.
pub fn column(kind: Kind) {
    let all: Vec<Message> = (0..EVENTS).map(|number| event(number, number % 3, number % 3 == 1)).collect();
    let good: Vec<Message> = (0..EVENTS).filter(|number| number % 3 != 1).map(|number| all[number].clone()).collect();
    for (expression, reason) in kind.of_rows() {
        let feature = format!("SELECT user_id, count(*) AS n, {expression} AS share FROM clicks GROUP BY user_id");
        // A sum is beyond a 64-bit integer from the second event on.
        let first = usize::from(expression.starts_with("sum"));
        let of_user: Vec<usize> = (0..EVENTS).filter(|number| number % 3 == 1).skip(first).collect();
        for (columns, bad) in
            [("coalesce(a.n, 0) AS n", Vec::new()), ("coalesce(a.share, 0) + coalesce(a.n, 0) AS n", of_user)]
        {
            let what = format!("{columns} of {expression}");
            let folder = tempfile::tempdir().unwrap();
            let vector = format!("SELECT {columns} FROM requests r LEFT JOIN a ON r.user_id = a.user_id");
            let files = [("features/a.sql", feature.as_str()), ("vector.sql", vector.as_str())];
            let pipeline = pipeline(folder.path(), &scoring(ALWAYS), &files);
            let (found, without) = (pass(&pipeline, &all, EVENTS), pass(&pipeline, &good, EVENTS));
            let (_, incomplete) = vectors(&found);
            assert_eq!(incomplete, bad, "{what}");
            let of_others = (0..).zip(&found.vectors).filter(|(number, _)| number % 3 != 1).map(|(_, bits)| *bits);
            assert_eq!(of_others.collect::<Vec<u32>>(), without.vectors, "{what}");
            assert!(found.unscorable.iter().all(|(_, why)| says(why, reason)), "{what}: {:?}", found.unscorable);
            assert_eq!(found.dead.len(), bad.len(), "{what}");
            let null = found.rows[0].lines().filter(|row| row.ends_with(" NULL")).count();
            assert_eq!((found.rows[0].lines().count(), null), (3, 1), "{what}: in SQL the value is NULL");
            in_other_steps(&what, &found, |size| pass(&pipeline, &all, size));
        }
    }
}

const REQUEST: &str = r#"{
  "type": "object",
  "required": ["request_id", "user_id", "items", "quantity", "big", "note", "price"],
  "properties": {
    "request_id": {"type": "string"}, "user_id": {"type": "integer"},
    "items": {"type": "array", "items": {"type": "integer"}},
    "quantity": {"type": "integer"}, "big": {"type": "integer"}, "note": {"type": "string"}, "price": {"type": "number"}
  }
}"#;
const SERVICE: &str = r#"
[model]
graph = "m.onnx"

[score]
service = "contained.score"
request = "request.json"
"#;

/// Asks with the values of an event; every third request is bad.
fn request(number: usize) -> Bytes {
    let mut request: Value = serde_json::from_slice(&event(number, number % 3, number % 3 == 2).payload).unwrap();
    request.as_object_mut().unwrap().remove("ts");
    request["request_id"] = json!(number.to_string());
    request["items"] = json!([1, 2, 3]);
    request.to_string().into()
}

pub fn requests(kind: Kind) {
    for (expression, reason) in kind.expressions() {
        let folder = tempfile::tempdir().unwrap();
        let vector = format!(
            "SELECT coalesce({expression}, 0) AS x, r.item_id AS item, coalesce(a.n, 0) AS n \
             FROM requests r LEFT JOIN a ON r.user_id = a.user_id"
        );
        let files = [("features/a.sql", ADDS), ("vector.sql", vector.as_str()), ("request.json", REQUEST)];
        write(folder.path(), SERVICE, &files);
        let (pipeline, mut arms) = scored(folder.path(), SERVICE, &files);
        let mut step = Step::new(Arc::clone(&pipeline)).unwrap();
        step.events(StreamIndex(0), &good_events(), true).unwrap();
        let mut ask = |numbers: &[usize], batch: usize| {
            let asked: Vec<Bytes> = numbers.iter().copied().map(request).collect();
            let output = step.requests(&asked, EventTime(1_700_000_100_000_000)).unwrap();
            assert!(output.refused.is_empty(), "{:?}", output.refused);
            let ranked =
                rank(&mut arms, &output.job, pipeline.vector.as_ref().unwrap().inputs().width(), batch).unwrap();
            let rankings = ranked.into_iter().map(|one| Ranking::of(&one.payload, one.left_out, one.failed));
            numbers.iter().copied().zip(rankings).collect::<BTreeMap<usize, Ranking>>()
        };
        let (all, good): (Vec<_>, Vec<_>) = ((0..12).collect(), (0..12).filter(|number| number % 3 != 2).collect());
        let expected = ask(&good, 256);
        for batch in [1, 7, 256] {
            let mut found = ask(&all, batch);
            let bad: Vec<Ranking> =
                found.extract_if(.., |_, ranking| ranking.left_out.is_some()).map(|(_, bad)| bad).collect();
            assert_alike(&found, &expected, expression);
            assert_eq!(bad.len(), all.len() - good.len(), "{expression}");
            for ranking in bad {
                // Nothing is left of it, which is a 422 to who asked.
                assert!(ranking.is_empty() && says(ranking.left_out.as_ref().unwrap(), reason), "{ranking:?}");
            }
        }
    }
}
