//! From what is kept to rows: groups and aggregates, HAVING, the projection.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{filter, filter_record_batch, not};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};

use super::aggregate::OutputSource;
use super::pane::Column;
use super::plan::{GroupColumn, WindowPlan};
use crate::event::{finite_rows, one_zero};
use crate::sql::{decayed, evaluate, evaluate_filter};
use crate::time::EventTime;
use crate::window::WindowError;
use crate::window::keys::KeyIndex;

/// Why rows are emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EmissionKind {
    /// The window is still open.
    Early,
    /// The window has closed: its rows as they are then.
    Final,
    /// The window has closed before and has taken events within the lateness: its rows as they are now.
    Late,
}

impl EmissionKind {
    /// The word for it in headers and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Final => "final",
            Self::Late => "late",
        }
    }
}

/// A table of windows, by its place among [`WindowTables::plans`](super::WindowTables::plans).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WindowIndex(pub usize);

/// Rows that a table gives at one moment.
#[derive(Debug, Clone)]
pub struct Emission<Table = WindowIndex> {
    /// Which table: among the tables of windows, until whoever keeps these among others names it.
    pub table: Table,
    /// Why.
    pub kind: EmissionKind,
    /// The watermark at which they are emitted: with the key and the window it identifies a row.
    pub at: EventTime,
    /// The rows: columns of the select.
    pub rows: RecordBatch,
    /// For each row, the columns of the GROUP BY that are not bounds of the window.
    pub keys: Vec<ArrayRef>,
    /// For each row, start and end of the window, microseconds.
    pub windows: Vec<(i64, i64)>,
    /// Whether the rows no longer hold: HAVING refuses what may have been emitted before, and the columns are as they are
    /// now; or the sessions have grown, and their aggregates are NULL.
    pub is_removal: bool,
}

impl Emission {
    /// The same rows, of the table as its keeper knows it.
    pub fn named<Table>(self, name: impl FnOnce(WindowIndex) -> Table) -> Emission<Table> {
        let Self { table, kind, at, rows, keys, windows, is_removal } = self;
        Emission { table: name(table), kind, at, rows, keys, windows, is_removal }
    }
}

/// Aggregates of some keys: one entry per row.
pub(super) struct Values {
    pub(super) additive: Vec<Column>,
    pub(super) distinct: Vec<Vec<i64>>,
    pub(super) merged: Vec<ArrayRef>,
}

/// Rows to be made.
pub(super) struct Rows<'a> {
    pub(super) table: WindowIndex,
    pub(super) kind: EmissionKind,
    pub(super) at: i64,
    pub(super) slots: &'a [u32],
    pub(super) windows: Vec<(i64, i64)>,
    /// For each row, whether it may have been emitted before and must be taken back when HAVING refuses it now.
    pub(super) was_emitted: BooleanBuffer,
}

