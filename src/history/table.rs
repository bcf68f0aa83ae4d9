//! A history table: opened, or created where there is none.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use deltalake_core::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake_core::kernel::transaction::CommitProperties;
use deltalake_core::kernel::{StructField, StructType};
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError, ensure_table_uri};

use super::conform::conform;
use super::durable::sync;
use super::error::HistoryError;
use super::evolve::{Evolution, evolve};
use super::partition::{DATE, with_date};
use super::stored_type::{differences, stored_schema};

/// How often another process may change the table's columns while we try to.
const TRIES: usize = 4;

/// What the next opening does to a table's columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Those that it is given: in rows from before they are NULL.
    pub(crate) added: Vec<String>,
    /// Those that it keeps, and that rows from now on do not have: there they are NULL.
    pub(crate) unfilled: Vec<String>,
}

/// A Delta table that rows of one schema are appended to. One process may have several handles, and several processes
/// may append, each under a name of its own.
pub struct History {
    name: String,
    path: PathBuf,
    /// The columns of the rows that are appended.
    input: SchemaRef,
    /// The columns of the table, in its order.
    stored: SchemaRef,
    table: DeltaTable,
}

impl History {
    /// Opens the table in `folder/table`, and creates it if there is none. `schema` has the columns of the rows that will be
    /// appended: a `date` (`Date32`) to partition by, or else a `window_start` that it is made of.
    ///
    /// # Errors
    /// For names and types that Delta doesn't have; [`HistoryError::SchemaDiffers`] when the table has columns of other types,
    /// with each of them; when storage fails.
    pub async fn open(folder: &Path, table: &str, schema: &SchemaRef) -> Result<Self, HistoryError> {
        let stored = stored_columns(table, schema)?;
        let path = folder.join(table);
        let refuse = |error| HistoryError::File { path: path.clone(), error };
        fs::create_dir_all(&path).map_err(refuse)?;
        let path = path.canonicalize().map_err(refuse)?;
        let (opened, is_new) = open(&path, table, &stored).await.map_err(|error| delta(table, error))?;
        let mut history = Self { name: table.to_owned(), path, input: Arc::clone(schema), stored, table: opened };
        if is_new {
            sync(&history.path, vec![history.log_file(0)]).await?;
        }
        history.adapt().await?;
        Ok(history)
    }

    /// What [`open`](Self::open) will do to the columns of the table in `folder/table`; nothing where there is none. Nothing is
    /// written.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) async fn changes(folder: &Path, table: &str, schema: &SchemaRef) -> Result<Changes, HistoryError> {
        let wanted = stored_columns(table, schema)?;
        let path = folder.join(table);
        if !path.is_dir() {
            return Ok(Changes::default());
        }
        let path = path.canonicalize().map_err(|error| HistoryError::File { path: path.clone(), error })?;
        let opened = async {
            let mut opened = at(&path)?;
            let is_there = opened.verify_deltatable_existence().await?;
            if is_there {
                opened.load().await?;
            }
            Ok::<_, DeltaTableError>(is_there.then_some(opened))
        };
        let Some(opened) = opened.await.map_err(|error| delta(table, error))? else { return Ok(Changes::default()) };
        let Evolution { added, unfilled, .. } = evolution(table, &path, &opened, &wanted)?;
        Ok(Changes { added: added.iter().map(|field| field.name().clone()).collect(), unfilled })
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

    /// The columns of the table, in its order.
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

    /// Adds the columns that the table lacks.
    async fn adapt(&mut self) -> Result<(), HistoryError> {
        for _ in 0..TRIES {
            let Evolution { columns, added, .. } = evolution(&self.name, &self.path, &self.table, &self.stored)?;
            if added.is_empty() {
                self.stored = columns;
                return Ok(());
            }
            match self.add_columns(&added).await {
                Ok(()) => {
                    let columns: Vec<&str> = added.iter().map(|field| field.name().as_str()).collect();
                    let (table, columns) = (&self.name, columns.join(", "));
                    tracing::info!(table, columns, "the history has new columns: in rows from before they are NULL");
                }
                // Another process may have added them.
                Err(error) => {
                    tracing::debug!(%error, table = self.name, "looking at a history table again");
                    self.refresh().await?;
                }
            }
        }
        let Evolution { columns, added, .. } = evolution(&self.name, &self.path, &self.table, &self.stored)?;
        if !added.is_empty() {
            self.add_columns(&added).await.map_err(|error| self.failed(error))?;
        }
        self.stored = columns;
        Ok(())
    }

    async fn add_columns(&mut self, added: &[FieldRef]) -> Result<(), DeltaTableError> {
        let added = Schema::new(added.to_vec());
        let kernel: StructType = (&added).try_into_kernel()?;
        let fields: Vec<StructField> = kernel.fields().cloned().collect();
        let once = CommitProperties::default().with_max_retries(0).with_cleanup_expired_logs(Some(false));
        let changed = self.table.clone().add_columns().with_fields(fields).with_commit_properties(once).await?;
        self.table = changed;
        let written = vec![self.log_file(self.version())];
        sync(&self.path, written).await.map_err(|error| DeltaTableError::Generic(error.to_string()))
    }
}

