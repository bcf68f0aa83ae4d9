//! A table of either form, as vectors and SQL look at it.
//!
//! An as-of table is read as of a moment. Of a table of windows the newest emitted row of the key is read, as of now.
//! A [view](TableView) is what a table was at a moment between two steps, for whoever reads it while the table goes on.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;

use crate::event::finite_rows;
use crate::snapshot::SaveError;
use crate::sql::PlanError;
use crate::time::EventTime;
use crate::window::{
    FailedValue, FeaturePlan, FeatureTable, FeatureView, NewestRows, Reads, RowReads, RowsView, WindowError, WindowPlan,
};

/// A checked table of either form.
#[derive(Clone)]
pub enum LivePlan {
    /// Several horizons, read at any moment.
    AsOf(Arc<FeaturePlan>),
    /// A window in GROUP BY, emitted as it closes.
    Windows(Arc<WindowPlan>),
}

impl LivePlan {
    /// The table's name.
    pub fn name(&self) -> &str {
        match self {
            Self::AsOf(plan) => plan.name(),
            Self::Windows(plan) => plan.name(),
        }
    }

    /// The columns of its rows; all nullable, since a look-up can find nothing.
    pub fn schema(&self) -> &SchemaRef {
        match self {
            Self::AsOf(plan) => plan.schema(),
            Self::Windows(plan) => plan.schema(),
        }
    }

    /// Names of the columns that a row is found by, and their places in the select list.
    ///
    /// # Errors
    /// When a key of a table of windows is not in its select list.
    pub fn keys(&self) -> Result<Vec<(&str, usize)>, PlanError> {
        match self {
            Self::AsOf(plan) => Ok(plan.keys().iter().map(|key| (key.name.as_str(), key.output_index)).collect()),
            Self::Windows(plan) => {
                let mut keys = Vec::new();
                for key in plan.keys() {
                    let Some(index) = key.output_index else {
                        let message =
                            format!("`{}` does not select `{}`, which its rows are found by", plan.name(), key.name);
                        return Err(PlanError::new(message).suggest(format!("add {} to its select list", key.name)));
                    };
                    keys.push((key.name.as_str(), index));
                }
                Ok(keys)
            }
        }
    }

    /// What counts of its settings, in words: by which time, how far back, when it emits.
    pub(crate) fn settings_form(&self) -> String {
        let meaning = match self {
            Self::AsOf(plan) => plan.meaning(),
            Self::Windows(plan) => plan.meaning(),
        };
        let settings = meaning.rsplit_once("\nby ").map_or("", |(_, settings)| settings);
        settings.lines().next().unwrap_or_default().to_owned()
    }

    /// The as-of form, if it is that.
    pub fn as_of(&self) -> Option<&Arc<FeaturePlan>> {
        if let Self::AsOf(plan) = self { Some(plan) } else { None }
    }

    /// The form with windows, if it is that.
    pub fn windows(&self) -> Option<&Arc<WindowPlan>> {
        if let Self::Windows(plan) = self { Some(plan) } else { None }
    }
}

/// The rows of a table.
#[expect(clippy::large_enum_variant, reason = "there are a few of them, and each holds far more on the heap")]
pub enum LiveTable {
    /// The whole state of an as-of table.
    AsOf(FeatureTable),
    /// What a table of windows has emitted.
    Windows(NewestRows),
}

/// Look-ups in a [`LiveTable`].
#[derive(Default)]
pub struct LiveReads {
    as_of: Reads,
    rows: RowReads,
}

impl LiveReads {
    /// Forgets all look-ups.
    pub fn clear(&mut self) {
        self.as_of.clear();
        self.rows.clear();
    }

    /// How many look-ups there are.
    pub(crate) fn len(&self) -> usize {
        self.as_of.len() + self.rows.len()
    }
}

impl LiveTable {
    /// Slots of keys for [`Self::read`], one per row of the key columns; unknown keys get a slot that reads as missing.
    pub fn look_up(&mut self, keys: &[ArrayRef], rows: usize, slots: &mut Vec<u32>) -> Result<(), WindowError> {
        match self {
            Self::AsOf(table) => table.look_up(keys, rows, slots),
            Self::Windows(table) => table.look_up(keys, rows, slots),
        }
    }

    /// Looks up a key: as of `t` in an as-of table. Says whether the row may hold events later than `t`.
    pub fn read(&mut self, slot: u32, t: EventTime, reads: &mut LiveReads) -> bool {
        match self {
            Self::AsOf(table) => {
                table.read(slot, t, &mut reads.as_of);
                table.moment(t) > t
            }
            Self::Windows(table) => {
                table.read(slot, &mut reads.rows);
                table.holds_later(slot, t)
            }
        }
    }

