//! The rows of one step with everything evaluated that the table needs of them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};

use super::Place;
use crate::sql::{Failures, both};
use crate::window::WindowError;
use crate::window::asof::column::to_word;
use crate::window::asof::plan::{FeaturePlan, RunningAggregate, RunningKind};
use crate::window::keys::KeyIndex;

/// See the module.
#[derive(Clone)]
pub(in crate::window::asof) struct RecentBatch {
    pub(in crate::window::asof) times: Arc<[i64]>,
    pub(in crate::window::asof) slots: Vec<u32>,
    /// Per running aggregate, what each row adds.
    pub(in crate::window::asof) running: Vec<Vec<i64>>,
    /// Per aggregate of distinct values.
    pub(in crate::window::asof) distinct: Vec<DistinctInput>,
    /// Per aggregate of last values.
    pub(in crate::window::asof) last: Vec<LastInput>,
    /// Per merged aggregate, its arguments and filter.
    pub(in crate::window::asof) merged: Vec<MergedInput>,
    pub(super) newest: i64,
    pub(super) oldest: i64,
    /// Newest time of this batch and all before it.
    pub(super) newest_so_far: i64,
    /// Per row, the row before it of the same key, until the batch is closed.
    pub(super) previous: Vec<Place>,
}

/// Values, where they are there and the filter lets them through.
#[derive(Clone)]
pub(in crate::window::asof) struct Values {
    pub(in crate::window::asof) words: Vec<i64>,
    pub(in crate::window::asof) is_valid: BooleanBuffer,
}

#[derive(Clone)]
pub(in crate::window::asof) struct DistinctInput {
    pub(in crate::window::asof) values: Values,
    /// When the value was last seen before this row; `i64::MIN` when never.
    pub(in crate::window::asof) before: Vec<i64>,
}

#[derive(Clone)]
pub(in crate::window::asof) struct LastInput {
    pub(in crate::window::asof) values: Values,
    /// Time of the value that this row pushed out (its own, when it was too old to enter); `i64::MIN` when none.
    pub(in crate::window::asof) evicted_times: Vec<i64>,
    pub(in crate::window::asof) evicted_words: Vec<i64>,
}

#[derive(Clone)]
pub(in crate::window::asof) struct MergedInput {
    pub(in crate::window::asof) arguments: Vec<ArrayRef>,
    pub(in crate::window::asof) filter: Option<BooleanArray>,
}

impl RecentBatch {
    /// Evaluates the expressions of `plan` over the events and gives every key a slot. A row that any expression fails on is
    /// noted and left out, as if WHERE had refused it; what WHERE or a FILTER keeps from an expression can't make it fail.
    pub(in crate::window::asof) fn evaluate(
        plan: &FeaturePlan,
        events: &RecordBatch,
        keys: &mut KeyIndex,
        failures: &mut Failures,
    ) -> Result<Self, WindowError> {
        let rows = events.num_rows();
        let wanted = failures.evaluate_filter(plan.filter.as_ref(), events, || None)?;
        let wanted = wanted.as_ref().map(BooleanArray::values);
        let columns: Result<Vec<_>, _> =
            plan.keys().iter().map(|key| failures.evaluate(&key.expression, events, || wanted.cloned())).collect();
        let columns = columns?;
        let times = events.column(plan.time_index).as_primitive::<TimestampMicrosecondType>().values().to_vec();
        let mut filters = Vec::with_capacity(plan.filters.len());
        for filter in &plan.filters {
            filters.push(match failures.evaluate_filter(Some(filter.physical()), events, || wanted.cloned())? {
                Some(filter) => filter.values().clone(),
                None => BooleanBuffer::new_set(rows),
            });
        }
        let mut arguments = Vec::with_capacity(plan.arguments.len());
        for (index, argument) in plan.arguments.iter().enumerate() {
            let passing = || both(wanted, any_filter(plan, index, &filters).as_ref());
            arguments.push(failures.evaluate(argument.physical(), events, passing)?);
        }
        // Rows that count for an aggregate; none where all do.
        let mask = |argument: Option<usize>, filter: Option<usize>| -> Option<BooleanBuffer> {
            let valid = argument
                .and_then(|argument| arguments[argument].logical_nulls())
                .map(arrow::buffer::NullBuffer::into_inner);
            match (valid, filter.map(|filter| &filters[filter])) {
                (Some(valid), Some(filter)) => Some(&valid & filter),
                (Some(valid), None) => Some(valid),
                (None, filter) => filter.cloned(),
            }
        };
        let values = |argument: usize, filter: Option<usize>| Values {
            words: words(&arguments[argument], rows),
            is_valid: mask(Some(argument), filter).unwrap_or_else(|| BooleanBuffer::new_set(rows)),
        };
        let mut running = Vec::with_capacity(plan.running.len());
        for aggregate in &plan.running {
            let mask = mask(aggregate.argument, aggregate.filter);
            running.push(contributions(aggregate, &arguments, mask.as_ref(), rows));
        }
        let distinct = plan.distinct.iter().map(|aggregate| DistinctInput {
            values: values(aggregate.argument, aggregate.filter),
            before: vec![i64::MIN; rows],
        });
        let last = plan.last.iter().map(|aggregate| LastInput {
            values: values(aggregate.argument, aggregate.filter),
            evicted_times: vec![i64::MIN; rows],
            evicted_words: vec![0; rows],
        });
        let (distinct, last) = (distinct.collect(), last.collect());
        let merged = merged_inputs(plan, events, wanted, failures)?;
        let mut slots = Vec::with_capacity(rows);
        let is_kept = |row| wanted.is_none_or(|wanted| wanted.value(row)) && !failures.has(row);
        keys.intern(&columns, rows, is_kept, &mut slots)?;
        Ok(Self::new(times, slots, running, distinct, last, merged))
    }