/// What becomes of a table's columns.
fn evolution(name: &str, path: &Path, table: &DeltaTable, wanted: &Schema) -> Result<Evolution, HistoryError> {
    let snapshot = table.snapshot().map_err(|error| delta(name, error))?;
    let found: Schema =
        snapshot.schema().as_ref().try_into_arrow().map_err(|error: ArrowError| delta(name, error.into()))?;
    let mut evolved = evolve(&found, wanted);
    let partitions = snapshot.metadata().partition_columns();
    if partitions != [DATE] {
        let difference = format!("it is partitioned by {partitions:?}, not by \"date\"");
        evolved = Err(evolved.err().into_iter().flatten().chain([difference]).collect());
    }
    evolved.map_err(|differences| HistoryError::SchemaDiffers {
        table: name.to_owned(),
        path: path.to_owned(),
        differences,
    })
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
    use arrow::array::{ArrayRef, Float64Array};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{DataType, Field};
    use arrow::util::pretty::pretty_format_batches;

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

    fn with(history: &History, change: impl FnOnce(&mut Vec<FieldRef>)) -> SchemaRef {
        let mut fields: Vec<FieldRef> = history.input.fields().iter().cloned().collect();
        change(&mut fields);
        Arc::new(Schema::new(fields))
    }

    /// A new column stopped the pipeline after it had been claimed.
    #[tokio::test]
    async fn a_new_column_is_added_and_one_that_is_gone_stays_and_both_are_null_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let mut before = open(folder.path()).await.unwrap();
        before.append(&[rows(0, &["a"])], "w", 1).await.unwrap();
        let schema = with(&before, |fields| {
            fields.retain(|field| field.name() != "tags");
            fields.push(Arc::new(Field::new("Spend", DataType::Float64, false)));
        });
        let expected = Changes { added: vec!["Spend".to_owned()], unfilled: vec!["tags".to_owned()] };
        assert_eq!(History::changes(folder.path(), "clicks", &schema).await.unwrap(), expected);
        assert_eq!(History::changes(folder.path(), "others", &schema).await.unwrap(), Changes::default());
        let mut after = History::open(folder.path(), "clicks", &schema).await.unwrap();
        assert_eq!(
            (after.version(), History::changes(folder.path(), "clicks", &schema).await.unwrap().added),
            (2, vec![])
        );
        let batch = rows(0, &["b"]).project(&[0, 1, 2]).unwrap();
        let spend: ArrayRef = Arc::new(Float64Array::from(vec![0.5]));
        let columns = batch.columns().iter().cloned().chain([spend]).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        after.append(&[batch], "w", 2).await.unwrap();
        let shown = |history: &History| {
            let all = concat_batches(history.schema(), &history.rows().unwrap()).unwrap();
            pretty_format_batches(&[all]).unwrap().to_string()
        };
        let both = shown(&after);
        let lines: std::collections::BTreeSet<&str> = both.lines().collect();
        insta::assert_snapshot!(lines.into_iter().collect::<Vec<_>>().join("\n"), @r"
        +----------------------+------+-------+--------+------------+-------+
        | 1970-01-01T00:00:00Z | a    | 0     | [a, x] | 1970-01-01 |       |
        | 1970-01-01T00:00:00Z | b    | 0     |        | 1970-01-01 | 0.5   |
        | window_start         | user | count | tags   | date       | Spend |
        ");
        // Files with other columns become one.
        let compacted = after.compact(1, 1 << 20, &tokio_util::sync::CancellationToken::new()).await.unwrap();
        assert_eq!((compacted.removed, compacted.added), (2, 1));
        assert_eq!(shown(&after).lines().count(), both.lines().count());
        // As it was before: nothing is added, and the new column stays.
        let mut again = open(folder.path()).await.unwrap();
        assert_eq!(
            again.append(&[rows(0, &["c"])], "w", 2).await.unwrap(),
            crate::history::Appended::AlreadyThere { last: 2 }
        );
        again.append(&[rows(0, &["c"])], "w", 3).await.unwrap();
        assert_eq!(texts(&open(folder.path()).await.unwrap()), ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn a_column_of_another_type_is_refused_before_anything_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let history = open(folder.path()).await.unwrap();
        let schema = with(&history, |fields| {
            fields.truncate(2);
            fields.push(Arc::new(Field::new("count", DataType::Utf8, true)));
            fields.push(Arc::new(Field::new("other", DataType::Boolean, true)));
        });
        let told = History::changes(folder.path(), "clicks", &schema).await.unwrap_err();
        let error = History::open(folder.path(), "clicks", &schema).await.unwrap_err();
        assert_eq!(told.to_string(), error.to_string());
        let error = error.to_string().replace(&history.path().display().to_string(), "FOLDER/clicks");
        insta::assert_snapshot!(error, @r#"history table "clicks" has columns of other types: "count" is Utf8 now and Int64 there; cast each to the type that it had, give it another name, or move FOLDER/clicks away to begin a new table"#);
        assert_eq!(open(folder.path()).await.unwrap().version(), 0, "nothing was added either");
        // The order of columns and what a plan knows about NULLs don't matter.
        let fields = history.input.fields().iter().rev().map(|field| field.as_ref().clone().with_nullable(false));
        let reordered = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        assert!(History::open(folder.path(), "clicks", &reordered).await.is_ok());
        let error = History::open(folder.path(), "../clicks", &reordered).await.unwrap_err();
        insta::assert_snapshot!(error, @r#"history table "../clicks" can't have this name: use letters, digits, `_` and `-`"#);
    }
}
