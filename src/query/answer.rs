//! The rows of an answer, and its way over the bus.

use std::collections::HashSet;
use std::panic::catch_unwind;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;

use super::QueryError;

/// Key in the schema's metadata that travels with an answer that was cut off.
const TRUNCATED: &str = "tidewheel.truncated";

/// Key in the schema's metadata that travels with a part of an answer, with what to ask for the next one.
const MORE: &str = "tidewheel.more";

/// What a statement returned, or a part of that.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Names and types of the columns; no name appears twice.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// Whether there were more rows than [`Limits::rows`](super::Limits::rows).
    pub truncated: bool,
    /// What [`Question::More`](super::Question::More) has to say for the next part, if there is one.
    pub more: Option<String>,
}

impl Answer {
    /// How many rows there are.
    #[cfg(test)]
    pub(super) fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The answer as an Arrow IPC stream, for one message of at most `max_bytes`.
    pub fn to_ipc(&self, max_bytes: usize) -> Result<Vec<u8>, QueryError> {
        let bytes = self.write().map_err(|error| QueryError::Render(error.to_string()))?;
        if bytes.len() > max_bytes {
            return Err(QueryError::AnswerTooLarge { bytes: bytes.len(), limit: max_bytes });
        }
        Ok(bytes)
    }

    /// The answer that [`Answer::to_ipc`] wrote.
    pub fn from_ipc(bytes: &[u8]) -> Result<Self, QueryError> {
        // The reader panics on some kinds of broken metadata, and the bytes are a stranger's.
        match catch_unwind(|| Self::read(bytes)) {
            Ok(answer) => answer.map_err(|error| QueryError::Unreadable(error.to_string())),
            Err(_) => Err(QueryError::Unreadable("its metadata is broken".into())),
        }
    }

    /// The first name that two columns share, if any: formats keyed by name would lose one of them.
    pub(super) fn repeated_column(schema: &Schema) -> Option<&str> {
        let mut seen = HashSet::new();
        schema.fields().iter().map(|field| field.name().as_str()).find(|name| !seen.insert(*name))
    }

    fn write(&self) -> Result<Vec<u8>, ArrowError> {
        let mut metadata = self.schema.metadata().clone();
        if self.truncated {
            metadata.insert(TRUNCATED.to_owned(), "true".to_owned());
        }
        if let Some(more) = &self.more {
            metadata.insert(MORE.to_owned(), more.clone());
        }
        let schema = Arc::new(Schema::new_with_metadata(self.schema.fields().clone(), metadata));
        let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
        for batch in &self.batches {
            writer.write(&rebuild(batch, &schema, compact)?)?;
        }
        writer.into_inner()
    }

    /// Copies only bytes that are there: lengths in the metadata cannot make it allocate.
    fn read(bytes: &[u8]) -> Result<Self, ArrowError> {
        let mut decoder = StreamDecoder::new();
        let mut rest = Buffer::from(bytes.to_vec());
        let mut batches = Vec::new();
        while !rest.is_empty() {
            batches.extend(decoder.decode(&mut rest)?);
        }
        decoder.finish()?;
        let Some(written) = decoder.schema() else {
            return Err(ArrowError::IpcError("there is no schema".into()));
        };
        let mut metadata = written.metadata().clone();
        let (truncated, more) = (metadata.remove(TRUNCATED).is_some(), metadata.remove(MORE));
        let schema = Arc::new(Schema::new_with_metadata(written.fields().clone(), metadata));
        let batches: Result<Vec<_>, _> = batches.iter().map(|batch| rebuild(batch, &schema, Arc::clone)).collect();
        Ok(Self { schema, batches: batches?, truncated, more })
    }
}

/// The rows under another schema of the same types, each column passed through `column`.
fn rebuild(
    batch: &RecordBatch,
    schema: &SchemaRef,
    column: fn(&ArrayRef) -> ArrayRef,
) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

/// A view column keeps all text that it was cut from, and would send it.
fn compact(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        _ => Arc::clone(column),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringViewArray};

    use super::*;

    fn answer(truncated: bool) -> Answer {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let names: ArrayRef = Arc::new(StringViewArray::from(vec!["a name longer than twelve bytes", "b"]));
        let batch = RecordBatch::try_from_iter([("id", ids), ("name", names)]).expect("a batch");
        Answer { schema: batch.schema(), batches: vec![batch], truncated, more: None }
    }

    #[test]
    fn an_answer_survives_its_way() {
        let part = Answer { more: Some("7.1".to_owned()), ..answer(false) };
        for sent in [answer(true), answer(false), part] {
            let bytes = sent.to_ipc(1 << 20).expect("bytes");
            assert_eq!(Answer::from_ipc(&bytes).expect("an answer"), sent);
        }
    }

    #[test]
    fn an_answer_without_rows_keeps_its_columns() {
        let sent = Answer { batches: Vec::new(), ..answer(false) };
        let received = Answer::from_ipc(&sent.to_ipc(1 << 20).expect("bytes")).expect("an answer");
        assert_eq!((received.rows(), received.schema), (0, sent.schema));
    }

    #[test]
    fn a_large_answer_is_refused_with_advice() {
        let error = answer(false).to_ipc(100).expect_err("too large");
        let advice = "the limit of a message is 100: select fewer rows or columns, or ask for parts";
        assert!(error.to_string().ends_with(advice), "{error}");
    }

    #[test]
    fn text_that_was_cut_away_is_not_sent() {
        let long = vec!["a text that does not fit into the view itself"; 10_000];
        let names: ArrayRef = Arc::new(StringViewArray::from(long));
        let batch = RecordBatch::try_from_iter([("name", names)]).expect("a batch").slice(0, 1);
        let answer = Answer { batches: vec![batch], ..answer(true) };
        let answer = Answer { schema: answer.batches[0].schema(), ..answer };
        answer.to_ipc(2_000).expect("one row");
    }

    #[test]
    fn other_bytes_are_an_error() {
        let whole = answer(false).to_ipc(1 << 20).expect("bytes");
        for bytes in [&b""[..], b"{\"error\":\"no\"}", &whole[..whole.len() / 2]] {
            assert!(matches!(Answer::from_ipc(bytes), Err(QueryError::Unreadable(_))));
        }
    }
}
