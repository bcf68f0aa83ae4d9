//! The newest rows at a moment, for whoever reads them while the table goes on.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};

use super::{NewestRows, RowReads};
use crate::snapshot::SaveError;
use crate::window::WindowError;

/// Rows at a moment between two steps. It shares pages and batches with the table.
pub struct RowsView(NewestRows);

impl NewestRows {
    /// The rows as they are now, between two steps.
    ///
    /// # Errors
    /// When the keys have a type that has no row format, which the table itself would not have been made with.
    pub fn view(&mut self) -> Result<RowsView, WindowError> {
        Ok(RowsView(Self {
            plan: Arc::clone(&self.plan),
            retention: self.retention,
            keys: self.keys.share()?,
            rows: self.rows.share(),
            batches: BTreeMap::clone(&self.batches),
            next_batch: self.next_batch,
            held: self.held,
            used: self.used,
            watermark: self.watermark,
            swept: self.swept,
            slots: Vec::new(),
        }))
    }

    /// Bytes that were copied because views hold what they were copied from, since this was last asked.
    pub fn take_copied(&mut self) -> usize {
        self.keys.take_copied() + self.rows.take_copied()
    }
}

impl RowsView {
    /// The slots of its keys are below this.
    pub fn slots(&self) -> u32 {
        self.0.keys.len() as u32
    }

    /// The rows of the keys with slots in `slots`, as [`NewestRows::scan`] gave them at the moment of the view.
    ///
    /// # Errors
    /// When a kernel fails.
    pub fn scan(&self, slots: Range<u32>) -> Result<RecordBatch, WindowError> {
        self.0.scan_slots(slots)
    }

    /// Slots of keys for [`Self::read`], one per row of the key columns; unknown keys get a slot that reads as missing.
    ///
    /// # Errors
    /// When the keys are of other types than the table's.
    pub fn look_up(&mut self, keys: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<(), WindowError> {
        self.0.keys.index()?;
        self.0.look_up(keys, rows, slots)
    }

    /// The rows of these slots.
    ///
    /// # Errors
    /// When a kernel fails.
    pub fn read(&self, slots: &[u32]) -> Result<RecordBatch, WindowError> {
        let mut reads = RowReads::default();
        slots.iter().for_each(|slot| self.0.read(*slot, &mut reads));
        self.0.evaluate(&reads)
    }

    /// Writes the state, as [`NewestRows::save`] did at the moment of the view.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn save(&self, output: &mut dyn Write) -> Result<(), SaveError> {
        self.0.save(output)
    }

    /// Gives back what is held of slots below this one, which are not looked at any more.
    pub fn release_below(&mut self, slot: u32) {
        self.0.rows.release_below(slot as usize);
    }
}