impl Rows<'_> {
    /// Makes the rows and hands them over; tells which of them HAVING lets through, all without a mask.
    pub(super) fn emit(
        self,
        plan: &WindowPlan,
        outputs: &[OutputSource],
        keys: &KeyIndex,
        values: &Values,
        out: &mut Vec<Emission>,
    ) -> Result<Option<BooleanArray>, WindowError> {
        if self.slots.is_empty() {
            return Ok(None);
        }
        // A window over everything has one key that nobody sees.
        let keys = if plan.keys.is_empty() { Vec::new() } else { keys.columns(self.slots)? };
        let schema = &plan.aggregate_schema;
        let bound = |index: usize, bounds: Vec<i64>| -> ArrayRef {
            let data_type = schema.field(index).data_type().clone();
            Arc::new(TimestampMicrosecondArray::from(bounds).with_data_type(data_type))
        };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for (index, group) in plan.groups.iter().enumerate() {
            columns.push(match group {
                GroupColumn::Key(key) => Arc::clone(&keys[*key]),
                GroupColumn::Start => bound(index, self.windows.iter().map(|window| window.0).collect()),
                GroupColumn::End => bound(index, self.windows.iter().map(|window| window.1).collect()),
            });
        }
        for output in outputs {
            columns.push(one_zero(output.column(values, &self.windows))?);
        }
        let aggregates = RecordBatch::try_new(Arc::clone(schema), columns)?;
        let passing = evaluate_filter(plan.having.as_ref(), &aggregates)?;
        let passing = passing.filter(|passing| passing.true_count() < passing.len());
        let Some(passing) = passing else {
            let rows = project(plan, &aggregates)?;
            let Self { table, kind, at, windows, .. } = self;
            out.push(Emission { table, kind, at: EventTime(at), rows, keys, windows, is_removal: false });
            return Ok(None);
        };
        let taken_back = BooleanArray::new(not(&passing)?.values() & &self.was_emitted, None);
        for (mask, is_removal) in [(&taken_back, true), (&passing, false)] {
            if mask.true_count() > 0 {
                out.push(self.part(plan, &aggregates, &keys, mask, is_removal)?);
            }
        }
        Ok(Some(passing))
    }

    fn part(
        &self,
        plan: &WindowPlan,
        aggregates: &RecordBatch,
        keys: &[ArrayRef],
        mask: &BooleanArray,
        is_removal: bool,
    ) -> Result<Emission, WindowError> {
        let rows = project(plan, &filter_record_batch(aggregates, mask)?)?;
        let keys: Result<_, _> = keys.iter().map(|key| filter(key, mask)).collect();
        let windows = mask.values().set_indices().map(|row| self.windows[row]).collect();
        Ok(Emission {
            table: self.table,
            kind: self.kind,
            at: EventTime(self.at),
            rows,
            keys: keys?,
            windows,
            is_removal,
        })
    }
}

/// The rows as everybody sees them: on the bus, in SQL, in vectors and in Delta tables.
fn project(plan: &WindowPlan, aggregates: &RecordBatch) -> Result<RecordBatch, WindowError> {
    let columns: Result<Vec<_>, _> = plan.projection.iter().map(|column| evaluate(column, aggregates)).collect();
    Ok(finite_rows(RecordBatch::try_new(Arc::clone(plan.schema()), columns?)?)?)
}

impl OutputSource {
    /// The column of an aggregate call.
    fn column(self, values: &Values, windows: &[(i64, i64)]) -> ArrayRef {
        let integers = |index: usize| match &values.additive[index] {
            Column::Integers(column) => column.as_slice(),
            Column::Floats(_) => &[],
        };
        // A sum over nothing is NULL.
        let valid = |count: usize| -> Option<NullBuffer> {
            let valid: BooleanBuffer = integers(count).iter().map(|count| *count != 0).collect();
            (valid.count_set_bits() < valid.len()).then(|| NullBuffer::new(valid))
        };
        match self {
            Self::Count { count } => Arc::new(Int64Array::from(integers(count).to_vec())),
            Self::Sum { sum, count } => match &values.additive[sum] {
                Column::Integers(sums) => Arc::new(Int64Array::new(sums.clone().into(), valid(count))),
                Column::Floats(sums) => Arc::new(Float64Array::new(sums.clone().into(), valid(count))),
            },
            Self::Average { sum, count } => match &values.additive[sum] {
                Column::Floats(sums) => {
                    let averages = sums.iter().zip(integers(count)).map(|(sum, count)| sum / *count as f64);
                    Arc::new(Float64Array::new(averages.collect(), valid(count)))
                }
                Column::Integers(sums) => Arc::new(Float64Array::new_null(sums.len())),
            },
            Self::Distinct { distinct } => Arc::new(Int64Array::from(values.distinct[distinct].clone())),
            Self::Merged { merged } => Arc::clone(&values.merged[merged]),
            Self::Decayed { sum, newest, half_life } => {
                let sums = values.merged[sum].as_primitive::<Float64Type>();
                let newest = values.merged[newest].as_primitive::<TimestampMicrosecondType>();
                let moved = sums.iter().zip(newest).zip(windows).map(|((sum, newest), (_, end))| {
                    Some(decayed(sum?, i128::from(*end) - i128::from(newest?), half_life))
                });
                Arc::new(moved.collect::<Float64Array>())
            }
        }
    }
}
