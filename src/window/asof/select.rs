//! The form of a feature's select: what is taken, and what to write instead of the rest.

use datafusion::common::DFSchema;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection};

use super::plan::FeatureKey;
use crate::sql::{PlanError, Planner, group_columns};

/// The parts of `SELECT ... FROM stream [WHERE ...] GROUP BY ...`.
pub(super) struct SelectForm<'a> {
    pub(super) projection: &'a Projection,
    pub(super) aggregate: &'a Aggregate,
}

impl<'a> SelectForm<'a> {
    pub(super) fn of(plan: &'a LogicalPlan) -> Result<Self, PlanError> {
        let shape = "a feature is SELECT keys, aggregates FROM stream [WHERE ...] GROUP BY keys";
        let LogicalPlan::Projection(projection) = plan else {
            return Err(unexpected(plan).suggest(shape));
        };
        let LogicalPlan::Aggregate(aggregate) = projection.input.as_ref() else {
            return Err(match projection.input.as_ref() {
                LogicalPlan::Filter(_) => {
                    PlanError::new("HAVING is not part of a feature table").suggest("filter where the table is read")
                }
                LogicalPlan::TableScan(_) => PlanError::new("the select has no GROUP BY"),
                other => unexpected(other),
            }
            .suggest(shape));
        };
        Ok(Self { projection, aggregate })
    }
}

fn unexpected(plan: &LogicalPlan) -> PlanError {
    let (name, advice) = match plan {
        LogicalPlan::Sort(_) => ("ORDER BY", "a table has no order: leave it out"),
        LogicalPlan::Limit(_) => ("LIMIT", "leave it out"),
        LogicalPlan::Distinct(_) => ("SELECT DISTINCT", "GROUP BY makes rows distinct: leave it out"),
        LogicalPlan::Join(_) => ("a JOIN", "join feature tables in vector.sql"),
        LogicalPlan::Union(_) => ("UNION", "write one feature table per stream"),
        LogicalPlan::Window(_) => ("a window function", "use FILTER (WHERE within(...))"),
        LogicalPlan::Filter(_) => ("HAVING", "filter where the table is read"),
        LogicalPlan::TableScan(_) => ("no GROUP BY", "group by the key of the features"),
        _ => ("a part that features do not have", "keep to SELECT ... GROUP BY"),
    };
    PlanError::new(format!("the select has {name}")).suggest(advice)
}

/// The GROUP BY columns, each of which must be selected: look-ups go by them.
pub(super) fn keys(planner: &Planner, form: &SelectForm<'_>, input: &DFSchema) -> Result<Vec<FeatureKey>, PlanError> {
    if form.aggregate.group_expr.is_empty() {
        return Err(PlanError::new("the select has no GROUP BY").suggest("group by the key of the features"));
    }
    let mut keys = Vec::new();
    for (group, field) in group_columns(form.aggregate) {
        if matches!(group, Expr::GroupingSet(_)) {
            return Err(
                PlanError::new("GROUPING SETS, CUBE and ROLLUP are not features").suggest("write one table per key")
            );
        }
        let selected =
            form.projection.expr.iter().position(
                |expr| matches!(expr.clone().unalias(), Expr::Column(column) if column.name == *field.name()),
            );
        let Some(output_index) = selected else {
            return Err(PlanError::new(format!("the key `{group}` is not in the select list"))
                .suggest("select every GROUP BY column: look-ups go by them"));
        };
        keys.push(FeatureKey {
            name: form.projection.schema.field(output_index).name().clone(),
            output_index,
            expression: planner.physical(group, input)?,
        });
    }
    Ok(keys)
}
