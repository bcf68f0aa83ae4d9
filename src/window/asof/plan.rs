//! A feature's SQL → what the table must keep and how its columns are computed from that.
//!
//! The select has the form `SELECT keys and expressions over aggregates FROM stream [WHERE ...] GROUP BY keys`. Each
//! aggregate call is taken apart into *what* is aggregated (function, arguments, filter) and *how far back*
//! (its horizon), so that `views_5m` and `views_1d` share one aggregate.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchemaRef, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use xxhash_rust::xxh3::xxh3_64;

use super::column::Combine;
use super::extreme::Extreme;
use super::last::RunningLast;
use super::select::{SelectForm, keys};
use super::tile::Horizon;
use super::within::{mentions_within, split_horizon};
use crate::window::evaluate::new_accumulator;
use crate::window::functions::MOST_VALUES;
use crate::window::functions::{DecayedParts, decayed_parts, needs_time};
use crate::window::planner::{PlanError, Planner};
use crate::window::source::Source;

/// A checked feature table: everything that [`FeatureTable`](super::FeatureTable) needs to run.
pub struct FeaturePlan {
    name: String,
    stream: String,
    source: Source,
    keys: Vec<FeatureKey>,
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    pub(super) time_index: usize,
    /// What aggregates that are followed event by event are over, each once.
    pub(super) arguments: Vec<Input>,
    /// Their filters, each once.
    pub(super) filters: Vec<Input>,
    pub(super) running: Vec<RunningAggregate>,
    pub(super) distinct: Vec<DistinctAggregate>,
    pub(super) last: Vec<LastAggregate>,
    pub(super) merged: Vec<MergedAggregate>,
    pub(super) horizons: Vec<HorizonPlan>,
    pub(super) outputs: Vec<OutputSource>,
    /// Keys and aggregates: the input of the projection.
    pub(super) aggregate_schema: SchemaRef,
    pub(super) projection: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
    pub(super) exists: CellRef,
    fingerprint: u64,
}

/// One column of the GROUP BY.
pub struct FeatureKey {
    /// Its name in the select list.
    pub name: String,
    /// Its place in the select list.
    pub output_index: usize,
    pub(super) expression: Arc<dyn PhysicalExpr>,
}

/// An expression over the events.
pub(super) struct Input {
    expression: Expr,
    physical: Arc<dyn PhysicalExpr>,
}

impl Input {
    pub(super) fn physical(&self) -> &Arc<dyn PhysicalExpr> {
        &self.physical
    }
}

/// An aggregate that follows each event in a cell per key: its value over a horizon combines contributions.
#[derive(PartialEq, Eq)]
pub(super) struct RunningAggregate {
    pub(super) kind: RunningKind,
    /// What is counted, summed or compared (index into the arguments); none for `count(*)`.
    pub(super) argument: Option<usize>,
    /// Index into the filters.
    pub(super) filter: Option<usize>,
}

/// What an event adds to a running cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RunningKind {
    /// One, when the argument is not NULL.
    Count,
    /// The argument, a 64-bit integer.
    Sum,
    /// The argument, a 64-bit float.
    SumFloat,
    /// The argument, when it is beyond the others.
    Extreme(Extreme),
}

impl RunningKind {
    /// How contributions add up.
    pub(super) fn combine(self) -> Combine {
        match self {
            Self::Count | Self::Sum => Combine::Add,
            Self::SumFloat => Combine::AddFloat,
            Self::Extreme(_) => Combine::Largest,
        }
    }
}

/// A count of distinct integers.
pub(super) struct DistinctAggregate {
    pub(super) argument: usize,
    pub(super) filter: Option<usize>,
    /// Horizons (indices) that it is read over.
    pub(super) horizons: Vec<usize>,
}

/// The last values of 64 bits.
pub(super) struct LastAggregate {
    pub(super) argument: usize,
    pub(super) filter: Option<usize>,
    /// How many values at most.
    pub(super) most: usize,
    pub(super) value_type: DataType,
    /// Horizons (indices) that it is read over.
    pub(super) horizons: Vec<usize>,
}

/// Any other aggregate: answered by merging states.
pub(super) struct MergedAggregate {
    pub(super) function: Arc<AggregateFunctionExpr>,
    pub(super) arguments: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) argument_types: Vec<DataType>,
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    identity: Expr,
}

/// What is read over one horizon.
pub(super) struct HorizonPlan {
    pub(super) horizon: Horizon,
    /// Running aggregates (indices into `running`) with a cell of this horizon.
    pub(super) cells: Vec<usize>,
    /// Per cell, the place of the cell that counts its rows; a count is its own.
    pub(super) counts: Vec<usize>,
    /// Merged aggregates (indices) that are read over it.
    pub(super) merged: Vec<usize>,
}

impl HorizonPlan {
    /// Whether the cells have a `min` or `max` among them.
    pub(super) fn has_extremes(&self, plan: &FeaturePlan) -> bool {
        self.cells.iter().any(|cell| plan.running[*cell].kind.combine() == Combine::Largest)
    }
}

/// A running cell: horizon and place among its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CellRef {
    pub(super) horizon: usize,
    pub(super) place: usize,
}

/// How the column of one aggregate call is answered.
pub(super) enum OutputSource {
    Count(CellRef),
    Sum {
        sum: CellRef,
        count: CellRef,
    },
    Average {
        sum: CellRef,
        count: CellRef,
    },
    Extreme {
        extreme: CellRef,
        count: CellRef,
    },
    /// `place` is that of the horizon among those of the aggregate; so is it for `Last`.
    Distinct {
        distinct: usize,
        place: usize,
    },
    Last {
        last: usize,
        place: usize,
    },
    Merged {
        aggregate: usize,
        horizon: usize,
    },
    /// The sum as of `newest`, both merged aggregates, moved to the time of the read.
    Decayed {
        sum: usize,
        newest: usize,
        horizon: usize,
        half_life: i64,
    },
}

