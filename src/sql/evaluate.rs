//! Evaluating what DataFusion planned: expressions over a batch, and accumulators.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::GroupsAccumulator;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};

/// The value of an expression for every row. A function that panics on a value has failed on it.
pub(crate) fn evaluate(expression: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
    let values = catch_unwind(AssertUnwindSafe(|| expression.evaluate(batch)?.into_array(batch.num_rows())));
    values.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(DataFusionError::Execution(format!("a panic: {}", text.unwrap_or("without a word"))))
    })
}

/// A fresh accumulator; functions without a vectorised one go through DataFusion's adapter.
pub(crate) fn new_accumulator(
    function: &Arc<AggregateFunctionExpr>,
) -> Result<Box<dyn GroupsAccumulator>, DataFusionError> {
    if function.groups_accumulator_supported() {
        return function.create_groups_accumulator();
    }
    // The adapter calls the factory late: a function that cannot be accumulated must fail here.
    function.create_accumulator()?;
    let function = Arc::clone(function);
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
}

/// A fresh accumulator of arguments of these types that knows `groups` groups, none of which has a value yet.
///
/// DataFusion (55.2) takes every group as seen that comes before one with a row in a batch without a filter and without NULL
/// (`NullState` in its `aggregate/groups_accumulator/accumulate.rs`), and then gives the value that an aggregate begins with
/// for one without a row. So all are declared first, by rows that a filter keeps out.
pub(crate) fn declared_accumulator(
    function: &Arc<AggregateFunctionExpr>,
    argument_types: &[DataType],
    groups: usize,
) -> Result<Box<dyn GroupsAccumulator>, DataFusionError> {
    let mut accumulator = new_accumulator(function)?;
    let nothing: Vec<ArrayRef> = argument_types.iter().map(|data_type| new_null_array(data_type, groups)).collect();
    let every: Vec<usize> = (0..groups).collect();
    let none = BooleanArray::new(BooleanBuffer::new_unset(groups), None);
    accumulator.update_batch(&nothing, &every, Some(&none), groups)?;
    Ok(accumulator)
}
