//! A history table: opened, or created where there is none.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use deltalake_core::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake_core::kernel::transaction::CommitProperties;
use deltalake_core::kernel::{StructField, StructType};
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError, ensure_table_uri};

use super::conform::conform;
use super::durable::sync;
use super::error::HistoryError;
use super::partition::{DATE, with_date};
use super::stored_type::{differences, stored_schema};

/// A Delta table that rows of one schema are appended to. One process may have several handles, and several processes
/// may append, each under a name of its own.
pub struct History {
    name: String,
    path: PathBuf,
    /// The columns of the rows that are appended.
    input: SchemaRef,
    /// The columns of the table, the date last.
    stored: SchemaRef,
    table: DeltaTable,
}

impl History {
    /// Opens the table in `folder/table`, and creates it if there is none. `schema` has the columns of the rows that will be
    /// appended: a `date` (`Date32`) to partition by, or else a `window_start` that it is made of.
    ///
    /// # Errors
    /// For names and types that Delta doesn't have; [`HistoryError::SchemaDiffers`] when the table has other columns, with
    /// each of them; when storage fails.
    pub async fn open(folder: &Path, table: &str, schema: &SchemaRef) -> Result<Self, HistoryError> {
        let stored = stored_columns(table, schema)?;
        let path = folder.join(table);
        let refuse = |error| HistoryError::File { path: path.clone(), error };
        fs::create_dir_all(&path).map_err(refuse)?;
        let path = path.canonicalize().map_err(refuse)?;
        let (opened, is_new) = open(&path, table, &stored).await.map_err(|error| delta(table, error))?;
        let history = Self { name: table.to_owned(), path, input: Arc::clone(schema), stored, table: opened };
        if is_new {
            sync(&history.path, vec![history.log_file(0)]).await?;
        }
        history.check_stored()?;
        Ok(history)
    }

    /// Whether a table of this name can have these columns: to be asked before there is one.
    ///
    /// # Errors
    /// As [`open`](Self::open), for names and types that Delta doesn't have.
    pub(crate) fn check(table: &str, schema: &SchemaRef) -> Result<(), HistoryError> {
        stored_columns(table, schema).map(drop)
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The table's own folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The columns of the table, the date last.
    pub fn schema(&self) -> &SchemaRef {
        &self.stored
    }

    /// The number of the commit that this handle has seen last.
    pub fn version(&self) -> u64 {
        self.table.version().unwrap_or_default()
    }

    /// Looks for commits of others.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn refresh(&mut self) -> Result<(), HistoryError> {
        if let Err(error) = self.table.update_state().await {
            // What was committed since may be in a checkpoint only, its entries gone from the log: the table as it is now
            // says all of it.
            tracing::debug!(%error, table = self.name, "reading a history table anew");
            let reread = async {
                let mut table = at(&self.path)?;
                table.load().await?;
                Ok::<_, DeltaTableError>(table)
            };
            self.table = reread.await.map_err(|error| delta(&self.name, error))?;
        }
        Ok(())
    }

    /// Rows in the stored schema.
    pub(super) fn conform(&self, rows: &RecordBatch) -> Result<RecordBatch, HistoryError> {
        let differences = differences(&self.input, rows.schema_ref());
        if !differences.is_empty() {
            let error = ArrowError::SchemaError(differences.join(", "));
            return Err(HistoryError::Rows { table: self.name.clone(), error });
        }
        conform(rows, &self.stored).map_err(|error| HistoryError::Rows { table: self.name.clone(), error })
    }

    pub(super) fn delta(&self) -> &DeltaTable {
        &self.table
    }

    /// The file of a commit.
    pub(super) fn log_file(&self, version: u64) -> PathBuf {
        self.path.join("_delta_log").join(format!("{version:020}.json"))
    }

    pub(super) fn failed(&self, error: DeltaTableError) -> HistoryError {
        delta(&self.name, error)
    }

    /// Compares the columns that the table has with those that are wanted.
    fn check_stored(&self) -> Result<(), HistoryError> {
        let snapshot = self.table.snapshot().map_err(|error| self.failed(error))?;
        let found: Schema = snapshot.schema().as_ref().try_into_arrow().map_err(|error| self.failed(error.into()))?;
        let mut differences = differences(&found, &self.stored);
        let partitions = snapshot.metadata().partition_columns();
        if partitions != [DATE] {
            differences.push(format!("it is partitioned by {partitions:?}, not by \"date\""));
        }
        if differences.is_empty() {
            return Ok(());
        }
        Err(HistoryError::SchemaDiffers { table: self.name.clone(), path: self.path.clone(), differences })
    }
}

