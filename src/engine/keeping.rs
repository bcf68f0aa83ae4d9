//! Emitted rows on their way to Delta tables, each row once, also through a restart.
//!
//! ```text
//!   step ─▶ emissions, position ─▶ buffer of each table ──every 10 s, or 100,000 rows──▶ one commit: rows, position
//! ```
//!
//! The position of the table's stream is the version of the commit; a table over several streams has the sum of their
//! positions. The writer is the pipeline in one history of its streams: where they begin anew, so do versions. Rows wait
//! until the outputs of their steps are committed in the broker: how streams interleaved is recorded up to there. After a
//! restart the rows of steps up to the last version are left out, and the thread of the step sees to it that no step
//! reaches across one.
//!
//! A row that Delta can't hold is left out by itself, and told to whoever makes dead letters of a step: which rows these are
//! follows from the rows alone, so that they are the same when the step is done again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use tokio::sync::{mpsc, oneshot, watch};

use super::EngineError;
use super::telemetry::{Queue, Waiting};
use crate::bus::StreamSequence;
use crate::commit::Position;
use crate::history::{History, HistoryError, Holder, Misfit, misfits};
use crate::pipeline::{EMITTED_AT, Pipeline, StreamIndex, TableIndex, WINDOW_END, WINDOW_START, kept_schema};
use crate::step::Emitted;

/// How long rows wait for others.
const COMMIT_EVERY: Duration = Duration::from_secs(10);
/// How many rows are committed at once, about.
const COMMIT_ROWS: usize = 100_000;
/// Steps that wait.
const QUEUED_STEPS: usize = 16;

/// What the step's thread knows of the Delta tables.
pub(super) struct HistoryQueue {
    rows: mpsc::Sender<Kept>,
    tables: Vec<KeptTable>,
}

/// A table whose rows are kept.
struct KeptTable {
    /// Its index in the pipeline.
    table: TableIndex,
    name: String,
    streams: Vec<StreamIndex>,
    schema: SchemaRef,
    /// The position of the last commit when the pipeline started.
    last: u64,
}

/// What the thread of the step tells the task: [`QUEUED_STEPS`] of these wait at most, each of at most one step, and then the
/// step waits. What the task has taken waits for its commit: see [`COMMIT_EVERY`] and [`COMMIT_ROWS`].
enum Kept {
    Rows(Rows),
    /// Commit all rows so far, and tell.
    Flush(oneshot::Sender<()>),
}

/// Rows of an emission that its Delta table can't hold.
pub(super) struct Unkept {
    /// Which of the step's emissions.
    pub(super) emission: usize,
    pub(super) misfits: Vec<Misfit>,
}

/// Rows of one step.
struct Rows {
    /// Which of the kept tables.
    place: usize,
    batches: Vec<RecordBatch>,
    version: u64,
    /// Where the streams stood after the step.
    position: Position,
}

/// The Delta table of one table, and what waits for it.
struct Buffer {
    history: History,
    batches: Vec<RecordBatch>,
    rows: usize,
    version: u64,
    position: Position,
}

/// Opens the Delta tables of a pipeline, if it has any: what the thread of the step hands rows to, and the task that commits
/// them.
pub(super) async fn open_history(
    pipeline: &Pipeline,
    folder: &Path,
    writer: String,
    settled: watch::Receiver<Position>,
) -> Result<Option<(HistoryQueue, impl Future<Output = Result<(), EngineError>> + use<>)>, EngineError> {
    let (mut tables, mut buffers) = (Vec::new(), Vec::new());
    for (table, plan) in pipeline.tables.iter().enumerate().filter(|(_, plan)| plan.history.is_some()) {
        let schema = kept_schema(plan.plan.schema());
        let mut history = History::open(folder, plan.plan.name(), &schema).await?;
        let last = history.last_version(&writer).await?.map_or(0, |version| version.max(0).cast_unsigned());
        let name = plan.plan.name().to_owned();
        tables.push(KeptTable { table: TableIndex(table), name, streams: plan.streams.clone(), schema, last });
        let position = Position::default();
        buffers.push(Buffer { history, batches: Vec::new(), rows: 0, version: 0, position });
    }
    if tables.is_empty() {
        return Ok(None);
    }
    let (rows, queue) = mpsc::channel(QUEUED_STEPS);
    let waiting = Waiting::of(&pipeline.name, Queue::Rows);
    Ok(Some((HistoryQueue { rows, tables }, keep_all(writer, buffers, settled, queue, waiting))))
}

impl HistoryQueue {
    /// The end of the last commit of a table of `stream`, where it lies at `first` or after it.
    pub(super) fn next_end(&self, stream: StreamIndex, first: StreamSequence) -> Option<StreamSequence> {
        let tables = self.tables.iter().filter(|table| table.streams == [stream] && table.last >= first.0);
        tables.map(|table| StreamSequence(table.last)).min()
    }

