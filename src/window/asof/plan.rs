//! A feature's SQL → what the table must keep and how its columns are computed from that.
//!
//! The select has the form `SELECT keys and expressions over aggregates FROM stream [WHERE ...] GROUP BY keys`. Each
//! aggregate call is taken apart into *what* is aggregated (function, arguments, filter) and *how far back*
//! (its horizon), so that `views_5m` and `views_1d` share one aggregate.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use super::select::{SelectForm, keys};
use super::tile::Horizon;
use super::within::{mentions_within, split_horizon};
use crate::window::evaluate::new_accumulator;
use crate::window::functions::needs_time;
use crate::window::planner::{PlanError, Planner};

/// A checked feature table: everything that [`FeatureTable`](super::FeatureTable) needs to run.
pub struct FeaturePlan {
    name: String,
    stream: String,
    keys: Vec<FeatureKey>,
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    pub(super) time_index: usize,
    pub(super) running: Vec<RunningAggregate>,
    pub(super) merged: Vec<MergedAggregate>,
    pub(super) distinct: Vec<DistinctAggregate>,
    pub(super) horizons: Vec<HorizonPlan>,
    pub(super) outputs: Vec<OutputSource>,
    /// Keys and aggregates: the input of the projection.
    pub(super) aggregate_schema: SchemaRef,
    pub(super) projection: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
    pub(super) exists: CellRef,
}

/// One column of the GROUP BY.
pub struct FeatureKey {
    /// Its name in the select list.
    pub name: String,
    /// Its place in the select list.
    pub output_index: usize,
    pub(super) expression: Arc<dyn PhysicalExpr>,
}

/// An aggregate that follows each event in a cell per key: its value over a horizon is a plain sum of contributions.
pub(super) struct RunningAggregate {
    pub(super) kind: RunningKind,
    /// What is counted or summed; none for `count(*)`.
    pub(super) argument: Option<Arc<dyn PhysicalExpr>>,
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    identity: (RunningKind, Option<Expr>, Option<Expr>),
}

/// What an event adds to a running cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RunningKind {
    /// One, when the argument is not NULL.
    Count,
    /// The argument, a 64-bit integer.
    SumInteger,
    /// The argument, a 64-bit float.
    SumFloat,
}

/// Any other aggregate: answered by merging states.
pub(super) struct MergedAggregate {
    pub(super) function: Arc<AggregateFunctionExpr>,
    pub(super) arguments: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) argument_types: Vec<DataType>,
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    identity: Expr,
}

/// A merged aggregate that counts distinct integers, and can be followed event by event.
pub(super) struct DistinctAggregate {
    /// Index among the merged aggregates.
    pub(super) aggregate: usize,
    /// Horizons (indices) that it is read over.
    pub(super) horizons: Vec<usize>,
}

/// What is read over one horizon.
pub(super) struct HorizonPlan {
    pub(super) horizon: Horizon,
    /// Running aggregates (indices into `running`) with a cell of this horizon.
    pub(super) cells: Vec<usize>,
    /// Whether any merged aggregate is read over it, running distinct counts aside.
    pub(super) has_merged: bool,
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
    Merged {
        aggregate: usize,
        horizon: usize,
    },
    /// `distinct` and `place` say which running count; merged where that cannot answer.
    Distinct {
        distinct: usize,
        place: usize,
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
        let input = Arc::clone(form.aggregate.input.schema());
        let mut builder = Builder {
            planner,
            time: time.to_owned(),
            retention,
            input,
            running: Vec::new(),
            merged: Vec::new(),
            distinct: Vec::new(),
            horizons: Vec::new(),
        };
        let mut outputs = Vec::new();
        for call in &form.aggregate.aggr_expr {
            outputs.push(builder.output(call)?);
        }
        // The row of a key exists as long as any of its features can be other than empty.
        let widest = builder.horizons.iter().map(|plan| plan.horizon).max().unwrap_or(retention);
        let exists = builder.cell(RunningKind::Count, None, None, widest)?;
        let filter = form.filter.map(|filter| planner.physical(filter, &builder.input)).transpose()?;
        let time_index = builder.input.index_of_column_by_name(None, time);
        let time_index = time_index.ok_or_else(|| PlanError::new(format!("stream has no column `{time}`")))?;
        let keys = keys(planner, &form, &builder.input)?;
        let aggregate_schema = form.aggregate.schema.as_ref();
        let projection: Result<Vec<_>, _> =
            form.projection.expr.iter().map(|expr| planner.physical(expr, aggregate_schema)).collect();
        let schema = nullable(form.projection.schema.as_arrow());
        Ok(Self {
            name: name.to_owned(),
            stream: form.stream.clone(),
            keys,
            filter,
            time_index,
            running: builder.running,
            merged: builder.merged,
            distinct: builder.distinct,
            horizons: builder.horizons,
            outputs,
            aggregate_schema: nullable(form.aggregate.schema.as_arrow()),
            projection: projection?,
            schema,
            exists,
        })
    }

