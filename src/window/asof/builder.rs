//! Takes the aggregate calls of a feature apart, and keeps each thing once.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchemaRef, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{Expr, ExprSchemable};

use super::extreme::Extreme;
use super::last::RunningLast;
use super::plan::{
    CellRef, DistinctAggregate, HorizonPlan, Input, LastAggregate, MergedAggregate, OutputSource, RunningAggregate,
    RunningKind,
};
use super::tile::Horizon;
use super::within::{mentions_within, split_horizon};
use crate::sql::{DecayedParts, MOST_VALUES, PlanError, Planner, decayed_parts, needs_time, new_accumulator};
use crate::window::integer_sum::Half;

pub(super) struct Builder<'a> {
    pub(super) planner: &'a Planner,
    /// The event-time column.
    pub(super) time: Expr,
    pub(super) time_name: String,
    pub(super) retention: Horizon,
    pub(super) input: DFSchemaRef,
    pub(super) arguments: Vec<Input>,
    pub(super) filters: Vec<Input>,
    pub(super) running: Vec<RunningAggregate>,
    pub(super) distinct: Vec<DistinctAggregate>,
    pub(super) last: Vec<LastAggregate>,
    pub(super) merged: Vec<MergedAggregate>,
    pub(super) horizons: Vec<HorizonPlan>,
}

