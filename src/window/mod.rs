//! Windowed features: a `SELECT ... GROUP BY` over a stream, kept up to date event by event and readable at any
//! moment as of an event time.
//!
//! ```text
//!  feature.sql ─▶ plan ─▶ FeaturePlan: keys, WHERE, aggregates × horizons, the projection around them
//!
//!  events ─▶ recent rows ──seal──▶ runs ──roll up──▶ 1 min ──▶ 5 min ──▶ 1 h ──▶ 1 day
//!                 │       (watermark)  │ 10 s tiles     │          │        │        │
//!                 ▼                    ▼                ▼          ▼        ▼        ▼
//!  read(key, t): running cells, or the merge of the few tiles that cover (tail, t] plus the recent rows
//! ```
//!
//! - An event is stored once, whatever the number of horizons over it. Tiles are made by DataFusion's
//!   `GroupsAccumulator`s, drained once, and immutable from then on.
//! - Counts, sums, averages, minima, maxima, distinct counts and last values of numbers follow each event per key;
//!   everything else (sketches, strings, any DataFusion aggregate) is answered from a merge of tiles.
//! - A read at `t` sees the events that were applied before it and whose time is in `(tail, t]`; the tail moves in
//!   steps, see [`Horizon`]. A read older than the watermark is answered as of the watermark.
//! - State is a deterministic function of the order of the input. It is saved and restored as a whole, and held to a
//!   [`Budget`].
//!
//! It does not know about streams, brokers or threads. It fails with [`PlanError`](crate::sql::PlanError) when a select has another form, and
//! with [`WindowError`] when an expression fails on the data.

mod asof;
mod budget;
mod closed;
mod content;
mod failed;
mod integer_sum;
mod keys;
mod log;
mod newest;
mod paged;
mod planner;
mod slot_hash;
mod source;
mod table;

pub use asof::{FeaturePlan, FeatureTable, FeatureView, Horizon, Reads};
pub(crate) use budget::AtLimit;
pub use budget::Budget;
pub use closed::{Emission, EmissionKind, Emit, WindowIndex, WindowPlan, WindowSettings, WindowTables};
pub(crate) use closed::{GroupView, TableGroup, WindowSpec};
pub use failed::FailedRow;
pub(crate) use failed::{FailedEvent, FailedValue};
pub(crate) use newest::{NewestRows, RowReads, RowsView};
pub use planner::planner;
pub use source::References;
pub use table::TableForm;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use crate::fault::{Judged, Judgement};
use crate::reference::ReferenceError;
use crate::snapshot::SaveError;

/// What can go wrong while events are applied to a table or values are read from it.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// An expression of the select failed on the data, such as an integer division by zero.
    #[error("feature expression failed: {0}")]
    Expression(#[from] DataFusionError),
    /// A kernel failed; the types were checked when the table was planned, so this is a defect or a lack of memory.
    #[error("feature kernel failed: {0}")]
    Kernel(#[from] ArrowError),
    /// More keys than a table can address.
    #[error("a feature table holds at most {} keys: narrow its GROUP BY or its retention", u32::MAX - 1)]
    TooManyKeys,
    /// The table has reached its limit, and its policy is to stop.
    #[error(
        "feature table `{table}` needs {bytes} bytes of memory and may hold {limit}: raise its limit, let it evict \
         cold keys, or shorten its horizons"
    )]
    MemoryLimit {
        /// The table.
        table: String,
        /// What it needs.
        bytes: usize,
        /// What it may hold.
        limit: usize,
    },
    /// A reference table could not be joined.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A reference table that a select joins was never loaded.
    #[error("reference table `{name}` is not loaded")]
    NoReference {
        /// The table.
        name: String,
    },
    /// The state of a table cannot be saved or restored.
    #[error(transparent)]
    Save(#[from] SaveError),
}

impl Judged for WindowError {
    fn judgement(&self) -> Judgement {
        match self {
            Self::Expression(_) => Judgement::DATA,
            Self::TooManyKeys | Self::MemoryLimit { .. } => Judgement::OPERATOR,
            Self::Kernel(_) | Self::NoReference { .. } => Judgement::DEFECT,
            Self::Reference(error) => error.judgement(),
            Self::Save(error) => error.judgement(),
        }
    }
}

impl WindowError {
    /// Why a section of the state could not be saved or restored.
    pub(crate) fn in_section(self, section: &str) -> SaveError {
        let source = match self {
            Self::Save(error) => return error,
            Self::Kernel(source) => source,
            other => ArrowError::ComputeError(other.to_string()),
        };
        SaveError::Batch { section: section.to_owned(), source }
    }
}
