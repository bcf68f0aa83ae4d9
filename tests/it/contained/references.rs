//! A row of a reference that can't be used is left out of it, and one that an expression fails on costs the events that meet it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tidewheel::bus::Message;
use tidewheel::pipeline::{Pipeline, StreamIndex};
use tidewheel::reference::{Limits, ReferenceFile, ReferenceSpec};

use super::Kind;
use super::events::{EVENTS, SIZES, event, failed_in, of_table, pipeline};
use super::expressions::says;
use crate::restart::passage::{Out, Passage};

const SETTINGS: &str = r#"
[references.items]
file     = "items.jsonl"
key      = ["item"]
contract = "item.json"
"#;
const CONTRACT: &str = r#"{"type": "object", "required": ["item", "stock"], "properties": {
    "item": {"type": "integer"}, "stock": {"type": "integer", "minimum": 0}, "price": {"type": "number"}}}"#;
/// Good rows, of items 1 and 3.
const GOOD: [&str; 2] = [r#"{"item": 1, "stock": 5, "price": 2.5}"#, r#"{"item": 3, "stock": 2}"#];

/// Rows of item 2 that can't be used.
fn bad_rows(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Overflow => &[r#"{"item": 2, "stock": 9223372036854775808}"#],
        Kind::NotFinite => &[r#"{"item": 2, "stock": 1, "price": 1e999}"#],
        Kind::OutOfRange => &[r#"{"item": 2, "stock": -1}"#],
        _ => &[r#"{"item": 2}"#, r#"{"item": 2, "stock": [1]}"#, "[2, 1]", r#"{"item": 2, "stock": "one"}"#],
    }
}

struct Stock {
    pipeline: Arc<Pipeline>,
    file: ReferenceFile,
}

/// A pipeline that follows a file, which begins with one row.
fn stock(folder: &Path, feature: &str, limits: Limits) -> Stock {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join("items.jsonl");
    fs::write(&path, GOOD[0]).unwrap();
    let files = [("item.json", CONTRACT), ("features/a.sql", feature)];
    let pipeline = pipeline(folder, SETTINGS, &files);
    let spec = ReferenceSpec { limits, ..pipeline.references[0].spec.clone() };
    Stock { pipeline, file: ReferenceFile::open(spec, &path).unwrap() }
}

/// Clicks on the items 1 to 4, by turns.
fn clicks() -> Vec<Message> {
    (0..EVENTS).map(|number| event(number, 1 + number % 4, false)).collect()
}

impl Stock {
    /// Writes rows into the file, and takes them up.
    fn put(&mut self, folder: &Path, rows: &[&str]) {
        fs::write(folder.join("items.jsonl"), rows.join("\n")).unwrap();
        // The second look sees what was written within one step of the file system's clock.
        let _table = self.file.changed().unwrap().or_else(|| self.file.changed().unwrap()).unwrap();
    }

    /// All clicks, with what the file holds now, and a restart in the middle.
    fn pass(&self, messages: &[Message], size: usize) -> Out {
        let mut passage = Passage::new(&self.pipeline);
        let (first, second) = messages.split_at(messages.len() / 2);
        for half in [first, second] {
            passage.step.set_reference(Arc::clone(self.file.table()));
            let half: Vec<_> = half.iter().map(|message| (StreamIndex(0).0, message.clone())).collect();
            passage.pass(&half, size).unwrap();
            passage.restart(false);
        }
        passage.end()
    }
}

const JOINED: &str = "SELECT c.user_id, count(*) AS clicks, count(i.stock) AS found, sum(i.stock) AS stock \
     FROM clicks c LEFT JOIN items i ON c.user_id = i.item GROUP BY c.user_id";

/// A row that can't be used is as one that is not there.
pub fn row(kind: Kind) {
    for bad in bad_rows(kind) {
        let folder = tempfile::tempdir().unwrap();
        let mut stock = stock(folder.path(), JOINED, Limits::default());
        stock.put(folder.path(), &GOOD);
        let without = stock.pass(&clicks(), EVENTS);
        assert_eq!(of_table(&without, 0).1, ["1 15 15 75", "2 15 0 NULL", "3 15 15 30", "4 15 0 NULL"]);
        stock.put(folder.path(), &[GOOD[0], bad, GOOD[1]]);
        for size in SIZES {
            assert_eq!(stock.pass(&clicks(), size), without, "{bad} in steps of {size}");
        }
    }
}

/// What is too large as a whole changes nothing.
pub fn too_large(_: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let mut stock = stock(folder.path(), JOINED, Limits { rows: 2, ..Limits::default() });
    let large = [GOOD[0], GOOD[1], r#"{"item": 2, "stock": 1}"#].join("\n");
    let before = stock.pass(&clicks(), EVENTS);
    fs::write(folder.path().join("items.jsonl"), large).unwrap();
    let error = stock.file.changed().unwrap_err().to_string();
    assert!(error.contains("has 3 rows, more than the limit of 2: narrow it, or raise the limit"), "{error}");
    assert_eq!(stock.pass(&clicks(), EVENTS), before, "the old rows stay");
}

/// The row itself is a good one.
pub fn division(_: Kind) {
    let zero = r#"{"item": 2, "stock": 0}"#;
    let folder = tempfile::tempdir().unwrap();
    let feature = "SELECT c.user_id, sum(10 / i.stock) AS share, count(*) AS n \
         FROM clicks c LEFT JOIN items i ON c.user_id = i.item GROUP BY c.user_id";
    let mut stock = stock(folder.path(), feature, Limits::default());
    stock.put(folder.path(), &[GOOD[0], zero, GOOD[1]]);
    let others: Vec<Message> =
        clicks().into_iter().enumerate().filter(|(number, _)| number % 4 != 1).map(|(_, click)| click).collect();
    let (found, without) = (stock.pass(&clicks(), EVENTS), stock.pass(&others, EVENTS));
    assert_eq!(of_table(&found, 0), of_table(&without, 0));
    let failed = EVENTS - others.len();
    assert_eq!((found.dead.len(), failed_in(&found, "table `a`: ")), (failed, failed as u64));
    assert!(found.dead.iter().all(|letter| says(letter, "divide by zero")), "{:?}", found.dead);
    for size in SIZES {
        assert_eq!(stock.pass(&clicks(), size), found, "steps of {size}");
    }
}
