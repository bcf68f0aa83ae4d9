//! What matching costs, on demand: `cargo test --release --lib reference::speed -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

use super::{ReferenceTable, Validity};

const ROWS: i64 = 1_000_000;
const PROBES: usize = 8192;

/// Keys in an order that no cache foresees, a tenth of them unknown.
fn probe(round: usize, at: usize) -> i64 {
    ((round * PROBES + at) as i64).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64).rem_euclid(ROWS + ROWS / 10)
}

fn measure(what: &str, table: &ReferenceTable, keys: impl Fn(usize) -> ArrayRef) {
    let times = vec![15; PROBES];
    let batches: Vec<ArrayRef> = (0..100).map(keys).collect();
    let begun = Instant::now();
    let mut matched = 0;
    for keys in &batches {
        let rows = table.match_rows(std::slice::from_ref(keys), &times).unwrap();
        matched += rows.iter().flatten().count();
        table.columns(&rows).unwrap();
    }
    let seconds = begun.elapsed().as_secs_f64();
    let probes = PROBES * batches.len();
    println!("{what}: {:.1} M rows/s matched and gathered, {matched} of {probes} found", probes as f64 / seconds / 1e6);
}

#[test]
#[ignore = "a measurement"]
fn rows_matched_per_second() {
    let price: ArrayRef = Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| row as f64)));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("item-{row}"))));
    let key = ["key".to_owned()];
    let batch =
        |keys: &ArrayRef| RecordBatch::try_from_iter([("key", Arc::clone(keys)), ("price", Arc::clone(&price))]);

    let begun = Instant::now();
    let table = ReferenceTable::new("items", &batch(&numbers).unwrap(), &key, None).unwrap();
    println!("index of {ROWS} rows: {:.2} s", begun.elapsed().as_secs_f64());
    let keys =
        |round: usize| Arc::new(Int64Array::from_iter_values((0..PROBES).map(|at| probe(round, at)))) as ArrayRef;
    measure("integers", &table, keys);

    let table = ReferenceTable::new("items", &batch(&texts).unwrap(), &key, None).unwrap();
    let text_keys = |round: usize| {
        let keys = (0..PROBES).map(|at| format!("item-{}", probe(round, at)));
        Arc::new(StringArray::from_iter_values(keys)) as ArrayRef
    };
    measure("texts", &table, text_keys);

    let versions: ArrayRef = Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row / 4)));
    let from = (0..ROWS).map(|row| row % 4 * 10);
    let from: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(from).with_timezone("+00:00"));
    let batch = RecordBatch::try_from_iter([("key", versions), ("from", from), ("price", Arc::clone(&price))]).unwrap();
    let validity = Validity { from: Some("from".to_owned()), to: None };
    let table = ReferenceTable::new("items", &batch, &key, Some(&validity)).unwrap();
    let keys =
        |round: usize| Arc::new(Int64Array::from_iter_values((0..PROBES).map(|at| probe(round, at) / 4))) as ArrayRef;
    measure("integers with four versions each", &table, keys);
}
