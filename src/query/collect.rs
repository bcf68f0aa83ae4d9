//! Rows as they are computed become an answer, or messages that are parts of one.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use bytes::Bytes;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;

use super::{Answer, Limits, QueryError};

/// Rows that are made into messages together: a recursion yields batches of one row, which would each carry a head.
const ROWS: usize = 16_384;

/// Room in a message for what is only known when it is the last.
const SPARE: usize = 64;

/// How an answer becomes messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// What the answer is asked by.
    pub(super) id: u64,
    /// Bytes of a message.
    pub(super) most_bytes: usize,
}

impl Cut {
    /// What the part of this number is asked by. The first is 0, and nobody has to ask for it.
    pub(super) fn more(self, part: usize) -> String {
        format!("{}.{part}", self.id)
    }
}

/// Takes rows until there are enough; the rest is never computed.
pub(super) async fn collect(rows: SendableRecordBatchStream, limits: &Limits) -> Result<Answer, QueryError> {
    let schema = rows.schema();
    let mut batches = Vec::new();
    let truncated = take(rows, limits, |batch| {
        batches.push(batch);
        Ok(())
    });
    let truncated = truncated.await?;
    let rows = concat_batches(&schema, &batches).map_err(|error| failed(error, limits))?;
    Ok(Answer { schema, batches: vec![rows], truncated, more: None })
}

/// The same as messages, of which all but the last say what to ask for the next.
pub(super) async fn collect_parts(
    rows: SendableRecordBatchStream,
    limits: &Limits,
    cut: Cut,
) -> Result<Vec<Bytes>, QueryError> {
    let mut cutter = Cutter::new(rows.schema(), cut, limits);
    let truncated = take(rows, limits, |batch| cutter.add(batch)).await?;
    cutter.finish(truncated)
}

/// Hands on at most as many rows as the limit says, and tells whether there were more.
async fn take(
    mut rows: SendableRecordBatchStream,
    limits: &Limits,
    mut hand_on: impl FnMut(RecordBatch) -> Result<(), QueryError>,
) -> Result<bool, QueryError> {
    let mut room = limits.rows;
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(|error| QueryError::running(&error, limits.memory_bytes))?;
        if batch.num_rows() > room {
            hand_on(batch.slice(0, room))?;
            return Ok(true);
        }
        room -= batch.num_rows();
        hand_on(batch)?;
    }
    Ok(false)
}

fn failed(error: ArrowError, limits: &Limits) -> QueryError {
    QueryError::running(&DataFusionError::from(error), limits.memory_bytes)
}

/// Cuts rows into messages.
struct Cutter<'a> {
    schema: SchemaRef,
    cut: Cut,
    limits: &'a Limits,
    /// Too few yet.
    waiting: Vec<RecordBatch>,
    /// The newest message and its rows: it may be the last.
    newest: Option<(RecordBatch, Vec<u8>)>,
    parts: Vec<Bytes>,
    bytes: usize,
}

