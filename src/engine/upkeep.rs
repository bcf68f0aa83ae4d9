//! Upkeep of the Delta tables while the pipeline runs: few files, a short log, no rows that are older than wanted.
//!
//! ```text
//!   look, every hour ──▶ facts: files, retention, last upkeep ──▶ due? ──▶ on a thread of its own, one table at a time:
//!                                                                          dates dropped ─▶ small files merged
//!                                                                          ─▶ files removed ─▶ log shortened
//! ```
//!
//! A table is appended to every ten seconds, 8,640 commits a day; without upkeep there would be as many files, and opening
//! it would read as many entries. Upkeep has a handle of its own on the table, not that of the task that appends: merging
//! takes seconds, and rows, and the snapshots that wait for them, must not wait for it. The log puts both in order. An
//! append is never refused because of upkeep, which says nothing about the versions of a writer; upkeep that comes second
//! looks again, and leaves what somebody else has taken away.
//!
//! Upkeep that fails is told once and counted, and tried again at the next look: the pipeline goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::telemetry::{record_history, record_upkeep_failure};
use crate::clock;
use crate::history::{History, HistoryError, HistoryFile};
use crate::pipeline::{Pipeline, kept_schema};

/// From the start to the first look: a restart has other things to do.
const FIRST_LOOK: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);
/// Between two times of upkeep of one table.
const UPKEEP_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Files below this size are merged into files of about this size. As rows in memory they take some ten times as much.
const FILE_BYTES: u64 = 32 << 20;
/// For how long the log says what each commit did: as long as files are there that only older commits list.
const LOG_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// What is known of a table when it is asked whether anything is due.
struct Facts {
    files: Vec<HistoryFile>,
    /// For how long rows are kept; for ever unless given.
    retain: Option<Duration>,
    /// When its upkeep was done last, microseconds since 1970; unknown after a start.
    done: Option<i64>,
}

/// A piece of upkeep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Drop the rows of dates before this one, in days since 1970.
    DropBefore(i32),
    /// Merge small files of dates before this one.
    MergeBefore(i32),
    /// Remove files that no recent commit lists, as of this moment in milliseconds since 1970.
    RemoveFiles(i64),
    /// Remove what was written into the log before this moment, likewise, and is not needed any more.
    ShortenLog(i64),
}

/// What is due at `now`, microseconds since 1970, in the order in which it is to be done.
fn due(facts: &Facts, now: i64) -> Vec<Work> {
    let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    let date = |micros: i64| micros.div_euclid(MICROS_PER_DAY) as i32;
    if facts.done.is_some_and(|done| now.saturating_sub(done) < micros(UPKEEP_EVERY)) {
        return Vec::new();
    }
    let mut work = Vec::new();
    if let Some(retain) = facts.retain {
        let oldest = date(now.saturating_sub(micros(retain)));
        if facts.files.iter().any(|file| file.date.is_some_and(|date| date < oldest)) {
            work.push(Work::DropBefore(oldest));
        }
    }
    let today = date(now);
    let is_small = |file: &HistoryFile| file.bytes < FILE_BYTES && file.date.is_some_and(|date| date < today);
    let small: Vec<Option<i32>> = facts.files.iter().filter(|file| is_small(file)).map(|file| file.date).collect();
    if small.windows(2).any(|pair| pair[0] == pair[1]) {
        work.push(Work::MergeBefore(today));
    }
    work.push(Work::RemoveFiles(now / 1_000));
    work.push(Work::ShortenLog(now.saturating_sub(micros(LOG_KEPT)) / 1_000));
    work
}

/// A table that is kept up.
#[derive(Clone)]
struct UpkeptTable {
    pipeline: Arc<str>,
    folder: PathBuf,
    name: String,
    schema: SchemaRef,
    retain: Option<Duration>,
    done: Option<i64>,
    /// Of the last try.
    failure: Option<String>,
}

/// Keeps the Delta tables of a pipeline up until told to stop; a piece of work that has begun is finished first.
pub(super) fn keep_up(
    pipeline: &Pipeline,
    folder: &Path,
    stop: CancellationToken,
) -> impl Future<Output = Result<(), EngineError>> + use<> {
    let kept = pipeline.tables.iter().filter_map(|table| Some((table, table.history?)));
    let tables = kept.map(|(table, history)| UpkeptTable {
        pipeline: pipeline.name.as_str().into(),
        folder: folder.to_owned(),
        name: table.plan.name().to_owned(),
        schema: kept_schema(table.plan.schema()),
        retain: history.retain,
        done: None,
        failure: None,
    });
    look_after(tables.collect(), stop)
}

