//! The rows of a step with everything evaluated that the panes need of them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use datafusion::physical_expr::PhysicalExpr;

use super::aggregate::{Additive, AdditiveAggregate, Aggregates};
use crate::sql::{Failures, both};
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
    /// Evaluates the plan over the rows of its source and gives every key a slot. A row that any expression fails on is
    /// noted and left out, as if WHERE had refused it; what WHERE or a FILTER keeps from an expression can't make it fail.
    pub(super) fn evaluate(
        plan: &InputPlan<'_>,
        rows: &RecordBatch,
        keys: &mut KeyIndex,
        failures: &mut Failures,
    ) -> Result<Self, WindowError> {
        let count = rows.num_rows();
        let filter = failures.evaluate_filter(plan.filter, rows, || None)?;
        let wanted = || filter.as_ref().map(|filter| filter.values().clone());
        let mut columns = Vec::with_capacity(plan.keys.len().max(1));
        for key in &plan.keys {
            columns.push(failures.evaluate(key, rows, wanted)?);
        }
        if columns.is_empty() {
            // A window over everything has one key.
            columns.push(Arc::new(Int64Array::from_value(0, count)));
        }
        let mut evaluation = Evaluation { rows, wanted: filter.as_ref(), failures, filters: Vec::new() };
        let mut additive = Vec::with_capacity(plan.aggregates.additive.len());
        for aggregate in &plan.aggregates.additive {
            additive.push(evaluation.contribution(aggregate)?);
        }
        let mut distinct = Vec::with_capacity(plan.aggregates.distinct.len());
        for aggregate in &plan.aggregates.distinct {
            let filter = evaluation.filter(aggregate.filter.as_ref())?;
            let argument = evaluation.argument(&aggregate.argument, filter.as_ref())?;
            let values = argument.as_primitive::<Int64Type>().values().clone();
            distinct.push(DistinctInput { values, counts: counts(&argument, filter.as_ref()) });
        }
        let mut merged = Vec::with_capacity(plan.aggregates.merged.len());
        for aggregate in &plan.aggregates.merged {
            let filter = evaluation.filter(aggregate.filter.as_ref())?;
            let arguments: Result<_, _> =
                aggregate.arguments.iter().map(|argument| evaluation.argument(argument, filter.as_ref())).collect();
            merged.push(MergedInput { arguments: arguments?, filter });
        }
        let mut slots = Vec::with_capacity(count);
        let is_kept = |row| filter.as_ref().is_none_or(|filter| filter.value(row)) && !failures.has(row);
        keys.intern(&columns, count, is_kept, &mut slots)?;
        let times = rows.column(plan.time_index).as_primitive::<TimestampMicrosecondType>().values().clone();
        Ok(Self { times, slots, additive, distinct, merged })
    }
}

/// The expressions of aggregates over the rows of one batch.
struct Evaluation<'a> {
    rows: &'a RecordBatch,
    /// The rows that WHERE lets through; all without it.
    wanted: Option<&'a BooleanArray>,
    failures: &'a mut Failures,
    /// Aggregates often share a filter: each is evaluated once.
    filters: Vec<(Arc<dyn PhysicalExpr>, BooleanArray)>,
}

impl Evaluation<'_> {
    fn filter(&mut self, filter: Option<&Arc<dyn PhysicalExpr>>) -> Result<Option<BooleanArray>, WindowError> {
        let Some(filter) = filter else { return Ok(None) };
        if let Some((_, mask)) = self.filters.iter().find(|(known, _)| known == filter) {
            return Ok(Some(mask.clone()));
        }
        let wanted = self.wanted;
        let mask =
            self.failures.evaluate_filter(Some(filter), self.rows, || wanted.map(|wanted| wanted.values().clone()))?;
        if let Some(mask) = &mask {
            self.filters.push((Arc::clone(filter), mask.clone()));
        }
        Ok(mask)
    }

    /// What an aggregate is over, of the rows that its filter lets through.
    fn argument(
        &mut self,
        argument: &Arc<dyn PhysicalExpr>,
        filter: Option<&BooleanArray>,
    ) -> Result<ArrayRef, WindowError> {
        let wanted = self.wanted;
        Ok(self.failures.evaluate(argument, self.rows, || {
            both(wanted.map(BooleanArray::values), filter.map(BooleanArray::values))
        })?)
    }

    fn contribution(&mut self, aggregate: &AdditiveAggregate) -> Result<Contribution, WindowError> {
        let filter = self.filter(aggregate.filter.as_ref())?;
        let Some(argument) = &aggregate.argument else {
            return Ok(match filter {
                None => Contribution::Ones,
                Some(filter) => Contribution::Integers(filter.values().iter().map(i64::from).collect()),
            });
        };
        let argument = self.argument(argument, filter.as_ref())?;
        let counted = counts(&argument, filter.as_ref());
        Ok(match aggregate.kind {
            Additive::Count => match counted {
                None => Contribution::Ones,
                Some(counted) => Contribution::Integers(counted.iter().map(i64::from).collect()),
            },
            Additive::Integer(half) => {
                let values = argument.as_primitive::<Int64Type>().values();
                Contribution::Integers(match counted {
                    None => values.iter().map(|value| half.of(*value)).collect(),
                    Some(counted) => {
                        let halves = values.iter().map(|value| half.of(*value));
                        halves.zip(&counted).map(|(value, counts)| if counts { value } else { 0 }).collect()
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
