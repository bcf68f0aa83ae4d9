//! A table of facts that events are joined with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::reference::{ReferenceSpec, ReferenceTable};

/// A table of facts that events are joined with.
pub struct ReferencePlan {
    /// Its name, what a row is found by, and how the rows are to be read.
    pub spec: ReferenceSpec,
    /// Where they are.
    pub source: ReferenceSource,
    /// How often a file is looked at for changes.
    pub refresh: Duration,
    /// The rows when the pipeline was checked; none of a bucket.
    pub table: Arc<ReferenceTable>,
}

/// Where the rows of a reference table are.
pub enum ReferenceSource {
    /// A file.
    File(PathBuf),
    /// A key-value bucket of the broker.
    Bucket(String),
}