impl<'a> Cutter<'a> {
    fn new(schema: SchemaRef, cut: Cut, limits: &'a Limits) -> Self {
        Self { schema, cut, limits, waiting: Vec::new(), newest: None, parts: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, rows: RecordBatch) -> Result<(), QueryError> {
        self.waiting.push(rows);
        let waiting: usize = self.waiting.iter().map(RecordBatch::num_rows).sum();
        if waiting < ROWS { Ok(()) } else { self.encode() }
    }

    fn finish(mut self, truncated: bool) -> Result<Vec<Bytes>, QueryError> {
        if !self.waiting.is_empty() || self.newest.is_none() {
            self.encode()?;
        }
        let batches = self.newest.take().map(|(rows, _)| rows).into_iter().collect();
        let last = Answer { schema: self.schema.clone(), batches, truncated, more: None };
        let last = last.to_ipc(self.cut.most_bytes)?;
        self.keep(last)?;
        Ok(self.parts)
    }

    /// Makes messages of what waits, each as large as may be; those of too many rows are cut again.
    fn encode(&mut self) -> Result<(), QueryError> {
        let waiting = std::mem::take(&mut self.waiting);
        let rows = concat_batches(&self.schema, &waiting).map_err(|error| failed(error, self.limits))?;
        let limit = self.cut.most_bytes.saturating_sub(SPARE);
        let mut open = vec![rows];
        while let Some(rows) = open.pop() {
            let part = self.parts.len() + usize::from(self.newest.is_some());
            let more = Some(self.cut.more(part + 1));
            let answer = Answer { schema: self.schema.clone(), batches: vec![rows.clone()], truncated: false, more };
            let bytes = answer.to_ipc(usize::MAX)?;
            let count = rows.num_rows();
            if bytes.len() <= limit {
                if let Some((_, before)) = self.newest.replace((rows, bytes)) {
                    self.keep(before)?;
                }
            } else if count < 2 {
                return Err(QueryError::RowTooLarge { bytes: bytes.len(), limit });
            } else {
                let pieces = bytes.len() / limit.max(1) + 1;
                let size = count.div_ceil(pieces).clamp(1, count - 1);
                let starts = (0..count).step_by(size).rev();
                open.extend(starts.map(|start| rows.slice(start, size.min(count - start))));
            }
        }
        Ok(())
    }

    fn keep(&mut self, part: Vec<u8>) -> Result<(), QueryError> {
        self.bytes += part.len();
        if self.bytes > self.limits.answer_bytes {
            return Err(QueryError::TooManyParts { limit: self.limits.answer_bytes });
        }
        self.parts.push(part.into());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray};
    use arrow::datatypes::Int64Type;
    use datafusion::physical_plan::memory::MemoryStream;

    use super::*;

    /// Rows of many sizes, with lists and texts.
    fn rows(count: usize) -> RecordBatch {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count as i64));
        let text = |row: usize| (!row.is_multiple_of(7)).then(|| "x".repeat(row * 31 % 97));
        let texts: ArrayRef = Arc::new((0..count).map(text).collect::<StringArray>());
        let list = |row: usize| (!row.is_multiple_of(5)).then(|| (0..row as i64 % 6).map(Some).collect::<Vec<_>>());
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>((0..count).map(list)));
        RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("text", texts, true), ("list", lists, true)])
            .unwrap()
    }

    async fn parts(rows: &RecordBatch, size: usize, limits: &Limits, cut: Cut) -> Result<Vec<Bytes>, QueryError> {
        let starts = (0..rows.num_rows()).step_by(size);
        let batches = starts.map(|start| rows.slice(start, size.min(rows.num_rows() - start))).collect();
        let stream = MemoryStream::try_new(batches, rows.schema(), None).unwrap();
        collect_parts(Box::pin(stream), limits, cut).await
    }

    fn cut(most_bytes: usize) -> Cut {
        Cut { id: 7, most_bytes }
    }

    fn all() -> Limits {
        Limits { rows: usize::MAX, ..Limits::default() }
    }

    #[tokio::test]
    async fn parts_put_together_are_the_rows_and_each_names_the_next() {
        for (count, size, most_bytes) in
            [(0, 1, 4_096), (1, 1, 4_096), (40_000, 8_192, 4_096), (40_000, 1_000, 1 << 20), (20_000, 1, 100_000)]
        {
            let rows = rows(count);
            let messages = parts(&rows, size, &all(), cut(most_bytes)).await.unwrap();
            assert!(messages.iter().all(|message| message.len() <= most_bytes));
            let answers: Vec<Answer> = messages.iter().map(|message| Answer::from_ipc(message).unwrap()).collect();
            for (part, answer) in (1..).zip(&answers) {
                let next = (part < answers.len()).then(|| format!("7.{part}"));
                assert_eq!((&answer.more, answer.truncated), (&next, false));
                assert_eq!(answer.schema, rows.schema());
            }
            let batches: Vec<RecordBatch> = answers.into_iter().flat_map(|answer| answer.batches).collect();
            assert_eq!(concat_batches(&rows.schema(), &batches).unwrap(), rows);
        }
    }

    #[tokio::test]
    async fn messages_are_well_filled() {
        let rows = rows(40_000);
        let whole = Answer { schema: rows.schema(), batches: vec![rows.clone()], truncated: false, more: None };
        let whole = whole.to_ipc(usize::MAX).unwrap().len();
        let count = parts(&rows, 8_192, &all(), cut(64 << 10)).await.unwrap().len();
        assert!(count <= 2 * whole / (64 << 10) + 4, "{count} messages for {whole} bytes");
    }

    #[tokio::test]
    async fn the_last_part_says_that_rows_were_cut_off() {
        let limits = Limits { rows: 100, ..Limits::default() };
        for (count, is_cut) in [(100, false), (101, true), (5_000, true)] {
            let messages = parts(&rows(count), 64, &limits, cut(4_096)).await.unwrap();
            let answers: Vec<Answer> = messages.iter().map(|message| Answer::from_ipc(message).unwrap()).collect();
            assert_eq!(answers.iter().map(Answer::rows).sum::<usize>(), 100);
            let (last, others) = answers.split_last().unwrap();
            assert_eq!((last.truncated, others.iter().any(|part| part.truncated)), (is_cut, false));
        }
    }

    #[tokio::test]
    async fn too_many_bytes_and_too_large_a_row_are_refused_with_advice() {
        let limits = Limits { answer_bytes: 100_000, ..all() };
        let error = parts(&rows(40_000), 8_192, &limits, cut(4_096)).await.unwrap_err();
        let expected = "the answer has more than 100000 bytes: select fewer rows or columns, or group them";
        assert_eq!(error.to_string(), expected);
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a".to_owned(), "x".repeat(10_000)]));
        let row = RecordBatch::try_from_iter([("text", text)]).unwrap();
        let error = parts(&row, 8, &all(), cut(4_096)).await.unwrap_err();
        assert!(matches!(error, QueryError::RowTooLarge { limit: 4_032, bytes: 10_000.. }), "{error}");
    }
}
