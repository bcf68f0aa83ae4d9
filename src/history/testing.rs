//! A table and rows for the tests of this module.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, ListArray, ListBuilder, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::datatypes::SchemaRef;

use super::{History, HistoryError};

/// The table `clicks` of a folder.
pub(super) async fn open(folder: &Path) -> Result<History, HistoryError> {
    History::open(folder, "clicks", &schema()).await
}

fn schema() -> SchemaRef {
    rows(0, &[]).schema()
}

/// One row per user, all in a window that starts with a day.
pub(super) fn rows(day: i64, users: &[&str]) -> RecordBatch {
    let starts = TimestampMicrosecondArray::from(vec![day * 86_400_000_000; users.len()]).with_timezone("+00:00");
    let columns: [(&str, ArrayRef); 4] = [
        ("window_start", Arc::new(starts)),
        ("user", Arc::new(StringArray::from(users.to_vec()))),
        ("count", Arc::new(UInt32Array::from_iter_values(0..users.len() as u32))),
        ("tags", Arc::new(tags(users))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn tags(users: &[&str]) -> ListArray {
    let mut tags = ListBuilder::new(StringBuilder::new());
    for user in users {
        tags.append_value([Some(*user), Some("x")]);
    }
    tags.finish()
}

/// The users of all rows, in their order.
pub(super) fn texts(history: &History) -> Vec<String> {
    let batches = history.rows().unwrap();
    let users = batches.iter().flat_map(|batch| batch.column_by_name("user").unwrap().as_string::<i32>().iter());
    let mut users: Vec<String> = users.flatten().map(str::to_owned).collect();
    users.sort_unstable();
    users
}

/// How many data files are in the table's folder, whether they are part of the table or not.
pub(super) fn parquet_files(table: &Path) -> usize {
    let folders = std::fs::read_dir(table).unwrap().map(Result::unwrap);
    let dates = folders.filter(|entry| entry.file_name().to_string_lossy().starts_with("date="));
    dates.map(|entry| std::fs::read_dir(entry.path()).unwrap().count()).sum()
}
