//! The look-ups of vectors: made row by row while events are applied, turned into a matrix at the end of a step.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_arrays;

use super::join::JoinPlan;
use super::live::{LiveReads, LiveTable};
use super::matrix::{Matrix, Unscorable};
use super::plan::VectorPlan;
use crate::sql::Failures;
use crate::time::EventTime;
use crate::window::{FailedValue, WindowError};

/// Look-ups in flight for one [`VectorPlan`]; reused from step to step.
pub(crate) struct VectorReads {
    plan: Arc<VectorPlan>,
    joins: Vec<JoinReads>,
    /// Requests, in their order, of which a table had moved on: what it gave may hold events later than they are.
    behind: Vec<usize>,
}

#[derive(Default)]
struct JoinReads {
    /// Per request, the slot of its key.
    slots: Vec<u32>,
    reads: LiveReads,
    /// Per request, which of the reads is its; neighbours with the same key and time share one.
    read_of_row: Vec<u32>,
    last: Option<(u32, EventTime)>,
    /// Requests whose key could not be computed.
    keyless: Failures,
    /// Whether what the last read gave may hold later events.
    is_behind: bool,
}

impl VectorReads {
    /// No look-ups yet.
    pub(crate) fn new(plan: Arc<VectorPlan>) -> Self {
        let joins = plan.joins.iter().map(|_| JoinReads::default()).collect();
        Self { plan, joins, behind: Vec::new() }
    }

    /// The plan that is followed.
    pub(crate) fn plan(&self) -> &Arc<VectorPlan> {
        &self.plan
    }

    /// The requests of the last look-ups whose vectors may hold events that are later than they are.
    pub(crate) fn behind(&self) -> &[usize] {
        &self.behind
    }

    /// Finds the keys of requests, all of whose joins are direct, before events are applied.
    pub(crate) fn begin(&mut self, requests: &RecordBatch, tables: &mut [LiveTable]) -> Result<(), WindowError> {
        self.behind.clear();
        for (join, plan) in self.joins.iter_mut().zip(&self.plan.joins).filter(|(_, plan)| plan.is_direct) {
            join.find_keys(plan, requests, tables)?;
        }
        Ok(())
    }

    /// Looks request `row` up in every table as of `t`.
    pub(crate) fn read(&mut self, row: usize, t: EventTime, tables: &mut [LiveTable]) {
        let mut is_behind = false;
        for (join, plan) in self.joins.iter_mut().zip(&self.plan.joins) {
            // Events are applied between these reads, so that none can stand for another.
            join.last = None;
            is_behind |= join.read(row, t, &mut tables[plan.table]);
        }
        if is_behind {
            self.behind.push(row);
        }
    }

    /// The vectors of the requests that were begun and read.
    pub(crate) fn finish(&mut self, requests: &RecordBatch, tables: &[LiveTable]) -> Result<Matrix, WindowError> {
        let mut columns = requests.columns().to_vec();
        let mut failed = Vec::new();
        for (join, plan) in self.joins.iter().zip(&self.plan.joins) {
            join.evaluate(&self.plan, plan, tables, &mut columns, &mut failed)?;
        }
        let outputs = self.outputs(columns, requests.num_rows(), &mut failed)?;
        self.matrix(&outputs, requests.num_rows(), failed)
    }

    /// The vectors of requests that stand alone, as of `times`; joins may follow keys found in other tables.
    pub(crate) fn run(
        &mut self,
        requests: &RecordBatch,
        times: &[EventTime],
        tables: &mut [LiveTable],
    ) -> Result<Matrix, WindowError> {
        let mut failed = Vec::new();
        let outputs = self.columns(requests, times, tables, &mut failed)?;
        self.matrix(&outputs, requests.num_rows(), failed)
    }

