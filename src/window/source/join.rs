//! A reference table joined to the rows of a stream: what its key must equal, and the columns that come of it.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use datafusion::common::JoinType;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator};
use datafusion::physical_expr::PhysicalExpr;

use super::{References, nullable, unaliased, unexpected};
use crate::sql::{Failures, PlanError, Planner};
use crate::window::WindowError;

/// A reference table joined to what comes before it.
pub(super) struct ReferenceJoin {
    pub(super) reference: String,
    /// What the key columns of the table must equal, in their order.
    keys: Vec<Arc<dyn PhysicalExpr>>,
    time_index: usize,
    /// The columns before, then those of the table.
    pub(super) schema: SchemaRef,
}

impl ReferenceJoin {
    pub(super) fn of(planner: &Planner, join: &Join, time: &str) -> Result<Self, PlanError> {
        let LogicalPlan::TableScan(scan) = unaliased(&join.right) else {
            return Err(unexpected(unaliased(&join.right)));
        };
        let reference = scan.table_name.table().to_owned();
        let Some(key) = planner.reference_key(&reference) else {
            return Err(PlanError::new(format!("`{reference}` is joined and is no reference table"))
                .suggest("declare it in [references.NAME]; streams meet under UNION ALL"));
        };
        if join.join_type != JoinType::Left {
            return Err(PlanError::new(format!(
                "`{reference}` is joined by {} JOIN",
                join.join_type.to_string().to_uppercase()
            ))
            .suggest("write LEFT JOIN, and filter in the WHERE"));
        }
        let on = format!("join `{reference}` ON its whole key: {}", key.join(", "));
        let Some(pairs) = equalities(join).filter(|pairs| pairs.len() == key.len()) else {
            return Err(PlanError::new(format!("the join with `{reference}` is not on its key alone")).suggest(on));
        };
        let mut keys = Vec::with_capacity(key.len());
        for column in &key {
            let is_key = |side: &Expr| {
                matches!(side, Expr::Column(found)
                    if found.name == *column && join.right.schema().maybe_index_of_column(found).is_some())
            };
            let left = pairs.iter().find_map(|(one, two)| match (is_key(one), is_key(two)) {
                (false, true) => Some(one),
                (true, false) => Some(two),
                _ => None,
            });
            let Some(left) = left else {
                let leaves_out = PlanError::new(format!("the join with `{reference}` leaves out its key `{column}`"));
                return Err(type_differs(&pairs, column, join)?.unwrap_or(leaves_out.suggest(on)));
            };
            keys.push(planner.physical(left, join.left.schema())?);
        }
        let Some(time_index) = join.left.schema().index_of_column_by_name(None, time) else {
            return Err(PlanError::new(format!("the rows that `{reference}` is joined to have no column `{time}`")));
        };
        Ok(Self { reference, keys, time_index, schema: nullable(join.schema.as_arrow()) })
    }

    /// The rows with the columns of the table beside them.
    pub(super) fn widen(
        &self,
        rows: &RecordBatch,
        references: &References,
        failures: &mut Failures,
    ) -> Result<RecordBatch, WindowError> {
        let Some(table) = references.get(&self.reference) else {
            return Err(WindowError::NoReference { name: self.reference.clone() });
        };
        let keys: Result<Vec<_>, _> = self.keys.iter().map(|key| failures.evaluate(key, rows, || None)).collect();
        let times = rows.column(self.time_index).as_primitive::<TimestampMicrosecondType>().values();
        let found = table.match_rows(&keys?, times)?;
        let mut columns = rows.columns().to_vec();
        columns.extend(table.columns(&found)?);
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

/// The error where a key column of the table is joined on, but made into another type for that: then it can't be looked up.
fn type_differs(pairs: &[(Expr, Expr)], column: &str, join: &Join) -> Result<Option<PlanError>, PlanError> {
    let (left, right) = (join.left.schema(), join.right.schema());
    let key = |side: &Expr| match side {
        Expr::Column(found) if found.name == column => right.maybe_index_of_column(found),
        _ => None,
    };
    for (one, two) in pairs.iter().map(|(one, two)| (without_cast(one), without_cast(two))) {
        let (value, index) = match (key(one), key(two)) {
            (Some(index), None) => (two, index),
            (None, Some(index)) => (one, index),
            _ => continue,
        };
        let (given, wanted) = (value.get_type(left)?, right.field(index).data_type());
        let message = format!("`{value}` is {given}, and the key column it is joined on, `{column}`, is {wanted}");
        return Ok(Some(
            PlanError::new(message)
                .near(value.to_string())
                .suggest(format!("give both one type: in the contracts or the file, or by a cast of `{value}`")),
        ));
    }
    Ok(None)
}

/// What the planner casts to make types equal.
fn without_cast(side: &Expr) -> &Expr {
    if let Expr::Cast(cast) = side { without_cast(&cast.expr) } else { side }
}

/// The two sides of each equality that a join is on; `None` when it is on anything else as well.
fn equalities(join: &Join) -> Option<Vec<(Expr, Expr)>> {
    let mut pairs = join.on.clone();
    for term in join.filter.iter().flat_map(split_conjunction) {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = term else { return None };
        pairs.push((left.as_ref().clone(), right.as_ref().clone()));
    }
    Some(pairs)
}
