//! Appending rows, exactly once per version of a writer.
//!
//! ```text
//!   refresh ─▶ the writer's last version ≥ this one? ── yes ─▶ nothing (files of this attempt are removed)
//!      ▲                   │ no
//!      │                   ▼
//!      │       files written and on the disk, once
//!      │                   │
//!      │                   ▼
//!      └── the same writer won, or files were removed ── commit of files and (writer, version) ── done, on the disk
//! ```
//!
//! A crash before the commit leaves files that nobody lists; [`History::vacuum`](super::History::vacuum) removes them when
//! they are a week old. Commits of other writers don't get into the way: the log takes both, one after the other. Where
//! upkeep removes files beside a commit, deltalake-core 1.1.3 takes that for one that had read them; it has not, and is made
//! again.

use std::path::PathBuf;

use arrow::array::RecordBatch;
use deltalake_core::DeltaTableError;
use deltalake_core::kernel::transaction::{
    CommitBuilder, CommitConflictError, CommitProperties, FinalizedCommit, TransactionError,
};
use deltalake_core::kernel::{Action, Add, Transaction};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::writer::{DeltaWriter, RecordBatchWriter};

use super::durable::sync;
use super::error::HistoryError;
use super::partition::DATE;
use super::table::History;

/// How often another process may append as the same writer while we try to.
const TRIES: usize = 8;

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// The rows are in the table and on the disk.
    Committed {
        /// The number of the commit.
        commit: u64,
        /// How many rows.
        rows: usize,
    },
    /// Nothing was written: this version of the writer, or a later one, is in the table.
    AlreadyThere {
        /// The writer's last version.
        last: i64,
    },
    /// Nothing was written: there were no rows.
    Nothing,
}

impl History {
    /// Appends rows as one commit, unless `version` of `writer` or a later one is in the table. A failed append may be
    /// repeated with the same version, also when its commit was stored and only the answer lost.
    ///
    /// # Errors
    /// For rows of other columns than the table was opened with, or values that don't fit; when storage fails;
    /// [`HistoryError::Contended`] when another process keeps appending as the same writer.
    pub async fn append(&mut self, rows: &[RecordBatch], writer: &str, version: i64) -> Result<Appended, HistoryError> {
        let count = rows.iter().map(RecordBatch::num_rows).sum();
        if count == 0 {
            return Ok(Appended::Nothing);
        }
        let mut files = None;
        for _ in 0..TRIES {
            if let Some(last) = self.last_version(writer).await?
                && last >= version
            {
                self.remove(files.unwrap_or_default()).await;
                return Ok(Appended::AlreadyThere { last });
            }
            let added = match &files {
                Some(added) => added,
                None => files.insert(self.write_files(rows).await?),
            };
            if let Some(commit) = self.commit(added.clone(), writer, version).await? {
                self.refresh().await?;
                return Ok(Appended::Committed { commit, rows: count });
            }
        }
        self.remove(files.unwrap_or_default()).await;
        Err(HistoryError::Contended { table: self.name().to_owned(), writer: writer.to_owned(), version })
    }

