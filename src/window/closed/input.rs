//! The rows of a step with everything evaluated that the panes need of them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use datafusion::physical_expr::PhysicalExpr;

use super::aggregate::{Additive, AdditiveAggregate, Aggregates};
use crate::sql::{evaluate, evaluate_filter};
use crate::window::WindowError;
use crate::window::keys::KeyIndex;

/// Columns over the rows of one batch.
pub(super) struct Input {
    pub(super) times: ScalarBuffer<i64>,
    /// The key of each row; [`NO_SLOT`](crate::window::keys::NO_SLOT) where WHERE does not hold.
    pub(super) slots: Vec<u32>,
    pub(super) additive: Vec<Contribution>,
    pub(super) distinct: Vec<DistinctInput>,
    pub(super) merged: Vec<MergedInput>,
}

/// What the rows add to an additive aggregate; nothing is zero.
pub(super) enum Contribution {
    /// One each.
    Ones,
    Integers(ScalarBuffer<i64>),
    Floats(ScalarBuffer<f64>),
}

pub(super) struct DistinctInput {
    pub(super) values: ScalarBuffer<i64>,
    /// Which rows count; all without it.
    pub(super) counts: Option<BooleanBuffer>,
}

pub(super) struct MergedInput {
    pub(super) arguments: Vec<ArrayRef>,
    pub(super) filter: Option<BooleanArray>,
}

/// What is evaluated over each batch.
pub(super) struct InputPlan<'a> {
    pub(super) keys: Vec<&'a Arc<dyn PhysicalExpr>>,
    pub(super) filter: Option<&'a Arc<dyn PhysicalExpr>>,
    pub(super) time_index: usize,
    pub(super) aggregates: &'a Aggregates,
}

impl Input {
    /// Evaluates the plan over the rows of its source and gives every key a slot.
    pub(super) fn evaluate(plan: &InputPlan<'_>, rows: &RecordBatch, keys: &mut KeyIndex) -> Result<Self, WindowError> {
        let count = rows.num_rows();
        let filter = evaluate_filter(plan.filter, rows)?;
        let mut columns = Vec::with_capacity(plan.keys.len().max(1));
        for key in &plan.keys {
            columns.push(evaluate(key, rows)?);
        }
        if columns.is_empty() {
            // A window over everything has one key.
            columns.push(Arc::new(Int64Array::from_value(0, count)));
        }
        let mut slots = Vec::with_capacity(count);
        keys.intern(&columns, count, |row| filter.as_ref().is_none_or(|filter| filter.value(row)), &mut slots)?;
        let times = rows.column(plan.time_index).as_primitive::<TimestampMicrosecondType>().values().clone();
        let mut filters = Filters { rows, known: Vec::new() };
        let mut additive = Vec::with_capacity(plan.aggregates.additive.len());
        for aggregate in &plan.aggregates.additive {
            additive.push(contribution(aggregate, rows, &mut filters)?);
        }
        let mut distinct = Vec::with_capacity(plan.aggregates.distinct.len());
        for aggregate in &plan.aggregates.distinct {
            let argument = evaluate(&aggregate.argument, rows)?;
            let filter = filters.of(aggregate.filter.as_ref())?;
            let values = argument.as_primitive::<Int64Type>().values().clone();
            distinct.push(DistinctInput { values, counts: counts(&argument, filter.as_ref()) });
        }
        let mut merged = Vec::with_capacity(plan.aggregates.merged.len());
        for aggregate in &plan.aggregates.merged {
            let arguments: Result<_, _> = aggregate.arguments.iter().map(|argument| evaluate(argument, rows)).collect();
            merged.push(MergedInput { arguments: arguments?, filter: filters.of(aggregate.filter.as_ref())? });
        }
        Ok(Self { times, slots, additive, distinct, merged })
    }
}

fn contribution(
    aggregate: &AdditiveAggregate,
    rows: &RecordBatch,
    filters: &mut Filters<'_>,
) -> Result<Contribution, WindowError> {
    let filter = filters.of(aggregate.filter.as_ref())?;
    let Some(argument) = &aggregate.argument else {
        return Ok(match filter {
            None => Contribution::Ones,
            Some(filter) => Contribution::Integers(filter.values().iter().map(i64::from).collect()),
        });
    };
    let argument = evaluate(argument, rows)?;
    let counted = counts(&argument, filter.as_ref());
    Ok(match aggregate.kind {
        Additive::Count => match counted {
            None => Contribution::Ones,
            Some(counted) => Contribution::Integers(counted.iter().map(i64::from).collect()),
        },
        Additive::Integer => {
            let values = argument.as_primitive::<Int64Type>().values();
            Contribution::Integers(match counted {
                None => values.clone(),
                Some(counted) => {
                    values.iter().zip(&counted).map(|(value, counts)| if counts { *value } else { 0 }).collect()
                }
            })
        }
        Additive::Float => {
            let values = argument.as_primitive::<Float64Type>().values();
            Contribution::Floats(match counted {
                None => values.clone(),
                Some(counted) => {
                    values.iter().zip(&counted).map(|(value, counts)| if counts { *value } else { 0.0 }).collect()
                }
            })
        }
    })
}

/// The rows that an aggregate counts: those that its filter lets through and whose argument is not NULL.
fn counts(argument: &ArrayRef, filter: Option<&BooleanArray>) -> Option<BooleanBuffer> {
    let valid = argument.nulls().filter(|nulls| nulls.null_count() > 0).map(arrow::buffer::NullBuffer::inner);
    match (valid, filter) {
        (None, None) => None,
        (Some(valid), None) => Some(valid.clone()),
        (None, Some(filter)) => Some(filter.values().clone()),
        (Some(valid), Some(filter)) => Some(valid & filter.values()),
    }
}

/// Aggregates often share a filter: each is evaluated once.
struct Filters<'a> {
    rows: &'a RecordBatch,
    known: Vec<(Arc<dyn PhysicalExpr>, BooleanArray)>,
}

impl Filters<'_> {
    fn of(&mut self, filter: Option<&Arc<dyn PhysicalExpr>>) -> Result<Option<BooleanArray>, WindowError> {
        let Some(filter) = filter else { return Ok(None) };
        if let Some((_, mask)) = self.known.iter().find(|(known, _)| known == filter) {
            return Ok(Some(mask.clone()));
        }
        let mask = evaluate_filter(Some(filter), self.rows)?;
        if let Some(mask) = &mask {
            self.known.push((Arc::clone(filter), mask.clone()));
        }
        Ok(mask)
    }
}