impl FeaturePlan {
    /// Plans the feature table `name`.
    ///
    /// `time` is the event-time column of every stream; `retention` is the horizon of aggregates that name none.
    ///
    /// # Errors
    /// When the SQL is not valid, or is valid but has another form.
    pub fn new(planner: &Planner, name: &str, sql: &str, time: &str, retention: Horizon) -> Result<Self, PlanError> {
        let plan = planner.plan(sql)?;
        let form = SelectForm::of(&plan)?;
        let source = Source::of(planner, &form.aggregate.input, time)?;
        if source.streams().count() != 1 {
            return Err(PlanError::new("the select is over several streams")
                .suggest("write one table per stream, or a table of windows"));
        }
        let input = Arc::clone(form.aggregate.input.schema());
        let mut builder = Builder {
            planner,
            time: source.time_expression(),
            time_name: time.to_owned(),
            retention,
            input,
            arguments: Vec::new(),
            filters: Vec::new(),
            running: Vec::new(),
            distinct: Vec::new(),
            last: Vec::new(),
            merged: Vec::new(),
            horizons: Vec::new(),
        };
        let mut outputs = Vec::new();
        for call in &form.aggregate.aggr_expr {
            outputs.push(builder.output(call)?);
        }
        // The row of a key exists as long as any of its features can be other than empty.
        let widest = builder.horizons.iter().map(|plan| plan.horizon).max().unwrap_or(retention);
        let widest = builder.horizon(widest);
        let exists = builder.cell(RunningKind::Count, None, None, widest);
        let stream = source.streams().next().unwrap_or_default().to_owned();
        let filter = source.filter().map(|filter| planner.physical(filter, &builder.input)).transpose()?;
        let keys = keys(planner, &form, &builder.input)?;
        let aggregate_schema = form.aggregate.schema.as_ref();
        let projection: Result<Vec<_>, _> =
            form.projection.expr.iter().map(|expr| planner.physical(expr, aggregate_schema)).collect();
        let schema = nullable(form.projection.schema.as_arrow());
        let meaning = format!("{}\n{time} {retention:?}\n{:?}", plan.display_indent(), builder.input.as_arrow());
        Ok(Self {
            name: name.to_owned(),
            stream,
            time_index: source.time_index(),
            source,
            keys,
            filter,
            arguments: builder.arguments,
            filters: builder.filters,
            running: builder.running,
            distinct: builder.distinct,
            last: builder.last,
            merged: builder.merged,
            horizons: builder.horizons,
            outputs,
            aggregate_schema: nullable(form.aggregate.schema.as_arrow()),
            projection: projection?,
            schema,
            exists,
            fingerprint: xxh3_64(meaning.as_bytes()),
        })
    }

    /// Name of the table.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its events come from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The stream it is computed from.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The GROUP BY columns, in that order.
    pub fn keys(&self) -> &[FeatureKey] {
        &self.keys
    }

    /// Columns of the table, keys included; all nullable, since a look-up can find nothing.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The horizons that the table reads over.
    pub fn horizons(&self) -> impl Iterator<Item = Horizon> {
        self.horizons.iter().map(|plan| plan.horizon)
    }

    /// Identifies what the table computes: select, types, time column and retention. State is restored under it only.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// How old an event can be and still matter to some read, microseconds.
    pub fn reach_micros(&self) -> i64 {
        self.horizons().map(Horizon::reach_micros).max().unwrap_or(0)
    }
}

fn nullable(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(
        schema
            .fields()
            .iter()
            .map(|field| Field::new(field.name(), field.data_type().clone(), true))
            .collect::<Vec<_>>(),
    ))
}

struct Builder<'a> {
    planner: &'a Planner,
    /// The event-time column.
    time: Expr,
    time_name: String,
    retention: Horizon,
    input: DFSchemaRef,
    arguments: Vec<Input>,
    filters: Vec<Input>,
    running: Vec<RunningAggregate>,
    distinct: Vec<DistinctAggregate>,
    last: Vec<LastAggregate>,
    merged: Vec<MergedAggregate>,
    horizons: Vec<HorizonPlan>,
}

impl Builder<'_> {
    fn output(&mut self, call: &Expr) -> Result<OutputSource, PlanError> {
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
        let is_row_count = matches!(argument, Expr::Literal(value, _) if !value.is_null());
        let most = match args {
            [_, Expr::Literal(ScalarValue::Int64(Some(most)), _)] => usize::try_from(*most).unwrap_or(0),
            _ => 0,
        };
        Ok(Some(match (name, is_distinct, args.len()) {
            ("count", false, 1) => OutputSource::Count(self.count(argument, filter, horizon)?),
            ("sum", false, 1) if is_number => {
                let kind = if is_float { RunningKind::SumFloat } else { RunningKind::Sum };
                let (sum, count) = self.counted_cell(kind, argument, filter, horizon)?;
                OutputSource::Sum { sum, count }
            }
            ("avg", false, 1) if is_float => {
                let (sum, count) = self.counted_cell(RunningKind::SumFloat, argument, filter, horizon)?;
                OutputSource::Average { sum, count }
            }
            ("min" | "max", _, 1) if is_number => {
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

    fn horizon(&mut self, horizon: Horizon) -> usize {
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

    fn cell(&mut self, kind: RunningKind, argument: Option<usize>, filter: Option<usize>, horizon: usize) -> CellRef {
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