    /// The same vectors as columns, in the types of the select list. Rows that can't be computed are appended to `failed`.
    pub(crate) fn columns(
        &mut self,
        requests: &RecordBatch,
        times: &[EventTime],
        tables: &mut [LiveTable],
        failed: &mut Vec<Unscorable>,
    ) -> Result<Vec<ArrayRef>, WindowError> {
        self.behind.clear();
        let mut columns = requests.columns().to_vec();
        for (join, plan) in self.joins.iter_mut().zip(&self.plan.joins) {
            let joined = batch(&plan.schema, columns.clone(), requests.num_rows())?;
            join.find_keys(plan, &joined, tables)?;
            for (row, t) in times.iter().enumerate() {
                if join.read(row, *t, &mut tables[plan.table]) {
                    self.behind.push(row);
                }
            }
            join.evaluate(&self.plan, plan, tables, &mut columns, failed)?;
        }
        self.behind.sort_unstable();
        self.behind.dedup();
        self.outputs(columns, requests.num_rows(), failed)
    }

    fn matrix(&self, outputs: &[ArrayRef], rows: usize, failed: Vec<Unscorable>) -> Result<Matrix, WindowError> {
        self.plan.matrix_of(outputs, rows, failed)
    }

    fn outputs(
        &self,
        columns: Vec<ArrayRef>,
        rows: usize,
        failed: &mut Vec<Unscorable>,
    ) -> Result<Vec<ArrayRef>, WindowError> {
        let joined = batch(&self.plan.joined_schema, columns, rows)?;
        let mut outputs = Vec::with_capacity(self.plan.outputs.len());
        for (name, output) in self.plan.columns().iter().zip(&self.plan.outputs) {
            let mut failures = Failures::default();
            outputs.push(failures.evaluate(output, &joined, || None)?);
            failed.extend(failures.iter().map(|(row, why)| Unscorable::failed(row, name, why)));
        }
        Ok(outputs)
    }
}

impl JoinReads {
    fn find_keys(&mut self, plan: &JoinPlan, batch: &RecordBatch, tables: &mut [LiveTable]) -> Result<(), WindowError> {
        let rows = batch.num_rows();
        self.keyless = Failures::default();
        let keys: Result<Vec<_>, WindowError> =
            plan.keys.iter().map(|key| Ok(self.keyless.evaluate(key, batch, || None)?)).collect();
        self.reads.clear();
        self.read_of_row.clear();
        self.last = None;
        tables[plan.table].look_up(&keys?, rows, &mut self.slots)
    }

    /// Reads for a request, and says whether what it gives may hold later events.
    fn read(&mut self, row: usize, t: EventTime, table: &mut LiveTable) -> bool {
        let key = (self.slots[row], t);
        if self.last != Some(key) {
            self.is_behind = table.read(key.0, t, &mut self.reads);
            self.last = Some(key);
        }
        self.read_of_row.push(self.reads.len() as u32 - 1);
        self.is_behind
    }

    /// Appends the table's columns for every request. Requests that lack one which the vector reads, because it or the key
    /// can't be computed, are appended to `failed`.
    fn evaluate(
        &self,
        vector: &VectorPlan,
        plan: &JoinPlan,
        tables: &[LiveTable],
        columns: &mut Vec<ArrayRef>,
        failed: &mut Vec<Unscorable>,
    ) -> Result<(), WindowError> {
        let mut values = Vec::new();
        let found = tables[plan.table].evaluate_noting(&self.reads, &mut values)?;
        let name = |column: usize| {
            let reader = vector.readers.get(columns.len() + column).copied().flatten();
            reader.and_then(|reader| vector.columns().get(reader))
        };
        if let Some(feature) = (0..found.num_columns()).find_map(name) {
            failed.extend(self.keyless.iter().map(|(row, why)| Unscorable::failed(row, feature, why)));
        }
        for FailedValue { row: read, column, failed: why } in values {
            let Some(feature) = name(column) else { continue };
            let rows = self.read_of_row.iter().enumerate().filter(|(_, of)| **of as usize == read);
            failed.extend(rows.map(|(row, _)| Unscorable::failed(row, feature, &why)));
        }
        if self.reads.len() == self.read_of_row.len() {
            columns.extend_from_slice(found.columns());
        } else {
            let picked = UInt32Array::from(self.read_of_row.clone());
            columns.extend(take_arrays(found.columns(), &picked, None)?);
        }
        Ok(())
    }
}

fn batch(
    schema: &arrow::datatypes::SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch, WindowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