async fn look_after(mut tables: Vec<UpkeptTable>, stop: CancellationToken) -> Result<(), EngineError> {
    let mut wait = FIRST_LOOK;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => wait = LOOK_EVERY,
        }
        for table in &mut tables {
            let now = clock::unix_micros();
            let done = table.clone().look(now, stop.clone()).await;
            table.tell(done, now);
        }
    }
}

impl UpkeptTable {
    /// Does what is due, on a thread that may wait: files are read and written.
    async fn look(self, now: i64, stop: CancellationToken) -> Result<Option<usize>, HistoryError> {
        let runtime = Handle::current();
        let done = tokio::task::spawn_blocking(move || runtime.block_on(self.work(now, &stop))).await;
        done.map_err(|error| HistoryError::Stopped(error.to_string()))?
    }

    /// Does what is due; gives how many files the table has then, and nothing where nothing was due, or not all was done.
    async fn work(self, now: i64, stop: &CancellationToken) -> Result<Option<usize>, HistoryError> {
        let mut history = History::open(&self.folder, &self.name, &self.schema).await?;
        let facts = Facts { files: history.files()?, retain: self.retain, done: self.done };
        let work = due(&facts, now);
        for piece in &work {
            if stop.is_cancelled() {
                return Ok(None);
            }
            let count = match *piece {
                Work::DropBefore(date) => history.drop_before(date).await?,
                Work::MergeBefore(date) => history.compact(date, FILE_BYTES, stop).await?.removed,
                Work::RemoveFiles(now) => history.vacuum(now).await?,
                Work::ShortenLog(until) => history.shorten_log(until).await?,
            };
            tracing::debug!(table = self.name, ?piece, count, "upkeep of the history");
        }
        let is_done = !work.is_empty() && !stop.is_cancelled();
        history.refresh().await?;
        Ok(if is_done { Some(history.files()?.len()) } else { None })
    }

