//! A feature's SQL → what the table must keep and how its columns are computed from that.
//!
//! The select has the form `SELECT keys and expressions over aggregates FROM stream [WHERE ...] GROUP BY keys`. Each
//! aggregate call is taken apart into *what* is aggregated (function, arguments, filter) and *how far back*
//! (its horizon), so that `views_5m` and `views_1d` share one aggregate.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use xxhash_rust::xxh3::xxh3_64;

use super::builder::Builder;
use super::column::Combine;
use super::extreme::Extreme;
use super::select::{SelectForm, keys};
use super::tile::Horizon;
use crate::sql::{FORM, PlanError, Planner, columns_form, normal_form};
use crate::window::integer_sum::Half;
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
    meaning: String,
    /// What states of earlier versions know the plan by.
    earlier_fingerprint: u64,
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
    pub(super) expression: Expr,
    pub(super) physical: Arc<dyn PhysicalExpr>,
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
    /// A half of the argument, a 64-bit integer.
    Sum(Half),
    /// The argument, a 64-bit float.
    SumFloat,
    /// The argument, when it is beyond the others.
    Extreme(Extreme),
}

impl RunningKind {
    /// How contributions add up.
    pub(super) fn combine(self) -> Combine {
        match self {
            Self::Count | Self::Sum(_) => Combine::Add,
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
    pub(super) identity: Expr,
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
    /// A sum of integers, of its halves.
    IntegerSum {
        low: CellRef,
        high: CellRef,
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
        let mut earlier = format!("{}\n{time} {retention:?}\n{:?}", plan.display_indent(), builder.input.as_arrow());
        if outputs.iter().any(|output| matches!(output, OutputSource::IntegerSum { .. })) {
            // A state that keeps them in one word each is not this one's.
            earlier.push_str("\nsums of integers in halves");
        }
        let (text, columns) = (normal_form(sql)?, columns_form(builder.input.as_arrow()));
        let back = retention.width_micros();
        let mut meaning = format!("as-of table {FORM}\n{text}\nover {columns}\nby {time:?}, back {back} microseconds");
        let calls = &form.aggregate.aggr_expr;
        let has_extreme_time = outputs.iter().zip(calls).any(|(output, call)| {
            let is_time = || matches!(call.get_type(&builder.input), Ok(DataType::Timestamp(..)));
            matches!(output, OutputSource::Extreme { .. }) && is_time()
        });
        if has_extreme_time {
            // Nor is one that merges them.
            let change = "\nextremes of times in cells";
            earlier.push_str(change);
            meaning.push_str(change);
        }
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
            earlier_fingerprint: xxh3_64(earlier.as_bytes()),
            meaning,
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

    /// What the table computes, in words of our own: select, types, time column and retention.
    pub(crate) fn meaning(&self) -> &str {
        &self.meaning
    }

    /// Identifies what the table computes. State is saved under it.
    pub fn fingerprint(&self) -> u64 {
        xxh3_64(self.meaning().as_bytes())
    }

    /// What a state of the table may have been saved under: this version's fingerprint, and the one of DataFusion's words that
    /// earlier ones made.
    pub(crate) fn fingerprints(&self) -> [u64; 2] {
        [self.fingerprint(), self.earlier_fingerprint]
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
