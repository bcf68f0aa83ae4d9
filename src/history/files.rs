//! What the table holds: its files, and their rows.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::compute::kernels::cast_utils::Parser;
use arrow::datatypes::Date32Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::error::HistoryError;
use super::partition::DATE;
use super::table::History;

/// A Parquet file of the table. It has all columns but the date.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryFile {
    /// The date of all its rows, in days since 1970; `None`: rows without a window start.
    pub date: Option<i32>,
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its rows, if the log says so.
    pub rows: Option<u64>,
}

impl History {
    /// The files of the commit that was seen last, by date and path. Files in the folder that are not among them belong to
    /// other commits or to none.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn files(&self) -> Result<Vec<HistoryFile>, HistoryError> {
        let snapshot = self.delta().snapshot().map_err(|error| self.failed(error))?;
        let mut files: Vec<HistoryFile> = snapshot
            .log_data()
            .into_iter()
            .map(|file| {
                let date = file.partition_values_map().remove(DATE).flatten();
                HistoryFile {
                    date: date.and_then(|date| Date32Type::parse(&date)),
                    path: self.path().join(file.path().as_ref()),
                    bytes: u64::try_from(file.size()).unwrap_or_default(),
                    rows: file.num_records().map(|rows| rows as u64),
                }
            })
            .collect();
        files.sort_unstable();
        Ok(files)
    }

    /// All rows of the commit that was seen last, in memory: for tests and small tables. Queries read the
    /// [`files`](Self::files).
    ///
    /// # Errors
    /// When the log or a file can't be read.
    pub fn rows(&self) -> Result<Vec<RecordBatch>, HistoryError> {
        self.read(&self.files()?)
    }

    /// The rows of some files, in the stored schema.
    pub(super) fn read(&self, files: &[HistoryFile]) -> Result<Vec<RecordBatch>, HistoryError> {
        let mut batches = Vec::new();
        for file in files {
            let refuse = |error| HistoryError::Parquet { path: file.path.clone(), error };
            let opened =
                File::open(&file.path).map_err(|error| HistoryError::File { path: file.path.clone(), error })?;
            let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(refuse)?;
            for batch in builder.build().map_err(refuse)? {
                let batch = batch.and_then(|batch| self.dated(&batch, file.date));
                batches.push(batch.map_err(|error| refuse(error.into()))?);
            }
        }
        Ok(batches)
    }

    /// A file's rows with their date.
    fn dated(&self, batch: &RecordBatch, date: Option<i32>) -> Result<RecordBatch, arrow::error::ArrowError> {
        let columns = self.schema().fields().iter().map(|field| match batch.column_by_name(field.name()) {
            Some(column) => cast(column, field.data_type()),
            // Written before there was such a column.
            None if field.name() != DATE => Ok(new_null_array(field.data_type(), batch.num_rows())),
            None => Ok(Arc::new(Date32Array::from(vec![date; batch.num_rows()])) as ArrayRef),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(self.schema()), columns.collect::<Result<_, _>>()?, &options)
    }
}

#[cfg(test)]
mod tests {
    use arrow::compute::concat_batches;
    use arrow::util::pretty::pretty_format_batches;

    use crate::history::testing::{open, rows};

    #[tokio::test]
    async fn rows_come_back_as_they_were_with_their_date() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = open(folder.path()).await.unwrap();
        history.append(&[rows(1, &["b", "c"]), rows(-1, &["a"])], "w", 1).await.unwrap();
        let all = concat_batches(history.schema(), &history.rows().unwrap()).unwrap();
        insta::assert_snapshot!(pretty_format_batches(&[all]).unwrap(), @r"
        +----------------------+------+-------+--------+------------+
        | window_start         | user | count | tags   | date       |
        +----------------------+------+-------+--------+------------+
        | 1969-12-31T00:00:00Z | a    | 0     | [a, x] | 1969-12-31 |
        | 1970-01-02T00:00:00Z | b    | 0     | [b, x] | 1970-01-02 |
        | 1970-01-02T00:00:00Z | c    | 1     | [c, x] | 1970-01-02 |
        +----------------------+------+-------+--------+------------+
        ");
        let files = history.files().unwrap();
        let shown: Vec<_> = files.iter().map(|file| (file.date, file.rows, file.bytes > 0)).collect();
        assert_eq!(shown, [(Some(-1), Some(1), true), (Some(1), Some(2), true)]);
        assert!(files[0].path.starts_with(history.path().join("date=1969-12-31")), "{files:?}");
    }
}
