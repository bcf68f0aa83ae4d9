//! An answer as text.

use arrow::error::ArrowError;
use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use arrow::util::pretty::pretty_format_batches_with_schema;

use super::{Answer, QueryError};

/// A way to show an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A box of columns, for people.
    Table,
    /// An array of one object per row, NULL as `null`, times as RFC 3339.
    Json,
}

impl Answer {
    /// The rows as text. That rows were cut off is not in it: see [`Answer::truncated`].
    pub fn render(&self, format: Format) -> Result<String, QueryError> {
        let text = match format {
            Format::Table => {
                pretty_format_batches_with_schema(self.schema.clone(), &self.batches).map(|table| table.to_string())
            }
            Format::Json => self.json(),
        };
        text.map_err(|error| QueryError::Render(error.to_string()))
    }

    fn json(&self) -> Result<String, ArrowError> {
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
        for batch in &self.batches {
            writer.write(batch)?;
        }
        writer.finish()?;
        String::from_utf8(writer.into_inner()).map_err(|error| ArrowError::JsonError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    use super::*;

    fn answer() -> Answer {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let batch = RecordBatch::try_from_iter([("id", ids), ("name", names)]).expect("a batch");
        Answer { schema: batch.schema(), batches: vec![batch], truncated: false }
    }

    #[test]
    fn a_table_has_a_head_and_a_line_per_row() {
        insta::assert_snapshot!(answer().render(Format::Table).expect("a table"), @r"
        +----+------+
        | id | name |
        +----+------+
        | 1  | a    |
        |    | b    |
        +----+------+
        ");
    }

    #[test]
    fn json_keeps_nulls() {
        let text = answer().render(Format::Json).expect("json");
        assert_eq!(text, r#"[{"id":1,"name":"a"},{"id":null,"name":"b"}]"#);
    }

    #[test]
    fn no_rows_are_an_empty_array_and_an_empty_table() {
        let empty = Answer { batches: Vec::new(), ..answer() };
        assert_eq!(empty.render(Format::Json).expect("json"), "[]");
        assert!(empty.render(Format::Table).expect("a table").contains("| id | name |"));
    }
}
