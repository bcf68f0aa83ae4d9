//! From what is kept to rows: groups and aggregates, HAVING, the projection.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{filter, filter_record_batch, not};
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};

use super::aggregate::OutputSource;
use super::plan::{GroupColumn, WindowPlan};
use crate::event::{finite_rows, one_zero};
use crate::sql::{Failed, Failures, both, decayed};
use crate::time::EventTime;
use crate::window::WindowError;
use crate::window::failed::FailedRow;
use crate::window::integer_sum;
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
    /// Rows that could not be computed, and are not among the rows.
    pub failed: Vec<FailedRow>,
}

impl Emission {
    /// The same rows, of the table as its keeper knows it.
    pub fn named<Table>(self, name: impl FnOnce(WindowIndex) -> Table) -> Emission<Table> {
        let Self { table, kind, at, rows, keys, windows, is_removal, failed } = self;
        Emission { table: name(table), kind, at, rows, keys, windows, is_removal, failed }
    }
}

/// One value per row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Column {
    Integers(Vec<i64>),
    Floats(Vec<f64>),
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
    /// Makes the rows and hands them over; tells which of them are out, all without a mask. A row that HAVING or a column
    /// fails on is not: what may have been emitted for it before is taken back.
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
        let mut failures = Failures::default();
        let aggregates = self.aggregates(plan, outputs, (&keys, values), &mut failures)?;
        let passing = failures.evaluate_filter(plan.having.as_ref(), &aggregates, || None)?;
        let passing = passing.filter(|passing| passing.true_count() < passing.len());
        let found = match &passing {
            None => project(plan, &aggregates, &mut failures)?,
            Some(passing) => {
                let places: Vec<usize> = passing.values().set_indices().collect();
                let mut of_passing = Failures::default();
                let rows = project(plan, &filter_record_batch(&aggregates, passing)?, &mut of_passing)?;
                of_passing.iter().for_each(|(row, failed)| failures.note(places[row], failed.clone()));
                rows
            }
        };
        if passing.is_none() && failures.is_empty() {
            out.push(self.emission(found, keys, self.windows.clone(), false));
            return Ok(None);
        }
        let is_out = both(passing.as_ref().map(BooleanArray::values), failures.kept(self.slots.len()).as_ref());
        let is_out = BooleanArray::new(is_out.unwrap_or_else(|| BooleanBuffer::new_set(self.slots.len())), None);
        let taken_back = BooleanArray::new(not(&is_out)?.values() & &self.was_emitted, None);
        if taken_back.true_count() > 0 {
            // What can't be computed of rows that no longer hold is NULL, and nobody's concern.
            let rows = project(plan, &filter_record_batch(&aggregates, &taken_back)?, &mut Failures::default())?;
            out.push(self.part(rows, &keys, &taken_back, true)?);
        }
        // Of the rows that were projected, those that have not failed.
        let kept = match &passing {
            None => is_out.clone(),
            Some(passing) => filter(&is_out, passing)?.as_boolean().clone(),
        };
        let mut emission = self.part(filter_record_batch(&found, &kept)?, &keys, &is_out, false)?;
        emission.failed = failures.iter().map(|(row, failed)| self.failed(row, failed, &keys, &aggregates)).collect();
        if emission.rows.num_rows() > 0 || !emission.failed.is_empty() {
            out.push(emission);
        }
        Ok(Some(is_out))
    }

    /// Groups and aggregates: what HAVING and the columns are computed from.
    fn aggregates(
        &self,
        plan: &WindowPlan,
        outputs: &[OutputSource],
        (keys, values): (&[ArrayRef], &Values),
        failures: &mut Failures,
    ) -> Result<RecordBatch, WindowError> {
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
            let name = schema.field(columns.len()).name();
            columns.push(one_zero(output.column(values, &self.windows, name, failures))?);
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }

    fn emission(&self, rows: RecordBatch, keys: Vec<ArrayRef>, windows: Vec<(i64, i64)>, is_removal: bool) -> Emission {
        let Self { table, kind, at, .. } = *self;
        Emission { table, kind, at: EventTime(at), rows, keys, windows, is_removal, failed: Vec::new() }
    }

    fn part(
        &self,
        rows: RecordBatch,
        keys: &[ArrayRef],
        mask: &BooleanArray,
        is_removal: bool,
    ) -> Result<Emission, WindowError> {
        let keys: Result<_, _> = keys.iter().map(|key| filter(key, mask)).collect();
        let windows = mask.values().set_indices().map(|row| self.windows[row]).collect();
        Ok(self.emission(rows, keys?, windows, is_removal))
    }

    fn failed(&self, row: usize, failed: &Failed, keys: &[ArrayRef], aggregates: &RecordBatch) -> FailedRow {
        FailedRow {
            keys: keys.iter().map(|key| key.slice(row, 1)).collect(),
            window: self.windows[row],
            values: aggregates.slice(row, 1),
            failed: failed.clone(),
        }
    }
}

/// The columns of the select, as everybody sees them: on the bus, in SQL, in vectors and in Delta tables. NULL in the rows
/// that one fails on, which are noted.
pub(super) fn project(
    plan: &WindowPlan,
    aggregates: &RecordBatch,
    failures: &mut Failures,
) -> Result<RecordBatch, WindowError> {
    let columns: Result<Vec<_>, _> =
        plan.projection.iter().map(|column| failures.evaluate(column, aggregates, || None)).collect();
    Ok(finite_rows(RecordBatch::try_new(Arc::clone(plan.schema()), columns?)?)?)
}

impl OutputSource {
    /// The column of an aggregate call, under its name. A sum that does not fit is NULL and noted.
    fn column(self, values: &Values, windows: &[(i64, i64)], name: &str, failures: &mut Failures) -> ArrayRef {
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
                Column::Floats(sums) => Arc::new(Float64Array::new(sums.clone().into(), valid(count))),
                Column::Integers(sums) => Arc::new(Float64Array::new_null(sums.len())),
            },
            Self::IntegerSum { low, high, count } => {
                let halves = integers(low).iter().copied().zip(integers(high).iter().copied());
                integer_sum::sums(halves, valid(count).as_ref(), name, failures)
            }
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