    /// The moment that a read as of `t` is answered for, or of a table of windows that it is at.
    pub(crate) fn moment(&self, t: EventTime) -> EventTime {
        match self {
            Self::AsOf(table) => table.moment(t),
            Self::Windows(table) => table.moment(t),
        }
    }

    /// The rows of the look-ups in `reads`: as many, in their order. A value that can't be computed is NULL.
    pub fn evaluate(&self, reads: &LiveReads) -> Result<RecordBatch, WindowError> {
        self.evaluate_noting(reads, &mut Vec::new())
    }

    /// [`Self::evaluate`], taking note of the values that could not be computed.
    pub(crate) fn evaluate_noting(
        &self,
        reads: &LiveReads,
        failed: &mut Vec<FailedValue>,
    ) -> Result<RecordBatch, WindowError> {
        match self {
            Self::AsOf(table) => table.evaluate_noting(&reads.as_of, failed),
            Self::Windows(table) => table.evaluate(&reads.rows),
        }
    }

    /// The rows of all keys, as of the newest event, with NULL for what is no finite number.
    pub fn scan(&mut self) -> Result<RecordBatch, WindowError> {
        match self {
            Self::AsOf(table) => Ok(finite_rows(table.scan(0..u32::MAX)?)?),
            Self::Windows(table) => table.scan(),
        }
    }

    /// The table as it is now, between two steps. That copies pointers; what is written while the view is held is copied first.
    ///
    /// # Errors
    /// When the table's keys have a type that they can't have been made with.
    pub fn view(&mut self) -> Result<TableView, WindowError> {
        match self {
            Self::AsOf(table) => table.view().map(Box::new).map(TableView::AsOf),
            Self::Windows(table) => table.view().map(Box::new).map(TableView::Windows),
        }
    }

    /// Bytes that were copied because views hold what they were copied from, since this was last asked.
    pub fn take_copied(&mut self) -> usize {
        match self {
            Self::AsOf(table) => table.take_copied(),
            Self::Windows(table) => table.take_copied(),
        }
    }

    /// Keys that have a row.
    pub fn key_count(&self) -> usize {
        match self {
            Self::AsOf(table) => table.key_count(),
            Self::Windows(table) => table.key_count(),
        }
    }

    /// Memory held, bytes; of a table of windows, by the rows that can be looked up.
    pub fn size(&self) -> usize {
        match self {
            Self::AsOf(table) => table.size(),
            Self::Windows(table) => table.size(),
        }
    }
}

/// What a table was at a moment.
pub enum TableView {
    /// Of an as-of table.
    AsOf(Box<FeatureView>),
    /// Of a table of windows, by the rows that can be looked up.
    Windows(Box<RowsView>),
}

impl TableView {
    /// The slots of its keys are below this.
    pub fn slots(&self) -> u32 {
        match self {
            Self::AsOf(view) => view.slots(),
            Self::Windows(view) => view.slots(),
        }
    }

    /// The rows of the keys with slots in `slots`, as [`LiveTable::scan`] gave them at the moment of the view.
    ///
    /// # Errors
    /// When a kernel fails.
    pub fn scan(&mut self, slots: Range<u32>) -> Result<RecordBatch, WindowError> {
        match self {
            Self::AsOf(view) => Ok(finite_rows(view.scan(slots)?)?),
            Self::Windows(view) => view.scan(slots),
        }
    }

    /// The rows of these keys, one each, all NULL for a key without one: as of the newest event at the moment of the view.
    ///
    /// # Errors
    /// When the keys are of other types than the table's.
    pub fn read(&mut self, keys: &[ArrayRef], rows: usize) -> Result<RecordBatch, WindowError> {
        let mut slots = Vec::new();
        match self {
            Self::AsOf(view) => {
                view.look_up(keys, rows, &mut slots)?;
                Ok(finite_rows(view.read(&slots)?)?)
            }
            Self::Windows(view) => {
                view.look_up(keys, rows, &mut slots)?;
                view.read(&slots)
            }
        }
    }

    /// Writes the state that the table had at the moment of the view.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn save(&mut self, output: &mut dyn Write) -> Result<(), SaveError> {
        match self {
            Self::AsOf(view) => view.save(output).map_err(|error| error.in_section("table")),
            Self::Windows(view) => view.save(output),
        }
    }

    /// Gives back what is held of slots below this one, which are not looked at any more.
    pub fn release_below(&mut self, slot: u32) {
        match self {
            Self::AsOf(view) => view.release_below(slot),
            Self::Windows(view) => view.release_below(slot),
        }
    }
}
