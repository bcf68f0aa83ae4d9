//! Events that come as columns.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use arrow::ipc::reader::StreamReader;

use super::*;
use crate::bus::Subject;
use crate::config::Folder;
use crate::event::DecoderError;
use crate::fault::{Judged, Judgement};
use crate::step::{DeadLetter, Step, Subjects};

const CONTRACT: &str = r#"{"type": "object", "properties": {"ts": {"type": "integer"}, "user_id": {"type": "integer"},
    "price": {"type": "number", "minimum": 0}}, "required": ["ts", "user_id"]}"#;

const SETTINGS: &str = "name = 'b'\n[streams.clicks]\nsubjects = ['b.clicks']\ncontract = 'c.json'\ntime = 'ts'\n\
    time_unit = 's'\ndisorder = '0s'\n";

const SELECT: &str = "SELECT user_id, sum(price) AS n FROM clicks GROUP BY user_id, tumble(ts, '10 seconds')";

/// 2023-11-14T22:00:00Z, in seconds.
const START: i64 = 1_699_999_200;

fn step() -> Step {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
    fs::create_dir(folder.path().join("features")).unwrap();
    write("c.json", CONTRACT);
    write("pipeline.toml", SETTINGS);
    write("features/spent.sql", SELECT);
    let pipeline = Folder::read(folder.path()).and_then(|folder| folder.assemble_without_model());
    Step::new(Arc::new(pipeline.unwrap_or_else(|problems| panic!("{problems}")))).unwrap()
}

/// Rows with these columns, which were published a minute after the start under sequences from 11 on, two to a message.
fn batch(columns: Vec<(&str, ArrayRef)>) -> EventBatch {
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let sequences: Vec<u64> = (22..).map(|row| row / 2).take(rows.num_rows()).collect();
    let published = vec![(START + 60) * 1_000_000; rows.num_rows()];
    EventBatch::new(rows, sequences, published, Subjects::One(Subject::new("b.clicks").unwrap())).unwrap()
}

fn times(seconds: &[i64]) -> ArrayRef {
    Arc::new(seconds.iter().map(|second| START + second).collect::<Int64Array>())
}

fn users(users: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(users.to_vec()))
}

#[test]
fn columns_that_are_not_the_contract_s_are_an_error_and_move_nothing() {
    let mut step = step();
    let prices: ArrayRef = Arc::new(StringArray::from(vec!["1", "2"]));
    let before = step.streams[0].last;
    for (columns, what) in [
        (
            vec![("ts", times(&[1, 2])), ("user_id", users(&[1, 2])), ("price", prices)],
            "column \"price\": expected Float64, got Utf8",
        ),
        (vec![("ts", times(&[1, 2]))], "column \"user_id\" is required and missing"),
    ] {
        let error = step.events(StreamIndex(0), &batch(columns), true).err().unwrap();
        assert_eq!(
            error.to_string(),
            format!("stream `clicks`: rows can't be read by the contract of their stream: {what}")
        );
        assert!(matches!(&error, StepError::Rows { source: DecoderError::Rows { .. }, .. }));
        assert_eq!(error.judgement(), Judgement::DATA);
    }
    assert_eq!(step.streams[0].last, before);
    let output = step.events(StreamIndex(0), &batch(vec![("ts", times(&[1])), ("user_id", users(&[1]))]), true);
    assert_eq!(output.unwrap().counts.counted, 1);
    assert_eq!(step.streams[0].last, StreamSequence(11));
}

/// The people in the events of a letter.
fn people(letter: &DeadLetter) -> Vec<i64> {
    let read = StreamReader::try_new(&letter.bytes[..], None).unwrap();
    let rows: Vec<RecordBatch> = read.map(Result::unwrap).collect();
    let column = rows[0].column_by_name("user_id").unwrap();
    column.as_primitive::<Int64Type>().values().to_vec()
}

#[test]
fn a_bad_row_is_a_letter_of_its_own_and_a_late_one_a_letter_with_its_message() {
    let mut step = step();
    let prices: ArrayRef = Arc::new(Float64Array::from(vec![1.0, -2.0, 3.0, 4.0, f64::NAN, 6.0]));
    // The third is before anything that is believed, and the fifth and sixth come after the first windows have closed.
    let seconds = times(&[0, 1, -START, 30, 31, 2]);
    let output = step
        .events(
            StreamIndex(0),
            &batch(vec![("price", prices), ("user_id", users(&[1, 2, 3, 4, 5, 6])), ("ts", seconds)]),
            true,
        )
        .unwrap();
    let found: Vec<_> = output.dead.iter().map(|letter| (letter.sequence.0, letter.reason, people(letter))).collect();
    assert_eq!(
        found,
        [
            (11, "constraint", vec![2]),
            (12, "time_out_of_bounds", vec![3]),
            (13, "not_finite", vec![5]),
            (13, "late", vec![5, 6]),
        ]
    );
    assert!(output.dead[0].detail.starts_with("field \"price\": expected "), "{}", output.dead[0].detail);
    let counts = output.counts;
    assert_eq!((counts.counted, counts.late, counts.rejected, counts.duplicate), (2, 1, 3, 0));
}
