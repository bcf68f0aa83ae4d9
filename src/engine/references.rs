//! Reference tables while the pipeline runs: read at the start, and again when they change.
//!
//! A table takes effect between two steps, when it has been read; no stream records when that was. So a state that is
//! rebuilt after a restart joins old events with the tables of today, unless validity times say which row held then.
//!
//! A row that can't be used costs nothing but itself where a table changes, and in a bucket also at the start: it is named in
//! the log when it is first left out, and counted for as long as it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::EngineError;
use super::telemetry::record_bad_rows;
use crate::bus::{Bus, BusError};
use crate::pipeline::{ReferencePlan, ReferenceSource};
use crate::reference::{BadRows, ReferenceBucket, ReferenceError, ReferenceFile, ReferenceTable};

/// A reference table of a running pipeline.
pub(super) struct OpenReference {
    pipeline: String,
    /// How often a file is looked at.
    refresh: Duration,
    source: OpenSource,
    /// The rows that were left out when they were last spoken of.
    bad_rows: BadRows,
}

/// Where it is read from.
#[expect(clippy::large_enum_variant, reason = "there are a few of them, and each holds far more on the heap")]
enum OpenSource {
    File(ReferenceFile),
    Bucket(ReferenceBucket),
}

impl OpenReference {
    /// Reads a table.
    pub(super) async fn open(pipeline: &str, plan: &ReferencePlan, bus: &Bus) -> Result<Self, EngineError> {
        let spec = plan.spec.clone();
        let source = match &plan.source {
            ReferenceSource::File(path) => {
                let path = path.clone();
                let opened = tokio::task::spawn_blocking(move || ReferenceFile::open(spec, &path)).await;
                OpenSource::File(opened.map_err(|_| EngineError::Thread("reference"))??)
            }
            ReferenceSource::Bucket(bucket) => {
                OpenSource::Bucket(ReferenceBucket::open(spec, bus, bucket, None).await?)
            }
        };
        let (pipeline, bad_rows) = (pipeline.to_owned(), BadRows::default());
        let mut reference = Self { pipeline, refresh: plan.refresh, source, bad_rows };
        reference.report_bad_rows();
        Ok(reference)
    }

    /// The table in force.
    pub(super) fn table(&self) -> Arc<ReferenceTable> {
        match &self.source {
            OpenSource::File(file) => Arc::clone(file.table()),
            OpenSource::Bucket(bucket) => Arc::clone(bucket.table()),
        }
    }

    /// Waits for the next state of the table.
    async fn next(mut self) -> Result<(Self, Looked), EngineError> {
        let (source, looked) = match self.source {
            OpenSource::File(mut file) => {
                tokio::time::sleep(self.refresh).await;
                // A large file takes a while to read: that must not hold up an async thread.
                let looked = tokio::task::spawn_blocking(move || {
                    let looked = file.changed();
                    (file, looked)
                });
                let (file, looked) = looked.await.map_err(|_| EngineError::Thread("reference"))?;
                (OpenSource::File(file), looked)
            }
            OpenSource::Bucket(mut bucket) => {
                let next = bucket.next().await;
                (OpenSource::Bucket(bucket), next.map(Some))
            }
        };
        self.source = source;
        Ok((self, looked))
    }

    /// Names the rows that are left out of the table in force and were not before, and counts all.
    fn report_bad_rows(&mut self) {
        let table = self.table();
        let (now, name) = (table.bad_rows(), table.name());
        for row in now.named().iter().filter(|row| !self.bad_rows.named().contains(row)) {
            tracing::error!(reference = name, %row, "a row of a reference table is left out: mend it, or remove it");
        }
        let others = now.count().saturating_sub(now.named().len() as u64);
        if others > 0 {
            tracing::error!(reference = name, others, "more rows of a reference table are left out");
        }
        record_bad_rows(&self.pipeline, name, now.count());
        self.bad_rows = now.clone();
    }
}

/// What has become of a table.
type Looked = Result<Option<Arc<ReferenceTable>>, ReferenceError>;

/// Hands changed tables on until told to stop. What cannot be used is reported, and leaves the old table in force.
pub(super) async fn follow_reference<T>(
    mut reference: OpenReference,
    inputs: mpsc::Sender<T>,
    wrap: impl Fn(Arc<ReferenceTable>) -> T,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    loop {
        let (kept, looked) = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            next = reference.next() => next?,
        };
        reference = kept;
        match looked {
            Ok(Some(table)) => {
                tracing::info!(reference = table.name(), rows = table.rows(), "reference table changed");
                reference.report_bad_rows();
                if inputs.send(wrap(table)).await.is_err() {
                    return Ok(());
                }
            }
            Ok(None) => {}
            Err(ReferenceError::Bus(error)) if !matches!(error, BusError::BucketTooLarge { .. }) => {
                return Err(ReferenceError::from(error).into());
            }
            Err(error) => tracing::error!(%error, "a changed reference table can't be used: the old one stays"),
        }
    }
}
