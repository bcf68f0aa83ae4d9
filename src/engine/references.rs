//! Reference tables while the pipeline runs: read at the start, and again when they change.
//!
//! A table takes effect between two steps, when it has been read; no stream records when that was. So a state that is
//! rebuilt after a restart joins old events with the tables of today, unless validity times say which row held then.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::EngineError;
use crate::bus::Bus;
use crate::pipeline::{ReferencePlan, ReferenceSource};
use crate::reference::{ReferenceBucket, ReferenceError, ReferenceFile, ReferenceTable};

/// The source of a reference table, read.
#[expect(clippy::large_enum_variant, reason = "there are a few of them, and each holds far more on the heap")]
pub(super) enum OpenReference {
    File(ReferenceFile),
    Bucket(ReferenceBucket),
}

impl OpenReference {
    /// Reads a table.
    pub(super) async fn open(plan: &ReferencePlan, bus: &Bus) -> Result<Self, EngineError> {
        let spec = plan.spec.clone();
        match &plan.source {
            ReferenceSource::File(path) => {
                let path = path.clone();
                let opened = tokio::task::spawn_blocking(move || ReferenceFile::open(spec, &path)).await;
                Ok(Self::File(opened.map_err(|_| EngineError::Thread("reference"))??))
            }
            ReferenceSource::Bucket(bucket) => Ok(Self::Bucket(ReferenceBucket::open(spec, bus, bucket, None).await?)),
        }
    }

    /// The table in force.
    pub(super) fn table(&self) -> Arc<ReferenceTable> {
        match self {
            Self::File(file) => Arc::clone(file.table()),
            Self::Bucket(bucket) => Arc::clone(bucket.table()),
        }
    }

    /// Waits for the next state of the table.
    async fn next(self, refresh: Duration) -> Result<(Self, Looked), EngineError> {
        match self {
            Self::File(mut file) => {
                tokio::time::sleep(refresh).await;
                // A large file takes a while to read: that must not hold up an async thread.
                let looked = tokio::task::spawn_blocking(move || {
                    let looked = file.changed();
                    (file, looked)
                });
                let (file, looked) = looked.await.map_err(|_| EngineError::Thread("reference"))?;
                Ok((Self::File(file), looked))
            }
            Self::Bucket(mut bucket) => {
                let next = bucket.next().await;
                Ok((Self::Bucket(bucket), next.map(Some)))
            }
        }
    }
}

/// What has become of a table.
type Looked = Result<Option<Arc<ReferenceTable>>, ReferenceError>;

/// Hands changed tables on until told to stop. What cannot be used is reported, and leaves the old table in force.
pub(super) async fn follow_reference<T>(
    mut reference: OpenReference,
    refresh: Duration,
    inputs: mpsc::Sender<T>,
    wrap: impl Fn(Arc<ReferenceTable>) -> T,
    stop: CancellationToken,
) -> Result<(), EngineError> {
    loop {
        let (kept, looked) = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            next = reference.next(refresh) => next?,
        };
        reference = kept;
        match looked {
            Ok(Some(table)) => {
                tracing::info!(reference = table.name(), rows = table.rows(), "reference table changed");
                if inputs.send(wrap(table)).await.is_err() {
                    return Ok(());
                }
            }
            Ok(None) => {}
            Err(error @ ReferenceError::Bus(_)) => return Err(error.into()),
            Err(error) => tracing::error!(%error, "a changed reference table can't be used: the old one stays"),
        }
    }
}