    /// Name of the table.
    pub fn name(&self) -> &str {
        &self.name
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
    time: String,
    retention: Horizon,
    input: DFSchemaRef,
    running: Vec<RunningAggregate>,
    merged: Vec<MergedAggregate>,
    distinct: Vec<DistinctAggregate>,
    horizons: Vec<HorizonPlan>,
}

impl Builder<'_> {
    fn output(&mut self, call: &Expr) -> Result<OutputSource, PlanError> {
        let Expr::AggregateFunction(AggregateFunction { func, mut params }) = call.clone().unalias() else {
            return Err(PlanError::new(format!("`{call}` is not an aggregate")));
        };
        let (horizon, filter) = match params.filter {
            Some(filter) => split_horizon(*filter, &self.time)?,
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
        let horizon = horizon.unwrap_or(self.retention);
        let simple = !params.distinct && params.order_by.is_empty() && params.null_treatment.is_none();
        if let (true, [argument]) = (simple, params.args.as_slice()) {
            let is_row_count = matches!(argument, Expr::Literal(value, _) if !value.is_null());
            let counted = (!is_row_count).then(|| argument.clone());
            let argument_type = self.type_of(argument)?;
            match (func.name(), &argument_type) {
                ("count", _) => {
                    return Ok(OutputSource::Count(self.cell(RunningKind::Count, counted, filter, horizon)?));
                }
                ("sum", DataType::Int64 | DataType::Float64) | ("avg", DataType::Float64) => {
                    let kind =
                        if argument_type == DataType::Int64 { RunningKind::SumInteger } else { RunningKind::SumFloat };
                    let sum = self.cell(kind, Some(argument.clone()), filter.clone(), horizon)?;
                    let count = self.cell(RunningKind::Count, counted, filter, horizon)?;
                    return Ok(match func.name() {
                        "sum" => OutputSource::Sum { sum, count },
                        _ => OutputSource::Average { sum, count },
                    });
                }
                _ => {}
            }
        }
        let mut args = params.args;
        if needs_time(func.name()) && args.len() == 2 {
            args.push(Expr::Column(self.time.clone().into()));
        }
        let counts_integers = func.name() == "count"
            && params.distinct
            && params.order_by.is_empty()
            && matches!(args.as_slice(), [argument] if self.type_of(argument)? == DataType::Int64);
        let filter = filter.map(Box::new);
        let call = Expr::AggregateFunction(AggregateFunction {
            func,
            params: AggregateFunctionParams { args, filter, ..params },
        });
        let aggregate = self.merged(call)?;
        let horizon = self.horizon(horizon);
        if counts_integers {
            return Ok(self.distinct(aggregate, horizon));
        }
        self.horizons[horizon].has_merged = true;
        Ok(OutputSource::Merged { aggregate, horizon })
    }

    fn distinct(&mut self, aggregate: usize, horizon: usize) -> OutputSource {
        let known = self.distinct.iter().position(|distinct| distinct.aggregate == aggregate);
        let distinct = known.unwrap_or_else(|| {
            self.distinct.push(DistinctAggregate { aggregate, horizons: Vec::new() });
            self.distinct.len() - 1
        });
        let horizons = &mut self.distinct[distinct].horizons;
        let place = horizons.iter().position(|known| *known == horizon).unwrap_or_else(|| {
            horizons.push(horizon);
            horizons.len() - 1
        });
        OutputSource::Distinct { distinct, place }
    }

    fn type_of(&self, expression: &Expr) -> Result<DataType, PlanError> {
        Ok(expression.get_type(&self.input)?)
    }

    fn horizon(&mut self, horizon: Horizon) -> usize {
        self.horizons.iter().position(|plan| plan.horizon == horizon).unwrap_or_else(|| {
            self.horizons.push(HorizonPlan { horizon, cells: Vec::new(), has_merged: false });
            self.horizons.len() - 1
        })
    }

    fn cell(
        &mut self,
        kind: RunningKind,
        argument: Option<Expr>,
        filter: Option<Expr>,
        horizon: Horizon,
    ) -> Result<CellRef, PlanError> {
        let identity = (kind, argument, filter);
        let aggregate = match self.running.iter().position(|running| running.identity == identity) {
            Some(aggregate) => aggregate,
            None => {
                let physical = |expression: &Option<Expr>| {
                    expression.as_ref().map(|expression| self.planner.physical(expression, &self.input)).transpose()
                };
                let (argument, filter) = (physical(&identity.1)?, physical(&identity.2)?);
                self.running.push(RunningAggregate { kind, argument, filter, identity });
                self.running.len() - 1
            }
        };
        let horizon = self.horizon(horizon);
        let cells = &mut self.horizons[horizon].cells;
        let place = cells.iter().position(|cell| *cell == aggregate).unwrap_or_else(|| {
            cells.push(aggregate);
            cells.len() - 1
        });
        Ok(CellRef { horizon, place })
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
