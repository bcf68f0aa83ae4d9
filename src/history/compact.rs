//! Many small files of a closed date become few large ones.
//!
//! A commit that takes files away must be the very next one after what it has seen. The library's own check lets two
//! commits take the same file away where neither changes rows: of two compactions at once, both would put its rows back.

use std::collections::HashSet;
use std::path::PathBuf;

use deltalake_core::DeltaTableError;
use deltalake_core::kernel::Action;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake_core::protocol::DeltaOperation;
use tokio_util::sync::CancellationToken;

use super::durable::sync;
use super::error::HistoryError;
use super::files::HistoryFile;
use super::table::History;

/// How often others may commit while we try to.
const TRIES: usize = 8;
/// Files that are merged at once, at most: so many take a second or so, and whoever stops waits for them.
const MOST_FILES: usize = 1_000;

/// What compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files that are no longer part of the table.
    pub removed: usize,
    /// Files that hold their rows now.
    pub added: usize,
}

impl History {
    /// Merges files below `target_bytes` (as stored) of dates before `closed_before` (days since 1970), group by group of
    /// about that size, one commit each, until all are merged or `stop` is cancelled. No row changes: readers of older
    /// commits keep their files, and so do those who follow the table's changes. A group is in memory while it is merged.
    ///
    /// # Errors
    /// When storage fails. Groups that were committed before stay merged.
    pub async fn compact(
        &mut self,
        closed_before: i32,
        target_bytes: u64,
        stop: &CancellationToken,
    ) -> Result<Compacted, HistoryError> {
        self.refresh().await?;
        let mut compacted = Compacted::default();
        for group in groups(self.files()?, closed_before, target_bytes) {
            if stop.is_cancelled() {
                break;
            }
            if let Some(added) = self.merge(&group, target_bytes).await? {
                compacted.added += added;
                compacted.removed += group.len();
            }
        }
        Ok(compacted)
    }

    /// Puts one file in the place of several of one date; gives how many there are now. Nothing when somebody else has
    /// taken one of them away.
    async fn merge(&mut self, group: &[HistoryFile], target_bytes: u64) -> Result<Option<usize>, HistoryError> {
        let rows = self.read(group)?;
        let mut added = self.write_stored(rows).await?;
        for add in &mut added {
            add.data_change = false;
        }
        let operation = DeltaOperation::Optimize { predicate: None, target_size: target_bytes as i64 };
        for _ in 0..TRIES {
            let mut actions = self.removals(group, false)?;
            if actions.len() < group.len() {
                break;
            }
            actions.extend(added.iter().cloned().map(Action::Add));
            // After an error nobody knows whether the commit is there, and what it lists must stay.
            if self.commit_next(actions, operation.clone()).await? {
                self.refresh().await?;
                return Ok(Some(added.len()));
            }
            self.refresh().await?;
        }
        self.remove(added).await;
        Ok(None)
    }

    /// Takes those of some files away that are part of the table.
    pub(super) fn removals(&self, files: &[HistoryFile], changes_rows: bool) -> Result<Vec<Action>, HistoryError> {
        let snapshot = self.delta().snapshot().map_err(|error| self.failed(error))?;
        let paths: HashSet<&PathBuf> = files.iter().map(|file| &file.path).collect();
        let listed = snapshot.log_data().into_iter();
        let meant = listed.filter(|file| paths.contains(&self.path().join(file.path().as_ref())));
        Ok(meant.map(|file| Action::Remove(file.remove_action(changes_rows))).collect())
    }

    /// Commits right after the commit that was seen last; false when somebody else has.
    pub(super) async fn commit_next(
        &self,
        actions: Vec<Action>,
        operation: DeltaOperation,
    ) -> Result<bool, HistoryError> {
        let snapshot = self.delta().snapshot().map_err(|error| self.failed(error))?;
        let properties = CommitProperties::default().with_max_retries(0).with_cleanup_expired_logs(Some(false));
        let committed = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(snapshot), self.delta().log_store(), operation)
            .await;
        match committed {
            Ok(committed) => {
                sync(self.path(), self.written_by(&committed)).await?;
                Ok(true)
            }
            Err(DeltaTableError::Transaction { source: TransactionError::MaxCommitAttempts(_) }) => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }
}