    /// Takes the emissions of a step after which the streams stood at `position`, and gives what of them can't be kept;
    /// nothing when the task has ended, whose own error says why.
    ///
    /// # Errors
    /// For rows that have other columns than their table.
    pub(super) fn take(
        &mut self,
        emissions: &[Emitted],
        position: &Position,
    ) -> Result<Option<Vec<Unkept>>, HistoryError> {
        let mut unkept = Vec::new();
        for (place, table) in self.tables.iter().enumerate() {
            let version = table.streams.iter().map(|stream| position.of(*stream).0).sum();
            let of_table = |(_, emission): &(usize, &Emitted)| emission.table == table.table && version > table.last;
            // All of a step at once: a commit must not fall between its batches.
            let mut batches = Vec::new();
            for (index, emission) in emissions.iter().enumerate().filter(of_table) {
                let rows = kept_rows(&table.name, &table.schema, emission)?;
                let misfits = misfits(&rows, Holder::Delta);
                batches.push(without(&table.name, rows, &misfits)?);
                if !misfits.is_empty() {
                    unkept.push(Unkept { emission: index, misfits });
                }
            }
            if batches.is_empty() {
                continue;
            }
            let rows = Kept::Rows(Rows { place, batches, version, position: position.clone() });
            if self.rows.blocking_send(rows).is_err() {
                return Ok(None);
            }
        }
        Ok(Some(unkept))
    }

    /// Asks for everything so far to be committed; the answer comes when it is. Nothing when the task has ended: then rows
    /// may be missing that a snapshot of now would never emit again.
    pub(super) fn flush(&self) -> Option<oneshot::Receiver<()>> {
        let (done, flushed) = oneshot::channel();
        self.rows.blocking_send(Kept::Flush(done)).is_ok().then_some(flushed)
    }
}

/// Commits rows until no more come, the last ones at once.
async fn keep_all(
    writer: String,
    mut buffers: Vec<Buffer>,
    mut settled: watch::Receiver<Position>,
    mut queue: mpsc::Receiver<Kept>,
    waiting: Waiting,
) -> Result<(), EngineError> {
    let mut due = tokio::time::interval(COMMIT_EVERY);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => {
                for buffer in &mut buffers {
                    buffer.commit(&writer, &mut settled).await?;
                }
            }
            kept = queue.recv() => match kept {
                None => break,
                Some(Kept::Flush(done)) => {
                    for buffer in &mut buffers {
                        buffer.commit(&writer, &mut settled).await?;
                    }
                    // The snapshot may have been given up.
                    let _gone = done.send(()).is_err();
                }
                Some(Kept::Rows(rows)) => {
                    waiting.record(queue.len());
                    let Some(buffer) = buffers.get_mut(rows.place) else { continue };
                    buffer.take(rows);
                    if buffer.rows >= COMMIT_ROWS {
                        buffer.commit(&writer, &mut settled).await?;
                    }
                }
            }
        }
    }
    for buffer in &mut buffers {
        buffer.commit(&writer, &mut settled).await?;
    }
    Ok(())
}

impl Buffer {
    fn take(&mut self, rows: Rows) {
        self.rows += rows.batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        self.batches.extend(rows.batches);
        self.version = rows.version;
        self.position = rows.position;
    }

    async fn commit(&mut self, writer: &str, settled: &mut watch::Receiver<Position>) -> Result<(), HistoryError> {
        if self.batches.is_empty() {
            return Ok(());
        }
        // Where nothing is committed any more, these rows are made again after the restart.
        if settled.wait_for(|settled| settled.has_reached(&self.position)).await.is_err() {
            return Ok(());
        }
        let batches = std::mem::take(&mut self.batches);
        self.rows = 0;
        let version = i64::try_from(self.version).unwrap_or(i64::MAX);
        self.history.append(&batches, writer, version).await?;
        Ok(())
    }
}

/// The rows with the columns that say which window they are of and when they were emitted.
fn kept_rows(table: &str, schema: &SchemaRef, emission: &Emitted) -> Result<RecordBatch, HistoryError> {
    let count = emission.rows.num_rows();
    let times =
        |values: Vec<i64>| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(values).with_timezone("+00:00")) };
    let kind = if emission.is_removal { "removed" } else { emission.kind.as_str() };
    let mut columns = emission.rows.columns().to_vec();
    for field in schema.fields().iter().skip(columns.len()) {
        columns.push(match field.name().as_str() {
            WINDOW_START => times(emission.windows.iter().map(|window| window.0).collect()),
            WINDOW_END => times(emission.windows.iter().map(|window| window.1).collect()),
            EMITTED_AT => times(vec![emission.at.micros(); count]),
            _ => Arc::new(StringArray::from(vec![kind; count])),
        });
    }
    let refuse = |error| HistoryError::Rows { table: table.to_owned(), error };
    // What arrow would say has the column's number instead of its name.
    for (field, column) in schema.fields().iter().zip(&columns) {
        let (expected, found) = (field.data_type(), column.data_type());
        if expected != found {
            let difference = format!("column {:?} is {found}, not {expected}", field.name());
            return Err(refuse(ArrowError::SchemaError(difference)));
        }
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(refuse)
}

