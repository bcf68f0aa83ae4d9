//! The joins of a vector: look-ups of feature tables by key, and what is read of each.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;

use super::meaning::{Joined, TableText};
use super::{LivePlan, REQUESTS};
use crate::sql::{PlanError, Planner};

/// One `LEFT JOIN table ON key = expression`.
#[derive(Clone)]
pub(super) struct JoinPlan {
    /// Index of the table in the pipeline.
    pub(super) table: usize,
    /// Per key of the table, the expression over the columns joined so far.
    pub(super) keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Columns of the batch that the keys are evaluated over.
    pub(super) schema: SchemaRef,
    /// Whether the keys read nothing but `requests`.
    pub(super) is_direct: bool,
}

/// Walks the joins from the left; every relation but the first is a feature table.
pub(super) fn collect_joins(
    planner: &Planner,
    plan: &LogicalPlan,
    requests: &Schema,
    tables: &[LivePlan],
    joins: &mut Vec<JoinPlan>,
) -> Result<(), PlanError> {
    match plan {
        LogicalPlan::Join(join) => {
            collect_joins(planner, &join.left, requests, tables, joins)?;
            joins.push(plan_join(planner, join, requests, tables)?);
            Ok(())
        }
        other => match relation(other) {
            Some(REQUESTS) => Ok(()),
            Some(name) => Err(PlanError::new(format!("the vector selects from `{name}` first"))
                .suggest(format!("FROM {REQUESTS} r LEFT JOIN {name} ON ..."))),
            None => Err(PlanError::new("the vector has more than a select list and joins")
                .suggest("leave WHERE, GROUP BY, ORDER BY and sub-selects out")),
        },
    }
}

fn plan_join(planner: &Planner, join: &Join, requests: &Schema, tables: &[LivePlan]) -> Result<JoinPlan, PlanError> {
    let Some(name) = relation(&join.right) else {
        return Err(
            PlanError::new("a join's right side is not a feature table").suggest("LEFT JOIN table ON key = key")
        );
    };
    if join.join_type != JoinType::Left {
        return Err(PlanError::new(format!("{} JOIN of `{name}`", join.join_type))
            .suggest("LEFT JOIN: a request is scored also when a table has no row for it"));
    }
    let Some(table) = tables.iter().position(|table| table.name() == name) else {
        return Err(PlanError::new(format!("`{name}` is not a feature table")));
    };
    let plan = &tables[table];
    let mut pairs: Vec<(Expr, Expr)> = join.on.clone();
    for term in join.filter.iter().flat_map(split_conjunction) {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = term else {
            return Err(PlanError::new(format!("`{name}` is joined on `{term}`"))
                .suggest("look-ups are by key: ON r.key = t.key AND ..."));
        };
        pairs.push((left.as_ref().clone(), right.as_ref().clone()));
    }
    let left = join.left.schema();
    let mut keys = Vec::new();
    let mut is_direct = true;
    for (key, place) in plan.keys()? {
        let is_key = |expression: &Expr| {
            matches!(without_cast(expression), Expr::Column(column)
                if column.name == key && join.right.schema().has_column(column))
        };
        let matching: Vec<&Expr> = pairs
            .iter()
            .filter_map(|(a, b)| match (is_key(a), is_key(b)) {
                // That the key is cast for it says that the types differ.
                (_, true) => Some(if matches!(b, Expr::Cast(_)) { without_cast(a) } else { a }),
                (true, false) => Some(if matches!(a, Expr::Cast(_)) { without_cast(b) } else { b }),
                (false, false) => None,
            })
            .collect();
        let [value] = matching.as_slice() else {
            return Err(PlanError::new(format!("`{name}` is not joined on its key `{key}`"))
                .suggest(format!("ON ... = {name}.{key}")));
        };
        let (given, wanted) = (value.get_type(left)?, plan.schema().field(place).data_type());
        if given != *wanted {
            return Err(PlanError::new(format!("`{value}` is {given}, the key {name}.{key} is {wanted}"))
                .near(value.to_string())
                .suggest("make the types equal with a CAST on the requests' side"));
        }
        is_direct &= reads_only_requests(value, left, requests)?;
        keys.push(planner.physical(value, left)?);
    }
    if pairs.len() != keys.len() {
        return Err(PlanError::new(format!("`{name}` is joined on more than its key"))
            .suggest("filter in the select list with CASE instead"));
    }
    Ok(JoinPlan { table, keys, schema: Arc::new(left.as_arrow().clone()), is_direct })
}

/// What the planner casts to make types equal.
fn without_cast(side: &Expr) -> &Expr {
    if let Expr::Cast(cast) = side { without_cast(&cast.expr) } else { side }
}

/// Whether every column of the expression is one of the first relation's.
fn reads_only_requests(expression: &Expr, schema: &DFSchema, requests: &Schema) -> Result<bool, PlanError> {
    let mut direct = true;
    expression.apply(|node| {
        if let Expr::Column(column) = node {
            direct &= schema.index_of_column(column)? < requests.fields().len();
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(direct)
}

/// The name of the relation that a plan only scans, perhaps under an alias.
fn relation(plan: &LogicalPlan) -> Option<&str> {
    match plan {
        LogicalPlan::TableScan(scan) => Some(scan.table_name.table()),
        LogicalPlan::SubqueryAlias(alias) => relation(&alias.input),
        _ => None,
    }
}

/// Whether a schema has a column under this qualified or bare name.
trait HasColumn {
    fn has_column(&self, column: &Column) -> bool;
}

impl HasColumn for Arc<DFSchema> {
    fn has_column(&self, column: &Column) -> bool {
        self.maybe_index_of_column(column).is_some()
    }
}

/// What the vector reads of each table: the columns that its outputs read, those by which other tables are joined, and the keys.
pub(super) fn joined<'a>(
    joins: &[JoinPlan],
    schema: &Schema,
    readers: &[Option<usize>],
    (requests, tables, sources): (usize, &[LivePlan], &'a [TableText]),
) -> Result<Vec<Joined<'a>>, PlanError> {
    let mut is_read: Vec<bool> = readers.iter().map(Option::is_some).collect();
    for key in joins.iter().flat_map(|join| &join.keys) {
        // The columns joined so far come first in all that is joined.
        for column in collect_columns(key) {
            is_read.get_mut(column.index()).into_iter().for_each(|read| *read = true);
        }
    }
    let mut joined = Vec::new();
    let mut first = requests;
    for join in joins {
        let (Some(table), Some(text)) = (tables.get(join.table), sources.get(join.table)) else { continue };
        let columns = first..first + table.schema().fields().len();
        first = columns.end;
        let names = columns.filter(|column| is_read.get(*column) == Some(&true));
        let mut read: BTreeSet<String> =
            names.filter_map(|column| schema.fields().get(column).map(|field| field.name().clone())).collect();
        read.extend(table.keys()?.into_iter().map(|(name, _)| name.to_owned()));
        joined.push(Joined { text, read });
    }
    Ok(joined)
}
