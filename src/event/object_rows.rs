//! JSON objects as rows of a contract's columns, each held to the contract by itself: requests, and rows of facts.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;

use super::check::{Limits, ObjectCheck};
use super::columns::{Columns, MAX_EVENT_BYTES};
use super::contract::Contract;
use super::instant::TimeZone;
use super::reject::Flaw;

/// Gathers objects that keep a contract.
#[derive(Debug)]
pub(crate) struct ObjectRows {
    contract: Arc<Contract>,
    check: ObjectCheck,
    columns: Columns,
    batches: Vec<RecordBatch>,
}

impl ObjectRows {
    /// None yet; times without an offset from UTC are of `zone`.
    pub(crate) fn new(contract: Arc<Contract>, limits: Limits, zone: Option<TimeZone>) -> Self {
        let limits = Limits { max_event_bytes: limits.max_event_bytes.min(MAX_EVENT_BYTES), ..limits };
        Self {
            check: ObjectCheck::new(Arc::clone(&contract), limits, zone),
            columns: Columns::new(&contract),
            batches: Vec::new(),
            contract,
        }
    }

    /// Adds the object that the bytes are; one that is refused is no row.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn push(&mut self, object: &[u8]) -> Result<(), Flaw> {
        self.check.object(object, self.columns.row()).inspect_err(|_| self.columns.take_back())?;
        self.columns.keep(0, &(0..object.len()));
        Ok(())
    }

    /// Takes the rows, and begins anew.
    ///
    /// # Errors
    /// When they don't fit into one batch, which takes more than 2 GiB of text.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.flush()?;
        concat_batches(self.contract.schema(), &std::mem::take(&mut self.batches))
    }

    /// Moves full columns out of the way of the next object.
    ///
    /// # Errors
    /// When a column can't be made.
    pub(crate) fn flush_if_full(&mut self) -> Result<(), ArrowError> {
        if self.columns.is_full() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ArrowError> {
        if let Some(rows) = self.columns.finish()? {
            self.batches.push(RecordBatch::try_new(Arc::clone(self.contract.schema()), rows.columns)?);
        }
        Ok(())
    }
}
