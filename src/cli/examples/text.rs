//! Rows as lines of text: CSV, or an object a line.

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// The names of the columns as a line of CSV.
pub(super) fn csv_head(schema: &Schema) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(schema.fields().iter().map(|field| field.name()))?;
    writer.into_inner().context("a line of names")
}

/// Rows as lines of CSV: what is not known is empty, and a list is written as in JSON.
pub(super) fn csv_lines(rows: &RecordBatch) -> anyhow::Result<Vec<u8>> {
    let options = FormatOptions::default().with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.6fZ"));
    let columns: Vec<ArrayFormatter<'_>> =
        rows.columns().iter().map(|column| ArrayFormatter::try_new(column, &options)).collect::<Result<_, _>>()?;
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in 0..rows.num_rows() {
        for column in &columns {
            writer.write_field(column.value(row).try_to_string()?)?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    writer.into_inner().context("lines of CSV")
}

/// Rows as objects, one a line; what is not known is null.
pub(super) fn json_lines(rows: &RecordBatch) -> anyhow::Result<Vec<u8>> {
    let builder = arrow_json::WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = builder.build::<_, arrow_json::writer::LineDelimited>(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float32Array, Int64Array, ListArray, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn rows() -> RecordBatch {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), Some(2)]), Some(vec![])]);
        let times = TimestampMicrosecondArray::from(vec![1_700_000_000_000_001, 0]).with_timezone("UTC");
        let columns: [(&str, ArrayRef); 5] = [
            ("request_id", Arc::new(StringArray::from(vec![Some("a,\"b\""), None]))),
            ("user_id", Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None]))),
            ("shown_at", Arc::new(times)),
            ("price", Arc::new(Float32Array::from(vec![0.1, -3.0]))),
            ("recent", Arc::new(lists)),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn csv_has_a_line_of_names_and_nothing_where_nothing_is_known() {
        let head = csv_head(rows().schema_ref()).unwrap();
        let text = String::from_utf8([head, csv_lines(&rows()).unwrap()].concat()).unwrap();
        insta::assert_snapshot!(text, @r#"
        request_id,user_id,shown_at,price,recent
        "a,""b""",9007199254740993,2023-11-14T22:13:20.000001Z,0.1,"[1, 2]"
        ,,1970-01-01T00:00:00.000000Z,-3.0,[]
        "#);
    }

    #[test]
    fn an_object_has_every_column() {
        let text = String::from_utf8(json_lines(&rows()).unwrap()).unwrap();
        insta::assert_snapshot!(text, @r#"
        {"request_id":"a,\"b\"","user_id":9007199254740993,"shown_at":"2023-11-14T22:13:20.000001Z","price":0.1,"recent":[1,2]}
        {"request_id":null,"user_id":null,"shown_at":"1970-01-01T00:00:00Z","price":-3.0,"recent":[]}
        "#);
    }
}
