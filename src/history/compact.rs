//! Many small files of a closed date become few large ones, and files that nobody lists any more go away.

use std::path::PathBuf;

use deltalake_core::kernel::Action;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::protocol::DeltaOperation;

use super::durable::sync;
use super::error::HistoryError;
use super::files::HistoryFile;
use super::table::History;

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
    /// about that size, one commit each. No row changes: readers of older commits keep their files, and so do those who
    /// follow the table's changes. A group is in memory while it is merged.
    ///
    /// # Errors
    /// When storage fails. Groups that were committed before stay merged.
    pub async fn compact(&mut self, closed_before: i32, target_bytes: u64) -> Result<Compacted, HistoryError> {
        self.refresh().await?;
        let mut compacted = Compacted::default();
        for group in groups(self.files()?, closed_before, target_bytes) {
            compacted.added += self.merge(&group, target_bytes).await?;
            compacted.removed += group.len();
        }
        Ok(compacted)
    }

    /// Removes files that no commit of the last week lists: what compaction replaced, and what crashes left behind.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn vacuum(&mut self) -> Result<usize, HistoryError> {
        self.refresh().await?;
        let vacuumed = self.delta().clone().vacuum().await;
        let (_, metrics) = vacuumed.map_err(|error| self.failed(error))?;
        self.refresh().await?;
        Ok(metrics.files_deleted.len())
    }

    /// Puts one file in the place of several of one date; gives how many there are now.
    async fn merge(&mut self, group: &[HistoryFile], target_bytes: u64) -> Result<usize, HistoryError> {
        let rows = self.read(group)?;
        let mut added = self.write_stored(rows).await?;
        let snapshot = self.delta().snapshot().map_err(|error| self.failed(error))?;
        let is_merged = |path: PathBuf| group.iter().any(|file| file.path == path);
        let replaced = snapshot.log_data().into_iter().filter(|file| is_merged(self.path().join(file.path().as_ref())));
        let mut actions: Vec<Action> = replaced.map(|file| Action::Remove(file.remove_action(false))).collect();
        for add in &mut added {
            add.data_change = false;
        }
        actions.extend(added.iter().cloned().map(Action::Add));
        let operation = DeltaOperation::Optimize { predicate: None, target_size: target_bytes as i64 };
        let committed = CommitBuilder::from(CommitProperties::default())
            .with_actions(actions)
            .build(Some(snapshot), self.delta().log_store(), operation)
            .await;
        let files = added.len();
        match committed {
            Ok(committed) => sync(self.path(), self.written_by(&committed)).await?,
            Err(error) => {
                self.remove(added).await;
                return Err(self.failed(error));
            }
        }
        self.refresh().await?;
        Ok(files)
    }
}

/// Files of one date that make about one file of the wanted size together, two at least.
fn groups(files: Vec<HistoryFile>, closed_before: i32, target_bytes: u64) -> Vec<Vec<HistoryFile>> {
    let small = |file: &HistoryFile| file.bytes < target_bytes && file.date.is_some_and(|date| date < closed_before);
    let mut groups: Vec<Vec<HistoryFile>> = Vec::new();
    let mut bytes = 0;
    for file in files.into_iter().filter(small) {
        match groups.last_mut() {
            Some(group)
                if group.last().is_some_and(|last| last.date == file.date) && bytes + file.bytes <= target_bytes =>
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
        let compacted = history.compact(1, 1 << 20).await.unwrap();
        assert_eq!((compacted, history.files().unwrap().len()), (Compacted { removed: 3, added: 1 }, 4));
        assert_eq!(texts(&history), before);
        assert_eq!(history.compact(1, 1 << 20).await.unwrap(), Compacted::default(), "nothing is left to do");
        assert_eq!(texts(&reader), before, "a reader of the commit before finds its files");
        assert_eq!(history.last_version("w").await.unwrap(), Some(5));
        assert_eq!(texts(&open(folder.path()).await.unwrap()), before);
        assert_eq!((history.vacuum().await.unwrap(), parquet_files(history.path())), (0, 7), "a week is kept");
    }

    #[tokio::test]
    async fn compaction_and_appends_do_not_get_into_each_others_way() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut two) = (open(folder.path()).await.unwrap(), open(folder.path()).await.unwrap());
        let mut expected = Vec::new();
        for version in 0..5 {
            let text = version.to_string();
            let batch = [rows(0, &[&text])];
            let (compacted, appended) = tokio::join!(one.compact(1, 1 << 20), two.append(&batch, "w", version));
            compacted.unwrap();
            appended.unwrap();
            expected.push(text);
        }
        one.compact(1, 1 << 20).await.unwrap();
        assert_eq!((texts(&one), one.files().unwrap().len()), (expected, 1));
    }
}
