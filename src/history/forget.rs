//! What the table gives up: dates that are older than wanted, files that nobody lists, and entries of the log that no
//! reader needs.
//!
//! ```text
//!   date dropped, files merged ──▶ not listed any more ──7 days──▶ file removed
//!   commits ──▶ checkpoint of all that they say ──7 days──▶ their entries removed from the log
//! ```
//!
//! Removing a file is no commit: nothing in the log changes, so no writer can get into the way.

use std::path::PathBuf;

use deltalake_core::operations::vacuum::{Clock, VacuumMode};
use deltalake_core::protocol::DeltaOperation;
use deltalake_core::protocol::checkpoints::{cleanup_expired_logs_for, create_checkpoint};

use super::durable::sync;
use super::error::HistoryError;
use super::files::HistoryFile;
use super::table::History;

/// How often others may commit while we try to.
const TRIES: usize = 8;
/// The days from 4713 BC, where Julian dates begin, to 1970.
const JULIAN_1970: i32 = 2_440_588;

/// A moment that is given: milliseconds since 1970.
#[derive(Debug)]
struct At(i64);

impl Clock for At {
    fn current_timestamp_millis(&self) -> i64 {
        self.0
    }
}

impl History {
    /// Takes the rows of all dates before `date` (days since 1970) out of the table, in one commit; gives how many files
    /// they were in. The files stay until [`vacuum`](Self::vacuum) removes them. Rows without a date stay.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn drop_before(&mut self, date: i32) -> Result<usize, HistoryError> {
        let predicate = format!("date < '{}'", text_of(date));
        for _ in 0..TRIES {
            self.refresh().await?;
            let is_old = |file: &HistoryFile| file.date.is_some_and(|of| of < date);
            let files: Vec<HistoryFile> = self.files()?.into_iter().filter(is_old).collect();
            if files.is_empty() {
                break;
            }
            let operation = DeltaOperation::Delete { predicate: Some(predicate.clone()) };
            if self.commit_next(self.removals(&files, true)?, operation).await? {
                self.refresh().await?;
                return Ok(files.len());
            }
        }
        Ok(0)
    }

    /// Removes files that no commit of the last week lists, as of `now` (milliseconds since 1970): what was merged or
    /// dropped longer ago, and what crashes have left behind. A property `delta.deletedFileRetentionDuration` of the table
    /// stands for another time than a week.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn vacuum(&mut self, now: i64) -> Result<usize, HistoryError> {
        self.refresh().await?;
        let vacuum = self.delta().clone().vacuum().with_mode(VacuumMode::Full).with_dry_run(true);
        let found = vacuum.with_clock(std::sync::Arc::new(At(now))).await;
        let (_, found) = found.map_err(|error| self.failed(error))?;
        let mut removed = 0;
        for file in found.files_deleted {
            let path = self.path().join(file);
            match tokio::fs::remove_file(&path).await {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(HistoryError::File { path, error }),
            }
        }
        Ok(removed)
    }

    /// Writes down what the table holds, so that opening it reads no commit before, and removes entries of the log that
    /// were written before `until` (milliseconds since 1970) and that neither it nor a later commit needs. Gives how many.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn shorten_log(&mut self, until: i64) -> Result<usize, HistoryError> {
        self.refresh().await?;
        let version = self.version();
        create_checkpoint(self.delta(), None).await.map_err(|error| self.failed(error))?;
        let log = self.path().join("_delta_log");
        let written: Vec<PathBuf> = ["_last_checkpoint".to_owned(), format!("{version:020}.checkpoint.parquet")]
            .map(|name| log.join(name))
            .into();
        sync(self.path(), written).await?;
        let store = self.delta().log_store();
        let removed = cleanup_expired_logs_for(version, store.as_ref(), until, None).await;
        removed.map_err(|error| self.failed(error))
    }
}