impl Builder<'_> {
    pub(super) fn output(&mut self, call: &Expr) -> Result<OutputSource, PlanError> {
        let Expr::AggregateFunction(AggregateFunction { func, mut params }) = call.clone().unalias() else {
            return Err(PlanError::new(format!("`{call}` is not an aggregate")));
        };
        let (horizon, filter) = match params.filter {
            Some(filter) => split_horizon(*filter, &self.time_name)?,
            None => (None, None),
        };
        let filter = filter.map(|filter| self.planner.simplify(filter, &self.input)).transpose()?;
        for argument in &mut params.args {
            if mentions_within(argument) {
                return Err(PlanError::new(format!("within(...) is an argument of `{}`", func.name()))
                    .suggest("write it in FILTER (WHERE ...)"));
            }
            *argument = self.planner.simplify(argument.clone(), &self.input)?;
        }
        let horizon = self.horizon(horizon.unwrap_or(self.retention));
        if params.order_by.is_empty() && params.null_treatment.is_none() {
            let followed = self.followed(func.name(), params.distinct, &params.args, filter.as_ref(), horizon)?;
            if let Some(output) = followed {
                return Ok(output);
            }
        }
        let mut args = params.args;
        if needs_time(func.name()) && args.len() == 2 {
            args.push(self.time.clone());
        }
        let filter = filter.map(Box::new);
        let call = Expr::AggregateFunction(AggregateFunction {
            func,
            params: AggregateFunctionParams { args, filter, ..params },
        });
        let is_decayed = matches!(&call, Expr::AggregateFunction(call) if call.func.name() == "decayed_sum");
        if is_decayed {
            let DecayedParts { sum, newest, half_life } = decayed_parts(&call, &self.time)?;
            let (sum, newest) = (self.merged_over(sum, horizon)?, self.merged_over(newest, horizon)?);
            return Ok(OutputSource::Decayed { sum, newest, horizon, half_life });
        }
        let aggregate = self.merged_over(call, horizon)?;
        Ok(OutputSource::Merged { aggregate, horizon })
    }

    fn merged_over(&mut self, call: Expr, horizon: usize) -> Result<usize, PlanError> {
        let aggregate = self.merged(call)?;
        if !self.horizons[horizon].merged.contains(&aggregate) {
            self.horizons[horizon].merged.push(aggregate);
        }
        Ok(aggregate)
    }

    /// The aggregate as one that is followed event by event, if it can be.
    fn followed(
        &mut self,
        name: &str,
        is_distinct: bool,
        args: &[Expr],
        filter: Option<&Expr>,
        horizon: usize,
    ) -> Result<Option<OutputSource>, PlanError> {
        let Some(argument) = args.first() else { return Ok(None) };
        let argument_type = argument.get_type(&self.input)?;
        let is_float = argument_type == DataType::Float64;
        let is_number = is_float || argument_type == DataType::Int64;
        let is_time = matches!(argument_type, DataType::Timestamp(TimeUnit::Microsecond, _));
        let is_row_count = matches!(argument, Expr::Literal(value, _) if !value.is_null());
        let most = match args {
            [_, Expr::Literal(ScalarValue::Int64(Some(most)), _)] => usize::try_from(*most).unwrap_or(0),
            _ => 0,
        };
        Ok(Some(match (name, is_distinct, args.len()) {
            ("count", false, 1) => OutputSource::Count(self.count(argument, filter, horizon)?),
            ("sum", false, 1) if is_number && !is_float => {
                let (low, count) = self.counted_cell(RunningKind::Sum(Half::Low), argument, filter, horizon)?;
                let (high, _) = self.counted_cell(RunningKind::Sum(Half::High), argument, filter, horizon)?;
                OutputSource::IntegerSum { low, high, count }
            }
            ("sum", false, 1) if is_float => {
                let (sum, count) = self.counted_cell(RunningKind::SumFloat, argument, filter, horizon)?;
                OutputSource::Sum { sum, count }
            }
            ("avg", false, 1) if is_float => {
                let (sum, count) = self.counted_cell(RunningKind::SumFloat, argument, filter, horizon)?;
                OutputSource::Average { sum, count }
            }
            ("min" | "max", _, 1) if is_number || is_time => {
                let kind = RunningKind::Extreme(Extreme { is_max: name == "max", is_float });
                let (extreme, count) = self.counted_cell(kind, argument, filter, horizon)?;
                OutputSource::Extreme { extreme, count }
            }
            ("count", true, 1) if argument_type == DataType::Int64 && !is_row_count => {
                let (argument, filter) = (self.argument(argument)?, self.filter(filter)?);
                let known = self.distinct.iter().position(|known| known.argument == argument && known.filter == filter);
                let distinct = known.unwrap_or_else(|| {
                    self.distinct.push(DistinctAggregate { argument, filter, horizons: Vec::new() });
                    self.distinct.len() - 1
                });
                OutputSource::Distinct { distinct, place: place_of(&mut self.distinct[distinct].horizons, horizon) }
            }
            ("last_n", false, 2) if (1..=MOST_VALUES).contains(&most) && RunningLast::supports(&argument_type) => {
                let (argument, filter) = (self.argument(argument)?, self.filter(filter)?);
                let is_it =
                    |known: &LastAggregate| known.argument == argument && known.filter == filter && known.most == most;
                let last = self.last.iter().position(is_it).unwrap_or_else(|| {
                    let value_type = argument_type;
                    self.last.push(LastAggregate { argument, filter, most, value_type, horizons: Vec::new() });
                    self.last.len() - 1
                });
                OutputSource::Last { last, place: place_of(&mut self.last[last].horizons, horizon) }
            }
            _ => return Ok(None),
        }))
    }

    pub(super) fn horizon(&mut self, horizon: Horizon) -> usize {
        self.horizons.iter().position(|plan| plan.horizon == horizon).unwrap_or_else(|| {
            self.horizons.push(HorizonPlan { horizon, cells: Vec::new(), counts: Vec::new(), merged: Vec::new() });
            self.horizons.len() - 1
        })
    }

    /// The count of the rows that have the argument.
    fn count(&mut self, argument: &Expr, filter: Option<&Expr>, horizon: usize) -> Result<CellRef, PlanError> {
        let is_row_count = matches!(argument, Expr::Literal(value, _) if !value.is_null());
        let argument = if is_row_count { None } else { Some(self.argument(argument)?) };
        let filter = self.filter(filter)?;
        Ok(self.cell(RunningKind::Count, argument, filter, horizon))
    }

    /// A cell and the count of its rows.
    fn counted_cell(
        &mut self,
        kind: RunningKind,
        argument: &Expr,
        filter: Option<&Expr>,
        horizon: usize,
    ) -> Result<(CellRef, CellRef), PlanError> {
        let count = self.count(argument, filter, horizon)?;
        let (argument, filter) = (self.argument(argument)?, self.filter(filter)?);
        let cell = self.cell(kind, Some(argument), filter, horizon);
        self.horizons[horizon].counts[cell.place] = count.place;
        Ok((cell, count))
    }

    pub(super) fn cell(
        &mut self,
        kind: RunningKind,
        argument: Option<usize>,
        filter: Option<usize>,
        horizon: usize,
    ) -> CellRef {
        let wanted = RunningAggregate { kind, argument, filter };
        let aggregate = self.running.iter().position(|running| *running == wanted).unwrap_or_else(|| {
            self.running.push(wanted);
            self.running.len() - 1
        });
        let part = &mut self.horizons[horizon];
        let place = place_of(&mut part.cells, aggregate);
        if place == part.counts.len() {
            part.counts.push(place);
        }
        CellRef { horizon, place }
    }

    fn argument(&mut self, expression: &Expr) -> Result<usize, PlanError> {
        input(&mut self.arguments, self.planner, &self.input, expression)
    }

    fn filter(&mut self, expression: Option<&Expr>) -> Result<Option<usize>, PlanError> {
        expression.map(|expression| input(&mut self.filters, self.planner, &self.input, expression)).transpose()
    }

    fn merged(&mut self, call: Expr) -> Result<usize, PlanError> {
        if let Some(aggregate) = self.merged.iter().position(|merged| merged.identity == call) {
            return Ok(aggregate);
        }
        let lowered = self.planner.aggregate(&call, &self.input)?;
        if !lowered.order_bys.is_empty() {
            return Err(PlanError::new(format!("`{call}` has an ORDER BY"))
                .suggest("last_n(column, n) keeps values in the order of event time"));
        }
        // Errors of the function's own arguments show here instead of at the first event.
        new_accumulator(&lowered.aggregate)?;
        let arguments = lowered.aggregate.expressions();
        let types: Result<_, _> = arguments.iter().map(|argument| argument.data_type(self.input.as_arrow())).collect();
        self.merged.push(MergedAggregate {
            arguments,
            argument_types: types?,
            function: lowered.aggregate,
            filter: lowered.filter,
            identity: call,
        });
        Ok(self.merged.len() - 1)
    }
}

fn input(
    inputs: &mut Vec<Input>,
    planner: &Planner,
    schema: &DFSchemaRef,
    expression: &Expr,
) -> Result<usize, PlanError> {
    if let Some(known) = inputs.iter().position(|input| input.expression == *expression) {
        return Ok(known);
    }
    let physical = planner.physical(expression, schema)?;
    inputs.push(Input { expression: expression.clone(), physical });
    Ok(inputs.len() - 1)
}

/// The place of a number in a list, to which it is added when it is not there.
fn place_of(numbers: &mut Vec<usize>, wanted: usize) -> usize {
    numbers.iter().position(|number| *number == wanted).unwrap_or_else(|| {
        numbers.push(wanted);
        numbers.len() - 1
    })
}
