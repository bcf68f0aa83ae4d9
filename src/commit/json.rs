//! Rows and keys as JSON, each row by itself where not all can be written.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::util::display::array_value_to_string;
use bytes::Bytes;

use crate::history::{Holder, misfits, unheld};

/// Why a row can't be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unwritable {
    /// The column; absent where the library did not say.
    pub(super) column: Option<String>,
    /// The value, and what can be written.
    pub(super) reason: String,
}

/// A JSON object per row, or why there is none.
pub(super) fn objects(rows: &RecordBatch) -> Vec<Result<Bytes, Unwritable>> {
    let misfits = misfits(rows, Holder::Json);
    if misfits.is_empty()
        && let Ok(lines) = lines(rows)
    {
        return lines.into_iter().map(Ok).collect();
    }
    let mut misfits = misfits.into_iter().peekable();
    let object = |row| {
        if let Some(misfit) = misfits.next_if(|misfit| misfit.row == row) {
            return Err(Unwritable { column: Some(misfit.column), reason: misfit.reason });
        }
        let failed = |reason: String| Unwritable { column: None, reason };
        match lines(&rows.slice(row, 1)) {
            Ok(mut lines) => lines.pop().ok_or_else(|| failed("the row became nothing".to_owned())),
            Err(error) => Err(failed(error.to_string())),
        }
    };
    (0..rows.num_rows()).map(object).collect()
}

/// A row for people to read, whatever is in it: values that can't be written stand there as numbers or texts.
pub(super) fn readable_row(rows: &RecordBatch, row: usize) -> Bytes {
    let rows = rows.slice(row, 1);
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, values)| {
        let is_written = unheld(values, Holder::Json).is_none() && lines_of("k", Arc::clone(values)).is_ok();
        (field.name(), if is_written { Arc::clone(values) } else { readable(values) }, true)
    });
    let written = RecordBatch::try_from_iter_with_nullable(columns).and_then(|rows| lines(&rows));
    written.ok().and_then(|mut lines| lines.pop()).unwrap_or_default()
}

/// A JSON array of the key's values per row. A value that can't be written is a number or a text, in its own row only: keys are
/// the same however rows were grouped.
pub(super) fn keys(columns: &[ArrayRef], rows: usize) -> Vec<String> {
    let mut keys = vec![String::from("["); rows];
    for (index, column) in columns.iter().enumerate() {
        let lines = match unheld(column, Holder::Json) {
            None => key_lines(column),
            Some(_) => (0..rows).flat_map(|row| key_lines(&column.slice(row, 1))).collect(),
        };
        for (row, key) in keys.iter_mut().enumerate() {
            let line = lines.get(row).map(|line| String::from_utf8_lossy(line)).unwrap_or_default();
            let value = line.strip_prefix("{\"k\":").and_then(|line| line.strip_suffix('}')).unwrap_or("null");
            if index > 0 {
                key.push(',');
            }
            key.push_str(value);
        }
    }
    for key in &mut keys {
        key.push(']');
    }
    keys
}

/// `{"k":...}` per row.
fn key_lines(values: &ArrayRef) -> Vec<Bytes> {
    if unheld(values, Holder::Json).is_none()
        && let Ok(lines) = lines_of("k", Arc::clone(values))
    {
        return lines;
    }
    lines_of("k", readable(values)).unwrap_or_default()
}

/// As integers, or as texts.
fn readable(values: &ArrayRef) -> ArrayRef {
    if let Ok(integers) = cast(values, &DataType::Int64) {
        return integers;
    }
    let texts: Result<StringArray, ArrowError> =
        (0..values.len()).map(|row| array_value_to_string(values, row).map(Some)).collect();
    texts.map_or_else(|_| new_null_array(&DataType::Utf8, values.len()), |texts| Arc::new(texts))
}

fn lines_of(name: &str, values: ArrayRef) -> Result<Vec<Bytes>, ArrowError> {
    lines(&RecordBatch::try_from_iter_with_nullable([(name, values, true)])?)
}

/// A JSON object per row.
fn lines(rows: &RecordBatch) -> Result<Vec<Bytes>, ArrowError> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    let lines = Bytes::from(writer.into_inner());
    // Line breaks in texts are escaped, so these are the ends of rows.
    let mut start = 0;
    let mut found = Vec::with_capacity(rows.num_rows());
    for end in lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(end, _)| end) {
        found.push(lines.slice(start..end));
        start = end + 1;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, TimestampMicrosecondArray};

    use super::*;

    /// The year 10000 was written as a text that begins with "ERROR".
    fn rows() -> RecordBatch {
        let times =
            TimestampMicrosecondArray::from(vec![0, 253_402_300_800_000_000, i64::MAX, 253_402_300_799_999_999]);
        let numbers = Float64Array::from(vec![f64::NAN, 1.0, 2.0, f64::INFINITY]);
        let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
        RecordBatch::try_from_iter([("at", times), ("n", Arc::new(numbers) as ArrayRef)]).unwrap()
    }

    #[test]
    fn a_row_that_cannot_be_written_is_named_and_its_neighbours_are_as_they_were() {
        let rows = rows();
        let found: Vec<String> = objects(&rows)
            .into_iter()
            .map(|object| match object {
                Ok(object) => String::from_utf8(object.to_vec()).unwrap(),
                Err(Unwritable { column, reason }) => format!("{}: {reason}", column.unwrap()),
            })
            .collect();
        insta::assert_snapshot!(found.join("\n"), @r#"
        {"at":"1970-01-01T00:00:00Z","n":null}
        at: 253402300800000000, a Timestamp(µs, "UTC"): times can be of the years 1 to 9999
        at: 9223372036854775807, a Timestamp(µs, "UTC"): times can be of the years 1 to 9999
        {"at":"9999-12-31T23:59:59.999999Z","n":null}
        "#);
        let alone = objects(&rows.slice(0, 1)).swap_remove(0).unwrap();
        assert_eq!(Ok(alone), objects(&rows).swap_remove(0), "alone or beside others");
    }

    #[test]
    fn a_row_that_cannot_be_written_can_be_read_and_keys_stay_apart() {
        let rows = rows();
        assert_eq!(&readable_row(&rows, 2)[..], br#"{"at":9223372036854775807,"n":2.0}"#);
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)]));
        let found = keys(&[ids, Arc::clone(rows.column(0))], 4);
        insta::assert_snapshot!(found.join(" "), @r#"[1,"1970-01-01T00:00:00Z"] [null,253402300800000000] [3,9223372036854775807] [4,"9999-12-31T23:59:59.999999Z"]"#);
    }
}