/// The columns of the table that rows of this schema are kept in.
fn stored_columns(table: &str, schema: &SchemaRef) -> Result<SchemaRef, HistoryError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if table.is_empty() || !table.bytes().all(is_plain) {
        return Err(HistoryError::Name { table: table.to_owned() });
    }
    let stored = with_date(table, &stored_schema(table, schema)?)?;
    // What arrow and Delta call alike may still differ in its bounds, such as the digits of a decimal.
    let kernel: Result<StructType, ArrowError> = stored.as_ref().try_into_kernel();
    kernel.map(|_| stored).map_err(|error| delta(table, error.into()))
}

/// The table in a folder that exists, and whether it was created because nobody had.
async fn open(path: &Path, name: &str, stored: &SchemaRef) -> Result<(DeltaTable, bool), DeltaTableError> {
    let mut table = at(path)?;
    if !table.verify_deltatable_existence().await? {
        let kernel: StructType = stored.as_ref().try_into_kernel()?;
        let columns: Vec<StructField> = kernel.fields().cloned().collect();
        // With tries left, the library would put its own columns and a new identity behind somebody else's first commit.
        let once = CommitProperties::default().with_max_retries(0);
        let create = table.create().with_table_name(name).with_columns(columns).with_partition_columns([DATE]);
        match create.with_commit_properties(once).await {
            Ok(created) => return Ok((created, true)),
            // Somebody else was faster.
            Err(error) if !table.verify_deltatable_existence().await? => return Err(error),
            Err(_) => {}
        }
    }
    table.load().await?;
    Ok((table, false))
}

/// The table in a folder, not read yet.
fn at(path: &Path) -> Result<DeltaTable, DeltaTableError> {
    let location = path.to_str().ok_or_else(|| DeltaTableError::InvalidTableLocation(path.display().to_string()))?;
    DeltaTableBuilder::from_url(ensure_table_uri(location)?)?.build()
}

fn delta(table: &str, error: DeltaTableError) -> HistoryError {
    HistoryError::Delta { table: table.to_owned(), error: Box::new(error) }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("path", &self.path).field("version", &self.version()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::*;
    use crate::history::testing::{open, rows, texts};

    #[tokio::test]
    async fn a_table_is_created_once_and_then_opened_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = open(folder.path()).await.unwrap();
        assert_eq!(first.version(), 0);
        first.append(&[rows(0, &["a"])], "w", 1).await.unwrap();
        let second = open(folder.path()).await.unwrap();
        assert_eq!((second.version(), texts(&second)), (1, vec!["a".to_owned()]));
    }

    #[tokio::test]
    async fn processes_that_create_it_at_once_share_one_table() {
        let folder = tempfile::tempdir().unwrap();
        let opened = futures::future::join_all((0..4).map(|_| open(folder.path()))).await;
        for (writer, history) in opened.into_iter().enumerate() {
            let appended = history.unwrap().append(&[rows(0, &["a"])], &writer.to_string(), 1).await;
            assert!(appended.is_ok(), "{appended:?}");
        }
        let history = open(folder.path()).await.unwrap();
        assert_eq!((history.version(), texts(&history).len()), (4, 4));
    }

    #[tokio::test]
    async fn another_schema_is_refused_with_each_difference() {
        let folder = tempfile::tempdir().unwrap();
        let history = open(folder.path()).await.unwrap();
        let mut fields: Vec<_> = history.input.fields().iter().cloned().collect();
        fields.truncate(2);
        fields.push(Arc::new(Field::new("count", DataType::Utf8, true)));
        fields.push(Arc::new(Field::new("other", DataType::Boolean, true)));
        let schema = Arc::new(Schema::new(fields));
        let error = History::open(folder.path(), "clicks", &schema).await.unwrap_err();
        let error = error.to_string().replace(&history.path().display().to_string(), "FOLDER/clicks");
        insta::assert_snapshot!(error, @r#"history table "clicks" has other columns: "tags" (List(Utf8, field: 'element')) is missing, "count" is Utf8, not Int64, "other" (Boolean) is new; restore them, give the table another name, or move FOLDER/clicks away to begin a new one"#);
        // The order of columns and what a plan knows about NULLs don't matter.
        let fields = history.input.fields().iter().rev().map(|field| field.as_ref().clone().with_nullable(false));
        let reordered = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        assert!(History::open(folder.path(), "clicks", &reordered).await.is_ok());
        let error = History::open(folder.path(), "../clicks", &reordered).await.unwrap_err();
        insta::assert_snapshot!(error, @r#"history table "../clicks" can't have this name: use letters, digits, `_` and `-`"#);
    }
}
