//! Rows as people and programs read them.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::csv;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json;
use arrow::json::writer::LineDelimited;
use arrow::util::pretty::pretty_format_batches_with_schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::{Answer, QueryError};

/// A way to write rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A box of columns, for people. All rows are held until the last.
    Table,
    /// An array of one object per row, NULL as `null`, times as RFC 3339.
    Json,
    /// One such object per line.
    JsonLines,
    /// A line of names, then one per row: NULL is an empty field, times are RFC 3339, and lists are JSON.
    Csv,
    /// Columns with their types.
    Parquet,
}

impl Format {
    /// What a file of this name holds: `.csv`, `.json`, `.jsonl` or `.ndjson`, `.parquet`.
    pub fn of_file(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// Writes rows to an output, some at a time.
pub struct RowWriter<W: Write + Send> {
    schema: SchemaRef,
    form: Form<W>,
    /// Whether nothing has been written yet.
    is_first: bool,
}

enum Form<W: Write + Send> {
    Table(W, Vec<RecordBatch>),
    Json(W),
    JsonLines(W),
    Csv(W),
    Parquet(Box<ArrowWriter<Watched<W>>>, Failed),
}

/// Why an output took no more.
type Failed = Arc<Mutex<Option<io::Error>>>;

/// An output that remembers why it took no more: what the Parquet library says of that is a text.
struct Watched<W> {
    output: W,
    failed: Failed,
}

impl<W> Watched<W> {
    fn noting<T>(&mut self, act: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        let done = act(&mut self.output);
        if let Err(error) = &done {
            let error = io::Error::new(error.kind(), error.to_string());
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        done
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.noting(|output| output.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.noting(W::flush)
    }
}

impl<W: Write + Send> RowWriter<W> {
    /// For rows of one schema.
    ///
    /// # Errors
    /// For a schema that the format has no form for.
    pub fn new(format: Format, schema: SchemaRef, output: W) -> Result<Self, QueryError> {
        let form = match format {
            Format::Table => Form::Table(output, Vec::new()),
            Format::Json => Form::Json(output),
            Format::JsonLines => Form::JsonLines(output),
            Format::Csv => Form::Csv(output),
            Format::Parquet => {
                let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
                let failed = Failed::default();
                let output = Watched { output, failed: Arc::clone(&failed) };
                let writer = ArrowWriter::try_new(output, Arc::clone(&schema), Some(properties.build()));
                Form::Parquet(Box::new(writer.map_err(|error| of_parquet(&error, &failed))?), failed)
            }
        };
        Ok(Self { schema, form, is_first: true })
    }

    /// Writes rows.
    ///
    /// # Errors
    /// [`QueryError::Write`] when the output takes no more, [`QueryError::Render`] for a type that has no form.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), QueryError> {
        let is_first = std::mem::take(&mut self.is_first);
        match &mut self.form {
            Form::Table(_, batches) => batches.push(rows.clone()),
            Form::Json(output) => {
                let lines = lines(rows)?;
                let separator = if is_first { "[" } else { "," };
                // An object has no line break of its own.
                let objects = lines.trim_end().replace('\n', ",");
                if rows.num_rows() == 0 {
                    self.is_first = is_first;
                } else {
                    output.write_all(separator.as_bytes())?;
                    output.write_all(objects.as_bytes())?;
                }
            }
            Form::JsonLines(output) => output.write_all(lines(rows)?.as_bytes())?,
            Form::Csv(output) => output.write_all(&records(rows, is_first)?)?,
            Form::Parquet(writer, failed) => writer.write(rows).map_err(|error| of_parquet(&error, failed))?,
        }
        Ok(())
    }

    /// Writes what is left, and gives the output back.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn finish(mut self) -> Result<W, QueryError> {
        if self.is_first && matches!(self.form, Form::Csv(_)) {
            self.write(&RecordBatch::new_empty(Arc::clone(&self.schema)))?;
        }
        let mut output = match self.form {
            Form::Table(mut output, batches) => {
                let table = pretty_format_batches_with_schema(self.schema, &batches).map_err(render)?;
                writeln!(output, "{table}")?;
                output
            }
            Form::Json(mut output) => {
                output.write_all(if self.is_first { b"[]\n" } else { b"]\n" })?;
                output
            }
            Form::JsonLines(output) | Form::Csv(output) => output,
            Form::Parquet(writer, failed) => writer.into_inner().map_err(|error| of_parquet(&error, &failed))?.output,
        };
        output.flush()?;
        Ok(output)
    }
}

impl Answer {
    /// The rows as text. That rows were cut off is not in it: see [`Answer::truncated`].
    ///
    /// # Errors
    /// For a type that has no form, and for a format that is no text.
    pub fn render(&self, format: Format) -> Result<String, QueryError> {
        let mut writer = RowWriter::new(format, Arc::clone(&self.schema), Vec::new())?;
        self.batches.iter().try_for_each(|batch| writer.write(batch))?;
        let mut text = String::from_utf8(writer.finish()?).map_err(|error| QueryError::Render(error.to_string()))?;
        if text.ends_with('\n') {
            text.pop();
        }
        Ok(text)
    }
}

/// A line of JSON per row.
fn lines(rows: &RecordBatch) -> Result<String, QueryError> {
    let mut writer = json::WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(rows).and_then(|()| writer.finish()).map_err(render)?;
    String::from_utf8(writer.into_inner()).map_err(|error| QueryError::Render(error.to_string()))
}

/// A line of CSV per row, after one of names where there is none yet.
fn records(rows: &RecordBatch, with_names: bool) -> Result<Vec<u8>, QueryError> {
    let fields = rows.schema_ref().fields().iter();
    let columns: Result<Vec<(&str, ArrayRef)>, QueryError> =
        fields.zip(rows.columns()).map(|(field, column)| Ok((field.name().as_str(), flat(column)?))).collect();
    let rows = RecordBatch::try_from_iter(columns?).map_err(render)?;
    let mut writer = csv::WriterBuilder::new().with_header(with_names).build(Vec::new());
    writer.write(&rows).map_err(render)?;
    Ok(writer.into_inner())
}

/// A column that has one value per row: what has more in it becomes a text, as JSON.
fn flat(column: &ArrayRef) -> Result<ArrayRef, QueryError> {
    if !column.data_type().is_nested() {
        return Ok(Arc::clone(column));
    }
    let lines = lines(&RecordBatch::try_from_iter([("v", Arc::clone(column))]).map_err(render)?)?;
    let values = lines.lines().enumerate().map(|(row, line)| {
        let value = line.strip_prefix("{\"v\":").and_then(|line| line.strip_suffix('}'));
        value.filter(|_| column.is_valid(row))
    });
    Ok(Arc::new(values.collect::<StringArray>()))
}

fn render(error: ArrowError) -> QueryError {
    match error {
        ArrowError::IoError(_, error) => QueryError::Write(error),
        error => QueryError::Render(error.to_string()),
    }
}

fn of_parquet(error: &ParquetError, failed: &Failed) -> QueryError {
    let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (failed, error) {
        (Some(failed), _) => QueryError::Write(failed),
        (None, ParquetError::NYI(what)) => QueryError::NoForm(what.clone()),
        (None, error) => QueryError::Render(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array, ListArray, TimestampMicrosecondArray};
    use arrow::datatypes::Int64Type;
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn answer() -> Answer {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let batch = RecordBatch::try_from_iter([("id", ids), ("name", names)]).expect("a batch");
        Answer { schema: batch.schema(), batches: vec![batch], truncated: false, more: None }
    }

    /// What is hard to write: quotes, line breaks, NULL, times, lists of texts.
    fn hard() -> RecordBatch {
        let texts = [Some("a \"b\",\nc"), None, Some("")];
        let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        let times = TimestampMicrosecondArray::from(vec![Some(1_700_000_000_000_001), None, Some(0)]);
        let times: ArrayRef = Arc::new(times.with_timezone("+00:00"));
        let lists = [Some(vec![Some(1), None]), None, Some(vec![])];
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
        let floats: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![Some(0.1), Some(1e300), None]));
        let columns = [("text", texts, true), ("ts", times, true), ("list", lists, true), ("float", floats, true)];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    /// Written a row at a time, and all at once.
    fn written(format: Format, rows: &RecordBatch) -> Vec<u8> {
        let write = |batches: &[RecordBatch]| {
            let mut writer = RowWriter::new(format, rows.schema(), Vec::new()).unwrap();
            batches.iter().for_each(|batch| writer.write(batch).unwrap());
            writer.finish().unwrap()
        };
        let pieces: Vec<RecordBatch> = (0..rows.num_rows()).map(|row| rows.slice(row, 1)).collect();
        let whole = write(&[rows.slice(0, 0), rows.clone(), rows.slice(0, 0)]);
        if format != Format::Parquet {
            assert_eq!(String::from_utf8(write(&pieces)).unwrap(), String::from_utf8(whole.clone()).unwrap());
        }
        whole
    }

    fn text(format: Format, rows: &RecordBatch) -> String {
        String::from_utf8(written(format, rows)).unwrap()
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
    fn no_rows_are_an_empty_array_an_empty_table_and_a_line_of_names() {
        let empty = Answer { batches: Vec::new(), ..answer() };
        assert_eq!(empty.render(Format::Json).expect("json"), "[]");
        assert_eq!(empty.render(Format::JsonLines).expect("lines"), "");
        assert_eq!(empty.render(Format::Csv).expect("csv"), "id,name");
        assert!(empty.render(Format::Table).expect("a table").contains("| id | name |"));
    }

    #[test]
    fn what_is_hard_to_write_can_be_read_again() {
        insta::assert_snapshot!(text(Format::JsonLines, &hard()), @r#"
        {"text":"a \"b\",\nc","ts":"2023-11-14T22:13:20.000001Z","list":[1,null],"float":0.1}
        {"text":null,"ts":null,"list":null,"float":1.0e300}
        {"text":"","ts":"1970-01-01T00:00:00Z","list":[],"float":null}
        "#);
        insta::assert_snapshot!(text(Format::Csv, &hard()), @r#"
        text,ts,list,float
        "a ""b"",
        c",2023-11-14T22:13:20.000001Z,"[1,null]",0.1
        ,,,1e300
        ,1970-01-01T00:00:00Z,[],
        "#);
        let lines: Result<Vec<serde_json::Value>, _> =
            text(Format::JsonLines, &hard()).lines().map(serde_json::from_str).collect();
        let array: serde_json::Value = serde_json::from_str(&text(Format::Json, &hard())).unwrap();
        assert_eq!(array, serde_json::Value::Array(lines.unwrap()));
    }

    #[test]
    fn parquet_keeps_types_and_values() {
        for rows in [hard(), hard().slice(0, 0)] {
            let file = Bytes::from(written(Format::Parquet, &rows));
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            assert_eq!(reader.schema().fields(), rows.schema().fields());
            let batches: Result<Vec<RecordBatch>, _> = reader.build().unwrap().collect();
            let read = arrow::compute::concat_batches(&rows.schema(), &batches.unwrap()).unwrap();
            assert_eq!(read, rows);
        }
    }

    #[test]
    fn nested_columns_of_csv_are_json_and_their_nulls_are_null() {
        let lists = hard().column(2).clone();
        let flat = flat(&lists).unwrap();
        assert_eq!(flat.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("[1,null]"), None, Some("[]")]);
    }

    #[test]
    fn an_output_that_takes_no_more_is_an_error_of_its_kind() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for format in [Format::Table, Format::Json, Format::JsonLines, Format::Csv, Format::Parquet] {
            let written = RowWriter::new(format, hard().schema(), Full).and_then(|mut writer| {
                writer.write(&hard())?;
                writer.finish().map(|_| ())
            });
            let Err(QueryError::Write(error)) = written else { panic!("{format:?}: {written:?}") };
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
    }

    #[test]
    fn the_name_of_a_file_tells_its_format() {
        let of = |name: &str| Format::of_file(Path::new(name));
        assert_eq!(of("a/b.CSV"), Some(Format::Csv));
        assert_eq!(of("b.ndjson"), Some(Format::JsonLines));
        assert_eq!(of("b.parquet"), Some(Format::Parquet));
        assert_eq!([of("csv"), of("b.txt"), of("")], [None; 3]);
    }
}