    /// A batch none of whose rows is linked.
    pub(in crate::window::asof) fn new(
        times: Vec<i64>,
        slots: Vec<u32>,
        running: Vec<Vec<i64>>,
        distinct: Vec<DistinctInput>,
        last: Vec<LastInput>,
        merged: Vec<MergedInput>,
    ) -> Self {
        let newest = times.iter().copied().max().unwrap_or(i64::MIN);
        let oldest = times.iter().copied().min().unwrap_or(i64::MAX);
        let previous = vec![Place::NONE; times.len()];
        let times = times.into();
        Self { times, slots, running, distinct, last, merged, newest, oldest, newest_so_far: newest, previous }
    }
}

/// Arguments and filters of merged aggregates.
fn merged_inputs(
    plan: &FeaturePlan,
    events: &RecordBatch,
    wanted: Option<&BooleanBuffer>,
    failures: &mut Failures,
) -> Result<Vec<MergedInput>, WindowError> {
    let mut merged = Vec::with_capacity(plan.merged.len());
    for aggregate in &plan.merged {
        let filter = failures.evaluate_filter(aggregate.filter.as_ref(), events, || wanted.cloned())?;
        let passing = || both(wanted, filter.as_ref().map(BooleanArray::values));
        let arguments: Result<_, _> =
            aggregate.arguments.iter().map(|argument| failures.evaluate(argument, events, passing)).collect();
        merged.push(MergedInput { arguments: arguments?, filter });
    }
    Ok(merged)
}

/// What each row adds to a running aggregate, of which `mask` says the rows that count.
fn contributions(
    aggregate: &RunningAggregate,
    arguments: &[ArrayRef],
    mask: Option<&BooleanBuffer>,
    rows: usize,
) -> Vec<i64> {
    let mut column = match (aggregate.kind, aggregate.argument.and_then(|argument| arguments.get(argument))) {
        (RunningKind::Count, _) | (_, None) => {
            return mask.map_or_else(|| vec![1; rows], |mask| mask.iter().map(i64::from).collect());
        }
        (RunningKind::SumFloat, Some(argument)) => words(argument, rows),
        (RunningKind::Sum(half), Some(argument)) => {
            words(argument, rows).into_iter().map(|value| half.of(value)).collect()
        }
        (RunningKind::Extreme(extreme), Some(argument)) => match argument.as_primitive_opt::<Float64Type>() {
            Some(floats) => floats.values().iter().map(|value| extreme.rank_of_float(*value)).collect(),
            None => words(argument, rows).into_iter().map(|value| extreme.rank(value)).collect(),
        },
    };
    if let Some(mask) = mask {
        let empty = aggregate.kind.combine().empty();
        for (word, counts) in column.iter_mut().zip(mask.iter()) {
            *word = if counts { *word } else { empty };
        }
    }
    column
}

/// The rows that any aggregate over an argument looks at it in; all without a buffer.
fn any_filter(plan: &FeaturePlan, argument: usize, filters: &[BooleanBuffer]) -> Option<BooleanBuffer> {
    let running = plan.running.iter().filter(|one| one.argument == Some(argument)).map(|one| one.filter);
    let distinct = plan.distinct.iter().filter(|one| one.argument == argument).map(|one| one.filter);
    let last = plan.last.iter().filter(|one| one.argument == argument).map(|one| one.filter);
    let mut any: Option<BooleanBuffer> = None;
    for filter in running.chain(distinct).chain(last) {
        let filter = filters.get(filter?)?;
        any = Some(any.map_or_else(|| filter.clone(), |any| &any | filter));
    }
    any
}

/// The 64-bit words of an integer, float or time column; what stands under a NULL is not looked at.
fn words(column: &ArrayRef, rows: usize) -> Vec<i64> {
    match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().values().to_vec(),
        DataType::Float64 => column.as_primitive::<Float64Type>().values().iter().copied().map(to_word).collect(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            column.as_primitive::<TimestampMicrosecondType>().values().to_vec()
        }
        // The planner lets no other type through.
        _ => vec![0; rows],
    }
}