/// A date as text, `1970-01-01`.
fn text_of(days: i32) -> String {
    time::Date::from_julian_day(days.saturating_add(JULIAN_1970))
        .map_or_else(|_| days.to_string(), |date| date.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{SystemTime, UNIX_EPOCH};

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::history::Appended;
    use crate::history::testing::{open, parquet_files, rows, texts};

    const DAY: i64 = 86_400_000;

    fn now() -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
    }

    fn log_entries(table: &Path) -> usize {
        let log = std::fs::read_dir(table.join("_delta_log")).unwrap().map(Result::unwrap);
        log.filter(|entry| entry.file_name().to_string_lossy().ends_with(".json")).count()
    }

    #[test]
    fn dates_are_written_as_dates() {
        assert_eq!([0, -1, 20_000].map(text_of), ["1970-01-01", "1969-12-31", "2024-10-04"]);
    }

    #[tokio::test]
    async fn files_that_nobody_lists_are_removed_after_a_week() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = open(folder.path()).await.unwrap();
        for version in 0..4 {
            history.append(&[rows(0, &["a"])], "w", version).await.unwrap();
        }
        let before = texts(&history);
        history.write_files(&[rows(0, &["x"])]).await.unwrap();
        history.compact(1, 1 << 20, &CancellationToken::new()).await.unwrap();
        assert_eq!(
            parquet_files(history.path()),
            6,
            "four that were merged, one that a crash left behind, and the new one"
        );
        let version = history.version();
        assert_eq!(history.vacuum(now() + 6 * DAY).await.unwrap(), 0);
        assert_eq!(history.vacuum(now() + 8 * DAY).await.unwrap(), 5);
        assert_eq!((parquet_files(history.path()), history.version()), (1, version));
        assert_eq!(texts(&open(folder.path()).await.unwrap()), before);
    }

    #[tokio::test]
    async fn only_dates_that_are_older_are_dropped_and_versions_stay_known() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = open(folder.path()).await.unwrap();
        for (version, (day, user)) in [(3, "d"), (1, "b"), (2, "c"), (-5, "a")].into_iter().enumerate() {
            history.append(&[rows(day, &[user])], "w", version as i64).await.unwrap();
        }
        assert_eq!(history.drop_before(2).await.unwrap(), 2);
        assert_eq!(texts(&history), ["c", "d"]);
        assert_eq!((history.drop_before(2).await.unwrap(), history.version()), (0, 5), "there is nothing left to drop");
        let mut reopened = open(folder.path()).await.unwrap();
        assert_eq!(
            (texts(&reopened), reopened.last_version("w").await.unwrap()),
            (vec!["c".into(), "d".into()], Some(3))
        );
        assert_eq!(parquet_files(history.path()), 4, "files stay for readers of older commits");
    }

    #[tokio::test]
    async fn a_shorter_log_says_the_same_also_to_a_handle_that_has_slept() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = open(folder.path()).await.unwrap();
        let mut asleep = open(folder.path()).await.unwrap();
        for version in 0..20 {
            history.append(&[rows(0, &["a"])], "w", version).await.unwrap();
        }
        assert_eq!(history.shorten_log(now() - DAY).await.unwrap(), 0, "it is all of today");
        assert_eq!(log_entries(history.path()), 21);
        assert_eq!(history.shorten_log(now() + DAY).await.unwrap(), 20);
        assert_eq!(log_entries(history.path()), 1);
        let again = asleep.append(&[rows(0, &["x"])], "w", 19).await.unwrap();
        assert_eq!(again, Appended::AlreadyThere { last: 19 });
        let next = asleep.append(&[rows(0, &["b"])], "w", 20).await.unwrap();
        assert_eq!(next, Appended::Committed { commit: 21, rows: 1 });
        let next = history.append(&[rows(0, &["c"])], "w", 21).await.unwrap();
        assert_eq!(next, Appended::Committed { commit: 22, rows: 1 });
        assert_eq!(texts(&open(folder.path()).await.unwrap()).len(), 22);
    }
}