/// Files of one date that make about one file of the wanted size together, two at least.
pub(super) fn groups(files: Vec<HistoryFile>, closed_before: i32, target_bytes: u64) -> Vec<Vec<HistoryFile>> {
    let small = |file: &HistoryFile| file.bytes < target_bytes && file.date.is_some_and(|date| date < closed_before);
    let mut groups: Vec<Vec<HistoryFile>> = Vec::new();
    let mut bytes = 0;
    for file in files.into_iter().filter(small) {
        match groups.last_mut() {
            Some(group)
                if group.len() < MOST_FILES
                    && group.last().is_some_and(|last| last.date == file.date)
                    && bytes + file.bytes <= target_bytes =>
            {
                bytes += file.bytes;
                group.push(file);
            }
            _ => {
                bytes = file.bytes;
                groups.push(vec![file]);
            }
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Appended;
    use crate::history::testing::{open, parquet_files, rows, texts};

    fn file(date: Option<i32>, bytes: u64) -> HistoryFile {
        HistoryFile { date, path: PathBuf::new(), bytes, rows: None }
    }

    #[test]
    fn groups_are_of_one_closed_date_and_of_the_wanted_size() {
        let files = [(0, 40), (0, 50), (0, 20), (0, 20), (1, 10), (1, 100), (2, 1), (2, 1)];
        let files =
            files.into_iter().map(|(date, bytes)| file(Some(date), bytes)).chain([file(None, 1), file(None, 1)]);
        let groups = groups(files.collect(), 2, 100);
        let sizes: Vec<Vec<u64>> = groups.iter().map(|group| group.iter().map(|file| file.bytes).collect()).collect();
        assert_eq!(sizes, [vec![40, 50], vec![20, 20]]);
    }

    #[tokio::test]
    async fn compaction_leaves_fewer_files_and_the_same_rows_and_versions() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = open(folder.path()).await.unwrap();
        let mut reader = open(folder.path()).await.unwrap();
        for version in 0..6 {
            let text = version.to_string();
            history.append(&[rows(version % 2, &[&text])], "w", version).await.unwrap();
        }
        reader.refresh().await.unwrap();
        let before = texts(&history);
        let compacted = history.compact(1, 1 << 20, &CancellationToken::new()).await.unwrap();
        assert_eq!((compacted, history.files().unwrap().len()), (Compacted { removed: 3, added: 1 }, 4));
        assert_eq!(texts(&history), before);
        assert_eq!(
            history.compact(1, 1 << 20, &CancellationToken::new()).await.unwrap(),
            Compacted::default(),
            "nothing is left to do"
        );
        assert_eq!(texts(&reader), before, "a reader of the commit before finds its files");
        assert_eq!(history.last_version("w").await.unwrap(), Some(5));
        assert_eq!(texts(&open(folder.path()).await.unwrap()), before);
        assert_eq!(parquet_files(history.path()), 7, "what was replaced is there for readers of older commits");
    }

    #[tokio::test]
    async fn compaction_and_appends_do_not_get_into_each_others_way() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut two) = (open(folder.path()).await.unwrap(), open(folder.path()).await.unwrap());
        let mut expected = Vec::new();
        for version in 0..5 {
            let text = version.to_string();
            let batch = [rows(0, &[&text])];
            let stop = CancellationToken::new();
            let (compacted, appended) = tokio::join!(one.compact(1, 1 << 20, &stop), two.append(&batch, "w", version));
            compacted.unwrap();
            appended.unwrap();
            expected.push(text);
        }
        one.compact(1, 1 << 20, &CancellationToken::new()).await.unwrap();
        assert_eq!((texts(&one), one.files().unwrap().len()), (expected, 1));
    }

    #[tokio::test]
    async fn of_several_compactions_at_once_each_row_comes_back_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = open(folder.path()).await.unwrap();
        for version in 0..6 {
            history.append(&[rows(0, &[&version.to_string()])], "w", version).await.unwrap();
        }
        let before = texts(&history);
        let mut handles = Vec::new();
        for _ in 0..4 {
            handles.push(open(folder.path()).await.unwrap());
        }
        let stop = CancellationToken::new();
        let compactions = handles.iter_mut().map(|history| history.compact(1, 1 << 20, &stop));
        let outcomes = futures::future::join_all(compactions).await;
        let merged: usize = outcomes.into_iter().map(|outcome| outcome.unwrap().added).sum();
        history.refresh().await.unwrap();
        assert_eq!((texts(&history), merged), (before, 1));
        assert_eq!(parquet_files(history.path()), 7, "those who came too late have left nothing");
    }

    #[tokio::test]
    async fn compaction_between_two_appends_keeps_each_version_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = open(folder.path()).await.unwrap();
        let mut beside = open(folder.path()).await.unwrap();
        let mut expected = Vec::new();
        for version in 0..200 {
            let text = format!("{version:03}");
            history.append(&[rows(0, &[&text])], "w", version).await.unwrap();
            expected.push(text);
        }
        let compacted = beside.compact(1, 1 << 20, &CancellationToken::new()).await.unwrap();
        assert_eq!(compacted, Compacted { removed: 200, added: 1 });
        assert_eq!(history.last_version("w").await.unwrap(), Some(199));
        let again = history.append(&[rows(0, &["x"])], "w", 199).await.unwrap();
        assert_eq!(again, Appended::AlreadyThere { last: 199 });
        let next = history.append(&[rows(0, &["200"])], "w", 200).await.unwrap();
        assert!(matches!(next, Appended::Committed { rows: 1, .. }), "{next:?}");
        expected.push("200".to_owned());
        assert_eq!((texts(&history), history.files().unwrap().len()), (expected, 2));
    }

    #[tokio::test]
    async fn a_compaction_that_is_told_to_stop_merges_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = open(folder.path()).await.unwrap();
        for version in 0..2 {
            history.append(&[rows(0, &["a"])], "w", version).await.unwrap();
        }
        let stop = CancellationToken::new();
        stop.cancel();
        assert_eq!(history.compact(1, 1 << 20, &stop).await.unwrap(), Compacted::default());
    }

    #[test]
    fn a_group_has_an_end_however_small_its_files_are() {
        let files = (0..2_100).map(|_| file(Some(0), 1)).collect();
        let sizes: Vec<usize> = groups(files, 1, 1 << 20).iter().map(Vec::len).collect();
        assert_eq!(sizes, [1_000, 1_000, 100]);
    }
}
