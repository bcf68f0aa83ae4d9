//! A view of a table: what it was at a moment, for whoever reads it while the table goes on.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};

use super::cells::CellScratch;
use super::read::Reads;
use super::run::RunBuilder;
use super::table::FeatureTable;
use crate::time::EventTime;
use crate::window::WindowError;

/// A table at a moment between two steps. It shares pages, runs and rows with the table, which copies what it writes from
/// then on; so it costs a few pointers when it is taken, and later what was written meanwhile.
pub struct FeatureView(FeatureTable);

impl FeatureTable {
    /// The table as it is now, between two steps.
    ///
    /// # Errors
    /// When the keys have a type that has no row format, which the table itself would not have been made with.
    pub fn view(&mut self) -> Result<FeatureView, WindowError> {
        Ok(FeatureView(Self {
            plan: Arc::clone(&self.plan),
            disorder: self.disorder,
            budget: self.budget,
            keys: self.keys.share()?,
            cells: self.cells.share(),
            distinct: self.distinct.share(),
            last: self.last.share(),
            recent: self.recent.share(),
            levels: self.levels.clone(),
            waiting: self.waiting.share(),
            turns: None,
            builder: RunBuilder::default(),
            newest: self.newest,
            compacted: self.compacted,
            evicted: self.evicted,
            applied: self.applied,
            scratch: CellScratch::default(),
            segments: Vec::new(),
        }))
    }

    /// Bytes that were copied because views hold what they were copied from, since this was last asked.
    pub fn take_copied(&mut self) -> usize {
        self.keys.take_copied() + self.cells.take_copied() + self.distinct.take_copied() + self.last.take_copied()
    }
}

impl FeatureView {
    /// The slots of its keys are below this.
    pub fn slots(&self) -> u32 {
        self.0.keys.len() as u32
    }

    /// The rows of the keys with slots in `slots`, as [`FeatureTable::scan`] gave them at the moment of the view.
    ///
    /// # Errors
    /// When a kernel fails.
    pub fn scan(&mut self, slots: Range<u32>) -> Result<RecordBatch, WindowError> {
        self.chain();
        self.0.scan_as(slots, false)
    }

    /// Slots of keys for [`Self::read`], one per row of the key columns; unknown keys get a slot that reads as missing.
    ///
    /// # Errors
    /// When the keys are of other types than the table's.
    pub fn look_up(&mut self, keys: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<(), WindowError> {
        self.0.keys.index()?;
        self.0.look_up(keys, rows, slots)
    }

    /// The rows of these slots, as of the newest event of the table at the moment of the view.
    ///
    /// # Errors
    /// When a kernel fails.
    pub fn read(&mut self, slots: &[u32]) -> Result<RecordBatch, WindowError> {
        self.chain();
        let mut reads = Reads::default();
        for slot in slots {
            self.0.look(*slot, EventTime(self.0.newest), &mut reads, false);
        }
        self.0.evaluate(&reads)
    }

    /// Writes the state, as [`FeatureTable::save`] did at the moment of the view.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn save(&mut self, output: &mut dyn Write) -> Result<(), WindowError> {
        self.chain();
        self.0.save(output)
    }

    /// Gives back what is held of slots below this one, which are not looked at any more.
    pub fn release_below(&mut self, slot: u32) {
        self.0.cells.release_below(slot);
        self.0.distinct.release_below(slot);
        self.0.last.release_below(slot);
    }

    /// Rows that no tile holds yet are found by key, which takes a pass over them.
    fn chain(&mut self) {
        let slots = self.0.keys.len();
        self.0.recent.chain(slots);
    }
}