    /// Remembers how a look went. An error is told when it is another one than before.
    fn tell(&mut self, outcome: Result<Option<usize>, HistoryError>, now: i64) {
        match outcome {
            Ok(files) => {
                self.failure = None;
                if let Some(files) = files {
                    self.done = Some(now);
                    record_history(&self.pipeline, &self.name, files);
                }
            }
            Err(error) => {
                record_upkeep_failure(&self.pipeline, &self.name);
                let failure = error.to_string();
                if self.failure.as_ref() != Some(&failure) {
                    let folder = self.folder.join(&self.name);
                    tracing::warn!(
                        %error, table = self.name,
                        "no upkeep of the history: its files and its log grow. Rows are still appended, and upkeep is tried \
                         again every hour; see that {} can be written and its disk has room", folder.display()
                    );
                    self.failure = Some(failure);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn file(date: Option<i32>, bytes: u64) -> HistoryFile {
        HistoryFile { date, path: PathBuf::new(), bytes, rows: None }
    }

    /// Its name, the files, the retention, and what is due beside what always is.
    type Case = (&'static str, Vec<HistoryFile>, Option<Duration>, Vec<Work>);

    #[test]
    fn what_is_due_follows_from_the_files_the_retention_and_the_day() {
        // The hundredth day after 1970, one in the afternoon.
        let now = 100 * MICROS_PER_DAY + 13 * 3_600_000_000;
        let rest = [Work::RemoveFiles(8_686_800_000), Work::ShortenLog(8_082_000_000)];
        let (small, large) = (1, FILE_BYTES);
        let cases: [Case; 8] = [
            ("an empty table", vec![], None, vec![]),
            ("a date that is still written", vec![file(Some(100), small), file(Some(100), small)], None, vec![]),
            ("one file of each date", vec![file(Some(98), small), file(Some(99), small)], None, vec![]),
            ("large files", vec![file(Some(99), large), file(Some(99), large)], None, vec![]),
            ("rows without a date", vec![file(None, small), file(None, small)], Some(DAY), vec![]),
            (
                "small files of yesterday",
                vec![file(Some(99), small), file(Some(99), large), file(Some(99), small)],
                None,
                vec![Work::MergeBefore(100)],
            ),
            (
                "a date that ended longer ago than is kept",
                vec![file(Some(69), large), file(Some(70), large)],
                Some(30 * DAY),
                vec![Work::DropBefore(70)],
            ),
            ("a date of which some is kept", vec![file(Some(70), large)], Some(30 * DAY), vec![]),
        ];
        for (case, files, retain, mut expected) in cases {
            expected.extend(rest);
            let mut facts = Facts { files, retain, done: None };
            assert_eq!(due(&facts, now), expected, "{case}");
            facts.done = Some(now - MICROS_PER_DAY);
            assert_eq!(due(&facts, now), expected, "{case}, a day after the last time");
            facts.done = Some(now - MICROS_PER_DAY + 1);
            assert_eq!(due(&facts, now), [], "{case}, sooner");
        }
    }

    fn rows(day: i64, value: i64) -> RecordBatch {
        let start = TimestampMicrosecondArray::from(vec![day * MICROS_PER_DAY]).with_timezone("+00:00");
        let columns: [(&str, ArrayRef); 2] =
            [("window_start", Arc::new(start)), ("n", Arc::new(Int64Array::from(vec![value])))];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn table(folder: &Path, retain: Option<Duration>) -> UpkeptTable {
        UpkeptTable {
            pipeline: "trends".into(),
            folder: folder.to_owned(),
            name: "minute".to_owned(),
            schema: rows(0, 0).schema(),
            retain,
            done: None,
            failure: None,
        }
    }

    fn count(history: &History) -> usize {
        history.rows().unwrap().iter().map(RecordBatch::num_rows).sum()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn upkeep_leaves_few_files_and_the_rows_that_are_kept_and_appends_go_on_once() {
        let folder = tempfile::tempdir().unwrap();
        let upkept = table(folder.path(), Some(30 * DAY));
        let mut history = History::open(&upkept.folder, &upkept.name, &upkept.schema).await.unwrap();
        // Days 60 and 61 are too old on the hundredth; that day itself is still written.
        for version in 0..200 {
            let day = [60, 61, 98, 99, 100][(version % 5) as usize];
            history.append(&[rows(day, version)], "w", version).await.unwrap();
        }
        let now = 100 * MICROS_PER_DAY;
        let stop = CancellationToken::new();
        let meanwhile = [rows(100, 200)];
        let (files, appended) =
            tokio::join!(upkept.clone().look(now, stop.clone()), history.append(&meanwhile, "w", 200));
        assert!(matches!(appended.unwrap(), crate::history::Appended::Committed { .. }));
        assert!(files.unwrap().is_some());
        history.refresh().await.unwrap();
        // One file for each of days 98 and 99, and those of today.
        assert_eq!((history.files().unwrap().len(), count(&history)), (2 + 41, 3 * 40 + 1));
        assert_eq!(history.last_version("w").await.unwrap(), Some(200));
        let again = history.append(&[rows(100, 200)], "w", 200).await.unwrap();
        assert_eq!(again, crate::history::Appended::AlreadyThere { last: 200 });
        history.append(&[rows(100, 201)], "w", 201).await.unwrap();
        assert_eq!(count(&history), 3 * 40 + 2);

        let mut told = upkept;
        told.tell(Ok(Some(43)), now);
        assert_eq!(told.look(now + 1, stop).await.unwrap(), None, "once a day");
    }

    #[tokio::test]
    async fn upkeep_that_fails_is_tried_again_and_nothing_else_happens() {
        let folder = tempfile::tempdir().unwrap();
        let mut upkept = table(&folder.path().join("file"), None);
        std::fs::write(&upkept.folder, "in the way").unwrap();
        let outcome = upkept.clone().look(0, CancellationToken::new()).await;
        assert!(matches!(outcome, Err(HistoryError::File { .. })), "{outcome:?}");
        upkept.tell(outcome, 0);
        assert!(upkept.failure.is_some() && upkept.done.is_none());
        std::fs::remove_file(&upkept.folder).unwrap();
        let outcome = upkept.clone().look(1, CancellationToken::new()).await;
        upkept.tell(outcome, 1);
        assert!(upkept.failure.is_none() && upkept.done == Some(1));
    }

    #[tokio::test]
    async fn upkeep_that_is_told_to_stop_is_not_done() {
        let folder = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        assert_eq!(table(folder.path(), None).look(0, stop.clone()).await.unwrap(), None);
        look_after(vec![table(folder.path(), None)], stop).await.unwrap();
    }
}