/// The rows that Delta can hold.
fn without(table: &str, rows: RecordBatch, misfits: &[Misfit]) -> Result<RecordBatch, HistoryError> {
    if misfits.is_empty() {
        return Ok(rows);
    }
    let mut left_out = misfits.iter().map(|misfit| misfit.row).peekable();
    let is_kept: BooleanArray = (0..rows.num_rows()).map(|row| Some(left_out.next_if_eq(&row).is_none())).collect();
    filter_record_batch(&rows, &is_kept).map_err(|error| HistoryError::Rows { table: table.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, UInt64Array};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::time::EventTime;
    use crate::window::EmissionKind;

    fn emission(name: &str, values: ArrayRef) -> Emitted {
        let rows = RecordBatch::try_from_iter_with_nullable([(name, values, true)]).unwrap();
        let windows = vec![(0, 60_000_000); rows.num_rows()];
        let kind = EmissionKind::Final;
        Emitted {
            table: TableIndex(0),
            kind,
            at: EventTime(61_000_000),
            rows,
            keys: Vec::new(),
            windows,
            is_removal: false,
            failed: Vec::new(),
        }
    }

    fn schema() -> SchemaRef {
        kept_schema(&Schema::new(vec![Field::new("views", DataType::Int64, false)]))
    }

    #[test]
    fn rows_are_kept_with_their_window_and_the_watermark() {
        let rows = kept_rows("minute", &schema(), &emission("views", Arc::new(Int64Array::from(vec![3, 4])))).unwrap();
        let shown = arrow::util::pretty::pretty_format_batches(&[rows]).unwrap().to_string();
        let line = "| 3     | 1970-01-01T00:00:00Z | 1970-01-01T00:01:00Z | final    | 1970-01-01T00:01:01Z |";
        assert!(shown.contains(line), "{shown}");
    }

    #[test]
    fn rows_that_do_not_fit_are_refused_with_table_and_column() {
        let texts = emission("views", Arc::new(StringArray::from(vec!["3"])));
        let error = kept_rows("minute", &schema(), &texts).unwrap_err();
        insta::assert_snapshot!(error, @r#"rows do not fit history table "minute": Schema error: column "views" is Utf8, not Int64"#);
        let nothing = emission("views", Arc::new(Int64Array::from(vec![None])));
        assert_eq!(kept_rows("minute", &schema(), &nothing).unwrap().num_rows(), 1, "whatever the plan knows of NULLs");
    }

    /// One count above the largest integer of Delta ended the worker, at each start.
    #[tokio::test]
    async fn a_row_that_delta_cannot_hold_is_left_out_and_named_and_its_neighbours_are_appended() {
        let folder = tempfile::tempdir().unwrap();
        let schema = kept_schema(&Schema::new(vec![Field::new("hash", DataType::UInt64, false)]));
        let mut delta = History::open(folder.path(), "minute", &schema).await.unwrap();
        let table = KeptTable {
            table: TableIndex(0),
            name: "minute".to_owned(),
            streams: vec![StreamIndex(0)],
            schema,
            last: 0,
        };
        let (rows, mut queue) = mpsc::channel(2);
        let mut history = HistoryQueue { rows, tables: vec![table] };
        let mut position = Position::start(["clicks"].into_iter());
        position.advance(StreamIndex(0), StreamSequence(7));
        let values = [1, i64::MAX as u64, u64::MAX, 2];
        let emissions = [emission("hash", Arc::new(UInt64Array::from(values.to_vec())))];
        let task = tokio::task::spawn_blocking(move || history.take(&emissions, &position));
        let Some(Kept::Rows(Rows { batches, .. })) = queue.recv().await else { panic!("no rows") };
        let unkept = task.await.unwrap().unwrap().unwrap();
        let misfits: Vec<_> = unkept.iter().flat_map(|unkept| &unkept.misfits).collect();
        let named: Vec<_> = misfits.iter().map(|misfit| (misfit.row, misfit.column.as_str())).collect();
        assert_eq!((unkept.len(), named), (1, vec![(2, "hash")]));
        delta.append(&batches, "w", 7).await.unwrap();
        let kept: usize = delta.rows().unwrap().iter().map(RecordBatch::num_rows).sum();
        assert_eq!(kept, values.len() - 1);
    }

    #[test]
    fn a_step_is_refused_by_the_rows_and_ends_quietly_where_the_task_has_ended() {
        let table = KeptTable {
            table: TableIndex(0),
            name: "minute".to_owned(),
            streams: vec![StreamIndex(0)],
            schema: schema(),
            last: 0,
        };
        let (rows, queue) = mpsc::channel(1);
        let mut history = HistoryQueue { rows, tables: vec![table] };
        let mut position = Position::start(["clicks"].into_iter());
        position.advance(StreamIndex(0), StreamSequence(7));
        let wrong = emission("views", Arc::new(StringArray::from(vec!["3"])));
        assert!(matches!(history.take(&[wrong], &position), Err(HistoryError::Rows { .. })));
        drop(queue);
        let right = emission("views", Arc::new(Int64Array::from(vec![3])));
        assert!(history.take(&[right], &position).unwrap().is_none(), "the task's own error is what is told");
        assert!(history.flush().is_none(), "nobody can say that the rows are kept");
    }
}
