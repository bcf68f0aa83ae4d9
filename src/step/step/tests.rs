//! What is scored and never learnt from.

use std::fs;

use super::*;
use crate::bus::{Encoding, Message, StreamSequence, Subject};
use crate::config::Folder;

const CONTRACT: &str = r#"{"type": "object", "properties": {"user_id": {"type": "integer"}, "kind": {"type": "string"},
    "ts": {"type": "integer"}}, "required": ["user_id", "kind", "ts"]}"#;

const HEAD: &str = "name = 'b'\n[streams.clicks]\nsubjects = ['b.clicks']\ncontract = 'schemas/c.json'\ntime = 'ts'\n\
    time_unit = 's'\n[model]\ngraph = 'm.onnx'\n[score]\non = \"kind = 'view'\"\nitem = 'user_id'\n\
    [labels]\njoin = ['user_id']\npositive = \"kind = 'buy'\"\nwindow = '1h'\n";

/// Which of the views at these seconds feedback can find, where the vector joins this table of the user's events.
fn found(disorder: &str, joined: &str, seconds: &[i64]) -> Vec<bool> {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let file = folder.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    write("schemas/c.json", CONTRACT);
    let settings = HEAD.replace("time_unit", &format!("disorder = '{disorder}'\ntime_unit"));
    write("pipeline.toml", &settings);
    write("features/u.sql", "SELECT user_id, count(*) AS n FROM clicks GROUP BY user_id");
    write("features/w.sql", "SELECT user_id, count(*) AS n FROM clicks GROUP BY user_id, tumble(ts, '10 seconds')");
    let vector = format!("SELECT coalesce(j.n, 0) AS n FROM requests r LEFT JOIN {joined} j ON r.user_id = j.user_id");
    write("vector.sql", &vector);
    let pipeline = Folder::read(folder.path()).and_then(|folder| folder.assemble_without_model());
    let mut step = Step::new(Arc::new(pipeline.unwrap_or_else(|problems| panic!("{problems}")))).unwrap();
    let messages: Vec<Message> = (1..)
        .zip(seconds)
        .map(|(sequence, second)| Message {
            payload: format!(r#"{{"user_id":1,"kind":"view","ts":{}}}"#, 1_700_000_000 + second).into(),
            sequence: StreamSequence(sequence),
            published_micros: 1_800_000_000_000_000,
            encoding: Encoding::Json,
            subject: Subject::new("b.clicks").unwrap(),
        })
        .collect();
    let output = step.events(StreamIndex(0), &messages, true).unwrap();
    assert_eq!(output.job.matrix.rows, seconds.len());
    let found: Vec<bool> = output.keys.iter().map(Option::is_some).collect();
    assert_eq!(output.behind, found.iter().filter(|found| !**found).count() as u64);
    found
}

/// The vector of an event of 0:05 that came after one of 0:10 held three events, and was learnt from.
#[test]
fn an_event_behind_the_watermark_is_scored_and_never_learnt_from() {
    assert_eq!(found("0s", "u", &[0, 10, 5, 10, 11]), [true, true, false, true, true]);
    assert_eq!(found("5s", "u", &[0, 10, 5, 4]), [true, true, true, false]);
}

/// A window that has closed holds events up to its end.
#[test]
fn an_event_before_the_end_of_a_window_that_it_sees_is_never_learnt_from() {
    assert_eq!(found("20s", "w", &[0, 35, 12, 5, 10, 9]), [true, true, true, false, true, false]);
}
