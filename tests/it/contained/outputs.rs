//! Rows that are made and can't be sent or kept: a server that takes little, and values that JSON and Delta have no form for.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tidewheel::bus::{Bus, Message, StoredMessage};
use tidewheel::pipeline::{Pipeline, output_spec};
use tokio::runtime::Runtime;

use super::Kind;
use super::events::{message, pipeline};
use crate::broker::{publish, stored, through};
use crate::emitted::{kept_rows, start};
use crate::outsize::{SmallServer, letters};

/// What the server takes in one message.
const LIMIT: usize = 24_000;
/// A note of which one fits a message, and two do not.
const LONG: usize = 13_000;
/// As many events, in windows of ten seconds.
const EVENTS: usize = 57;
const WINDOWS: usize = 4;

/// Who is said to be too large for the server, and of no time that JSON or Delta can hold.
const LARGE_USER: usize = 5;
const LATE_USER: usize = 7;

const TABLE: &str = "SELECT user_id, window_start, max(note) AS longest, min(note) AS least, to_timestamp_seconds(max(big) * 1000) AS day \
     FROM clicks GROUP BY user_id, tumble(ts, '10 seconds')";
const SETTINGS: &str = "\n[tables.a]\npublish = \"contained.rows\"\nhistory = true\n";

/// What is in the broker and in the Delta table.
struct Outcome {
    rows: Vec<Message>,
    letters: Vec<StoredMessage>,
    kept: usize,
}

/// The outcomes with all events, and without those of people whose rows can't be sent.
fn outcomes() -> &'static [Outcome; 2] {
    static OUTCOMES: OnceLock<[Outcome; 2]> = OnceLock::new();
    OUTCOMES.get_or_init(|| [outcome(true), outcome(false)])
}

fn outcome(has_bad: bool) -> Outcome {
    let user = |number: usize| [1, LARGE_USER, 2, LATE_USER][number % 4];
    let event = |number: usize| {
        let note = if user(number) == LARGE_USER { "n".repeat(LONG) } else { "7".to_owned() };
        let big = if user(number) == LATE_USER { 3_000_000_000 } else { 20_i64 };
        let values = json!({"user_id": user(number), "quantity": 1, "big": big, "note": note, "price": 4.0});
        message(number, &values).payload.to_vec()
    };
    let numbers = (0..EVENTS).filter(|number| has_bad || ![LARGE_USER, LATE_USER].contains(&user(*number)));
    // The last one closes every window.
    let events: Vec<Vec<u8>> = numbers.chain([EVENTS + 103]).map(event).collect();
    let folder = tempfile::tempdir().unwrap();
    let pipeline = pipeline(folder.path(), SETTINGS, &[("features/a.sql", TABLE)]);
    Runtime::new().unwrap().block_on(async {
        let server = SmallServer::start(&folder.path().join("store"), LIMIT).await;
        let bus = server.connect().await;
        for half in events.chunks(events.len().div_ceil(2)) {
            let run = start(&pipeline, &bus, folder.path()).await;
            publish(&bus, "contained.clicks", half.to_vec()).await;
            through(&run, &bus, &pipeline).await;
            run.stop().await.unwrap();
        }
        let outcome = outcome_of(&pipeline, &bus, folder.path()).await;
        server.kill().await;
        outcome
    })
}

async fn outcome_of(pipeline: &Pipeline, bus: &Bus, folder: &Path) -> Outcome {
    let stream = output_spec(pipeline).name;
    let outputs = stored(bus, &stream).await;
    let letters = letters(bus, &stream, &outputs).await;
    let rows = outputs.into_iter().filter(|output| output.subject.as_str() == "contained.rows").collect();
    Outcome { rows, letters, kept: kept_rows(pipeline, &folder.join("history")).await }
}

/// The letters about a person's rows, for one reason, which each name the row that they stand for.
fn letters_about(user: usize, reason: &str, kind: &str) -> Vec<&'static StoredMessage> {
    let [with, without] = outcomes();
    assert!(without.letters.is_empty());
    let is_about = |letter: &&StoredMessage| {
        let header = |name: &str| letter.header(name).unwrap_or_default();
        header("Tidewheel-Key") == format!("[{user}]") && header("Tidewheel-Id").starts_with(kind)
    };
    let letters: Vec<_> = with.letters.iter().filter(is_about).collect();
    for letter in &letters {
        assert_eq!((letter.header("Tidewheel-Reason"), letter.header("Tidewheel-Table")), (Some(reason), Some("a")));
        assert!(letter.header("Tidewheel-Window").unwrap().starts_with("2023-11-14T22:13:"), "{letter:?}");
    }
    letters
}

pub fn row(kind: Kind) {
    let [with, without] = outcomes();
    let rows = |outcome: &Outcome| -> Vec<Value> {
        outcome.rows.iter().map(|row| serde_json::from_slice(&row.payload).unwrap()).collect()
    };
    assert_eq!(rows(with), rows(without), "neighbours are as without them");
    assert_eq!(with.rows.len(), 2 * WINDOWS);
    assert_eq!(with.letters.len(), 3 * WINDOWS, "too large; neither as JSON nor in Delta");
    let (user, reason, way_out) = match kind {
        Kind::TooLarge => (LARGE_USER, "too-large", "raise `max_payload` of the server"),
        _ => (LATE_USER, "unwritable", "cast it, or leave it out"),
    };
    let letters = letters_about(user, reason, "instead-");
    assert_eq!(letters.len(), WINDOWS, "each row once, also after the restart");
    for letter in letters {
        let detail = letter.header("Tidewheel-Detail").unwrap();
        assert!(detail.starts_with("the row of table `a` ") && detail.contains(way_out), "{detail}");
    }
}

pub fn delta(_: Kind) {
    let [with, without] = outcomes();
    assert_eq!((with.kept, without.kept), (3 * WINDOWS, 2 * WINDOWS), "a row that is too large to send is kept");
    let letters = letters_about(LATE_USER, "unwritable", "history-");
    assert_eq!(letters.len(), WINDOWS, "each row once, also after the restart");
    for letter in letters {
        assert_eq!(letter.header("Tidewheel-Column"), Some("day"));
        let detail = letter.header("Tidewheel-Detail").unwrap();
        assert!(
            detail.contains("not in the history of table `a`") && detail.contains("where `history` is set"),
            "{detail}"
        );
    }
}