    /// The last version that a writer has appended, also in other processes: where it goes on after a restart.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn last_version(&mut self, writer: &str) -> Result<Option<i64>, HistoryError> {
        self.refresh().await?;
        let log = self.delta().log_store();
        let snapshot = self.delta().snapshot().map_err(|error| self.failed(error))?;
        snapshot.transaction_version(log.as_ref(), writer).await.map_err(|error| self.failed(error))
    }

    /// Writes rows into files, one per date, that are not yet part of the table.
    pub(super) async fn write_files(&self, rows: &[RecordBatch]) -> Result<Vec<Add>, HistoryError> {
        let stored: Vec<RecordBatch> = rows.iter().map(|batch| self.conform(batch)).collect::<Result<_, _>>()?;
        self.write_stored(stored).await
    }

    /// As [`write_files`](Self::write_files), for rows in the stored schema.
    pub(super) async fn write_stored(&self, rows: Vec<RecordBatch>) -> Result<Vec<Add>, HistoryError> {
        let refuse = |error| self.failed(error);
        let mut writer = RecordBatchWriter::for_table(self.delta()).map_err(refuse)?;
        for batch in rows {
            writer.write(batch).await.map_err(refuse)?;
        }
        let added = writer.flush().await.map_err(refuse)?;
        let paths: Vec<PathBuf> = added.iter().map(|add| self.path().join(&add.path)).collect();
        sync(self.path(), paths).await?;
        Ok(added)
    }

    /// Makes files part of the table; nothing when the same writer has committed since it was last looked at, or upkeep has.
    async fn commit(&self, files: Vec<Add>, writer: &str, version: i64) -> Result<Option<u64>, HistoryError> {
        let snapshot = self.delta().snapshot().map_err(|error| self.failed(error))?;
        // Otherwise each commit would list the whole log for entries to remove, which upkeep does once a day.
        let properties = CommitProperties::default()
            .with_application_transaction(Transaction::new(writer, version))
            .with_cleanup_expired_logs(Some(false));
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![DATE.to_owned()]),
            predicate: None,
        };
        let committed = CommitBuilder::from(properties)
            .with_actions(files.into_iter().map(Action::Add).collect())
            .build(Some(snapshot), self.delta().log_store(), operation)
            .await;
        match committed {
            Ok(committed) => {
                let commit = committed.version();
                sync(self.path(), self.written_by(&committed)).await?;
                Ok(Some(commit))
            }
            Err(DeltaTableError::Transaction {
                source:
                    TransactionError::CommitConflict(
                        CommitConflictError::ConcurrentTransaction | CommitConflictError::ConcurrentDeleteRead,
                    ),
            }) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// What a commit wrote into the log: itself, and every now and then a checkpoint.
    pub(super) fn written_by(&self, committed: &FinalizedCommit) -> Vec<PathBuf> {
        let mut files = vec![self.log_file(committed.version())];
        if committed.metrics.new_checkpoint_created {
            let checkpoint = format!("{:020}.checkpoint.parquet", committed.version());
            files.extend(["_last_checkpoint", &checkpoint].map(|name| self.path().join("_delta_log").join(name)));
        }
        files
    }

    /// Removes files that did not become part of the table. One that stays is in nobody's way.
    pub(super) async fn remove(&self, files: Vec<Add>) {
        for add in files {
            let path = self.path().join(&add.path);
            if let Err(error) = tokio::fs::remove_file(&path).await {
                tracing::debug!(%error, path = %path.display(), "a history file that is not needed stays");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::testing::{open, parquet_files, rows, texts};

    #[tokio::test]
    async fn the_same_version_again_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = open(folder.path()).await.unwrap();
        assert_eq!(history.last_version("w").await.unwrap(), None);
        let first = history.append(&[rows(0, &["a"]), rows(1, &["b", "c"])], "w", 5).await.unwrap();
        assert_eq!(first, Appended::Committed { commit: 1, rows: 3 });
        for version in [5, 4, i64::MIN] {
            let again = history.append(&[rows(0, &["x"])], "w", version).await.unwrap();
            assert_eq!(again, Appended::AlreadyThere { last: 5 });
        }
        let mut reopened = open(folder.path()).await.unwrap();
        assert_eq!(reopened.append(&[rows(0, &["x"])], "w", 5).await.unwrap(), Appended::AlreadyThere { last: 5 });
        assert_eq!(
            reopened.append(&[rows(0, &["d"])], "w", 6).await.unwrap(),
            Appended::Committed { commit: 2, rows: 1 }
        );
        assert_eq!(history.last_version("w").await.unwrap(), Some(6), "written through another handle");
        assert_eq!(texts(&history), ["a", "b", "c", "d"]);
        assert_eq!(history.append(&[rows(0, &[])], "w", 7).await.unwrap(), Appended::Nothing);
        assert_eq!(history.append(&[], "w", 7).await.unwrap(), Appended::Nothing);
    }

    #[tokio::test]
    async fn files_that_are_removed_beside_an_append_are_in_nobody_s_way() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = open(folder.path()).await.unwrap();
        history.append(&[rows(0, &["old"]), rows(5, &["a"])], "w", 1).await.unwrap();
        let mut upkeep = open(folder.path()).await.unwrap();
        // The moment between looking at the table and the commit.
        let files = history.write_files(&[rows(5, &["b"])]).await.unwrap();
        assert_eq!(upkeep.drop_before(3).await.unwrap(), 1);
        assert_eq!(history.commit(files.clone(), "w", 2).await.unwrap(), None);
        history.refresh().await.unwrap();
        assert!(history.commit(files, "w", 2).await.unwrap().is_some());
        history.refresh().await.unwrap();
        assert_eq!(texts(&history), ["a", "b"]);
    }

    #[test]
    fn an_append_moves_between_threads() {
        fn moves<T: Send>(_: impl FnOnce(&'static mut History) -> T) {}
        moves(|history| history.append(&[], "w", 7));
    }

    #[tokio::test]
    async fn writers_do_not_get_into_each_others_way() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut two) = (open(folder.path()).await.unwrap(), open(folder.path()).await.unwrap());
        for version in 0..4 {
            let (a, b) = ([rows(0, &["a"])], [rows(0, &["b"])]);
            let (first, second) = tokio::join!(one.append(&a, "one", version), two.append(&b, "two", version));
            assert!(matches!(
                (first.unwrap(), second.unwrap()),
                (Appended::Committed { .. }, Appended::Committed { .. })
            ));
        }
        one.refresh().await.unwrap();
        assert_eq!(texts(&one), ["a", "a", "a", "a", "b", "b", "b", "b"]);
    }

    #[tokio::test]
    async fn of_processes_that_append_one_version_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let mut handles = Vec::new();
        for _ in 0..4 {
            handles.push(open(folder.path()).await.unwrap());
        }
        for version in 0..5 {
            let batch = [rows(version, &["a"])];
            let appends = handles.iter_mut().map(|history| history.append(&batch, "w", version));
            let outcomes = futures::future::join_all(appends).await;
            let committed = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Appended::Committed { .. }))).count();
            let others = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Appended::AlreadyThere { .. }))).count();
            assert_eq!((committed, others), (1, 3), "{outcomes:?}");
        }
        let history = open(folder.path()).await.unwrap();
        assert_eq!(texts(&history).len(), 5);
        // Those who lost left nothing behind.
        let files = history.files().unwrap().len();
        assert_eq!(parquet_files(history.path()), files);
    }

    #[tokio::test]
    async fn a_crash_between_files_and_commit_leaves_no_row_visible() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = open(folder.path()).await.unwrap();
        history.append(&[rows(0, &["a"])], "w", 1).await.unwrap();
        let orphans = history.write_files(&[rows(0, &["b", "c"])]).await.unwrap();
        drop(history);

        let mut history = open(folder.path()).await.unwrap();
        assert_eq!((texts(&history), history.version()), (vec!["a".to_owned()], 1));
        assert!(history.path().join(&orphans[0].path).is_file(), "the file itself is there");
        assert_eq!(history.last_version("w").await.unwrap(), Some(1));
        history.append(&[rows(0, &["b", "c"])], "w", 2).await.unwrap();
        assert_eq!(texts(&history), ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn versions_are_known_beyond_a_checkpoint_of_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = open(folder.path()).await.unwrap();
        history.append(&[rows(0, &["a"])], "early", 7).await.unwrap();
        for version in 0..100 {
            history.append(&[rows(0, &["b"])], "w", version).await.unwrap();
        }
        let log = std::fs::read_dir(history.path().join("_delta_log")).unwrap();
        let is_checkpoint = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().contains("checkpoint");
        assert!(log.map(Result::unwrap).any(|entry| is_checkpoint(&entry)), "100 commits make a checkpoint");
        let mut reopened = open(folder.path()).await.unwrap();
        assert_eq!(reopened.last_version("early").await.unwrap(), Some(7));
        assert_eq!(reopened.append(&[rows(0, &["x"])], "w", 99).await.unwrap(), Appended::AlreadyThere { last: 99 });
        assert_eq!(texts(&reopened).len(), 101);
    }

    #[tokio::test]
    async fn rows_of_other_columns_are_refused_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = open(folder.path()).await.unwrap();
        let error = history.append(&[rows(0, &["a"]).project(&[0, 1, 2]).unwrap()], "w", 1).await.unwrap_err();
        insta::assert_snapshot!(error, @r#"rows do not fit history table "clicks": Schema error: "tags" (List(Utf8)) is missing"#);
        assert_eq!((parquet_files(history.path()), history.version()), (0, 0));
    }
}
