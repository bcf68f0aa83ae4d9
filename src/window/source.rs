//! Where the rows of a select come from: a stream, streams under UNION ALL, each perhaps with reference tables joined.
//!
//! ```text
//!  clicks ──▶ (columns of the branch) ─┐
//!                                      ├─▶ input: one schema, whichever stream an event came from
//!  orders ──▶ (columns of the branch) ─┘
//! ```

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;

use super::WindowError;
use super::asof::mentions_within;
use super::evaluate::evaluate;
use super::planner::{PlanError, Planner};

/// The FROM and WHERE of a select.
pub struct Source {
    branches: Vec<Branch>,
    filter: Option<Expr>,
    schema: DFSchemaRef,
    arrow: SchemaRef,
    time: Expr,
    time_index: usize,
    identity: String,
}

/// One stream of a source.
struct Branch {
    stream: String,
    /// The input's columns over the stream's; none when they are the stream's own.
    columns: Option<Vec<Arc<dyn PhysicalExpr>>>,
}

impl Source {
    /// Takes the input of an aggregation apart. `time` is the event-time column.
    pub(super) fn of(planner: &Planner, input: &LogicalPlan, time: &str) -> Result<Self, PlanError> {
        let (filter, plan) = match input {
            LogicalPlan::Filter(filter) => (Some(filter.predicate.clone()), filter.input.as_ref()),
            other => (None, other),
        };
        if let Some(filter) = filter.as_ref().filter(|filter| mentions_within(filter)) {
            return Err(PlanError::new(format!("within(...) in WHERE: `{filter}`"))
                .suggest("write it in the FILTER of each aggregate"));
        }
        let schema = Arc::clone(plan.schema());
        let mut branches = Vec::new();
        match unaliased(plan) {
            LogicalPlan::Union(union) => {
                for input in &union.inputs {
                    branches.push(Branch::of(planner, input)?);
                }
            }
            other => branches.push(Branch::of(planner, other)?),
        }
        let found = schema.iter().enumerate().find(|(_, (_, field))| field.name() == time);
        let Some((time_index, (qualifier, field))) = found else {
            return Err(PlanError::new(format!("the rows have no column `{time}`, which is the event time"))
                .suggest("select it in each part of the FROM"));
        };
        let time = Expr::from((qualifier, field));
        let arrow = nullable(schema.as_arrow());
        Ok(Self { branches, filter, arrow, time, time_index, identity: plan.display_indent().to_string(), schema })
    }

    /// The streams, each once per place where it stands.
    pub fn streams(&self) -> impl Iterator<Item = &str> {
        self.branches.iter().map(|branch| branch.stream.as_str())
    }

    pub(super) fn schema(&self) -> &DFSchema {
        &self.schema
    }

    pub(super) fn filter(&self) -> Option<&Expr> {
        self.filter.as_ref()
    }

    pub(super) fn time_expression(&self) -> Expr {
        self.time.clone()
    }

    /// Index of the event time among the input's columns.
    pub(super) fn time_index(&self) -> usize {
        self.time_index
    }

    /// Whether two selects read the same, WHERE aside.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// The rows of the input for events of `stream`; none when the select does not read it.
    pub(super) fn rows(&self, stream: &str, events: &RecordBatch) -> Result<Vec<RecordBatch>, WindowError> {
        let mut rows = Vec::new();
        for branch in self.branches.iter().filter(|branch| branch.stream == stream) {
            rows.push(match &branch.columns {
                None => events.clone(),
                Some(columns) => {
                    let columns: Result<Vec<_>, _> = columns.iter().map(|column| evaluate(column, events)).collect();
                    RecordBatch::try_new(Arc::clone(&self.arrow), columns?)?
                }
            });
        }
        Ok(rows)
    }
}

impl Branch {
    fn of(planner: &Planner, plan: &LogicalPlan) -> Result<Self, PlanError> {
        match unaliased(plan) {
            LogicalPlan::TableScan(scan) => Ok(Self { stream: scan.table_name.table().to_owned(), columns: None }),
            LogicalPlan::Projection(projection) => {
                let inner = unaliased(&projection.input);
                let LogicalPlan::TableScan(scan) = inner else { return Err(unexpected(inner)) };
                let schema = projection.input.schema();
                let columns: Result<Vec<_>, _> =
                    projection.expr.iter().map(|column| planner.physical(column, schema)).collect();
                Ok(Self { stream: scan.table_name.table().to_owned(), columns: Some(columns?) })
            }
            other => Err(unexpected(other)),
        }
    }
}

fn unaliased(mut plan: &LogicalPlan) -> &LogicalPlan {
    while let LogicalPlan::SubqueryAlias(alias) = plan {
        plan = alias.input.as_ref();
    }
    plan
}

fn unexpected(plan: &LogicalPlan) -> PlanError {
    let (what, advice) = match plan {
        LogicalPlan::Join(_) => ("such a join", "join a stream with reference tables: LEFT JOIN ... ON key = key"),
        LogicalPlan::Filter(_) => ("a WHERE inside the FROM", "write it after the FROM"),
        LogicalPlan::Aggregate(_) => ("a GROUP BY inside the FROM", "write one table per aggregation"),
        LogicalPlan::Limit(_) => ("LIMIT", "a stream has no end: leave it out"),
        LogicalPlan::Sort(_) => ("ORDER BY inside the FROM", "leave it out"),
        _ => ("such a part", "select FROM a stream, or from streams under UNION ALL"),
    };
    PlanError::new(format!("a table over streams can't have {what}")).suggest(advice)
}

fn nullable(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| -> Field { Field::new(field.name(), DataType::clone(field.data_type()), true) };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}
