//! Matching rows one by one, in the obvious way, against the index.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{ReferenceTable, Validity};

/// A row: its two keys, and from when to when it holds.
type Row = (Option<i64>, Option<String>, Option<i64>, Option<i64>);

/// Whether a row holds at a time; NULL is open.
fn holds(row: &Row, time: i64) -> bool {
    row.2.is_none_or(|from| from <= time) && row.3.is_none_or(|to| time < to)
}

fn same_key(left: &Row, number: Option<i64>, text: Option<&str>) -> bool {
    left.0.is_some() && left.1.is_some() && left.0 == number && left.1.as_deref() == text
}

/// Whether two rows of one key hold at one time: all instants at which anything can change are tried.
fn overlap(rows: &[Row]) -> bool {
    let instants: Vec<i64> = rows.iter().flat_map(|row| [row.2, row.3]).flatten().chain([i64::MIN]).collect();
    rows.iter().enumerate().any(|(at, row)| {
        rows[at + 1..].iter().any(|other| {
            same_key(row, other.0, other.1.as_deref())
                && instants.iter().any(|time| holds(row, *time) && holds(other, *time))
        })
    })
}

fn batch(rows: &[Row]) -> RecordBatch {
    let times = |values: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values).with_timezone("+00:00"))
    };
    let columns: [(&str, ArrayRef); 4] = [
        ("number", Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>())),
        ("text", Arc::new(rows.iter().map(|row| row.1.as_deref()).collect::<StringArray>())),
        ("from", times(rows.iter().map(|row| row.2).collect())),
        ("to", times(rows.iter().map(|row| row.3).collect())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        option::weighted(0.95, 0..3_i64),
        option::weighted(0.95, "[ab]"),
        option::of(-4..8_i64),
        1..5_i64,
        any::<bool>(),
    );
    let row = row.prop_map(|(number, text, from, length, is_open)| {
        (number, text, from, (!is_open).then_some(from.unwrap_or(-4) + length))
    });
    vec(row, 0..12)
}

/// Takes rows one by one and leaves out those that would overlap, so that most tables are valid ones.
fn without_overlaps(rows: Vec<Row>) -> Vec<Row> {
    let mut kept: Vec<Row> = Vec::new();
    for row in rows {
        kept.push(row);
        if overlap(&kept) {
            kept.pop();
        }
    }
    kept
}

proptest! {
    #[test]
    fn rows_match_as_the_naive_model_says(
        rows in rows().prop_map(without_overlaps),
        probes in vec((option::weighted(0.95, 0..4_i64), option::weighted(0.95, "[abc]"), -6..14_i64), 0..40),
    ) {
        let validity = Validity { from: Some("from".to_owned()), to: Some("to".to_owned()) };
        let key = ["text".to_owned(), "number".to_owned()];
        let table = ReferenceTable::new("items", &batch(&rows), &key, Some(&validity)).unwrap();
        let texts: ArrayRef = Arc::new(probes.iter().map(|probe| probe.1.as_deref()).collect::<StringArray>());
        let numbers: ArrayRef = Arc::new(probes.iter().map(|probe| probe.0).collect::<Int64Array>());
        let times: Vec<i64> = probes.iter().map(|probe| probe.2).collect();
        let expected: UInt32Array = probes.iter().map(|(number, text, time)| {
            let found = rows.iter().position(|row| same_key(row, *number, text.as_deref()) && holds(row, *time));
            found.map(|row| row as u32)
        }).collect();
        prop_assert_eq!(table.match_rows(&[texts, numbers], &times).unwrap(), expected);
    }

    #[test]
    fn a_table_is_refused_exactly_when_two_rows_of_a_key_hold_at_once(rows in rows()) {
        let validity = Validity { from: Some("from".to_owned()), to: Some("to".to_owned()) };
        let key = ["number".to_owned(), "text".to_owned()];
        let table = ReferenceTable::new("items", &batch(&rows), &key, Some(&validity));
        prop_assert_eq!(table.is_err(), overlap(&rows), "{:?}", table.map(|_| ()));
    }

    #[test]
    fn versions_without_an_end_hold_until_the_next(
        rows in rows(),
        probes in vec((0..4_i64, -6..14_i64), 0..20),
    ) {
        // One version per key and instant, as the table asks for.
        let mut versions: Vec<Row> = Vec::new();
        for row in rows {
            if !versions.iter().any(|other| other.0 == row.0 && other.2 == row.2) {
                versions.push(row);
            }
        }
        let validity = Validity { from: Some("from".to_owned()), to: None };
        let table = ReferenceTable::new("items", &batch(&versions), &["number".to_owned()], Some(&validity)).unwrap();
        let numbers: ArrayRef = Arc::new(probes.iter().map(|probe| Some(probe.0)).collect::<Int64Array>());
        let times: Vec<i64> = probes.iter().map(|probe| probe.1).collect();
        let expected: UInt32Array = probes.iter().map(|(number, time)| {
            let begun = versions.iter().enumerate().filter(|(_, row)| row.0 == Some(*number) && row.2.is_none_or(|from| from <= *time));
            begun.max_by_key(|(_, row)| row.2.unwrap_or(i64::MIN)).map(|(at, _)| at as u32)
        }).collect();
        prop_assert_eq!(table.match_rows(&[numbers], &times).unwrap(), expected);
    }
}
